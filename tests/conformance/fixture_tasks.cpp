// SPDX-License-Identifier: Apache-2.0
//
// Tools that answer with a task when the client knows tasks.
#include <map>
#include <mutex>

#include <fmt/format.h>

#include "base/ids.h"
#include "fixtures.h"

namespace kubiya::conformance {
namespace {

using std::chrono::milliseconds;
using tools::Done;
using tools::TaskState;
using tools::TaskStatus;
using tools::ToolResult;

// Tasks in memory, by owner.
class MemoryTasks final : public tools::Tasks {
 public:
  explicit MemoryTasks(const Clock& clock) : clock_(clock) {}

  const policy::Operation& get_operation() const override { return get_; }
  const policy::Operation& update_operation() const override { return update_; }
  const policy::Operation& cancel_operation() const override { return cancel_; }

  Result<TaskState> get(const PrincipalPtr& principal, const std::string& id) override {
    const std::lock_guard lock(mutex_);
    const Kept* kept = find(principal, id);
    if (kept == nullptr) return unknown();
    return kept->state;
  }

  void update(const policy::Permit& permit, const audit::DurableTicket&, const std::string& id,
              const json::object& answers, std::function<void(Result<>)> done) override {
    std::function<void(const json::object&)> resume;
    json::object all;
    {
      const std::lock_guard lock(mutex_);
      Kept* kept = find(permit.principal(), id);
      if (kept == nullptr) return done(unknown());
      std::erase_if(kept->state.asks, [&](const auto& ask) {
        const json::value* answer = kubiya::find(answers, ask.key);
        if (answer != nullptr) kept->answers[ask.key] = *answer;
        return answer != nullptr;
      });
      if (kept->state.status != TaskStatus::input_required || !kept->state.asks.empty())
        return done({});
      kept->state.status = TaskStatus::working;
      resume = std::move(kept->resume);
      all = kept->answers;
    }
    if (resume) resume(all);
    done({});
  }

  Result<> cancel(const policy::Permit& permit, const audit::DurableTicket&,
                  const std::string& id) override {
    const std::lock_guard lock(mutex_);
    Kept* kept = find(permit.principal(), id);
    if (kept == nullptr) return unknown();
    if (!is_over(kept->state.status)) settle(*kept, TaskStatus::cancelled);
    return {};
  }

  Result<std::unique_ptr<tools::Watch>> watch(const PrincipalPtr& principal, const std::string& id,
                                              std::function<void()>) override {
    const std::lock_guard lock(mutex_);
    if (find(principal, id) == nullptr) return unknown();
    return std::unique_ptr<tools::Watch>();
  }

  std::string add(const PrincipalPtr& principal) {
    const std::lock_guard lock(mutex_);
    const std::string id = random_id();
    Kept& kept = tasks_[id];
    kept.owner = principal->owner();
    kept.state.id = id;
    kept.state.created_ms = kept.state.updated_ms = unix_ms(clock_.wall());
    kept.state.ttl_ms = 3'600'000;
    kept.state.poll_ms = 100;
    return id;
  }

  void ask(const std::string& id, std::vector<tools::InputRequest> asks,
           std::function<void(const json::object&)> resume) {
    const std::lock_guard lock(mutex_);
    Kept& kept = tasks_.at(id);
    if (is_over(kept.state.status)) return;
    kept.state.asks = std::move(asks);
    kept.resume = std::move(resume);
    settle(kept, TaskStatus::input_required);
  }

  void complete(const std::string& id, ToolResult result) {
    const std::lock_guard lock(mutex_);
    Kept& kept = tasks_.at(id);
    if (is_over(kept.state.status)) return;
    kept.state.result = std::move(result);
    settle(kept, TaskStatus::completed);
  }

  void fail_with(const std::string& id, Error error) {
    const std::lock_guard lock(mutex_);
    Kept& kept = tasks_.at(id);
    if (is_over(kept.state.status)) return;
    kept.state.message = error.message;
    kept.state.error = std::move(error);
    settle(kept, TaskStatus::failed);
  }

 private:
  struct Kept {
    std::string owner;
    TaskState state;
    json::object answers;
    std::function<void(const json::object&)> resume;
  };

  static tl::unexpected<Error> unknown() { return fail(Code::not_found, "There is no such task"); }
  static bool is_over(TaskStatus status) {
    return status != TaskStatus::working && status != TaskStatus::input_required;
  }
  Kept* find(const PrincipalPtr& principal, const std::string& id) {
    const auto at = tasks_.find(id);
    return at != tasks_.end() && at->second.owner == principal->owner() ? &at->second : nullptr;
  }
  void settle(Kept& kept, TaskStatus status) {
    kept.state.status = status;
    kept.state.updated_ms = unix_ms(clock_.wall());
  }

  const policy::Operation get_{"get_task", {}, policy::Effect::reads, false};
  const policy::Operation update_{"update_task", {}, policy::Effect::mutates, false};
  const policy::Operation cancel_{"cancel_task", {}, policy::Effect::mutates, false};
  const Clock& clock_;
  std::mutex mutex_;
  std::map<std::string, Kept> tasks_;
};

ToolResult failed_result(std::string text) {
  ToolResult result = text_result(std::move(text));
  result.failed = true;
  return result;
}

void compute(const Bench& bench, MemoryTasks* tasks, const CallPtr& call, const Done& done) {
  const auto seconds = find_int(call->arguments, "seconds").value_or(1);
  const std::string label(find_string(call->arguments, "label").value_or("computation"));
  const auto result = [label] { return text_result("Computed: " + label); };
  if (!call->client.tasks) {
    return after(bench, std::chrono::seconds(seconds), [done, result] { done(result()); });
  }
  const std::string id = tasks->add(call->permit.principal());
  after(bench, std::chrono::seconds(seconds),
        [tasks, id, result] { tasks->complete(id, result()); });
  done(ToolResult::goes_on_as(id));
}

Fixture task_fixture(std::string name, std::string description, std::string properties = {}) {
  Fixture fixture{std::move(name), std::move(description)};
  fixture.input_schema = fmt::format(R"({{"type":"object","properties":{{{}}}}})", properties);
  fixture.needs_tasks = true;
  return fixture;
}

Result<> add_computing(const Bench& bench, MemoryTasks* tasks) {
  Fixture greet{"greet", "Greets at once."};
  greet.input_schema =
      R"({"type":"object","properties":{"name":{"type":"string"}},"required":["name"]})";
  TRY_VOID(add_tool(bench, std::move(greet), [](const CallPtr& call, const Done& done) {
    done(text_result(fmt::format("Hello, {}!", *find_string(call->arguments, "name"))));
  }));
  Fixture slow = task_fixture("slow_compute", "Computes for some seconds.",
                              R"("seconds":{"type":"integer"},"label":{"type":"string"})");
  slow.needs_tasks = false;
  TRY_VOID(add_tool(bench, std::move(slow), [bench, tasks](const CallPtr& call, const Done& done) {
    compute(bench, tasks, call, done);
  }));
  TRY_VOID(add_tool(bench, task_fixture("failing_job", "Fails after a second."),
                    [bench, tasks](const CallPtr& call, const Done& done) {
                      const std::string id = tasks->add(call->permit.principal());
                      after(bench, milliseconds(1'000), [tasks, id] {
                        tasks->complete(id, failed_result("The job has failed."));
                      });
                      done(ToolResult::goes_on_as(id));
                    }));
  return add_tool(bench, task_fixture("protocol_error_job", "Breaks down."),
                  [bench, tasks](const CallPtr& call, const Done& done) {
                    const std::string id = tasks->add(call->permit.principal());
                    after(bench, milliseconds(100), [tasks, id] {
                      tasks->fail_with(id, {Code::internal, "The job broke down.", {}});
                    });
                    done(ToolResult::goes_on_as(id));
                  });
}

Result<> add_asking(const Bench& bench, MemoryTasks* tasks) {
  TRY_VOID(add_tool(
      bench,
      task_fixture("confirm_delete", "Asks before it deletes.", R"("filename":{"type":"string"})"),
      [tasks](const CallPtr& call, const Done& done) {
        const std::string id = tasks->add(call->permit.principal());
        const std::string file(find_string(call->arguments, "filename").value_or("file"));
        tasks->ask(id,
                   {form("confirm", fmt::format("Delete {}?", file),
                         R"("confirm":{"type":"boolean"})", R"("confirm")")},
                   [tasks, id, file](const json::object&) {
                     tasks->complete(id, text_result("Deleted " + file));
                   });
        done(ToolResult::goes_on_as(id));
      }));
  TRY_VOID(add_tool(bench, task_fixture("multi_input", "Asks two things at once."),
                    [tasks](const CallPtr& call, const Done& done) {
                      const std::string id = tasks->add(call->permit.principal());
                      tasks->ask(
                          id,
                          {form("first", "First name?", R"("name":{"type":"string"})", ""),
                           form("second", "Second name?", R"("name":{"type":"string"})", "")},
                          [tasks, id](const json::object&) {
                            tasks->complete(id, text_result("Both were answered."));
                          });
                      done(ToolResult::goes_on_as(id));
                    }));
  return add_tool(
      bench, task_fixture("test_tool_with_task", "Asks first and goes on as a task."),
      [bench, tasks](const CallPtr& call, const Done& done) {
        const json::object* content = accepted(*call, "user_name");
        if (content == nullptr) {
          return done(ToolResult::asking({form("user_name", "What is your name?",
                                               R"("name":{"type":"string"})", R"("name")")}));
        }
        const std::string name(find_string(*content, "name").value_or(""));
        const std::string id = tasks->add(call->permit.principal());
        after(bench, milliseconds(100),
              [tasks, id, name] { tasks->complete(id, text_result("Hello, " + name + "!")); });
        done(ToolResult::goes_on_as(id));
      });
}

}  // namespace

Result<> add_tasks(const Bench& bench) {
  auto tasks = std::make_unique<MemoryTasks>(bench.clock);
  MemoryTasks* const kept = tasks.get();
  bench.catalogue.set_tasks(std::move(tasks));
  TRY_VOID(add_computing(bench, kept));
  return add_asking(bench, kept);
}

}  // namespace kubiya::conformance
