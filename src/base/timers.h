// SPDX-License-Identifier: Apache-2.0
//
// Deadlines of things that wait for an answer, on one coarse tick: a timer for each
// would cost more than the wait is worth.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <unordered_map>

#include "base/clock.h"

namespace kubiya {

class Timers {
 public:
  // Any thread. `due` runs inside tick(), once, unless cancelled before.
  std::uint64_t add(Mono deadline, std::function<void()> due);
  // False when it ran already or is about to.
  bool cancel(std::uint64_t id);
  // Runs everything due by `now`, outside the lock.
  void tick(Mono now);

 private:
  std::mutex mutex_;
  std::uint64_t next_ = 1;
  std::multimap<Mono, std::uint64_t> order_;
  std::unordered_map<std::uint64_t,
                     std::pair<std::multimap<Mono, std::uint64_t>::iterator, std::function<void()>>>
      entries_;
};

}  // namespace kubiya
