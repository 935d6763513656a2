// SPDX-License-Identifier: Apache-2.0
#include "base/canonical_json.h"

#include <gtest/gtest.h>

#include <bit>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace kubiya {
namespace {

std::string canonical(std::string_view text) {
  const auto value = parse_json(text);
  return value ? canonical_json(*value) : "refused: " + value.error().message;
}

TEST(CanonicalJson, SortsMembersByUtf16CodeUnits) {
  EXPECT_EQ(canonical(R"({"b":1,"a":2,"":3,"aa":4})"), R"({"":3,"a":2,"aa":4,"b":1})");
  // U+1F600 is a surrogate pair (0xD83D…), so it sorts before U+FB33 and U+20AC sorts before both.
  EXPECT_EQ(canonical("{\"\xEF\xAC\xB3\":1,\"\xF0\x9F\x98\x80\":2,\"\xE2\x82\xAC\":3}"),
            "{\"\xE2\x82\xAC\":3,\"\xF0\x9F\x98\x80\":2,\"\xEF\xAC\xB3\":1}");
}

TEST(CanonicalJson, SortsNestedObjectsAndKeepsArrayOrder) {
  EXPECT_EQ(canonical(R"([{"z":{"y":1,"x":[3,2]}},null,true,false])"),
            R"([{"z":{"x":[3,2],"y":1}},null,true,false])");
}

TEST(CanonicalJson, EscapesOnlyWhatTheStandardNames) {
  EXPECT_EQ(canonical(R"("\u0008\u0009\u000a\u000c\u000d\u0000\u001f\"\\\/\u007f\u2028")"),
            "\"\\b\\t\\n\\f\\r\\u0000\\u001f\\\"\\\\/\x7f\xE2\x80\xA8\"");
}

TEST(CanonicalJson, PrintsNumbersAsEcmaScriptDoes) {
  struct Row {
    std::uint64_t bits;
    const char* text;
  };
  for (const Row& row : {Row{0x0000000000000000, "0"},
                         Row{0x8000000000000000, "0"},
                         Row{0x0000000000000001, "5e-324"},
                         Row{0x8000000000000001, "-5e-324"},
                         Row{0x7fefffffffffffff, "1.7976931348623157e+308"},
                         Row{0xffefffffffffffff, "-1.7976931348623157e+308"},
                         Row{0x4340000000000000, "9007199254740992"},
                         Row{0xc340000000000000, "-9007199254740992"},
                         Row{0x4430000000000000, "295147905179352830000"},
                         Row{0x44b52d02c7e14af5, "9.999999999999997e+22"},
                         Row{0x44b52d02c7e14af6, "1e+23"},
                         Row{0x44b52d02c7e14af7, "1.0000000000000001e+23"},
                         Row{0x444b1ae4d6e2ef4e, "999999999999999700000"},
                         Row{0x444b1ae4d6e2ef4f, "999999999999999900000"},
                         Row{0x444b1ae4d6e2ef50, "1e+21"},
                         Row{0x3eb0c6f7a0b5ed8c, "9.999999999999997e-7"},
                         Row{0x3eb0c6f7a0b5ed8d, "0.000001"},
                         Row{0x41b3de4355555553, "333333333.3333332"},
                         Row{0x41b3de4355555554, "333333333.33333325"},
                         Row{0x41b3de4355555557, "333333333.33333343"},
                         Row{0xbecbf647612f3696, "-0.0000033333333333333333"},
                         Row{0x43143ff3c1cb0959, "1424953923781206.2"}}) {
    EXPECT_EQ(canonical_json(json::value(std::bit_cast<double>(row.bits))), row.text);
  }
}

TEST(CanonicalJson, PrintsIntegersExactlyUpTo2To53AndAsDoublesBeyond) {
  EXPECT_EQ(canonical("[9007199254740992,-9007199254740992,0,-1]"),
            "[9007199254740992,-9007199254740992,0,-1]");
  EXPECT_EQ(canonical("[9007199254740993,18446744073709551615,-9223372036854775808]"),
            "[9007199254740992,18446744073709552000,-9223372036854776000]");
}

TEST(CanonicalJson, IsIdempotent) {
  const std::string once = canonical(R"({"z":[1e21,0.1,-0.0],"a":{"\u20ac":"\u0001"}})");
  EXPECT_EQ(canonical(once), once);
}

std::string read_all(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

TEST(CanonicalJson, PassesThePublishedVectors) {
  const char* given = std::getenv("KUBIYA_VECTORS_DIR");
  const std::filesystem::path root =
      std::filesystem::path(given != nullptr ? given : KUBIYA_SOURCE_DIR "/../shared/vectors") /
      "jcs/testdata";
  if (!std::filesystem::exists(root / "input")) GTEST_SKIP() << "no JCS vectors at " << root;
  int rows = 0;
  for (const auto& file : std::filesystem::directory_iterator(root / "input")) {
    EXPECT_EQ(canonical(read_all(file)), read_all(root / "output" / file.path().filename()))
        << file.path().filename();
    ++rows;
  }
  EXPECT_GE(rows, 6);
}

}  // namespace
}  // namespace kubiya
