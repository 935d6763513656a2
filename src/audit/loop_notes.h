// SPDX-License-Identifier: Apache-2.0
//
// What one event loop has noted and not yet handed over: records one by one up to a
// rate, beyond it exact counts of equal calls. No locks; one thread at a time.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_set>

#include "audit/record.h"
#include "base/clock.h"
#include "base/principal.h"
#include "base/result.h"

namespace kubiya::audit {

// Fills the members of a record that say who called.
void describe(Record& record, const Principal& principal);

class LoopNotes {
 public:
  // Verified callers and strangers have separate budgets, so that a flood of bad tokens
  // does not blur the records of those who work.
  enum class Source { verified, stranger };

  explicit LoopNotes(unsigned detailed_per_second);

  // True while the source's budget lasts; a token bucket of one second's worth.
  bool take_detailed(Source source, Mono now);
  // One more record in the buffer.
  void add(const Record& record);

  struct Call {
    const PrincipalPtr* principal = nullptr;  // null for a stranger
    std::string_view operation;
    std::string_view decision;  // a literal
    std::string_view outcome;   // a literal, may be empty
    std::string_view code;      // a literal, may be empty
    std::string_view reason;
    std::string_view peer;  // of a stranger
    std::uint64_t status = 0;
  };
  // Counts a call that is not written by itself. A hit allocates nothing.
  void count(const Call& call, Wall now);

  // Turns the counts into records in the buffer.
  void settle(Wall now);
  // The same, a second after the first of them at the earliest.
  void settle_if_due(Wall now);
  std::size_t buffered() const { return buffer_.size(); }
  // The bodies gathered, each followed by a newline.
  std::string take();
  // A name that lives as long as this object. Names are ours (operations), so they are few.
  const std::string* intern(std::string_view name);

 private:
  struct Bucket {
    double tokens = 0;
    double per_second = 0;
    Mono refilled{};
  };
  struct Slot {
    std::uint64_t hash = 0;
    std::uint64_t count = 0;  // 0: free
    PrincipalPtr principal;
    std::string operation;
    std::string peer;
    std::string reason;
    std::string_view decision;
    std::string_view outcome;
    std::string_view code;
    std::uint64_t status = 0;
    Wall first;
    Wall last;
  };
  static constexpr std::size_t kSlots = 128;      // a power of two
  static constexpr std::size_t kMaxSources = 64;  // beyond, the rest share a record

  static Call merged(const Call& call);
  static std::uint64_t hash(const Call& call);
  static bool same(const Slot& slot, const Call& call);
  Slot& slot_for(const Call& call, std::uint64_t hash);

  std::array<Bucket, 2> buckets_;
  std::array<Slot, kSlots> slots_;
  std::size_t used_ = 0;
  Wall counting_since_{};
  std::string buffer_;
  std::unordered_set<std::string> names_;
  const std::string* last_name_ = nullptr;
};

}  // namespace kubiya::audit
