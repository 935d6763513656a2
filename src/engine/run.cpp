// SPDX-License-Identifier: Apache-2.0
#include "engine/run.h"

#include <sys/stat.h>

#include <cerrno>
#include <cstring>

#include "base/log.h"
#include "engine/run_row.h"
#include "engine/step_state.h"

namespace kubiya::engine {
namespace {

using workflow::RunStatus;
using workflow::StepStatus;

bool is_final_step(StepStatus status) {
  return status != StepStatus::not_started && status != StepStatus::running;
}

}  // namespace

Run::Run(RunHost& host, StartRun request, RunFacts facts, store::RunRow row)
    : host_(host),
      loop_(host.loop),
      request_(std::move(request)),
      facts_(std::move(facts)),
      row_(std::move(row)),
      plan_(request_.definition),
      secrets_(secrets_of(request_, facts_)) {
  for (std::size_t i = 0; i < plan_.size(); ++i) {
    store::StepRow step;
    step.run_id = row_.id;
    step.position = static_cast<int>(i);
    step.name = plan_.step(i).name;
    step.status = to_string(StepStatus::not_started);
    steps_.push_back(std::make_unique<StepState>(std::move(step), host_.options.output_bytes));
  }
}

Run::~Run() {
  loop_->cancel(deadline_);
  loop_->cancel(handler_deadline_);
  for (const auto& step : steps_) {
    loop_->cancel(step->retry_timer);
    if (step->attempt) loop_->cancel(step->attempt->flush_timer);
    if (step->waiting) loop_->cancel(step->waiting->expiry);
  }
}

std::vector<store::StepRow> Run::step_rows() const {
  std::vector<store::StepRow> rows;
  rows.reserve(steps_.size());
  for (const auto& step : steps_) rows.push_back(step->row);
  return rows;
}

store::Database::Done Run::on_loop(std::function<void(Run&, Result<>)> then) {
  return [loop = loop_, weak = weak_from_this(), then = std::move(then)](Result<> result) {
    loop->post([weak, then, result = std::move(result)] {
      if (const auto run = weak.lock()) then(*run, result);
    });
  };
}

void Run::save_step(std::size_t step, std::function<void(Run&, Result<>)> then) {
  host_.store.set_step(steps_[step]->row, on_loop(std::move(then)));
}

void Run::publish(RunEvent::Kind kind, std::string step, std::string status, std::string text) {
  RunEvent event{kind, row_.id, std::move(step), std::move(status), std::move(text), 0, 0};
  for (std::size_t i = 0; i < plan_.size(); ++i) {
    if (plan_.is_handler(i)) continue;
    ++event.steps_total;
    if (is_final_step(plan_.step_status(i))) ++event.steps_done;
  }
  host_.publish(event);
}

void Run::begin() {
  preparing_ = true;
  row_.status = to_string(RunStatus::running);
  row_.started_ms = now_ms();
  host_.store.set_run(row_.id, row_.status, "", row_.started_ms, 0, "",
                      on_loop([](Run& run, const Result<>& saved) {
                        if (!saved) run.storage_failed(saved.error());
                        run.prepare();
                      }));
}

void Run::prepare() {
  if (!storage_failed_) publish(RunEvent::Kind::run_started, "", row_.status, "");
  if (::mkdir(facts_.directory.c_str(), 0700) != 0) {
    return fail_early(std::string("The run's directory cannot be made: ") + std::strerror(errno));
  }
  if (const auto timeout = request_.definition.timeout; timeout.count() > 0) {
    deadline_ = loop_->after(timeout, [this] {
      plan_.time_out();
      limit_handlers();
      stop_steps();
      advance();
    });
  }
  if (plan_.stopping()) {
    preparing_ = false;
    return advance();
  }
  check_preconditions();
}

void Run::check_preconditions() {
  static const workflow::Step kNoStep;
  const auto judged = [this](const Verdict& verdict) {
    condition_.reset();
    preparing_ = false;
    if (!verdict.fault.empty()) return fail_early(verdict.fault);
    if (!verdict.met) plan_.preconditions_unmet();
    advance();
  };
  auto variables = Variables::make(facts_, request_.definition, kNoStep, request_.params, {});
  if (!variables) return judged({false, variables.error().message});
  check(request_.definition.preconditions, 0, {},
        std::make_shared<const Variables>(std::move(*variables)), condition_, judged);
}

// Before any step began.
void Run::fail_early(const std::string& reason) {
  plan_.cancel("the run could not start");
  finish_as(RunStatus::failed, reason);
}

// Rows of steps that ended without running.
void Run::settle() {
  for (const std::size_t step : plan_.settled()) record_settled(step);
}

void Run::record_settled(std::size_t step) {
  store::StepRow& row = steps_[step]->row;
  const auto status = plan_.step_status(step);
  if (steps_[step]->attempt || !is_final_step(status) || row.status == to_string(status)) return;
  if (row.status == to_string(StepStatus::running)) row.reason = "canceled before its next attempt";
  row.status = to_string(status);
  row.finished_ms = now_ms();
  loop_->cancel(steps_[step]->retry_timer);
  save_step(step, [step](Run& run, const Result<>& saved) {
    if (!saved) return run.storage_failed(saved.error());
    const store::StepRow& done = run.steps_[step]->row;
    run.publish(RunEvent::Kind::step_finished, done.name, done.status, done.reason);
  });
}

void Run::advance() {
  if (preparing_ || finishing_) return;
  settle();
  for (const auto& launch : plan_.next()) {
    waiting_.insert(launch.step);
    host_.want_place(*this, launch.step, launch.attempt);
  }
  settle();
  if (plan_.complete()) return finish();
  host_.set_idle(*this, only_waits());
}

bool Run::start(std::size_t step, int attempt) {
  if (waiting_.erase(step) == 0) return false;
  StepState& state = *steps_[step];
  state.has_place = true;
  state.attempt = std::make_unique<Attempt>(attempt, secrets_);
  state.row.status = to_string(StepStatus::running);
  state.row.attempt = attempt;
  state.row.exit_code.reset();
  state.row.reason.clear();
  if (attempt == 1) state.row.started_ms = now_ms();
  save_step(step, [step](Run& run, const Result<>& saved) {
    if (!saved) run.storage_failed(saved.error());
    run.intent_durable(step);
  });
  return true;
}

void Run::stop_steps() {
  if (condition_) condition_->stop(StopReason::canceled);
  for (std::size_t i = 0; i < steps_.size(); ++i) {
    if (plan_.may_run(i)) continue;
    if (steps_[i]->attempt && steps_[i]->attempt->execution) {
      steps_[i]->attempt->execution->stop(StopReason::canceled);
    }
  }
  drop_waiting();
}

// Steps that run nothing now: between two attempts, before an approval, without a place.
void Run::drop_waiting() {
  for (std::size_t i = 0; i < steps_.size(); ++i) {
    if (plan_.may_run(i)) continue;
    loop_->cancel(steps_[i]->retry_timer);
    if (steps_[i]->waiting) withdraw(i);
  }
  const auto waiting = waiting_;
  for (const std::size_t step : waiting) {
    if (plan_.may_run(step) || waiting_.erase(step) == 0) continue;
    conclude(step, {workflow::AttemptResult::Kind::canceled, 0, {}}, "canceled");
  }
}

void Run::cancel(const std::string& reason) {
  if (finishing_) return;
  plan_.cancel(reason);
  limit_handlers();
  stop_steps();
  advance();
}

// What cleans up after a run that was stopped must itself come to an end.
void Run::limit_handlers() {
  if (handler_deadline_ != 0) return;
  const auto patience = host_.options.kill_grace + host_.options.handler_time;
  handler_deadline_ = loop_->after(patience, [this] {
    plan_.cancel_handlers();
    stop_steps();
    advance();
  });
}

void Run::abandon(const std::string& reason) {
  plan_.cancel(reason);
  finish_as(RunStatus::canceled, reason);
}

// Nothing more is started: what cannot be recorded must not happen.
void Run::storage_failed(const Error& error) {
  if (storage_failed_) return;
  storage_failed_ = true;
  plan_.cancel_handlers();
  log::error("a run's state could not be stored", {{"run", row_.id}, {"detail", error.detail}});
  cancel("The run's state could not be stored.");
}

void Run::finish() { finish_as(plan_.status(), plan_.reason()); }

void Run::finish_as(RunStatus status, std::string reason) {
  if (finishing_) return;
  finishing_ = true;
  loop_->cancel(deadline_);
  loop_->cancel(handler_deadline_);
  for (std::size_t i = 0; i < steps_.size(); ++i) record_settled(i);
  row_.status = to_string(status);
  row_.reason = Scrubber(secrets_).whole(reason);
  row_.finished_ms = now_ms();
  row_.outputs = outputs_json();
  host_.worker.add([directory = facts_.directory] { remove_directory(directory); });
  save_end();
}

void Run::save_end() {
  host_.store.set_run(row_.id, row_.status, row_.reason, row_.started_ms, row_.finished_ms,
                      row_.outputs, on_loop([](Run& run, const Result<>& saved) {
                        if (saved) return run.told_final(run.row_.status, run.row_.reason);
                        if (saved.error().code == Code::busy) return run.save_end();
                        // The next start finds it unfinished and calls it so, too.
                        run.told_final(std::string(to_string(RunStatus::interrupted)),
                                       "The run's end could not be stored.");
                      }));
}

void Run::told_final(const std::string& status, const std::string& reason) {
  host_.journal.run_finished({row_.id, row_.workflow, row_.tenant, row_.issuer, row_.subject,
                              row_.key_fingerprint, row_.request_id, status, reason, row_.digest},
                             [store = host_.store, id = row_.id](const Result<>& recorded) mutable {
                               if (recorded) store.set_audited(id);
                             });
  const auto self = shared_from_this();
  // Whoever is told finds the run no longer active.
  host_.finished(*this);
  publish(RunEvent::Kind::run_finished, "", status, reason);
}

std::string Run::outputs_json() const {
  json::object outputs;
  const Scrubber scrubber(secrets_);
  for (std::size_t i = 0; i < steps_.size(); ++i) {
    if (steps_[i]->value) outputs[plan_.step(i).output] = scrubber.whole(*steps_[i]->value);
  }
  return to_json(outputs);
}

}  // namespace kubiya::engine
