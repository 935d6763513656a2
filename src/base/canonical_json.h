// SPDX-License-Identifier: Apache-2.0
//
// RFC 8785 (JCS): one spelling per JSON value, for digests.
#pragma once

#include <string>

#include "base/json.h"

namespace kubiya {

// Members sorted by UTF-16 code units, numbers as ECMAScript prints them.
std::string canonical_json(const json::value& value);

}  // namespace kubiya
