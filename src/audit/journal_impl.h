// SPDX-License-Identifier: Apache-2.0
//
// The journal's threads: callers hand bodies over, one thread writes them in batches,
// a second keeps the promise that begin() is answered in time even while the first
// hangs in the disk.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "audit/journal.h"
#include "audit/loop_notes.h"
#include "audit/opening.h"

namespace kubiya::audit {

inline constexpr std::size_t kMaxNoteBytes = 8 * 1024 * 1024;  // waiting to be written

inline std::uint64_t lines_in(std::string_view bodies) {
  return static_cast<std::uint64_t>(std::count(bodies.begin(), bodies.end(), '\n'));
}

class JournalImpl final : public Journal {
 public:
  // As Journal::open, on a given disk. `files` and `clock` outlive the journal.
  static Result<std::unique_ptr<Journal>> open(JournalOptions options, const Clock& clock,
                                               Files& files);
  ~JournalImpl() override;

  void begin(const policy::Permit& permit, const Intent& intent, Begun begun) override;
  Ticket note(const policy::Permit& permit, const Intent& intent, int loop) override;
  void refused(const RefusedCall& call, int loop) override;
  void finish(const DurableTicket& ticket, const Outcome& outcome, Recorded recorded) override;
  void finish(const Ticket& ticket, const Outcome& outcome, int loop) override;
  void run_finished(const RunEnd& end, Recorded recorded) override;
  void event(std::string_view name, const json::object& fields) override;
  void durable_event(std::string_view name, const json::object& fields, Recorded recorded) override;
  void flush_loop(int loop) override;
  Result<> sync() override;
  bool healthy() const override { return healthy_.load(std::memory_order_relaxed); }
  std::string problem() const override;
  std::uint64_t size() const override { return size_.load(std::memory_order_relaxed); }

 private:
  using Steady = std::chrono::steady_clock;

  // A record that someone waits for. An intent that could not be written in time is dropped with
  // the call it announced; what happened already (`kept`) stays queued as a note.
  struct Waiter {
    std::string body;
    bool kept = false;
    DurableTicket ticket;
    Begun begun;  // empty once answered
    Steady::time_point deadline;
  };
  // What is written some time, again and again until the disk takes it.
  struct Note {
    std::string bodies;  // one or more, newline after each
    Recorded recorded;   // empty: nobody waits
  };
  struct Batch {
    std::deque<Note> notes;
    std::vector<std::shared_ptr<Waiter>> waiters;
    std::vector<Begun> unsignable;  // calls refused because nothing can be signed
    std::string resumed;            // body of the record that says what was lost; or empty
    std::uint64_t lost = 0;         // what that record counts
    std::uint64_t refused = 0;      // likewise
  };

  JournalImpl(JournalOptions options, const Clock& clock, Opened opened);

  Record start_record(std::string_view kind) const;
  Record outcome_record(std::string_view kind, const Ticket& ticket, const Outcome& outcome) const;
  std::string event_body(std::string_view name, const json::object& fields) const;
  void flush(int loop, bool everything);
  void hand_over(std::string bodies);
  void enqueue(std::shared_ptr<Waiter> waiter);
  void record_and_tell(std::string body, Recorded recorded);
  bool has_room(const Note& note);                    // under mutex_; counts what has none as lost
  void keep_note(Note note, Steady::time_point due);  // under mutex_
  template <class Use>
  void with_notes(int loop, Use use);

  void write_loop();
  void watch_loop();
  void drain_shared(bool now);
  void wait_for_work(std::unique_lock<std::mutex>& lock);
  Batch take_batch();
  Result<> write_batch(Batch batch);
  void succeed(Batch& batch, std::uint64_t first);
  void give_up(Batch& batch, const Error& error);
  void put_back(std::deque<Note> notes, std::vector<Recorded>& ended);  // under mutex_
  void abandon(std::unique_lock<std::mutex>& lock);
  void refuse_unsignable(Batch& batch);  // under mutex_
  Result<> sign_if_due(bool now);
  void note_signing(const Result<>& result);
  void expire(std::unique_lock<std::mutex>& lock);
  // Moves the callback out unless the waiter was answered before. Under mutex_.
  static Begun take_begun(Waiter& waiter) { return std::exchange(waiter.begun, nullptr); }
  void update_health();                      // under mutex_
  void describe_losses(Batch& batch) const;  // under mutex_

  const JournalOptions options_;
  const Clock& clock_;
  std::unique_ptr<DirectoryLock> lock_;
  std::unique_ptr<LogWriter> writer_;  // of the writing thread
  Secret digest_key_;

  std::vector<std::unique_ptr<LoopNotes>> loops_;
  std::mutex shared_mutex_;
  LoopNotes shared_;  // of threads without a loop; guarded by shared_mutex_

  mutable std::mutex mutex_;  // guards what follows
  std::condition_variable work_;
  std::condition_variable watch_;
  std::condition_variable synced_;
  std::vector<std::shared_ptr<Waiter>> waiters_;
  std::vector<std::shared_ptr<Waiter>> writing_;
  std::deque<Note> notes_;  // in the order they were handed in
  std::size_t note_bytes_ = 0;
  std::uint64_t lost_notes_ = 0;       // since the disk refused or the buffer overflowed
  std::uint64_t refused_intents_ = 0;  // likewise
  std::uint64_t sync_asked_ = 0;
  std::uint64_t sync_done_ = 0;
  Result<> sync_result_;
  Steady::time_point notes_due_{};
  Steady::time_point retry_at_{};
  bool stopping_ = false;
  bool stopped_ = false;   // the writing thread is gone
  bool watching_ = false;  // the watcher sleeps until a deadline
  bool refused_by_disk_ = false;
  bool stalled_ = false;
  bool dead_ = false;
  bool signing_fails_ = false;
  bool overdue_ = false;  // it fails for so long that mutations are refused

  Steady::time_point signed_at_{};          // of the writing thread; the last attempt
  Steady::time_point unsigned_since_{};     // likewise; of the oldest unsigned record
  Steady::time_point shared_drained_at_{};  // likewise
  std::atomic<bool> healthy_{true};
  std::atomic<std::uint64_t> size_{0};
  std::thread write_thread_;
  std::thread watch_thread_;
};

}  // namespace kubiya::audit
