// SPDX-License-Identifier: Apache-2.0
#include "identity/explain.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "identity/authenticator_fixture.h"

namespace kubiya::identity::test {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using ::testing::Not;

// The parts of a server that judge, and the question why.
struct Desk {
  World world;
  std::vector<std::unique_ptr<Issuer>> issuers;

  explicit Desk(std::vector<IssuerOptions> options = {issuer_options()}, bool published = true) {
    if (published) publish(world.client);
    world.options.mode = options.empty() ? Mode::api_key : Mode::token;
    for (auto& one : options) {
      issuers.push_back(Issuer::open(std::move(one), world.client, world.clock));
    }
  }
  Explanation why(const std::string& credential) {
    const std::string header = "Bearer " + credential;
    return explain(bearer(header), world.options, issuers, world.keys, world.people, world.clock,
                   20ms);
  }
};

std::string text_of(const Trail& trail) {
  std::string out;
  for (const auto& step : trail.steps()) {
    const char mark = step.outcome == Outcome::passed   ? '+'
                      : step.outcome == Outcome::failed ? '!'
                                                        : '-';
    out += std::string(out.empty() ? "" : " ") + mark + std::string(to_string(step.check));
  }
  return out;
}

std::string detail_of(const Trail& trail, Check check) {
  for (const auto& step : trail.steps()) {
    if (step.check == check) return step.detail;
  }
  return "not there";
}

TEST(Explain, AGoodTokenPassesEveryCheckInOrder) {
  Desk desk;
  const auto [verdict, trail] =
      desk.why(claims_token({{"kubiya_api_key", "kb-of-the-platform"}, {"scope", "read execute"}}));
  ASSERT_TRUE(verdict) << to_string(verdict.error().reason);
  EXPECT_EQ(text_of(trail),
            "+credential +token +issuer +type +audience +required_claims +times +subject +proof "
            "+tenant +scopes +key_claim +signing_key +signature +person +api_key");
  EXPECT_THAT(detail_of(trail, Check::token), HasSubstr("RS256, key 'rsa'"));
  EXPECT_THAT(detail_of(trail, Check::issuer), HasSubstr(kIssuer));
  EXPECT_THAT(detail_of(trail, Check::scopes), HasSubstr("scope; grants execute read"));
  EXPECT_THAT(detail_of(trail, Check::times), HasSubstr("for 600 s"));
  EXPECT_THAT(detail_of(trail, Check::key_claim), HasSubstr("claim:kubiya_api_key"));
}

// What the authenticator says and what is said when it is asked why are one and the same; the
// check that failed is the last one that was reached.
TEST(Explain, EveryRefusalIsTheServersAndNamesItsCheck) {
  const auto other = [](const json::object& header, const char* signer = "rsa") {
    return token_of(to_json(header), to_json(default_claims()), Algorithm::rs256,
                    std::string_view(signer) == "rsa" ? 0 : 1);
  };
  Desk desk;
  World server;
  publish(server.client);
  server.open_tokens();
  const auto own = desk.world.add_key({.tenant = "default", .owner = "bob"});
  server.rows = desk.world.rows;
  server.keys.replace(server.rows);
  struct Row {
    const char* name;
    std::string token;
    const char* reason;
    Check failed;
  };
  for (const Row& row : std::vector<Row>{
           {"three parts", "abc", "not_three_parts", Check::token},
           {"not base64url", "a%b.c.d", "bad_base64", Check::token},
           {"no algorithm of ours", other({{"alg", "none"}}), "bad_algorithm", Check::token},
           {"crit", other({{"alg", "RS256"}, {"crit", {"b64"}}}), "critical_header", Check::token},
           {"issuer", claims_token({{"iss", "https://idp.example/"}}), "wrong_issuer",
            Check::issuer},
           {"audience", claims_token({{"aud", "https://other"}}), "wrong_audience",
            Check::audience},
           {"expired", claims_token({{"exp", kNow - 100}}), "token_expired", Check::times},
           {"subject", claims_token({{"sub", 7}}), "bad_subject", Check::subject},
           {"scope", claims_token({{"scope", "a  b"}}), "bad_claim", Check::scopes},
           {"two keys", claims_token({{"kubiya_api_key", "kb-a"}, {"api_key", "kb-b"}}),
            "key_claims_disagree", Check::key_claim},
           {"algorithm of another key", other({{"alg", "PS256"}, {"kid", "rsa"}}), "bad_signature",
            Check::signature},
           {"key unknown", token_by("new", 0), "unknown_key", Check::signing_key},
           {"forged", other(default_header(), "another"), "bad_signature", Check::signature},
           {"somebody else's key", claims_token({{"kubiya_api_key", own.key.reveal()}}),
            "key_of_another_owner", Check::api_key},
       }) {
    const auto [verdict, trail] = desk.why(row.token);
    ASSERT_FALSE(verdict) << row.name;
    EXPECT_EQ(to_string(verdict.error().reason), row.reason) << row.name;
    EXPECT_EQ(server.judged(row.token), row.reason) << row.name;
    int failed = 0;
    for (const auto& step : trail.steps()) {
      if (step.outcome != Outcome::failed) continue;
      ++failed;
      EXPECT_EQ(to_string(step.check), to_string(row.failed)) << row.name;
    }
    EXPECT_EQ(failed, 1) << row.name;
    EXPECT_TRUE(row.failed == Check::api_key || text_of(trail).find(" -") != std::string::npos)
        << row.name << ": nothing is left that was not reached";
  }
}

TEST(Explain, BehindAFailureTheRestIsNotReached) {
  Desk desk;
  const auto [verdict, trail] = desk.why(claims_token({{"aud", "https://other"}}));
  EXPECT_EQ(text_of(trail),
            "+credential +token +issuer +type !audience -required_claims -times -subject -proof "
            "-tenant -scopes -key_claim -signing_key -signature -person -vault -api_key");
  const std::string detail = detail_of(trail, Check::audience);
  EXPECT_THAT(detail, HasSubstr("accepted: https://mcp.example/mcp"));
  EXPECT_THAT(detail, HasSubstr(R"(it is for "https://other")"));
}

TEST(Explain, HoldsNeitherTokenNorKey) {
  Desk desk;
  const std::string key(desk.world.add_key({.tenant = "default", .owner = "ada"}).key.reveal());
  for (const json::object& change :
       {json::object{}, json::object{{"aud", "x"}}, json::object{{"api_key", "kb-secret-other"}}}) {
    json::object claims = change;
    claims["kubiya_api_key"] = key;
    const std::string token = claims_token(claims);
    const auto [verdict, trail] = desk.why(token);
    for (const auto& step : trail.steps()) {
      EXPECT_THAT(step.detail, Not(HasSubstr(key)));
      EXPECT_THAT(step.detail, Not(HasSubstr("kb-secret-other")));
      EXPECT_THAT(step.detail, Not(HasSubstr(token.substr(token.rfind('.')))));
    }
  }
}

TEST(Explain, WithoutTheIssuersKeysSaysWhatIsWrongWithIt) {
  Desk desk({issuer_options()}, false);
  const auto [verdict, trail] = desk.why(claims_token({}));
  ASSERT_FALSE(verdict);
  EXPECT_EQ(verdict.error().reason, Reason::keys_unavailable);
  EXPECT_THAT(detail_of(trail, Check::signing_key), HasSubstr("answered 404"));
}

TEST(Explain, AnApiKeyHasChecksOfItsOwn) {
  Desk desk{std::vector<IssuerOptions>{}};
  const std::string key(
      desk.world.add_key({.tenant = "acme", .owner = "ada", .scopes = "read"}).key.reveal());
  const auto good = desk.why(key);
  ASSERT_TRUE(good.verdict);
  EXPECT_EQ(text_of(good.trail), "+credential +api_key");
  EXPECT_THAT(detail_of(good.trail, Check::api_key), HasSubstr("of ada, scopes: read"));
  desk.world.rows[0].revoked_ms = 1;
  desk.world.keys.replace(desk.world.rows);
  const auto bad = desk.why(key);
  EXPECT_EQ(outcome(bad.verdict), "revoked_api_key");
  EXPECT_EQ(text_of(bad.trail), "+credential !api_key");
}

TEST(Explain, AnOpaqueTokenIsAskedAbout) {
  IssuerOptions options = issuer_options();
  options.tokens = TokenKind::opaque;
  options.introspection.url = std::string(kIssuer) + "/introspect";
  options.introspection.client_id = "us";
  options.introspection.client_secret = Secret("secret");
  Desk desk({options});
  json::object members{{"active", true}, {"sub", "ada"}, {"aud", kAudience}, {"scope", "read"}};
  desk.world.client.answer(options.introspection.url, to_json(members));
  const auto good = desk.why("opaque-token-text");
  ASSERT_TRUE(good.verdict) << outcome(good.verdict);
  EXPECT_EQ(text_of(good.trail),
            "+credential +introspection +issuer +audience +required_claims +times +subject +proof "
            "+tenant +scopes +key_claim +person +vault");
  desk.world.client.answer(options.introspection.url, R"({"active":false})");
  const auto bad = desk.why("opaque-token-text");
  EXPECT_EQ(outcome(bad.verdict), "token_inactive");
  EXPECT_THAT(text_of(bad.trail), HasSubstr("!introspection -issuer -audience"));
  desk.world.client.hold = true;
  const auto late = desk.why("opaque-token-text");
  EXPECT_EQ(outcome(late.verdict), "introspection_unavailable");
  EXPECT_THAT(detail_of(late.trail, Check::introspection), HasSubstr("no answer in time"));
}

TEST(Explain, NoCredentialIsAnAnswerToo) {
  Desk desk;
  const auto out = explain({}, desk.world.options, desk.issuers, desk.world.keys, desk.world.people,
                           desk.world.clock, 20ms);
  EXPECT_EQ(outcome(out.verdict), "no_credential");
  EXPECT_THAT(text_of(out.trail), HasSubstr("!credential -token"));
}

}  // namespace
}  // namespace kubiya::identity::test
