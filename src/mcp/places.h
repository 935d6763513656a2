// SPDX-License-Identifier: Apache-2.0
//
// Places for calls under way, shared so that no one caller can hold them all. Any thread.
#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>

namespace kubiya::mcp {

class Places {
 public:
  // `each` of `all` may be one owner's.
  Places(std::size_t all, std::size_t each) : table_(std::make_shared<Table>(all, each)) {}

  // Held until the last copy is gone; null when there is none left for this owner.
  std::shared_ptr<void> take(const std::string& owner) {
    const std::lock_guard lock(table_->mutex);
    if (table_->taken >= table_->all) return nullptr;
    std::size_t& mine = table_->by_owner[owner];
    if (mine >= table_->each) return nullptr;
    ++mine;
    ++table_->taken;
    return std::shared_ptr<void>(table_.get(), [table = table_, owner](void*) {
      const std::lock_guard release(table->mutex);
      --table->taken;
      const auto at = table->by_owner.find(owner);
      if (--at->second == 0) table->by_owner.erase(at);
    });
  }

 private:
  struct Table {
    Table(std::size_t a, std::size_t e) : all(a), each(e) {}
    const std::size_t all, each;
    std::mutex mutex;
    std::size_t taken = 0;
    std::unordered_map<std::string, std::size_t> by_owner;
  };
  std::shared_ptr<Table> table_;
};

}  // namespace kubiya::mcp
