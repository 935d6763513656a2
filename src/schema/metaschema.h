// SPDX-License-Identifier: Apache-2.0
//
// The meta-schema documents of JSON Schema 2020-12, so that `$schema` and `$ref`
// to them work without a network.
#pragma once

#include <string_view>

#include "base/json.h"

namespace kubiya::schema {

inline constexpr std::string_view kDialect = "https://json-schema.org/draft/2020-12/schema";

// The document published at the absolute `uri` (no fragment), or null. Lives as
// long as the program; safe from any thread.
const json::value* find_metaschema(std::string_view uri);

}  // namespace kubiya::schema
