// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <fmt/format.h>

#include "engine/run.h"
#include "engine/step_state.h"

namespace kubiya::engine {
namespace {

using Kind = workflow::AttemptResult::Kind;

constexpr std::size_t kOutputsBytes = 8 * 1024 * 1024;  // of all outputs of a run
constexpr std::size_t kRowBytes = 8 * 1024;             // enough for a log row before its time
constexpr std::chrono::milliseconds kFlushEvery{100};
constexpr std::chrono::seconds kConditionTimeout{60};

Result<> write_script(const std::string& path, std::string_view text) {
  const auto failed = [] {
    return fail(Code::unavailable, "The script cannot be written.", std::strerror(errno));
  };
  ::unlink(path.c_str());  // of an earlier attempt
  const Descriptor file(
      ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!file) return failed();
  while (!text.empty()) {
    const ssize_t put = ::write(file.get(), text.data(), text.size());
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) return failed();
    text.remove_prefix(static_cast<std::size_t>(put));
  }
  return {};
}

// As it can be in an environment.
std::string as_value(std::string_view output) {
  const auto begin = output.find_first_not_of(" \t\r\n");
  if (begin == output.npos) return {};
  std::string value(output.substr(begin, output.find_last_not_of(" \t\r\n") - begin + 1));
  std::erase(value, '\0');
  return value;
}

Kind kind_of(const Execution::End& end) {
  switch (end.stopped) {
    case StopReason::timed_out:
      return Kind::timed_out;
    case StopReason::canceled:
      return Kind::canceled;
    case StopReason::output_limit:
      return Kind::output_limit;
    case StopReason::none:
      break;
  }
  return end.exit.signaled ? Kind::signaled : Kind::exited;
}

std::string reason_of(Kind kind, const Child::Exit& exit, std::chrono::milliseconds timeout) {
  switch (kind) {
    case Kind::timed_out:
      return fmt::format("timed out after {} s", timeout.count() / 1000);
    case Kind::canceled:
      return "canceled";
    case Kind::output_limit:
      return "the captured output is over its limit";
    case Kind::signaled: {
      const char* name = ::sigabbrev_np(exit.code - 128);
      return fmt::format("killed by signal {} (SIG{})", exit.code - 128, name ? name : "?");
    }
    default:
      return exit.code == 0 ? std::string() : fmt::format("exit code {}", exit.code);
  }
}

std::chrono::milliseconds timeout_of(const workflow::Step& step, std::chrono::seconds longest) {
  return step.timeout.count() > 0 ? std::min(step.timeout, longest) : longest;
}

}  // namespace

workflow::Pairs Run::marks(const std::string& step) const {
  return {{"KUBIYA_RUN_ID", row_.id}, {"DAG_RUN_STEP_NAME", step}};
}

workflow::Pairs Run::visible_outputs(std::size_t step) const {
  workflow::Pairs outputs;
  for (std::size_t of = 0; of < steps_.size(); ++of) {
    if (of != step && steps_[of]->value && plan_.sees(step, of)) {
      outputs.emplace_back(plan_.step(of).output, *steps_[of]->value);
    }
  }
  return outputs;
}

void Run::intent_durable(std::size_t step) {
  StepState& state = *steps_[step];
  if (!plan_.may_run(step)) return conclude(step, {Kind::canceled, 0, {}}, "canceled");
  publish(RunEvent::Kind::step_started, state.row.name, state.row.status, "");
  auto variables = Variables::make(facts_, request_.definition, plan_.step(step), request_.params,
                                   visible_outputs(step));
  if (!variables) return not_launched(step, variables.error().message);
  state.attempt->variables = std::make_shared<const Variables>(std::move(*variables));
  if (state.attempt->number > 1) return get_ready(step);  // approvals have one attempt
  check(plan_.step(step).preconditions, 0, {}, state.attempt->variables, state.attempt->execution,
        [this, step](const Verdict& verdict) {
          steps_[step]->attempt->execution.reset();
          if (!plan_.may_run(step)) return conclude(step, {Kind::canceled, 0, {}}, "canceled");
          if (!verdict.fault.empty()) return not_launched(step, verdict.fault);
          if (!verdict.met) {
            return conclude(step, {Kind::skipped, 0, {}}, "a precondition is not met");
          }
          if (plan_.step(step).approval) return ask(step);
          get_ready(step);
        });
}

void Run::not_launched(std::size_t step, const std::string& why) {
  append(step, "system", Scrubber(secrets_).whole(why + "\n"));
  conclude(step, {Kind::spawn_failed, 127, {}}, why);
}

// A condition that is a command is started; the others are judged.
Result<> Run::look_at(const workflow::Precondition& condition, const Variables& variables,
                      Verdict& verdict, std::unique_ptr<Child>& child) {
  if (condition.expected) {
    const auto value = TRY(workflow::expand(condition.condition, variables.lookup()));
    verdict.met = workflow::matches(value, *condition.expected) && verdict.met;
    return {};
  }
  auto launched =
      host_.launcher.launch(TRY(condition_command(facts_, condition.condition, variables)));
  if (launched) child = std::move(*launched);
  verdict.met = verdict.met && launched.has_value();
  return {};
}

// All are looked at, also after one that is not met. Only those that run a command come back
// here, from the loop: however many there are, the stack stays as it is.
void Run::check(const std::vector<workflow::Precondition>& conditions, std::size_t next,
                Verdict verdict, std::shared_ptr<const Variables> variables,
                std::unique_ptr<Execution>& place, Judged judged) {
  std::unique_ptr<Child> child;
  for (; next < conditions.size(); ++next) {
    const Result<> looked = look_at(conditions[next], *variables, verdict, child);
    if (!looked && verdict.fault.empty()) {
      verdict.fault = fmt::format("preconditions[{}]: {}", next, looked.error().message);
    }
    if (child) break;
  }
  if (!child) return judged(verdict);
  const auto ended = [this, &conditions, next, verdict, variables, &place,
                      judged = std::move(judged)](const Execution::End& end) mutable {
    const bool good = end.stopped == StopReason::none && !end.exit.signaled && end.exit.code == 0;
    const bool stopped = end.stopped == StopReason::canceled;
    verdict.met = verdict.met && good;
    check(conditions, stopped ? conditions.size() : next + 1, std::move(verdict), variables, place,
          std::move(judged));
  };
  place = std::make_unique<Execution>(
      *loop_, host_.sweeper, std::move(child),
      Execution::Limits{kConditionTimeout, host_.options.kill_grace, host_.options.drain_pipes},
      marks(variables->find("DAG_RUN_STEP_NAME").value_or("")),
      Execution::Listener{[](Stream, std::string_view) {}, ended});
}

// The loop does not wait for the disk, which may take its time with a long script.
void Run::launch(std::size_t step) {
  auto ready = launchable(facts_, plan_.step(step), step, *steps_[step]->attempt->variables);
  if (!ready) return not_launched(step, ready.error().message);
  if (!ready->script) return launch_child(step, ready->request);
  const auto written =
      on_loop([step, request = std::move(ready->request)](Run& run, const Result<>& result) {
        if (!run.plan_.may_run(step))
          return run.conclude(step, {Kind::canceled, 0, {}}, "canceled");
        if (!result) return run.not_launched(step, result.error().message);
        run.launch_child(step, request);
      });
  host_.worker.add([written, path = script_path(facts_, step), text = std::move(*ready->script)] {
    written(write_script(path, text));
  });
}

void Run::launch_child(std::size_t step, const LaunchRequest& request) {
  StepState& state = *steps_[step];
  const workflow::Step& what = plan_.step(step);
  auto child = host_.launcher.launch(request);
  if (!child) return not_launched(step, child.error().message);
  state.row.pid = (*child)->pid();
  save_step(step, [](Run& run, const Result<>& saved) {
    if (!saved) run.storage_failed(saved.error());
  });
  state.attempt->execution = std::make_unique<Execution>(
      *loop_, host_.sweeper, std::move(*child),
      Execution::Limits{timeout_of(what, host_.options.step_timeout_max), host_.options.kill_grace,
                        host_.options.drain_pipes},
      marks(what.name),
      Execution::Listener{
          [this, step](Stream stream, std::string_view bytes) { output(step, stream, bytes); },
          [this, step](const Execution::End& end) { ended(step, end); }});
}

void Run::output(std::size_t step, Stream stream, std::string_view bytes) {
  Attempt& attempt = *steps_[step]->attempt;
  if (stream == Stream::out) capture(step, bytes);
  Allowance& left = stream == Stream::out ? steps_[step]->out_left : steps_[step]->err_left;
  if (left.used_up()) return left.drop(bytes.size());
  LogStream& log = stream == Stream::out ? attempt.out : attempt.err;
  log.text += left.take(log.scrubber.feed(bytes));
  if (log.text.size() >= kRowBytes) return flush(step);
  if (attempt.flush_timer == 0) {
    attempt.flush_timer = loop_->after(kFlushEvery, [this, step] { flush(step); });
  }
}

void Run::capture(std::size_t step, std::string_view bytes) {
  const workflow::Step& what = plan_.step(step);
  if (what.output.empty() && what.continue_on.outputs.empty()) return;
  Attempt& attempt = *steps_[step]->attempt;
  const std::size_t room = host_.options.captured_bytes - attempt.captured.size();
  if (bytes.size() <= room) {
    attempt.captured += bytes;
    return;
  }
  attempt.captured += bytes.substr(0, room);
  attempt.overflowed = true;
  if (!what.output.empty()) attempt.execution->stop(StopReason::output_limit);
}

void Run::flush(std::size_t step) {
  Attempt& attempt = *steps_[step]->attempt;
  loop_->cancel(attempt.flush_timer);
  attempt.flush_timer = 0;
  append(step, "stdout", std::exchange(attempt.out.text, {}));
  append(step, "stderr", std::exchange(attempt.err.text, {}));
}

void Run::append(std::size_t step, const char* stream, std::string text) {
  if (text.empty()) return;
  const store::StepRow& row = steps_[step]->row;
  host_.store.append_log(row_.id, {0, row.name, row.attempt, stream, now_ms(), text},
                         on_loop([](Run& run, const Result<>& saved) {
                           if (!saved) run.storage_failed(saved.error());
                         }));
  publish(RunEvent::Kind::output, row.name, stream, std::move(text));
}

void Run::append_dropped(std::size_t step, const char* stream, std::size_t bytes) {
  if (bytes == 0) return;
  append(step, "system",
         fmt::format("{} bytes of {} were dropped: over the limit of {} bytes.\n", bytes, stream,
                     host_.options.output_bytes));
}

void Run::ended(std::size_t step, const Execution::End& end) {
  StepState& state = *steps_[step];
  Attempt& attempt = *state.attempt;
  attempt.out.text += state.out_left.take(attempt.out.scrubber.finish());
  attempt.err.text += state.err_left.take(attempt.err.scrubber.finish());
  flush(step);
  append_dropped(step, "stdout", state.out_left.dropped());
  append_dropped(step, "stderr", state.err_left.dropped());

  Kind kind = kind_of(end);
  state.row.exit_code = end.exit.code;
  const bool ended_by_itself = kind == Kind::exited || kind == Kind::signaled;
  if (!keep_value(step) && ended_by_itself) kind = Kind::output_limit;
  const std::string captured = std::move(attempt.captured);
  conclude(step, {kind, end.exit.code, captured},
           reason_of(kind, end.exit, timeout_of(plan_.step(step), host_.options.step_timeout_max)));
}

// The values of all attempts together are bounded, too, and those of the run.
bool Run::keep_value(std::size_t step) {
  StepState& state = *steps_[step];
  if (plan_.step(step).output.empty()) return true;
  if (state.attempt->overflowed) return false;
  std::string value = as_value(state.attempt->captured);
  if (state.value) value = *state.value + "\n" + value;
  const std::size_t before = state.value ? state.value->size() : 0;
  if (value.size() > host_.options.captured_bytes) return false;
  if (kept_bytes_ - before + value.size() > kOutputsBytes) return false;
  kept_bytes_ += value.size() - before;
  state.value = std::move(value);
  return true;
}

void Run::leave_place(std::size_t step) {
  if (std::exchange(steps_[step]->has_place, false)) host_.free_place(*this);
}

// The end of an attempt, whether something ran or not.
void Run::conclude(std::size_t step, const workflow::AttemptResult& result, std::string reason) {
  StepState& state = *steps_[step];
  stop_waiting(step);
  state.attempt.reset();
  const auto retry = plan_.ended(step, result);
  state.row.reason = Scrubber(secrets_).whole(reason);
  state.row.pid = 0;
  if (retry) {
    state.row.reason += "; trying again";
    state.retry_timer = loop_->after(*retry, [this, step] {
      plan_.retry_due(step);
      advance();
    });
  } else {
    state.row.status = to_string(plan_.step_status(step));
    state.row.finished_ms = now_ms();
    if (state.value) state.row.output = Scrubber(secrets_).whole(*state.value);
  }
  save_step(step, [step, final = !retry](Run& run, const Result<>& saved) {
    if (!saved) return run.storage_failed(saved.error());
    if (!final) return;
    const store::StepRow& row = run.steps_[step]->row;
    run.publish(RunEvent::Kind::step_finished, row.name, row.status, row.reason);
  });
  leave_place(step);
  if (plan_.refused()) drop_waiting();
  advance();
}

}  // namespace kubiya::engine
