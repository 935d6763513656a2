// SPDX-License-Identifier: Apache-2.0
//
// JSON values compared the way JSON Schema means it (core 4.2.2): numbers by
// mathematical value, objects without order. Work is charged to a Budget.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "base/json.h"

namespace kubiya::schema {

// What one validation may still spend. A refusal is final: every later charge fails too.
class Budget {
 public:
  explicit Budget(std::size_t steps) : left_(steps) {}
  bool charge(std::size_t steps) {
    if (steps > left_) {
      left_ = 0;
      spent_ = true;
      return false;
    }
    left_ -= steps;
    return !spent_;
  }
  bool spent() const { return spent_; }

 private:
  std::size_t left_;
  bool spent_ = false;
};

// Both return an arbitrary value once the budget is spent; the caller looks there.
bool json_equal(const json::value& a, const json::value& b, Budget& budget);
// Equal values have equal hashes.
std::size_t json_hash(const json::value& value, Budget& budget);

// True when two items of `items` are equal.
bool has_repeats(const json::array& items, Budget& budget);

// A number as digits × 10^exponent, taken from its shortest decimal form.
struct Decimal {
  std::uint64_t digits = 0;
  int exponent = 0;
};
std::optional<Decimal> to_decimal(const json::value& number);
// Exact in decimal: 0.3 is a multiple of 0.1. `divisor.digits` is not zero.
bool is_multiple(const Decimal& value, const Decimal& divisor);

// Any JSON number exactly; 64 bits of mantissa hold int64, uint64 and double.
std::optional<long double> to_number(const json::value& value);
bool is_integer(const json::value& value);

}  // namespace kubiya::schema
