// SPDX-License-Identifier: Apache-2.0
//
// Runs as tasks of MCP: a task's id is its run's, so a task outlives a restart as its run does.
#include "base/encoding.h"
#include "tools/families.h"
#include "tools/view.h"

namespace kubiya::tools {
namespace {

TaskStatus task_status(const store::RunRow& run) {
  const auto status = workflow::run_status(run.status);
  if (!status || !workflow::is_final(*status)) return TaskStatus::working;
  // A run that failed is a call that was answered with a failure; `failed` is for calls that have
  // no answer.
  return *status == workflow::RunStatus::canceled ? TaskStatus::cancelled : TaskStatus::completed;
}

class RunTasks final : public Tasks {
 public:
  explicit RunTasks(const Services& services) : services_(services) {}

  const policy::Operation& get_operation() const override { return get_; }
  const policy::Operation& update_operation() const override { return update_; }
  const policy::Operation& cancel_operation() const override { return cancel_; }

  Result<TaskState> get(const PrincipalPtr& principal, const std::string& id) override {
    const auto run = TRY(own(principal, id));
    TaskState task;
    task.id = run.id;
    task.status = task_status(run);
    task.created_ms = run.created_ms;
    task.updated_ms = std::max({run.created_ms, run.started_ms, run.finished_ms});
    task.message = "Workflow " + run.workflow + ": " + run.status;
    if (task.status == TaskStatus::completed) {
      task.result = TRY(execution_answer(services_, {run.id, false}));
    }
    return task;
  }

  Result<> update(const policy::Permit& permit, const audit::DurableTicket&, const std::string& id,
                  const json::object&) override {
    TRY_VOID(own(permit.principal(), id));
    return {};
  }

  Result<> cancel(const policy::Permit& permit, const audit::DurableTicket& ticket,
                  const std::string& id) override {
    const auto run = TRY(own(permit.principal(), id));
    const auto asked = services_.backend.cancel(permit, ticket, run.id, "canceled by its owner");
    if (!asked && asked.error().code != Code::not_found) return fail(asked.error());
    return {};
  }

  Result<std::unique_ptr<Watch>> watch(const PrincipalPtr& principal, const std::string& id,
                                       std::function<void()> changed) override {
    const auto run = TRY(own(principal, id));
    return watch_run(services_, run, false, std::move(changed));
  }

 private:
  // Nobody else's, an administrator included: a task belongs to the call that made it.
  Result<store::RunRow> own(const PrincipalPtr& principal, const std::string& id) {
    auto run = services_.runs.get_visible(id, principal->facts().tenant, principal->owner());
    if (!run && run.error().code == Code::not_found) {
      return fail(Code::not_found, "There is no such task", "task " + printable(id));
    }
    return run;
  }

  const Services services_;
  const policy::Operation get_{"get_execution", {"read"}, policy::Effect::reads, false};
  const policy::Operation update_{"answer_execution", {"execute"}, policy::Effect::mutates, false};
  const policy::Operation cancel_{"cancel_execution", {"execute"}, policy::Effect::mutates, false};
};

}  // namespace

void add_run_tasks(Catalogue& catalogue, const Services& services) {
  catalogue.set_tasks(std::make_unique<RunTasks>(services));
}

}  // namespace kubiya::tools
