// SPDX-License-Identifier: Apache-2.0
//
// YAML 1.2 core schema to JSON values, for workflow definitions and the
// configuration file. Refused: duplicate keys, anchors that expand past the
// budget, merge keys, tags, several documents, keys that are not scalars,
// control characters, and the characters that end a line in YAML 1.1 only.
#pragma once

#include <string>
#include <string_view>

#include "base/json.h"
#include "base/result.h"

namespace kubiya {

// Error messages carry "line L, column C". `depth`, `nodes` bound the result.
Result<json::value> parse_yaml(std::string_view text, const JsonLimits& limits = {});

// Block-style YAML that parse_yaml reads back to an equal value.
std::string to_yaml(const json::value& value);

}  // namespace kubiya
