// SPDX-License-Identifier: Apache-2.0
//
// One run from its first step to its end. The plan says what comes next; here it is
// made durable, started, watched and concluded. Loop thread only.
//
// Order on disk: the store's writes are committed in the order they are handed in, so
// a step's intent, whose durability its process waits for, implies the ends of all
// steps it depends on.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "engine/backend.h"
#include "engine/embedded.h"
#include "engine/environment.h"
#include "engine/execution.h"
#include "engine/loop.h"
#include "engine/scrub.h"
#include "engine/sweeper.h"
#include "engine/worker.h"
#include "store/approvals.h"
#include "store/store.h"
#include "workflow/plan.h"

namespace kubiya::engine {

class Run;

// What a run asks of the engine. Lives as long as the loop runs.
class RunHost {
 public:
  RunHost(const EngineOptions& o, store::Database& db, audit::Journal& j, Launcher& l,
          const Clock& c)
      : options(o), store(db), approvals(db), journal(j), launcher(l), clock(c) {}
  virtual ~RunHost() = default;
  // Calls run.start(step, attempt) when one of the engine's places for steps is free.
  virtual void want_place(Run& run, std::size_t step, int attempt) = 0;
  virtual void free_place(Run& run) = 0;
  // False when too many approvals are open for one more of this run's owner.
  virtual bool take_approval(Run& run) = 0;
  virtual void give_back_approval(Run& run) = 0;
  // The run only waits for approvals now, or no longer.
  virtual void set_idle(Run& run, bool idle) = 0;
  virtual void publish(const RunEvent& event) = 0;
  // The run is final; its last event comes after this.
  virtual void finished(Run& run) = 0;

  const EngineOptions options;
  store::Runs store;
  store::Approvals approvals;
  audit::Journal& journal;
  Launcher& launcher;
  const Clock& clock;
  // Shared with callbacks of the store, which may come after the engine's end.
  const std::shared_ptr<Loop> loop = std::make_shared<Loop>();
  Worker worker;
  Sweeper sweeper{launcher};
};

// A vote, and by whom.
struct Decision {
  Vote vote;
  PrincipalPtr by;
  std::string request_id;
};

class Run : public std::enable_shared_from_this<Run> {
 public:
  Run(RunHost& host, StartRun request, RunFacts facts, store::RunRow row);
  ~Run();

  const store::RunRow& row() const { return row_; }
  std::vector<store::StepRow> step_rows() const;

  void begin();
  // False when the step no longer wants the place.
  bool start(std::size_t step, int attempt);
  // The first time steps are stopped and the handlers run; the second time, or when they run
  // already, these are stopped too.
  void cancel(const std::string& reason);
  // Instead of begin(), for a run that is still queued.
  void abandon(const std::string& reason);
  void decide(const Decision& decision, const Backend::Decided& done);

 private:
  struct Attempt;
  struct Waiting;
  struct StepState;
  // On preconditions. `fault`: one of them cannot be judged, and why.
  struct Verdict {
    bool met = true;
    std::string fault;
  };
  using Judged = std::function<void(const Verdict&)>;

  // run.cpp: the course of the run
  void prepare();
  void check_preconditions();
  void fail_early(const std::string& reason);
  void advance();
  void settle();
  void record_settled(std::size_t step);
  void stop_steps();
  void drop_waiting();
  void leave_place(std::size_t step);
  void limit_handlers();
  void finish();
  void finish_as(workflow::RunStatus status, std::string reason);
  void save_end();
  void told_final(const std::string& status, const std::string& reason);
  void storage_failed(const Error& error);
  std::string outputs_json() const;
  void publish(RunEvent::Kind kind, std::string step, std::string status, std::string text);
  std::int64_t now_ms() const { return unix_ms(host_.clock.wall()); }
  // Calls `then` on the loop, if the run still exists.
  store::Database::Done on_loop(std::function<void(Run&, Result<>)> then);
  void save_step(std::size_t step, std::function<void(Run&, Result<>)> then);

  // approvals.cpp: steps that wait for people
  void ask(std::size_t step);
  store::ApprovalRow approval_row(std::size_t step, std::string message) const;
  void asked(std::size_t step, const Result<>& saved);
  std::optional<std::size_t> waiting_step(const std::string& approval_id) const;
  Result<> check_vote(std::size_t step, const Decision& decision) const;
  void voted(std::size_t step, const Decision& decision, const std::string& status);
  void expire(std::size_t step);
  void withdraw(std::size_t step);
  void stop_waiting(std::size_t step);
  bool only_waits() const;
  void record_approval(std::string_view event, std::size_t step, json::object more) const;

  // step_tokens.cpp: tokens for downstream services
  void get_ready(std::size_t step);
  void want_token(std::size_t step);
  void told_token(std::size_t step, const Result<Secret>& token);
  Result<> take_token(std::size_t step, const Result<Secret>& token);
  void record_token(std::size_t step, const Result<Secret>& token) const;

  // attempt.cpp: one attempt of one step
  void intent_durable(std::size_t step);
  void launch(std::size_t step);
  void launch_child(std::size_t step, const LaunchRequest& request);
  void not_launched(std::size_t step, const std::string& why);
  void output(std::size_t step, Stream stream, std::string_view bytes);
  void capture(std::size_t step, std::string_view bytes);
  void flush(std::size_t step);
  // False when the value of the output variable is over its limit.
  bool keep_value(std::size_t step);
  void append(std::size_t step, const char* stream, std::string text);
  void append_dropped(std::size_t step, const char* stream, std::size_t bytes);
  void ended(std::size_t step, const Execution::End& end);
  void conclude(std::size_t step, const workflow::AttemptResult& result, std::string reason);
  // What every process of a step has in its environment.
  workflow::Pairs marks(const std::string& step) const;
  workflow::Pairs visible_outputs(std::size_t step) const;
  void check(const std::vector<workflow::Precondition>& conditions, std::size_t next,
             Verdict verdict, std::shared_ptr<const Variables> variables,
             std::unique_ptr<Execution>& place, Judged judged);
  Result<> look_at(const workflow::Precondition& condition, const Variables& variables,
                   Verdict& verdict, std::unique_ptr<Child>& child);

  RunHost& host_;
  const std::shared_ptr<Loop> loop_;
  const StartRun request_;
  const RunFacts facts_;
  store::RunRow row_;
  workflow::Plan plan_;
  std::vector<Secret> secrets_;  // to be kept out of what is stored
  std::size_t tokens_ = 0;       // asked for, for steps
  std::vector<std::unique_ptr<StepState>> steps_;
  std::size_t kept_bytes_ = 0;  // of output variables
  std::size_t open_approvals_ = 0;
  std::set<std::size_t> waiting_;         // for a place
  std::unique_ptr<Execution> condition_;  // of the run itself
  Loop::Id deadline_ = 0, handler_deadline_ = 0;
  bool preparing_ = false;
  bool storage_failed_ = false;
  bool finishing_ = false;
};

}  // namespace kubiya::engine
