// SPDX-License-Identifier: Apache-2.0
#include "identity/introspection.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>

#include "identity/authenticator.h"
#include "identity/provider_fixture.h"

namespace kubiya::identity::test {
namespace {

using ::testing::HasSubstr;

const std::string kIntrospect = std::string(kIssuer) + "/introspect";

IssuerOptions opaque_options() {
  IssuerOptions options = issuer_options();
  options.tokens = TokenKind::opaque;
  options.introspection.client_id = "mcp:1";
  options.introspection.client_secret = Secret("s/e cret");
  return options;
}

json::object active(const json::object& more = {}) {
  json::object members = {{"active", true},  {"sub", "ada"},         {"aud", kAudience},
                          {"scope", "read"}, {"client_id", "agent"}, {"exp", kNow + 600}};
  for (const auto& member : more) members[member.key()] = member.value();
  return members;
}

// A server with one loop before an issuer whose tokens are opaque.
struct World {
  FakeClient client;
  ManualClock clock;
  Secret pepper{"pepper of the tests"};
  KeyBook keys{pepper};
  std::deque<std::function<void()>> posted;
  std::unique_ptr<Authenticator> authenticator;

  explicit World(std::vector<IssuerOptions> issuers = {opaque_options()}) {
    client.answer(kDiscovery, to_json(json::object{{"issuer", kIssuer},
                                                   {"jwks_uri", kJwks},
                                                   {"introspection_endpoint", kIntrospect}}));
    client.answer(kJwks, one_key("rsa"));
    std::vector<std::unique_ptr<Issuer>> list;
    list.reserve(issuers.size());
    for (auto& issuer : issuers) list.push_back(Issuer::open(std::move(issuer), client, clock));
    AuthenticatorOptions options;
    options.mode = Mode::token;
    authenticator = Authenticator::open(options, std::move(list), keys, clock);
  }
  void says(const json::object& members) { client.answer(kIntrospect, to_json(members)); }

  static Presented presented(const std::string& header) {
    Presented what;
    what.authorization = header;
    what.authorization_count = 1;
    return what;
  }
  void later(const std::string& token, std::vector<Verdict>& verdicts) {
    const std::string header = "Bearer " + token;
    authenticator->later(
        presented(header), 0, [this](auto work) { posted.push_back(std::move(work)); },
        [&verdicts](Verdict verdict) { verdicts.push_back(std::move(verdict)); });
  }
  void run_all() {
    for (; !posted.empty(); posted.pop_front()) posted.front()();
  }
  Verdict judged(const std::string& token) {
    const std::string header = "Bearer " + token;
    if (auto verdict = authenticator->now(presented(header), 0)) return *verdict;
    std::vector<Verdict> verdicts;
    later(token, verdicts);
    run_all();
    EXPECT_EQ(verdicts.size(), 1u);
    return verdicts.empty() ? tl::unexpected(Refused{}) : verdicts[0];
  }
  std::string outcome(const std::string& token) {
    const Verdict verdict = judged(token);
    return verdict ? "served" : std::string(to_string(verdict.error().reason));
  }
  int asked() const { return client.count(kIntrospect); }
};

TEST(Introspection, TheAnswerMakesThePerson) {
  World world;
  world.says(active({{"username", "Ada"}, {"kubiya_api_key", "kb-1"}}));
  const Verdict verdict = world.judged("opaque-1");
  ASSERT_TRUE(verdict) << to_string(verdict.error().reason) << verdict.error().detail;
  const PrincipalFacts& facts = (*verdict)->facts();
  EXPECT_EQ(facts.issuer, kIssuer);
  EXPECT_EQ(facts.subject, "ada");
  EXPECT_EQ(facts.client, "agent");
  EXPECT_EQ(facts.scopes, Scopes{"read"});
  EXPECT_EQ(facts.api_key->reveal(), "kb-1");
  EXPECT_EQ(facts.expires_at, at(kNow + 600));
  EXPECT_EQ(facts.trusted_until, at(kNow + 60)) << "then it must be asked about again";
}

TEST(Introspection, AnAnswerServesAStreamForATimeOnly) {
  std::vector<IssuerOptions> options{opaque_options()};
  options[0].introspection.stream_time = std::chrono::seconds(20);
  World world(options);
  json::object endless = active();
  endless.erase("exp");
  world.says(endless);
  const PrincipalPtr who = *world.judged("opaque-1");
  EXPECT_EQ(who->facts().expires_at, Wall::max());
  world.clock.advance(std::chrono::seconds(19));
  EXPECT_TRUE(world.authenticator->still_good(*who));
  world.clock.advance(std::chrono::seconds(1));
  EXPECT_FALSE(world.authenticator->still_good(*who));
}

TEST(Introspection, AnswersAreJudgedLikeTokens) {
  struct Row {
    const char* name;
    json::object answer;
    const char* outcome;
  };
  json::object no_aud = active();
  no_aud.erase("aud");
  json::object no_exp = active();
  no_exp.erase("exp");
  json::object no_sub = active();
  no_sub.erase("sub");
  json::object no_active = active();
  no_active.erase("active");
  for (const Row& row : std::vector<Row>{
           {"good", active(), "served"},
           {"C24 inactive", {{"active", false}}, "token_inactive"},
           {"C24 inactive with claims", active({{"active", false}}), "token_inactive"},
           {"C25 active missing", no_active, "token_inactive"},
           {"C25 active is a text", active({{"active", "true"}}), "token_inactive"},
           {"C25 active is 1", active({{"active", 1}}), "token_inactive"},
           {"C25 active is null", active({{"active", nullptr}}), "token_inactive"},
           {"C26 no aud", no_aud, "bad_claim"},
           {"C26 another aud", active({{"aud", "https://other.example"}}), "wrong_audience"},
           {"C27 expired", active({{"exp", kNow - 31}}), "token_expired"},
           {"C27 not yet", active({{"nbf", kNow + 31}}), "token_not_yet_valid"},
           {"C27 another iss", active({{"iss", "https://evil.example"}}), "wrong_issuer"},
           {"its own iss", active({{"iss", kIssuer}}), "served"},
           {"no exp", no_exp, "served"},
           {"no sub", no_sub, "bad_subject"},
           {"bound to a key", active({{"cnf", json::object{{"jkt", "x"}}}}),
            "unsupported_confirmation"},
       }) {
    World world;
    world.says(row.answer);
    EXPECT_EQ(world.outcome("opaque-1"), row.outcome) << row.name;
  }
}

TEST(Introspection, AMissingAudienceMayBeAllowed) {
  IssuerOptions options = opaque_options();
  options.introspection.allow_missing_audience = true;
  World world({options});
  json::object members = active();
  members.erase("aud");
  world.says(members);
  EXPECT_EQ(world.outcome("opaque-1"), "served");
  world.says(active({{"aud", "https://other.example"}}));
  EXPECT_EQ(world.outcome("opaque-2"), "wrong_audience");
}

TEST(Introspection, NoAnswerIsARefusalForNow) {
  struct Row {
    const char* name;
    int status;
    std::string body;
  };
  for (const Row& row : std::vector<Row>{
           {"C28 401", 401, "{}"},
           {"C28 403", 403, to_json(active())},
           {"C29 429", 429, "{}"},
           {"C29 503", 503, "{}"},
           {"400", 400, "{}"},
           {"302", 302, ""},
           {"a page", 200, "<html>"},
           {"a signed answer", 200, "eyJ.eyJ.x"},
           {"an array", 200, "[true]"},
           {"a duplicate member", 200, R"({"active":false,"active":true})"},
       }) {
    World world;
    world.client.answer(kIntrospect, row.body, row.status);
    const Verdict verdict = world.judged("opaque-1");
    ASSERT_FALSE(verdict) << row.name;
    EXPECT_EQ(to_string(verdict.error().reason), "introspection_unavailable") << row.name;
    EXPECT_TRUE(is_transient(verdict.error().reason));
    EXPECT_EQ(verdict.error().detail.find("opaque-1"), std::string::npos);
  }
  World world;
  world.client.fail_with(kIntrospect, Code::timeout, "no answer");
  EXPECT_EQ(world.outcome("opaque-1"), "introspection_unavailable");
}

TEST(Introspection, AWordAboutTheTokenIsARefusalOfIt) {
  World world;
  world.client.answer(kIntrospect, R"({"error":"unsupported_token_type"})", 400);
  EXPECT_EQ(world.outcome("opaque-1"), "token_inactive");
  world.client.answer(kIntrospect, R"({"error":"invalid_client"})", 400);
  EXPECT_EQ(world.outcome("opaque-2"), "introspection_unavailable");
  world.client.answer(kIntrospect, R"({"error":"unsupported_token_type"})", 401);
  EXPECT_EQ(world.outcome("opaque-3"), "introspection_unavailable");
}

TEST(Introspection, RevocationIsSeenWithinTheCacheTime) {
  World world;
  world.says(active());
  EXPECT_EQ(world.outcome("opaque-1"), "served");
  world.says({{"active", false}});
  world.clock.advance(std::chrono::seconds(29));
  EXPECT_EQ(world.outcome("opaque-1"), "served");
  EXPECT_EQ(world.asked(), 1);
  world.clock.advance(std::chrono::seconds(1));
  EXPECT_EQ(world.outcome("opaque-1"), "token_inactive");
  EXPECT_EQ(world.asked(), 2);
}

TEST(Introspection, AnOutageAfterTheCacheTimeServesNobody) {
  World world;
  world.says(active());
  EXPECT_EQ(world.outcome("opaque-1"), "served");
  world.client.fail_with(kIntrospect, Code::unavailable, "down");
  world.clock.advance(std::chrono::seconds(31));
  EXPECT_EQ(world.outcome("opaque-1"), "introspection_unavailable");
}

TEST(Introspection, ARefusalIsRememberedForSecondsOnly) {
  World world;
  world.says({{"active", false}});
  EXPECT_EQ(world.outcome("opaque-1"), "token_inactive");
  EXPECT_EQ(world.outcome("opaque-1"), "token_inactive");
  EXPECT_EQ(world.asked(), 1);
  world.clock.advance(std::chrono::seconds(5));
  world.says(active());
  EXPECT_EQ(world.outcome("opaque-1"), "served");
}

TEST(Introspection, TheTokensOwnEndComesFirst) {
  World world;
  world.says(active({{"exp", kNow + 10}}));
  EXPECT_EQ(world.outcome("opaque-1"), "served");
  world.clock.advance(std::chrono::seconds(41));
  EXPECT_EQ(world.outcome("opaque-1"), "token_expired");
}

TEST(Introspection, EqualTokensAreAskedAboutOnce) {
  World world;
  world.says(active());
  world.client.hold = true;
  std::vector<Verdict> verdicts;
  for (int i = 0; i < 5; ++i) world.later("opaque-1", verdicts);
  world.later("opaque-2", verdicts);
  EXPECT_EQ(world.asked(), 2);
  world.client.deliver();
  world.run_all();
  EXPECT_EQ(verdicts.size(), 6u);
  for (const auto& verdict : verdicts) EXPECT_TRUE(verdict);
}

TEST(Introspection, WhatWaitsIsBounded) {
  World world;
  world.says(active());
  world.client.hold = true;
  std::vector<Verdict> verdicts;
  for (int i = 0; i < 40; ++i) world.later("opaque-" + std::to_string(i), verdicts);
  EXPECT_EQ(world.asked(), 32);
  world.run_all();
  ASSERT_EQ(verdicts.size(), 8u);
  EXPECT_EQ(verdicts[0].error().reason, Reason::overloaded);
  world.client.deliver();
  world.run_all();
  EXPECT_EQ(verdicts.size(), 40u);
}

TEST(Introspection, AnIssuerThatAsksToBeLeftAloneIs) {
  World world;
  http::FetchResponse busy{429, "{}", {}};
  busy.retry_after = std::chrono::seconds(20);
  world.client.answers.insert_or_assign(kIntrospect, busy);
  EXPECT_EQ(world.outcome("opaque-1"), "introspection_unavailable");
  world.says(active());
  world.clock.advance(std::chrono::seconds(19));
  EXPECT_EQ(world.outcome("opaque-1"), "introspection_unavailable");
  EXPECT_EQ(world.asked(), 1);
  world.clock.advance(std::chrono::seconds(1));
  EXPECT_EQ(world.outcome("opaque-1"), "served");
}

TEST(Introspection, TokensThatDifferALittleNeverMeet) {
  World world;  // C30, C32
  world.says(active());
  EXPECT_EQ(world.outcome("opaque-token"), "served");
  world.says({{"active", false}});
  EXPECT_EQ(world.outcome("opaque-toke"), "token_inactive");
  EXPECT_EQ(world.outcome("opaque-tokem"), "token_inactive");
  EXPECT_EQ(world.outcome("opaque-token"), "served");
}

TEST(Introspection, TheConfigurationSaysWhoIsAskedAndNotTheText) {
  World alone;  // C33
  alone.says(active());
  EXPECT_EQ(alone.outcome(token_by("rsa", 0)), "served");
  EXPECT_EQ(alone.asked(), 1);

  IssuerOptions second = issuer_options();
  second.url = second.rules.issuer = "https://second.example";
  World both({opaque_options(), second});
  both.client.answer("https://second.example/.well-known/openid-configuration",
                     metadata_text("https://second.example", "https://second.example/jwks"));
  both.client.answer("https://second.example/jwks", one_key("rsa", 1));
  both.clock.advance(std::chrono::seconds(10));
  both.authenticator->tick();
  both.says(active());
  json::object claims = default_claims();
  claims["iss"] = "https://second.example";
  EXPECT_EQ(both.outcome(token_by("rsa", 1, claims)), "served");
  claims["iss"] = "https://stranger.example";
  EXPECT_EQ(both.outcome(token_by("rsa", 1, claims)), "wrong_issuer");
  EXPECT_EQ(both.asked(), 0);
  EXPECT_EQ(both.outcome(token_by("rsa", 1)), "served") << "its iss names the opaque one";
  EXPECT_EQ(both.outcome("opaque-1"), "served");
  EXPECT_EQ(both.asked(), 2);
  // An issuer of signed tokens never hears of one that it could not have signed.
  World signed_only({issuer_options()});
  EXPECT_EQ(signed_only.outcome("opaque-1"), "not_three_parts");
  EXPECT_EQ(signed_only.asked(), 0);
}

TEST(Introspection, NobodyIsAskedAboutWhatCannotBeAToken) {
  World world;
  world.says(active());
  EXPECT_EQ(world.outcome("with space"), "bad_authorization_header");
  EXPECT_EQ(world.outcome(std::string(8 * 1024 + 1, 'a')), "token_too_long");
  EXPECT_EQ(world.asked(), 0);
}

TEST(Introspection, WithoutAnEndpointTheIssuerIsNotReady) {
  World world;
  EXPECT_TRUE(world.authenticator->issuers()[0]->health().ready);
  EXPECT_EQ(world.client.count(kJwks), 0) << "no keys are needed";
  FakeClient client;
  ManualClock clock;
  client.answer(kDiscovery, metadata_text());
  const auto issuer = Issuer::open(opaque_options(), client, clock);
  EXPECT_FALSE(issuer->health().ready);
  EXPECT_THAT(issuer->health().problem, HasSubstr("introspection_endpoint"));
  IssuerOptions configured = opaque_options();
  configured.introspection.url = kIntrospect;
  FakeClient silent;
  EXPECT_TRUE(Issuer::open(configured, silent, clock)->health().ready);
}

TEST(Introspection, AnEndpointThatIsNotSafeIsRefused) {
  for (const char* url : {"http://idp.example/introspect", "file:///etc/passwd",
                          "https://127.0.0.1/introspect", "https://a@idp.example/introspect"}) {
    FakeClient client;
    ManualClock clock;
    client.answer(kDiscovery,
                  to_json(json::object{{"issuer", kIssuer}, {"introspection_endpoint", url}}));
    EXPECT_FALSE(Issuer::open(opaque_options(), client, clock)->health().ready) << url;
  }
}

// ---- the request

std::string form_of(const http::FetchRequest& request) {
  return std::string(request.form->reveal());
}

TEST(IntrospectionRequest, ProvesTheClientByBasicOrInTheForm) {
  IntrospectionOptions options = opaque_options().introspection;
  auto request = introspection_request(options, kIssuer, kIntrospect, "a+b/c=", at(kNow));
  ASSERT_TRUE(request);
  EXPECT_EQ(request->authorization->reveal(), "Basic " + base64("mcp%3A1:s%2Fe%20cret"));
  EXPECT_EQ(form_of(*request), "token=a%2Bb%2Fc%3D&token_type_hint=access_token");
  EXPECT_EQ(request->bytes_max, 64u * 1024);
  options.auth = ClientAuth::post;
  request = introspection_request(options, kIssuer, kIntrospect, "t", at(kNow));
  EXPECT_FALSE(request->authorization);
  EXPECT_EQ(form_of(*request),
            "token=t&token_type_hint=access_token&client_id=mcp%3A1&client_secret=s%2Fe%20cret");
}

TEST(IntrospectionRequest, ProvesTheClientByASignature) {
  IntrospectionOptions options = opaque_options().introspection;
  options.auth = ClientAuth::private_key_jwt;
  options.key_id = "k1";
  EXPECT_FALSE(introspection_request(options, kIssuer, kIntrospect, "t", at(kNow)));
  const auto& key = crypto::test::key_of(KeyType::ec_p256, 3);
  options.private_key = Secret(key.to_pem());
  const auto request = introspection_request(options, kIssuer, kIntrospect, "t", at(kNow));
  ASSERT_TRUE(request);
  EXPECT_FALSE(request->authorization);
  const std::string form = form_of(*request);
  constexpr std::string_view kField = "&client_assertion=";
  const std::string text = form.substr(form.find(kField) + kField.size());
  const auto token = parse_token(text);
  ASSERT_TRUE(token);
  EXPECT_TRUE(key.public_key().verify(Algorithm::es256, token->signing_input, token->signature));
  EXPECT_EQ(token->kid, "k1");
  EXPECT_EQ(find_string(token->claims, "iss"), "mcp:1");
  EXPECT_EQ(find_string(token->claims, "sub"), "mcp:1");
  EXPECT_EQ(find_string(token->claims, "aud"), kIssuer);
  EXPECT_EQ(find_int(token->claims, "exp"), kNow + 60);
  EXPECT_TRUE(find_string(token->claims, "jti"));
}

}  // namespace
}  // namespace kubiya::identity::test
