// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include "engine/testing.h"

namespace kubiya::engine {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

constexpr const char* kPaying = R"(
steps:
  - name: pay
    token: {audience: https://billing.example, scopes: [invoices.pay], env: BILLING_TOKEN}
    command: echo "with $BILLING_TOKEN and ${BILLING_TOKEN}"; echo "$BILLING_TOKEN" >&2
    output: SAID
)";

class StepTokenTest : public EngineTest {
 protected:
  using Done = std::function<void(Result<Secret>)>;

  StepTokenTest() {
    options.token_source = [this](const Principal& who, const std::string& workflow,
                                  const workflow::TokenRequest& wanted, Done done) {
      const int number = ++asked;
      said = who->subject + " " + workflow + " " + wanted.audience;
      for (const auto& scope : wanted.scopes) said += " " + scope;
      if (hold) {
        held = std::move(done);
      } else {
        done(problem.empty() ? Result<Secret>(Secret("downstream-" + std::to_string(number)))
                             : fail(Code::forbidden, problem));
      }
    };
  }

  std::atomic<int> asked{0};
  std::string said, problem;  // the first written, the second read on the engine's thread
  std::atomic<bool> hold{false};
  Done held;
};

TEST_F(StepTokenTest, GivesTheStepATokenThatNobodyReadsInItsOutput) {
  const Ended done = run(kPaying);
  EXPECT_EQ(done.run.status, "finished");
  EXPECT_EQ(said, "ada test https://billing.example invoices.pay");
  EXPECT_EQ(done.text("stdout"), "with [redacted] and [redacted]\n");
  EXPECT_EQ(done.text("stderr"), "[redacted]\n");
  EXPECT_EQ(done.step("pay").output, "with [redacted] and [redacted]");
  EXPECT_THAT(done.run.outputs, Not(HasSubstr("downstream-")));
  EXPECT_THAT(journal.events(),
              ElementsAre("token_exchanged ada pay https://billing.example invoices.pay"));
}

TEST_F(StepTokenTest, TheProcessHasTheRealOne) {
  const Ended done = run(R"(
steps:
  - name: digest
    token: {audience: ledger}
    command: printf %s "$ACCESS_TOKEN" | sha256sum | cut -c 1-16
  - name: other
    depends: digest
    command: echo "none here '${ACCESS_TOKEN:-}'"
)");
  EXPECT_EQ(done.text("stdout", "digest"), "5a96becc758c4cea\n");
  EXPECT_EQ(done.text("stdout", "other"), "none here ''\n");
}

TEST_F(StepTokenTest, EachAttemptHasItsOwnAndAllAreKeptOutOfWhatIsStored) {
  const Ended done = run(R"(
steps:
  - name: again
    token: {audience: ledger}
    command: echo "$ACCESS_TOKEN"; echo "$ACCESS_TOKEN" | grep -q 'm-2$'
    output: SAID
    retryPolicy: {limit: 2}
  - name: leak
    depends: again
    command: echo "$SAID"
)");
  EXPECT_EQ(asked, 2);
  EXPECT_EQ(done.run.status, "finished");
  EXPECT_EQ(done.text("stdout", "again"), "[redacted]\n[redacted]\n");
  EXPECT_EQ(done.step("again").output, "[redacted]\n[redacted]");
  EXPECT_EQ(done.text("stdout", "leak"), "[redacted]\n[redacted]\n");
}

TEST_F(StepTokenTest, WithoutATokenNothingRunsAndTheReasonIsTold) {
  problem = "The issuer refuses the token exchange: invalid_target.";
  const std::string file = place.file("ran");
  const Ended done =
      run("steps: [{name: pay, token: {audience: x}, command: 'touch " + file + "'}]");
  EXPECT_EQ(done.run.status, "failed");
  EXPECT_EQ(done.step("pay").status, "failed");
  EXPECT_EQ(done.step("pay").reason, problem);
  EXPECT_EQ(done.text("system"), problem + "\n");
  EXPECT_FALSE(std::filesystem::exists(file));
  EXPECT_THAT(journal.events(), ElementsAre("token_exchange_refused ada pay x " + problem));
}

TEST_F(StepTokenTest, IsNotAskedForStepsThatDoNotRun) {
  const Ended done = run(R"(
steps:
  - name: pay
    token: {audience: x}
    preconditions: "false"
    command: echo never
)");
  EXPECT_EQ(done.step("pay").status, "skipped");
  EXPECT_EQ(asked, 0);
}

TEST_F(StepTokenTest, ACancelWhileItIsAwaitedStopsTheStep) {
  hold = true;
  const auto started =
      start(start_of("steps: [{name: pay, token: {audience: x}, command: 'true'}]"));
  ASSERT_TRUE(eventually([&] { return asked == 1; }));
  ASSERT_TRUE(engine().cancel(permit_for("ada"), ticket(), started->run_id, "enough"));
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  held(Secret("downstream-late"));
  const Ended done = ended(started->run_id);
  EXPECT_EQ(done.run.status, "canceled");
  EXPECT_EQ(done.step("pay").status, "canceled");
}

TEST_F(StepTokenTest, NeedsASource) {
  options.token_source = nullptr;
  EXPECT_THAT(run(kPaying).step("pay").reason, HasSubstr("Token exchange needs an issuer"));
}

TEST_F(StepTokenTest, ARunHasManyButNotAnyNumber) {
  const Ended done = run(R"(
steps:
  - name: pay
    token: {audience: x}
    command: "false"
    retryPolicy: {limit: 300}
)");
  EXPECT_EQ(asked, 200);
  EXPECT_EQ(done.step("pay").reason, "The run has had 200 tokens already.");
}

}  // namespace
}  // namespace kubiya::engine
