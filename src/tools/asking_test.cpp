// SPDX-License-Identifier: Apache-2.0
#include "tools/asking.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "identity/minter.h"

namespace kubiya::tools {
namespace {

using ::testing::HasSubstr;

const policy::Operation kRun{"execute_workflow", {}, policy::Effect::mutates, false};

Call a_call(bool can_ask = true) {
  const policy::Policy policy{{}};
  PrincipalFacts facts;
  facts.subject = "ada";
  Call call{.permit = *policy.decide(identity::Minter::mint(std::move(facts)), kRun),
            .arguments = {},
            .request_id = "r"};
  call.client.elicit_form = can_ask;
  return call;
}

workflow::Definition definition(bool secret = false) {
  json::object params{{"who", json::object{{"required", true}}},
                      {"times", json::object{{"required", true}, {"type", "integer"}}}};
  if (secret) params["token"] = json::object{{"required", true}, {"secret", true}};
  const json::object text{{"name", "greet"},
                          {"params", std::move(params)},
                          {"steps", json::array{json::object{{"name", "s"}, {"command", "true"}}}}};
  return *workflow::parse(json::value(text)).definition;
}

json::object answer(std::string_view action, json::value content = nullptr) {
  json::object given{{"action", action}};
  if (!content.is_null()) given["content"] = std::move(content);
  return {{"params", std::move(given)}};
}

Call answered(json::object answers, std::string state = "params d1") {
  Call call = a_call();
  call.state = std::move(state);
  call.answers = std::move(answers);
  return call;
}

std::string error_of(const Call& call) {
  json::object params;
  const auto result = complete_params(call, definition(), "d1", params);
  return result ? "" : result.error().message;
}

TEST(Asking, AFormForWhatIsMissing) {
  json::object params{{"who", "bob"}};
  const auto result = complete_params(a_call(), definition(), "d1", params);
  ASSERT_TRUE(result && *result && (*result)->unfinished);
  const Unfinished& unfinished = *(*result)->unfinished;
  EXPECT_EQ(unfinished.state, "params d1");
  ASSERT_EQ(unfinished.asks.size(), 1U);
  EXPECT_EQ(unfinished.asks[0].method, "elicitation/create");
  EXPECT_EQ(to_json(unfinished.asks[0].params),
            R"({"message":"The workflow greet needs values to run: times.","requestedSchema":)"
            R"({"type":"object","properties":{"times":{"type":"integer"}},"required":["times"]}})");
}

TEST(Asking, NobodyWhenNothingIsMissingOrTheClientCannotAsk) {
  json::object whole{{"who", "bob"}, {"times", 1}};
  EXPECT_EQ(*complete_params(a_call(), definition(), "d1", whole), std::nullopt);
  json::object params;
  EXPECT_EQ(*complete_params(a_call(false), definition(), "d1", params), std::nullopt);
  EXPECT_TRUE(params.empty());
}

TEST(Asking, TheAnswerCompletesTheParams) {
  json::object params{{"who", "bob"}};
  const auto call = answered(answer("accept", json::object{{"times", 3}}));
  EXPECT_EQ(*complete_params(call, definition(), "d1", params), std::nullopt);
  EXPECT_EQ(to_json(params), R"({"who":"bob","times":3})");
}

TEST(Asking, ARefusalToAnswerHasItsName) {
  for (const auto& [action, reason] :
       {std::pair{"decline", "input_declined"}, std::pair{"cancel", "input_cancelled"}}) {
    json::object params;
    const auto result = complete_params(answered(answer(action)), definition(), "d1", params);
    ASSERT_TRUE(result && *result) << action;
    EXPECT_EQ((*result)->reason, reason);
    EXPECT_TRUE((*result)->failed);
    EXPECT_TRUE((*result)->structured.empty());
    EXPECT_EQ((*result)->unfinished, nullptr);
  }
}

TEST(Asking, ASecretIsNeverAskedFor) {
  json::object params;
  const auto result = complete_params(a_call(), definition(true), "d1", params);
  ASSERT_TRUE(result && *result);
  EXPECT_EQ((*result)->reason, "secret_not_asked");
  EXPECT_EQ((*result)->unfinished, nullptr);
  EXPECT_THAT((*result)->text, HasSubstr("token"));
  json::object given{{"token", "x"}};
  EXPECT_TRUE((*complete_params(a_call(), definition(true), "d1", given))->unfinished);
}

TEST(Asking, AnAnswerToAnotherVersionOrToNoQuestionIsAskedAgain) {
  for (const char* state : {"params d0", "", "approval x"}) {
    json::object params;
    const auto call = answered(answer("accept", json::object{{"who", "x"}, {"times", 1}}), state);
    const auto result = complete_params(call, definition(), "d1", params);
    ASSERT_TRUE(result && *result && (*result)->unfinished) << state;
    EXPECT_TRUE(params.empty());
  }
  json::object params;
  EXPECT_TRUE((*complete_params(answered({}), definition(), "d1", params))->unfinished);
}

TEST(Asking, OnlyWhatWasAskedForIsTaken) {
  json::object params{{"who", "bob"}};
  const auto call = answered(answer("accept", json::object{{"times", 1}, {"who", "eve"}}));
  const auto result = complete_params(call, definition(), "d1", params);
  ASSERT_FALSE(result);
  EXPECT_THAT(result.error().message, HasSubstr("who"));
}

TEST(Asking, AnswersThatAreNone) {
  EXPECT_THAT(error_of(answered(answer("accept"))), HasSubstr("content"));
  EXPECT_THAT(error_of(answered(answer("accept", "text"))), HasSubstr("content"));
  EXPECT_THAT(error_of(answered(answer("maybe"))), HasSubstr("action"));
  EXPECT_THAT(error_of(answered({{"params", "yes"}})), HasSubstr("action"));
}

}  // namespace
}  // namespace kubiya::tools
