// SPDX-License-Identifier: Apache-2.0
#include "workflow/approval.h"

#include <gtest/gtest.h>

namespace kubiya::workflow {
namespace {

TEST(Approval, MayBeDecidedByAllScopesOrOneGroup) {
  Approval approval;
  approval.scopes = {"execute", "approve:deploy"};
  approval.groups = {"managers", "on-call"};
  struct Row {
    Scopes scopes;
    std::vector<std::string> groups;
    Standing expected;
  };
  const Row rows[] = {{{"execute", "approve:deploy"}, {}, Standing::may_decide},
                      {{"execute"}, {}, Standing::not_named},
                      {{}, {"on-call"}, Standing::may_decide},
                      {{}, {"On-Call", "manager"}, Standing::not_named},
                      {{}, {}, Standing::not_named}};
  for (const Row& row : rows) {
    EXPECT_EQ(standing(approval, {"bob", row.scopes, row.groups}, "ada"), row.expected);
  }
  approval.scopes.clear();
  EXPECT_EQ(standing(approval, {"bob", Scopes{"execute"}, {}}, "ada"), Standing::not_named);
}

TEST(Approval, RequesterMayDecideUnlessSomebodyElseIsAskedFor) {
  Approval approval;
  approval.groups = {"managers"};
  const Scopes none;
  const std::vector<std::string> groups{"managers"};
  EXPECT_EQ(standing(approval, {"ada", none, groups}, "ada"), Standing::may_decide);
  approval.not_requester = true;
  EXPECT_EQ(standing(approval, {"ada", none, groups}, "ada"), Standing::is_requester);
  EXPECT_EQ(standing(approval, {"bob", none, groups}, "ada"), Standing::may_decide);
}

TEST(Approval, StatusesHaveTheirWords) {
  for (const auto status :
       {ApprovalStatus::open, ApprovalStatus::approved, ApprovalStatus::rejected,
        ApprovalStatus::expired, ApprovalStatus::withdrawn}) {
    EXPECT_EQ(approval_status(to_string(status)), status);
  }
}

}  // namespace
}  // namespace kubiya::workflow
