// SPDX-License-Identifier: Apache-2.0
//
// The parts of a checkup that do not need each other. Private to it.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "identity/checkup.h"
#include "identity/discovery.h"

namespace kubiya::identity {

// A text member of the JSON object at the place, if there is one.
std::optional<std::string> find_text(const Answered& document, std::string_view name);

// No 200 where `what` should be: which of name, address, certificate, proxy or sign-in it is.
Finding unanswered(const IssuerOptions& options, const Answered& asked, std::string_view what);

void check_keys(const IssuerOptions& options, const Evidence& evidence, std::vector<Finding>& out);
// `metadata` may be null.
void check_introspection(const IssuerOptions& options, const Evidence& evidence,
                         const Metadata* metadata, std::vector<Finding>& out);
// Whether tokens can be exchanged as configured. `document` may be null.
void check_exchange(const IssuerOptions& options, const Answered* document,
                    std::vector<Finding>& out);
void check_audience(const IssuerOptions& options, std::vector<Finding>& out);
// What MCP clients need of the document: PKCE, registration, scopes, browsers.
void check_sign_in(const IssuerOptions& options, const Answered& document,
                   std::vector<Finding>& out);

}  // namespace kubiya::identity
