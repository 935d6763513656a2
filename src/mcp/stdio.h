// SPDX-License-Identifier: Apache-2.0
//
// The stdio transport (MCP 2026-07-28, "stdio"): one message a line, nothing else on the output.
// One client, whose credential comes from the environment of the process.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/secret.h"
#include "mcp/endpoint.h"

namespace kubiya::mcp {

struct StdioOptions {
  int input = 0;  // descriptors; not closed
  int output = 1;
  std::string path = "/mcp";
  std::optional<Secret> token;  // shown as a bearer token; without it the server's own key counts
  std::size_t line_bytes = 4 * 1024 * 1024;  // of one message; a longer one ends the input
};

class Stdio {
 public:
  // `endpoint` outlives this.
  Stdio(Endpoint& endpoint, StdioOptions options, const Clock& clock);
  ~Stdio();
  Stdio(const Stdio&) = delete;
  Stdio& operator=(const Stdio&) = delete;

  // Serves as the event loop 0 until the input ends or stop(). `sweep` runs four times a second.
  void run(const std::function<void()>& sweep);
  void stop();  // any thread
  // Waits until what was asked is answered, or until `deadline`. After run() has returned, on any
  // thread; what is posted in between runs there.
  void drain(Mono deadline);

 private:
  class Output;
  class Line;

  void post(std::function<void()> work);
  void run_posted();
  bool read_more();
  void take_lines();
  void take(std::string text);
  void open_general_stream();

  Endpoint& endpoint_;
  const StdioOptions options_;
  const Clock& clock_;
  const std::shared_ptr<Output> output_;
  std::string input_;
  std::string session_;  // of the legacy era, once there is one
  std::mutex mutex_;     // of posted_
  std::deque<std::function<void()>> posted_;
  std::atomic<bool> stopping_{false};
  std::atomic<int> open_{0};  // messages not answered yet
  int wake_ = -1;             // eventfd
};

}  // namespace kubiya::mcp
