// SPDX-License-Identifier: Apache-2.0
//
// The embedded engine: plans on one supervising thread, child processes by a
// Launcher, every state change durable before the effect it announces.
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>

#include "audit/journal.h"
#include "base/clock.h"
#include "engine/backend.h"
#include "engine/launcher.h"
#include "store/store.h"

namespace kubiya::engine {

struct EngineOptions {
  std::string work_directory;       // private directory per run below it, 0700
  std::string installation_id;      // a part of our children's mark, for the sweep after a crash
  std::size_t active_runs = 64;     // further runs wait queued
  std::size_t queued_runs = 1'000;  // beyond: Code::busy
  std::size_t queued_runs_per_owner = 200;
  std::size_t active_steps = 64;
  // What one tenant or person may hold of these. 0: all but an eighth, all but a quarter.
  std::size_t active_runs_per_tenant = 0, active_runs_per_owner = 0;
  std::size_t queued_runs_per_tenant = 0;
  std::size_t active_steps_per_tenant = 0, active_steps_per_owner = 0;
  // Approvals that runs wait for. A run that only waits holds no place among the active ones.
  std::size_t open_approvals = 1'000;
  std::size_t open_approvals_per_tenant = 0, open_approvals_per_owner = 100;
  std::size_t output_bytes =
      1024 * 1024;  // kept per step and stream; the rest is counted and dropped
  std::size_t captured_bytes = 1024 * 1024;      // of an `output:` variable; more fails the step
  std::chrono::milliseconds kill_grace{5'000};   // SIGTERM to SIGKILL
  std::chrono::milliseconds drain_pipes{1'000};  // after exit, for grandchildren that hold the pipe
  std::chrono::milliseconds handler_time{60'000};  // after a cancel or the workflow's timeout
  std::chrono::seconds step_timeout_max{24 * 3600};
  StepLimits step_limits;    // for whoever makes the launcher
  TokenSource token_source;  // null: a step that asks for a token fails
};

class Embedded : public Backend {
 public:
  // First deals with what a crash left: kills leftover children that carry our mark, marks every
  // unfinished run interrupted, audits it. Nothing is run again.
  static Result<std::unique_ptr<Embedded>> open(EngineOptions options, store::Database& db,
                                                audit::Journal& journal, Launcher& launcher,
                                                const Clock& clock);
};

}  // namespace kubiya::engine
