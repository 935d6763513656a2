// SPDX-License-Identifier: Apache-2.0
//
// From JSON documents to a Graph. Everything that can be wrong with a schema is
// found here, so that validation cannot fail for a reason of the schema's.
#pragma once

#include "base/json.h"
#include "base/result.h"
#include "schema/graph.h"
#include "schema/schema.h"

namespace kubiya::schema {

Result<Graph> compile_graph(const json::value& schema, const CompileOptions& options);

}  // namespace kubiya::schema
