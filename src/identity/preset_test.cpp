// SPDX-License-Identifier: Apache-2.0
#include "identity/preset.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "identity/provider.h"
#include "identity/token_fixture.h"

namespace kubiya::identity::test {
namespace {

using ::testing::HasSubstr;

constexpr const char* kTenant = "72f988bf-86f1-41af-91ab-2d7cd011db47";
constexpr const char* kOther = "aaaabbbb-0000-cccc-1111-dddd2222eeee";
constexpr const char* kClient = "6731de76-14a6-49ae-97bc-6eba6914391e";

IssuerOptions preset(Provider provider, std::string url, std::string client = {}) {
  IssuerOptions options;
  options.rules = default_rules();
  options.rules.audiences.clear();
  options.rules.provider = provider;
  options.url = std::move(url);
  options.client_id = std::move(client);
  apply_preset(options);
  return options;
}

// As the configuration completes it.
IssuerOptions completed(IssuerOptions options) {
  const auto done = complete_preset(options);
  EXPECT_TRUE(done) << done.error().message;
  if (options.rules.audiences.empty()) options.rules.audiences = {kAudience};
  return options;
}

std::string refusal(IssuerOptions options) {
  const auto done = complete_preset(options);
  return done ? "accepted" : done.error().message;
}

// A provider's token: its own members, signed with a key of `keys`.
std::string signed_by(const char* kid, json::object claims) {
  claims["exp"] = kNow + 600;
  claims["iat"] = kNow - 60;
  return token_of(to_json(json::object{{"alg", "RS256"}, {"typ", "JWT"}, {"kid", kid}}),
                  to_json(claims));
}

Checked<TokenFacts> judged(const json::object& claims, const IssuerOptions& options) {
  return judge(signed_by("rsa", claims), options.rules);
}

struct Person {
  std::string subject, client, tenant, scopes;
};

void expect_person(const Checked<TokenFacts>& facts, const Person& person) {
  ASSERT_TRUE(facts) << to_string(facts.error().reason) << ": " << facts.error().detail;
  EXPECT_EQ(facts->subject, person.subject);
  EXPECT_EQ(facts->client, person.client);
  EXPECT_EQ(facts->tenant, person.tenant);
  EXPECT_EQ(facts->scopes.text(), person.scopes);
}

void expect_refused(const Checked<TokenFacts>& facts, Reason reason, const char* detail = "") {
  ASSERT_FALSE(facts);
  EXPECT_EQ(to_string(facts.error().reason), to_string(reason)) << facts.error().detail;
  EXPECT_THAT(facts.error().detail, HasSubstr(detail));
}

json::object changed(json::object claims, std::string_view name, const json::value& value) {
  if (value.is_null()) {
    claims.erase(name);
  } else {
    claims[name] = value;
  }
  return claims;
}

// ---- Auth0

json::object auth0_claims() {
  return {{"iss", "https://corp.eu.auth0.com/"},
          {"sub", "auth0|6553da60a54af58e29493993"},
          {"aud", json::array{kAudience, "https://corp.eu.auth0.com/userinfo"}},
          {"scope", "openid profile"},
          {"azp", "K1AUPhZq8mRi0Q0pjhkfu1D7y6KjDQja"},
          {"permissions", json::array{"read", "execute"}}};
}

TEST(Auth0, TokensOfBothProfilesAreServed) {
  const auto options = completed(preset(Provider::auth0, "https://corp.eu.auth0.com"));
  EXPECT_EQ(options.url, "https://corp.eu.auth0.com/") << "the slash is part of the name";
  const Person ada{"auth0|6553da60a54af58e29493993", "K1AUPhZq8mRi0Q0pjhkfu1D7y6KjDQja", "default",
                   "execute read"};
  expect_person(judged(auth0_claims(), options), ada);
  json::object rfc9068 = changed(auth0_claims(), "azp", nullptr);
  rfc9068["client_id"] = ada.client;
  expect_person(judged(rfc9068, options), ada);
  json::object without_rbac = changed(auth0_claims(), "permissions", nullptr);
  without_rbac["scope"] = "openid read";
  expect_person(judged(without_rbac, options), {ada.subject, ada.client, "default", "openid read"});
}

TEST(Auth0, RefusalsSayWhatTheClientForgot) {
  const auto options = completed(preset(Provider::auth0, "https://corp.eu.auth0.com/"));
  expect_refused(judged(changed(auth0_claims(), "iss", "https://corp.eu.auth0.com"), options),
                 Reason::wrong_issuer);
  EXPECT_THAT(explain_stranger("https://corp.eu.auth0.com", options.rules), HasSubstr("slash"));
  const json::object userinfo =
      changed(auth0_claims(), "aud", "https://corp.eu.auth0.com/userinfo");
  expect_refused(judged(userinfo, options), Reason::wrong_audience, "ask for audience=");
  const std::string header = R"({"alg":"dir","enc":"A256GCM","iss":"https://corp.eu.auth0.com/"})";
  const std::string foreign = R"({"alg":"dir","enc":"A256GCM","iss":"https://evil.example/"})";
  const auto reason = [&](const std::string& text) {
    const auto why = explain_opaque(text, options.rules);
    return why ? std::string(to_string(why->reason)) + ": " + why->detail : "none";
  };
  EXPECT_THAT(reason(base64url(header) + "..iv.text.tag"),
              HasSubstr("asked Auth0 for no audience"));
  EXPECT_THAT(reason("QmVhcmVyVG9rZW5PZk9sZA"), HasSubstr("opaque_token"));
  EXPECT_EQ(reason(base64url(foreign) + "..iv.text.tag"), "none");
  EXPECT_EQ(reason("a.b"), "none");
  EXPECT_EQ(reason("....."), "none");
  EXPECT_FALSE(explain_opaque(base64url(header) + "..iv.text.tag", default_rules()));
}

// ---- Okta

json::object okta_claims() {
  return {{"ver", 1},
          {"jti", "AT.0mP4JKAZX1iACIT4vbEDF7LpvDVjxypPMf0D7uX39RE"},
          {"iss", "https://corp.okta.com/oauth2/default"},
          {"aud", "api://default"},
          {"sub", "ada@corp.example"},
          {"cid", "0oacqf8qaJw56czJi0g4"},
          {"uid", "00ujmkLgagxeRrAg20g3"},
          {"scp", json::array{"openid", "execute"}},
          {"groups", json::array{"Everyone", "Platform"}}};
}

TEST(Okta, TheUserIsTheIdAndNotTheLogin) {
  IssuerOptions options = preset(Provider::okta, "https://corp.okta.com/oauth2/default");
  options.rules.audiences = {"api://default"};
  options.rules.roles = {{"Platform", {"write"}}};
  options = completed(std::move(options));
  expect_person(judged(okta_claims(), options), {"00ujmkLgagxeRrAg20g3", "0oacqf8qaJw56czJi0g4",
                                                 "default", "execute openid write"});
  json::object machine = changed(okta_claims(), "uid", nullptr);
  machine["sub"] = "0oacqf8qaJw56czJi0g4";
  expect_person(judged(changed(machine, "groups", nullptr), options),
                {"0oacqf8qaJw56czJi0g4", "0oacqf8qaJw56czJi0g4", "default", "execute openid"});
  expect_refused(judged(changed(okta_claims(), "aud", "api://other"), options),
                 Reason::wrong_audience, "setting of the authorization server");
}

TEST(Okta, TheOrgAuthorizationServerIsTold) {
  EXPECT_THAT(refusal(preset(Provider::okta, "https://corp.okta.com")),
              HasSubstr("https://DOMAIN/oauth2/default"));
  const auto options = completed(preset(Provider::okta, "https://corp.okta.com/oauth2/default"));
  EXPECT_THAT(explain_stranger("https://corp.okta.com", options.rules), HasSubstr("Okta alone"));
  EXPECT_EQ(explain_stranger("https://other.okta.com", options.rules), "");
}

// ---- Google

json::object google_claims() {
  return {{"iss", "https://accounts.google.com"},
          {"azp", "32555940559.apps.googleusercontent.com"},
          {"aud", "32555940559.apps.googleusercontent.com"},
          {"sub", "112233445566778899001"},
          {"hd", "corp.example"},
          {"email", "ada@corp.example"},
          {"email_verified", true},
          {"at_hash", "lNlSmc7Fv2f9HD4SOFZ1Yg"}};
}

TEST(Google, IdTokensOfTheClientAreServed) {
  IssuerOptions options = preset(Provider::google, "", "32555940559.apps.googleusercontent.com");
  options.rules.grants = {"read"};
  options.rules.roles = {{"ada@corp.example", {"execute"}}, {"corp.example", {"write"}}};
  options = completed(std::move(options));
  EXPECT_EQ(options.url, "https://accounts.google.com");
  const Person ada{"112233445566778899001", "32555940559.apps.googleusercontent.com", "default",
                   "execute read write"};
  expect_person(judged(google_claims(), options), ada);
  const auto old = judged(changed(google_claims(), "iss", "accounts.google.com"), options);
  expect_person(old, ada);
  EXPECT_EQ(old->issuer, "https://accounts.google.com") << "the same person";
  expect_person(judged(changed(google_claims(), "email_verified", false), options),
                {ada.subject, ada.client, "default", "read write"});
}

TEST(Google, RefusalsSayWhatWasSent) {
  IssuerOptions options = preset(Provider::google, "", "32555940559.apps.googleusercontent.com");
  options.rules.tenant_claim = "hd";
  options.rules.tenants = {"corp.example"};
  options = completed(std::move(options));
  expect_refused(
      judged(changed(google_claims(), "aud", "other.apps.googleusercontent.com"), options),
      Reason::wrong_audience, "client's id");
  expect_refused(judged(changed(google_claims(), "hd", nullptr), options), Reason::wrong_tenant);
  expect_refused(judged(changed(google_claims(), "hd", "evil.example"), options),
                 Reason::wrong_tenant);
  const auto opaque = explain_opaque("ya29.a0AfH6SMBx", options.rules);
  ASSERT_TRUE(opaque);
  EXPECT_EQ(opaque->reason, Reason::opaque_token);
  EXPECT_THAT(opaque->detail, HasSubstr("ID token"));
  EXPECT_THAT(refusal(preset(Provider::google, "")), HasSubstr("client_id"));
}

// ---- Entra ID

std::string entra_url(std::string_view tenant) {
  return "https://login.microsoftonline.com/" + std::string(tenant) + "/v2.0";
}

json::object entra_v2(const char* tenant = kTenant) {
  return {{"aud", kClient},
          {"iss", entra_url(tenant)},
          {"azp", "11112222-bbbb-3333-cccc-4444dddd5555"},
          {"name", "Ada Lovelace"},
          {"oid", "690222be-ff1a-4d56-abd1-7e4f7d38e474"},
          {"preferred_username", "ada@corp.example"},
          {"scp", "Workflows.Run"},
          {"sub", "HKZpfaHyWadeOouYlitjrI-KffTm222X5rrV3xDqfKQ"},
          {"tid", tenant},
          {"ver", "2.0"}};
}

json::object entra_v1(const char* tenant = kTenant) {
  json::object claims = entra_v2(tenant);
  claims["aud"] = std::string("api://") + kClient;
  claims["iss"] = "https://sts.windows.net/" + std::string(tenant) + "/";
  claims["appid"] = claims["azp"];
  claims.erase("azp");
  claims["ver"] = "1.0";
  return claims;
}

TEST(Entra, BothVersionsOfATokenAreOnePerson) {
  IssuerOptions options = preset(Provider::entra, entra_url(kTenant), kClient);
  options.rules.roles = {{"Workflows.Operator", {"execute"}}};
  options = completed(std::move(options));
  const Person ada{"690222be-ff1a-4d56-abd1-7e4f7d38e474", "11112222-bbbb-3333-cccc-4444dddd5555",
                   "default", "Workflows.Run"};
  const auto v2 = judged(entra_v2(), options);
  const auto v1 = judged(entra_v1(), options);
  expect_person(v2, ada);
  expect_person(v1, ada);
  EXPECT_EQ(v1->issuer, v2->issuer);
  EXPECT_EQ(options.scope_prefix, std::string("api://") + kClient + "/");
  json::object with_role = changed(entra_v2(), "roles", json::array{"Workflows.Operator", "read"});
  expect_person(judged(with_role, options), {ada.subject, ada.client, "default",
                                             "Workflows.Operator Workflows.Run execute read"});
  // Of an application itself: no scp.
  expect_person(judged(changed(with_role, "scp", nullptr), options),
                {ada.subject, ada.client, "default", "Workflows.Operator execute read"});
}

TEST(Entra, OnlyAcceptedTenantsAtThePinnedHost) {
  IssuerOptions options = preset(Provider::entra, entra_url("organizations"), kClient);
  EXPECT_THAT(refusal(options), HasSubstr("tenants must list"));
  options.rules.tenants = {kTenant};
  options = completed(std::move(options));
  EXPECT_EQ(options.document_issuer, "https://login.microsoftonline.com/{tenantid}/v2.0");
  expect_person(judged(entra_v2(), options),
                {"690222be-ff1a-4d56-abd1-7e4f7d38e474", "11112222-bbbb-3333-cccc-4444dddd5555",
                 kTenant, "Workflows.Run"});
  expect_refused(judged(entra_v2(kOther), options), Reason::wrong_issuer);
  expect_refused(judged(entra_v1(kOther), options), Reason::wrong_issuer);
  EXPECT_THAT(explain_stranger(entra_url(kOther), options.rules), HasSubstr("not among"));
  expect_refused(judged(changed(entra_v2(), "tid", kOther), options), Reason::wrong_tenant);
  expect_refused(judged(changed(entra_v2(), "tid", nullptr), options), Reason::wrong_tenant);
  for (const char* iss :
       {"https://login.microsoftonline.com/{tenantid}/v2.0",
        "https://evil.example/72f988bf-86f1-41af-91ab-2d7cd011db47/v2.0",
        "https://login.microsoftonline.com/72F988BF-86F1-41AF-91AB-2D7CD011DB47/v2.0",
        "https://sts.windows.net/72f988bf-86f1-41af-91ab-2d7cd011db47"}) {
    expect_refused(judged(changed(entra_v2(), "iss", iss), options), Reason::wrong_issuer);
  }
}

TEST(Entra, UrlsThatNameNoTenantAreRefused) {
  for (const char* url :
       {"https://login.microsoftonline.com/corp.onmicrosoft.com/v2.0",
        "https://login.microsoftonline.com/72F988BF-86F1-41AF-91AB-2D7CD011DB47/v2.0",
        "https://login.microsoftonline.com/v2.0", "https://login.microsoftonline.com",
        "https://login.evil.example/72f988bf-86f1-41af-91ab-2d7cd011db47/v2.0",
        "https://sts.windows.net/72f988bf-86f1-41af-91ab-2d7cd011db47/"}) {
    EXPECT_THAT(refusal(preset(Provider::entra, url, kClient)), HasSubstr("entra: ")) << url;
  }
  EXPECT_THAT(refusal(preset(Provider::entra, entra_url(kTenant))), HasSubstr("client_id"));
  EXPECT_EQ(
      refusal(preset(Provider::entra,
                     "https://login.partner.microsoftonline.cn/" + std::string(kTenant) + "/v2.0",
                     kClient)),
      "accepted");
}

TEST(Entra, GroupsThatWereLeftOutAreTold) {
  IssuerOptions options = preset(Provider::entra, entra_url(kTenant), kClient);
  options.rules.roles = {{"9f5c7d3e-0000-4000-8000-000000000001", {"execute"}}};
  options = completed(std::move(options));
  json::object over = entra_v2();
  over["_claim_names"] = json::object{{"groups", "src1"}};
  over["_claim_sources"] = json::object{
      {"src1", {{"endpoint", "https://graph.microsoft.com/v1.0/users/x/getMemberObjects"}}}};
  expect_refused(judged(over, options), Reason::group_overage, "too many groups");
  expect_refused(
      judged(changed(entra_v2(), "aud", "00000003-0000-0000-c000-000000000000"), options),
      Reason::wrong_audience, "00000003");
}

TEST(Entra, AKeyOfOneTenantSignsForThatTenantOnly) {
  IssuerOptions options = preset(Provider::entra, entra_url("organizations"), kClient);
  options.rules.tenants = {kTenant, kOther};
  options = completed(std::move(options));
  const KeySet keys =
      set_of({jwk(KeyType::rsa, {{"kid", "all"}, {"issuer", entra_url("{tenantid}")}}),
              jwk(KeyType::rsa, {{"kid", "one"}, {"issuer", entra_url(kOther)}})});
  const auto with = [&](const char* kid, const json::object& claims) {
    return outcome(judge(signed_by(kid, claims), options.rules, keys));
  };
  EXPECT_EQ(with("all", entra_v2(kTenant)), "served");
  EXPECT_EQ(with("all", entra_v1(kOther)), "served");
  EXPECT_EQ(with("one", entra_v2(kOther)), "served");
  EXPECT_EQ(with("one", entra_v1(kOther)), "served");
  EXPECT_EQ(with("one", entra_v2(kTenant)), "key_mismatch");
  EXPECT_EQ(with("one", entra_v1(kTenant)), "key_mismatch");
}

// ---- Keycloak

json::object keycloak_claims() {
  return {{"iss", "https://sso.corp.example/realms/main"},
          {"aud", json::array{"kubiya-mcp", "account"}},
          {"sub", "d7f5a6a2-3c1b-4f0f-9d0e-0a8a4a2b5c11"},
          {"typ", "Bearer"},
          {"azp", "claude"},
          {"scope", "openid profile execute"},
          {"preferred_username", "ada"},
          {"realm_access", {{"roles", json::array{"admin", "offline_access", "ops"}}}},
          {"resource_access",
           {{"kubiya-mcp", {{"roles", json::array{"write"}}}},
            {"realm-management", {{"roles", json::array{"manage-users"}}}}}}};
}

TEST(Keycloak, RolesOfTheClientAreScopesAndRealmRolesAreNot) {
  IssuerOptions options =
      preset(Provider::keycloak, "https://sso.corp.example/realms/main", "kubiya-mcp");
  options.rules.audiences = {kAudience, "kubiya-mcp"};
  options.rules.roles = {{"ops", {"read"}}};
  options = completed(std::move(options));
  expect_person(judged(keycloak_claims(), options),
                {"d7f5a6a2-3c1b-4f0f-9d0e-0a8a4a2b5c11", "claude", "default",
                 "execute openid profile read write"});
}

TEST(Keycloak, RefusalsSayWhatIsMissing) {
  const auto options =
      completed(preset(Provider::keycloak, "https://sso.corp.example/realms/main"));
  expect_refused(judged(changed(keycloak_claims(), "aud", "account"), options),
                 Reason::wrong_audience, "audience mapper");
  expect_refused(judged(changed(keycloak_claims(), "aud", nullptr), options), Reason::bad_claim,
                 "audience mapper");
  const json::object ours = changed(keycloak_claims(), "aud", kAudience);
  expect_refused(judged(changed(ours, "typ", "ID"), options), Reason::bad_claim, "ID or refresh");
  expect_refused(judged(changed(ours, "typ", nullptr), options), Reason::bad_claim);
}

TEST(Presets, EachHasItsOwnName) {
  std::set<std::string_view> names;
  for (const Provider provider : {Provider::other, Provider::auth0, Provider::okta,
                                  Provider::google, Provider::entra, Provider::keycloak}) {
    EXPECT_TRUE(names.insert(to_string(provider)).second);
  }
}

}  // namespace
}  // namespace kubiya::identity::test
