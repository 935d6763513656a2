// SPDX-License-Identifier: Apache-2.0
#include "audit/loop_notes.h"

#include <algorithm>
#include <functional>

namespace kubiya::audit {
namespace {

constexpr std::string_view kOthers = "*";
constexpr std::chrono::seconds kSettleEvery{1};

}  // namespace

void describe(Record& record, const Principal& principal) {
  record.tenant = principal->tenant;
  record.issuer = principal->issuer;
  record.subject = principal->subject;
  record.client = principal->client;
  record.credential = to_string(principal->kind);
  record.key = principal->key_fingerprint;
}

// A flood from many places may not grow the journal: when the table is full only the
// decision is still told apart. The count stays exact.
LoopNotes::Call LoopNotes::merged(const Call& call) {
  Call other;
  other.operation = kOthers;
  other.decision = call.decision;
  other.reason = kOthers;
  other.peer = kOthers;
  return other;
}

LoopNotes::LoopNotes(unsigned detailed_per_second) {
  buckets_[0].per_second = detailed_per_second;
  buckets_[1].per_second = std::max(1u, detailed_per_second / 4);
  if (detailed_per_second == 0) buckets_[1].per_second = 0;
  for (Bucket& bucket : buckets_) bucket.tokens = bucket.per_second;
}

bool LoopNotes::take_detailed(Source source, Mono now) {
  Bucket& bucket = buckets_[source == Source::verified ? 0 : 1];
  if (bucket.refilled == Mono{}) bucket.refilled = now;
  const double seconds = std::chrono::duration<double>(now - bucket.refilled).count();
  if (seconds > 0) {
    bucket.tokens = std::min(bucket.per_second, bucket.tokens + seconds * bucket.per_second);
    bucket.refilled = now;
  }
  if (bucket.tokens < 1) return false;
  bucket.tokens -= 1;
  return true;
}

void LoopNotes::add(const Record& record) {
  buffer_ += record_body(record);
  buffer_ += '\n';
}

std::uint64_t LoopNotes::hash(const Call& call) {
  const std::hash<std::string_view> text;
  std::uint64_t h =
      call.principal != nullptr ? std::hash<const void*>()(call.principal->get()) : text(call.peer);
  h = (h ^ text(call.operation)) * 0x9E3779B97F4A7C15ull;
  if (!call.reason.empty()) h = (h ^ text(call.reason)) * 0x9E3779B97F4A7C15ull;
  return h ^ h >> 32;
}

bool LoopNotes::same(const Slot& slot, const Call& call) {
  const Principal* principal = call.principal != nullptr ? call.principal->get() : nullptr;
  return slot.principal.get() == principal && slot.operation == call.operation &&
         slot.decision == call.decision && slot.outcome == call.outcome && slot.code == call.code &&
         slot.reason == call.reason && slot.status == call.status &&
         (principal != nullptr || slot.peer == call.peer);
}

LoopNotes::Slot& LoopNotes::slot_for(const Call& call, std::uint64_t hash) {
  std::size_t i = hash % kSlots;
  while (slots_[i].count != 0 && !(slots_[i].hash == hash && same(slots_[i], call))) {
    i = (i + 1) % kSlots;
  }
  return slots_[i];
}

void LoopNotes::count(const Call& call, Wall now) {
  const std::uint64_t key = hash(call);
  Slot* slot = &slot_for(call, key);
  if (slot->count == 0) {
    if (used_ >= kMaxSources && call.peer != kOthers) return count(merged(call), now);
    slot->hash = key;
    if (call.principal != nullptr) slot->principal = *call.principal;
    slot->operation = call.operation;
    slot->decision = call.decision;
    slot->outcome = call.outcome;
    slot->code = call.code;
    slot->reason = call.reason;
    slot->status = call.status;
    if (call.principal == nullptr) slot->peer = call.peer;
    slot->first = now;
    if (used_++ == 0) counting_since_ = now;
  }
  ++slot->count;
  slot->last = now;
}

void LoopNotes::settle_if_due(Wall now) {
  // A clock that was put back must not hold them for long.
  if (now < counting_since_ || now - counting_since_ >= kSettleEvery) settle(now);
}

void LoopNotes::settle(Wall now) {
  if (used_ == 0) return;
  for (Slot& slot : slots_) {
    if (slot.count == 0) continue;
    Record record;
    record.time = format_time(now);
    record.kind = slot.decision == "allowed" ? "read" : "refused";
    if (slot.principal != nullptr) describe(record, *slot.principal);
    record.operation = slot.operation;
    record.peer = slot.peer;
    record.decision = slot.decision;
    record.reason = slot.reason;
    record.outcome = slot.outcome;
    record.code = slot.code;
    if (slot.status != 0) record.status = slot.status;
    record.count = slot.count;
    record.first = format_time(slot.first);
    record.last = format_time(slot.last);
    add(record);
    slot = Slot();
  }
  used_ = 0;
}

std::string LoopNotes::take() { return std::exchange(buffer_, {}); }

const std::string* LoopNotes::intern(std::string_view name) {
  if (last_name_ != nullptr && *last_name_ == name) return last_name_;
  last_name_ = &*names_.emplace(name).first;
  return last_name_;
}

}  // namespace kubiya::audit
