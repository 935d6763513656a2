// SPDX-License-Identifier: Apache-2.0
//
// What a crash left is put in order before anything new is accepted.
#pragma once

#include "base/descriptor.h"
#include "engine/embedded.h"

namespace kubiya::engine {

// Returns a lock on the work directory, held as long as the engine lives: a second engine would
// take the first one's runs for leftovers. Code::conflict when there is another.
Result<Descriptor> recover(const EngineOptions& options, store::Database& db,
                           audit::Journal& journal, const Clock& clock);

}  // namespace kubiya::engine
