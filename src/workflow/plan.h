// SPDX-License-Identifier: Apache-2.0
//
// Which step next. Pure bookkeeping: events go in, launches come out; no clock,
// no process. The rules are Dagu v1.17's, with an honest final status.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "workflow/definition.h"

namespace kubiya::workflow {

// `waiting` is for an approval; to the plan such a step is running.
enum class StepStatus {
  not_started,
  running,
  finished,
  failed,
  canceled,
  skipped,
  interrupted,
  waiting,
  rejected,
  expired
};
// `rejected` and `expired`: an approval was, and nothing further was started.
enum class RunStatus {
  queued,
  running,
  finished,
  failed,
  canceled,
  partial_success,
  interrupted,
  rejected,
  expired
};
std::string_view to_string(StepStatus status);
std::string_view to_string(RunStatus status);
std::optional<StepStatus> step_status(std::string_view text);
std::optional<RunStatus> run_status(std::string_view text);
bool is_final(RunStatus status);

// What became of one attempt.
struct AttemptResult {
  enum class Kind {
    exited,     // exit_code says how
    signaled,   // killed by a signal; exit_code is 128 + signal
    timed_out,  // the step's own timeout
    spawn_failed,
    output_limit,  // captured output over the limit
    skipped,       // preconditions not met; nothing ran
    canceled,      // killed because the run was canceled
    rejected,      // an approval: somebody said no
    expired,       // an approval: too few said yes in time
  };
  Kind kind = Kind::exited;
  int exit_code = 0;
  std::string_view stdout_text;  // for continueOn.outputs
  std::string_view said = {};    // rejected, expired: by whom and why, for the run's reason
};

// Steps are numbered as in the definition; handlers follow: success, failure, cancel, exit
// (only those that exist).
class Plan {
 public:
  explicit Plan(const Definition& definition);  // must outlive the plan

  struct Launch {
    std::size_t step;
    int attempt;  // 1, 2, …
  };
  // What may start now, at most max_active_steps at a time; marks it running.
  std::vector<Launch> next();
  // The attempt ended. A value means: try again after that wait, then call retry_due().
  std::optional<std::chrono::milliseconds> ended(std::size_t step, const AttemptResult& result);
  void retry_due(std::size_t step);
  // No further main step starts; waiting retries end as canceled. Running ones are the caller's
  // to stop; their ended() still comes. The second time, and once handlers run, the same holds
  // for handlers. `reason` is said of the run when this is what ended it.
  void cancel(std::string reason);
  // The workflow's own timeout: like a first cancel, but the run ends as failed.
  void time_out();
  // Their time is over: no handler starts any more.
  void cancel_handlers();
  // The run's preconditions were not met: nothing starts, the run is canceled.
  void preconditions_unmet();

  bool stopping() const { return stop_ != Stop::none; }
  // An approval ended the run: what runs already may end by itself.
  bool refused() const { return stop_ == Stop::refused; }
  bool complete() const;       // nothing running, nothing left to start, handlers included
  RunStatus status() const;    // running until complete
  std::string reason() const;  // one sentence for people, empty when finished
  const Step& step(std::size_t index) const;
  std::size_t size() const;
  bool is_handler(std::size_t index) const;
  // False once the step was stopped: what is left of it must end.
  bool may_run(std::size_t index) const;
  StepStatus step_status(std::size_t index) const;
  // Steps whose status changed without running (skipped, canceled by an upstream failure)
  // since the last call.
  std::vector<std::size_t> settled();
  // True when `step` may see the output variable of `of` (a direct or indirect dependency, or a
  // handler).
  bool sees(std::size_t step, std::size_t of) const;

 private:
  struct Node;
  const Definition& definition_;
  std::vector<Node> nodes_;
  std::size_t main_ = 0;                               // the first `main_` nodes are no handlers
  std::array<std::optional<std::size_t>, 4> handler_;  // success, failure, cancel, exit
  std::set<std::size_t> ready_;                        // started in the definition's order
  std::vector<std::size_t> settled_;
  std::size_t unsettled_ = 0;  // main steps without an outcome
  std::size_t running_ = 0;
  enum class Phase { main, outcome_handler, exit_handler, done } phase_ = Phase::main;
  enum class Stop { none, canceled, timed_out, unmet, refused } stop_ = Stop::none;
  RunStatus outcome_ = RunStatus::running;  // of the main steps
  std::string cancel_reason_;
  bool cancel_asked_ = false;
  bool handlers_stopped_ = false;

  void link();
  void link_ancestors();
  void stop_main();
  void fail_step(std::size_t step, const AttemptResult& result);
  void refuse(std::size_t step, const AttemptResult& result);
  void settle(std::size_t step, StepStatus status);
  void settle_canceled(std::size_t handler);
  std::optional<StepStatus> judge(const Node& node) const;
  void advance();
  bool start(std::optional<std::size_t> handler);
  bool is_settled(std::optional<std::size_t> handler) const;
  std::optional<std::size_t> outcome_handler() const;
  std::optional<std::size_t> handler_that(StepStatus status) const;
  std::optional<std::size_t> refused_step() const;
  bool is_canceled() const;
  RunStatus main_status() const;

 public:
  ~Plan();
  Plan(const Plan&) = delete;
  Plan& operator=(const Plan&) = delete;
};

}  // namespace kubiya::workflow
