// SPDX-License-Identifier: Apache-2.0
#include "schema/report.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <utility>

#include <fmt/format.h>

#include "base/encoding.h"

namespace kubiya::schema {
namespace {

constexpr std::size_t kShownValues = 20;
constexpr std::size_t kShownBytes = 128;

std::string shown(const json::value& value) {
  std::string text = to_json(value);
  return text.size() <= kShownBytes ? text : printable(text, kShownBytes) + "…";
}

std::string joined(const std::vector<std::string>& parts, std::size_t total) {
  std::string out;
  for (const auto& part : parts) out.append(out.empty() ? "" : ", ").append(part);
  if (parts.size() < total) out += ", …";
  return out;
}

}  // namespace

std::size_t Path::depth() const {
  std::size_t depth = 0;
  for (const Path* at = this; at->parent != nullptr; at = at->parent) ++depth;
  return depth;
}

std::string Path::pointer() const {
  if (parent == nullptr) return {};
  std::string out = parent->pointer() + "/";
  if (kind == Kind::item) return out + std::to_string(index);
  for (const char c : key) {
    if (c == '~') {
      out += "~0";
    } else if (c == '/') {
      out += "~1";
    } else {
      out += c;
    }
  }
  return out;
}

std::string Path::subject() const {
  if (parent == nullptr) return "the value";
  const bool top = parent->parent == nullptr;
  if (kind == Kind::item) {
    return fmt::format("{}[{}]", top ? "the value" : parent->subject(), index);
  }
  const std::string own = top ? printable(key) : parent->subject() + "." + printable(key);
  return kind == Kind::name ? "the name of " + own : own;
}

void Report::add(const Path& path, std::string_view keyword, std::string_view predicate) {
  if (full()) return;
  deepest = std::max(deepest, path.depth());
  violations.push_back(
      {path.pointer(), std::string(keyword), fmt::format("{} {}", path.subject(), predicate)});
}

void Report::append(Report&& other) {
  for (auto& violation : other.violations) {
    if (!full()) violations.push_back(std::move(violation));
  }
  deepest = std::max(deepest, other.deepest);
}

std::string describe(const TypeRule& rule) {
  constexpr std::array<std::pair<TypeSet, const char*>, 7> kNames = {{
      {kString, "a string"},
      {kInteger, "an integer"},
      {kNumber, "a number"},
      {kBoolean, "true or false"},
      {kObject, "an object"},
      {kArray, "an array"},
      {kNull, "null"},
  }};
  std::string out;
  for (const auto& [bit, name] : kNames) {
    if (rule.types & bit) out.append(out.empty() ? "" : " or ").append(name);
  }
  return "must be " + out;
}

std::string describe(const EnumRule& rule) {
  std::vector<std::string> values;
  for (const auto& value : rule.values) {
    if (values.size() < kShownValues) values.push_back(shown(value));
  }
  if (values.empty()) return "is not allowed";
  const bool single = rule.values.size() == 1;
  return (single ? "must be " : "must be one of ") + joined(values, rule.values.size());
}

std::string describe(const BoundRule& rule) {
  const std::string limit = shown(rule.limit);
  switch (rule.bound) {
    case Bound::maximum:
      return "must be at most " + limit;
    case Bound::exclusive_maximum:
      return "must be less than " + limit;
    case Bound::minimum:
      return "must be at least " + limit;
    case Bound::exclusive_minimum:
      return "must be greater than " + limit;
  }
  return {};
}

std::string describe(const MultipleRule& rule) {
  return "must be a multiple of " + shown(rule.shown);
}

std::string describe(const CountRule& rule) {
  const char* word = rule.is_maximum ? "at most" : "at least";
  const char* plural = rule.limit == 1 ? "" : "s";
  switch (rule.what) {
    case Counted::characters:
      return fmt::format("must be {} {} character{} long", word, rule.limit, plural);
    case Counted::items:
      return fmt::format("must have {} {} item{}", word, rule.limit, plural);
    case Counted::properties:
      return fmt::format("must have {} {} field{}", word, rule.limit, plural);
  }
  return {};
}

std::string describe(const PatternRule& rule) {
  return "must match the pattern " + printable(rule.regex->source(), kShownBytes);
}

std::string describe(const FormatRule& rule) { return "must be a valid " + rule.name; }

std::string describe_unknown_member(const PropertiesRule& rule) {
  std::vector<std::string> names;
  for (const auto& [name, node] : rule.names) {
    if (names.size() < kShownValues) names.push_back(printable(name));
  }
  if (names.empty()) return "is not a known field";
  return "is not a known field; known fields are " + joined(names, rule.names.size());
}

std::string_view keyword_of(const EnumRule& rule) { return rule.is_const ? "const" : "enum"; }

std::string_view keyword_of(const BoundRule& rule) {
  switch (rule.bound) {
    case Bound::maximum:
      return "maximum";
    case Bound::exclusive_maximum:
      return "exclusiveMaximum";
    case Bound::minimum:
      return "minimum";
    case Bound::exclusive_minimum:
      return "exclusiveMinimum";
  }
  return {};
}

std::string_view keyword_of(const CountRule& rule) {
  switch (rule.what) {
    case Counted::characters:
      return rule.is_maximum ? "maxLength" : "minLength";
    case Counted::items:
      return rule.is_maximum ? "maxItems" : "minItems";
    case Counted::properties:
      return rule.is_maximum ? "maxProperties" : "minProperties";
  }
  return {};
}

}  // namespace kubiya::schema
