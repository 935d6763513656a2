// SPDX-License-Identifier: Apache-2.0
//
// How often each API key is used. Counted where calls are served, by plain additions of one
// thread each; gathered now and then by another thread, which writes the sums down.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "store/records.h"

namespace kubiya::identity {

// One writer: the event loop whose counter it is.
class UseCounter {
 public:
  void add() {
    calls_.store(calls_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  }
  std::uint64_t calls() const { return calls_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> calls_{0};
};

class KeyUses {
 public:
  // The counter of this key for calls of this client that `loop` serves. Any thread.
  std::shared_ptr<UseCounter> counter(int loop, std::string_view key, std::string_view client);
  // What came since the last take. One thread at a time.
  std::vector<store::KeyUse> take(std::int64_t now_ms);

 private:
  struct Entry {
    std::shared_ptr<UseCounter> counter;
    std::uint64_t told = 0;
  };
  std::mutex mutex_;
  std::map<std::tuple<int, std::string, std::string>, Entry> entries_;
};

}  // namespace kubiya::identity
