// SPDX-License-Identifier: Apache-2.0
#include "identity/key_use.h"

namespace kubiya::identity {
namespace {

constexpr std::int64_t kDayMs = 86'400'000;

}  // namespace

std::shared_ptr<UseCounter> KeyUses::counter(int loop, std::string_view key,
                                             std::string_view client) {
  const std::lock_guard lock(mutex_);
  Entry& entry = entries_[{loop, std::string(key), std::string(client)}];
  if (!entry.counter) entry.counter = std::make_shared<UseCounter>();
  return entry.counter;
}

std::vector<store::KeyUse> KeyUses::take(std::int64_t now_ms) {
  std::map<std::pair<std::string, std::string>, std::uint64_t> sums;
  {
    const std::lock_guard lock(mutex_);
    for (auto at = entries_.begin(); at != entries_.end();) {
      Entry& entry = at->second;
      // Asked first: a counter that nobody else holds gets no more calls.
      const bool held = entry.counter.use_count() > 1;
      const std::uint64_t calls = entry.counter->calls();
      const auto& [loop, key, client] = at->first;
      if (calls != entry.told) sums[{key, client}] += calls - entry.told;
      entry.told = calls;
      at = held ? std::next(at) : entries_.erase(at);
    }
  }
  std::vector<store::KeyUse> uses;
  uses.reserve(sums.size());
  for (const auto& [who, calls] : sums) {
    uses.push_back(
        {who.first, who.second, now_ms / kDayMs, static_cast<std::int64_t>(calls), now_ms});
  }
  return uses;
}

}  // namespace kubiya::identity
