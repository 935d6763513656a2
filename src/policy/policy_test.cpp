// SPDX-License-Identifier: Apache-2.0
#include "policy/policy.h"

#include <gtest/gtest.h>

#include <map>
#include <tuple>

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

Policy with_rules(std::vector<ToolRule> rules) { return Policy({"read"}, std::move(rules)); }

const json::object& arguments(const char* env) {
  static std::map<std::string, json::object> all;
  return all.emplace(env, json::object{{"name", "deploy"}, {"params", {{"env", env}}}})
      .first->second;
}

std::string missing(const Policy& policy, Scopes held, const Asked& asked) {
  const auto decided = policy.decide(caller(std::move(held)), kRun, asked);
  return decided ? "" : decided.error().missing.text();
}

TEST(ToolRules, AnArgumentCanAskForMore) {
  const Policy policy = with_rules({{.tool = "execute_workflow",
                                     .workflow = "",
                                     .conditions = {{"params.env", {"production", "prod"}}},
                                     .needs = {"execute:production"},
                                     .scopes = {}}});
  const Scopes held{"read", "execute"};
  EXPECT_EQ(missing(policy, held, {"deploy", &arguments("production")}), "execute:production");
  EXPECT_EQ(missing(policy, held, {"deploy", &arguments("prod")}), "execute:production");
  EXPECT_EQ(missing(policy, held, {"deploy", &arguments("staging")}), "");
  EXPECT_EQ(missing(policy, held, {"deploy", nullptr}), "");
  EXPECT_EQ(missing(policy, {"read", "execute", "execute:production"},
                    {"deploy", &arguments("production")}),
            "");
  EXPECT_EQ(missing(policy, {}, {"deploy", &arguments("production")}),
            "execute execute:production read")
      << "everything at once";
  EXPECT_TRUE(policy.decide(caller(held), kList, {"", &arguments("production")}))
      << "another tool is not concerned";
}

TEST(ToolRules, WhatIsNotListedIsAskedForOnceItIsKnown) {
  const Policy policy = with_rules({{.tool = "execute_workflow",
                                     .workflow = "",
                                     .conditions = {{"params.env", {"dev"}, true}},
                                     .needs = {"more"},
                                     .scopes = {}}});
  const Scopes held{"read", "execute"};
  const json::object none;
  EXPECT_EQ(missing(policy, held, {"deploy", &arguments("dev")}), "");
  EXPECT_EQ(missing(policy, held, {"deploy", &arguments("Dev")}), "more");
  EXPECT_EQ(missing(policy, held, {"deploy", &arguments("production")}), "more");
  EXPECT_EQ(missing(policy, held, {"deploy", &none, true}), "more");
  EXPECT_EQ(missing(policy, held, {"deploy", &none, false}), "");
  const auto permit = policy.decide(caller(held), kRun, {"deploy", &none, false});
  ASSERT_TRUE(permit);
  EXPECT_FALSE(policy.decide_again(*permit, {"deploy", &arguments("dev")}));
  const auto denied = policy.decide_again(*permit, {"deploy", &arguments("production")});
  ASSERT_TRUE(denied);
  EXPECT_EQ(denied->needed.text(), "execute more read");
}

TEST(ToolRules, ValuesThatAreNoTextCompareByTheirJson) {
  const Policy policy = with_rules({{.tool = "execute_workflow",
                                     .workflow = "",
                                     .conditions = {{"params.replicas", {"7", "true", "[1]"}}},
                                     .needs = {"more"},
                                     .scopes = {}}});
  for (const json::value& value :
       {json::value(7), json::value("7"), json::value(true), json::value(json::array{1})}) {
    const json::object given{{"params", {{"replicas", value}}}};
    EXPECT_EQ(missing(policy, {"read", "execute"}, {"", &given}), "more") << to_json(value);
  }
  for (const json::value& value :
       {json::value(70), json::value(false), json::value(nullptr), json::value(json::array{})}) {
    const json::object given{{"params", {{"replicas", value}}}};
    EXPECT_EQ(missing(policy, {"read", "execute"}, {"", &given}), "") << to_json(value);
  }
}

TEST(ToolRules, AWorkflowIsNamedByAPattern) {
  for (const auto& [pattern, name, applied] :
       std::vector<std::tuple<const char*, const char*, bool>>{
           {"deploy", "deploy", true},
           {"deploy", "deploys", false},
           {"deploy", "Deploy", false},
           {"deploy-*", "deploy-web", true},
           {"deploy-*", "deploy-", true},
           {"deploy-*", "redeploy-web", false},
           {"*-prod", "web-prod", true},
           {"*-prod", "web-prod-2", false},
           {"*a*b*", "xxaxxbxx", true},
           {"*a*b*", "xxbxxaxx", false},
           {"*", "anything", true},
           {"*", "", false},
       }) {
    const Policy policy = with_rules({{.tool = "execute_workflow",
                                       .workflow = pattern,
                                       .conditions = {},
                                       .needs = {"more"},
                                       .scopes = {}}});
    EXPECT_EQ(missing(policy, {"read", "execute"}, {name, nullptr}), applied ? "more" : "")
        << pattern << " " << name;
  }
}

TEST(ToolRules, ARuleCanReplaceTheToolsOwnScopes) {
  const Policy policy = with_rules({{.tool = "execute_workflow",
                                     .workflow = "",
                                     .conditions = {},
                                     .needs = {},
                                     .scopes = Scopes{"operator"}},
                                    {.tool = "execute_workflow",
                                     .workflow = "public-*",
                                     .conditions = {},
                                     .needs = {},
                                     .scopes = Scopes{"read"}}});
  EXPECT_EQ(missing(policy, {"read", "execute"}, {"deploy", nullptr}), "operator");
  EXPECT_EQ(missing(policy, {"read", "operator"}, {"deploy", nullptr}), "");
  EXPECT_EQ(missing(policy, {"read"}, {"public-hello", nullptr}), "");
  EXPECT_EQ(missing(policy, {}, {"public-hello", nullptr}), "read") << "the server's own stay";
  EXPECT_EQ(policy.scopes().text(), "operator read");
}

TEST(ToolRules, WhatCouldNeverBePermittedIsKnown) {
  const auto visible = [](const std::vector<ToolRule>& rules, Scopes held) {
    return with_rules(rules).may_ever(*caller(std::move(held)), kRun);
  };
  const ToolRule sometimes{.tool = "execute_workflow",
                           .workflow = "deploy",
                           .conditions = {},
                           .needs = {"more"},
                           .scopes = {}};
  const ToolRule always{.tool = "execute_workflow",
                        .workflow = "",
                        .conditions = {},
                        .needs = {"more"},
                        .scopes = {}};
  const ToolRule loosened{.tool = "execute_workflow",
                          .workflow = "public",
                          .conditions = {},
                          .needs = {},
                          .scopes = Scopes{"read"}};
  const ToolRule replaced{.tool = "execute_workflow",
                          .workflow = "",
                          .conditions = {},
                          .needs = {},
                          .scopes = Scopes{"operator"}};
  EXPECT_TRUE(visible({}, {"read", "execute"}));
  EXPECT_FALSE(visible({}, {"read"}));
  EXPECT_FALSE(visible({}, {"execute"})) << "the server's own";
  EXPECT_TRUE(visible({sometimes}, {"read", "execute"}));
  EXPECT_FALSE(visible({always}, {"read", "execute"}));
  EXPECT_TRUE(visible({always}, {"read", "execute", "more"}));
  EXPECT_TRUE(visible({loosened}, {"read"}));
  EXPECT_FALSE(visible({replaced}, {"read", "execute"}));
  EXPECT_TRUE(visible({replaced}, {"read", "operator"}));
}

TEST(Policy, AnIssuersOwnScopesAreNeededToo) {
  PrincipalFacts facts;
  facts.scopes = {"read", "execute"};
  facts.required_scopes = {"partner"};
  facts.api_key = Secret("kb-test");
  const auto who = identity::Minter::mint(facts);
  const auto denied = Policy({}).decide(who, kRun);
  ASSERT_FALSE(denied);
  EXPECT_EQ(denied.error().needed.text(), "execute partner");
  EXPECT_FALSE(Policy({}).may_ever(*who, kRun));
  facts.scopes.add("partner");
  EXPECT_TRUE(Policy({}).decide(identity::Minter::mint(facts), kRun));
}

}  // namespace
}  // namespace kubiya::policy
