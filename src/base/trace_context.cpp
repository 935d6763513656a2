// SPDX-License-Identifier: Apache-2.0
#include "base/trace_context.h"

#include <algorithm>
#include <utility>

namespace kubiya {
namespace {

constexpr std::size_t kParentBytes = 55;  // 2-32-16-2 digits and three dashes
constexpr std::size_t kStateMembers = 32;
constexpr std::size_t kStateBytes = 512;  // as much as a participant has to pass on
constexpr std::size_t kStateKeyBytes = 256;
constexpr std::size_t kStateValueBytes = 256;
constexpr std::size_t kBaggageMembers = 64;
constexpr std::size_t kBaggageBytes = 8192;

bool is_lower(char c) { return c >= 'a' && c <= 'z'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_upper(char c) { return c >= 'A' && c <= 'Z'; }

bool is_hex(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return is_digit(c) || (c >= 'a' && c <= 'f'); });
}

bool is_nought(std::string_view text) { return text.find_first_not_of('0') == text.npos; }

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

// Whether `text` is at most `max` pieces between separators, each of which `fits`.
template <class Fits>
bool is_list(std::string_view text, char separator, std::size_t max, Fits fits) {
  for (std::size_t count = 0;; ++count) {
    const std::size_t end = text.find(separator);
    if (count == max || !fits(trimmed(text.substr(0, end)))) return false;
    if (end == text.npos) return true;
    text.remove_prefix(end + 1);
  }
}

bool is_state_key(std::string_view key) {
  if (key.empty() || key.size() > kStateKeyBytes) return false;
  if (!is_lower(key.front()) && !is_digit(key.front())) return false;
  return std::all_of(key.begin(), key.end(), [](char c) {
    return is_lower(c) || is_digit(c) ||
           std::string_view("_-*/@").find(c) != std::string_view::npos;
  });
}

bool is_state_member(std::string_view member) {
  if (member.empty()) return true;
  const std::size_t equals = member.find('=');
  if (equals == member.npos || !is_state_key(member.substr(0, equals))) return false;
  const std::string_view value = member.substr(equals + 1);
  return value.size() <= kStateValueBytes && std::all_of(value.begin(), value.end(), [](char c) {
           return c >= ' ' && c <= '~' && c != ',' && c != '=';
         });
}

bool is_token(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return is_lower(c) || is_upper(c) || is_digit(c) ||
           std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
  });
}

bool is_baggage_value(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) {
    return c > ' ' && c <= '~' && c != '"' && c != ',' && c != ';' && c != '\\';
  });
}

// `key`, or `key = value`; the first of a member needs its value.
bool is_baggage_entry(std::string_view entry, bool needs_value) {
  const std::size_t equals = entry.find('=');
  if (equals == entry.npos) return !needs_value && is_token(entry);
  return is_token(trimmed(entry.substr(0, equals))) &&
         is_baggage_value(trimmed(entry.substr(equals + 1)));
}

bool is_baggage_member(std::string_view member) {
  bool first = true;
  return is_list(member, ';', kBaggageMembers, [&first](std::string_view entry) {
    return is_baggage_entry(entry, std::exchange(first, false));
  });
}

// A later version may mean more by its flags than we know; `sampled` it means.
std::string as_version_00(std::string_view parent) {
  if (parent.starts_with("00")) return std::string(parent);
  const bool sampled = std::string_view("13579bdf").find(parent[kParentBytes - 1]) != parent.npos;
  std::string text("00");
  text.append(parent.substr(2, kParentBytes - 4)).append(sampled ? "01" : "00");
  return text;
}

}  // namespace

bool is_traceparent(std::string_view text) {
  if (text.size() < kParentBytes) return false;
  const std::string_view version = text.substr(0, 2);
  if (!is_hex(version) || version == "ff") return false;
  if (text.size() > kParentBytes && (version == "00" || text[kParentBytes] != '-')) return false;
  if (text[2] != '-' || text[35] != '-' || text[52] != '-') return false;
  const std::string_view trace = trace_id(text), parent = parent_id(text);
  return is_hex(trace) && is_hex(parent) && is_hex(text.substr(53, 2)) && !is_nought(trace) &&
         !is_nought(parent);
}

std::string_view trace_id(std::string_view traceparent) { return traceparent.substr(3, 32); }
std::string_view parent_id(std::string_view traceparent) { return traceparent.substr(36, 16); }

TraceContext read_trace_context(std::string_view parent, std::string_view state,
                                std::string_view baggage) {
  TraceContext context;
  if (is_traceparent(parent)) {
    context.parent = as_version_00(parent);
    const bool good =
        state.size() <= kStateBytes && is_list(state, ',', kStateMembers, is_state_member);
    if (good) context.state = state;
  }
  const bool good =
      baggage.size() <= kBaggageBytes && is_list(baggage, ',', kBaggageMembers, is_baggage_member);
  if (good) context.baggage = baggage;
  return context;
}

}  // namespace kubiya
