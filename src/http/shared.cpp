// SPDX-License-Identifier: Apache-2.0
#include "http/shared.h"

namespace kubiya::http {

bool ConnectionCounts::enter(const Address& peer) {
  const std::lock_guard lock(mutex_);
  if (total_ >= total_max_) return false;
  std::size_t& count = peers_[network_of(peer).bytes];
  if (count >= per_peer_max_) return false;
  ++count;
  ++total_;
  return true;
}

void ConnectionCounts::leave(const Address& peer) {
  const std::lock_guard lock(mutex_);
  const auto found = peers_.find(network_of(peer).bytes);
  ASSERT(found != peers_.end() && total_ > 0, "leave follows enter");
  --total_;
  if (--found->second == 0) peers_.erase(found);
}

std::size_t ConnectionCounts::total() const {
  const std::lock_guard lock(mutex_);
  return total_;
}

}  // namespace kubiya::http
