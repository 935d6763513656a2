// SPDX-License-Identifier: Apache-2.0
//
// Runs as tasks of MCP: a task's id is its run's, so a task outlives a restart as its run does.
#include <algorithm>
#include <deque>
#include <mutex>
#include <unordered_set>

#include "base/encoding.h"
#include "tools/families.h"
#include "tools/questions.h"
#include "tools/view.h"
#include "workflow/approval.h"

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
    if (task.status == TaskStatus::working) TRY_VOID(show_what_it_waits_for(principal, run, task));
    if (task.status == TaskStatus::completed) {
      task.result = TRY(execution_answer(services_, {run.id, false}));
    }
    return task;
  }

  void update(const policy::Permit& permit, const audit::DurableTicket& ticket,
              const std::string& id, const json::object& answers,
              std::function<void(Result<>)> done) override {
    const auto run = own(permit.principal(), id);
    if (!run) return done(fail(run.error()));
    const auto open = open_to(services_, permit.principal(), run->id);
    if (!open) return done(fail(open.error()));
    auto said = said_to(*open, answers);
    if (!said) return done(fail(said.error()));
    for (const std::string& approval : said->declined) decline(permit.principal(), approval);
    cast(services_, permit.principal(), ticket, std::move(said->votes), done);
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
  // Declined questions that are remembered; the oldest is asked again when there are more.
  static constexpr std::size_t kDeclinedMax = 10'000;

  // What the caller can decide makes it input_required; what others must, it says.
  Result<> show_what_it_waits_for(const PrincipalPtr& principal, const store::RunRow& run,
                                  TaskState& task) {
    auto approvals = TRY(services_.approvals.of_run(run.id));
    for (const store::ApprovalRow& one : approvals) {
      task.updated_ms = std::max({task.updated_ms, one.created_ms, one.decided_ms});
      if (one.status != to_string(workflow::ApprovalStatus::open)) continue;
      task.message = "Workflow " + run.workflow + " waits for an approval: " + one.message;
    }
    for (const store::ApprovalRow& one : TRY(open_to(services_, principal, std::move(approvals)))) {
      if (has_declined(principal, one.id)) continue;
      task.asks.push_back(question_of(one));
      task.status = TaskStatus::input_required;
    }
    return {};
  }

  static std::string declined_key(const PrincipalPtr& who, const std::string& approval) {
    return approval + "\n" + who->owner();
  }
  void decline(const PrincipalPtr& who, const std::string& approval) {
    const std::lock_guard lock(mutex_);
    if (declined_.insert(declined_key(who, approval)).second) {
      order_.push_back(declined_key(who, approval));
    }
    if (order_.size() <= kDeclinedMax) return;
    declined_.erase(order_.front());
    order_.pop_front();
  }
  bool has_declined(const PrincipalPtr& who, const std::string& approval) {
    const std::lock_guard lock(mutex_);
    return declined_.contains(declined_key(who, approval));
  }

  // Nobody else's, an administrator included: a task belongs to the call that made it.
  Result<store::RunRow> own(const PrincipalPtr& principal, const std::string& id) {
    auto run = services_.runs.get_visible(id, principal->facts().tenant, principal->owner());
    if (!run && run.error().code == Code::not_found) {
      return fail(Code::not_found, "There is no such task", "task " + printable(id));
    }
    return run;
  }

  const Services services_;
  std::mutex mutex_;  // guards the next two
  std::unordered_set<std::string> declined_;
  std::deque<std::string> order_;
  const policy::Operation get_{"get_execution", {"read"}, policy::Effect::reads, false};
  const policy::Operation update_{"answer_execution", {"execute"}, policy::Effect::mutates, false};
  const policy::Operation cancel_{"cancel_execution", {"execute"}, policy::Effect::mutates, false};
};

}  // namespace

void add_run_tasks(Catalogue& catalogue, const Services& services) {
  catalogue.set_tasks(std::make_unique<RunTasks>(services));
}

}  // namespace kubiya::tools
