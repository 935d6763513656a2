// SPDX-License-Identifier: Apache-2.0
//
// A set of scope names (RFC 6749 §3.3): sorted, unique, compared byte by byte.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

namespace kubiya {

// RFC 6749 §3.3: printable ASCII but for space, quote and backslash, and not empty.
bool is_scope_name(std::string_view text);

class Scopes {
 public:
  Scopes() = default;
  Scopes(std::initializer_list<std::string_view> names);
  explicit Scopes(std::vector<std::string> names);

  void add(std::string_view name);
  bool has(std::string_view name) const;
  bool has_all(const Scopes& others) const;
  bool empty() const { return names_.empty(); }
  const std::vector<std::string>& names() const { return names_; }
  Scopes intersect(const Scopes& other) const;
  Scopes unite(const Scopes& other) const;
  // The names of `needed` that are not in this set.
  Scopes missing(const Scopes& needed) const;
  // Joined by single spaces, in order.
  std::string text() const;
  bool operator==(const Scopes&) const = default;

 private:
  std::vector<std::string> names_;
};

}  // namespace kubiya
