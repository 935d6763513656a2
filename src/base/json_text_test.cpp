// SPDX-License-Identifier: Apache-2.0
#include "base/json_text.h"

#include <gtest/gtest.h>

#include <array>
#include <string>

namespace kubiya {
namespace {

using Kind = JsonView::Kind;

// The view's value, member by member, is the one parse_json reads.
void expect_same(JsonView view, const json::value& value) {
  EXPECT_EQ(view.value(), value);
  if (const auto* object = value.if_object()) {
    ASSERT_EQ(view.kind(), Kind::object);
    for (const auto& member : *object) {
      const auto found = view.find(member.key());
      ASSERT_TRUE(found) << member.key();
      expect_same(*found, member.value());
    }
  } else if (value.is_string()) {
    ASSERT_EQ(view.kind(), Kind::string);
    EXPECT_EQ(view.string(), std::string_view(value.get_string()));
  } else {
    EXPECT_EQ(view.is_integer(), value.is_int64() || value.is_uint64()) << view.text();
  }
}

TEST(JsonText, ShowsWhatParseJsonReads) {
  for (
      const char* text :
      {"1", "-0", "1.0", "1e0", "18446744073709551615", "18446744073709551616", "\"a\\nb\"", "null",
       "[1,{\"a\":2}]",
       R"( { "a" : {"b":{"c":[]},"d":"x"} , "e\u0301\n" : "\ud83d\ude00é", "" : true, "z":-9223372036854775808 } )"}) {
    JsonText read;
    ASSERT_TRUE(read.read(text)) << text;
    expect_same(read.root(), *parse_json(text));
  }
}

TEST(JsonText, ValuesStandWhereTheyAreInTheText) {
  const std::string text = R"([null,true,1,"a\n","b",[],{}])";
  JsonText read;
  ASSERT_TRUE(read.read(text));
  for (const auto& view : read.root().elements()) {
    const auto at = view.text().data() - text.data();
    ASSERT_TRUE(at >= 0 && at < std::ssize(text)) << view.text();
    EXPECT_EQ(text.substr(static_cast<std::size_t>(at), view.text().size()), view.text());
  }
}

TEST(JsonText, FindsOnlyMembersOfTheObjectItself) {
  JsonText read;
  ASSERT_TRUE(read.read(R"({"in":{"name":"x"},"list":["name"],"string":"name"})"));
  EXPECT_FALSE(read.root().find("name"));
  EXPECT_EQ(find_string(*find_object(read.root(), "in"), "name"), "x");
  EXPECT_FALSE(find_object(read.root(), "list"));
  EXPECT_FALSE(read.root().find("list")->find("name"));
  EXPECT_FALSE(find_string(read.root(), "in"));
}

TEST(JsonText, RefusesWhatParseJsonRefuses) {
  for (const char* text :
       {"", "{", R"({"a":1,"a":2})", "1e400", "\"\\ud800\"", "[1,]", "{} x", "\"\xFF\""}) {
    JsonText read;
    const auto mine = read.read(text);
    const auto theirs = parse_json(text);
    ASSERT_FALSE(mine) << text;
    EXPECT_EQ(mine.error().message, theirs.error().message);
    EXPECT_EQ(mine.error().detail, theirs.error().detail);
  }
}

TEST(JsonText, AsksTheGivenMemory) {
  std::array<std::byte, 4096> block{};
  std::pmr::monotonic_buffer_resource memory(block.data(), block.size(),
                                             std::pmr::null_memory_resource());
  JsonText read(&memory);
  ASSERT_TRUE(read.read(R"({"a":[1,2,3],"b\n":"c\td"})"));
  EXPECT_EQ(find_string(read.root(), "b\n"), "c\td");
}

TEST(JsonText, ElementsOfAnArrayComeInOrderAndNothingElseHasAny) {
  JsonText text;
  ASSERT_TRUE(text.read(R"({"list":[1,{"a":[2,3]},[4],"five",null],"none":[],"object":{"x":1}})"));
  std::vector<std::string_view> seen;
  for (const JsonView element : text.root().find("list")->elements())
    seen.push_back(element.text());
  EXPECT_EQ(seen,
            (std::vector<std::string_view>{"1", R"({"a":[2,3]})", "[4]", R"("five")", "null"}));
  EXPECT_TRUE(text.root().find("none")->elements().empty());
  EXPECT_TRUE(text.root().find("object")->elements().empty());
}

}  // namespace
}  // namespace kubiya
