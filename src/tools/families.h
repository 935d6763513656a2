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
#include "identity/api_key.h"
#include "identity/one_time_box.h"
#include "policy/policy.h"
#include "store/approvals.h"
#include "store/store.h"
#include "tools/asking.h"
#include "tools/catalogue.h"
#include "workflow/definition.h"
#include "workflow/plan.h"

namespace kubiya::tools {

// The API keys of this installation and the page that shows a new one.
struct KeyServices {
  store::Keys& keys;
  const identity::KeyBook& book;
  identity::OneTimeBox& box;
  // After a change: it is on record, and known to every event loop. Blocks.
  std::function<Result<>()> changed;
  std::string link_base;  // a token goes behind it; empty: nobody can be shown a key
};

class Published;

// What the families work with. All references outlive the registry.
struct Services {
  store::Workflows& workflows;
  store::Runs& runs;
  store::Approvals& approvals;
  engine::Backend& backend;
  Timers& timers;
  WorkerPool& workers;
  const Clock& clock;
  Changes& changes;
  const policy::Policy& policy;
  workflow::Limits workflow_limits;
  std::chrono::seconds wait_default{25};
  std::chrono::seconds wait_max{3'600};
  std::string server_name;
  std::shared_ptr<const SecretPage> secrets = {};  // null: they are asked for nowhere
  std::shared_ptr<const KeyServices> keys = {};    // null: no tools for them
  // Keeps a key in the vault for a person of the tenant, by the doing of `by`. Blocks. Null: there
  // is no vault.
  std::function<Result<>(const std::string& tenant, const std::string& issuer,
                         const std::string& subject, const Secret& key, const std::string& by)>
      keep_key = {};
  std::shared_ptr<Published> published = {};  // filled in by fill_catalogue()
};

// Everything below.
Result<> fill_catalogue(Catalogue& catalogue, const Services& services);

// list_, get_, create_, update_, delete_, validate_workflow.
Result<> add_workflow_tools(Registry& registry, const Services& services);
// execute_workflow, get_execution, list_executions, get_execution_logs, cancel_execution.
Result<> add_run_tools(Registry& registry, const Services& services);
// The first of these.
Result<> add_execute_tool(Registry& registry, const Services& services);
// list_approvals, decide_approval.
Result<> add_approval_tools(Registry& registry, const Services& services);
// list_, create_, rotate_, revoke_api_key.
Result<> add_key_tools(Registry& registry, const Services& services);
// set_user_key.
Result<> add_vault_tools(Registry& registry, const Services& services);
// whoami.
Result<> add_identity_tools(Registry& registry, const Services& services);
// workflow://{name}, run://{id}, run://{id}/log.
void add_resources(Catalogue& catalogue, const Services& services);
// workflow_dsl_guide, workflow_patterns, incident_response.
Result<> add_prompts(Catalogue& catalogue, const Services& services);
void add_run_tasks(Catalogue& catalogue, const Services& services);

// What execute_workflow does.
void execute_workflow(const Services& services, const std::shared_ptr<const Call>& call,
                      const audit::DurableTicket& ticket, const Done& done);
// Of what it answers, JSON text.
std::string execution_schema();

// What the families share.
// How long a call waits for a person who was shown a page, and its next look, on a worker.
inline constexpr std::chrono::minutes kPersonPatience{3};
void look_again(const Services& services, std::function<void()> look);
// The answer of execute_workflow: the run as it stands, and where it is followed when it goes on.
Result<ToolResult> execution_answer(const Services& services, const engine::Started& started);
// Names of the caller's workflows that begin so.
Completion complete_workflow(const Services& services, const PrincipalPtr& principal,
                             std::string_view begun);
// Null for a run that has ended. With `output` also what steps print counts as a change.
std::unique_ptr<Watch> watch_run(const Services& services, const store::RunRow& run, bool output,
                                 std::function<void()> changed);

}  // namespace kubiya::tools
