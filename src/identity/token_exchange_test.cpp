// SPDX-License-Identifier: Apache-2.0
#include "identity/token_exchange.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/encoding.h"
#include "identity/authenticator.h"
#include "identity/minter.h"
#include "identity/provider_fixture.h"

namespace kubiya::identity::test {
namespace {

using ::testing::HasSubstr;

const std::string kTokenUrl = std::string(kIssuer) + "/token";
constexpr std::string_view kBilling = "https://billing.example";

ExchangeOptions exchange_options() {
  ExchangeOptions options;
  options.client_id = "mcp";
  options.client_secret = Secret("s3cret");
  options.audiences = {{std::string(kBilling), {}}, {"ledger", {"close-month", "report"}}};
  return options;
}

WantedToken wanted(std::string workflow = "report", std::string audience = std::string(kBilling)) {
  return {std::move(workflow), std::move(audience), {}};
}

json::object answer(const json::object& more = {}) {
  json::object members = {{"access_token", "down.stream.token"},
                          {"issued_token_type", "urn:ietf:params:oauth:token-type:access_token"},
                          {"token_type", "Bearer"},
                          {"expires_in", 300}};
  for (const auto& member : more) members[member.key()] = member.value();
  return members;
}

std::string read(const json::object& members, int status = 200) {
  const auto token =
      read_exchange(FakeClient::response(status, to_json(members)), exchange_options(), "callers");
  return token ? "token " + std::string(token->reveal()) : token.error().message;
}

TEST(TokenExchange, AsksAsTheStandardSays) {
  WantedToken what = wanted();
  what.scopes = {"invoices.read", "invoices.pay"};
  const auto request =
      exchange_request(exchange_options(), kIssuer, kTokenUrl, "callers/token", what, at(kNow));
  ASSERT_TRUE(request);
  EXPECT_EQ(request->url, kTokenUrl);
  EXPECT_EQ(request->authorization->reveal(), "Basic " + base64("mcp:s3cret"));
  EXPECT_EQ(request->form->reveal(),
            "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange"
            "&subject_token=callers%2Ftoken"
            "&subject_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Aaccess_token"
            "&requested_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Aaccess_token"
            "&audience=https%3A%2F%2Fbilling.example"
            "&scope=invoices.read%20invoices.pay");
}

TEST(TokenExchange, AllowsTheListedAudiencesToTheListedWorkflows) {
  const ExchangeOptions options = exchange_options();
  EXPECT_TRUE(check_exchange(options, wanted("anything")));
  EXPECT_TRUE(check_exchange(options, wanted("report", "ledger")));
  for (const auto& [workflow, audience] :
       {std::pair{"anything", "ledger"}, std::pair{"report", "https://billing.example/"},
        std::pair{"report", "LEDGER"}, std::pair{"report", ""}}) {
    const auto refused = check_exchange(options, wanted(workflow, audience));
    ASSERT_FALSE(refused) << workflow << " " << audience;
    EXPECT_EQ(refused.error().code, Code::forbidden);
    EXPECT_THAT(refused.error().message, HasSubstr("auth.token_exchange.audiences"));
  }
}

TEST(TokenExchange, TakesAShortLivedBearerTokenOnly) {
  EXPECT_EQ(read(answer()), "token down.stream.token");
  EXPECT_EQ(read(answer({{"issued_token_type", "urn:ietf:params:oauth:token-type:jwt"},
                         {"token_type", "bearer"}})),
            "token down.stream.token");
  const struct {
    json::object members;
    const char* says;
  } rows[] = {
      {{{"access_token", "callers"}}, "is the caller's own token"},
      {{{"access_token", ""}}, "has no access_token"},
      {{{"access_token", "a b"}}, "has no access_token"},
      {{{"access_token", "a\nb"}}, "has no access_token"},
      {{{"access_token", 7}}, "has no access_token"},
      {{{"access_token", std::string(17'000, 'a')}}, "too long"},
      {{{"issued_token_type", nullptr}}, "has no access token"},
      {{{"issued_token_type", "urn:ietf:params:oauth:token-type:refresh_token"}},
       "has no access token"},
      {{{"token_type", "DPoP"}}, "not for a bearer"},
      {{{"token_type", nullptr}}, "not for a bearer"},
      {{{"expires_in", nullptr}}, "does not say how long"},
      {{{"expires_in", "300"}}, "does not say how long"},
      {{{"expires_in", 0}}, "lives 0 s"},
      {{{"expires_in", -1}}, "lives -1 s"},
      {{{"expires_in", 3601}}, "lives 3601 s; auth.token_exchange.lifetime_max is 3600"},
  };
  for (const auto& row : rows) EXPECT_THAT(read(answer(row.members)), HasSubstr(row.says));
  ExchangeOptions any = exchange_options();
  any.lifetime_max = std::chrono::seconds(0);
  EXPECT_TRUE(read_exchange(FakeClient::response(200, to_json(answer({{"expires_in", nullptr}}))),
                            any, "callers"));
  EXPECT_FALSE(read_exchange(FakeClient::response(200, "[]"), any, "callers"));
}

TEST(TokenExchange, TellsTheIssuersReason) {
  EXPECT_EQ(read({{"error", "invalid_target"}, {"error_description", "no such\nservice"}}, 400),
            "The issuer refuses the token exchange: invalid_target, no such\\u000aservice.");
  EXPECT_EQ(read({{"error", "access_denied"}}, 403),
            "The issuer refuses the token exchange: access_denied.");
  EXPECT_EQ(read({{"access_token", "x"}}, 500), "The issuer's token endpoint answered 500.");
}

// A server before an issuer that exchanges tokens.
struct World {
  FakeClient client;
  ManualClock clock;
  KeyBook keys{Secret("pepper of the tests")};
  std::unique_ptr<Authenticator> authenticator;

  explicit World(ExchangeOptions exchange = exchange_options(), bool with_endpoint = true) {
    json::object document{{"issuer", kIssuer}, {"jwks_uri", kJwks}};
    if (with_endpoint) document["token_endpoint"] = kTokenUrl;
    client.answer(kDiscovery, to_json(document));
    client.answer(kJwks, one_key("rsa"));
    client.answer(kTokenUrl, to_json(answer()));
    IssuerOptions options = issuer_options();
    options.exchange = std::move(exchange);
    std::vector<std::unique_ptr<Issuer>> issuers;
    issuers.push_back(Issuer::open(std::move(options), client, clock));
    AuthenticatorOptions how;
    how.mode = Mode::token;
    authenticator = Authenticator::open(how, std::move(issuers), keys, clock);
  }
  PrincipalPtr caller(const std::string& token) const {
    const std::string header = "Bearer " + token;
    Presented presented;
    presented.authorization = header;
    presented.authorization_count = 1;
    const auto verdict = authenticator->now(presented, 0);
    return verdict && *verdict ? **verdict : nullptr;
  }
  std::string exchange(const Principal& who, const WantedToken& what = wanted()) const {
    std::string said = "nothing";
    authenticator->issuers()[0]->exchange(who, what, [&](const Result<Secret>& token) {
      said = token ? "token " + std::string(token->reveal()) : token.error().message;
    });
    return said;
  }
};

TEST(TokenExchanger, GetsAnotherTokenForTheCallers) {
  World world;
  const std::string token = with_claims(default_claims());
  const PrincipalPtr who = world.caller(token);
  ASSERT_TRUE(who);
  EXPECT_EQ(world.exchange(*who), "token down.stream.token");
  const auto& asked = world.client.requests.back();
  EXPECT_EQ(asked.url, kTokenUrl);
  EXPECT_THAT(std::string(asked.form->reveal()), HasSubstr("&subject_token=" + token + "&"));
}

TEST(TokenExchanger, SaysWhyItCannot) {
  World world;
  const PrincipalPtr who = world.caller(with_claims(default_claims()));
  ASSERT_TRUE(who);
  EXPECT_THAT(world.exchange(*who, wanted("other", "ledger")), HasSubstr("may not ask"));
  PrincipalFacts with_key;
  with_key.issuer = kIssuer;
  EXPECT_THAT(world.exchange(*Minter::mint(std::move(with_key))), HasSubstr("with an API key"));
  EXPECT_EQ(world.client.count(kTokenUrl), 0);
  world.client.fail_with(kTokenUrl, Code::timeout, "no answer in time");
  EXPECT_THAT(world.exchange(*who), HasSubstr("could not be asked: no answer in time"));
  world.clock.advance(std::chrono::hours(2));
  EXPECT_THAT(world.exchange(*who), HasSubstr("has expired since"));
  EXPECT_EQ(world.client.count(kTokenUrl), 1);
  World without(exchange_options(), false);
  EXPECT_THAT(without.exchange(*who), HasSubstr("set auth.token_exchange.url"));
}

TEST(TokenExchanger, KeepsCallersTokensOnlyWhereTheyAreExchanged) {
  World world, none({});
  const std::string token = with_claims(default_claims());
  EXPECT_TRUE((*world.caller(token))->token);
  const PrincipalPtr who = none.caller(token);
  ASSERT_TRUE(who);
  EXPECT_FALSE((*who)->token);
  EXPECT_THAT(none.exchange(*who), HasSubstr("is not configured"));
}

}  // namespace
}  // namespace kubiya::identity::test
