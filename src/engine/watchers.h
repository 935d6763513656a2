// SPDX-License-Identifier: Apache-2.0
//
// Who is told about which run. add() and publish() on the loop; a subscription may
// be destroyed on any thread, also by its own watcher, and is not called afterwards.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "engine/backend.h"

namespace kubiya::engine {

class Watch {
 public:
  explicit Watch(Backend::Watcher watcher) : watcher_(std::move(watcher)) {}
  void tell(const RunEvent& event);
  void end();
  bool ended();

 private:
  std::recursive_mutex mutex_;  // end() comes from within tell(), too
  Backend::Watcher watcher_;
};

class Watchers {
 public:
  void add(const std::string& run_id, std::shared_ptr<Watch> watch);
  // After run_finished nobody watches the run any more.
  void publish(const RunEvent& event);

 private:
  std::unordered_map<std::string, std::vector<std::shared_ptr<Watch>>> by_run_;
};

}  // namespace kubiya::engine
