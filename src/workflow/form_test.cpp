// SPDX-License-Identifier: Apache-2.0
#include "workflow/form.h"

#include <gtest/gtest.h>

namespace kubiya::workflow {
namespace {

Definition definition() {
  auto parsed = parse(std::string_view(
      R"({"name": "deploy", "steps": [{"name": "s", "command": "true"}], "params": {
    "env": {"required": true, "description": "Where", "enum": ["dev", "prod"]},
    "count": {"required": true, "type": "integer"},
    "port": {"required": true, "type": "integer", "enum": [80, 443]},
    "token": {"required": true, "secret": true},
    "tone": {"default": "warm"},
    "note": {"description": "optional"}}})"));
  EXPECT_TRUE(parsed.definition) << describe(parsed.problems);
  return *parsed.definition;
}

std::string missing_names(const json::object& given) {
  const auto missing = missing_params(definition(), given);
  if (!missing) return "error: " + missing.error().message;
  std::string names;
  for (const auto& param : *missing) names += param.name + " ";
  return names;
}

TEST(Form, AsksForWhatIsRequiredAndNotGiven) {
  EXPECT_EQ(missing_names({}), "env count port token ");
  EXPECT_EQ(missing_names({{"env", "dev"}, {"count", 3}}), "port token ");
  EXPECT_EQ(missing_names({{"env", "dev"}, {"count", 3}, {"port", "80"}, {"token", "x"}}), "");
}

TEST(Form, IsNotMadeForACallThatIsWrongAlready) {
  EXPECT_EQ(missing_names({{"env", "moon"}}), "error: Param env must be one of dev, prod.");
  EXPECT_EQ(missing_names({{"count", "many"}}), "error: Param count must be of type integer.");
  EXPECT_TRUE(missing_names({{"what", 1}}).starts_with("error: Unknown params: what."));
}

TEST(Form, IsFlatAndOfPrimitiveTypes) {
  auto params = *missing_params(definition(), {{"token", "x"}});
  EXPECT_EQ(
      to_json(form_schema(params)),
      R"({"type":"object","properties":{"env":{"type":"string","description":"Where","enum":["dev","prod"]},)"
      R"("count":{"type":"integer"},"port":{"type":"string","enum":["80","443"]}},)"
      R"("required":["env","count","port"]})");
}

}  // namespace
}  // namespace kubiya::workflow
