// SPDX-License-Identifier: Apache-2.0
//
// The one thread that writes. It takes whatever has gathered while the last
// transaction was syncing and commits it as the next one. It also folds SQLite's log into the
// file, once those who waited for a commit have been told.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "store/database.h"

namespace kubiya::store {

class Writer {
 public:
  explicit Writer(std::unique_ptr<Connection> connection);
  ~Writer() { stop(); }

  // Writes what is queued, then ends the thread. The connection stays open.
  void stop();

  // Any thread. See Database::write.
  void add(Database::Work work, Database::Done done);
  bool healthy() const { return healthy_.load(std::memory_order_acquire); }
  bool is_current_thread() const { return std::this_thread::get_id() == thread_.get_id(); }

 private:
  struct Item {
    Database::Work work;
    Database::Done done;
    Result<> result;
  };
  using Batch = std::vector<Item>;

  void loop();
  bool commit_next();  // false: stopping, and nothing is left
  Batch take();
  void commit(Batch& batch);
  void checkpoint_if_due();
  Result<> begin();
  Result<> attempt(Batch& batch);
  Result<> run_isolated(Item& item);

  std::unique_ptr<Connection> connection_;
  int wal_pages_ = 0;      // in the log, after the last commit
  int checkpoint_at_ = 0;  // pages; set by the constructor
  std::atomic<bool> healthy_{true};
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Item> queue_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace kubiya::store
