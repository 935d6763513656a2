// SPDX-License-Identifier: Apache-2.0
#include "base/yaml.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

namespace kubiya {
namespace {

using testing::HasSubstr;

std::string as_json(std::string_view text) {
  const auto value = parse_yaml(text);
  return value ? to_json(*value) : "error: " + value.error().message;
}

TEST(Yaml, TypesPlainScalarsByTheCoreSchema) {
  const struct {
    const char* text;
    const char* json;
  } rows[] = {
      {"null", "null"},
      {"~", "null"},
      {"", "null"},
      {"true", "true"},
      {"False", "false"},
      {"yes", R"("yes")"},
      {"off", R"("off")"},
      {"tRue", R"("tRue")"},
      {"12", "12"},
      {"-7", "-7"},
      {"+7", "7"},
      {"0", "0"},
      {"0x1F", "31"},
      {"0o17", "15"},
      {"1.5", "1.5"},
      {".5", "0.5"},
      {"1e3", "1000.0"},
      {"1.", "1.0"},
      {"1.2.3", R"("1.2.3")"},
      {"1_000", R"("1_000")"},
      {"2026-01-02", R"("2026-01-02")"},
      {"08:30", R"("08:30")"},
      {"'12'", R"("12")"},
      {"\"true\"", R"("true")"},
      {"'~'", R"("~")"},
      {"e5", R"("e5")"},
      {".", R"(".")"},
      {"18446744073709551615", "18446744073709551615"},
  };
  for (const auto& row : rows) EXPECT_EQ(as_json(row.text), row.json) << row.text;
}

TEST(Yaml, ReadsBlocksFlowsAndAliases) {
  EXPECT_EQ(as_json("a: &x [1, {b: c}]\nd: *x\ne: |\n  one\n  two\nf: >-\n  one\n  two\n"),
            R"({"a":[1,{"b":"c"}],"d":[1,{"b":"c"}],"e":"one\ntwo\n","f":"one two"})");
  EXPECT_EQ(as_json("\xEF\xBB\xBF"
                    "a: 1"),
            R"({"a":1})");
  EXPECT_EQ(as_json("---\na: 1\n...\n"), R"({"a":1})");
  EXPECT_EQ(as_json("a: &x 1\nb: &x 2\nc: *x"), R"({"a":1,"b":2,"c":2})");
}

TEST(Yaml, ReadsQuotesWithinQuotes) {
  const struct {
    const char* text;
    const char* json;
  } rows[] = {
      {"'it''s'", R"("it's")"},
      {"''''", R"("'")"},
      {"'x''''y'", R"("x''y")"},
      {"'''''''x'", R"("'''x")"},
      {"'echo '''' | grep ''a b'''", R"("echo '' | grep 'a b'")"},
      {R"("x\"\"y")", R"("x\"\"y")"},
      {R"("a\/b\u00e9\n")", R"("a/bé\n")"},
      {"'one\n\n  two'", R"("one\ntwo")"},
  };
  for (const auto& row : rows) EXPECT_EQ(as_json(row.text), row.json) << row.text;
}

TEST(Yaml, RefusesWithLineAndColumn) {
  const struct {
    const char* name;
    const char* text;
    const char* says;
  } rows[] = {
      {"duplicate", "a: 1\nb:\n  c: 1\n  c: 2\n", "duplicate key \"c\" (line 4, column 3)"},
      {"duplicate by spelling", "1: a\n\"1\": b\n", "duplicate key"},
      {"merge key", "a: &a {x: 1}\nb:\n  <<: *a\n", "merge keys (<<) are not supported"},
      {"tag", "a: !!str 1", "tags are not supported (line 1, column"},
      {"the empty tag", "a: ! 12", "tags are not supported (line 1, column 4)"},
      {"a tag behind an anchor", "a: &x\n  ! 12", "tags are not supported (line 2, column 3)"},
      {"code tag", "!!python/object:os.system x", "tags are not supported"},
      {"documents", "a: 1\n---\nb: 2\n", "several documents"},
      {"unknown alias", "a: *x", "an alias without an anchor"},
      {"alias of itself", "a: &a [*a]", "an alias without an anchor"},
      {"alias as key", "a: &a x\n*a : 1", "an alias as a key"},
      {"complex key", "? [a]\n: 1", "a key must be plain text"},
      {"missing key", "?\n: 1", "a key is missing"},
      {"missing key in a block", ": 1", "did not find expected key (line 1, column 1)"},
      {"leading zero", "mode: 0644", "leading zero; quote it if it is text (line 1, column 7)"},
      {"too large", "a: 18446744073709551616", "out of range"},
      {"float too large", "a: 1e999", "out of range"},
      {"infinity", "a: .inf", "infinity and NaN"},
      {"lone surrogate", "a: \"\\ud800\"", "(line 1"},
      {"tab", "a: 1\nb:\n\t- c", "(line 3, column"},
      {"open quote", "a: \"b", "not valid YAML"},
      {"open flow", "a: [1, 2", "not valid YAML"},
      {"control character", "a: 1\nb: x\x01y",
       "control characters are not allowed (line 2, column 5)"},
      {"line end of YAML 1.1", "a: x\u2028y", "must be written as escapes"},
      {"bad UTF-8", "a: \xFF", "UTF-8"},
  };
  for (const auto& row : rows) {
    const auto value = parse_yaml(row.text);
    ASSERT_FALSE(value) << row.name << to_json(*value);
    EXPECT_EQ(value.error().code, Code::invalid) << row.name;
    EXPECT_THAT(value.error().message, HasSubstr(row.says)) << row.name;
  }
  EXPECT_FALSE(parse_yaml(std::string_view("a\0b", 3)));
}

TEST(Yaml, BoundsDepthNodesAndExpansion) {
  EXPECT_TRUE(parse_yaml("[[[1]]]", {.depth = 3}));
  EXPECT_THAT(parse_yaml("[[[1]]]", {.depth = 2}).error().message, HasSubstr("deeply"));
  EXPECT_THAT(parse_yaml("a: &a [[1]]\nb: [[*a]]", {.depth = 4}).error().message,
              HasSubstr("deeply"));
  EXPECT_THAT(parse_yaml("[1, 2, 3]", {.nodes = 3}).error().message, HasSubstr("too many values"));
  std::string bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 12; ++i) {
    bomb += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [";
    for (int j = 0; j < 10; ++j) bomb += "*a" + std::to_string(i - 1) + ", ";
    bomb += "]\n";
  }
  EXPECT_FALSE(parse_yaml(bomb));
  std::string fat = "a: &a \"" + std::string(100'000, 'x') + "\"\nb:\n";
  for (int i = 0; i < 1000; ++i) fat += "- *a\n";
  EXPECT_THAT(parse_yaml(fat).error().message, HasSubstr("aliases expand to too much"));
  for (const char* open : {"[", "{", "[!", "{!", "{a: ! ["}) {
    std::string deep;
    for (int i = 0; i < 100'000; ++i) deep += open;
    EXPECT_FALSE(parse_yaml(deep)) << open;
  }
  EXPECT_THAT(parse_yaml(std::string(100'000, '[') + "!").error().message, HasSubstr("deeply"));
}

TEST(Yaml, WritesBlockStyle) {
  EXPECT_EQ(
      to_yaml(*parse_json(R"({"name":"a b","list":[1,{"x":"yes"},[]],"s":"echo\n  1\n","d":2.0})")),
      "name: a b\nlist:\n  - 1\n  -\n    x: \"yes\"\n  - []\ns: |\n  echo\n    1\nd: 2.0\n");
}

class RandomValue {
 public:
  explicit RandomValue(unsigned seed) : random_(seed) {}

  json::value make(int depth) {
    switch (below(depth > 0 ? 9 : 7)) {
      case 0:
        return nullptr;
      case 1:
        return below(2) == 0;
      case 2:
        return static_cast<std::int64_t>(random_()) - 2'000'000'000;
      case 3:
        return static_cast<double>(random_()) / 64.0;
      case 4:
        return 1e300 * static_cast<double>(below(9));
      case 5:
      case 6:
        return json::string(text());
      case 7: {
        json::array array;
        for (auto n = below(4); n > 0; --n) array.push_back(make(depth - 1));
        return array;
      }
      default: {
        json::object object;
        for (auto n = below(4); n > 0; --n) object[text()] = make(depth - 1);
        return object;
      }
    }
  }

 private:
  std::size_t below(std::size_t n) {
    return std::uniform_int_distribution<std::size_t>(0, n - 1)(random_);
  }
  std::string text() {
    static constexpr const char* pieces[] = {
        "a",      "b c",    "\n",     "\n\n",   " ",          "\t", ": ",     "#",
        "- ",     "'",      "\"",     "\\",     "~",          "{",  "yes",    "1",
        "é",      "\r",     "\0",     "*x",     "&x",         "<<", "!",      "\x7f",
        "%",      "---",    "\u2028", "\u0085", "\U0001F600", ".5", "\u2029", "\ufeff",
        "\ufffe", "\uffff", "\u0080", "\u00A0", "\ud7ff"};
    std::string text;
    for (auto n = below(6); n > 0; --n) text += pieces[below(std::size(pieces))];
    return text;
  }
  std::mt19937 random_;
};

TEST(Yaml, ReadsBackWhatItWrites) {
  for (unsigned seed = 0; seed < 5000; ++seed) {
    const json::value value = RandomValue(seed).make(4);
    const std::string text = to_yaml(value);
    const auto again = parse_yaml(text);
    ASSERT_TRUE(again) << seed << ": " << again.error().message << "\n" << text;
    ASSERT_EQ(to_json(*again), to_json(value)) << seed << "\n" << text;
  }
}

}  // namespace
}  // namespace kubiya
