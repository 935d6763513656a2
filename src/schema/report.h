// SPDX-License-Identifier: Apache-2.0
//
// Where the evaluation stands in the instance, and what it has found wrong there.
// Messages name fields and what the schema allows; instance values stay out of
// them, because they may be secrets.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "schema/graph.h"
#include "schema/schema.h"

namespace kubiya::schema {

// A chain on the stack of the evaluation; the root has no parent.
struct Path {
  enum class Kind { root, member, item, name };  // name: the member's name itself is judged

  const Path* parent = nullptr;
  Kind kind = Kind::root;
  std::string_view key;
  std::size_t index = 0;

  Path member(std::string_view k) const { return {this, Kind::member, k, 0}; }
  Path item(std::size_t i) const { return {this, Kind::item, {}, i}; }
  Path name(std::string_view k) const { return {this, Kind::name, k, 0}; }

  std::size_t depth() const;
  std::string pointer() const;  // RFC 6901
  std::string subject() const;  // "params.env", "steps[0].name", "the value"
};

struct Report {
  static constexpr std::size_t kMax = 64;
  std::vector<Violation> violations;
  std::size_t deepest = 0;

  bool full() const { return violations.size() >= kMax; }
  // The message is the path's subject followed by `predicate`.
  void add(const Path& path, std::string_view keyword, std::string_view predicate);
  void append(Report&& other);
};

std::string describe(const TypeRule& rule);
std::string describe(const EnumRule& rule);
std::string describe(const BoundRule& rule);
std::string describe(const MultipleRule& rule);
std::string describe(const CountRule& rule);
std::string describe(const PatternRule& rule);
std::string describe(const FormatRule& rule);
std::string describe_unknown_member(const PropertiesRule& rule);

std::string_view keyword_of(const EnumRule& rule);
std::string_view keyword_of(const BoundRule& rule);
std::string_view keyword_of(const CountRule& rule);

}  // namespace kubiya::schema
