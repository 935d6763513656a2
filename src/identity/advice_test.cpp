// SPDX-License-Identifier: Apache-2.0
#include "identity/advice.h"

#include <set>

#include <gtest/gtest.h>

namespace kubiya::identity {
namespace {

TEST(Advice, EveryReasonSaysWhatItMeansAndWhatToDo) {
  std::set<std::string_view> meanings;
  int count = 0;
  for (; to_string(static_cast<Reason>(count)) != "unknown"; ++count) {
    const auto reason = static_cast<Reason>(count);
    const Advice said = advice(reason);
    EXPECT_GE(said.meaning.size(), 15u) << to_string(reason);
    EXPECT_GE(said.next.size(), 30u) << to_string(reason);
    EXPECT_TRUE(said.meaning.ends_with('.')) << to_string(reason);
    EXPECT_TRUE(said.next.ends_with('.') || said.next.ends_with(')')) << to_string(reason);
    EXPECT_TRUE(meanings.insert(said.meaning).second) << to_string(reason) << " means another";
    EXPECT_EQ(advice_for(to_string(reason)).meaning, said.meaning);
  }
  EXPECT_EQ(known_reasons().size(), static_cast<std::size_t>(count) + 2) << "and the policy's two";
}

TEST(Advice, IsThereForThePolicysReasonsToo) {
  EXPECT_FALSE(advice_for("insufficient_scope").next.empty());
  EXPECT_FALSE(advice_for("no_api_key").next.empty());
  EXPECT_TRUE(advice_for("done").meaning.empty());
  EXPECT_TRUE(advice_for("").meaning.empty());
}

}  // namespace
}  // namespace kubiya::identity
