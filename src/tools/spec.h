// SPDX-License-Identifier: Apache-2.0
//
// What the specs of the built-in tools have in common.
#pragma once

#include <string>
#include <string_view>

#include "tools/registry.h"

namespace kubiya::tools {

// Of an object with these members and no others; both are JSON text without the brackets.
std::string object_schema(std::string_view properties, std::string_view required);

// `target_argument` as in ToolSpec, the rest in the order of a listing.
ToolSpec tool_spec(std::string target_argument, std::string name, Scopes scopes,
                   policy::Effect effect, std::string title, std::string description,
                   std::string input, std::string output, Annotations annotations = {});

}  // namespace kubiya::tools
