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
  bool dpop = false;  // came under the scheme DPoP (RFC 9449 §7.1)
};

// Exactly one credential where the mode accepts one; anything else is refused. Its bytes are not
// looked at: a text that was judged before needs no second look.
tl::expected<Credential, Reason> find_credential(const Presented& presented,
                                                 const AuthenticatorOptions& options);

// Whether the bytes can be a credential of that source: in a header, one token68 (RFC 9110 §11.2),
// or what was meant as a token and is refused as one.
bool is_well_formed(const Credential& credential);

// What follows one of `schemes`, in any case, and one space (RFC 9110 §11.4).
std::optional<std::string_view> parse_authorization(
    std::string_view value, std::initializer_list<std::string_view> schemes);

}  // namespace kubiya::identity
