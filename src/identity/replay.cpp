// SPDX-License-Identifier: Apache-2.0
#include "identity/replay.h"

#include <algorithm>

#include "base/result.h"

namespace kubiya::identity {

ReplayGuard::Id ReplayGuard::id_of(std::string_view digest) {
  Id id{};
  ASSERT(digest.size() >= id.size(), "a digest is longer than its name here");
  std::memcpy(id.data(), digest.data(), id.size());
  return id;
}

void ReplayGuard::forget(Mono now) {
  while (!order_.empty() && order_.front().until <= now) {
    const Entry& oldest = order_.front();
    known_.erase(oldest.proof);
    const auto of_key = by_key_.find(oldest.key);
    if (--of_key->second == 0) by_key_.erase(of_key);
    order_.pop_front();
  }
}

ReplayGuard::Answer ReplayGuard::take(const crypto::Digest& proof, std::string_view key,
                                      bool look_only, Mono now) {
  const Id id = id_of(crypto::view(proof));
  const Id owner = id_of(key);
  const std::lock_guard lock(mutex_);
  forget(now);
  if (known_.contains(id)) return Answer::seen;
  if (order_.size() >= entries_) return Answer::full;
  const auto of_key = by_key_.find(owner);
  const std::size_t share = std::max<std::size_t>(1, entries_ / kShare);
  if (of_key != by_key_.end() && of_key->second >= share) return Answer::full;
  if (look_only) return Answer::fresh;
  known_.insert(id);
  ++by_key_[owner];
  order_.push_back({id, owner, now + keep_});
  return Answer::fresh;
}

std::size_t ReplayGuard::size() const {
  const std::lock_guard lock(mutex_);
  return order_.size();
}

}  // namespace kubiya::identity
