// SPDX-License-Identifier: Apache-2.0
#include "engine/watchers.h"

namespace kubiya::engine {

void Watch::tell(const RunEvent& event) {
  const std::lock_guard lock(mutex_);
  const auto watcher = watcher_;  // it may end itself
  if (watcher) watcher(event);
}

void Watch::end() {
  const std::lock_guard lock(mutex_);
  watcher_ = nullptr;
}

bool Watch::ended() {
  const std::lock_guard lock(mutex_);
  return !watcher_;
}

void Watchers::add(const std::string& run_id, std::shared_ptr<Watch> watch) {
  by_run_[run_id].push_back(std::move(watch));
}

void Watchers::publish(const RunEvent& event) {
  const auto found = by_run_.find(event.run_id);
  if (found == by_run_.end()) return;
  std::erase_if(found->second, [](const auto& watch) { return watch->ended(); });
  const auto watches = found->second;
  if (watches.empty() || event.kind == RunEvent::Kind::run_finished) by_run_.erase(found);
  for (const auto& watch : watches) watch->tell(event);
}

}  // namespace kubiya::engine
