// SPDX-License-Identifier: Apache-2.0
//
// One thread for what may wait on the disk, so that the loop never does.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

namespace kubiya::engine {

class Worker {
 public:
  Worker();
  // Does what is queued, then ends.
  ~Worker();
  void add(std::function<void()> task);  // any thread

 private:
  void loop();
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> tasks_;
  bool stopping_ = false;
  std::thread thread_;
};

// Removes a run's directory with all that its steps left there, also where they took away our
// permission. Symbolic links are removed, not followed.
void remove_directory(const std::string& path);

}  // namespace kubiya::engine
