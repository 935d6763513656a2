// SPDX-License-Identifier: Apache-2.0
//
// One JSON line per request. Lines are gathered per event loop and written together.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "mcp/exchange.h"

namespace kubiya::mcp {

enum class RequestLogging { all, refusals, none };

class RequestLog {
 public:
  RequestLog(RequestLogging what, int loops)
      : what_(what), lines_(static_cast<std::size_t>(loops)) {}

  // Marks the calling thread as loop `loop`'s; its lines are gathered.
  static void enter(int loop);
  // Any thread.
  void line(const Exchange& x, int status, std::string_view reason, Mono now);
  // On loop `loop`'s thread.
  void flush(int loop);

 private:
  RequestLogging what_;
  std::vector<std::string> lines_;
};

}  // namespace kubiya::mcp
