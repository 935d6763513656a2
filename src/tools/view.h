// SPDX-License-Identifier: Apache-2.0
//
// Rows as tools show them, and other short answers. Pure.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/principal.h"
#include "store/records.h"
#include "tools/registry.h"

namespace kubiya::tools {

json::object workflow_summary(const store::WorkflowRow& row);
json::object run_summary(const store::RunRow& run);
json::object run_view(const store::RunRow& run, const std::vector<store::StepRow>& steps);
// "hello finished in 0.4 s (2 steps)", for people.
std::string run_sentence(const store::RunRow& run, const std::vector<store::StepRow>& steps);

// RFC 3339, or null for 0.
json::value time_value(std::int64_t unix_ms);

// The answer to a call that the policy refuses now that its workflow and arguments are known in
// full; nothing when it stays permitted.
std::optional<ToolResult> refused_now(const policy::Policy& policy, const Call& call,
                                      std::string_view workflow, const json::object& arguments);

// The owner filter of a caller: their own runs, or the whole tenant for admins.
std::optional<std::string> visible_owner(const PrincipalPtr& principal);

}  // namespace kubiya::tools
