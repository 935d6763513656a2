// SPDX-License-Identifier: Apache-2.0
#include "identity/ask_box.h"

#include <gtest/gtest.h>

#include "identity/minter.h"
#include "identity/provider_fixture.h"

namespace kubiya::identity {
namespace {

using std::chrono::minutes;

PrincipalPtr person(const std::string& subject) {
  PrincipalFacts facts;
  facts.issuer = "idp";
  facts.subject = subject;
  return Minter::mint(std::move(facts));
}

struct Asked : testing::Test {
  test::ManualClock clock;
  AskBox box{{minutes(10), 3, 2}, clock};
  PrincipalPtr ada = person("ada");
  std::string put(const PrincipalPtr& who) {
    auto token = box.put(*who, {"the workflow deploy", "ada", {"pin", "token"}, false});
    EXPECT_TRUE(token);
    return token.value_or("");
  }
  static AskBox::Given both() { return {{"pin", Secret("1234")}, {"token", Secret("t")}}; }
};

TEST_F(Asked, WhatIsGivenOnThePageReachesWhoAskedOnce) {
  const std::string token = put(ada);
  ASSERT_TRUE(box.look(token));
  EXPECT_EQ(box.look(token)->names.size(), 2u);
  EXPECT_FALSE(box.was_given(token, *ada));
  EXPECT_FALSE(box.take(token, *ada));
  EXPECT_TRUE(box.give(token, both()));
  EXPECT_FALSE(box.look(token)) << "it was answered";
  EXPECT_FALSE(box.give(token, both())) << "once";
  EXPECT_FALSE(box.was_given(token, *person("bob")));
  EXPECT_FALSE(box.take(token, *person("bob"))) << "by who asked only";
  const auto given = box.take(token, *ada);
  ASSERT_TRUE(given);
  EXPECT_EQ(given->at("pin").reveal(), "1234");
  EXPECT_FALSE(box.take(token, *ada));
}

TEST_F(Asked, TakesAllThatIsAskedAndNothingElse) {
  const std::string token = put(ada);
  EXPECT_FALSE(box.give(token, {{"pin", Secret("1")}}));
  auto more = both();
  more.emplace("other", Secret("x"));
  EXPECT_FALSE(box.give(token, more));
  EXPECT_FALSE(box.give(token, {{"pin", Secret("1")}, {"other", Secret("x")}}));
  EXPECT_FALSE(box.give("unknown", both()));
  EXPECT_TRUE(box.give(token, both()));
}

TEST_F(Asked, WantsTheCodeOfThePageAndLosesAllWithAWrongOne) {
  for (const bool right : {true, false}) {
    const auto token = box.put(*ada, {"the server", "ada", {"key"}, true});
    ASSERT_TRUE(token);
    const auto code = box.give(*token, {{"key", Secret("kb-1")}});
    ASSERT_TRUE(code && code->size() == 8);
    EXPECT_TRUE(box.was_given(*token, *ada));
    EXPECT_EQ(box.take(*token, *ada, right ? *code : "0").has_value(), right);
    EXPECT_FALSE(box.take(*token, *ada, *code));
  }
}

TEST_F(Asked, ForgetsWithTimeAndIsBounded) {
  const std::string token = put(ada);
  put(ada);
  EXPECT_EQ(box.put(*ada, {}).error().code, Code::busy);
  put(person("bob"));
  EXPECT_EQ(box.put(*person("eve"), {}).error().code, Code::busy);
  EXPECT_TRUE(box.give(token, both()));
  clock.advance(minutes(10));
  EXPECT_FALSE(box.take(token, *ada));
  put(person("eve"));
}

}  // namespace
}  // namespace kubiya::identity
