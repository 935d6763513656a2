// SPDX-License-Identifier: Apache-2.0
//
// From a submitted definition to a row worth storing. Shared by the tools, the
// import at start and the CLI. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/json.h"
#include "base/result.h"
#include "store/records.h"
#include "workflow/definition.h"

namespace kubiya::tools {

// The `definition` argument as text: as written, or an object as JSON.
std::string definition_text(const json::object& arguments);

// Name, description, text and digest filled in; tenant, author and times are the caller's.
// `name`, when given, is the workflow's; a definition that names itself must agree. Code::invalid
// lists every problem.
Result<store::WorkflowRow> checked_workflow(std::string text, std::optional<std::string_view> name,
                                            const workflow::Limits& limits);

}  // namespace kubiya::tools
