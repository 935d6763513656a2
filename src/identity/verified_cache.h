// SPDX-License-Identifier: Apache-2.0
//
// What one event loop remembers about credentials it has judged, under the SHA-256 of their
// exact bytes. Not thread-safe: each loop has its own.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/secret.h"
#include "crypto/digest.h"
#include "identity/credential.h"

namespace kubiya::identity {

// The same bytes as an argument and as a header are two entries: the principals differ.
struct CacheKey {
  crypto::Digest digest{};
  Source source = Source::token;
  bool operator==(const CacheKey&) const = default;
};

// A set-associative cache: constant work for a look-up and for an eviction, no allocation on a
// hit, memory taken as it fills. A full set gives up its expired, then its least recently used
// entry, the latter only to what comes a second time: credentials that are used once, however
// many, drive nobody out. `Value` has a member `Mono deadline`.
template <class Value>
class DigestCache {
 public:
  // Holds at most `entries`, rounded down to whole sets; at least one set unless 0.
  explicit DigestCache(std::size_t entries)
      : sets_(entries == 0 ? 0 : std::max<std::size_t>(1, entries / kWays)),
        seen_(sets_.size() * kWays) {}

  Value* find(const CacheKey& key, Mono now) {
    if (sets_.empty()) return nullptr;
    const auto& set = sets_[index(key)];
    if (!set) return nullptr;
    const std::uint32_t tag = tag_of(key);
    for (std::size_t way = 0; way < kWays; ++way) {
      if (set->tags[way] != tag) continue;
      Slot& slot = set->slots[way];
      if (!slot.used || slot.key != key) continue;
      if (now >= slot.value.deadline) {
        clear(slot);
        return nullptr;
      }
      slot.used = ++uses_;
      return &slot.value;
    }
    return nullptr;
  }

  void put(const CacheKey& key, Value value, Mono now) {
    if (sets_.empty()) return;
    auto& set = sets_[index(key)];
    if (!set) set = std::make_unique<Set>();
    Slot* best = set->slots.data();
    for (Slot& slot : set->slots) {
      if (slot.used && slot.key == key) {
        best = &slot;
        break;
      }
      if (rank(slot, now) < rank(*best, now)) best = &slot;
    }
    const bool alive = rank(*best, now) != 0 && best->key != key;
    if (alive && !came_before(key)) return;
    if (!best->used) ++size_;
    *best = Slot{key, ++uses_, std::move(value)};
    set->tags[static_cast<std::size_t>(best - set->slots.data())] = tag_of(key);
  }

  void erase(const CacheKey& key) {
    if (sets_.empty() || !sets_[index(key)]) return;
    for (Slot& slot : sets_[index(key)]->slots) {
      if (slot.used && slot.key == key) clear(slot);
    }
  }

  // Forgets what has expired, a part of the cache per call: all of it in `calls` calls.
  void sweep(Mono now, std::size_t calls) {
    for (std::size_t left = sets_.size() / calls + 1; left > 0 && !sets_.empty(); --left) {
      cursor_ = (cursor_ + 1) % sets_.size();
      if (!sets_[cursor_]) continue;
      bool any = false;
      for (Slot& slot : sets_[cursor_]->slots) {
        if (slot.used && now >= slot.value.deadline) clear(slot);
        any = any || slot.used;
      }
      if (!any) sets_[cursor_].reset();
    }
  }

  std::size_t size() const { return size_; }

 private:
  static constexpr std::size_t kWays = 8;
  struct Slot {
    CacheKey key;
    std::uint64_t used = 0;  // when last used, in uses; 0: empty
    Value value{};
  };
  // Which slots to look at is seen in one line of memory; the slots are many.
  struct Set {
    std::array<std::uint32_t, kWays> tags{};  // of what a slot holds or held
    std::array<Slot, kWays> slots;
  };

  std::size_t index(const CacheKey& key) const {
    std::uint64_t bits = 0;
    std::memcpy(&bits, key.digest.data(), sizeof bits);
    return bits % sets_.size();
  }
  static std::uint32_t tag_of(const CacheKey& key) {
    std::uint32_t tag = 0;  // other bytes than index() and came_before() take
    std::memcpy(&tag, key.digest.data() + 2 * sizeof(std::uint64_t), sizeof tag);
    return tag;
  }
  // True when the last of those that share its place was the same one.
  bool came_before(const CacheKey& key) {
    std::uint32_t parts[2] = {};  // of other bytes than index() takes
    std::memcpy(parts, key.digest.data() + sizeof(std::uint64_t), sizeof parts);
    return std::exchange(seen_[parts[0] % seen_.size()], parts[1]) == parts[1];
  }
  static std::uint64_t rank(const Slot& slot, Mono now) {
    return slot.used && now < slot.value.deadline ? slot.used : 0;
  }
  void clear(Slot& slot) {
    slot = Slot{};
    --size_;
  }

  std::vector<std::unique_ptr<Set>> sets_;
  std::vector<std::uint32_t> seen_;
  std::uint64_t uses_ = 0;
  std::size_t cursor_ = 0;
  std::size_t size_ = 0;
};

// Spares a caller that comes again at once the hashing of its token: a few credentials with
// their digests, compared as a whole and forgotten within seconds.
class DigestMemo {
 public:
  // The digest of exactly these bytes, when they were here lately.
  const CacheKey* find(std::string_view text, Source source, Mono now) {
    if (text.empty()) return nullptr;
    Entry& entry = entries_[slot(text)];
    if (entry.text.size() != text.size() || entry.key.source != source) return nullptr;
    if (!equal(entry.text.reveal(), text)) return nullptr;
    entry.last_used = now;
    return &entry.key;
  }

  void put(std::string_view text, const CacheKey& key, Mono now) {
    if (text.empty() || text.size() > kBytesMax) return;
    entries_[slot(text)] = Entry{Secret(text), key, now};
  }

  void sweep(Mono now) {
    for (Entry& entry : entries_) {
      if (!entry.text.empty() && now - entry.last_used >= kIdle) entry = Entry{};
    }
  }

 private:
  static constexpr std::size_t kSlots = 64;
  static constexpr std::size_t kBytesMax = 4096;
  static constexpr std::chrono::seconds kIdle{2};
  struct Entry {
    Secret text;
    CacheKey key;
    Mono last_used{};
  };

  // The tail belongs to the signature, which differs between any two tokens.
  static std::size_t slot(std::string_view text) {
    std::uint64_t bits = text.size();
    const std::size_t tail = std::min(text.size(), sizeof bits);
    std::memcpy(&bits, text.data() + text.size() - tail, tail);
    return (bits * 0x9E3779B97F4A7C15u) >> 58;
  }
  // Without an early way out: the time must not tell how many bytes of a guess are right.
  static bool equal(std::string_view a, std::string_view b) {
    std::uint64_t difference = 0;
    std::size_t at = 0;
    for (; at + 8 <= a.size(); at += 8) {
      std::uint64_t x = 0;
      std::uint64_t y = 0;
      std::memcpy(&x, a.data() + at, 8);
      std::memcpy(&y, b.data() + at, 8);
      difference |= x ^ y;
    }
    for (; at < a.size(); ++at) difference |= static_cast<unsigned char>(a[at] ^ b[at]);
    return difference == 0;
  }

  std::array<Entry, kSlots> entries_;
};

}  // namespace kubiya::identity
