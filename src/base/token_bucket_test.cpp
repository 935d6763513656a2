// SPDX-License-Identifier: Apache-2.0
#include "base/token_bucket.h"

#include <gtest/gtest.h>

namespace kubiya {
namespace {

using std::chrono::milliseconds;

const Mono kStart{std::chrono::hours(1)};

int taken(TokenBucket& bucket, Mono now, int tries) {
  int count = 0;
  for (int i = 0; i < tries; ++i) count += bucket.take(now);
  return count;
}

TEST(TokenBucket, LetsABurstThroughAndThenTheRate) {
  TokenBucket bucket(10, 5);
  EXPECT_EQ(taken(bucket, kStart, 100), 5);
  EXPECT_EQ(taken(bucket, kStart + milliseconds(99), 100), 0);
  EXPECT_EQ(taken(bucket, kStart + milliseconds(200), 100), 2);
  EXPECT_EQ(taken(bucket, kStart + milliseconds(60'000), 100), 5);
}

TEST(TokenBucket, HasNoEdgeToStraddle) {
  TokenBucket bucket(10, 10);
  int count = 0;
  for (int ms = 0; ms <= 1'000; ++ms) count += taken(bucket, kStart + milliseconds(ms), 10);
  EXPECT_LE(count, 20);
  EXPECT_GE(count, 19);
}

TEST(TokenBucket, GainsNothingFromAClockThatStandsStillOrGoesBack) {
  TokenBucket bucket(10, 1);
  EXPECT_TRUE(bucket.take(kStart));
  EXPECT_FALSE(bucket.take(kStart - milliseconds(500)));
  EXPECT_FALSE(bucket.take(kStart));
  EXPECT_FALSE(bucket.take(kStart + milliseconds(50)));
}

TEST(TokenBucket, IsFullOnceAllHasComeBack) {
  TokenBucket bucket(10, 2);
  EXPECT_TRUE(bucket.full(kStart));
  EXPECT_TRUE(bucket.take(kStart));
  EXPECT_FALSE(bucket.full(kStart + milliseconds(50)));
  EXPECT_TRUE(bucket.full(kStart + milliseconds(150)));
}

TEST(TokenBucket, OfNothingGivesNothing) {
  TokenBucket bucket(0, 0);
  EXPECT_FALSE(bucket.take(kStart));
}

}  // namespace
}  // namespace kubiya
