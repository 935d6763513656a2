// SPDX-License-Identifier: Apache-2.0
//
// Which proofs of possession have served (RFC 9449 §11.1). Shared by the loops, because a copied
// request may arrive on any. Bounded: when full, new proofs are refused rather than old ones
// forgotten, and no key has more than a share. Any thread.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <deque>
#include <mutex>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

#include "base/clock.h"
#include "crypto/digest.h"

namespace kubiya::identity {

class ReplayGuard {
 public:
  enum class Answer { fresh, seen, full };
  // Each proof is remembered for `keep`: as long as its time would be accepted.
  ReplayGuard(std::size_t entries, std::chrono::seconds keep) : entries_(entries), keep_(keep) {}

  // `proof` identifies it, `key` whose it is; 32 bytes each. Fresh once, then remembered unless
  // `look_only`.
  Answer take(const crypto::Digest& proof, std::string_view key, bool look_only, Mono now);
  std::size_t size() const;

 private:
  static constexpr std::size_t kShare = 8;
  // Half a digest: nobody makes two proofs of one key meet, and whoever did would be refused.
  using Id = std::array<unsigned char, 16>;
  struct Hash {
    std::size_t operator()(const Id& id) const {
      std::size_t bits = 0;
      std::memcpy(&bits, id.data(), sizeof bits);
      return bits;
    }
  };
  struct Entry {
    Id proof, key;
    Mono until{};
  };
  static Id id_of(std::string_view digest);
  void forget(Mono now);

  const std::size_t entries_;
  const std::chrono::seconds keep_;
  mutable std::mutex mutex_;
  std::unordered_set<Id, Hash> known_;
  std::unordered_map<Id, std::size_t, Hash> by_key_;
  std::deque<Entry> order_;  // all are kept equally long: first in, first out
};

}  // namespace kubiya::identity
