// SPDX-License-Identifier: Apache-2.0
//
// A schema that refers to itself without descending into the instance never ends.
#pragma once

#include "base/result.h"
#include "schema/graph.h"

namespace kubiya::schema {

// Refuses cycles of $ref, allOf, anyOf, oneOf, not and if/then/else. Cycles through
// dynamic references depend on the instance and are left to the limits of validation.
Result<> refuse_endless_references(const Graph& graph);

}  // namespace kubiya::schema
