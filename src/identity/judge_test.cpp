// SPDX-License-Identifier: Apache-2.0
#include "identity/judge.h"

#include <gtest/gtest.h>

#include "crypto/digest.h"
#include "identity/authenticator_fixture.h"

namespace kubiya::identity {
namespace test {
namespace {

using namespace std::chrono_literals;

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

TEST(ApiKeyMode, AKeyEndsWhenAnotherHasTakenItsPlace) {
  World world;
  const NewKey made = world.add_key({.owner = "ada", .expires_ms = (kNow + 500) * 1000});
  world.rows[0].retires_ms = (kNow + 100) * 1000;
  world.keys.replace(world.rows);
  world.open_keys();
  const std::string header = "Bearer " + std::string(made.key.reveal());
  const auto verdict = world.now(bearer(header));
  ASSERT_TRUE(verdict && *verdict);
  EXPECT_EQ((**verdict)->facts().expires_at, at(kNow + 100));
  world.clock.advance(100s);
  EXPECT_EQ(outcome(world.now(bearer(header))), "expired_api_key") << "although it was cached";
  EXPECT_FALSE(world.authenticator->still_good(***verdict));
}

TEST(ApiKeyMode, EveryCallWithAKeyIsCounted) {
  World world;
  const NewKey ada = world.add_key({.owner = "ada"}), bob = world.add_key({.owner = "bob"});
  world.open_keys();
  const auto call = [&](const NewKey& key, const char* said) {
    const std::string header = "Bearer " + std::string(key.key.reveal());
    EXPECT_EQ(outcome(world.now(bearer(header))), said);
  };
  for (int i = 0; i < 5; ++i) call(ada, "served");
  call(bob, "served");
  const auto first = world.keys.uses().take(3 * 86'400'000 + 7);
  ASSERT_EQ(first.size(), 2u);
  const auto& of_ada = first[0].key == ada.id ? first[0] : first[1];
  EXPECT_EQ(of_ada.calls, 5);
  EXPECT_EQ(of_ada.day, 3);
  EXPECT_EQ(of_ada.last_ms, 3 * 86'400'000 + 7);
  EXPECT_TRUE(world.keys.uses().take(8).empty());
  world.rows[1].revoked_ms = 1;
  world.keys.replace(world.rows);
  call(bob, "revoked_api_key");
  call(ada, "served");
  const auto second = world.keys.uses().take(9);
  ASSERT_EQ(second.size(), 1u) << "a refused call is no use";
  EXPECT_EQ(second[0].calls, 1);
}

TEST(TokenMode, UseIsCountedByTheClientThatBroughtTheKey) {
  World world;
  publish(world.client);
  const NewKey key = world.add_key({.tenant = "default", .scopes = "read"});
  world.open_tokens();
  for (const char* client : {"ci", "laptop", "ci"}) {
    const auto token =
        claims_token({{"kubiya_api_key", std::string(key.key.reveal())}, {"client_id", client}});
    EXPECT_EQ(outcome(world.token(token)), "served");
  }
  const auto uses = world.keys.uses().take(1);
  ASSERT_EQ(uses.size(), 2u);
  EXPECT_EQ(uses[0].client + "=" + std::to_string(uses[0].calls), "ci=2");
  EXPECT_EQ(uses[1].client + "=" + std::to_string(uses[1].calls), "laptop=1");
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

TEST(TokenMode, WhoIsCutOffIsRefusedAndAfterwardsWhatIsOlder) {
  World world;
  publish(world.client);
  world.open_tokens();
  const std::string old = claims_token({});
  const auto token = [](std::int64_t issued) { return claims_token({{"iat", issued}}); };
  const auto judged = [&](const std::string& text) { return outcome(world.token(text)); };
  const auto verdict = world.token(old);
  ASSERT_TRUE(verdict && *verdict);
  EXPECT_TRUE(world.authenticator->still_good(***verdict));
  const auto before = world.authenticator->credential_epoch();
  store::CutoffRow cut{kIssuer, "ada", kNow * 1000, 0, ""};
  world.people.replace({}, nullptr, {cut});
  EXPECT_NE(world.authenticator->credential_epoch(), before);
  EXPECT_FALSE(world.authenticator->still_good(***verdict));
  EXPECT_EQ(judged(old), "person_cut_off") << "although it was cached";
  EXPECT_EQ(judged(token(kNow)), "person_cut_off") << "however new";
  EXPECT_EQ(judged(claims_token({{"sub", "bob"}})), "served");
  cut.lifted_ms = (kNow + 60) * 1000;
  world.people.replace({}, nullptr, {cut});
  world.clock.advance(std::chrono::seconds(100));
  EXPECT_EQ(judged(old), "person_cut_off");
  EXPECT_EQ(judged(token(kNow + 59)), "person_cut_off");
  EXPECT_EQ(judged(token(kNow + 60)), "served");
}

TEST(ApiKeyMode, WhoIsCutOffIsRefusedWithAKeyThatWasMadeMeanwhile) {
  World world;
  const NewKey made = world.add_key({.owner = "ada"});
  world.open_keys();
  const std::string header = "Bearer " + std::string(made.key.reveal());
  EXPECT_EQ(outcome(world.now(bearer(header))), "served");
  store::CutoffRow cut{std::string(store::kKeyIssuer), "ada", 1, 0, ""};
  world.people.replace({}, nullptr, {cut});
  EXPECT_EQ(outcome(world.now(bearer(header))), "person_cut_off");
  cut.subject = "bob";
  world.people.replace({}, nullptr, {cut});
  EXPECT_EQ(outcome(world.now(bearer(header))), "served");
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

TEST(TokenMode, AKeyIsOfOneIssuersSubject) {
  World world;
  publish(world.client);
  const std::string other = "https://second.example";
  IssuerOptions second = issuer_options();
  second.url = second.rules.issuer = other;
  world.client.answer(other + "/.well-known/openid-configuration",
                      metadata_text(other, other + "/jwks"));
  world.client.answer(other + "/jwks", one_key("rsa", 1));
  const auto key = [&](const std::string& issuer) {
    return std::string(
        world.add_key({.tenant = "default", .scopes = "read", .issuer = issuer}).key.reveal());
  };
  const std::string unnamed = key(std::string(store::kKeyIssuer)), first = key(kIssuer),
                    foreign = key(other), strange = key("https://third.example");
  world.open_tokens({issuer_options(), second});
  const auto at_first = [&](const std::string& text) {
    return outcome(world.token(claims_token({{"kubiya_api_key", text}})));
  };
  const auto at_second = [&](const std::string& text) {
    json::object claims = default_claims();
    claims["iss"] = other;
    claims["kubiya_api_key"] = text;
    return outcome(world.token(token_by("rsa", 1, claims)));
  };
  EXPECT_EQ(at_first(first), "served");
  EXPECT_EQ(at_first(unnamed), "served") << "made before keys had issuers";
  EXPECT_EQ(at_first(foreign), "key_of_another_owner");
  EXPECT_EQ(at_first(strange), "key_of_another_owner");
  EXPECT_EQ(at_second(foreign), "served");
  EXPECT_EQ(at_second(first), "key_of_another_owner");
  EXPECT_EQ(at_second(unnamed), "key_of_another_owner");
  EXPECT_EQ(at_second(strange), "key_of_another_owner");
}

TEST(ApiKeyMode, AKeyOfAnIssuersSubjectIsThatPerson) {
  World world;
  const NewKey local = world.add_key({.owner = "ada"});
  const NewKey bound = world.add_key({.owner = "ada", .issuer = kIssuer});
  world.open_keys();
  const auto who = [&](const NewKey& key) {
    const std::string header = "Bearer " + std::string(key.key.reveal());
    return (**world.now(bearer(header)))->owner();
  };
  EXPECT_EQ(who(bound), "4:acme,19:https://idp.example,3:ada");
  EXPECT_NE(who(local), who(bound));
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

}  // namespace
}  // namespace test
}  // namespace kubiya::identity
