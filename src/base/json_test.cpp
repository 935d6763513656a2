// SPDX-License-Identifier: Apache-2.0
#include "base/json.h"

#include <gtest/gtest.h>

#include <boost/json/parse.hpp>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace kubiya {
namespace {

std::string fault(std::string_view text, JsonLimits limits = {}) {
  const auto result = parse_json(text, limits);
  return result ? "" : result.error().message;
}

TEST(Json, RoundTripsEveryKind) {
  const std::string text =
      R"({"a":null,"b":true,"c":-9223372036854775808,"d":18446744073709551615,"e":0.1,"f":"\u20ac\n","g":[1,[]],"h":{}})";
  const auto value = parse_json(text);
  ASSERT_TRUE(value);
  EXPECT_EQ(
      to_json(*value),
      R"({"a":null,"b":true,"c":-9223372036854775808,"d":18446744073709551615,"e":0.1,"f":"€\n","g":[1,[]],"h":{}})");
}

TEST(Json, ReadsDoublesExactly) {
  for (const char* literal :
       {"0.1", "123.456", "5e-324", "1.7976931348623157e308", "2.2250738585072014e-308",
        "9007199254740993.0", "0.30000000000000004"}) {
    const auto value = parse_json(literal);
    ASSERT_TRUE(value) << literal;
    EXPECT_EQ(value->get_double(), std::strtod(literal, nullptr)) << literal;
  }
}

TEST(Json, RefusesDuplicateMembersAtAnyDepth) {
  EXPECT_EQ(fault(R"({"a":1,"a":2})"), "duplicate member");
  EXPECT_EQ(fault(R"([{"x":{"b":1,"\u0062":2}}])"), "duplicate member");
}

// With few members and with many; names that agree in length, first and last byte.
TEST(Json, FindsEveryMemberAndTellsNamesApart) {
  for (const int count : {1, 15, 16, 17, 40}) {
    std::string text = R"({"":"empty")";
    for (int i = 0; i < count; ++i) {
      const std::string name = "a" + std::to_string(100 + i) + "z";
      text += ",\"" + name + "\":\"" + name + "\"";
    }
    const auto value = parse_json(text + "}");
    ASSERT_TRUE(value) << count;
    const json::object& object = value->get_object();
    EXPECT_EQ(find_string(object, ""), "empty");
    for (int i = 0; i < count; ++i) {
      const std::string name = "a" + std::to_string(100 + i) + "z";
      EXPECT_EQ(find_string(object, name), name);
    }
    for (const char* other : {"a099z", "a100", "100z", "a100y", "b100z", "z", "a"}) {
      EXPECT_EQ(find(object, other), nullptr) << other;
    }
    EXPECT_EQ(fault(text + R"(,"a100z":1})"), "duplicate member");
    EXPECT_EQ(fault(text + R"(,"":1})"), "duplicate member");
    EXPECT_EQ(fault(text + R"(,"a099z":1})"), "");
  }
}

TEST(Json, RefusesNumbersOutOfRange) {
  EXPECT_EQ(fault("1e400"), "number out of range");
  EXPECT_EQ(fault("-1e400"), "number out of range");
  EXPECT_EQ(fault(std::string(129, '1')), "number too long");
  EXPECT_EQ(fault("1e-400"), "");
}

TEST(Json, EnforcesDepthAndNodeLimits) {
  EXPECT_EQ(fault(std::string(64, '[') + std::string(64, ']')), "");
  EXPECT_EQ(fault(std::string(65, '[') + std::string(65, ']')), "nested too deeply");
  EXPECT_EQ(fault("[1,2,3]", {.depth = 8, .nodes = 4, .number_chars = 8}), "");
  EXPECT_EQ(fault("[1,2,3,4]", {.depth = 8, .nodes = 4, .number_chars = 8}), "too many values");
}

TEST(Json, RefusesBadTextAndTrailingBytes) {
  for (const char* text : {"", " ", "{", "{} x", "\xEF\xBB\xBF{}", "[\"\xFF\"]", "\"\\ud800\"",
                           "NaN", "[1,]", "{'a':1}", "// c\n1", "\"a\nb\""}) {
    EXPECT_NE(fault(text), "") << text;
  }
}

// Expected verdicts by file name: y_ parses, n_ does not, i_ is fixed below by what a strict reader
// does.
TEST(Json, AgreesWithJsonTestSuite) {
  const char* set = std::getenv("KUBIYA_VECTORS_DIR");
  const std::filesystem::path dir =
      (set ? std::filesystem::path(set)
           : std::filesystem::path(KUBIYA_SOURCE_DIR) / ".." / "shared" / "vectors") /
      "jsontestsuite" / "test_parsing";
  if (!std::filesystem::exists(dir)) GTEST_SKIP() << "vectors absent: " << dir;
  int y = 0, n = 0, i = 0;
  for (const auto& entry : std::filesystem::directory_iterator(dir)) {
    std::ifstream in(entry.path(), std::ios::binary);
    std::stringstream text;
    text << in.rdbuf();
    const std::string name = entry.path().filename();
    const bool ok = parse_json(text.str()).has_value();
    if (name[0] == 'y') {
      // Duplicate members are legal JSON and refused here on purpose.
      const bool duplicate = name.find("duplicated_key") != std::string::npos;
      EXPECT_EQ(ok, !duplicate) << name;
      ++y;
    } else if (name[0] == 'n') {
      EXPECT_FALSE(ok) << name;
      ++n;
    } else {
      ++i;
    }
  }
  EXPECT_GE(y, 90);
  EXPECT_GE(n, 180);
  EXPECT_GE(i, 30);
}

TEST(Json, ReadsEscapesInNamesAndTexts) {
  const auto value = parse_json(
      R"({"\n":1,"\r":2,"\u0061\u00e9\u20ac\ud83d\ude00":3,"tail\t":4,"":5,"a\/b":"\"\\\/\b\f\n\r\t\u0000"})");
  ASSERT_TRUE(value) << value.error().detail;
  EXPECT_EQ(to_json(*value),
            R"({"\n":1,"\r":2,"aé€😀":3,"tail\t":4,"":5,"a/b":"\"\\/\u0008\u000c\n\r\t\u0000"})");
}

TEST(Json, RefusesBrokenEscapes) {
  for (const char* text :
       {R"("\x")", R"("\)", R"("\u12")", R"("\u12g4")", R"("\u+123")", R"("\ud800")",
        R"("\ud800\u0041")", R"("\udc00")", R"("\ud800x")", R"({"\ud800":1})"}) {
    EXPECT_EQ(fault(text), "not valid JSON") << text;
  }
}

TEST(Json, RefusesDuplicatesAmongManyMembers) {
  std::string many = "{";
  for (int i = 0; i < 1000; ++i)
    many += "\"m" + std::to_string(i) + "\":" + std::to_string(i) + ",";
  EXPECT_EQ(fault(many + "\"last\":{}}"), "");
  EXPECT_EQ(fault(many + "\"m\\u0035\":{}}"), "duplicate member");
}

// Wherever both accept a text, the library's own parser reads the same value.
TEST(Json, AgreesWithTheLibrarysParser) {
  for (const char* text :
       {"0", "-0", "-1", "10", "123456789012345678", "-9223372036854775808", "9223372036854775808",
        "18446744073709551615", "18446744073709551616", "1.5", "-0.0", "1E3", "2e-3", "\"\"", "[]",
        "{}", " [ 1 , [ ] , { } ] ", R"({"a":[{"b":null},true,false],"c":"\u00e9"})",
        "\t\r\n[\"12345678\",\"1234567\",\"123456789é\"]\n"}) {
    const auto mine = parse_json(text);
    ASSERT_TRUE(mine) << text;
    EXPECT_EQ(*mine, boost::json::parse(text)) << text;
  }
}

// Every cut and every changed byte of a text: refused, or read as the library's parser reads it.
TEST(Json, NeverAcceptsWhatTheLibrarysParserRefuses) {
  const std::string text =
      R"({"id":-1e2,"n\u0061me":"a\\b\ud83d\ude00é","list":[1,true,null,{"x":[]}],"z":1234567890})";
  int accepted = 0;
  const auto check = [&](const std::string& changed) {
    const auto mine = parse_json(changed);
    if (!mine) return;
    ++accepted;
    boost::json::error_code error;
    const auto theirs = boost::json::parse(changed, error);
    EXPECT_FALSE(error) << changed;
    EXPECT_EQ(*mine, theirs) << changed;
  };
  for (std::size_t at = 0; at <= text.size(); ++at) check(text.substr(0, at));
  for (std::size_t at = 0; at < text.size(); ++at) {
    for (int byte = 0; byte < 256; ++byte) {
      std::string changed = text;
      changed[at] = static_cast<char>(byte);
      check(changed);
    }
  }
  EXPECT_GT(accepted, 1000);
}

TEST(Json, EscapesWhatWouldBreakALine) {
  std::string out;
  append_json_string(out, "a\"\\\n\r\t\x01\x7f€");
  EXPECT_EQ(out, "\"a\\\"\\\\\\n\\r\\t\\u0001\\u007f€\"");
}

}  // namespace
}  // namespace kubiya
