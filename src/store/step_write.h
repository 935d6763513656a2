// SPDX-License-Identifier: Apache-2.0
//
// The state of a step, written together with what else changes at that moment.
#pragma once

#include "store/database.h"
#include "store/records.h"

namespace kubiya::store {

// Code::not_found when there is no such step.
Result<> update_step(Connection& connection, const StepRow& step);

}  // namespace kubiya::store
