// SPDX-License-Identifier: Apache-2.0
#include "policy/policy.h"

#include <gtest/gtest.h>

// Tests stand below identity in the layers, so they mint through the friend by name.
namespace kubiya::identity {
class Minter {
 public:
  static PrincipalPtr mint(PrincipalFacts facts) {
    return PrincipalPtr(new Principal(std::move(facts)));
  }
};
}  // namespace kubiya::identity

namespace kubiya::policy {
namespace {

PrincipalPtr caller(Scopes scopes, bool with_key = true) {
  PrincipalFacts facts;
  facts.subject = "ada";
  facts.scopes = std::move(scopes);
  if (with_key) facts.api_key = Secret("kb-test");
  return identity::Minter::mint(std::move(facts));
}

const Operation kList{"list_workflows", {"read"}, Effect::reads, false};
const Operation kRun{"execute_workflow", {"execute"}, Effect::mutates, true};

TEST(Policy, PermitsWhatTheScopesCover) {
  const auto permit = Policy({}).decide(caller({"execute"}), kRun);
  ASSERT_TRUE(permit);
  EXPECT_EQ(permit->operation().name, "execute_workflow");
}

TEST(Policy, NamesEveryNeededScopeAtOnce) {
  const auto denied = Policy({"read", "audit"}).decide(caller({"read"}), kRun);
  ASSERT_FALSE(denied);
  EXPECT_EQ(denied.error().reason, Refusal::insufficient_scope);
  EXPECT_EQ(denied.error().needed.text(), "audit execute read");
  EXPECT_EQ(denied.error().missing.text(), "audit execute");
}

TEST(Policy, RefusesToActWithoutTheCallersKey) {
  const auto denied = Policy({}).decide(caller({"execute"}, false), kRun);
  ASSERT_FALSE(denied);
  EXPECT_EQ(denied.error().reason, Refusal::no_api_key);
  EXPECT_TRUE(Policy({}).decide(caller({"read"}, false), kList));
}

TEST(ScopeRules, FollowWhatIsGrantedToTheEnd) {
  auto rules = ScopeRules::defaults();
  rules.rules.push_back({"ops-team", {"admin"}});
  rules.rules.insert(rules.rules.begin(), {"on-call", {"ops-team"}});
  rules.rules.push_back({"admin", {"ops-team"}});  // a circle
  EXPECT_EQ(rules.expand({"on-call"}).text(), "admin execute on-call ops-team read write");
  EXPECT_EQ(rules.expand({"read"}).text(), "read");
}

TEST(ScopeRules, ExpandSpellingsAndHierarchyButNoWildcards) {
  const auto rules = ScopeRules::defaults();
  EXPECT_TRUE(rules.expand({"admin"}).has_all({"read", "write", "execute", "admin"}));
  EXPECT_TRUE(rules.expand({"workflows:execute"}).has("execute"));
  for (const char* name : {"admin*", "*", "read write", "ADMIN", "read,write"}) {
    EXPECT_FALSE(rules.expand({name}).has("read")) << name;
    EXPECT_FALSE(rules.expand({name}).has("admin")) << name;
  }
}

}  // namespace
}  // namespace kubiya::policy
