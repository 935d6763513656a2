// SPDX-License-Identifier: Apache-2.0
#include "app/config_value.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <utility>

namespace kubiya::app {
namespace {

struct Unit {
  std::string_view name;
  std::uint64_t size;
};
constexpr std::array<Unit, 4> kByteUnits{
    {{"GiB", 1ull << 30}, {"MiB", 1ull << 20}, {"KiB", 1ull << 10}, {"", 1}}};
constexpr std::array<Unit, 5> kTimeUnits{
    {{"d", 86'400'000}, {"h", 3'600'000}, {"m", 60'000}, {"s", 1'000}, {"ms", 1}}};

std::optional<std::uint64_t> digits(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return value;
}

template <std::size_t N>
std::optional<std::uint64_t> with_unit(std::string_view text, const std::array<Unit, N>& units) {
  const std::size_t split = std::min(text.find_first_not_of("0123456789"), text.size());
  const std::optional<std::uint64_t> count = digits(text.substr(0, split));
  const auto unit = std::find_if(units.begin(), units.end(), [&](const Unit& candidate) {
    return candidate.name == text.substr(split);
  });
  std::uint64_t product = 0;
  if (!count || unit == units.end() || __builtin_mul_overflow(*count, unit->size, &product)) {
    return std::nullopt;
  }
  return product;
}

template <std::size_t N>
std::string print_unit(std::uint64_t value, const std::array<Unit, N>& units) {
  for (const Unit& unit : units) {
    if (value % unit.size == 0 && (value != 0 || unit.size == units.back().size)) {
      return std::to_string(value / unit.size).append(unit.name);
    }
  }
  return std::to_string(value);
}

Result<std::uint64_t> in_range(std::optional<std::uint64_t> value, Range range,
                               std::string allowed) {
  if (!value || *value < range.min || *value > range.max) {
    return fail(Code::invalid, std::move(allowed));
  }
  return *value;
}

// Letters added, left out, replaced, or exchanged with their neighbour.
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> older, above, row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    older = std::exchange(above, row);
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = above[j - 1] + (a[i - 1] == b[j - 1] ? 0u : 1u);
      row[j] = std::min({above[j] + 1, row[j - 1] + 1, replaced});
      const bool exchanged = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (exchanged) row[j] = std::min(row[j], older[j - 2] + 1);
    }
  }
  return row.back();
}

}  // namespace

Result<std::uint64_t> parse_number(std::string_view text, Range range) {
  return in_range(digits(text), range, number_allowed(range));
}

Result<std::uint64_t> parse_bytes(std::string_view text, Range range) {
  return in_range(with_unit(text, kByteUnits), range, bytes_allowed(range));
}

std::string print_bytes(std::uint64_t bytes) { return print_unit(bytes, kByteUnits); }

Result<std::chrono::milliseconds> parse_duration(std::string_view text, Range range_ms) {
  const std::uint64_t value =
      TRY(in_range(with_unit(text, kTimeUnits), range_ms, duration_allowed(range_ms)));
  return std::chrono::milliseconds(static_cast<std::int64_t>(value));
}

std::string print_duration(std::chrono::milliseconds duration) {
  return print_unit(static_cast<std::uint64_t>(duration.count()), kTimeUnits);
}

Result<bool> parse_switch(std::string_view text) {
  if (text == "true") return true;
  if (text == "false") return false;
  return fail(Code::invalid, "true or false");
}

std::vector<std::string> split_list(std::string_view text) {
  std::vector<std::string> items;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find_first_of(", \t"), text.size());
    if (end > 0) items.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return items;
}

std::string join(const std::vector<std::string>& items, std::string_view separator) {
  std::string all;
  for (const std::string& item : items) {
    if (!all.empty()) all += separator;
    all += item;
  }
  return all;
}

std::string number_allowed(Range range) {
  return "a whole number from " + std::to_string(range.min) + " to " + std::to_string(range.max);
}

std::string bytes_allowed(Range range) {
  return "a size from " + print_bytes(range.min) + " to " + print_bytes(range.max) +
         " (bytes, or with KiB, MiB, GiB)";
}

std::string duration_allowed(Range range_ms) {
  return "a duration from " + print_unit(range_ms.min, kTimeUnits) + " to " +
         print_unit(range_ms.max, kTimeUnits) + " (a whole number with ms, s, m, h or d)";
}

std::string closest(std::string_view text, const std::vector<std::string>& candidates) {
  std::string best;
  std::size_t best_distance = text.size() / 3 + 1;
  for (const std::string& candidate : candidates) {
    const std::size_t distance = edit_distance(text, candidate);
    if (distance < best_distance) {
      best_distance = distance;
      best = candidate;
    }
  }
  return best;
}

}  // namespace kubiya::app
