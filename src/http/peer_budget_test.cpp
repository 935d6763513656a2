// SPDX-License-Identifier: Apache-2.0
#include "http/peer_budget.h"

#include <gtest/gtest.h>

namespace kubiya::http {
namespace {

using std::chrono::seconds;

const Mono kStart{std::chrono::hours(1)};

Address at(std::string_view text) { return *parse_address(text); }

// The n-th network of /64s.
Address network(std::uint32_t n) {
  Address address = at("2001:db8::1");
  for (int i = 0; i < 4; ++i) {
    address.bytes[static_cast<std::size_t>(4 + i)] = static_cast<std::uint8_t>(n >> (24 - 8 * i));
  }
  return address;
}

int taken(PeerBudget& budget, const Address& peer, Mono now, int tries) {
  int count = 0;
  for (int i = 0; i < tries; ++i) count += budget.take(peer, now);
  return count;
}

TEST(PeerBudget, IsEachPeersOwnAndComesBackWithTime) {
  PeerBudget budget(60, 64);
  EXPECT_EQ(taken(budget, at("192.0.2.1"), kStart, 1'000), 60);
  EXPECT_EQ(taken(budget, at("192.0.2.2"), kStart, 1'000), 60);
  EXPECT_EQ(taken(budget, at("192.0.2.1"), kStart + seconds(10), 1'000), 10);
  EXPECT_EQ(taken(budget, at("192.0.2.1"), kStart + seconds(600), 1'000), 60);
}

TEST(PeerBudget, TakesANetworkOfIpv6AsOnePeer) {
  PeerBudget budget(10, 64);
  EXPECT_EQ(taken(budget, at("2001:db8::1"), kStart, 10), 10);
  EXPECT_FALSE(budget.take(at("2001:db8::2:3:4"), kStart));
  EXPECT_TRUE(budget.take(at("2001:db8:0:1::1"), kStart));
  EXPECT_TRUE(budget.take(at("192.0.2.1"), kStart)) << "IPv4 addresses share no network";
  EXPECT_EQ(taken(budget, at("192.0.2.2"), kStart, 20), 10);
}

TEST(PeerBudget, GivesNobodyANewBudgetByPushingOthersOut) {
  PeerBudget budget(10, 256);
  EXPECT_EQ(taken(budget, at("192.0.2.1"), kStart, 20), 10);
  int more = 0;
  for (std::uint32_t n = 0; n < 100'000; ++n) more += budget.take(network(n), kStart);
  EXPECT_LE(more, 256 + 10) << "as many as are told apart, and one budget for the rest";
  EXPECT_FALSE(budget.take(at("192.0.2.1"), kStart));
  // All of it has come back, so the places are free for others.
  EXPECT_EQ(taken(budget, network(1'000'000), kStart + seconds(60), 20), 10);
}

TEST(PeerBudget, TellsPeersApartWhileThereIsRoom) {
  PeerBudget budget(1, 8'192);
  int refused = 0;
  for (std::uint32_t n = 0; n < 200; ++n) refused += !budget.take(network(n), kStart);
  EXPECT_EQ(refused, 0);
}

TEST(PeerBudget, OfNothingBoundsNobody) {
  PeerBudget budget(0, 64);
  EXPECT_EQ(taken(budget, at("192.0.2.1"), kStart, 1'000), 1'000);
}

TEST(PeerBudget, SaysHonestlyHowLongToWait) {
  EXPECT_EQ(PeerBudget(1, 1).pause(), seconds(60));
  EXPECT_EQ(PeerBudget(40, 1).pause(), seconds(2));
  EXPECT_EQ(PeerBudget(600, 1).pause(), seconds(1));
}

}  // namespace
}  // namespace kubiya::http
