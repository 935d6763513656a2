// SPDX-License-Identifier: Apache-2.0
#include "schema/equality.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <functional>
#include <limits>
#include <string_view>
#include <utility>
#include <vector>

namespace kubiya::schema {
namespace {

static_assert(std::numeric_limits<long double>::digits >= 64,
              "long double must hold every 64-bit integer and every double");

__extension__ using Wide = unsigned __int128;

// Deeper values come from no parser of ours; comparing them would only endanger the stack.
constexpr int kMaxDepth = 256;

bool equal_at(const json::value& a, const json::value& b, Budget& budget, int depth);

bool equal_arrays(const json::array& a, const json::array& b, Budget& budget, int depth) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (!equal_at(a[i], b[i], budget, depth)) return false;
  }
  return true;
}

bool equal_objects(const json::object& a, const json::object& b, Budget& budget, int depth) {
  if (a.size() != b.size()) return false;
  for (const auto& member : a) {
    const json::value* other = b.if_contains(member.key());
    if (other == nullptr || !equal_at(member.value(), *other, budget, depth)) return false;
  }
  return true;
}

bool equal_at(const json::value& a, const json::value& b, Budget& budget, int depth) {
  if (depth > kMaxDepth) budget.charge(std::numeric_limits<std::size_t>::max());
  if (!budget.charge(1)) return false;
  if (a.is_number() && b.is_number()) return to_number(a) == to_number(b);
  if (a.kind() != b.kind()) return false;
  switch (a.kind()) {
    case json::kind::null:
      return true;
    case json::kind::bool_:
      return a.get_bool() == b.get_bool();
    case json::kind::string:
      return budget.charge(a.get_string().size() / 64) && a.get_string() == b.get_string();
    case json::kind::array:
      return equal_arrays(a.get_array(), b.get_array(), budget, depth + 1);
    case json::kind::object:
      return equal_objects(a.get_object(), b.get_object(), budget, depth + 1);
    default:
      return false;
  }
}

std::size_t mix(std::size_t seed, std::size_t more) {
  return seed * 0x9E3779B97F4A7C15ULL + (more ^ (more >> 29));
}

std::size_t hash_at(const json::value& value, Budget& budget, int depth) {
  if (depth > kMaxDepth) budget.charge(std::numeric_limits<std::size_t>::max());
  if (!budget.charge(1)) return 0;
  const std::hash<std::string_view> text;
  switch (value.kind()) {
    case json::kind::null:
      return 1;
    case json::kind::bool_:
      return value.get_bool() ? 2 : 3;
    case json::kind::int64:
    case json::kind::uint64:
    case json::kind::double_:
      return mix(4, std::hash<double>{}(static_cast<double>(*to_number(value))));
    case json::kind::string:
      budget.charge(value.get_string().size() / 64);
      return mix(5, text(view(value.get_string())));
    case json::kind::array: {
      std::size_t hash = 6;
      for (const auto& item : value.get_array()) hash = mix(hash, hash_at(item, budget, depth + 1));
      return hash;
    }
    case json::kind::object: {
      std::size_t sum = 7;  // a sum, because the order of members means nothing
      for (const auto& member : value.get_object()) {
        sum +=
            mix(text(std::string_view(member.key())), hash_at(member.value(), budget, depth + 1));
      }
      return sum;
    }
  }
  return 0;
}

// digits × 10^power mod `modulus`.
std::uint64_t scaled_remainder(std::uint64_t digits, int power, std::uint64_t modulus) {
  Wide result = digits % modulus;
  Wide base = 10 % modulus;
  for (; power > 0; power >>= 1) {
    if (power & 1) result = result * base % modulus;
    base = base * base % modulus;
  }
  return static_cast<std::uint64_t>(result);
}

// Reads what std::to_chars wrote in scientific form: [-]d[.ddd]e±xx.
Decimal parse_scientific(std::string_view text) {
  Decimal out;
  int fraction_digits = 0;
  bool in_fraction = false;
  std::size_t i = text.starts_with('-') ? 1 : 0;
  for (; i < text.size() && text[i] != 'e'; ++i) {
    if (text[i] == '.') {
      in_fraction = true;
      continue;
    }
    out.digits = out.digits * 10 + static_cast<std::uint64_t>(text[i] - '0');
    fraction_digits += in_fraction ? 1 : 0;
  }
  ++i;
  if (i < text.size() && text[i] == '+') ++i;
  if (i < text.size()) std::from_chars(text.data() + i, text.data() + text.size(), out.exponent);
  out.exponent -= fraction_digits;
  return out;
}

}  // namespace

bool json_equal(const json::value& a, const json::value& b, Budget& budget) {
  return equal_at(a, b, budget, 0);
}

std::size_t json_hash(const json::value& value, Budget& budget) {
  return hash_at(value, budget, 0);
}

bool has_repeats(const json::array& items, Budget& budget) {
  std::vector<std::pair<std::size_t, std::size_t>> order;  // hash, index
  order.reserve(items.size());
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (budget.spent()) return false;
    order.emplace_back(json_hash(items[i], budget), i);
  }
  std::sort(order.begin(), order.end());
  for (std::size_t i = 0; i < order.size(); ++i) {
    for (std::size_t j = i + 1; j < order.size() && order[j].first == order[i].first; ++j) {
      if (json_equal(items[order[i].second], items[order[j].second], budget)) return true;
      if (budget.spent()) return false;
    }
  }
  return false;
}

std::optional<Decimal> to_decimal(const json::value& number) {
  if (const auto* i = number.if_int64()) {
    const auto raw = static_cast<std::uint64_t>(*i);
    return Decimal{*i < 0 ? 0 - raw : raw, 0};
  }
  if (const auto* u = number.if_uint64()) return Decimal{*u, 0};
  const auto* d = number.if_double();
  if (d == nullptr || !std::isfinite(*d)) return std::nullopt;
  char buffer[32];
  const auto written =
      std::to_chars(buffer, buffer + sizeof buffer, *d, std::chars_format::scientific);
  return parse_scientific({buffer, static_cast<std::size_t>(written.ptr - buffer)});
}

bool is_multiple(const Decimal& value, const Decimal& divisor) {
  if (value.digits == 0) return true;
  const int shift = value.exponent - divisor.exponent;
  if (shift >= 0) return scaled_remainder(value.digits, shift, divisor.digits) == 0;
  if (shift < -19) return false;  // the divisor is then larger than the value
  Wide scaled = divisor.digits;
  for (int i = shift; i < 0; ++i) scaled *= 10;
  return value.digits % scaled == 0;
}

std::optional<long double> to_number(const json::value& value) {
  if (const auto* i = value.if_int64()) return static_cast<long double>(*i);
  if (const auto* u = value.if_uint64()) return static_cast<long double>(*u);
  if (const auto* d = value.if_double()) return static_cast<long double>(*d);
  return std::nullopt;
}

bool is_integer(const json::value& value) {
  if (value.is_int64() || value.is_uint64()) return true;
  const auto* d = value.if_double();
  return d != nullptr && std::isfinite(*d) && std::trunc(*d) == *d;
}

}  // namespace kubiya::schema
