// SPDX-License-Identifier: Apache-2.0
//
// One thread that looks through /proc, so that the loop never does. What gathers
// while it looks is served by the next look together.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "engine/launcher.h"

namespace kubiya::engine {

class Sweeper {
 public:
  explicit Sweeper(Launcher& launcher);
  // Does what is queued, then ends.
  ~Sweeper();

  // Any thread; `done` runs on the sweeper's. Kills whoever carries the marks (see kill_marked).
  void kill(workflow::Pairs marks, std::function<void()> done);
  // Whether somebody of the child's group still runs. Keeps the child until it is known.
  void look(std::shared_ptr<Child> child, std::function<void(bool alive)> done);

 private:
  struct Kill {
    workflow::Pairs marks;
    std::function<void()> done;
  };
  struct Look {
    std::shared_ptr<Child> child;
    std::function<void(bool alive)> done;
  };

  void loop();
  void sweep(std::vector<Kill> kills, const std::vector<Look>& looks);

  Launcher& launcher_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<Kill> kills_;
  std::vector<Look> looks_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace kubiya::engine
