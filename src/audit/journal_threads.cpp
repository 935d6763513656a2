// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <string_view>

#include "audit/journal_impl.h"
#include "base/log.h"

// The disk's side: batches, checkpoints, and what happens when the disk refuses.
namespace kubiya::audit {
namespace {

constexpr std::chrono::milliseconds kRetryAfter{500};
constexpr std::chrono::seconds kSweep{1};
constexpr int kUnsignedPatience = 10;  // times checkpoint_every

void append_lines(std::vector<std::string_view>& out, std::string_view text) {
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    out.push_back(text.substr(0, end));
    text.remove_prefix(end + 1);
  }
}

std::string body_of_event(const Clock& clock, std::string_view name, const json::object& fields) {
  Record record;
  record.time = format_time(clock.wall());
  record.kind = "event";
  record.event = name;
  if (!fields.empty()) record.fields = event_fields(fields);
  return record_body(record);
}

std::string body_of_recovery(const Clock& clock, const TornTail& torn) {
  Record record;
  record.time = format_time(clock.wall());
  record.kind = "recovered";
  record.fields = event_fields({{"bytes", torn.bytes},
                                {"offset", torn.offset},
                                {"segment", torn.segment},
                                {"sha256", torn.sha256}});
  return record_body(record);
}

// What opening has to say before anyone else does, and before it is signed.
Result<> record_opening(LogWriter& writer, const TornTail& torn, const Clock& clock) {
  std::vector<std::string> bodies;
  if (writer.size() == 0) bodies.push_back(body_of_event(clock, "journal_created", {}));
  // No signature says that these records are those that were written.
  if (const std::uint64_t adopted = writer.unsigned_records(); adopted > 0) {
    const std::uint64_t first = writer.size() - adopted;
    bodies.push_back(
        body_of_event(clock, "tail_adopted", {{"records", adopted}, {"first", first}}));
    log::warn("audit records behind the last checkpoint were adopted",
              {{"records", adopted}, {"first", first}});
  }
  if (torn.bytes > 0) {
    bodies.push_back(body_of_recovery(clock, torn));
    log::warn("an unfinished write was cut off the audit journal", {{"bytes", torn.bytes}});
  }
  if (bodies.empty()) return {};
  TRY_VOID(writer.append({bodies.begin(), bodies.end()}));
  return writer.sign();
}

}  // namespace

Result<std::unique_ptr<Journal>> JournalImpl::open(JournalOptions options, const Clock& clock,
                                                   Files& files) {
  Opened opened = TRY(open_log(files, options.directory, options.origin, options.segment_bytes));
  TRY_VOID(record_opening(*opened.writer, opened.torn, clock));
  return std::unique_ptr<Journal>(new JournalImpl(std::move(options), clock, std::move(opened)));
}

JournalImpl::JournalImpl(JournalOptions options, const Clock& clock, Opened opened)
    : options_(std::move(options)),
      clock_(clock),
      lock_(std::move(opened.lock)),
      writer_(std::move(opened.writer)),
      digest_key_(std::move(opened.digest_key)),
      shared_(options_.detailed_per_second),
      signed_at_(Steady::now()),
      unsigned_since_(Steady::now()),
      shared_drained_at_(Steady::now()),
      size_(writer_->size()) {
  for (int i = 0; i < options_.loops; ++i) {
    loops_.push_back(std::make_unique<LoopNotes>(options_.detailed_per_second));
  }
  write_thread_ = std::thread([this] { write_loop(); });
  watch_thread_ = std::thread([this] { watch_loop(); });
}

JournalImpl::~JournalImpl() {
  for (std::size_t i = 0; i < loops_.size(); ++i) flush(static_cast<int>(i), true);
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    work_.notify_all();
  }
  write_thread_.join();
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
    watch_.notify_all();
  }
  watch_thread_.join();
}

void JournalImpl::drain_shared(bool now) {
  if (!now && Steady::now() - shared_drained_at_ < kSweep) return;
  shared_drained_at_ = Steady::now();
  flush(-1, now);
}

void JournalImpl::wait_for_work(std::unique_lock<std::mutex>& lock) {
  for (;;) {
    const auto now = Steady::now();
    if (stopping_ || !waiters_.empty() || sync_asked_ > sync_done_) return;
    auto wake = now + kSweep;
    if (refused_by_disk_ && !dead_) {
      wake = std::min(wake, retry_at_);
    } else if (!refused_by_disk_ && !notes_.empty()) {
      wake = std::min(wake, notes_due_);
    }
    if (!writer_->is_signed() && !writer_->dead()) {
      wake = std::min(wake, signed_at_ + options_.checkpoint_every);
    }
    wake = std::min(wake, shared_drained_at_ + kSweep);
    if (wake <= now) return;
    work_.wait_until(lock, wake);
  }
}

JournalImpl::Batch JournalImpl::take_batch() {
  Batch batch;
  batch.waiters.swap(waiters_);
  batch.notes.swap(notes_);
  note_bytes_ = 0;
  if (overdue_) refuse_unsignable(batch);
  writing_ = batch.waiters;
  const bool missed = refused_by_disk_ || lost_notes_ > 0 || refused_intents_ > 0;
  if (missed && !overdue_ && !writer_->dead()) describe_losses(batch);
  return batch;
}

void JournalImpl::describe_losses(Batch& batch) const {
  batch.lost = lost_notes_;
  batch.refused = refused_intents_;
  Record record = start_record("event");
  record.event = "journal_resumed";
  record.fields = event_fields({{"lost_records", batch.lost}, {"refused_intents", batch.refused}});
  batch.resumed = record_body(record);
}

void JournalImpl::write_loop() {
  for (;;) {
    std::unique_lock lock(mutex_);
    // Whoever gets here is not stuck in the disk.
    stalled_ = false;
    update_health();
    wait_for_work(lock);
    const bool last = stopping_;
    const bool everything = last || sync_asked_ > sync_done_;
    lock.unlock();
    drain_shared(everything);
    lock.lock();
    const std::uint64_t asked = sync_asked_;
    Batch batch = take_batch();
    lock.unlock();
    const Result<> written = write_batch(std::move(batch));
    const Result<> signed_now = sign_if_due(everything);
    lock.lock();
    if (asked > sync_done_) {
      sync_done_ = asked;
      sync_result_ = written ? signed_now : written;
      synced_.notify_all();
    }
    // What the last batch left behind, such as the end of an intent that came late, is written too.
    if (last && waiters_.empty() && (notes_.empty() || !written)) return abandon(lock);
  }
}

// What happened already is recorded all the same.
void JournalImpl::refuse_unsignable(Batch& batch) {
  std::erase_if(batch.waiters, [&](const auto& waiter) {
    if (waiter->kept) return false;
    ++refused_intents_;
    batch.unsignable.push_back(take_begun(*waiter));
    return true;
  });
}

Result<> JournalImpl::write_batch(Batch batch) {
  for (Begun& begun : batch.unsignable) {
    begun(fail(Code::unavailable, "the audit journal cannot be signed; nothing was done"));
  }
  std::vector<std::string_view> bodies;
  for (const Note& note : batch.notes) append_lines(bodies, note.bodies);
  const std::size_t noted = bodies.size();
  for (const auto& waiter : batch.waiters) bodies.push_back(waiter->body);
  if (!batch.resumed.empty()) bodies.push_back(batch.resumed);
  if (bodies.empty()) return {};
  const auto first = writer_->append(bodies);
  // The size is published before anyone can act on an answer.
  size_.store(writer_->size(), std::memory_order_relaxed);
  if (first) {
    succeed(batch, *first + noted);
    return {};
  }
  give_up(batch, first.error());
  return fail(first.error());
}

void JournalImpl::succeed(Batch& batch, std::uint64_t first) {
  std::vector<std::pair<Begun, DurableTicket>> answers;
  std::string late;
  {
    const std::lock_guard lock(mutex_);
    writing_.clear();
    stalled_ = false;
    refused_by_disk_ = false;
    // Both may have grown while the record that counts them was written.
    lost_notes_ -= batch.lost;
    refused_intents_ -= batch.refused;
    update_health();
    for (std::size_t i = 0; i < batch.waiters.size(); ++i) {
      Waiter& waiter = *batch.waiters[i];
      waiter.ticket.sequence_ = first + i;
      if (Begun begun = take_begun(waiter)) {
        answers.emplace_back(std::move(begun), std::move(waiter.ticket));
        continue;
      }
      if (waiter.kept) continue;
      // Its caller was told that nothing happened; the journal must say so too.
      late += record_body(outcome_record("outcome", waiter.ticket,
                                         {Code::unavailable, false, "intent_late", {}, {}}));
      late += '\n';
    }
  }
  if (!late.empty()) hand_over(std::move(late));
  for (Note& note : batch.notes) {
    if (note.recorded) note.recorded({});
  }
  for (auto& [begun, ticket] : answers) begun(std::move(ticket));
}

void JournalImpl::give_up(Batch& batch, const Error& error) {
  std::vector<Begun> answers;
  std::vector<Recorded> ended;
  {
    const std::lock_guard lock(mutex_);
    if (!refused_by_disk_ && !dead_) {
      log::error("the audit journal cannot write; mutations are refused",
                 {{"detail", error.detail}});
    }
    writing_.clear();
    stalled_ = false;
    refused_by_disk_ = true;
    retry_at_ = Steady::now() + kRetryAfter;
    dead_ = writer_->dead();
    update_health();
    for (const auto& waiter : batch.waiters) {
      Begun begun = take_begun(*waiter);
      if (waiter->kept) {
        batch.notes.push_back({std::move(waiter->body) + "\n", {}});
      } else if (begun) {
        ++refused_intents_;  // one that ran out of time was counted then
      }
      if (begun) answers.push_back(std::move(begun));
    }
    put_back(std::move(batch.notes), ended);
  }
  for (Recorded& recorded : ended) recorded(fail(error));
  for (Begun& begun : answers) {
    begun(fail(Code::unavailable, "the audit journal cannot record this call; nothing was done",
               error.detail));
  }
}

// In front of what came since. `ended` gets those who wait for a disk that will not come back.
void JournalImpl::put_back(std::deque<Note> notes, std::vector<Recorded>& ended) {
  for (auto note = notes.rbegin(); note != notes.rend(); ++note) {
    const bool awaited = static_cast<bool>(note->recorded);
    if (awaited && dead_) ended.push_back(std::move(note->recorded));
    if ((!awaited || dead_) && !has_room(*note)) continue;
    note_bytes_ += note->bodies.size();
    notes_.push_front(std::move(*note));
  }
}

// The last act of the writing thread.
void JournalImpl::abandon(std::unique_lock<std::mutex>& lock) {
  const std::deque<Note> left = std::exchange(notes_, {});
  std::uint64_t lost = lost_notes_;
  for (const Note& note : left) lost += lines_in(note.bodies);
  lock.unlock();
  if (lost > 0) log::error("audit records were not written", {{"count", lost}});
  for (const Note& note : left) {
    if (note.recorded) note.recorded(fail(Code::unavailable, "the audit journal is closed"));
  }
}

Result<> JournalImpl::sign_if_due(bool now) {
  if (writer_->dead()) return fail(Code::unavailable, "the audit journal's disk failed");
  const auto time = Steady::now();
  if (writer_->is_signed()) {
    unsigned_since_ = time;
    return {};
  }
  // Many records do not hurry a disk that refuses.
  const bool many = writer_->unsigned_records() >= options_.checkpoint_records && !signing_fails_;
  if (!now && !many && time - signed_at_ < options_.checkpoint_every) return {};
  signed_at_ = time;
  auto result = writer_->sign();
  note_signing(result);
  return result;
}

void JournalImpl::note_signing(const Result<>& result) {
  const std::lock_guard lock(mutex_);
  if (!result && !signing_fails_) {
    log::error("the audit journal cannot sign checkpoints",
               {{"reason", result.error().message}, {"detail", result.error().detail}});
  }
  if (result && signing_fails_) log::info("the audit journal signs checkpoints again");
  const auto now = Steady::now();
  if (result) unsigned_since_ = now;
  signing_fails_ = !result;
  overdue_ = !result && now - unsigned_since_ > kUnsignedPatience * options_.checkpoint_every;
  dead_ = writer_->dead();
  update_health();
}

void JournalImpl::update_health() {
  healthy_.store(!dead_ && !refused_by_disk_ && !stalled_ && !overdue_, std::memory_order_relaxed);
}

std::string JournalImpl::problem() const {
  const std::lock_guard lock(mutex_);
  if (dead_) return "a failed sync closed it; restart the server";
  if (refused_by_disk_) return "the disk refuses to be written";
  if (stalled_) return "the disk does not answer";
  if (overdue_) return "checkpoints cannot be signed; mutations are refused";
  if (signing_fails_) return "checkpoints cannot be signed";
  return {};
}

void JournalImpl::watch_loop() {
  std::unique_lock lock(mutex_);
  while (!stopped_) {
    auto next = Steady::time_point::max();
    for (const auto* list : {&writing_, &waiters_}) {
      for (const auto& waiter : *list) {
        if (waiter->begun) next = std::min(next, waiter->deadline);
      }
    }
    watching_ = next != Steady::time_point::max();
    if (!watching_) {
      watch_.wait(lock);
    } else if (Steady::now() < next) {
      watch_.wait_until(lock, next);
    } else {
      expire(lock);
    }
  }
}

void JournalImpl::expire(std::unique_lock<std::mutex>& lock) {
  const auto now = Steady::now();
  std::vector<Begun> answers;
  const auto answer = [&](Waiter& waiter) {
    answers.push_back(take_begun(waiter));
    if (!waiter.kept) ++refused_intents_;
  };
  for (const auto& waiter : writing_) {
    if (waiter->begun && waiter->deadline <= now) answer(*waiter);
  }
  // What was not taken for writing never will be.
  std::erase_if(waiters_, [&](const auto& waiter) {
    if (waiter->deadline > now) return false;
    answer(*waiter);
    Note note{std::move(waiter->body) + "\n", {}};
    if (waiter->kept && has_room(note)) keep_note(std::move(note), now);
    return true;
  });
  stalled_ = true;
  update_health();
  lock.unlock();
  for (Begun& begun : answers) {
    begun(fail(Code::unavailable, "the audit journal does not answer; nothing was done"));
  }
  lock.lock();
}

}  // namespace kubiya::audit
