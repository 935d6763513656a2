// SPDX-License-Identifier: Apache-2.0
//
// The `params` of a definition: text "a b K=V", a list of such words and
// one-name maps, or a map of values and {default, required, description, secret}.
#pragma once

#include <vector>

#include "workflow/fields.h"

namespace kubiya::workflow {

// A word without a name gets its position: "1", "2", …
std::vector<Param> read_params(Reader& reader, const Field& field);

}  // namespace kubiya::workflow
