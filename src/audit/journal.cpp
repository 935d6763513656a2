// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "audit/journal_impl.h"

// The callers' side: what becomes a record, and by which way it travels.
namespace kubiya::audit {
namespace {

constexpr std::size_t kHandOverBytes = 64 * 1024;
constexpr std::size_t kMaxWaiters = 20'000;
constexpr std::chrono::milliseconds kNoteDelay{200};

std::uint64_t microseconds(Mono from, Mono to) {
  const auto spent = std::chrono::duration_cast<std::chrono::microseconds>(to - from).count();
  return spent < 0 ? 0 : static_cast<std::uint64_t>(spent);
}

}  // namespace

Result<std::unique_ptr<Journal>> Journal::open(JournalOptions options, const Clock& clock) {
  return JournalImpl::open(std::move(options), clock, real_files());
}

Record JournalImpl::start_record(std::string_view kind) const {
  Record record;
  record.time = format_time(clock_.wall());
  record.kind = kind;
  return record;
}

void JournalImpl::begin(const policy::Permit& permit, const Intent& intent, Begun begun) {
  Record record = start_record("intent");
  describe(record, *permit.principal());
  record.request_id = intent.request_id;
  record.era = intent.era;
  record.peer = intent.peer;
  record.operation = permit.operation().name;
  record.target = intent.target;
  record.decision = "allowed";
  if (intent.arguments != nullptr) {
    record.args = argument_digest(digest_key_.reveal(), *intent.arguments);
  }
  auto waiter = std::make_shared<Waiter>();
  waiter->body = record_body(record);
  waiter->ticket.request_id_ = intent.request_id;
  waiter->ticket.operation_ = record.operation;
  waiter->ticket.target_ = intent.target;
  waiter->ticket.principal_ = permit.principal();
  waiter->ticket.begun_ = clock_.mono();
  waiter->begun = std::move(begun);
  enqueue(std::move(waiter));
}

void JournalImpl::record_and_tell(std::string body, Recorded recorded) {
  auto waiter = std::make_shared<Waiter>();
  waiter->body = std::move(body);
  waiter->kept = true;
  waiter->begun = [recorded = std::move(recorded)](const Result<DurableTicket>& written) {
    if (written) return recorded({});
    recorded(fail(Code::unavailable, "it was done, but its audit record could not be written yet",
                  written.error().detail));
  };
  enqueue(std::move(waiter));
}

void JournalImpl::enqueue(std::shared_ptr<Waiter> waiter) {
  const std::lock_guard lock(mutex_);
  const auto now = Steady::now();
  // While the disk hangs nobody else is made to wait for it; the watcher answers at once.
  const bool hopeless = stalled_ || waiters_.size() >= kMaxWaiters;
  waiter->deadline = hopeless ? now : now + options_.begin_timeout;
  waiters_.push_back(std::move(waiter));
  work_.notify_one();
  if (hopeless || !watching_) watch_.notify_one();
}

template <class Use>
void JournalImpl::with_notes(int loop, Use use) {
  if (loop >= 0) {
    ASSERT(static_cast<std::size_t>(loop) < loops_.size(), "JournalOptions::loops counts them all");
    LoopNotes& notes = *loops_[static_cast<std::size_t>(loop)];
    use(notes);
    if (notes.buffered() > kHandOverBytes) hand_over(notes.take());
    return;
  }
  std::string bodies;
  {
    const std::lock_guard lock(shared_mutex_);
    use(shared_);
    bodies = shared_.take();
  }
  if (!bodies.empty()) hand_over(std::move(bodies));
}

Ticket JournalImpl::note(const policy::Permit& permit, const Intent& intent, int loop) {
  Ticket ticket;
  ticket.principal_ = permit.principal();
  ticket.begun_ = clock_.mono();
  const std::string& operation = permit.operation().name;
  with_notes(loop, [&](LoopNotes& notes) {
    if (notes.take_detailed(LoopNotes::Source::verified, ticket.begun_)) return;
    ticket.counted_operation_ = notes.intern(operation);
  });
  if (ticket.counted_operation_ != nullptr) return ticket;
  ticket.request_id_ = intent.request_id;
  ticket.operation_ = operation;
  ticket.target_ = intent.target;
  ticket.peer_ = intent.peer;
  ticket.era_ = intent.era;
  if (intent.arguments != nullptr) {
    ticket.args_ = argument_digest(digest_key_.reveal(), *intent.arguments);
  }
  return ticket;
}

void JournalImpl::refused(const RefusedCall& call, int loop) {
  const auto source = call.principal ? LoopNotes::Source::verified : LoopNotes::Source::stranger;
  with_notes(loop, [&](LoopNotes& notes) {
    if (!notes.take_detailed(source, clock_.mono())) {
      LoopNotes::Call counted;
      counted.principal = call.principal ? &call.principal : nullptr;
      counted.operation = call.operation;
      counted.decision = "refused";
      counted.reason = call.reason;
      counted.peer = call.peer;
      counted.status = static_cast<std::uint64_t>(std::max(call.status, 0));
      notes.count(counted, clock_.wall());
      return;
    }
    Record record = start_record("refused");
    if (call.principal) describe(record, *call.principal);
    record.request_id = call.request_id;
    record.era = call.era;
    record.peer = call.peer;
    record.claimed_issuer = call.claimed_issuer;
    record.claimed_subject = call.claimed_subject;
    record.operation = call.operation;
    record.target = call.target;
    if (call.arguments) {
      record.args = argument_digest(digest_key_.reveal(), *call.arguments);
    }
    record.decision = "refused";
    record.reason = call.reason;
    record.detail = call.detail;
    if (call.status > 0) record.status = static_cast<std::uint64_t>(call.status);
    notes.add(record);
  });
}

Record JournalImpl::outcome_record(std::string_view kind, const Ticket& ticket,
                                   const Outcome& outcome) const {
  Record record = start_record(kind);
  if (ticket.principal_) describe(record, *ticket.principal_);
  record.request_id = ticket.request_id_;
  record.operation = ticket.operation_;
  record.target = outcome.target.empty() ? ticket.target_ : outcome.target;
  record.digest = outcome.digest;
  record.reason = outcome.reason;
  record.run_id = outcome.run_id;
  record.outcome = outcome.ok ? "ok" : "error";
  if (!outcome.ok && outcome.code) record.code = to_string(*outcome.code);
  if (ticket.sequence_ > 0) record.intent = ticket.sequence_;
  record.latency_us = microseconds(ticket.begun_, clock_.mono());
  return record;
}

void JournalImpl::finish(const DurableTicket& ticket, const Outcome& outcome, Recorded recorded) {
  record_and_tell(record_body(outcome_record("outcome", ticket, outcome)), std::move(recorded));
}

void JournalImpl::finish(const Ticket& ticket, const Outcome& outcome, int loop) {
  if (ticket.sequence_ > 0) {
    hand_over(record_body(outcome_record("outcome", ticket, outcome)) + "\n");
    return;
  }
  with_notes(loop, [&](LoopNotes& notes) {
    if (ticket.counted_operation_ == nullptr) {
      Record record = outcome_record("read", ticket, outcome);
      record.decision = "allowed";
      record.peer = ticket.peer_;
      record.era = ticket.era_;
      record.args = ticket.args_;
      notes.add(record);
      return;
    }
    LoopNotes::Call counted;
    counted.principal = &ticket.principal_;
    counted.operation = *ticket.counted_operation_;
    counted.decision = "allowed";
    counted.outcome = outcome.ok ? "ok" : "error";
    if (!outcome.ok && outcome.code) counted.code = to_string(*outcome.code);
    counted.reason = outcome.reason;
    notes.count(counted, clock_.wall());
  });
}

void JournalImpl::run_finished(const RunEnd& end, Recorded recorded) {
  Record record = start_record("run_finished");
  record.request_id = end.request_id;
  record.tenant = end.tenant;
  record.issuer = end.issuer;
  record.subject = end.subject;
  record.key = end.key_fingerprint;
  record.target = end.workflow;
  record.digest = end.digest;
  record.run_id = end.run_id;
  record.outcome = end.status;
  record.detail = end.detail;
  record_and_tell(record_body(record), std::move(recorded));
}

std::string JournalImpl::event_body(std::string_view name, const json::object& fields) const {
  Record record = start_record("event");
  record.event = name;
  if (!fields.empty()) record.fields = event_fields(fields);
  return record_body(record) + "\n";
}

void JournalImpl::event(std::string_view name, const json::object& fields) {
  hand_over(event_body(name, fields));
}

void JournalImpl::durable_event(std::string_view name, const json::object& fields,
                                Recorded recorded) {
  Note note{event_body(name, fields), std::move(recorded)};
  const std::lock_guard lock(mutex_);
  keep_note(std::move(note), Steady::now());
  work_.notify_one();
}

void JournalImpl::flush_loop(int loop) { flush(loop, false); }

void JournalImpl::flush(int loop, bool everything) {
  std::string bodies;
  with_notes(loop, [&](LoopNotes& notes) {
    everything ? notes.settle(clock_.wall()) : notes.settle_if_due(clock_.wall());
    bodies = notes.take();
  });
  if (!bodies.empty()) hand_over(std::move(bodies));
}

void JournalImpl::hand_over(std::string bodies) {
  Note note{std::move(bodies), {}};
  const std::lock_guard lock(mutex_);
  if (!has_room(note)) return;
  if (notes_.empty()) work_.notify_one();
  keep_note(std::move(note), Steady::now() + kNoteDelay);
}

bool JournalImpl::has_room(const Note& note) {
  if (!dead_ && note_bytes_ + note.bodies.size() <= kMaxNoteBytes) return true;
  lost_notes_ += lines_in(note.bodies);
  return false;
}

void JournalImpl::keep_note(Note note, Steady::time_point due) {
  notes_due_ = notes_.empty() ? due : std::min(notes_due_, due);
  note_bytes_ += note.bodies.size();
  notes_.push_back(std::move(note));
}

Result<> JournalImpl::sync() {
  std::unique_lock lock(mutex_);
  const std::uint64_t mine = ++sync_asked_;
  work_.notify_one();
  const auto patience = 4 * options_.begin_timeout;
  if (!synced_.wait_for(lock, patience, [&] { return sync_done_ >= mine; })) {
    return fail(Code::timeout, "the audit journal's disk does not answer");
  }
  return sync_result_;
}

}  // namespace kubiya::audit
