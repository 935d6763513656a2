// SPDX-License-Identifier: Apache-2.0
#include "app/config_issuers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>

#include "app/config_files.h"
#include "crypto/signature.h"

namespace kubiya::app {
namespace {

using identity::Provider;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

class IssuersConfig : public ::testing::Test {
 protected:
  IssuersConfig() {
    std::string name = std::filesystem::temp_directory_path() / "kubiya-issuers-XXXXXX";
    directory_ = ::mkdtemp(name.data());
  }
  ~IssuersConfig() override { std::filesystem::remove_all(directory_); }

  std::string file(const std::string& name, std::string_view content, mode_t mode = 0600) const {
    const std::string path = directory_ + "/" + name;
    EXPECT_TRUE(write_private_file(path, content));
    ::chmod(path.c_str(), mode);
    return path;
  }
  Result<Config> load(std::string_view yaml, Sources sources = {}, mode_t mode = 0600) const {
    sources.file = file("config.yaml", yaml, mode);
    return load_config(sources);
  }
  std::string refusal(std::string_view yaml, Sources sources = {}, mode_t mode = 0600) const {
    const Result<Config> config = load(yaml, std::move(sources), mode);
    return config ? "accepted" : config.error().message;
  }

  std::string directory_;
};

constexpr std::string_view kTwo = R"(
issuers:
  - name: staff
    url: https://staff.eu.auth0.com
    preset: auth0
    audience: [https://mcp.example.com/mcp]
  - name: partners
    url: https://sso.example.com/realms/partners
    preset: keycloak
    client_id: kubiya-mcp
    tenant_rule: issuer
    required_scopes: [partner]
    role_map: ["Platform Team=read+execute", "a=b=write"]
    scope_merge: first
    allow_private: [sso.example.com]
)";

TEST_F(IssuersConfig, EachItemIsAnIssuerOfItsOwn) {
  const Result<Config> config = load(kTwo);
  ASSERT_TRUE(config) << config.error().message;
  ASSERT_EQ(config->issuers.size(), 2u);
  const auto& staff = config->issuers[0];
  EXPECT_EQ(staff.url, "https://staff.eu.auth0.com/");
  EXPECT_EQ(staff.rules.issuer, staff.url);
  EXPECT_EQ(staff.rules.provider, Provider::auth0);
  EXPECT_THAT(staff.rules.audiences, ElementsAre("https://mcp.example.com/mcp"));
  EXPECT_EQ(staff.rules.tenant, "default");
  const auto& partners = config->issuers[1];
  EXPECT_EQ(partners.rules.tenant, "partners");
  EXPECT_THAT(partners.rules.audiences, ::testing::Contains("kubiya-mcp"));
  EXPECT_EQ(partners.rules.required_scopes, Scopes{"partner"});
  EXPECT_FALSE(partners.rules.all_scope_claims) << "what is configured wins over the preset";
  EXPECT_THAT(partners.rules.scope_claims,
              ElementsAre("scope", "resource_access.kubiya-mcp.roles"));
  ASSERT_EQ(partners.rules.roles.size(), 2u);
  EXPECT_EQ(partners.rules.roles[1].role, "a=b");
  EXPECT_NE(staff.cache_file, partners.cache_file);
  EXPECT_EQ(config->identity.mode, identity::Mode::token);
}

TEST_F(IssuersConfig, ThePresetOfTheFlagsStandsBehindEverythingElse) {
  Sources sources;
  sources.environment = {{"KUBIYA_AUTH_SCOPE_CLAIMS", "scp"}};
  sources.flags = {{"auth.server", "https://corp.okta.com/oauth2/default"},
                   {"auth.preset", "okta"},
                   {"auth.audience", "api://default"}};
  const Result<Config> config = load("", sources);
  ASSERT_TRUE(config) << config.error().message;
  ASSERT_EQ(config->issuers.size(), 1u);
  EXPECT_THAT(config->issuers[0].rules.subject_claims, ElementsAre("uid", "sub"));
  EXPECT_THAT(config->issuers[0].rules.audiences, ElementsAre("api://default"));
}

TEST_F(IssuersConfig, TheListMayComeFromAVariable) {
  Sources sources;
  sources.environment = {{"KUBIYA_ISSUERS", R"([{"url":"https://login.example.com"}])"}};
  const Result<Config> config = load("", sources);
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->issuers.size(), 1u);
}

TEST_F(IssuersConfig, WhatIsPrintedReadsBack) {
  const std::string entra = "https://login.microsoftonline.com/";
  const std::string tenant = "72f988bf-86f1-41af-91ab-2d7cd011db47";
  const std::string rows[] = {
      std::string(kTwo),
      "auth: {preset: google, client_id: x, tenant_claim: hd, tenants: [corp.example]}",
      "auth: {preset: okta, server: https://corp.okta.com/oauth2/default, scope_map: "
      "[Run=execute]}",
      "auth: {preset: entra, server: " + entra + tenant + "/v2.0, client_id: x, scope_prefix: ''}",
      "issuers: [{preset: entra, url: " + entra + "organizations/v2.0, client_id: x, tenants: [" +
          tenant + "], required_claims: [ver=2.0], grants: [read]}]",
  };
  for (const std::string& yaml : rows) {
    const Result<Config> config = load(yaml);
    ASSERT_TRUE(config) << yaml << config.error().message;
    const std::string printed = print_config(*config);
    const bool listed = yaml.find("issuers:") != yaml.npos;
    EXPECT_EQ(printed.find("\nauth:") == printed.npos, listed) << yaml;
    const Result<Config> again = load(printed);
    ASSERT_TRUE(again) << yaml << again.error().message;
    EXPECT_EQ(print_config(*again), printed) << yaml;
    const auto& before = config->issuers[0].rules.forms;
    const auto& after = again->issuers[0].rules.forms;
    EXPECT_EQ(after.size(), before.size()) << yaml;
  }
}

TEST_F(IssuersConfig, RefusalsNameTheItemAndTheKey) {
  const std::string tenant = "72f988bf-86f1-41af-91ab-2d7cd011db47";
  const std::string entra = "https://login.microsoftonline.com/";
  const std::pair<std::string, const char*> rows[] = {
      {"issuers: 7", "line 1: issuers: allowed: a list"},
      {"issuers: [7]", "line 1: issuers[0]: allowed: a map"},
      {"issuers: [{}]", "issuers[0].url: "},
      {"issuers: [{server: https://a.example}]", "issuers[0]: unknown key server"},
      {"issuers: [{url: https://a.example}, {urk: https://b.example}]",
       "issuers[1]: unknown key urk; did you mean url?"},
      {"issuers: [{url: http://a.example}]", "issuers[0].url: the issuer URL must be https"},
      {"issuers: [{url: https://a.example, preset: ping}]", "preset: \"ping\" is not allowed"},
      {"issuers: [{url: https://a.example, algorithms: [HS256]}]", "algorithms: \"HS256\""},
      {"issuers: [{url: https://a.example, introspection: {autf: x}}]", "introspection.autf"},
      {"issuers: [{url: https://a.example}, {url: https://a.example}]",
       "issuers[1].url: is the same as that of issuers[0]"},
      {"issuers: [{url: https://a.example, name: x}, {url: https://b.example, name: x}]",
       "issuers[1].name: is the same"},
      {"issuers: [{url: https://a.example}]\nauth: {server: https://b.example}",
       "either issuers or auth.server"},
      {"issuers: [{url: https://a.example, preset: okta}]", "issuers[0].preset: okta: "},
      {"issuers: [{url: https://a.example, tenant_rule: issuer}]",
       "tenant_rule: issuer needs name"},
      {"issuers: [{url: https://a.example, tenant_rule: claim}]", "claim needs tenant_claim"},
      {"issuers: [{url: https://a.example, tenant_rule: fixed, tenant_claim: org}]",
       "only claim makes sense"},
      {"issuers: [{url: https://a.example, tenants: [x]}]", "tenants: has no meaning"},
      {"issuers: [{url: https://a.example, tenant_claim: org}, {url: https://b.example}]",
       "issuers[0].tenant_claim: with several issuers"},
      {"issuers: [{url: https://a.example, role_map: [x=read]}]", "role_map: has no meaning"},
      {"issuers: [{url: https://a.example, role_claims: [groups], role_map: [x]}]",
       "role_map: \"x\" is not allowed"},
      {"issuers: [{url: https://a.example, role_claims: [groups], role_map: ['x=']}]",
       "is not allowed"},
      {"issuers: [{url: https://a.example, introspection: {client_id: x}}]",
       "introspection: has no meaning"},
      {"issuers: [{url: https://a.example, tokens: opaque}]", "introspection.client_id: is needed"},
      {"issuers: [{url: https://a.example, tokens: opaque, introspection: {client_id: x}}]",
       "introspection.client_secret: is needed"},
      {"issuers: [{url: https://a.example, tokens: opaque, introspection: {client_id: x, auth: "
       "private_key_jwt}}]",
       "introspection.private_key: is needed"},
      {"issuers: [{url: https://a.example, tokens: opaque, introspection: {client_id: x, auth: "
       "private_key_jwt, private_key: x}}]",
       "must be a private key in PEM"},
      {"issuers: [{url: https://a.example, tokens: opaque, introspection: {client_id: x, "
       "client_secret: y, url: 'http://a.example'}}]",
       "introspection.url: "},
      {"issuers: [{url: https://a.example, tokens: opaque, introspection: {client_id: x, "
       "client_secret: y}}, {url: https://b.example, tokens: opaque, introspection: {client_id: x, "
       "client_secret: y}}]",
       "issuers[1].tokens: opaque is for one issuer at most"},
      {"issuers: [{url: https://a.example, token_exchange: {client_id: x, client_secret: y}}]",
       "token_exchange.audiences: must name"},
      {"issuers: [{url: https://a.example, token_exchange: {audiences: [b]}}]",
       "token_exchange.client_id: is needed"},
      {"issuers: [{url: https://a.example, token_exchange: {audiences: [b], client_id: x}}]",
       "token_exchange.client_secret: is needed"},
      {"issuers: [{url: https://a.example, token_exchange: {audiences: [b], client_id: x, auth: "
       "private_key_jwt, private_key: y}}]",
       "token_exchange.private_key: must be"},
      {"issuers: [{url: https://a.example, token_exchange: {audiences: [b], client_id: x, "
       "client_secret: y, url: 'http://a.example'}}]",
       "token_exchange.url: "},
      {"issuers: [{url: https://a.example, token_exchange: {audiences: ['b=no workflow/name']}}]",
       "token_exchange.audiences: "},
      {"issuers: [{url: https://a.example, token_exchange: {audiences: ['b=']}}]",
       "is not allowed"},
      {"issuers: [{url: " + entra + tenant + "/v2.0, preset: entra, client_id: x}, {url: " + entra +
           "organizations/v2.0, preset: entra, client_id: x, tenants: [" + tenant + "]}]",
       "is also that of issuers[0]"},
  };
  for (const auto& [yaml, wanted] : rows) {
    EXPECT_THAT(refusal(yaml), HasSubstr(wanted)) << yaml;
  }
}

TEST_F(IssuersConfig, ReadsWhatMayBeExchangedForWhom) {
  const Result<Config> config = load(
      "issuers: [{url: https://a.example, token_exchange: {client_id: x, client_secret: y, "
      "lifetime_max: 10m, audiences: [https://b.example/?q, ledger=close+report]}}]");
  ASSERT_TRUE(config) << config.error().message;
  const identity::ExchangeOptions& exchange = config->issuers[0].exchange;
  EXPECT_TRUE(exchange.is_configured());
  EXPECT_EQ(exchange.lifetime_max, std::chrono::minutes(10));
  ASSERT_EQ(exchange.audiences.size(), 2u);
  EXPECT_EQ(exchange.audiences[0].audience, "https://b.example/?q");
  EXPECT_TRUE(exchange.audiences[0].workflows.empty());
  EXPECT_EQ(exchange.audiences[1].audience, "ledger");
  EXPECT_EQ(exchange.audiences[1].workflows, (std::vector<std::string>{"close", "report"}));
  EXPECT_EQ(print_config(*load(print_config(*config))), print_config(*config));
}

TEST_F(IssuersConfig, SecretsInItemsAreKeptLikeAnyOther) {
  const std::string inline_secret =
      "issuers: [{url: https://a.example, tokens: opaque, introspection: {client_id: x, "
      "client_secret: c4n4ry-of-the-test}}]";
  EXPECT_EQ(refusal(inline_secret), "accepted");
  EXPECT_THAT(refusal(inline_secret, {}, 0644), HasSubstr("others can read it"));
  const Result<Config> config = load(inline_secret);
  EXPECT_THAT(print_config(*config), Not(HasSubstr("c4n4ry")));
  EXPECT_THAT(print_config(*config), HasSubstr("********"));
  const std::string key =
      file("key.pem", crypto::PrivateKey::generate(crypto::KeyType::rsa)->to_pem());
  const std::string by_file =
      "issuers: [{url: https://a.example, tokens: opaque, introspection: {client_id: x, auth: "
      "private_key_jwt, private_key: '${file:" +
      key + "}'}}]";
  EXPECT_EQ(refusal(by_file, {}, 0644), "accepted");
  ::chmod(key.c_str(), 0644);
  EXPECT_THAT(refusal(by_file), HasSubstr("others can read it"));
  EXPECT_THAT(refusal("issuers: [{url: https://a.example, tokens: opaque, audience: [''], "
                      "introspection: {client_id: x, client_secret: c4n4ry}}]"),
              Not(HasSubstr("c4n4ry")));
}

constexpr std::string_view kRules = R"(
policy:
  rules:
    - tool: execute_workflow
      workflow: deploy-*
      when: {params.env: production, params.n: [1, 2]}
      unless: {params.dry_run: true}
      needs: ["execute:production"]
    - tool: delete_workflow
      scopes: write
)";

TEST_F(IssuersConfig, RulesAreRead) {
  const Result<Config> config = load(kRules);
  ASSERT_TRUE(config) << config.error().message;
  ASSERT_EQ(config->tool_rules.size(), 2u);
  const policy::ToolRule& first = config->tool_rules[0];
  EXPECT_EQ(first.tool, "execute_workflow");
  EXPECT_EQ(first.workflow, "deploy-*");
  ASSERT_EQ(first.conditions.size(), 3u);
  EXPECT_EQ(first.conditions[0].path, "params.env");
  EXPECT_THAT(first.conditions[1].values, ElementsAre("1", "2"));
  EXPECT_TRUE(first.conditions[2].negated);
  EXPECT_THAT(first.conditions[2].values, ElementsAre("true"));
  EXPECT_EQ(first.needs.text(), "execute:production");
  EXPECT_FALSE(first.scopes);
  EXPECT_EQ(config->tool_rules[1].scopes, Scopes{"write"});
  const std::string printed = print_config(*config);
  const Result<Config> again = load(printed);
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(print_config(*again), printed);
}

TEST_F(IssuersConfig, RulesThatSayNothingAreRefused) {
  const std::pair<const char*, const char*> rows[] = {
      {"7", "policy.rules: allowed: a list"},
      {"[7]", "policy.rules[0]: allowed: a map"},
      {"[{tool: x, needs: a}, {}]", "policy.rules[1]: tool: is needed"},
      {"[{tool: x}]", "needs or scopes is needed"},
      {"[{tool: x, needs: []}]", "needs: allowed: scope names"},
      {"[{tool: x, needs: ['a b']}]", "needs: allowed: scope names"},
      {"[{tool: 7, needs: a}]", "tool: allowed: a name"},
      {"[{tool: x, needs: a, when: 7}]", "when: allowed: a map"},
      {"[{tool: x, needs: a, when: {p: {}}}]", "when: p: allowed: a value or a list"},
      {"[{tool: x, needs: a, unless: {p: []}}]", "unless: p: allowed: a value or a list"},
      {"[{tool: x, needs: a, where: {}}]", "unknown key where"},
  };
  for (const auto& [rules, wanted] : rows) {
    EXPECT_THAT(refusal("policy: {rules: " + std::string(rules) + "}"), HasSubstr(wanted)) << rules;
  }
}

}  // namespace
}  // namespace kubiya::app
