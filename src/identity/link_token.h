// SPDX-License-Identifier: Apache-2.0
//
// Links of this server that are capabilities: 256 random bits, stored by their SHA-256 alone.
#pragma once

#include <string>
#include <string_view>

namespace kubiya::identity {

// 43 characters, base64url.
std::string new_link_token();
// 8 digits that bind a page to a call: one shows it, the other wants it.
std::string new_link_code();
// Where what a token stands for is kept.
std::string link_place(std::string_view token);

}  // namespace kubiya::identity
