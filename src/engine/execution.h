// SPDX-License-Identifier: Apache-2.0
//
// One child from start to end: its output, its deadline, its stopping. It has
// ended when the process is reaped, its group and every process that carries its
// marks are killed, and the pipes are at their end or given up. Loop thread only.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string_view>

#include "engine/launcher.h"
#include "engine/loop.h"
#include "engine/sweeper.h"

namespace kubiya::engine {

enum class Stream { out, err };
enum class StopReason { none, timed_out, canceled, output_limit };

class Execution {
 public:
  struct Limits {
    std::chrono::milliseconds timeout{0};  // 0: none
    std::chrono::milliseconds kill_grace{5'000};
    std::chrono::milliseconds drain_pipes{1'000};
  };
  struct End {
    Child::Exit exit;
    StopReason stopped = StopReason::none;
  };
  struct Listener {
    std::function<void(Stream, std::string_view)> output;
    std::function<void(const End&)> ended;  // last call; may destroy the execution
  };

  // `marks` name descendants that left the group (see kill_marked).
  Execution(Loop& loop, Sweeper& sweeper, std::unique_ptr<Child> child, const Limits& limits,
            workflow::Pairs marks, Listener listener);
  ~Execution();
  Execution(const Execution&) = delete;
  Execution& operator=(const Execution&) = delete;

  int pid() const { return child_->pid(); }
  // SIGTERM now, SIGKILL after the grace, for the whole group. The first reason stays.
  void stop(StopReason reason);

 private:
  struct Source {
    int fd = -1;
    Loop::Id watch = 0;
  };
  Source& source(Stream stream) { return stream == Stream::out ? out_ : err_; }
  void read_some(Stream stream);
  void close_source(Stream stream);
  void exited();
  void look_at_group();
  void reap();
  void kill_group();
  void drained();
  void end_if_complete();

  // On the loop, if this still exists.
  template <class Task>
  auto later(Task task);

  Loop& loop_;
  Sweeper& sweeper_;
  const std::shared_ptr<Child> child_;
  const Limits limits_;
  const workflow::Pairs marks_;
  Listener listener_;
  Source out_, err_;
  Loop::Id exit_watch_ = 0;
  Loop::Id deadline_ = 0, kill_timer_ = 0, linger_timer_ = 0, drain_timer_ = 0;
  bool killed_ = false;
  bool reaped_ = false;
  bool swept_ = false;
  End end_;
  const std::shared_ptr<bool> exists_ = std::make_shared<bool>(true);
};

}  // namespace kubiya::engine
