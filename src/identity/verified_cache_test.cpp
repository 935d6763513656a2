// SPDX-License-Identifier: Apache-2.0
#include "identity/verified_cache.h"

#include <gtest/gtest.h>

namespace kubiya::identity {
namespace {

using namespace std::chrono_literals;

struct Entry {
  int number = 0;
  Mono deadline{};
};

CacheKey key(int number) {
  CacheKey key;
  key.digest = crypto::sha256(std::to_string(number));
  return key;
}

class DigestCacheTest : public testing::Test {
 protected:
  void put(int number, Mono now = Mono(1s)) { cache_.put(key(number), {number, now + 60s}, now); }
  bool has(int number, Mono now = Mono(1s)) {
    const Entry* found = cache_.find(key(number), now);
    EXPECT_TRUE(found == nullptr || found->number == number);
    return found != nullptr;
  }
  DigestCache<Entry> cache_{8};  // one set
};

TEST_F(DigestCacheTest, CredentialsUsedOnceDriveNobodyOut) {
  for (int i = 0; i < 8; ++i) put(i);
  for (int i = 100; i < 1100; ++i) put(i);
  for (int i = 0; i < 8; ++i) EXPECT_TRUE(has(i)) << i;
  EXPECT_EQ(cache_.size(), 8U);
}

TEST_F(DigestCacheTest, WhatComesAgainTakesTheLeastRecentlyUsedPlace) {
  for (int i = 0; i < 8; ++i) put(i);
  for (int i = 1; i < 8; ++i) EXPECT_TRUE(has(i));
  put(100);
  EXPECT_FALSE(has(100));
  put(100);
  EXPECT_TRUE(has(100));
  EXPECT_FALSE(has(0));
}

TEST_F(DigestCacheTest, ExpiredPlacesAreFreeToAll) {
  for (int i = 0; i < 8; ++i) put(i);
  put(100, Mono(62s));
  EXPECT_TRUE(has(100, Mono(62s)));
}

}  // namespace
}  // namespace kubiya::identity
