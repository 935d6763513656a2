// SPDX-License-Identifier: Apache-2.0
#include "workflow/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

namespace kubiya::workflow {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using Kind = AttemptResult::Kind;
using S = StepStatus;

// Steps "a", "b", … each depending on the letters given.
Definition graph(std::initializer_list<std::string_view> depends) {
  Definition d;
  d.type = Definition::Type::graph;
  for (const auto letters : depends) {
    Step& step = d.steps.emplace_back();
    step.name = std::string(1, static_cast<char>('a' + d.steps.size() - 1));
    for (const char letter : letters) step.depends.emplace_back(1, letter);
  }
  return d;
}

Step named(std::string name) {
  Step step;
  step.name = std::move(name);
  return step;
}

AttemptResult exits(int code, std::string_view out = {}) { return {Kind::exited, code, out}; }

std::vector<std::size_t> started(Plan& plan) {
  std::vector<std::size_t> steps;
  for (const auto& launch : plan.next()) steps.push_back(launch.step);
  return steps;
}

// Runs to completion; a step not named exits 0.
void drive(Plan& plan, const std::map<std::size_t, AttemptResult>& outcomes) {
  for (auto batch = plan.next(); !batch.empty(); batch = plan.next()) {
    for (const auto& launch : batch) {
      const auto found = outcomes.find(launch.step);
      if (plan.ended(launch.step, found == outcomes.end() ? exits(0) : found->second)) {
        plan.retry_due(launch.step);
      }
    }
  }
}

std::vector<S> statuses(const Plan& plan) {
  std::vector<S> all;
  for (std::size_t i = 0; i < plan.size(); ++i) all.push_back(plan.step_status(i));
  return all;
}

TEST(Plan, RunsADiamondInOrder) {
  const Definition d = graph({"", "a", "a", "bc"});
  Plan plan(d);
  EXPECT_THAT(started(plan), ElementsAre(0));
  EXPECT_THAT(started(plan), IsEmpty());
  plan.ended(0, exits(0));
  EXPECT_THAT(started(plan), ElementsAre(1, 2));
  plan.ended(2, exits(0));
  EXPECT_THAT(started(plan), IsEmpty());
  plan.ended(1, exits(0));
  EXPECT_THAT(started(plan), ElementsAre(3));
  EXPECT_EQ(plan.status(), RunStatus::running);
  plan.ended(3, exits(0));
  EXPECT_TRUE(plan.complete());
  EXPECT_EQ(plan.status(), RunStatus::finished);
  EXPECT_EQ(plan.reason(), "");
}

TEST(Plan, CancelsDependantsOfAFailureAndLetsOthersGoOn) {
  const Definition d = graph({"", "a", "b", "", "d"});
  Plan plan(d);
  drive(plan, {{0, exits(2)}});
  EXPECT_THAT(statuses(plan),
              ElementsAre(S::failed, S::canceled, S::canceled, S::finished, S::finished));
  EXPECT_THAT(plan.settled(), ElementsAre(1, 2));
  EXPECT_THAT(plan.settled(), IsEmpty());
  EXPECT_EQ(plan.status(), RunStatus::failed);
  EXPECT_EQ(plan.reason(), "step \"a\" failed: exit code 2");
}

TEST(Plan, SkipsDependantsOfASkippedStepUnlessItContinues) {
  Definition d = graph({"", "a", "b"});
  const AttemptResult unmet{Kind::skipped, 0, {}};
  {
    Plan plan(d);
    drive(plan, {{0, unmet}});
    EXPECT_THAT(statuses(plan), ElementsAre(S::skipped, S::skipped, S::skipped));
    EXPECT_EQ(plan.status(), RunStatus::finished);
  }
  d.steps[0].continue_on.skipped = true;
  Plan plan(d);
  drive(plan, {{0, unmet}});
  EXPECT_THAT(statuses(plan), ElementsAre(S::skipped, S::finished, S::finished));
}

TEST(Plan, ContinuesOnFailureExitCodeOrOutput) {
  struct Row {
    ContinueOn rule;
    AttemptResult result;
    RunStatus status;
  };
  const ContinueOn failure{true, false, false, {}, {}};
  const ContinueOn marked{true, false, true, {}, {}};
  const ContinueOn mark_only{false, false, true, {}, {}};
  const auto codes = [](int code) { return ContinueOn{false, false, false, {code}, {}}; };
  const auto output = [](const char* text) { return ContinueOn{false, false, false, {}, {text}}; };
  const Row rows[] = {
      {failure, exits(1), RunStatus::partial_success},
      {failure, {Kind::timed_out, 0, {}}, RunStatus::partial_success},
      {marked, exits(1), RunStatus::finished},
      {codes(3), exits(3), RunStatus::partial_success},
      {codes(3), exits(4), RunStatus::failed},
      {codes(0), {Kind::timed_out, 0, {}}, RunStatus::failed},
      {output("warn"), exits(1, "x\na warning\n"), RunStatus::partial_success},
      {output("re:^w.*g$"), exits(1, "x\nwarning\n"), RunStatus::partial_success},
      {output("re:^warn$"), exits(1, "x\nwarning\n"), RunStatus::failed},
      {mark_only, exits(1), RunStatus::failed},
  };
  for (const Row& row : rows) {
    Definition d = graph({"", "a"});
    d.steps[0].continue_on = row.rule;
    Plan plan(d);
    drive(plan, {{0, row.result}});
    EXPECT_EQ(plan.status(), row.status) << &row - rows;
  }
}

TEST(Plan, IsFailedWhenTheOnlyStepFailedEvenIfItContinues) {
  Definition d = graph({""});
  d.steps[0].continue_on.failure = true;
  Plan plan(d);
  drive(plan, {{0, exits(1)}});
  EXPECT_EQ(plan.status(), RunStatus::failed);
}

TEST(Plan, RetriesWithBackoffUpToTheLimit) {
  using std::chrono::milliseconds;
  Definition d = graph({"", "a"});
  d.steps[0].retry = {.limit = 3,
                      .interval = std::chrono::seconds(2),
                      .backoff = 3,
                      .max_interval = std::chrono::seconds(10),
                      .exit_codes = {}};
  Plan plan(d);
  std::vector<milliseconds> waits;
  for (int attempt = 1;; ++attempt) {
    const auto launches = plan.next();
    ASSERT_EQ(launches.size(), 1U);
    EXPECT_EQ(launches[0].attempt, attempt);
    const auto wait = plan.ended(0, exits(1));
    if (!wait) break;
    EXPECT_THAT(plan.next(), IsEmpty());
    EXPECT_EQ(plan.step_status(0), S::running);
    waits.push_back(*wait);
    plan.retry_due(0);
  }
  EXPECT_THAT(waits, ElementsAre(milliseconds(2000), milliseconds(6000), milliseconds(10000)));
  EXPECT_EQ(plan.status(), RunStatus::failed);
}

TEST(Plan, RetriesOnlyListedExitCodes) {
  Definition d = graph({""});
  d.steps[0].retry.limit = 1;
  d.steps[0].retry.exit_codes = {7};
  Plan plan(d);
  plan.next();
  EXPECT_FALSE(plan.ended(0, exits(1)));
  Plan again(d);
  again.next();
  EXPECT_TRUE(again.ended(0, exits(7)));
}

TEST(Plan, CancelEndsWaitingRetriesAndWaitsForRunningSteps) {
  Definition d = graph({"", "", "b"});
  d.steps[0].retry.limit = 1;
  d.on_cancel = named("onCancel");
  d.on_exit = named("onExit");
  for (const bool due_before_cancel : {false, true}) {
    Plan plan(d);
    plan.next();
    EXPECT_TRUE(plan.ended(0, exits(1)));
    if (due_before_cancel) plan.retry_due(0);
    plan.cancel("changed my mind");
    plan.retry_due(0);
    EXPECT_THAT(plan.settled(), ElementsAre(0, 2));
    EXPECT_THAT(plan.next(), IsEmpty());
    EXPECT_FALSE(plan.ended(1, {Kind::canceled, 0, {}}));
    EXPECT_THAT(started(plan), ElementsAre(3));
    plan.ended(3, exits(0));
    EXPECT_THAT(started(plan), ElementsAre(4));
    plan.ended(4, exits(0));
    EXPECT_EQ(plan.status(), RunStatus::canceled);
    EXPECT_EQ(plan.reason(), "changed my mind");
  }
}

TEST(Plan, ASecondCancelEndsAHandlerThatWaitsForItsRetry) {
  Definition d = graph({""});
  d.on_cancel = d.on_exit = named("handler");
  d.on_cancel->retry.limit = 3;
  for (const bool due_before_cancel : {false, true}) {
    Plan plan(d);
    plan.next();
    plan.cancel("first");
    plan.ended(0, {Kind::canceled, 0, {}});
    EXPECT_THAT(started(plan), ElementsAre(1));
    EXPECT_TRUE(plan.ended(1, exits(1)));
    if (due_before_cancel) plan.retry_due(1);
    EXPECT_TRUE(plan.may_run(1));
    plan.cancel("second");
    EXPECT_FALSE(plan.may_run(1));
    EXPECT_THAT(plan.settled(), ElementsAre(1, 2));
    EXPECT_THAT(plan.next(), IsEmpty());
    EXPECT_EQ(plan.status(), RunStatus::canceled);
    EXPECT_EQ(plan.reason(), "first");
  }
}

TEST(Plan, ACancelWhileHandlersRunGoesToThem) {
  Definition d = graph({""});
  d.on_success = d.on_exit = named("handler");
  Plan plan(d);
  plan.next();
  plan.ended(0, exits(0));
  EXPECT_THAT(started(plan), ElementsAre(1));
  plan.cancel("changed my mind");
  EXPECT_FALSE(plan.ended(1, {Kind::canceled, 0, {}}));
  EXPECT_THAT(statuses(plan), ElementsAre(S::finished, S::canceled, S::canceled));
  EXPECT_EQ(plan.status(), RunStatus::canceled);
  EXPECT_EQ(plan.reason(), "changed my mind");
}

TEST(Plan, ATimeOutDoesNotTakeTheReasonFromACancel) {
  Definition d = graph({""});
  d.on_cancel = named("handler");
  Plan plan(d);
  plan.next();
  plan.cancel("changed my mind");
  plan.time_out();
  plan.ended(0, {Kind::canceled, 0, {}});
  plan.next();
  plan.ended(1, exits(4));
  EXPECT_EQ(plan.status(), RunStatus::canceled);
  EXPECT_EQ(plan.reason(), "changed my mind; handler \"handler\" failed: exit code 4");
}

TEST(Plan, HandlersWhoseTimeIsOverFailTheRun) {
  Definition d = graph({""});
  d.on_success = d.on_exit = named("handler");
  Plan plan(d);
  drive(plan, {{1, {Kind::canceled, 0, {}}}});
  EXPECT_EQ(plan.status(), RunStatus::failed);
  Plan stopped(d);
  stopped.next();
  stopped.ended(0, exits(0));
  stopped.cancel_handlers();
  EXPECT_THAT(stopped.settled(), ElementsAre(1, 2));
  EXPECT_EQ(stopped.status(), RunStatus::failed);
  EXPECT_EQ(stopped.reason(), "handler \"handler\" was stopped: the time was over");
}

TEST(Plan, CancelThatComesTooLateChangesNothing) {
  const Definition d = graph({""});
  Plan plan(d);
  plan.next();
  plan.cancel("too late");
  plan.ended(0, exits(0));
  EXPECT_EQ(plan.status(), RunStatus::finished);
}

TEST(Plan, TimeOutEndsAsFailed) {
  Definition d = graph({"", "a"});
  d.on_failure = named("onFailure");
  Plan plan(d);
  plan.next();
  plan.time_out();
  plan.ended(0, {Kind::canceled, 0, {}});
  EXPECT_THAT(started(plan), ElementsAre(2));
  plan.ended(2, exits(0));
  EXPECT_EQ(plan.status(), RunStatus::failed);
  EXPECT_EQ(plan.reason(), "the workflow's timeout passed");
}

TEST(Plan, UnmetPreconditionsStartNothing) {
  Definition d = graph({"", "a"});
  d.on_cancel = d.on_exit = named("handler");
  Plan plan(d);
  plan.preconditions_unmet();
  EXPECT_THAT(plan.next(), IsEmpty());
  EXPECT_TRUE(plan.complete());
  EXPECT_EQ(plan.status(), RunStatus::canceled);
}

TEST(Plan, ChoosesTheHandlerOfTheOutcome) {
  Definition d = graph({"", ""});
  d.on_success = named("s");
  d.on_failure = named("f");
  d.on_exit = named("e");
  Plan good(d), bad(d), partial(d);
  drive(good, {});
  EXPECT_THAT(statuses(good),
              ElementsAre(S::finished, S::finished, S::finished, S::not_started, S::finished));
  drive(bad, {{0, exits(1)}});
  EXPECT_THAT(statuses(bad),
              ElementsAre(S::failed, S::finished, S::not_started, S::finished, S::finished));
  EXPECT_EQ(bad.status(), RunStatus::failed);
  d.steps[0].continue_on.failure = true;
  drive(partial, {{0, exits(1)}});
  EXPECT_EQ(partial.step_status(2), S::finished);
  EXPECT_EQ(partial.status(), RunStatus::partial_success);
}

TEST(Plan, AHandlerThatFailsFailsTheRun) {
  Definition d = graph({""});
  d.on_exit = named("e");
  Plan plan(d);
  drive(plan, {{1, exits(9)}});
  EXPECT_EQ(plan.status(), RunStatus::failed);
  EXPECT_THAT(plan.reason(), HasSubstr("handler \"e\" failed: exit code 9"));
}

TEST(Plan, HonoursMaxActiveSteps) {
  Definition d = graph({"", "", ""});
  d.max_active_steps = 2;
  Plan plan(d);
  EXPECT_THAT(started(plan), ElementsAre(0, 1));
  plan.ended(1, exits(0));
  EXPECT_THAT(started(plan), ElementsAre(2));
}

TEST(Plan, LetsStepsSeeTheirAncestorsAndHandlersSeeAll) {
  Definition d = graph({"", "a", "b", ""});
  d.on_exit = named("e");
  const Plan plan(d);
  EXPECT_TRUE(plan.sees(2, 0));
  EXPECT_TRUE(plan.sees(2, 1));
  EXPECT_FALSE(plan.sees(0, 2));
  EXPECT_FALSE(plan.sees(2, 2));
  EXPECT_FALSE(plan.sees(2, 3));
  EXPECT_TRUE(plan.sees(4, 3));
}

TEST(Plan, StatusWordsReadBack) {
  for (const char* word :
       {"queued", "running", "finished", "failed", "canceled", "partial_success", "interrupted"}) {
    ASSERT_TRUE(run_status(word)) << word;
    EXPECT_EQ(to_string(*run_status(word)), word);
  }
  EXPECT_EQ(to_string(*step_status("skipped")), "skipped");
  EXPECT_FALSE(step_status("partial_success"));
  EXPECT_FALSE(run_status(""));
}

// ---- any graph, any outcomes -------------------------------------------------

class RandomRun {
 public:
  explicit RandomRun(unsigned seed) : random_(seed) {}

  void check() {
    make_definition();
    Plan plan(definition_);
    int events = 0;
    while (!plan.complete()) {
      ASSERT_LT(++events, 10'000) << "the plan does not end";
      launch(plan);
      if (running_.empty() && waiting_.empty()) break;
      if (below(20) == 0) plan.cancel("canceled");
      if (below(80) == 0) plan.time_out();
      if (below(80) == 0) plan.cancel_handlers();
      // Their timers are gone.
      std::erase_if(waiting_, [&](std::size_t step) { return !plan.may_run(step); });
      if (running_.empty() && waiting_.empty()) continue;
      if (!running_.empty() && (waiting_.empty() || below(2) == 0)) {
        end_one(plan);
      } else {
        plan.retry_due(take(waiting_));
      }
      if (testing::Test::HasFatalFailure()) return;
    }
    ASSERT_TRUE(plan.complete());
    ASSERT_TRUE(is_final(plan.status()));
    check_truth(plan);
  }

 private:
  std::size_t below(std::size_t n) {
    return std::uniform_int_distribution<std::size_t>(0, n - 1)(random_);
  }

  std::size_t take(std::set<std::size_t>& from) {
    auto at = std::next(from.begin(), static_cast<std::ptrdiff_t>(below(from.size())));
    const std::size_t step = *at;
    from.erase(at);
    return step;
  }

  void make_definition() {
    const std::size_t count = 1 + below(12);
    for (std::size_t i = 0; i < count; ++i) {
      Step& step = definition_.steps.emplace_back();
      step.name = std::to_string(i);
      for (std::size_t j = 0; j < i; ++j) {
        if (below(4) == 0) step.depends.push_back(std::to_string(j));
      }
      std::shuffle(step.depends.begin(), step.depends.end(), random_);
      randomize(step);
    }
    for (auto* handler : {&definition_.on_success, &definition_.on_failure, &definition_.on_cancel,
                          &definition_.on_exit}) {
      if (below(3) != 0) randomize(handler->emplace(named("h")));
    }
    definition_.max_active_steps = static_cast<int>(below(4));
  }

  void randomize(Step& step) {
    step.continue_on.failure = below(3) == 0;
    step.continue_on.skipped = below(3) == 0;
    step.continue_on.mark_success = below(3) == 0;
    step.retry.limit = static_cast<int>(below(3));
  }

  void launch(Plan& plan) {
    for (const auto& launch : plan.next()) {
      ASSERT_FALSE(running_.contains(launch.step));
      ASSERT_EQ(launch.attempt, ++attempts_[launch.step]);
      ASSERT_LE(launch.attempt, 1 + plan.step(launch.step).retry.limit);
      ASSERT_TRUE(launch.attempt == 1 || due_[launch.step] == launch.attempt - 1)
          << "launched twice without a retry";
      for (const std::string& name : plan.step(launch.step).depends) {
        const S status = plan.step_status(std::stoul(name));
        ASSERT_TRUE(status == S::finished || status == S::failed || status == S::skipped);
      }
      running_.insert(launch.step);
    }
    if (definition_.max_active_steps > 0) {
      ASSERT_LE(running_.size(), static_cast<std::size_t>(definition_.max_active_steps));
    }
  }

  void end_one(Plan& plan) {
    const std::size_t step = take(running_);
    static constexpr Kind kinds[] = {Kind::exited,       Kind::exited,    Kind::exited,
                                     Kind::signaled,     Kind::timed_out, Kind::spawn_failed,
                                     Kind::output_limit, Kind::skipped,   Kind::canceled};
    const AttemptResult result{kinds[below(std::size(kinds))], static_cast<int>(below(2)), {}};
    if (plan.ended(step, result)) {
      waiting_.insert(step);
      due_[step] = attempts_[step];
    }
  }

  // `finished` is never said of a run in which a required step did not succeed.
  void check_truth(const Plan& plan) {
    if (plan.status() != RunStatus::finished) return;
    for (std::size_t i = 0; i < definition_.steps.size(); ++i) {
      ASSERT_TRUE(plan.step_status(i) == S::finished || plan.step_status(i) == S::skipped) << i;
    }
  }

  std::mt19937 random_;
  Definition definition_;
  std::set<std::size_t> running_, waiting_;
  std::map<std::size_t, int> attempts_, due_;
};

TEST(Plan, CompletesWhateverHappens) {
  for (unsigned seed = 0; seed < 3000; ++seed) {
    SCOPED_TRACE(seed);
    RandomRun(seed).check();
    if (HasFatalFailure()) return;
  }
}

}  // namespace
}  // namespace kubiya::workflow
