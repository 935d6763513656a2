// SPDX-License-Identifier: Apache-2.0
//
// A small blocking HTTP client for calling ourselves on loopback. Not a general one: it
// knows no TLS, no redirects, and one answer per connection.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace kubiya::app {

struct LoopbackRequest {
  std::uint16_t port = 0;
  std::string method = "POST";
  std::string path;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
};

struct LoopbackAnswer {
  int status = 0;
  std::string headers;  // lines, without the status line
  std::string body;
  // The first header of that name, or empty.
  std::string_view header(std::string_view name) const;
};

// Code::unavailable when there is no answer within a minute.
Result<LoopbackAnswer> call_loopback(const LoopbackRequest& request);

// The parts of a whole answer that ended with the connection; Content-Length only. Pure.
Result<LoopbackAnswer> parse_answer(std::string_view bytes);

}  // namespace kubiya::app
