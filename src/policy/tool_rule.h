// SPDX-License-Identifier: Apache-2.0
//
// What the configuration says about one tool beyond its own scopes. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/scopes.h"

namespace kubiya::policy {

// On one argument: a dotted path ("params.env") and texts. Numbers, booleans, lists and maps
// compare by their JSON text, strings exactly.
struct Condition {
  std::string path;
  std::vector<std::string> values;
  bool negated = false;  // holds unless the argument is one of the values
};

struct ToolRule {
  std::string tool;
  std::string workflow;               // with * for any characters; empty: whichever
  std::vector<Condition> conditions;  // all must hold
  Scopes needs;                       // on top
  std::optional<Scopes> scopes;       // instead of the tool's own; of several rules the last
};

// What is known of a call.
struct Asked {
  std::string_view workflow;                // empty: none named
  const json::object* arguments = nullptr;  // null: none
  bool complete = true;  // false: what is absent may get a value later, and is not judged yet
};

// Whether the rule is about this call of its tool.
bool applies(const ToolRule& rule, const Asked& asked);
// Whether the rule is about every call of its tool.
bool is_unconditional(const ToolRule& rule);

}  // namespace kubiya::policy
