// SPDX-License-Identifier: Apache-2.0
#include "identity/key_life.h"

#include <gtest/gtest.h>

namespace kubiya::identity {
namespace {

TEST(KeyLife, StatesFollowFromTheRow) {
  struct Row {
    const char* name;
    std::int64_t expires, revoked, retires;
    const char* replaces;
    std::int64_t promoted;
    KeyState state;
  };
  for (const Row& row : std::vector<Row>{
           {"fresh", 0, 0, 0, "", 0, KeyState::active},
           {"expires later", 101, 0, 0, "", 0, KeyState::active},
           {"expired now", 100, 0, 0, "", 0, KeyState::expired},
           {"successor", 0, 0, 0, "old", 0, KeyState::staged},
           {"promoted", 0, 0, 0, "old", 50, KeyState::active},
           {"overlap", 0, 0, 101, "", 0, KeyState::retiring},
           {"overlap over", 0, 0, 100, "", 0, KeyState::retired},
           {"expired within the overlap", 90, 0, 200, "", 0, KeyState::expired},
           {"revoked beats all", 1, 1, 1, "old", 1, KeyState::revoked},
       }) {
    store::KeyRow key;
    key.expires_ms = row.expires;
    key.revoked_ms = row.revoked;
    key.retires_ms = row.retires;
    key.replaces = row.replaces;
    key.promoted_ms = row.promoted;
    EXPECT_EQ(state_of(key, 100), row.state) << row.name << ": " << to_string(state_of(key, 100));
  }
}

TEST(KeyLife, TheEarlierEndCounts) {
  for (const auto& [expires, retires, ends] :
       {std::tuple{0, 0, 0}, {5, 0, 5}, {0, 6, 6}, {5, 6, 5}, {7, 6, 6}}) {
    store::KeyRow key;
    key.expires_ms = expires;
    key.retires_ms = retires;
    EXPECT_EQ(ends_ms(key), ends);
  }
}

TEST(KeyLife, ASuccessorIsTheSamePersonsForTheSameTime) {
  store::KeyRow old;
  old.id = "old";
  old.tenant = "acme";
  old.issuer = "https://a.example";
  old.owner = "ada";
  old.scopes = "read write";
  old.labels = R"({"team":"x"})";
  old.digest = "secret digest";
  old.created_ms = 10;
  old.expires_ms = 110;
  const store::KeyRow next = successor_of(old, 1'000, std::nullopt);
  EXPECT_EQ(next.replaces, "old");
  EXPECT_EQ(next.owner + next.issuer + next.tenant, old.owner + old.issuer + old.tenant);
  EXPECT_EQ(next.scopes, old.scopes);
  EXPECT_EQ(next.labels, old.labels);
  EXPECT_EQ(next.expires_ms, 1'100);
  EXPECT_EQ(next.digest, "");
  EXPECT_EQ(successor_of(old, 1'000, 5'000).expires_ms, 5'000);
  old.expires_ms = 0;
  EXPECT_EQ(successor_of(old, 1'000, std::nullopt).expires_ms, 0);
}

TEST(KeyLife, ADescriptionHoldsNoDigest) {
  store::KeyRow key;
  key.id = "public";
  key.digest = "keyed digest";
  key.scopes = "read write";
  key.labels = R"({"team":"x"})";
  const std::string text = to_json(describe(key, 100));
  EXPECT_EQ(text.find("keyed digest"), std::string::npos);
  EXPECT_NE(text.find(R"("scopes":["read","write"])"), std::string::npos) << text;
  EXPECT_NE(text.find(R"("labels":{"team":"x"})"), std::string::npos) << text;
  EXPECT_EQ(text.find("expires"), std::string::npos) << "what is not so is not there";
}

TEST(KeyLife, LabelsHaveAShape) {
  EXPECT_TRUE(check_labels({{"team", "platform"}, {"app.io/tier", ""}}));
  for (const json::object& bad :
       {json::object{{"", "x"}}, json::object{{"a b", "x"}}, json::object{{"a", 7}},
        json::object{{"a", "x\ny"}}, json::object{{std::string(64, 'a'), "x"}},
        json::object{{"a", std::string(129, 'x')}}}) {
    EXPECT_FALSE(check_labels(bad)) << to_json(bad);
  }
  json::object many;
  for (int i = 0; i < 17; ++i) many["l" + std::to_string(i)] = "x";
  EXPECT_FALSE(check_labels(many));
}

}  // namespace
}  // namespace kubiya::identity
