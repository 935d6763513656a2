// SPDX-License-Identifier: Apache-2.0
#include "app/config_rows.h"

namespace kubiya::app::rows {
namespace {

void add_audit(std::vector<Key>& t) {
  t.push_back(text(
      "audit.directory", [](D& d) -> auto& { return d.config.audit.directory; }, "a directory",
      "Where the journal lies. Empty: data_dir/audit."));
  t.push_back(text(
      "audit.origin", [](D& d) -> auto& { return d.config.audit.origin; },
      "printable ASCII without spaces and +", "Origin line of the checkpoints."));
  t.push_back(duration(
      "audit.checkpoint_every", [](D& d) -> auto& { return d.config.audit.checkpoint_every; },
      {100, kHour}, "Time between signed checkpoints."));
  t.push_back(number(
      "audit.checkpoint_records", [](D& d) -> auto& { return d.config.audit.checkpoint_records; },
      {1, 1'000'000}, "Records between signed checkpoints."));
  t.push_back(bytes(
      "audit.segment_bytes", [](D& d) -> auto& { return d.config.audit.segment_bytes; },
      {64 * kKiB, 64 * kGiB}, "Size of a segment of the journal."));
  t.push_back(duration(
      "audit.begin_timeout", [](D& d) -> auto& { return d.config.audit.begin_timeout; },
      {100, kMinute}, "How long a call waits for its intent to be durable."));
  t.push_back(number(
      "audit.detailed_per_second", [](D& d) -> auto& { return d.config.audit.detailed_per_second; },
      {1, 1'000'000},
      "Reads and refusals recorded one by one; equal ones beyond "
      "it share a record with a count."));
}

void add_shares(std::vector<Key>& t) {
  const auto share = [&t](std::string name, auto at, std::uint64_t most, std::string description) {
    t.push_back(number(std::move(name), at, {0, most}, std::move(description)));
  };
  share(
      "engine.active_runs_per_tenant",
      [](D& d) -> auto& { return d.config.engine.active_runs_per_tenant; }, 100'000,
      "Runs at a time of one tenant. 0: all places but an eighth.");
  share(
      "engine.active_runs_per_owner",
      [](D& d) -> auto& { return d.config.engine.active_runs_per_owner; }, 100'000,
      "Runs at a time of one person. 0: all places but a quarter.");
  share(
      "engine.queued_runs_per_tenant",
      [](D& d) -> auto& { return d.config.engine.queued_runs_per_tenant; }, 1'000'000,
      "Queued runs of one tenant. 0: all places but an eighth.");
  share(
      "engine.queued_runs_per_owner",
      [](D& d) -> auto& { return d.config.engine.queued_runs_per_owner; }, 1'000'000,
      "Queued runs of one person. 0: all places but a quarter.");
  share(
      "engine.active_steps_per_tenant",
      [](D& d) -> auto& { return d.config.engine.active_steps_per_tenant; }, 100'000,
      "Processes at a time of one tenant. 0: all places but an eighth.");
  share(
      "engine.active_steps_per_owner",
      [](D& d) -> auto& { return d.config.engine.active_steps_per_owner; }, 100'000,
      "Processes at a time of one person. 0: all places but a quarter.");
  t.push_back(number(
      "engine.open_approvals", [](D& d) -> auto& { return d.config.engine.open_approvals; },
      {1, 1'000'000}, "Approvals that runs wait for at a time."));
  share(
      "engine.open_approvals_per_tenant",
      [](D& d) -> auto& { return d.config.engine.open_approvals_per_tenant; }, 1'000'000,
      "Open approvals of one tenant's runs. 0: all places but an eighth.");
  share(
      "engine.open_approvals_per_owner",
      [](D& d) -> auto& { return d.config.engine.open_approvals_per_owner; }, 1'000'000,
      "Open approvals of one person's runs. 0: all places but a quarter.");
}

void add_engine(std::vector<Key>& t) {
  t.push_back(text(
      "engine.work_directory", [](D& d) -> auto& { return d.config.engine.work_directory; },
      "a directory", "Private directories of runs. Empty: data_dir/work."));
  t.push_back(number(
      "engine.active_runs", [](D& d) -> auto& { return d.config.engine.active_runs; }, {1, 100'000},
      "Runs at a time; further ones are queued."));
  t.push_back(number(
      "engine.queued_runs", [](D& d) -> auto& { return d.config.engine.queued_runs; },
      {1, 1'000'000}, "Queued runs; beyond, calls are refused."));
  t.push_back(number(
      "engine.active_steps", [](D& d) -> auto& { return d.config.engine.active_steps; },
      {1, 100'000}, "Processes at a time."));
  add_shares(t);
  t.push_back(bytes(
      "engine.output_bytes", [](D& d) -> auto& { return d.config.engine.output_bytes; }, {0, kGiB},
      "Output kept per step and stream; the rest is counted and dropped."));
  t.push_back(bytes(
      "engine.captured_bytes", [](D& d) -> auto& { return d.config.engine.captured_bytes; },
      {0, 64 * kMiB}, "Largest value of an `output:` variable."));
  t.push_back(duration(
      "engine.kill_grace", [](D& d) -> auto& { return d.config.engine.kill_grace; }, {0, kHour},
      "From SIGTERM to SIGKILL."));
  t.push_back(duration(
      "engine.drain_pipes", [](D& d) -> auto& { return d.config.engine.drain_pipes; }, {0, kMinute},
      "Wait after a step's exit for output that grandchildren still hold."));
  t.push_back(duration(
      "engine.step_timeout_max", [](D& d) -> auto& { return d.config.engine.step_timeout_max; },
      {kSecond, 366 * kDay}, "Longest life of a step."));
  t.push_back(number(
      "engine.step_open_files",
      [](D& d) -> auto& { return d.config.engine.step_limits.open_files; }, {0, 1'048'576},
      "Open files of one process of a step. 0: as the server's own limit."));
  t.push_back(bytes(
      "engine.step_file_bytes",
      [](D& d) -> auto& { return d.config.engine.step_limits.file_bytes; }, {0, 1'024 * kGiB},
      "Largest file that a process of a step can write. 0: as the server's own limit."));
  t.push_back(number(
      "engine.step_processes", [](D& d) -> auto& { return d.config.engine.step_limits.processes; },
      {0, 4'194'304},
      "Processes of the server's user, the server's threads included, beyond which a step can "
      "start "
      "none. 0: as the server's own limit."));
}

void add_workflow(std::vector<Key>& t) {
  t.push_back(flagged(
      "--workflows",
      text(
          "workflow.directory", [](D& d) -> auto& { return d.config.workflows_dir; }, "a directory",
          "Definitions imported at the start when the store has none of that name.")));
  t.push_back(text(
      "workflow.tenant", [](D& d) -> auto& { return d.config.import_tenant; }, "a name",
      "Tenant that imported definitions belong to."));
  t.push_back(bytes(
      "workflow.limits.text_bytes", [](D& d) -> auto& { return d.config.workflow.text_bytes; },
      {kKiB, 64 * kMiB}, "Text of a definition."));
  t.push_back(number(
      "workflow.limits.steps", [](D& d) -> auto& { return d.config.workflow.steps; },
      {1, workflow::kMostSteps}, "Steps of a definition."));
  t.push_back(number(
      "workflow.limits.params", [](D& d) -> auto& { return d.config.workflow.params; },
      {0, workflow::kMostParams}, "Parameters of a definition."));
  t.push_back(number(
      "workflow.limits.env", [](D& d) -> auto& { return d.config.workflow.env; },
      {0, workflow::kMostEnv}, "Variables of a definition or step."));
  t.push_back(bytes(
      "workflow.limits.value_bytes", [](D& d) -> auto& { return d.config.workflow.value_bytes; },
      {kKiB, 128 * kKiB}, "One parameter or variable."));
}

}  // namespace

void add_work(std::vector<Key>& t) {
  add_audit(t);
  add_engine(t);
  add_workflow(t);
}

}  // namespace kubiya::app::rows
