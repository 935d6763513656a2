// SPDX-License-Identifier: Apache-2.0
#include "base/timers.h"

#include <vector>

namespace kubiya {

std::uint64_t Timers::add(Mono deadline, std::function<void()> due) {
  const std::lock_guard lock(mutex_);
  const std::uint64_t id = next_++;
  entries_.emplace(id, std::pair(order_.emplace(deadline, id), std::move(due)));
  return id;
}

bool Timers::cancel(std::uint64_t id) {
  const std::lock_guard lock(mutex_);
  const auto at = entries_.find(id);
  if (at == entries_.end()) return false;
  order_.erase(at->second.first);
  entries_.erase(at);
  return true;
}

void Timers::tick(Mono now) {
  std::vector<std::function<void()>> due;
  {
    const std::lock_guard lock(mutex_);
    while (!order_.empty() && order_.begin()->first <= now) {
      const auto at = entries_.find(order_.begin()->second);
      due.push_back(std::move(at->second.second));
      entries_.erase(at);
      order_.erase(order_.begin());
    }
  }
  for (auto& work : due) work();
}

}  // namespace kubiya
