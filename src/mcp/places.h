// SPDX-License-Identifier: Apache-2.0
//
// Places for calls under way and for open streams, shared so that no one caller and no one tenant
// can hold them all. Any thread.
#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/principal.h"

namespace kubiya::mcp {

struct PlaceLimits {
  std::size_t all = 0;
  std::size_t of_tenant = 0;  // 0: all but an eighth
  std::size_t of_caller = 0;  // 0: all but a quarter
};

// Mutating calls under way; beyond, 429.
inline constexpr PlaceLimits kCallPlaces{4'096, 0, 1'024};
// Streams of events; beyond, 429, or a call without progress.
inline constexpr PlaceLimits kStreamPlaces{100'000, 0, 1'000};

inline constexpr std::string_view kTooManyStreams =
    "Too many of your event streams are open: close one, or take progress from get_execution";

class Places {
 public:
  explicit Places(const PlaceLimits& limits) : table_(std::make_shared<Table>(limits)) {}

  // Held until the last copy is gone; null when there is none left for this caller.
  std::shared_ptr<void> take(const Principal& who) {
    const std::lock_guard lock(table_->mutex);
    std::size_t& of_tenant = table_->taken_by[tenant_key(who)];
    std::size_t& of_caller = table_->taken_by[who.owner()];
    if (table_->taken >= table_->limits.all || of_tenant >= table_->limits.of_tenant ||
        of_caller >= table_->limits.of_caller) {
      table_->forget_unused(tenant_key(who));
      table_->forget_unused(who.owner());
      return nullptr;
    }
    ++of_tenant;
    ++of_caller;
    ++table_->taken;
    return std::shared_ptr<void>(
        table_.get(), [table = table_, tenant = tenant_key(who), caller = who.owner()](void*) {
          const std::lock_guard release(table->mutex);
          --table->taken;
          --table->taken_by[tenant];
          --table->taken_by[caller];
          table->forget_unused(tenant);
          table->forget_unused(caller);
        });
  }

 private:
  // No owner looks like it: those begin with a digit.
  static std::string tenant_key(const Principal& who) { return "t" + who.facts().tenant; }

  struct Table {
    explicit Table(PlaceLimits given) : limits(given) {
      if (limits.of_tenant == 0) limits.of_tenant = limits.all - limits.all / 8;
      if (limits.of_caller == 0) limits.of_caller = limits.all - limits.all / 4;
    }
    void forget_unused(const std::string& key) {
      if (const auto at = taken_by.find(key); at->second == 0) taken_by.erase(at);
    }
    PlaceLimits limits;
    std::mutex mutex;
    std::size_t taken = 0;
    std::unordered_map<std::string, std::size_t> taken_by;
  };
  std::shared_ptr<Table> table_;
};

}  // namespace kubiya::mcp
