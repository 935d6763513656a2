// SPDX-License-Identifier: Apache-2.0
//
// What can only be judged with all steps at hand: names that clash,
// dependencies that lead nowhere, and cycles.
#pragma once

#include <vector>

#include "workflow/step_reader.h"

namespace kubiya::workflow {

// Fills in the chain and replaces ids in `depends` by names.
void resolve_steps(Reader& reader, std::vector<ReadStep>& steps, Definition::Type type);

}  // namespace kubiya::workflow
