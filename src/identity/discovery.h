// SPDX-License-Identifier: Apache-2.0
//
// Authorization server metadata (OpenID Connect Discovery 1.0, RFC 8414). Pure.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace kubiya::identity {

// True when the URL's host is "localhost" or a loopback literal.
bool is_loopback_url(std::string_view url);

// The `jwks_uri` of a metadata document. The document's `issuer` must equal `issuer` byte for
// byte (RFC 8414 §3.3) and `jwks_uri` must be https; http on loopback is for issuers on loopback.
Result<std::string> read_metadata(std::string_view document, std::string_view issuer);

}  // namespace kubiya::identity
