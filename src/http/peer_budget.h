// SPDX-License-Identifier: Apache-2.0
//
// How often each peer may do something, in a table of fixed size. A client of IPv6 owns a /64, so
// that is one peer. Any thread.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <vector>

#include "base/clock.h"
#include "base/token_bucket.h"
#include "http/network.h"

namespace kubiya::http {

class PeerBudget {
 public:
  // `per_minute` is the burst too; 0 sets no bound. `peers` is how many are told apart at least,
  // so long as they are spread evenly; who finds no place shares one budget with all like him.
  PeerBudget(unsigned per_minute, std::size_t peers);

  // False when the peer's budget is spent.
  bool take(const Address& peer, Mono now);
  // Until one more may be taken from an empty budget.
  std::chrono::seconds pause() const;

 private:
  // A peer may lie in any place of its set. A place is free again when its budget is full, because
  // then forgetting it changes nothing; nobody wins a new budget by pushing others out.
  static constexpr std::size_t kWays = 8;
  struct Place {
    std::array<std::uint8_t, 16> peer{};
    TokenBucket bucket;
    bool used = false;
  };

  TokenBucket& bucket_of(const std::array<std::uint8_t, 16>& peer, Mono now);
  std::size_t set_of(const std::array<std::uint8_t, 16>& peer) const;

  const unsigned per_minute_;
  const std::uint64_t seed_;  // so that nobody can choose addresses that share a set
  std::mutex mutex_;
  std::vector<Place> places_;
  TokenBucket others_;
};

}  // namespace kubiya::http
