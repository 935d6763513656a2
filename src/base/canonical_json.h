// SPDX-License-Identifier: Apache-2.0
//
// RFC 8785 (JCS): one spelling per JSON value, for digests.
#pragma once

#include <string>
#include <string_view>

#include "base/json.h"

namespace kubiya {

// Members sorted by UTF-16 code units, numbers as ECMAScript prints them. Integers
// beyond 2^53 are printed as the double they become.
std::string canonical_json(const json::value& value);

// Appends `text`, which must be UTF-8, quoted and escaped as RFC 8785, 3.2.2.2 says.
void append_canonical_string(std::string& out, std::string_view text);

}  // namespace kubiya
