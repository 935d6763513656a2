// SPDX-License-Identifier: Apache-2.0
//
// `type: approval` and what belongs to it.
#pragma once

#include "workflow/step_reader.h"

namespace kubiya::workflow {

Approval read_approval(Reader& reader, const Field& field);
// Records what cannot stand in a step that asks for an approval: it runs nothing, and nothing
// goes on past a rejection.
void check_approval_step(Reader& reader, const ReadStep& read, const json::object& members,
                         StepPlace place);

}  // namespace kubiya::workflow
