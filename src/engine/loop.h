// SPDX-License-Identifier: Apache-2.0
//
// The supervising thread's loop: descriptors, timers and posted tasks, one at a time.
// post() is for any thread; the rest is for the loop's own.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "base/descriptor.h"
#include "base/result.h"

namespace kubiya::engine {

class Loop {
 public:
  using Task = std::function<void()>;
  using Id = std::uint64_t;  // 0 is never one

  Result<> open();
  void post(Task task);
  void run();   // until stop()
  void stop();  // any thread

  Id watch(int fd, Task readable);  // level-triggered
  void unwatch(int fd, Id id);
  Id after(std::chrono::milliseconds wait, Task task);
  // Nothing happens when it has fired. 0 is nobody's, on any thread.
  void cancel(Id timer);

 private:
  void run_posted();
  void run_timers();
  int wait_ms() const;

  Descriptor epoll_, wake_;
  std::mutex mutex_;
  std::vector<Task> posted_;
  bool stopping_ = false;
  Id next_ = 1;
  std::unordered_map<Id, Task> readers_;
  std::map<std::pair<Mono, Id>, Task> timers_;
  std::unordered_map<Id, Mono> timer_times_;
};

}  // namespace kubiya::engine
