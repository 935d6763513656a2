// SPDX-License-Identifier: Apache-2.0
#include "workflow/plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>

#include "base/encoding.h"
#include "workflow/pattern.h"

namespace kubiya::workflow {
namespace {

constexpr std::array<std::string_view, 10> kStepStatuses = {
    "not_started", "running",     "finished", "failed",   "canceled",
    "skipped",     "interrupted", "waiting",  "rejected", "expired"};
constexpr std::array<std::string_view, 9> kRunStatuses = {
    "queued",          "running",     "finished", "failed", "canceled",
    "partial_success", "interrupted", "rejected", "expired"};

template <class Status, std::size_t size>
std::optional<Status> named(const std::array<std::string_view, size>& names,
                            std::string_view text) {
  const auto found = std::ranges::find(names, text);
  if (found == names.end()) return std::nullopt;
  return static_cast<Status>(found - names.begin());
}

constexpr std::chrono::milliseconds kLongestWait = std::chrono::hours(24);

std::chrono::milliseconds wait_before(const RetryPolicy& retry, int retries_done) {
  double seconds = static_cast<double>(retry.interval.count()) *
                   std::pow(std::max(retry.backoff, 1.0), retries_done);
  if (retry.max_interval.count() > 0) {
    seconds = std::min(seconds, static_cast<double>(retry.max_interval.count()));
  }
  const double most = std::chrono::duration<double>(kLongestWait).count();
  return std::chrono::milliseconds(static_cast<std::int64_t>(std::min(seconds, most) * 1000.0));
}

bool has_exit_code(const AttemptResult& result) {
  return result.kind == AttemptResult::Kind::exited || result.kind == AttemptResult::Kind::signaled;
}

bool is_success(const AttemptResult& result) {
  return result.kind == AttemptResult::Kind::exited && result.exit_code == 0;
}

bool may_retry(const RetryPolicy& retry, const AttemptResult& result, int retries_done) {
  if (retries_done >= retry.limit) return false;
  if (retry.exit_codes.empty()) return true;
  return has_exit_code(result) &&
         std::ranges::find(retry.exit_codes, result.exit_code) != retry.exit_codes.end();
}

bool continues_after(const ContinueOn& rule, const AttemptResult& result) {
  if (rule.failure) return true;
  if (has_exit_code(result) &&
      std::ranges::find(rule.exit_codes, result.exit_code) != rule.exit_codes.end()) {
    return true;
  }
  return std::ranges::any_of(rule.outputs, [&](const std::string& wanted) {
    return any_line_contains(result.stdout_text, wanted);
  });
}

std::string describe_failure(const AttemptResult& result) {
  switch (result.kind) {
    case AttemptResult::Kind::exited:
      return fmt::format("exit code {}", result.exit_code);
    case AttemptResult::Kind::signaled:
      return fmt::format("signal {}", result.exit_code - 128);
    case AttemptResult::Kind::timed_out:
      return "its timeout passed";
    case AttemptResult::Kind::spawn_failed:
      return "it could not be started";
    case AttemptResult::Kind::output_limit:
      return "its output passed the limit";
    case AttemptResult::Kind::skipped:
      return "its preconditions were not met";
    case AttemptResult::Kind::canceled:
      return "it was canceled";
    case AttemptResult::Kind::rejected:
    case AttemptResult::Kind::expired:
      return std::string(result.said);
  }
  return {};
}

}  // namespace

std::string_view to_string(StepStatus status) {
  return kStepStatuses[static_cast<std::size_t>(status)];
}
std::string_view to_string(RunStatus status) {
  return kRunStatuses[static_cast<std::size_t>(status)];
}
std::optional<StepStatus> step_status(std::string_view text) {
  return named<StepStatus>(kStepStatuses, text);
}
std::optional<RunStatus> run_status(std::string_view text) {
  return named<RunStatus>(kRunStatuses, text);
}
bool is_final(RunStatus status) {
  return status != RunStatus::queued && status != RunStatus::running;
}

struct Plan::Node {
  const Step* step = nullptr;
  StepStatus status = StepStatus::not_started;
  bool waiting = false;    // between two attempts, until next(); the status says running
  bool continued = false;  // failed, and continueOn lets dependants go on
  int attempts = 0;
  std::size_t unsettled = 0;  // dependencies without an outcome
  std::vector<std::size_t> dependencies;
  std::vector<std::size_t> dependants;
  std::vector<std::uint64_t> ancestors;  // one bit per main step
  std::string failure;
};

Plan::Plan(const Definition& definition) : definition_(definition) {
  main_ = definition.steps.size();
  for (const Step& step : definition.steps) nodes_.emplace_back().step = &step;
  const std::optional<Step>* handlers[] = {&definition.on_success, &definition.on_failure,
                                           &definition.on_cancel, &definition.on_exit};
  for (std::size_t i = 0; i < handler_.size(); ++i) {
    if (!*handlers[i]) continue;
    handler_[i] = nodes_.size();
    nodes_.emplace_back().step = &**handlers[i];
  }
  link();
  for (std::size_t i = 0; i < main_; ++i) {
    if (nodes_[i].unsettled == 0) ready_.insert(i);
  }
  unsettled_ = main_;
  advance();
}

Plan::~Plan() = default;

void Plan::link() {
  std::map<std::string_view, std::size_t> names;
  for (std::size_t i = 0; i < main_; ++i) names.emplace(nodes_[i].step->name, i);
  for (std::size_t i = 0; i < main_; ++i) {
    for (const std::string& name : nodes_[i].step->depends) {
      const auto found = names.find(name);
      ASSERT(found != names.end(), "a parsed definition has no unknown dependency");
      nodes_[i].dependencies.push_back(found->second);
      nodes_[found->second].dependants.push_back(i);
    }
    nodes_[i].unsettled = nodes_[i].dependencies.size();
  }
  link_ancestors();
}

// In topological order, so that the ancestors of a dependency are known before they are needed.
void Plan::link_ancestors() {
  const std::size_t words = (main_ + 63) / 64;
  std::vector<std::size_t> missing, order;
  for (std::size_t i = 0; i < main_; ++i) {
    nodes_[i].ancestors.resize(words);
    missing.push_back(nodes_[i].dependencies.size());
    if (missing[i] == 0) order.push_back(i);
  }
  for (std::size_t at = 0; at < order.size(); ++at) {
    const std::size_t done = order[at];
    for (const std::size_t next : nodes_[done].dependants) {
      auto& bits = nodes_[next].ancestors;
      bits[done / 64] |= std::uint64_t{1} << (done % 64);
      for (std::size_t w = 0; w < words; ++w) bits[w] |= nodes_[done].ancestors[w];
      if (--missing[next] == 0) order.push_back(next);
    }
  }
  ASSERT(order.size() == main_, "a parsed definition has no cycle");
}

std::vector<Plan::Launch> Plan::next() {
  std::vector<Launch> launches;
  const std::size_t most = definition_.max_active_steps > 0
                               ? static_cast<std::size_t>(definition_.max_active_steps)
                               : nodes_.size();
  while (!ready_.empty() && running_ < most) {
    const std::size_t index = *ready_.begin();
    ready_.erase(ready_.begin());
    Node& node = nodes_[index];
    node.status = StepStatus::running;
    node.waiting = false;
    ++running_;
    launches.push_back({index, ++node.attempts});
  }
  return launches;
}

std::optional<std::chrono::milliseconds> Plan::ended(std::size_t step,
                                                     const AttemptResult& result) {
  ASSERT(step < nodes_.size(), "a step of this plan");
  Node& node = nodes_[step];
  ASSERT(node.status == StepStatus::running && !node.waiting, "only a running attempt can end");
  --running_;
  if (is_success(result)) {
    settle(step, StepStatus::finished);
  } else if (result.kind == AttemptResult::Kind::skipped) {
    settle(step, StepStatus::skipped);
  } else if (result.kind == AttemptResult::Kind::canceled) {
    node.failure = describe_failure(result);
    settle(step, StepStatus::canceled);
  } else if (result.kind == AttemptResult::Kind::rejected ||
             result.kind == AttemptResult::Kind::expired) {
    refuse(step, result);
  } else {
    const int retries_done = node.attempts - 1;
    if (may_run(step) && may_retry(node.step->retry, result, retries_done)) {
      node.waiting = true;
      return wait_before(node.step->retry, retries_done);
    }
    fail_step(step, result);
  }
  advance();
  return std::nullopt;
}

void Plan::fail_step(std::size_t step, const AttemptResult& result) {
  Node& node = nodes_[step];
  node.failure = describe_failure(result);
  node.continued = continues_after(node.step->continue_on, result);
  const bool marked = node.continued && node.step->continue_on.mark_success;
  settle(step, marked ? StepStatus::finished : StepStatus::failed);
}

// Whatever else there is to do: it was to wait for this answer or could have.
void Plan::refuse(std::size_t step, const AttemptResult& result) {
  const bool first = phase_ == Phase::main && !stopping();
  if (first) stop_ = Stop::refused;
  nodes_[step].failure = describe_failure(result);
  settle(step,
         result.kind == AttemptResult::Kind::rejected ? StepStatus::rejected : StepStatus::expired);
  if (first) stop_main();
}

void Plan::retry_due(std::size_t step) {
  ASSERT(step < nodes_.size(), "a step of this plan");
  if (nodes_[step].waiting) ready_.insert(step);  // otherwise a cancel came first
}

// Gives a step its outcome and passes it on to those that waited only for it.
void Plan::settle(std::size_t step, StepStatus status) {
  std::vector<std::pair<std::size_t, StepStatus>> work{{step, status}};
  for (std::size_t at = 0; at < work.size(); ++at) {
    const auto [index, outcome] = work[at];
    nodes_[index].status = outcome;
    nodes_[index].waiting = false;
    if (at > 0) settled_.push_back(index);
    if (is_handler(index)) continue;
    --unsettled_;
    for (const std::size_t next : nodes_[index].dependants) {
      if (--nodes_[next].unsettled > 0 || nodes_[next].status != StepStatus::not_started) continue;
      const auto verdict = judge(nodes_[next]);
      if (verdict) {
        work.emplace_back(next, *verdict);
      } else if (!stopping()) {
        ready_.insert(next);
      }
    }
  }
}

// With every dependency settled: an outcome without running, or nothing when it may run.
std::optional<StepStatus> Plan::judge(const Node& node) const {
  bool skipped = false;
  for (const std::size_t index : node.dependencies) {
    const Node& dependency = nodes_[index];
    const bool failed = dependency.status == StepStatus::failed && !dependency.continued;
    const bool refused =
        dependency.status == StepStatus::rejected || dependency.status == StepStatus::expired;
    if (failed || refused || dependency.status == StepStatus::canceled) return StepStatus::canceled;
    skipped |= dependency.status == StepStatus::skipped && !dependency.step->continue_on.skipped;
  }
  if (skipped) return StepStatus::skipped;
  return std::nullopt;
}

void Plan::stop_main() {
  std::erase_if(ready_, [&](std::size_t index) { return !is_handler(index); });
  for (std::size_t i = 0; i < main_; ++i) {
    Node& node = nodes_[i];
    if (node.status != StepStatus::not_started && !node.waiting) continue;
    node.status = StepStatus::canceled;
    node.waiting = false;
    node.failure = "it was canceled";
    --unsettled_;
    settled_.push_back(i);
  }
  advance();
}

void Plan::settle_canceled(std::size_t handler) {
  ready_.erase(handler);
  nodes_[handler].failure = "it was canceled";
  settle(handler, StepStatus::canceled);
  settled_.push_back(handler);
}

void Plan::cancel(std::string reason) {
  if (phase_ == Phase::done) return;
  const bool again = std::exchange(cancel_asked_, true);
  if (!stopping()) {
    stop_ = Stop::canceled;
    cancel_reason_ = std::move(reason);
    if (phase_ == Phase::main) return stop_main();
  }
  if (again || phase_ != Phase::main) cancel_handlers();
}

void Plan::cancel_handlers() {
  handlers_stopped_ = true;
  for (std::size_t i = main_; i < nodes_.size(); ++i) {
    if (nodes_[i].waiting || ready_.contains(i)) settle_canceled(i);
  }
  advance();
}

void Plan::time_out() {
  if (phase_ != Phase::main || stopping()) return;
  stop_ = Stop::timed_out;
  stop_main();
}

void Plan::preconditions_unmet() {
  if (phase_ != Phase::main || stopping()) return;
  stop_ = Stop::unmet;
  stop_main();
}

// When the main steps are done, the handler of their outcome runs, then the exit handler.
void Plan::advance() {
  if (phase_ == Phase::main) {
    if (unsettled_ > 0) return;
    outcome_ = main_status();
    phase_ = stop_ == Stop::unmet ? Phase::done : Phase::outcome_handler;
    if (phase_ == Phase::outcome_handler && start(outcome_handler())) return;
  }
  if (phase_ == Phase::outcome_handler && is_settled(outcome_handler())) {
    phase_ = Phase::exit_handler;
    if (start(handler_[3])) return;
  }
  if (phase_ == Phase::exit_handler && is_settled(handler_[3])) phase_ = Phase::done;
}

bool Plan::start(std::optional<std::size_t> handler) {
  if (!handler) return false;
  if (handlers_stopped_) {
    settle_canceled(*handler);
    return false;
  }
  ready_.insert(*handler);
  return true;
}

bool Plan::is_settled(std::optional<std::size_t> handler) const {
  if (!handler) return true;
  const StepStatus status = nodes_[*handler].status;
  return status != StepStatus::not_started && status != StepStatus::running;
}

std::optional<std::size_t> Plan::outcome_handler() const {
  const bool refused = outcome_ == RunStatus::rejected || outcome_ == RunStatus::expired;
  if (outcome_ == RunStatus::failed || refused) return handler_[1];
  return handler_[outcome_ == RunStatus::canceled ? 2 : 0];
}

RunStatus Plan::main_status() const {
  if (stop_ == Stop::timed_out) return RunStatus::failed;
  if (stop_ == Stop::unmet) return RunStatus::canceled;
  bool finished = false, failed = false, continued = false, canceled = false;
  bool rejected = false, expired = false;
  for (std::size_t i = 0; i < main_; ++i) {
    const Node& node = nodes_[i];
    finished |= node.status == StepStatus::finished;
    canceled |= node.status == StepStatus::canceled;
    rejected |= node.status == StepStatus::rejected;
    expired |= node.status == StepStatus::expired;
    failed |= node.status == StepStatus::failed && !node.continued;
    continued |= node.status == StepStatus::failed && node.continued;
  }
  if (rejected) return RunStatus::rejected;
  if (expired) return RunStatus::expired;
  if (stop_ == Stop::canceled && (failed || continued || canceled)) return RunStatus::canceled;
  if (failed) return RunStatus::failed;
  if (canceled) return RunStatus::canceled;
  if (continued) return finished ? RunStatus::partial_success : RunStatus::failed;
  return RunStatus::finished;
}

std::optional<std::size_t> Plan::handler_that(StepStatus status) const {
  for (std::size_t i = main_; i < nodes_.size(); ++i) {
    if (nodes_[i].status == status && !nodes_[i].continued) return i;
  }
  return std::nullopt;
}

// The one that the run's status is of.
std::optional<std::size_t> Plan::refused_step() const {
  for (const StepStatus status : {StepStatus::rejected, StepStatus::expired}) {
    for (std::size_t i = 0; i < main_; ++i) {
      if (nodes_[i].status == status) return i;
    }
  }
  return std::nullopt;
}

// A cancel that came too late to stop anything does not count.
bool Plan::is_canceled() const {
  return stop_ == Stop::canceled &&
         (outcome_ == RunStatus::canceled || handler_that(StepStatus::canceled));
}

bool Plan::complete() const { return phase_ == Phase::done; }

RunStatus Plan::status() const {
  if (!complete()) return RunStatus::running;
  if (is_canceled()) return RunStatus::canceled;
  const bool handled = !handler_that(StepStatus::failed) && !handler_that(StepStatus::canceled);
  return handled ? outcome_ : RunStatus::failed;
}

std::string Plan::reason() const {
  const auto failure = [&](std::size_t i) {
    return fmt::format("{} \"{}\" failed: {}", is_handler(i) ? "handler" : "step",
                       printable(nodes_[i].step->name), nodes_[i].failure);
  };
  if (!complete()) return {};
  const auto failed = handler_that(StepStatus::failed);
  if (is_canceled()) return cancel_reason_ + (failed ? "; " + failure(*failed) : "");
  if (failed) return failure(*failed);
  if (const auto stopped = handler_that(StepStatus::canceled);
      stopped && outcome_ != RunStatus::failed) {
    return fmt::format("handler \"{}\" was stopped: the time was over",
                       printable(nodes_[*stopped].step->name));
  }
  if (outcome_ == RunStatus::finished) return {};
  if (stop_ == Stop::timed_out) return "the workflow's timeout passed";
  if (stop_ == Stop::unmet) return "the workflow's preconditions were not met";
  if (const auto refusing = refused_step()) {
    return fmt::format("approval \"{}\" {}", printable(nodes_[*refusing].step->name),
                       nodes_[*refusing].failure);
  }
  for (const bool continued : {false, true}) {
    for (std::size_t i = 0; i < main_; ++i) {
      if (nodes_[i].status != StepStatus::failed || nodes_[i].continued != continued) continue;
      return failure(i) + (outcome_ == RunStatus::partial_success ? "; the others went on" : "");
    }
  }
  return "a step was canceled";
}

const Step& Plan::step(std::size_t index) const {
  ASSERT(index < nodes_.size(), "a step of this plan");
  return *nodes_[index].step;
}

std::size_t Plan::size() const { return nodes_.size(); }

bool Plan::is_handler(std::size_t index) const { return index >= main_; }

bool Plan::may_run(std::size_t index) const {
  return is_handler(index) ? !handlers_stopped_ : !stopping();
}

StepStatus Plan::step_status(std::size_t index) const {
  ASSERT(index < nodes_.size(), "a step of this plan");
  return nodes_[index].status;
}

std::vector<std::size_t> Plan::settled() { return std::exchange(settled_, {}); }

bool Plan::sees(std::size_t step, std::size_t of) const {
  ASSERT(step < nodes_.size() && of < nodes_.size(), "steps of this plan");
  if (is_handler(step)) return of < step;
  return !is_handler(of) && ((nodes_[step].ancestors[of / 64] >> (of % 64)) & 1) != 0;
}

}  // namespace kubiya::workflow
