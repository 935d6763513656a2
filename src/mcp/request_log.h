// SPDX-License-Identifier: Apache-2.0
//
// One JSON line per request. Lines are gathered per event loop and written together. What
// strangers cause has a rate: beyond it their requests are counted, by reason.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/token_bucket.h"
#include "mcp/exchange.h"

namespace kubiya::mcp {

enum class RequestLogging { all, refusals, none };

class RequestLog {
 public:
  // `strangers_per_second`: lines of each loop for callers whom nobody has verified.
  RequestLog(RequestLogging what, int loops, unsigned strangers_per_second);

  // Marks the calling thread as loop `loop`'s; its lines are gathered.
  static void enter(int loop);
  // Any thread. `reason` is a literal.
  void line(const Exchange& x, int status, std::string_view reason, Mono now);
  // Of bytes that were no request. On the thread of a loop.
  void broken(const http::Refusal& refusal, Mono now);
  // Hands over what has gathered; about four times a second on loop `loop`'s thread. The counts
  // follow once a second.
  void flush(int loop, Mono now);
  // For the end, when no loop runs any more.
  void flush_all();

 private:
  struct alignas(64) PerLoop {
    std::string lines;
    TokenBucket strangers;
    std::vector<std::pair<std::string_view, std::uint64_t>> untold;  // requests by reason
    Mono next_counts{};
  };

  bool wanted(int status) const;
  bool may_tell_stranger(std::string_view reason, Mono now);
  void tell_counts(PerLoop& loop);
  std::string& gathered(std::string& own);
  static void hand_over(std::string& lines);

  RequestLogging what_;
  std::vector<PerLoop> loops_;
};

}  // namespace kubiya::mcp
