// SPDX-License-Identifier: Apache-2.0
//
// From a call to the row that records it, and back to what a watcher is told. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/backend.h"
#include "engine/environment.h"
#include "store/records.h"

namespace kubiya::engine {

// Names were checked with the definition; this is the last gate before an environment.
Result<> check_params(const workflow::Pairs& params);

// What must not be in any record of the run.
std::vector<Secret> secrets_of(const StartRun& request, const RunFacts& facts);

// Secrets are not in it.
store::RunRow run_row(const RunFacts& facts, const StartRun& request, const std::string& request_id,
                      std::int64_t now_ms);

RunEvent final_event(const store::RunRow& run, const std::vector<store::StepRow>& steps);

}  // namespace kubiya::engine
