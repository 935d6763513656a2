// SPDX-License-Identifier: Apache-2.0
#include "store/approvals.h"
#include "engine/testing.h"

namespace kubiya::engine {
namespace {

constexpr const char* kAsking = R"(
steps:
  - name: agree
    type: approval
    approval: {message: "May it?", scopes: [execute], quorum: 1}
  - {name: go, command: echo gone, depends: agree, output: OUT}
)";

class ApprovalTest : public EngineTest {
 protected:
  store::ApprovalRow asked(const std::string& run_id) {
    store::Approvals approvals(*db);
    eventually([&] { return !approvals.of_run(run_id)->empty(); });
    return approvals.of_run(run_id)->at(0);
  }
  // The status afterwards, or why not.
  std::string decide(const store::ApprovalRow& row, const policy::Permit& by,
                     std::string digest = {}) {
    std::promise<std::string> promise;
    Vote vote{row.id, row.run_id, digest.empty() ? row.digest : digest, true, {}};
    engine().decide(by, ticket(), std::move(vote), [&](const Result<std::string>& status) {
      promise.set_value(status ? *status : status.error().message);
    });
    return promise.get_future().get();
  }
};

TEST_F(ApprovalTest, LetsTheRunGoOnOnce) {
  const auto started = start(start_of(kAsking));
  const auto row = asked(started->run_id);
  EXPECT_EQ(decide(row, permit_for("bob")), "approved");
  EXPECT_EQ(decide(row, permit_for("eve")), "This approval is not open any more.");
  const Ended done = ended(started->run_id);
  EXPECT_EQ(done.run.status, "finished");
  EXPECT_EQ(done.step("agree").reason, "approved by bob");
}

TEST_F(ApprovalTest, IsNotThereForOtherTenantsNorForAnotherQuestion) {
  const auto started = start(start_of(kAsking));
  const auto row = asked(started->run_id);
  EXPECT_EQ(decide(row, permit_for("bob", "globex")), "This approval is not open any more.");
  EXPECT_EQ(decide(row, permit_for("bob"), std::string(64, '0')),
            "The digest is not of what waits for an approval: look at it again first.");
  store::Approvals approvals(*db);
  EXPECT_TRUE(approvals.votes(row.id)->empty());
  EXPECT_FALSE(approvals.get_visible(row.id, {"globex", "x", {"execute"}, {}, true}));
  EXPECT_TRUE(approvals.get_visible(row.id, {"acme", "x", {"execute"}, {}, false}));
  EXPECT_FALSE(approvals.get_visible(row.id, {"acme", "x", {"read"}, {"execute"}, false}));
}

TEST_F(ApprovalTest, DigestsAreOfTheRun) {
  options.active_runs = 2;
  const auto one = start(start_of(kAsking)), other = start(start_of(kAsking));
  EXPECT_NE(asked(one->run_id).digest, asked(other->run_id).digest);
}

TEST_F(ApprovalTest, ARunThatOnlyWaitsHoldsNoPlace) {
  options.active_runs = 1;
  const auto waits = start(start_of(kAsking));
  const auto row = asked(waits->run_id);
  EXPECT_EQ(run("steps: [{name: a, command: 'true'}]").run.status, "finished");
  EXPECT_EQ(decide(row, permit_for("bob")), "approved");
  EXPECT_EQ(ended(waits->run_id).run.status, "finished");
  EXPECT_EQ(run("steps: [{name: a, command: 'true'}]").run.status, "finished");
}

TEST_F(ApprovalTest, MoreThanMayBeOpenFailTheirRuns) {
  options.active_runs = 4;
  options.open_approvals = options.open_approvals_per_owner = options.open_approvals_per_tenant = 1;
  const auto first = start(start_of(kAsking));
  const auto row = asked(first->run_id);
  const Ended second = run(kAsking);
  EXPECT_EQ(second.run.status, "failed");
  EXPECT_NE(second.step("agree").reason.find("engine.open_approvals"), std::string::npos);
  EXPECT_EQ(decide(row, permit_for("bob")), "approved");
  const auto third = start(start_of(kAsking));
  EXPECT_EQ(asked(third->run_id).status, "open");
}

}  // namespace
}  // namespace kubiya::engine
