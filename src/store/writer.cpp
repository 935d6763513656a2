// SPDX-License-Identifier: Apache-2.0
#include "store/writer.h"

#include <sqlite3.h>

#include "base/log.h"

namespace kubiya::store {
namespace {

// Bounds how long the first writer of a batch waits for the last.
constexpr std::size_t kBatchItems = 1024;
constexpr int kBeginAttempts = 15;  // each waits for the busy timeout
constexpr int kCheckpointPages = 1000;

int note_pages(void* pages, sqlite3*, const char*, int count) {
  *static_cast<int*>(pages) = count;
  return SQLITE_OK;
}

Error closed_error() {
  return {Code::unavailable,
          "The database does not accept writes since a disk error. Restart the server.",
          {}};
}

}  // namespace

Writer::Writer(std::unique_ptr<Connection> connection)
    : connection_(std::move(connection)), checkpoint_at_(kCheckpointPages) {
  // Takes the place of SQLite's own checkpoints, whose failures nobody would hear of.
  sqlite3_wal_hook(connection_->handle(), note_pages, &wal_pages_);
  thread_ = std::thread([this] { loop(); });
}

void Writer::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void Writer::add(Database::Work work, Database::Done done) {
  {
    const std::lock_guard lock(mutex_);
    queue_.push_back({std::move(work), std::move(done), {}});
  }
  wake_.notify_one();
}

Writer::Batch Writer::take() {
  std::unique_lock lock(mutex_);
  wake_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
  Batch batch;
  while (!queue_.empty() && batch.size() < kBatchItems) {
    batch.push_back(std::move(queue_.front()));
    queue_.pop_front();
  }
  return batch;
}

void Writer::loop() {
  // Each batch is gone before the next is waited for: what its callbacks hold (a connection, say)
  // must not wait for somebody else to write.
  while (commit_next()) {
  }
}

bool Writer::commit_next() {
  Batch batch = take();
  if (batch.empty()) return false;
  commit(batch);
  for (Item& item : batch) {
    if (item.done) item.done(std::move(item.result));
  }
  checkpoint_if_due();
  return true;
}

// After a failure everything is still in the log: it is tried again when that has grown.
void Writer::checkpoint_if_due() {
  if (wal_pages_ < checkpoint_at_ || !healthy()) return;
  const int result = sqlite3_wal_checkpoint_v2(connection_->handle(), nullptr,
                                               SQLITE_CHECKPOINT_PASSIVE, nullptr, nullptr);
  checkpoint_at_ = kCheckpointPages;
  if (result == SQLITE_OK || (result & 0xff) == SQLITE_BUSY) return;
  checkpoint_at_ = wal_pages_ + kCheckpointPages;
  log::error("the database's log could not be folded into its file; it grows until that works",
             {{"pages", wal_pages_}, {"detail", sqlite3_errmsg(connection_->handle())}});
}

// Whatever ends the transaction other than its own commit makes every item fail: none of them is
// known to be on disk.
void Writer::commit(Batch& batch) {
  Result<> committed = fail(closed_error());
  if (healthy()) committed = attempt(batch);
  if (committed) return;
  for (Item& item : batch) item.result = fail(committed.error());
}

// Another process may hold the lock; nothing was tried yet, so it can be tried again.
Result<> Writer::begin() {
  for (int attempt = 1;; ++attempt) {
    auto begun = connection_->execute("BEGIN IMMEDIATE");
    if (begun || begun.error().code != Code::busy || attempt == kBeginAttempts) return begun;
    log::warn("another process holds the database", {{"attempt", attempt}});
    const std::lock_guard lock(mutex_);
    if (stopping_) return begun;
  }
}

Result<> Writer::attempt(Batch& batch) {
  TRY_VOID(begin());
  Result<> usable;
  for (Item& item : batch) {
    usable = run_isolated(item);
    if (!usable) break;
  }
  if (usable) usable = connection_->execute("COMMIT");
  if (usable) return {};
  // After a failed sync nobody knows what the disk holds (the kernel may have dropped the dirty
  // pages), so nothing is retried.
  healthy_.store(false, std::memory_order_release);
  log::error("the database stopped accepting writes", {{"detail", usable.error().detail}});
  (void)connection_->execute("ROLLBACK");
  return fail(closed_error());
}

// An error here is the transaction's, not the item's.
Result<> Writer::run_isolated(Item& item) {
  TRY_VOID(connection_->execute("SAVEPOINT item"));
  item.result = item.work(*connection_);
  if (sqlite3_get_autocommit(connection_->handle()) != 0) {
    return fail(Code::unavailable, "The transaction was lost.",
                item.result ? "" : item.result.error().detail);
  }
  if (!item.result) TRY_VOID(connection_->execute("ROLLBACK TO item"));
  return connection_->execute("RELEASE item");
}

}  // namespace kubiya::store
