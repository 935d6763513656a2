// SPDX-License-Identifier: Apache-2.0
#include "schema/schema.h"

#include <stdexcept>
#include <string>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "schema/metaschema.h"

namespace kubiya::schema {
namespace {

json::value parsed(std::string_view text) {
  auto value = parse_json(text);
  EXPECT_TRUE(value) << text;
  return value ? std::move(*value) : json::value();
}

Schema compiled(std::string_view text, const CompileOptions& options = {}) {
  auto schema = Schema::compile(parsed(text), options);
  if (!schema) throw std::runtime_error(schema.error().message);
  return std::move(*schema);
}

std::string refusal(const json::value& schema, const CompileOptions& options = {}) {
  const auto result = Schema::compile(schema, options);
  return result ? "" : result.error().message;
}

struct MessageRow {
  const char* name;
  const char* schema;
  const char* instance;
  const char* field;
  const char* keyword;
  const char* message;
};

const MessageRow kMessages[] = {
    {"Enum",
     R"({"properties":{"params":{"properties":{"env":{"enum":["staging","production"]}}}}})",
     R"({"params":{"env":"qa"}})", "/params/env", "enum",
     R"(params.env must be one of "staging", "production")"},
    {"Const", R"({"properties":{"v":{"const":2}}})", R"({"v":3})", "/v", "const", "v must be 2"},
    {"Required", R"({"required":["name"]})", "{}", "/name", "required", "name is required"},
    {"Maximum", R"({"properties":{"wait":{"maximum":3600}}})", R"({"wait":3601})", "/wait",
     "maximum", "wait must be at most 3600"},
    {"ExclusiveMinimum", R"({"properties":{"n":{"exclusiveMinimum":0.5}}})", R"({"n":0.5})", "/n",
     "exclusiveMinimum", "n must be greater than 0.5"},
    {"Type", R"({"properties":{"n":{"type":["integer","null"]}}})", R"({"n":"5"})", "/n", "type",
     "n must be an integer or null"},
    {"TypeOfRoot", R"({"type":"object"})", "[]", "", "type", "the value must be an object"},
    {"ArrayItem", R"({"properties":{"steps":{"items":{"required":["run"]}}}})",
     R"({"steps":[{"run":1},{}]})", "/steps/1/run", "required", "steps[1].run is required"},
    {"MaxLength", R"({"properties":{"s":{"maxLength":1}}})", R"({"s":"ab"})", "/s", "maxLength",
     "s must be at most 1 character long"},
    {"MinItems", R"({"minItems":2})", "[1]", "", "minItems",
     "the value must have at least 2 items"},
    {"MaxProperties", R"({"maxProperties":1})", R"({"a":1,"b":2})", "", "maxProperties",
     "the value must have at most 1 field"},
    {"Pattern", R"({"properties":{"s":{"pattern":"^[a-z]+$"}}})", R"({"s":"A"})", "/s", "pattern",
     "s must match the pattern ^[a-z]+$"},
    {"MultipleOf", R"({"properties":{"n":{"multipleOf":5}}})", R"({"n":7})", "/n", "multipleOf",
     "n must be a multiple of 5"},
    {"UnknownMember", R"({"properties":{"env":{},"region":{}},"additionalProperties":false})",
     R"({"evn":1})", "/evn", "additionalProperties",
     "evn is not a known field; known fields are env, region"},
    {"UnevaluatedMember", R"({"allOf":[{"properties":{"a":{}}}],"unevaluatedProperties":false})",
     R"({"a":1,"b":1})", "/b", "unevaluatedProperties", "b is not a known field"},
    {"DependentRequired", R"({"dependentRequired":{"a":["b"]}})", R"({"a":1})", "/b",
     "dependentRequired", "b is required when a is given"},
    {"PropertyNames", R"({"propertyNames":{"maxLength":2}})", R"({"abc":1})", "/abc", "maxLength",
     "the name of abc must be at most 2 characters long"},
    {"UniqueItems", R"({"uniqueItems":true})", "[1,1.0]", "", "uniqueItems",
     "the value must not repeat an item"},
    {"Contains", R"({"contains":{"type":"string"},"minContains":2})", R"(["a"])", "", "minContains",
     "the value must contain at least 2 items of the required form"},
    {"Not", R"({"properties":{"a":{"not":{"type":"string"}}}})", R"({"a":"x"})", "/a", "not",
     "a has a form that is not allowed"},
    {"OneOfTooMany", R"({"oneOf":[{"type":"integer"},{"minimum":1}]})", "3", "", "oneOf",
     "the value must match exactly one of its 2 allowed forms; it matches more"},
    {"AnyOfNone", R"({"anyOf":[{"type":"integer"},{"type":"null"}]})", R"("x")", "", "anyOf",
     "the value must match at least one of its 2 allowed forms"},
    {"AnyOfExplainsTheBranchThatWasMeant",
     R"({"anyOf":[{"type":"string"},{"properties":{"env":{"enum":["a"]}},"required":["env"]}]})",
     R"({"env":"b"})", "/env", "enum", R"(env must be "a")"},
    {"FalseSchema", R"({"properties":{"a":false}})", R"({"a":1})", "/a", "false",
     "a is not allowed"},
    {"EscapesThePointer", R"({"properties":{"a/b~c":{"type":"null"}}})", R"({"a/b~c":1})",
     "/a~1b~0c", "type", "a/b~c must be null"},
};

class Messages : public ::testing::TestWithParam<MessageRow> {};

TEST_P(Messages, SayWhatIsAllowed) {
  const auto& row = GetParam();
  const auto found = compiled(row.schema).validate(parsed(row.instance));
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].field, row.field);
  EXPECT_EQ(found[0].keyword, row.keyword);
  EXPECT_EQ(found[0].message, row.message);
}
INSTANTIATE_TEST_SUITE_P(Schema, Messages, ::testing::ValuesIn(kMessages),
                         [](const auto& param) { return param.param.name; });

TEST(Schema, NeverQuotesTheInstance) {
  const auto schema = compiled(R"({"properties":{"token":{"type":"string","pattern":"^kb-",
      "maxLength":3,"enum":["a"],"format":"uuid","not":{"minLength":2}}},"minProperties":2})",
                               {.assert_format = true, .documents = {}});
  const auto found = schema.validate(parsed(R"({"token":"hunter2-hunter2"})"));
  EXPECT_EQ(found.size(), 6u);
  for (const auto& violation : found) {
    EXPECT_EQ(violation.message.find("hunter2"), std::string::npos) << violation.message;
  }
}

TEST(Schema, EscapesNamesThatWouldForgeText) {
  const auto found =
      compiled(R"({"additionalProperties":false})").validate(parsed(R"({"a\n\u202eb":1})"));
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].message.find('\n'), std::string::npos);
  EXPECT_EQ(found[0].message.find("\u202e"), std::string::npos);
}

TEST(Schema, PutsTheDeepestViolationFirstAndKeepsToTheMaximum) {
  const auto schema =
      compiled(R"({"required":["x"],"properties":{"a":{"properties":{"b":{"type":"string"}}}}})");
  const auto instance = parsed(R"({"a":{"b":1}})");
  EXPECT_EQ(schema.validate(instance).front().field, "/a/b");
  EXPECT_EQ(schema.validate(instance).size(), 2u);
  EXPECT_EQ(schema.validate(instance, 1).size(), 1u);
  EXPECT_FALSE(schema.validate(instance, 0).empty()) << "no room must not read as valid";
}

TEST(Schema, TreatsFormatAsAnnotationUnlessAskedTo) {
  const auto text = R"({"format":"ipv4"})";
  EXPECT_TRUE(compiled(text).accepts(parsed(R"("300.1.1.1")")));
  EXPECT_FALSE(
      compiled(text, {.assert_format = true, .documents = {}}).accepts(parsed(R"("300.1.1.1")")));
}

TEST(Schema, ComparesNumbersExactly) {
  EXPECT_TRUE(compiled(R"({"const":1})").accepts(parsed("1.0")));
  EXPECT_FALSE(compiled(R"({"const":true})").accepts(parsed("1")));
  EXPECT_FALSE(compiled(R"({"const":9007199254740993})").accepts(parsed("9007199254740992.0")));
  EXPECT_FALSE(
      compiled(R"({"maximum":18446744073709551614})").accepts(parsed("18446744073709551615")));
  EXPECT_TRUE(compiled(R"({"multipleOf":0.1})").accepts(parsed("0.3")));
  EXPECT_TRUE(compiled(R"({"multipleOf":0.01})").accepts(parsed("-19.99")));
  EXPECT_FALSE(compiled(R"({"multipleOf":0.01})").accepts(parsed("19.999")));
  EXPECT_FALSE(compiled(R"({"multipleOf":7})").accepts(parsed("1e300")));
  EXPECT_FALSE(compiled(R"({"multipleOf":1e300})").accepts(parsed("3")));
}

TEST(Schema, CountsCodePoints) {
  EXPECT_TRUE(compiled(R"({"maxLength":2})").accepts(parsed(R"("💩💩")")));
  EXPECT_FALSE(compiled(R"({"minLength":3})").accepts(parsed(R"("💩💩")")));
}

struct RefusalRow {
  const char* name;
  const char* schema;
  const char* says;
};

const RefusalRow kRefusals[] = {
    {"HttpRef", R"({"$ref":"https://evil.example/schema.json"})", "nothing is ever fetched"},
    {"FileRef", R"({"$ref":"file:///etc/passwd"})", "nothing is ever fetched"},
    {"RelativeRef", R"({"$ref":"other.json"})", "nothing is ever fetched"},
    {"OtherDraft", R"({"$schema":"http://json-schema.org/draft-07/schema#"})", "is not supported"},
    {"OtherDraftOfAPart", R"({"$defs":{"a":{"$id":"urn:a","$schema":"urn:b"}}})",
     "is not supported"},
    {"RefToItself", R"({"$ref":"#"})", "never end"},
    {"RefCycle",
     R"({"$ref":"#/$defs/a","$defs":{"a":{"anyOf":[{"$ref":"#/$defs/b"}]},"b":{"not":{"$ref":"#/$defs/a"}}}})",
     "never end"},
    {"DanglingPointer", R"({"$ref":"#/$defs/none"})", "does not exist"},
    {"DanglingAnchor", R"({"$ref":"#none"})", "does not exist"},
    {"BadPercent", R"({"$ref":"#/%zz"})", "percent"},
    {"DoubleAnchor", R"({"$defs":{"a":{"$anchor":"x"},"b":{"$anchor":"x"}}})", "not unique"},
    {"DoubleId", R"({"$defs":{"a":{"$id":"urn:x"},"b":{"$id":"urn:x"}}})", "exists already"},
    {"IdWithFragment", R"({"$id":"urn:x#y"})", "fragment"},
    {"NumberAsSchema", R"({"properties":{"a":5}})", "must be an object"},
    {"UnknownType", R"({"type":"text"})", "JSON types"},
    {"TextLimit", R"({"maximum":"5"})", "must be a number"},
    {"NegativeLength", R"({"maxLength":-1})", "whole number"},
    {"ZeroMultiple", R"({"multipleOf":0})", "above 0"},
    {"RequiredText", R"({"required":"name"})", "array of strings"},
    {"EmptyAllOf", R"({"allOf":[]})", "one or more"},
    {"BrokenPattern", R"({"pattern":"("})", "does not compile"},
    {"PatternVerb", R"({"pattern":"(*LIMIT_MATCH=9)a"})", "repeats nothing"},
    {"PatternInlineOption", R"({"pattern":"(?i)a"})", "ECMA-262"},
    {"PatternPossessive", R"({"pattern":"a++"})", "repeats nothing"},
    {"PatternHugeRepeat", R"({"pattern":"((a{1,900}){1,900}){1,900}"})", "pattern"},
};

class Refusals : public ::testing::TestWithParam<RefusalRow> {};

TEST_P(Refusals, AreFoundAtCompileTime) {
  EXPECT_NE(refusal(parsed(GetParam().schema)).find(GetParam().says), std::string::npos)
      << refusal(parsed(GetParam().schema));
}
INSTANTIATE_TEST_SUITE_P(Schema, Refusals, ::testing::ValuesIn(kRefusals),
                         [](const auto& param) { return param.param.name; });

TEST(Schema, RefusesTooManySubschemas) {
  json::object properties;
  for (int i = 0; i < 10'000; ++i) properties[fmt::format("p{}", i)] = json::object();
  json::object schema;
  schema["properties"] = std::move(properties);
  EXPECT_NE(refusal(schema).find("more than 10000 subschemas"), std::string::npos);
  EXPECT_EQ(refusal(schema, {.subschemas = 10'001, .documents = {}}), "");
}

TEST(Schema, RefusesDeepNesting) {
  json::value schema = json::object();
  for (int i = 0; i < 65; ++i) {
    json::array list;
    list.push_back(std::move(schema));
    schema = json::object({{"allOf", std::move(list)}});
  }
  EXPECT_NE(refusal(schema).find("nested deeper than 64"), std::string::npos);
}

TEST(Schema, ResolvesOnlyTheDocumentsItWasGiven) {
  CompileOptions options;
  options.documents.emplace_back("https://kubiya.example/env",
                                 parsed(R"({"$defs":{"name":{"enum":["staging"]}}})"));
  const auto schema = compiled(R"({"$ref":"https://kubiya.example/env#/$defs/name"})", options);
  EXPECT_TRUE(schema.accepts(parsed(R"("staging")")));
  EXPECT_FALSE(schema.accepts(parsed(R"("qa")")));
}

TEST(Schema, KnowsItsOwnMetaschema) {
  const auto schema = compiled(
      R"({"$schema":"https://json-schema.org/draft/2020-12/schema#",
          "$ref":"https://json-schema.org/draft/2020-12/schema"})");
  EXPECT_TRUE(schema.accepts(*find_metaschema(kDialect)));
  EXPECT_FALSE(schema.accepts(parsed(R"({"properties":{"a":{"minLength":-1}}})")));
}

bool gives_up(const Schema& schema, const json::value& instance) {
  const auto found = schema.validate(instance);
  return found.size() == 1 && found[0].keyword == "limit";
}

TEST(Schema, StopsCatastrophicPatternsClosed) {
  const auto hostile = json::value(std::string(40, 'a') + "!");
  EXPECT_TRUE(gives_up(compiled(R"({"pattern":"^(a+)+$"})"), hostile));
  EXPECT_TRUE(gives_up(compiled(R"({"not":{"pattern":"^(a+)+$"}})"), hostile))
      << "an abandoned search must not turn into a match under not";
  EXPECT_TRUE(
      gives_up(compiled(R"({"pattern":"(x+x+)+[yz]"})"), json::value(std::string(5000, 'x'))));
}

TEST(Schema, BoundsQuadraticSearchesOfLongText) {
  EXPECT_TRUE(
      gives_up(compiled(R"({"pattern":"[ab]*[ab]c"})"), json::value(std::string(1 << 20, 'a'))));
  const auto anchored = compiled(R"({"pattern":"^[a-z]+$"})");
  EXPECT_TRUE(anchored.accepts(json::value(std::string(1 << 20, 'a'))));
  const auto early = compiled(R"({"pattern":"\\S"})");
  EXPECT_TRUE(early.accepts(json::value(std::string(1 << 20, 'a'))));
}

TEST(Schema, FindsMatchesBeyondTheFirstWindow) {
  const auto schema = compiled(R"({"pattern":"(?<=é)x"})");
  for (std::size_t before = 0; before < 200; ++before) {
    EXPECT_TRUE(schema.accepts(json::value(std::string(before, 'a') + "éx"))) << before;
    EXPECT_FALSE(schema.accepts(json::value(std::string(before, 'a') + "x"))) << before;
  }
}

TEST(Schema, StopsEndlessDynamicReferences) {
  EXPECT_TRUE(gives_up(compiled(R"({"$dynamicAnchor":"a","$dynamicRef":"#a"})"), json::value(1)));
  EXPECT_TRUE(
      gives_up(compiled(R"({"dependentSchemas":{"x":{"$ref":"#"}}})"), parsed(R"({"x":1})")));
}

TEST(Schema, StopsExponentialCombinations) {
  std::string defs;
  for (int i = 0; i < 30; ++i) {
    defs += fmt::format(R"("d{}":{{"allOf":[{{"$ref":"#/$defs/d{}"}},{{"$ref":"#/$defs/d{}"}}]}},)",
                        i, i + 1, i + 1);
  }
  const auto schema = compiled(
      fmt::format(R"({{"$ref":"#/$defs/d0","$defs":{{{}"d30":{{"type":"null"}}}}}})", defs));
  EXPECT_TRUE(gives_up(schema, json::value()));
}

TEST(Schema, StopsOnInstancesThatAreTooLargeOrTooDeep) {
  json::array large;
  for (int i = 0; i < 300'000; ++i) large.emplace_back(i);
  EXPECT_TRUE(gives_up(compiled(R"({"items":{"type":"integer"}})"), large));
  EXPECT_TRUE(gives_up(compiled(R"({"uniqueItems":true})"), large));
  json::value deep = 1;
  for (int i = 0; i < 1'000; ++i) {
    json::array wrapper;
    wrapper.push_back(std::move(deep));
    deep = std::move(wrapper);
  }
  EXPECT_TRUE(gives_up(compiled(R"({"items":{"$ref":"#"}})"), deep));
  EXPECT_TRUE(gives_up(compiled(R"({"uniqueItems":true})"), deep));
}

TEST(Schema, AcceptsRecursiveSchemasThatDescend) {
  const auto schema = compiled(
      R"({"type":"object","properties":{"child":{"$ref":"#"}},"additionalProperties":false})");
  json::value deep = json::object();
  for (int i = 0; i < 60; ++i) deep = json::object({{"child", std::move(deep)}});
  EXPECT_TRUE(schema.accepts(deep));
}

}  // namespace
}  // namespace kubiya::schema
