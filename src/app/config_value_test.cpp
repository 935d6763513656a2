// SPDX-License-Identifier: Apache-2.0
#include "app/config_value.h"

#include <optional>

#include <gtest/gtest.h>

namespace kubiya::app {
namespace {

struct Spelling {
  const char* name;
  const char* text;
  std::optional<std::uint64_t> value;
};

TEST(ConfigValue, ReadsDurationsWithAUnitOnly) {
  const Range range{0, 86'400'000};
  const Spelling rows[] = {
      {"milliseconds", "1500ms", 1'500},
      {"seconds", "25s", 25'000},
      {"minutes", "2m", 120'000},
      {"hours", "24h", 86'400'000},
      {"days", "1d", 86'400'000},
      {"zero", "0s", 0},
      {"no unit", "25", std::nullopt},
      {"no number", "s", std::nullopt},
      {"empty", "", std::nullopt},
      {"negative", "-1s", std::nullopt},
      {"fraction", "1.5s", std::nullopt},
      {"space", "1 s", std::nullopt},
      {"over the range", "25h", std::nullopt},
      {"overflow", "18446744073709551615d", std::nullopt},
  };
  for (const Spelling& row : rows) {
    const auto read = parse_duration(row.text, range);
    EXPECT_EQ(read.has_value(), row.value.has_value()) << row.name;
    if (read && row.value) {
      EXPECT_EQ(static_cast<std::uint64_t>(read->count()), *row.value) << row.name;
    }
  }
}

TEST(ConfigValue, ReadsSizesAtTheEdgesOfTheRange) {
  const Range range{1'024, 1'048'576};
  const Spelling rows[] = {
      {"lower edge", "1KiB", 1'024},          {"below", "1023", std::nullopt},
      {"upper edge", "1MiB", 1'048'576},      {"above", "1048577", std::nullopt},
      {"plain bytes", "8192", 8'192},         {"decimal unit", "8KB", std::nullopt},
      {"hexadecimal", "0x800", std::nullopt}, {"overflow", "99999999999GiB", std::nullopt},
  };
  for (const Spelling& row : rows) {
    const auto read = parse_bytes(row.text, range);
    EXPECT_EQ(read.has_value(), row.value.has_value()) << row.name;
    if (read && row.value) {
      EXPECT_EQ(*read, *row.value) << row.name;
    }
  }
}

TEST(ConfigValue, PrintsWhatItReads) {
  for (const std::uint64_t value : {0ull, 1ull, 1'023ull, 1'024ull, 65'536ull, 1ull << 30}) {
    EXPECT_EQ(parse_bytes(print_bytes(value), {0, 1ull << 40}).value_or(7), value);
  }
  for (const std::int64_t ms : {0ll, 1ll, 999ll, 1'000ll, 60'000ll, 90'000ll, 86'400'000ll}) {
    const std::chrono::milliseconds value(ms);
    EXPECT_EQ(*parse_duration(print_duration(value), {0, 1ull << 40}), value);
  }
}

TEST(ConfigValue, SplitsListsAtCommasAndSpaces) {
  const std::vector<std::string> three{"read", "write", "execute"};
  EXPECT_EQ(split_list("read write execute"), three);
  EXPECT_EQ(split_list("read,write,execute"), three);
  EXPECT_EQ(split_list(" read, write ,execute "), three);
  EXPECT_TRUE(split_list("").empty());
}

TEST(ConfigValue, SuggestsOnlyWhatIsClose) {
  const std::vector<std::string> keys{"server.port", "server.host", "data_dir"};
  EXPECT_EQ(closest("server.prot", keys), "server.port");
  EXPECT_EQ(closest("serverport", keys), "server.port");
  EXPECT_EQ(closest("sevre", {"dev", "serve"}), "serve");
  EXPECT_EQ(closest("abcd", {"badc"}), "");
  EXPECT_EQ(closest("frobnicate", keys), "");
}

}  // namespace
}  // namespace kubiya::app
