// SPDX-License-Identifier: Apache-2.0
//
// Finds the one credential of a request (RFC 6750 §2 and §3.1). Pure.
#pragma once

#include <initializer_list>
#include <optional>
#include <string_view>

#include "identity/authenticator.h"

namespace kubiya::identity {

enum class Source { token, header_key, argument_key, shared_key };

struct Credential {
  std::string_view text;  // into what was presented, or into the options
  Source source = Source::token;
};

// Exactly one credential in the form the mode accepts; anything else is refused. Whether it is
// any good is not looked at.
tl::expected<Credential, Reason> find_credential(const Presented& presented,
                                                 const AuthenticatorOptions& options);

// The credential of an Authorization value: one scheme out of `schemes` in any case, one space,
// one token68 (RFC 9110 §11.4). Nothing when the value has another shape.
std::optional<std::string_view> parse_authorization(
    std::string_view value, std::initializer_list<std::string_view> schemes);

}  // namespace kubiya::identity
