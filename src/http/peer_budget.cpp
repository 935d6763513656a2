// SPDX-License-Identifier: Apache-2.0
#include "http/peer_budget.h"

#include <algorithm>
#include <cstring>
#include <random>

namespace kubiya::http {
namespace {

TokenBucket fresh(unsigned per_minute) { return TokenBucket(per_minute / 60.0, per_minute); }

std::uint64_t random_seed() {
  std::random_device device;
  return (std::uint64_t{device()} << 32) | device();
}

// The finalizer of MurmurHash3: every bit of the input moves half of the output's.
std::uint64_t mix(std::uint64_t value) {
  value = (value ^ (value >> 33)) * 0xFF51AFD7ED558CCDULL;
  value = (value ^ (value >> 33)) * 0xC4CEB9FE1A85EC53ULL;
  return value ^ (value >> 33);
}

}  // namespace

PeerBudget::PeerBudget(unsigned per_minute, std::size_t peers)
    : per_minute_(per_minute), seed_(random_seed()), others_(fresh(per_minute)) {
  const std::size_t sets = std::max<std::size_t>(1, (peers + kWays - 1) / kWays);
  if (per_minute_ != 0) places_.assign(sets * kWays, Place{{}, fresh(per_minute_), false});
}

std::size_t PeerBudget::set_of(const std::array<std::uint8_t, 16>& peer) const {
  std::uint64_t words[2];
  std::memcpy(words, peer.data(), sizeof words);
  const std::uint64_t hash = mix(mix(words[0] ^ seed_) ^ words[1]);
  return static_cast<std::size_t>(hash % (places_.size() / kWays)) * kWays;
}

TokenBucket& PeerBudget::bucket_of(const std::array<std::uint8_t, 16>& peer, Mono now) {
  Place* free = nullptr;
  const std::size_t first = set_of(peer);
  for (std::size_t i = first; i < first + kWays; ++i) {
    Place& place = places_[i];
    if (place.used && place.peer == peer) return place.bucket;
    if (!free && (!place.used || place.bucket.full(now))) free = &place;
  }
  if (!free) return others_;
  *free = Place{peer, fresh(per_minute_), true};
  return free->bucket;
}

bool PeerBudget::take(const Address& peer, Mono now) {
  if (per_minute_ == 0) return true;
  const Address key = network_of(peer);
  const std::lock_guard lock(mutex_);
  return bucket_of(key.bytes, now).take(now);
}

std::chrono::seconds PeerBudget::pause() const {
  return std::chrono::seconds(per_minute_ == 0 ? 1 : (60 + per_minute_ - 1) / per_minute_);
}

}  // namespace kubiya::http
