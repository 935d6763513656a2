// SPDX-License-Identifier: Apache-2.0
//
// The built-in families of tools.
#pragma once

#include <chrono>
#include <string>

#include "base/clock.h"
#include "base/result.h"
#include "base/timers.h"
#include "base/worker_pool.h"
#include "engine/backend.h"
#include "policy/policy.h"
#include "store/store.h"
#include "tools/registry.h"
#include "workflow/definition.h"

namespace kubiya::tools {

// What the families work with. All references outlive the registry.
struct Services {
  store::Workflows& workflows;
  store::Runs& runs;
  engine::Backend& backend;
  Timers& timers;
  WorkerPool& workers;
  const Clock& clock;
  const policy::Policy& policy;
  workflow::Limits workflow_limits;
  std::chrono::seconds wait_default{25};
  std::chrono::seconds wait_max{3'600};
  std::string server_name;
};

// list_, get_, create_, update_, delete_, validate_workflow.
Result<> add_workflow_tools(Registry& registry, const Services& services);
// execute_workflow, get_execution, list_executions, get_execution_logs, cancel_execution.
Result<> add_run_tools(Registry& registry, const Services& services);
// whoami.
Result<> add_identity_tools(Registry& registry, const Services& services);

}  // namespace kubiya::tools
