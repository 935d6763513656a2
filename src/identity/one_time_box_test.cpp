// SPDX-License-Identifier: Apache-2.0
#include "identity/one_time_box.h"

#include <gtest/gtest.h>

#include "identity/provider_fixture.h"

namespace kubiya::identity {
namespace {

using std::chrono::minutes;
using State = OneTimeBox::State;
using Trouble = OneTimeBox::Trouble;

struct Box : testing::Test {
  test::ManualClock clock;
  OneTimeBox box{{minutes(10), 4, 2}, clock};

  OneTimeBox::Link put(const std::string& key, const std::string& owner = "ada",
                       bool with_code = false) {
    auto link = box.put({key, "acme", "idp", owner, "laptop", Secret("kb-" + key), {}}, with_code);
    EXPECT_TRUE(link);
    return link ? *link : OneTimeBox::Link{};
  }
};

TEST_F(Box, ShowsASecretOnceAndOnlyToWhoHasTheLink) {
  const auto link = put("k1");
  EXPECT_EQ(link.token.size(), 43u);
  EXPECT_EQ(box.look(link.token), State::waiting);
  EXPECT_EQ(box.look(link.token), State::waiting) << "looking consumes nothing";
  std::string other = link.token;
  other.back() = other.back() == 'A' ? 'Q' : 'A';
  EXPECT_EQ(box.look(other), State::unknown);
  EXPECT_EQ(box.take(other, "").error(), Trouble::unknown);
  const auto taken = box.take(link.token, "");
  ASSERT_TRUE(taken);
  EXPECT_EQ(taken->secret.reveal(), "kb-k1");
  EXPECT_EQ(box.look(link.token), State::gone);
  EXPECT_EQ(box.take(link.token, "").error(), Trouble::gone);
  EXPECT_TRUE(box.take_lost().empty());
}

TEST_F(Box, LosesWhatNobodyFetchedInTime) {
  const auto link = put("k1");
  clock.advance(minutes(10));
  EXPECT_EQ(box.look(link.token), State::gone);
  EXPECT_EQ(box.take(link.token, "").error(), Trouble::gone);
  EXPECT_EQ(box.take_lost(), std::vector<std::string>{"k1"});
  EXPECT_TRUE(box.take_lost().empty()) << "each is told once";
  clock.advance(minutes(10));
  (void)box.take_lost();
  EXPECT_EQ(box.look(link.token), State::unknown);
}

TEST_F(Box, AsksForTheCodeAndLosesTheSecretAfterFiveWrongOnes) {
  const auto link = put("k1", "ada", true);
  ASSERT_EQ(link.code.size(), 8u);
  EXPECT_EQ(box.look(link.token), State::waiting_for_code);
  for (int i = 1; i < OneTimeBox::kWrongCodes; ++i) {
    EXPECT_EQ(box.take(link.token, i % 2 == 0 ? "" : "123").error(), Trouble::wrong_code);
  }
  EXPECT_EQ(box.take(link.token, "123").error(), Trouble::gone);
  EXPECT_EQ(box.take(link.token, link.code).error(), Trouble::gone);
  EXPECT_EQ(box.take_lost(), std::vector<std::string>{"k1"});

  const auto second = put("k2", "ada", true);
  EXPECT_TRUE(box.take(second.token, second.code));
}

TEST_F(Box, IsBoundedInAllAndForEachPerson) {
  put("k1");
  const auto second = put("k2");
  EXPECT_EQ(box.put({"k3", "acme", "idp", "ada", "", Secret("x"), {}}, false).error().code,
            Code::busy);
  put("k3", "bob");
  put("k4", "bob");
  EXPECT_EQ(box.put({"k5", "acme", "idp", "eve", "", Secret("x"), {}}, false).error().code,
            Code::busy);
  EXPECT_TRUE(box.take(second.token, ""));
  put("k5", "eve");
}

TEST_F(Box, RemembersLinksThatAreOverWithinBoundsAndForgetsNoneThatWaits) {
  const auto waiting = put("waits", "bob");
  OneTimeBox::Link first;
  for (int i = 0; i < 4 * 4; ++i) {
    const auto link = put("k" + std::to_string(i));
    EXPECT_TRUE(box.take(link.token, ""));
    if (i == 0) first = link;
  }
  EXPECT_EQ(box.look(first.token), State::unknown);
  EXPECT_EQ(box.look(waiting.token), State::waiting);
}

TEST_F(Box, DropsWhatIsNoLongerWanted) {
  const auto revoked = put("k1");
  const auto cut_off = put("k2");
  const auto other = put("k3", "bob");
  box.drop("k1");
  EXPECT_EQ(box.look(revoked.token), State::gone);
  EXPECT_TRUE(box.take_lost().empty()) << "who revoked it knows";
  box.drop_of("idp", "ada");
  EXPECT_EQ(box.look(cut_off.token), State::gone);
  EXPECT_EQ(box.look(other.token), State::waiting);
  EXPECT_EQ(box.take_lost(), std::vector<std::string>{"k2"});
}

}  // namespace
}  // namespace kubiya::identity
