// SPDX-License-Identifier: Apache-2.0
//
// Params that a person is asked for in a form. Pure.
#pragma once

#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "workflow/definition.h"

namespace kubiya::workflow {

// The required params that have no value yet. Code::invalid for what bind_params() would refuse
// among those that have one: nobody is asked for the rest of a call that is wrong already.
Result<std::vector<Param>> missing_params(const Definition& definition, const json::object& given);

// `requestedSchema` of an elicitation (MCP 2025-11-25, "Elicitation"): flat, of primitive types.
// Secret params must not be among them.
json::object form_schema(const std::vector<Param>& params);

}  // namespace kubiya::workflow
