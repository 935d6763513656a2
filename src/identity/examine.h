// SPDX-License-Identifier: Apache-2.0
//
// Asks a provider for everything a checkup looks at. Waits; not for event loops.
#pragma once

#include <chrono>

#include "base/clock.h"
#include "http/client.h"
#include "identity/checkup.h"

namespace kubiya::identity {

// Code::invalid for an address that cannot be asked at all. `patience` is for each round of
// questions; what has no answer by then is a timeout in the evidence.
Result<Evidence> examine(const IssuerOptions& options, http::Client& client, const Clock& clock,
                         std::chrono::milliseconds patience);

}  // namespace kubiya::identity
