// SPDX-License-Identifier: Apache-2.0
//
// What is peculiar to the tokens of one provider, for whoever reads why they were refused.
// Changes no decision. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "identity/jwt.h"

namespace kubiya::identity {

// The failure, with what usually causes it at this provider.
Failure explained(Failure failure, const TokenRules& rules);

// What an `iss` that is not this issuer's has to do with it; empty: nothing.
std::string explain_stranger(std::string_view iss, const TokenRules& rules);

// A text that is no JWT, when it looks like what this provider gives out for its own use.
std::optional<Failure> explain_opaque(std::string_view text, const TokenRules& rules);

}  // namespace kubiya::identity
