// SPDX-License-Identifier: Apache-2.0
//
// Threads for work that may block (SQLite reads, parsing of large definitions), so
// that no event loop ever does. The queue is bounded: a full one is told to the caller.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace kubiya {

class WorkerPool {
 public:
  WorkerPool(int threads, std::size_t queue_max);
  // Finishes what is queued, then joins.
  ~WorkerPool();
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  // Any thread. False when the queue is full or the pool is stopping; `work` is then untouched.
  [[nodiscard]] bool submit(std::function<void()>& work);
  // For work that must not be dropped (the end of something begun): ignores the bound.
  void submit_always(std::function<void()> work);

 private:
  void run();
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> queue_;
  std::size_t queue_max_;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace kubiya
