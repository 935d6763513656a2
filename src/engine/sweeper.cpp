// SPDX-License-Identifier: Apache-2.0
#include "engine/sweeper.h"

#include <utility>

#include "engine/leftovers.h"

namespace kubiya::engine {

Sweeper::Sweeper(Launcher& launcher) : launcher_(launcher), thread_([this] { loop(); }) {}

Sweeper::~Sweeper() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

void Sweeper::kill(workflow::Pairs marks, std::function<void()> done) {
  {
    const std::lock_guard lock(mutex_);
    kills_.push_back({std::move(marks), std::move(done)});
  }
  wake_.notify_one();
}

void Sweeper::look(std::shared_ptr<Child> child, std::function<void(bool alive)> done) {
  {
    const std::lock_guard lock(mutex_);
    looks_.push_back({std::move(child), std::move(done)});
  }
  wake_.notify_one();
}

void Sweeper::loop() {
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait(lock, [this] { return stopping_ || !kills_.empty() || !looks_.empty(); });
    if (kills_.empty() && looks_.empty()) return;
    auto kills = std::exchange(kills_, {});
    const auto looks = std::exchange(looks_, {});
    lock.unlock();
    sweep(std::move(kills), looks);
    lock.lock();
  }
}

void Sweeper::sweep(std::vector<Kill> kills, const std::vector<Look>& looks) {
  for (const Look& look : looks) look.done(look.child->is_group_alive());
  if (kills.empty()) return;
  std::vector<workflow::Pairs> marks;
  marks.reserve(kills.size());
  for (Kill& kill : kills) marks.push_back(std::move(kill.marks));
  kill_marked(marks);
  launcher_.reap_orphans();
  for (const Kill& kill : kills) kill.done();
}

}  // namespace kubiya::engine
