// SPDX-License-Identifier: Apache-2.0
#include "base/scopes.h"

#include <algorithm>
#include <iterator>

namespace kubiya {

bool is_scope_name(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) {
    return c > ' ' && c < '\x7f' && c != '"' && c != '\\';
  });
}

Scopes::Scopes(std::initializer_list<std::string_view> names) {
  for (const auto name : names) add(name);
}

Scopes::Scopes(std::vector<std::string> names) : names_(std::move(names)) {
  std::sort(names_.begin(), names_.end());
  names_.erase(std::unique(names_.begin(), names_.end()), names_.end());
}

void Scopes::add(std::string_view name) {
  const auto at = std::lower_bound(names_.begin(), names_.end(), name);
  if (at == names_.end() || *at != name) names_.insert(at, std::string(name));
}

bool Scopes::has(std::string_view name) const {
  constexpr std::size_t kFew = 8;  // lengths tell most of so few apart faster than a search
  if (names_.size() <= kFew) return std::find(names_.begin(), names_.end(), name) != names_.end();
  const auto at = std::lower_bound(names_.begin(), names_.end(), name);
  return at != names_.end() && *at == name;
}

bool Scopes::has_all(const Scopes& others) const {
  return std::includes(names_.begin(), names_.end(), others.names_.begin(), others.names_.end());
}

Scopes Scopes::intersect(const Scopes& other) const {
  Scopes result;
  std::set_intersection(names_.begin(), names_.end(), other.names_.begin(), other.names_.end(),
                        std::back_inserter(result.names_));
  return result;
}

Scopes Scopes::unite(const Scopes& other) const {
  Scopes result;
  std::set_union(names_.begin(), names_.end(), other.names_.begin(), other.names_.end(),
                 std::back_inserter(result.names_));
  return result;
}

Scopes Scopes::missing(const Scopes& needed) const {
  Scopes result;
  std::set_difference(needed.names_.begin(), needed.names_.end(), names_.begin(), names_.end(),
                      std::back_inserter(result.names_));
  return result;
}

std::string Scopes::text() const {
  std::string out;
  for (const auto& name : names_) {
    if (!out.empty()) out += ' ';
    out += name;
  }
  return out;
}

}  // namespace kubiya
