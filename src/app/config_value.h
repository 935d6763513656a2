// SPDX-License-Identifier: Apache-2.0
//
// How values are spelled in configuration: numbers, byte sizes, durations, switches,
// lists. Pure. Errors are Code::invalid and their message says what is allowed.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace kubiya::app {

struct Range {
  std::uint64_t min = 0;
  std::uint64_t max = 0;
};

// Decimal digits only.
Result<std::uint64_t> parse_number(std::string_view text, Range range);

// "8192", "8KiB", "1MiB", "64GiB"; the largest unit that divides is printed.
Result<std::uint64_t> parse_bytes(std::string_view text, Range range);
std::string print_bytes(std::uint64_t bytes);

// A whole number with its unit: ms, s, m, h, d. The range is in milliseconds.
Result<std::chrono::milliseconds> parse_duration(std::string_view text, Range range_ms);
std::string print_duration(std::chrono::milliseconds duration);

// "true" or "false".
Result<bool> parse_switch(std::string_view text);

// Items separated by commas or spaces; empty ones are dropped.
std::vector<std::string> split_list(std::string_view text);

std::string join(const std::vector<std::string>& items, std::string_view separator);

// What a range allows, in words: "a whole number from 1 to 65535".
std::string number_allowed(Range range);
std::string bytes_allowed(Range range);
std::string duration_allowed(Range range_ms);

// The candidate that `text` most likely meant, or empty: at most a third of it differs.
std::string closest(std::string_view text, const std::vector<std::string>& candidates);

}  // namespace kubiya::app
