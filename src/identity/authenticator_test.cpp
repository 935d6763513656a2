// SPDX-License-Identifier: Apache-2.0
#include "identity/authenticator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>

#include "crypto/digest.h"
#include "identity/provider_fixture.h"

namespace kubiya::identity {
namespace test {
namespace {

using namespace std::chrono_literals;

Presented bearer(std::string_view value) {
  Presented out;
  out.authorization = value;
  out.authorization_count = 1;
  return out;
}

std::string outcome(const Verdict& verdict) {
  return verdict ? "served" : std::string(to_string(verdict.error().reason));
}
std::string outcome(const std::optional<Verdict>& verdict) {
  return verdict ? outcome(*verdict) : "not yet";
}

struct KeyFacts {
  std::string tenant = "acme";
  std::string owner = "ada";
  std::string scopes = {};
  std::int64_t expires_ms = 0;
  std::int64_t revoked_ms = 0;
};

// A server with one event loop that runs what is posted when told to.
struct World {
  FakeClient client;
  ManualClock clock;
  Secret pepper{"pepper of the tests"};
  KeyBook keys{pepper};
  AuthenticatorOptions options;
  std::deque<std::function<void()>> posted;
  std::unique_ptr<Authenticator> authenticator;

  void open_tokens(std::vector<IssuerOptions> issuers = {issuer_options()}) {
    options.mode = Mode::token;
    std::vector<std::unique_ptr<Issuer>> list;
    for (auto& issuer : issuers) list.push_back(Issuer::open(std::move(issuer), client, clock));
    authenticator = Authenticator::open(options, std::move(list), keys, clock);
  }
  void open_keys() { authenticator = Authenticator::open(options, {}, keys, clock); }

  NewKey add_key(const KeyFacts& facts) {
    NewKey key = make_key(pepper);
    store::KeyRow row;
    row.id = key.id;
    row.digest = key.digest;
    row.tenant = facts.tenant;
    row.owner = facts.owner;
    row.scopes = facts.scopes;
    row.expires_ms = facts.expires_ms;
    row.revoked_ms = facts.revoked_ms;
    rows.push_back(row);
    keys.replace(rows);
    return key;
  }
  std::vector<store::KeyRow> rows;

  std::optional<Verdict> now(const Presented& presented) {
    return authenticator->now(presented, 0);
  }
  std::optional<Verdict> token(const std::string& text) { return now(bearer("Bearer " + text)); }
  void later(const std::string& text, std::vector<std::string>& outcomes) {
    const std::string header = "Bearer " + text;
    authenticator->later(
        bearer(header), 0,
        [this](std::function<void()> work) { posted.push_back(std::move(work)); },
        [&outcomes](Verdict verdict) { outcomes.push_back(outcome(verdict)); });
  }
  bool run_one() {
    if (posted.empty()) return false;
    const auto work = std::move(posted.front());
    posted.pop_front();
    work();
    return true;
  }
  void run_all() {
    while (run_one()) {
    }
  }
  // now(), and later() when that is what it takes.
  std::string judged(const std::string& text) {
    if (const auto verdict = token(text)) return outcome(*verdict);
    std::vector<std::string> outcomes;
    later(text, outcomes);
    EXPECT_TRUE(outcomes.empty()) << "done() runs behind later()";
    run_all();
    EXPECT_EQ(outcomes.size(), 1u);
    return outcomes.empty() ? "none" : outcomes[0];
  }
};

std::string claims_token(const json::object& changes) {
  json::object claims = default_claims();
  for (const auto& change : changes) claims[change.key()] = change.value();
  return token_by("rsa", 0, claims);
}

TEST(Credential, FormsAreJudgedByMode) {
  const std::string token = token_by("rsa", 0);
  struct Row {
    const char* name;
    std::string authorization;
    std::string key;
    std::string argument;
    std::string in_token_mode, in_key_mode;
  };
  World tokens;
  publish(tokens.client);
  tokens.open_tokens();
  World keyed;
  const NewKey made = keyed.add_key({.tenant = "acme", .owner = "ada", .scopes = "read"});
  const std::string key(made.key.reveal());
  keyed.open_keys();
  for (const Row& row : std::vector<Row>{
           {"nothing", "", "", "", "no_credential", "no_credential"},
           {"bearer token", "Bearer " + token, "", "", "served", "bad_api_key"},
           {"D21 bearer", "bearer " + token, "", "", "served", "bad_api_key"},
           {"D21 BEARER key", "BEARER " + key, "", "", "not_three_parts", "served"},
           {"UserKey", "UserKey " + key, "", "", "bad_authorization_header", "served"},
           {"userkey", "userkey " + key, "", "", "bad_authorization_header", "served"},
           {"X-API-Key", "", key, "", "argument_key_refused", "served"},
           {"argument", "", "", key, "argument_key_refused", "served"},
           {"argument beside its header", "Bearer " + key, "", key, "argument_key_refused",
            "served"},
           {"argument beside another header", "Bearer " + key, "", key + "x",
            "argument_key_refused", "several_credentials"},
           {"D23 bearer and X-API-Key", "Bearer " + key, key, "", "several_credentials",
            "several_credentials"},
           {"D21 no credential", "Bearer", "", "", "bad_authorization_header",
            "bad_authorization_header"},
           {"D21 empty credential", "Bearer ", "", "", "bad_authorization_header",
            "bad_authorization_header"},
           {"D21 two spaces", "Bearer  " + key, "", "", "bad_authorization_header",
            "bad_authorization_header"},
           {"D21 two words", "Bearer " + key + " y", "", "", "bad_authorization_header",
            "bad_authorization_header"},
           {"D21 comma", "Bearer x,y", "", "", "bad_authorization_header",
            "bad_authorization_header"},
           {"D21 quotes", "Bearer \"x\"", "", "", "bad_authorization_header",
            "bad_authorization_header"},
           {"D21 quoted token", "Bearer \"a.b.c\"", "", "", "bad_authorization_header",
            "bad_authorization_header"},
           {"A47 padding inside", "Bearer eyJ9=.b.c", "", "", "bad_base64",
            "bad_authorization_header"},
           {"A52 JSON", "Bearer {\"payload\":\"e30\", \"signatures\":[]}", "", "",
            "not_three_parts", "bad_authorization_header"},
           {"A52 JSON with dots", "Bearer {\"a\":\"b.c.d\"}", "", "", "bad_base64",
            "bad_authorization_header"},
           {"A18 raw payload", "Bearer e30.{\"sub\":\"x\"}.e30", "", "", "bad_algorithm",
            "bad_authorization_header"},
           {"A49 space inside", "Bearer e30. e30.e30", "", "", "bad_authorization_header",
            "bad_authorization_header"},
           {"D21 Basic", "Basic YTpi", "", "", "bad_authorization_header",
            "bad_authorization_header"},
           {"D21 tab", "Bearer\t" + key, "", "", "bad_authorization_header",
            "bad_authorization_header"},
           {"E7 not ASCII", "Bearer kb-\xc3\xa9", "", "", "bad_authorization_header",
            "bad_authorization_header"},
           {"D24 over 8 KiB", "Bearer " + std::string(8193, 'a'), "", "", "token_too_long",
            "bad_api_key"},
       }) {
    Presented presented;
    presented.authorization = row.authorization;
    presented.authorization_count = row.authorization.empty() ? 0 : 1;
    presented.api_key = row.key;
    presented.api_key_count = row.key.empty() ? 0 : 1;
    presented.argument_key = row.argument;
    EXPECT_EQ(outcome(tokens.now(presented)), row.in_token_mode) << row.name;
    EXPECT_EQ(outcome(keyed.now(presented)), row.in_key_mode) << row.name;
  }
}

TEST(Credential, D20D22SeveralOrInTheUrlAreRefusedWhateverTheySay) {
  World world;
  const std::string key(world.add_key({.tenant = "acme", .owner = "ada"}).key.reveal());
  world.open_keys();
  const std::string header = "Bearer " + key;
  Presented twice = bearer(header);
  twice.authorization_count = 2;
  EXPECT_EQ(outcome(world.now(twice)), "several_credentials");
  Presented keys;
  keys.api_key = key;
  keys.api_key_count = 2;
  EXPECT_EQ(outcome(world.now(keys)), "several_credentials");
  Presented query = bearer(header);
  query.credential_in_query = true;
  EXPECT_EQ(outcome(world.now(query)), "credential_in_query");
  Presented empty;
  empty.api_key_count = 1;
  EXPECT_EQ(outcome(world.now(empty)), "bad_authorization_header") << "E7 empty key";
}

TEST(ApiKeyMode, PrincipalIsTheOwnerOfTheKey) {
  World world;
  const NewKey made = world.add_key({.tenant = "acme",
                                     .owner = "ada",
                                     .scopes = "workflows:execute read",
                                     .expires_ms = (kNow + 100) * 1000});
  world.open_keys();
  const std::string header = "Bearer " + std::string(made.key.reveal());
  const auto verdict = world.now(bearer(header));
  ASSERT_TRUE(verdict && *verdict);
  const PrincipalFacts& facts = (**verdict)->facts();
  EXPECT_EQ(facts.tenant, "acme");
  EXPECT_EQ(facts.issuer, "urn:kubiya:api-key");
  EXPECT_EQ(facts.subject, "ada");
  EXPECT_EQ(facts.kind, CredentialKind::api_key);
  EXPECT_EQ(facts.token_scopes, (Scopes{"workflows:execute", "read"}));
  EXPECT_EQ(facts.scopes, (Scopes{"workflows:execute", "execute", "read"}));
  EXPECT_EQ(facts.api_key->reveal(), made.key.reveal());
  EXPECT_EQ(facts.api_key_source, "header");
  EXPECT_EQ(facts.key_fingerprint, crypto::fingerprint(made.key.reveal()));
  EXPECT_EQ(facts.expires_at, at(kNow + 100));
  world.clock.advance(100s);
  EXPECT_EQ(outcome(world.now(bearer(header))), "expired_api_key") << "although it was cached";
}

TEST(ApiKeyMode, SourceOfTheKeyIsKept) {
  World world;
  const NewKey made = world.add_key({.tenant = "acme", .owner = "ada"});
  world.options.shared_key = made.key;
  world.open_keys();
  const std::string key(made.key.reveal());
  Presented argument;
  argument.argument_key = key;
  Presented header;
  header.api_key = key;
  header.api_key_count = 1;
  Presented shared;
  shared.loopback = true;
  for (int round = 0; round < 2; ++round) {  // the second one out of the cache
    const auto source = [&](const Presented& presented) {
      const auto verdict = world.now(presented);
      return verdict && *verdict ? (**verdict)->facts().api_key_source : outcome(verdict);
    };
    EXPECT_EQ(source(argument), "argument");
    EXPECT_EQ(source(header), "header");
    EXPECT_EQ(source(shared), "environment");
    EXPECT_EQ((**world.now(shared))->facts().kind, CredentialKind::shared_key);
  }
}

TEST(ApiKeyMode, SharedKeyServesLoopbackUnlessAllowedForAll) {
  struct Row {
    bool loopback, allowed;
    const char* outcome;
  };
  for (const Row& row : std::vector<Row>{{true, false, "served"},
                                         {false, false, "no_credential"},
                                         {false, true, "served"},
                                         {true, true, "served"}}) {
    World world;
    world.options.shared_key = world.add_key({.tenant = "acme", .owner = "ada"}).key;
    world.options.allow_shared_key = row.allowed;
    world.open_keys();
    Presented presented;
    presented.loopback = row.loopback;
    EXPECT_EQ(outcome(world.now(presented)), row.outcome) << row.loopback << row.allowed;
  }
}

TEST(ApiKeyMode, E18ArgumentIsRefusedWhenTurnedOff) {
  World world;
  const std::string key(world.add_key({.tenant = "acme", .owner = "ada"}).key.reveal());
  world.options.allow_key_argument = false;
  world.open_keys();
  Presented presented;
  presented.argument_key = key;
  EXPECT_EQ(outcome(world.now(presented)), "argument_key_refused");
}

TEST(ApiKeyMode, RevocationDropsACachedKeyAtOnce) {
  World world;
  const std::string header =
      "Bearer " + std::string(world.add_key({.tenant = "acme", .owner = "ada"}).key.reveal());
  world.open_keys();
  EXPECT_EQ(outcome(world.now(bearer(header))), "served");
  world.rows[0].revoked_ms = 1;
  world.keys.replace(world.rows);
  EXPECT_EQ(outcome(world.now(bearer(header))), "revoked_api_key");
}

TEST(TokenMode, PrincipalHoldsWhatTheTokenSays) {
  World world;
  publish(world.client);
  world.open_tokens();
  const std::string key = "kb-1234567890abcdef";
  const auto verdict = world.token(claims_token({{"scope", "admin"},
                                                 {"name", "Ada L."},
                                                 {"email", "ada@example.com"},
                                                 {"client_id", "agent"},
                                                 {"kubiya_api_key", key}}));
  ASSERT_TRUE(verdict && *verdict) << outcome(verdict);
  const PrincipalFacts& facts = (**verdict)->facts();
  EXPECT_EQ(facts.tenant, "default");
  EXPECT_EQ(facts.issuer, kIssuer);
  EXPECT_EQ(facts.subject, "ada");
  EXPECT_EQ(facts.display_name, "Ada L.");
  EXPECT_EQ(facts.email, "ada@example.com");
  EXPECT_EQ(facts.client, "agent");
  EXPECT_EQ(facts.token_scopes, Scopes{"admin"});
  EXPECT_EQ(facts.scopes, (Scopes{"admin", "read", "write", "execute"}));
  EXPECT_EQ(facts.kind, CredentialKind::token);
  EXPECT_EQ(facts.api_key->reveal(), key) << "the platform's keys are not ours to judge";
  EXPECT_EQ(facts.api_key_source, "claim:kubiya_api_key");
  EXPECT_EQ(facts.key_fingerprint, crypto::fingerprint(key));
  EXPECT_EQ(facts.expires_at, at(kNow + 600));
}

TEST(TokenMode, KeyClaimsAreChecked) {
  World world;
  publish(world.client);
  const auto key = [&](const KeyFacts& facts) {
    return std::string(world.add_key(facts).key.reveal());
  };
  const std::string own = key({.tenant = "default", .owner = "ada", .scopes = "execute"});
  const std::string others = key({.tenant = "default", .owner = "bob", .scopes = "execute"});
  const std::string namesake = key({.tenant = "acme", .owner = "ada", .scopes = "execute"});
  const std::string revoked = key({.tenant = "default", .owner = "ada", .revoked_ms = 1});
  const std::string expired = key({.tenant = "default", .owner = "ada", .expires_ms = 1});
  std::string mistyped = own;
  mistyped[30] = mistyped[30] == 'A' ? 'B' : 'A';
  const std::string unknown(make_key(world.pepper).key.reveal());
  world.open_tokens();
  struct Row {
    const char* name;
    std::string key;
    const char* outcome;
  };
  for (const Row& row : std::vector<Row>{
           {"own", own, "served"},
           {"B42 of another user", others, "key_of_another_owner"},
           {"B42 of a namesake in another tenant", namesake, "key_of_another_owner"},
           {"B44 revoked", revoked, "revoked_api_key"},
           {"expired", expired, "expired_api_key"},
           {"E6 mistyped", mistyped, "bad_api_key"},
           {"E2 unknown", unknown, "unknown_api_key"},
       }) {
    EXPECT_EQ(outcome(world.token(claims_token({{"kubiya_api_key", row.key}}))), row.outcome)
        << row.name;
  }
  EXPECT_EQ(outcome(world.token(claims_token({{"kubiya_api_key", own}, {"api_key", others}}))),
            "key_claims_disagree")
      << "B43";
  const auto verdict = world.token(claims_token({{"kubiya_api_key", own}}));
  ASSERT_TRUE(verdict && *verdict);
  EXPECT_EQ((**verdict)->facts().scopes, Scopes{"execute"}) << "E9: token and key";
  EXPECT_EQ((**verdict)->facts().token_scopes, (Scopes{"execute", "read"}));
}

TEST(TokenMode, ScopesAreExpandedBeforeTheyAreCut) {
  World world;
  publish(world.client);
  const std::string key(
      world.add_key({.tenant = "default", .owner = "ada", .scopes = "admin"}).key.reveal());
  world.open_tokens();
  const auto verdict =
      world.token(claims_token({{"scope", "workflows:execute"}, {"kubiya_api_key", key}}));
  ASSERT_TRUE(verdict && *verdict);
  EXPECT_EQ((**verdict)->facts().scopes, Scopes{"execute"});
}

TEST(TokenMode, RevokingTheKeyOfACachedTokenDropsIt) {
  World world;
  publish(world.client);
  const std::string key(world.add_key({.tenant = "default", .owner = "ada"}).key.reveal());
  world.open_tokens();
  const std::string token = claims_token({{"kubiya_api_key", key}});
  EXPECT_EQ(outcome(world.token(token)), "served");
  world.rows[0].revoked_ms = 1;
  world.keys.replace(world.rows);
  EXPECT_EQ(outcome(world.token(token)), "revoked_api_key");
}

TEST(TokenMode, C34IssuersThatAreNotConfiguredAreRefusedBeforeAnyRequest) {
  World world;
  publish(world.client);
  world.open_tokens();
  const auto requests = world.client.requests.size();
  EXPECT_EQ(world.judged(claims_token({{"iss", "https://evil.example"}})), "wrong_issuer");
  EXPECT_EQ(world.judged(claims_token({{"iss", 7}})), "bad_claim");
  EXPECT_EQ(world.client.requests.size(), requests);
}

TEST(TokenMode, EachIssuerVerifiesWithItsOwnKeys) {
  World world;
  publish(world.client);
  IssuerOptions second = issuer_options();
  second.url = second.rules.issuer = "https://second.example";
  world.client.answer("https://second.example/.well-known/openid-configuration",
                      metadata_text("https://second.example", "https://second.example/jwks"));
  world.client.answer("https://second.example/jwks", one_key("rsa", 1));
  world.open_tokens({issuer_options(), second});
  json::object claims = default_claims();
  EXPECT_EQ(outcome(world.token(token_by("rsa", 0, claims))), "served");
  EXPECT_EQ(outcome(world.token(token_by("rsa", 1, claims))), "bad_signature");
  claims["iss"] = "https://second.example";
  EXPECT_EQ(outcome(world.token(token_by("rsa", 1, claims))), "served");
  EXPECT_EQ(outcome(world.token(token_by("rsa", 0, claims))), "bad_signature");
}

TEST(TokenMode, RefusalNamesWhoTheTokenClaimsToBe) {
  World world;
  publish(world.client);
  world.open_tokens();
  const auto verdict = world.token(token_by("rsa", 1));
  ASSERT_TRUE(verdict && !*verdict);
  EXPECT_EQ(verdict->error().claimed_issuer, kIssuer);
  EXPECT_EQ(verdict->error().claimed_subject, "ada");
}

TEST(TokenCache, TokensWithACommonPrefixOrTailNeverMeet) {
  World world;
  publish(world.client);
  world.open_tokens();
  const std::string ada = claims_token({{"sub", "ada"}});
  const std::string bob = claims_token({{"sub", "bob"}});
  for (int round = 0; round < 3; ++round) {
    EXPECT_EQ((**world.token(ada))->facts().subject, "ada");
    EXPECT_EQ((**world.token(bob))->facts().subject, "bob");
  }
  // One character changed in every place: none of them is the cached token.
  for (std::size_t i = 0; i < ada.size(); ++i) {
    std::string changed = ada;
    changed[i] = changed[i] == 'A' ? 'B' : 'A';
    world.authenticator->turn(0);
    EXPECT_NE(world.judged(changed), "served") << i;
  }
  EXPECT_NE(world.judged(ada.substr(0, ada.size() - 1)), "served");
  EXPECT_EQ(outcome(world.token(ada)), "served");
}

TEST(TokenCache, HitsCostNoSignatureCheck) {
  World world;
  publish(world.client);
  world.options.cold_per_turn = 1;
  world.open_tokens();
  const std::string token = token_by("rsa", 0);
  for (int i = 0; i < 50; ++i) EXPECT_EQ(outcome(world.token(token)), "served");
  EXPECT_EQ(outcome(world.token(claims_token({{"sub", "bob"}}))), "not yet");
}

TEST(TokenCache, ExpiryIsSeenWhileCached) {
  World world;
  publish(world.client);
  world.open_tokens();
  const std::string token = claims_token({{"exp", kNow + 10}});
  EXPECT_EQ(outcome(world.token(token)), "served");
  world.clock.advance(39s);
  EXPECT_EQ(outcome(world.token(token)), "served") << "within the leeway";
  world.clock.advance(1s);
  EXPECT_EQ(outcome(world.token(token)), "token_expired");
}

TEST(TokenCache, NeitherClockRevivesAnEntry) {
  World world;
  publish(world.client);
  world.open_tokens();
  const std::string token = claims_token({{"exp", kNow + 10}});
  EXPECT_EQ(outcome(world.token(token)), "served");
  world.clock.step_wall(100s);
  EXPECT_EQ(outcome(world.token(token)), "token_expired") << "only the wall clock moved";
}

TEST(TokenCache, EntriesLiveForTheConfiguredTime) {
  World world;
  publish(world.client);
  world.options.cold_per_turn = 1;
  world.open_tokens();
  const std::string token = token_by("rsa", 0);
  EXPECT_EQ(outcome(world.token(token)), "served");
  world.clock.advance(59s);
  EXPECT_EQ(outcome(world.token(token)), "served");
  world.clock.advance(1s);
  EXPECT_EQ(outcome(world.token(token)), "not yet") << "it must be verified again";
}

TEST(TokenCache, RotationDropsTokensOfTheOldKey) {
  World world;
  publish(world.client);
  world.open_tokens();
  const std::string token = token_by("rsa", 0);
  EXPECT_EQ(outcome(world.token(token)), "served");
  world.client.answer(kJwks, one_key("rsa2", 1));
  world.clock.advance(300s);
  world.authenticator->tick();
  EXPECT_EQ(world.judged(token), "unknown_key");
  EXPECT_EQ(world.judged(token_by("rsa2", 1)), "served");
}

TEST(TokenCache, IsBounded) {
  World world;
  publish(world.client);
  world.options.cache_entries = 8;
  world.options.cold_per_turn = 1000;
  world.open_tokens();
  std::vector<std::string> tokens;
  for (int i = 0; i < 9; ++i) tokens.push_back(claims_token({{"sub", std::to_string(i)}}));
  for (const auto& token : tokens) EXPECT_EQ(outcome(world.token(token)), "served");
  // No signature can be checked now: what is served comes out of the cache.
  world.clock.advance(1ms);
  world.client.answer(kJwks, "");
  std::vector<std::string> outcomes;
  world.later(claims_token({{"sub", "x"}}), outcomes);
  world.run_all();
  EXPECT_EQ(outcomes, std::vector<std::string>{"served"}) << "and evicts one more";
  for (int i = 2; i < 9; ++i) EXPECT_EQ(outcome(world.token(tokens[i])), "served") << i;
}

TEST(TokenCache, ABadSignatureIsRememberedForSeconds) {
  World world;
  publish(world.client);
  world.options.cold_per_turn = 1;
  world.open_tokens();
  const std::string forged = token_by("rsa", 1);
  EXPECT_EQ(outcome(world.token(forged)), "bad_signature");
  for (int i = 0; i < 50; ++i) EXPECT_EQ(outcome(world.token(forged)), "bad_signature");
  world.clock.advance(5s);
  EXPECT_EQ(outcome(world.token(forged)), "not yet");
}

TEST(ColdBudget, SpentBudgetDelaysButNeverLosesAnybody) {
  World world;
  publish(world.client);
  world.options.cold_per_turn = 2;
  world.open_tokens();
  const std::string cached = token_by("rsa", 0);
  EXPECT_EQ(outcome(world.token(cached)), "served");
  std::vector<std::string> tokens;
  for (int i = 0; i < 6; ++i) tokens.push_back(claims_token({{"sub", std::to_string(i)}}));
  EXPECT_EQ(outcome(world.token(tokens[0])), "served");
  EXPECT_EQ(outcome(world.token(tokens[1])), "not yet");
  std::vector<std::string> outcomes;
  for (int i = 1; i < 6; ++i) world.later(tokens[i], outcomes);
  EXPECT_EQ(world.posted.size(), 1u);
  EXPECT_EQ(outcome(world.token(cached)), "served") << "cached callers do not wait";
  EXPECT_TRUE(world.run_one());
  EXPECT_EQ(outcomes.size(), 2u) << "one turn's worth";
  world.authenticator->turn(0);
  EXPECT_EQ(outcome(world.token(claims_token({{"sub", "late"}}))), "not yet") << "no overtaking";
  world.run_all();
  EXPECT_EQ(outcomes, std::vector<std::string>(5, "served"));
  world.authenticator->turn(0);
  EXPECT_EQ(outcome(world.token(claims_token({{"sub", "late"}}))), "served");
}

TEST(ColdBudget, QueueIsBounded) {
  World world;
  publish(world.client);
  world.options.cold_per_turn = 1;
  world.open_tokens();
  EXPECT_EQ(outcome(world.token(token_by("rsa", 0))), "served");
  const std::string token = claims_token({{"sub", "bob"}});
  std::vector<std::string> outcomes;
  for (int i = 0; i < 1030; ++i) world.later(token, outcomes);
  world.run_all();
  EXPECT_EQ(std::count(outcomes.begin(), outcomes.end(), "served"), 1024);
  EXPECT_EQ(std::count(outcomes.begin(), outcomes.end(), "overloaded"), 6);
}

TEST(Keys, C1TokensWaitOutAnOutageWithA503) {
  World world;
  world.client.fail_with(kDiscovery, Code::unavailable, "down");
  world.open_tokens();
  EXPECT_EQ(world.judged(token_by("rsa", 0)), "keys_unavailable");
  publish(world.client);
  world.clock.advance(1s);
  EXPECT_EQ(world.judged(token_by("rsa", 0)), "served") << "the next caller fetches them";
}

TEST(Keys, C5ANewKeyNameIsFetchedAndServed) {
  World world;
  publish(world.client);
  world.open_tokens();
  world.client.answer(kJwks, two_keys());
  EXPECT_EQ(world.judged(token_by("rsa2", 1)), "unknown_key") << "within the cool-down";
  world.clock.advance(30s);
  EXPECT_EQ(world.judged(token_by("rsa2", 1)), "served");
}

TEST(Keys, C22ManyWaitForOneFetch) {
  World world;
  publish(world.client);
  world.client.hold = true;
  world.open_tokens();
  std::vector<std::string> outcomes;
  for (int i = 0; i < 1000; ++i) world.later(token_by("rsa", 0), outcomes);
  world.run_all();
  EXPECT_TRUE(outcomes.empty());
  world.client.deliver();
  world.client.deliver();
  world.run_all();
  EXPECT_EQ(outcomes, std::vector<std::string>(1000, "served"));
  EXPECT_EQ(world.client.requests.size(), 2u);
}

TEST(Keys, K1RandomKeyNamesCostOneFetchPerInterval) {
  World world;
  publish(world.client);
  world.open_tokens();
  for (int i = 0; i < 600; ++i) {
    world.clock.advance(100ms);
    EXPECT_EQ(world.judged(token_by(("k" + std::to_string(i)).c_str(), 0)), "unknown_key");
  }
  EXPECT_EQ(world.client.count(kJwks), 3);
}

TEST(Keys, AnswersForAnAuthenticatorThatIsGoneAreDropped) {
  World world;
  publish(world.client);
  world.client.hold = true;
  world.open_tokens();
  std::vector<std::string> outcomes;
  world.later(token_by("rsa", 0), outcomes);
  world.authenticator.reset();
  world.client.deliver();
  world.run_all();
  EXPECT_TRUE(outcomes.empty());
}

}  // namespace
}  // namespace test
}  // namespace kubiya::identity
