// SPDX-License-Identifier: Apache-2.0
//
// Rows as tools show them, and other short answers. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/principal.h"
#include "store/records.h"
#include "tools/registry.h"

namespace kubiya::tools {

json::object workflow_summary(const store::WorkflowRow& row);
json::object run_summary(const store::RunRow& run);
// The steps from `first` on that fit, the outputs as far as they fit. `truncated` says whether
// something was left out, `next` where further steps begin, `truncated_outputs` which values were
// cut. A handler that has not started is not shown.
json::object run_view(const store::RunRow& run, const std::vector<store::StepRow>& steps,
                      std::size_t first = 0);
// How it stands, each step on a line, and its outputs in short, for people and models.
std::string run_sentence(const store::RunRow& run, const std::vector<store::StepRow>& steps);

// What a page of a list or of logs may hold: `rows` of them, and not more text than a model reads.
store::PageLimit page_of(std::int64_t rows);
// A position in logs as the text that `next` and `after` carry. Nothing when it is no position.
std::string cursor_text(const store::LogCursor& cursor);
std::optional<store::LogCursor> parse_cursor(std::string_view text);

// RFC 3339, or null for 0.
json::value time_value(std::int64_t unix_ms);

// The answer to a call that the policy refuses now that its workflow and arguments are known in
// full; nothing when it stays permitted.
std::optional<ToolResult> refused_now(const policy::Policy& policy, const Call& call,
                                      std::string_view workflow, const json::object& arguments);

// The owner filter of a caller: their own runs, or the whole tenant for admins.
std::optional<std::string> visible_owner(const PrincipalPtr& principal);

}  // namespace kubiya::tools
