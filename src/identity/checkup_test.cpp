// SPDX-License-Identifier: Apache-2.0
#include "identity/checkup.h"

#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "identity/token_fixture.h"

namespace kubiya::identity {
namespace {

using test::jwk;
using test::kIssuer;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

json::object document(std::string_view issuer = kIssuer) {
  return {{"issuer", issuer},
          {"jwks_uri", std::string(issuer) + "/jwks"},
          {"authorization_endpoint", std::string(issuer) + "/authorize"},
          {"token_endpoint", std::string(issuer) + "/token"},
          {"code_challenge_methods_supported", {"S256"}},
          {"client_id_metadata_document_supported", true}};
}

http::FetchResponse answer(std::string body, int status = 200) {
  http::FetchResponse out;
  out.status = status;
  out.body = std::move(body);
  out.date = test::at(test::kNow);
  out.allowed_origin = "*";
  return out;
}

IssuerOptions options_for(std::string url = kIssuer) {
  IssuerOptions out;
  out.url = std::move(url);
  out.rules = test::default_rules();
  return out;
}

// A provider that answers at the first place with `metadata`, and with one good key.
Evidence evidence_of(const IssuerOptions& options, const json::object& metadata) {
  Evidence out;
  out.now = test::at(test::kNow);
  const auto places = document_places(options);
  EXPECT_TRUE(places);
  for (const std::string& place : *places) {
    out.documents.push_back({place, answer("", 404)});
  }
  out.documents.front().answer = answer(to_json(metadata));
  const std::string keys = keys_place(options, out.documents);
  if (!keys.empty()) {
    out.keys = Answered{keys, answer(test::set_text({jwk(crypto::KeyType::rsa, {{"kid", "a"}})}))};
  }
  return out;
}

const Finding* find(const std::vector<Finding>& findings, std::string_view check) {
  const auto at = std::find_if(findings.begin(), findings.end(),
                               [check](const Finding& one) { return one.check == check; });
  return at == findings.end() ? nullptr : &*at;
}

bool anything_above(const std::vector<Finding>& findings, Severity bound) {
  return std::any_of(findings.begin(), findings.end(),
                     [bound](const Finding& one) { return one.severity > bound; });
}

TEST(Checkup, SaysNothingBadOfAGoodProvider) {
  const IssuerOptions options = options_for();
  const auto findings = check_up(options, evidence_of(options, document()));
  EXPECT_FALSE(anything_above(findings, Severity::note));
  ASSERT_TRUE(find(findings, "registration"));
  EXPECT_THAT(find(findings, "registration")->found, HasSubstr("client id metadata documents"));
}

TEST(Checkup, LooksWhetherTokensCanBeExchanged) {
  IssuerOptions options = options_for();
  const auto finding = [&](const json::object& metadata) -> std::string {
    const auto findings = check_up(options, evidence_of(options, metadata));
    for (const char* check : {"token_exchange", "no_token_exchange", "no_token_endpoint"}) {
      if (find(findings, check)) return check;
    }
    return "nothing";
  };
  EXPECT_EQ(finding(document()), "nothing");
  options.exchange.client_id = "mcp";
  EXPECT_EQ(finding(document()), "token_exchange");
  json::object metadata = document();
  metadata["grant_types_supported"] = json::array{"authorization_code"};
  EXPECT_EQ(finding(metadata), "no_token_exchange");
  metadata["grant_types_supported"] =
      json::array{"urn:ietf:params:oauth:grant-type:token-exchange"};
  EXPECT_EQ(finding(metadata), "token_exchange");
  metadata.erase("token_endpoint");
  EXPECT_EQ(finding(metadata), "no_token_endpoint");
  options.exchange.url = "https://login.example/token";
  EXPECT_EQ(finding(metadata), "token_exchange");
}

TEST(Checkup, AsksWhereServersAndClientsLookTheConfiguredPlaceFirst) {
  EXPECT_THAT(*document_places(options_for("https://idp.example/realms/main")),
              ElementsAre("https://idp.example/realms/main/.well-known/openid-configuration",
                          "https://idp.example/.well-known/oauth-authorization-server/realms/main",
                          "https://idp.example/.well-known/openid-configuration/realms/main"));
  IssuerOptions oauth = options_for("https://idp.example/");
  oauth.form = DiscoveryForm::oauth;
  EXPECT_THAT(*document_places(oauth),
              ElementsAre("https://idp.example/.well-known/oauth-authorization-server",
                          "https://idp.example/.well-known/openid-configuration"));
  EXPECT_FALSE(document_places(options_for("http://idp.example")));
}

TEST(Checkup, KnowsProvidersByTheirAddress) {
  struct Row {
    const char* url;
    Provider provider;
  };
  for (const Row& row :
       {Row{"https://corp.eu.auth0.com/", Provider::auth0},
        Row{"https://corp.okta.com/oauth2/default", Provider::okta},
        Row{"https://accounts.google.com", Provider::google},
        Row{"https://login.microsoftonline.com/x/v2.0", Provider::entra},
        Row{"https://sso.example/realms/main", Provider::keycloak},
        Row{"https://okta.com.evil.example", Provider::other},
        Row{"https://notauth0.com", Provider::other},
        Row{"https://x.accounts.google.com", Provider::other}, Row{"not a url", Provider::other}}) {
    EXPECT_EQ(guess_provider(row.url), row.provider) << row.url;
  }
}

TEST(Checkup, TellsEachProvidersWayToAnAudience) {
  for (const Provider provider : {Provider::auth0, Provider::okta, Provider::google,
                                  Provider::entra, Provider::keycloak, Provider::other}) {
    IssuerOptions options = options_for();
    options.rules.provider = provider;
    const auto findings = check_up(options, evidence_of(options, document()));
    ASSERT_TRUE(find(findings, "audience"));
    EXPECT_THAT(find(findings, "audience")->found, HasSubstr(test::kAudience));
    EXPECT_FALSE(find(findings, "audience")->fix.empty());
  }
}

TEST(Checkup, WarnsOfAnAudienceOnThisMachine) {
  IssuerOptions options = options_for();
  options.rules.audiences = {"http://localhost:8000/mcp"};
  const auto findings = check_up(options, evidence_of(options, document()));
  ASSERT_TRUE(find(findings, "audience_is_local"));
  EXPECT_THAT(find(findings, "audience_is_local")->fix, HasSubstr("public_url"));
}

TEST(Checkup, NotesKeysOnAnotherHostAndKeysThatAreLeftOut) {
  const IssuerOptions options = options_for();
  json::object metadata = document();
  metadata["jwks_uri"] = "https://keys.example/jwks";
  Evidence evidence = evidence_of(options, metadata);
  evidence.keys->answer = answer(
      test::set_text({jwk(crypto::KeyType::rsa, {{"kid", "a"}}),
                      jwk(crypto::KeyType::rsa, {{"kid", "for-encryption"}, {"use", "enc"}}, 1)}));
  const auto findings = check_up(options, evidence);
  EXPECT_FALSE(anything_above(findings, Severity::note));
  ASSERT_TRUE(find(findings, "keys_elsewhere"));
  EXPECT_THAT(find(findings, "keys_elsewhere")->found, HasSubstr("keys.example"));
  ASSERT_TRUE(find(findings, "key_skipped"));
  EXPECT_THAT(find(findings, "key_skipped")->found, HasSubstr("for-encryption"));
}

TEST(Checkup, KeysOfAConfiguredPlaceMakeAMissingDocumentAWarning) {
  IssuerOptions options = options_for();
  options.jwks_uri = "https://idp.example/keys";
  Evidence evidence = evidence_of(options, {});
  evidence.documents.front().answer = answer("", 404);
  const auto findings = check_up(options, evidence);
  ASSERT_TRUE(find(findings, "no_document"));
  EXPECT_EQ(find(findings, "no_document")->severity, Severity::warning);
  EXPECT_EQ(find(findings, "keys")->severity, Severity::fine);
}

TEST(Checkup, ADocumentThatOnlyClientsFindNamesTheWayAroundIt) {
  const IssuerOptions options = options_for("https://idp.example/tenant");
  Evidence evidence = evidence_of(options, {});
  evidence.documents.front().answer = answer("", 404);
  evidence.documents.back().answer = answer(to_json(document("https://idp.example/tenant")));
  const auto findings = check_up(options, evidence);
  ASSERT_TRUE(find(findings, "discovery_form"));
  EXPECT_THAT(find(findings, "discovery_form")->fix,
              HasSubstr(R"(set auth.jwks_uri to "https://idp.example/tenant/jwks")"));
  EXPECT_EQ(fitting(options, evidence).form, DiscoveryForm::oidc);
}

TEST(Checkup, ProposesOnlyAnIssuerThatCouldBeConfigured) {
  const IssuerOptions options = options_for();
  EXPECT_EQ(fitting(options, evidence_of(options, document("https://idp.example/"))).url,
            "https://idp.example/");
  EXPECT_EQ(fitting(options, evidence_of(options, document("http://evil.example"))).url, kIssuer);
}

TEST(Checkup, ShowsWhatStrangersWriteOnlyAsPrintableText) {
  const IssuerOptions options = options_for();
  json::object metadata = document("https://idp.example/\x1b[31m");
  metadata["code_challenge_methods_supported"] = json::array{"\x1b[2J"};
  for (const Finding& one : check_up(options, evidence_of(options, metadata))) {
    EXPECT_EQ(one.found.find('\x1b'), std::string::npos) << one.check;
    EXPECT_EQ(one.fix.find('\x1b'), std::string::npos) << one.check;
  }
  metadata["issuer"] = kIssuer;
  for (const Finding& one : check_up(options, evidence_of(options, metadata))) {
    EXPECT_EQ(one.found.find('\x1b'), std::string::npos) << one.check;
  }
}

TEST(Checkup, BelievesNoDocumentThatIsNotJson) {
  const IssuerOptions options = options_for();
  for (const char* body : {"", "[]", "null", "{", "\xff", "{\"issuer\":7}"}) {
    Evidence evidence = evidence_of(options, document());
    evidence.documents.front().answer = answer(body);
    EXPECT_TRUE(find(check_up(options, evidence), "not_metadata")) << body;
  }
}

}  // namespace
}  // namespace kubiya::identity
