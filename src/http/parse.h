// SPDX-License-Identifier: Apache-2.0
//
// The head of an HTTP/1.1 request (RFC 9112 §2–§6): bytes in, views or a named
// fault out. Pure. Stricter than the RFC: wherever it lets a recipient repair or
// choose, the request is refused, because the proxy in front may choose otherwise.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "http/fault.h"
#include "http/message.h"

namespace kubiya::http {

struct HeadLimits {
  std::size_t request_line_bytes = 8 * 1024;  // without its CRLF
  std::size_t header_bytes = 16 * 1024;       // all header lines with their CRLFs
  std::size_t header_count = 100;
};

// The views point into the parsed bytes.
struct Head {
  std::string_view method;
  std::string_view target;
  std::string_view path;
  std::string_view query;
  std::vector<Header> headers;
  std::string_view host;    // host[:port], checked
  std::string_view origin;  // empty when absent
  std::optional<std::uint64_t> content_length;
  bool chunked = false;
  bool expects_continue = false;
  bool close = false;      // Connection: close
  bool forwarded = false;  // some header is present that proxies set (Via, X-Forwarded-*, …)

  bool has_body() const { return chunked || content_length.value_or(0) > 0; }
};

struct HeadResult {
  enum class State { incomplete, complete, fault };
  State state = State::incomplete;
  Fault fault = Fault::none;
  std::size_t size = 0;  // bytes of the head, blank line included, when complete
};

// `bytes` starts at the first byte of the request. `head` is overwritten (its header
// vector keeps its capacity) and meaningful only when the state is complete. When incomplete,
// call again with more bytes from the same start.
HeadResult parse_head(std::string_view bytes, const HeadLimits& limits, Head& head);

// The largest head the limits let through.
constexpr std::size_t head_bytes_max(const HeadLimits& limits) {
  return limits.request_line_bytes + limits.header_bytes + 4;
}

// True for "host" or "host:port" as RFC 3986 writes a name, an IPv4 or a bracketed
// IPv6 address, with no user information and a port of at most 65535.
bool is_host_port(std::string_view text);
bool is_token(std::string_view text);  // RFC 9110 §5.6.2, not empty

}  // namespace kubiya::http
