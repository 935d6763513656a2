// SPDX-License-Identifier: Apache-2.0
//
// Places that a tenant, and a person, can hold only a part of, so that somebody
// else always finds one.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <unordered_map>

namespace kubiya::engine {

// `owner` is unique over all tenants (Principal::owner()). One thread at a time.
class Shares {
 public:
  enum class Limit { total, tenant, owner };
  // 0 for a part: all but an eighth of the places for a tenant, all but a quarter for a person.
  Shares(std::size_t total, std::size_t per_tenant, std::size_t per_owner)
      : total_(total),
        per_tenant_(per_tenant == 0 ? total - total / 8 : per_tenant),
        per_owner_(per_owner == 0 ? total - total / 4 : per_owner) {}

  // The limit that leaves no room for one more.
  std::optional<Limit> full(const std::string& tenant, const std::string& owner) const {
    if (size_ >= total_) return Limit::total;
    if (count(tenants_, tenant) >= per_tenant_) return Limit::tenant;
    if (count(owners_, owner) >= per_owner_) return Limit::owner;
    return std::nullopt;
  }
  std::size_t most(Limit limit) const {
    return limit == Limit::total ? total_ : limit == Limit::tenant ? per_tenant_ : per_owner_;
  }

  void take(const std::string& tenant, const std::string& owner) {
    ++size_;
    ++tenants_[tenant];
    ++owners_[owner];
  }
  void give_back(const std::string& tenant, const std::string& owner) {
    --size_;
    drop(tenants_, tenant);
    drop(owners_, owner);
  }

 private:
  using Counts = std::unordered_map<std::string, std::size_t>;
  static std::size_t count(const Counts& counts, const std::string& name) {
    const auto found = counts.find(name);
    return found == counts.end() ? 0 : found->second;
  }
  static void drop(Counts& counts, const std::string& name) {
    const auto found = counts.find(name);
    if (--found->second == 0) counts.erase(found);
  }

  const std::size_t total_, per_tenant_, per_owner_;
  std::size_t size_ = 0;
  Counts tenants_, owners_;
};

}  // namespace kubiya::engine
