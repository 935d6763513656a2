// SPDX-License-Identifier: Apache-2.0
#include "mcp/subscriptions.h"

#include <gtest/gtest.h>

#include "mcp/test_support.h"

namespace kubiya::mcp {
namespace {

using namespace std::chrono_literals;
using List = tools::Changes::List;

constexpr Listener::Wants kTools{.tools = true, .prompts = false, .resources = false};

std::shared_ptr<Listener> listener_of(const PrincipalPtr& who, Listener::Wants wants = kTools) {
  return std::make_shared<Listener>(R"("s-1")", wants, who);
}

std::size_t count(const std::string& text, std::string_view word) {
  std::size_t found = 0;
  for (std::size_t at = 0; (at = text.find(word, at)) != std::string::npos; ++at) ++found;
  return found;
}

constexpr std::string_view kEnd =
    R"(data: {"jsonrpc":"2.0","id":"s-1","result":{"resultType":"complete","_meta":{"io.modelcontextprotocol/subscriptionId":"s-1"}}})"
    "\n\n";

TEST(Listener, IsAcknowledgedFirstAndThenToldWhatHappenedMeanwhile) {
  const auto listener = listener_of(somebody("ada"));
  const auto peer = std::make_shared<Peer>();
  listener->notify("notifications/resources/updated", R"("uri":"run://1")");
  listener->open(http::EventStream(peer), R"({"toolsListChanged":true})");
  EXPECT_EQ(
      peer->said,
      R"(data: {"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{"notifications":{"toolsListChanged":true},"_meta":{"io.modelcontextprotocol/subscriptionId":"s-1"}}})"
      "\n\n"
      R"(data: {"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"run://1","_meta":{"io.modelcontextprotocol/subscriptionId":"s-1"}}})"
      "\n\n");
}

TEST(Listener, WaitsForItsAcknowledgementWithinBounds) {
  const auto listener = listener_of(somebody("ada"));
  for (int i = 0; i < 1'000; ++i) listener->notify("notifications/tools/list_changed", {});
  const auto peer = std::make_shared<Peer>();
  listener->open(http::EventStream(peer), "{}");
  EXPECT_EQ(count(peer->said, "list_changed"), 64U);
}

TEST(Listener, EndedBeforeItWasOpenItEndsWhenItOpens) {
  const auto listener = listener_of(somebody("ada"));
  const auto peer = std::make_shared<Peer>();
  listener->end();
  listener->open(http::EventStream(peer), "{}");
  EXPECT_TRUE(peer->said.ends_with(kEnd)) << peer->said;
  EXPECT_TRUE(peer->closed);
}

TEST(Subscriptions, TellOnlyWhoAskedAndOnlyOfTheirTenant) {
  Subscriptions subscriptions;
  const std::vector<std::shared_ptr<Listener>> listeners{
      listener_of(somebody("ada")), listener_of(somebody("bob", "other")),
      listener_of(somebody("eve"), {.tools = false, .prompts = true, .resources = true})};
  std::vector<PeerPtr> peers;
  for (const auto& listener : listeners) {
    subscriptions.add(listener);
    peers.push_back(std::make_shared<Peer>());
    listener->open(http::EventStream(peers.back()), "{}");
  }
  const auto told = [&](std::string_view method) {
    std::string found;
    for (const auto& peer : peers) found += std::to_string(count(peer->said, method));
    return found;
  };
  subscriptions.publish(List::tools, "acme");
  EXPECT_EQ(told("notifications/tools/list_changed"), "100");
  subscriptions.publish(List::tools, "");
  EXPECT_EQ(told("notifications/tools/list_changed"), "210");
  subscriptions.publish(List::resources, "acme");
  EXPECT_EQ(told("notifications/resources/list_changed"), "001");
}

TEST(Subscriptions, ForgetWhoIsGone) {
  Subscriptions subscriptions;
  const auto gone = listener_of(somebody("ada"));
  const auto peer = std::make_shared<Peer>();
  subscriptions.add(gone);
  gone->open(http::EventStream(peer), "{}");
  subscriptions.add(listener_of(somebody("bob")));
  peer->left = true;
  subscriptions.tick(TestClock().wall());
  EXPECT_EQ(subscriptions.size(), 1U);
}

TEST(Subscriptions, EndWithTheCredential) {
  TestClock clock;
  Subscriptions subscriptions;
  const auto listener = listener_of(somebody("ada", "acme", clock.wall() + 10s));
  const auto peer = std::make_shared<Peer>();
  subscriptions.add(listener);
  listener->open(http::EventStream(peer), "{}");
  subscriptions.tick(clock.wall() + 9s);
  EXPECT_FALSE(peer->closed);
  subscriptions.tick(clock.wall() + 10s);
  EXPECT_TRUE(peer->said.ends_with(kEnd));
  EXPECT_TRUE(peer->closed);
  EXPECT_EQ(subscriptions.size(), 0U);
}

TEST(Subscriptions, AllEndWithAResultWhenTheServerStops) {
  Subscriptions subscriptions;
  const auto listener = listener_of(somebody("ada"));
  const auto peer = std::make_shared<Peer>();
  subscriptions.add(listener);
  listener->open(http::EventStream(peer), "{}");
  subscriptions.close_all();
  EXPECT_EQ(count(peer->said, kEnd), 1U);
  EXPECT_TRUE(peer->closed);
}

}  // namespace
}  // namespace kubiya::mcp
