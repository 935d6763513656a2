// SPDX-License-Identifier: Apache-2.0
#include "mcp/handles.h"

#include <gtest/gtest.h>

namespace kubiya::mcp {
namespace {

const Handles handles(Secret("secret"));
const Wall kNow = from_unix_ms(1'700'000'000'000);
constexpr Handles::Call kCall{"ada", "tools/call", "deploy", "digest"};

TEST(Handles, ACursorLeadsItsOwnerOnInItsListOnly) {
  const std::string position = "behind the fiftieth";  // too long to turn up by chance
  const std::string cursor = handles.cursor("ada", "resources", position);
  EXPECT_EQ(handles.position("ada", "resources", cursor), position);
  EXPECT_FALSE(handles.position("bob", "resources", cursor));
  EXPECT_FALSE(handles.position("ada", "prompts", cursor));
  EXPECT_FALSE(handles.position("ada", "resources", cursor + "A"));
  EXPECT_FALSE(handles.position("ada", "resources", ""));
  EXPECT_FALSE(handles.position("ada", "resources", position));
  EXPECT_EQ(cursor.find("fiftieth"), std::string::npos) << "what it says is nobody's business";
}

TEST(Handles, TheOwnersOfCursorsAreNotRunTogether) {
  EXPECT_FALSE(handles.position("ad", "aresources", handles.cursor("ada", "resources", "x")));
}

TEST(Handles, AStateCountsForItsCallAndItsTimeOnly) {
  const std::string state = handles.state(kCall, "step 2", kNow);
  EXPECT_EQ(handles.open_state(kCall, state, kNow - std::chrono::seconds(1)), "step 2");
  EXPECT_FALSE(handles.open_state(kCall, state, kNow));
  const Wall in_time = kNow - std::chrono::seconds(1);
  EXPECT_FALSE(handles.open_state({"bob", "tools/call", "deploy", "digest"}, state, in_time));
  EXPECT_FALSE(handles.open_state({"ada", "prompts/get", "deploy", "digest"}, state, in_time));
  EXPECT_FALSE(handles.open_state({"ada", "tools/call", "delete", "digest"}, state, in_time));
  EXPECT_FALSE(handles.open_state({"ada", "tools/call", "deploy", "other"}, state, in_time));
  EXPECT_FALSE(handles.open_state(kCall, state + "-TAMPERED", in_time));
  EXPECT_FALSE(handles.open_state(kCall, "", in_time));
}

TEST(Handles, AnEmptyStateIsAState) {
  EXPECT_EQ(handles.open_state(kCall, handles.state(kCall, "", kNow), Wall()), "");
}

}  // namespace
}  // namespace kubiya::mcp
