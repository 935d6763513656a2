// SPDX-License-Identifier: Apache-2.0
#include "identity/authenticator.h"

#include <gtest/gtest.h>

#include "identity/authenticator_fixture.h"

namespace kubiya::identity {
namespace test {
namespace {

using namespace std::chrono_literals;

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
  const PrincipalPtr who = *world.token(token).value();
  world.clock.advance(39s);
  EXPECT_EQ(outcome(world.token(token)), "served") << "within the leeway";
  EXPECT_TRUE(world.authenticator->still_good(*who)) << "streams are as long";
  world.clock.advance(1s);
  EXPECT_FALSE(world.authenticator->still_good(*who));
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
