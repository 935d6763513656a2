// SPDX-License-Identifier: Apache-2.0
#include "workflow/expand.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <random>

#include "workflow/pattern.h"

namespace kubiya::workflow {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;

std::optional<std::string> sample(std::string_view name) {
  static const std::map<std::string, std::string, std::less<>> values = {
      {"A", "1"},
      {"1", "first"},
      {"TICKS", "`id` $(id) $A"},
      {"J", R"({"a":{"b":[{"c":"deep"},2]},"t":true,"s":"x y","n":"a\u0000b"})"},
      {"build-it", R"({"exitCode":3})"}};
  const auto found = values.find(name);
  if (found == values.end()) return std::nullopt;
  return found->second;
}

TEST(Expand, FillsInReferences) {
  const struct {
    const char* text;
    const char* expanded;
  } rows[] = {
      {"", ""},
      {"$A-${A}", "1-1"},
      {"$AB $ $. ${", "$AB $ $. ${"},
      {"${NONE} ${J.none} ${A.x}", "${NONE} ${J.none} ${A.x}"},
      {"${J.a.b[0].c}/${J.a.b[1]}/${J.t}", "deep/2/true"},
      {"${J.a}", R"({"b":[{"c":"deep"},2]})"},
      {"$$A $$", "$A $"},
      {"$12", "first2"},
      {"${A:-x} ${A-x} ${#A}", "${A:-x} ${A-x} ${#A}"},
      {"${build-it.exitCode}", "3"},
      {"${J.n}", "${J.n}"},
      {"`echo $A`", "`echo 1`"},
      {"$TICKS", "`id` $(id) $A"},
  };
  for (const auto& row : rows) EXPECT_EQ(*expand(row.text, sample), row.expanded) << row.text;
}

std::string repeated(std::string_view text, std::size_t times) {
  std::string all;
  for (std::size_t i = 0; i < times; ++i) all += text;
  return all;
}

TEST(Expand, EndsAtTheLongestValue) {
  const auto half = [](std::string_view) { return std::string(kLongestValue / 2, 'x'); };
  EXPECT_EQ(expand("$A$A", half)->size(), kLongestValue);
  for (const std::string& text : {std::string("$A$A."), std::string("$A$A$A"),
                                  repeated("$A", 9'999), std::string(kLongestValue + 1, 'x')}) {
    const auto expanded = expand(text, half);
    ASSERT_FALSE(expanded);
    EXPECT_EQ(expanded.error().code, Code::too_large);
  }
}

TEST(Expand, EndsAtTheMostSearchesInDocuments) {
  EXPECT_TRUE(expand(repeated("${J.s}", kMostPaths), sample));
  EXPECT_FALSE(expand(repeated("${J.s}", kMostPaths + 1), sample));
  EXPECT_TRUE(expand(repeated("$A", 10 * kMostPaths), sample)) << "those without a path are cheap";
  EXPECT_TRUE(prepare_shell(repeated("${J.s}", kMostPaths + 1), sample)) << "looked up once";
  std::string distinct;
  for (std::size_t i = 0; i <= kMostPaths; ++i) distinct += "${J.none" + std::to_string(i) + "}";
  EXPECT_FALSE(prepare_shell(distinct, sample));
}

TEST(PrepareShell, BoundsTheValuesOfItsVariables) {
  const auto big = [](std::string_view) {
    return to_json(json::object{{"a", std::string(kLongestValue / 2, 'x')}, {"b", "y"}});
  };
  EXPECT_TRUE(prepare_shell("echo ${J.a} ${J.b}", big));
  EXPECT_EQ(prepare_shell("echo ${J.a} ${K.a} ${J.b}", big).error().code, Code::too_large);
}

TEST(PrepareShell, LeavesVariablesToTheShellAndNamesTheRest) {
  const ShellText shell = *prepare_shell(R"(echo "$A" ${A:-x} ${J.s} "${J.s}${J.t}" $1)", sample);
  EXPECT_EQ(
      shell.text,
      R"(echo "$A" ${A:-x} ${KUBIYA_REF_1} "${KUBIYA_REF_1}${KUBIYA_REF_2}" ${KUBIYA_REF_3})");
  EXPECT_THAT(shell.variables,
              ElementsAre(Pair("KUBIYA_REF_1", "x y"), Pair("KUBIYA_REF_2", "true"),
                          Pair("KUBIYA_REF_3", "first")));
}

TEST(PrepareShell, LeavesPlainTextAlone) {
  for (const char* text :
       {"echo '${J.s}'", "awk '{print $1}'", "echo \\${J.s}", "echo \"\\${J.s}\"", "# ${J.s}",
        "kill $$", "echo ${J.none}", "cat <<'EOF'\n${J.s}\nEOF", "cat <<\\EOF\n$1\nEOF\n", "'",
        "\\", "$", "cat <<", "cat <<EOF", "echo 'open ${J.s}"}) {
    const ShellText shell = *prepare_shell(text, sample);
    EXPECT_EQ(shell.text, text);
    EXPECT_THAT(shell.variables, IsEmpty()) << text;
  }
}

TEST(PrepareShell, FindsReferencesThatQuotingDoesNotHide) {
  for (const char* text :
       {"\"it's ${J.s}\"", "# don't\necho ${J.s}", "cat <<EOF\nit's ${J.s}\nEOF\n",
        "cat <<-\"E\"\n\t$1\n\tE\necho ${J.s}", "cat <<<'x' ${J.s}", "a#'b' ${J.s}",
        "echo 'a'${J.s}'b'", "cat <<'A' <<B\n${J.t}\nA\n${J.s}\nB\n"}) {
    EXPECT_THAT(prepare_shell(text, sample)->variables, ElementsAre(Pair("KUBIYA_REF_1", "x y")))
        << text;
  }
}

// Whatever a value holds, the text the shell reads is the same.
TEST(PrepareShell, TextNeverDependsOnTheValue) {
  std::mt19937 random(1);
  const auto pick = [&](std::size_t n) { return random() % n; };
  static constexpr const char* pieces[] = {"$1",   "${J.s}", "'",  "\"", "\\", "`",   "$",
                                           "{",    "}",      "\n", "#",  "<<", "EOF", "-",
                                           "\n\t", " ",      "x",  "$(", ")",  ";",   "${1}"};
  for (int round = 0; round < 20'000; ++round) {
    std::string text, marker = "MARK";
    for (auto n = pick(12); n > 0; --n) text += pieces[pick(std::size(pieces))];
    for (auto n = pick(6); n > 0; --n) marker += pieces[pick(std::size(pieces))];
    const auto with = [&](const std::string& value) {
      return *prepare_shell(text, [&](std::string_view name) -> std::optional<std::string> {
        if (name != "J") return value;
        return to_json(json::object{{"s", value}});
      });
    };
    const ShellText hostile = with(marker);
    ASSERT_EQ(hostile.text.find("MARK"), std::string::npos) << text;
    ASSERT_EQ(hostile.text, with("").text) << text;
    for (const auto& [name, value] : hostile.variables) ASSERT_EQ(value, marker);
  }
}

TEST(JsonPath, FollowsKeysAndIndexes) {
  constexpr std::string_view text = R"({"a":{"b":[10,{"c":"v"}]},"x-y":null})";
  EXPECT_EQ(json_path(text, "a.b[0]"), "10");
  EXPECT_EQ(json_path(text, "a.b[1].c"), "v");
  EXPECT_EQ(json_path(text, "x-y"), "null");
  EXPECT_EQ(json_path("[[7]]", "[0][0]"), "7");
  for (const char* path : {"", ".", "a.", ".a", "a..b", "a.b[2]", "a.b[-1]", "a.b[", "a.b[x]",
                           "a.b[0]c", "a.b.c", "z", "a.b[99999999999999999999]"}) {
    EXPECT_EQ(json_path(text, path), std::nullopt) << path;
  }
  EXPECT_EQ(json_path("not json", "a"), std::nullopt);
}

TEST(EnvironmentNames, AreToldApart) {
  EXPECT_TRUE(is_env_name("_a1"));
  for (const char* name : {"", "1a", "a-b", "a=b", "a b", "é"}) EXPECT_FALSE(is_env_name(name));
  for (const char* name : {"LD_PRELOAD", "LD_ANYTHING", "PATH", "IFS", "ENV", "BASH_ENV",
                           "PYTHONSTARTUP", "GIT_SSH_COMMAND", "BASH_FUNC_x", "GIT_CONFIG_COUNT"}) {
    EXPECT_TRUE(is_dangerous_env_name(name)) << name;
  }
  for (const char* name : {"env", "GIT_BRANCH", "VERSION", "PATHS"}) {
    EXPECT_FALSE(is_dangerous_env_name(name)) << name;
  }
}

TEST(Matches, ComparesLineByLine) {
  EXPECT_TRUE(matches("a\nb\r\n", "b"));
  EXPECT_FALSE(matches("ab", "b"));
  EXPECT_TRUE(matches("ab", "re:b$"));
  EXPECT_FALSE(matches("b\na", "re:b.a"));
  EXPECT_FALSE(matches("x", "re:("));
  EXPECT_TRUE(matches("", ""));
  EXPECT_TRUE(any_line_contains("x\nabc\n", "bc"));
  EXPECT_FALSE(any_line_contains("ab\nc", "abc"));
}

TEST(Matches, GivesUpOnPatternsThatExplode) {
  std::string text;
  for (int i = 0; i < 1000; ++i) text += std::string(60, 'a') + "!\n";
  EXPECT_FALSE(matches(text, "re:^(a|aa|aaa)+$"));
}

}  // namespace
}  // namespace kubiya::workflow
