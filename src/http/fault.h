// SPDX-License-Identifier: Apache-2.0
//
// The closed list of answers the server gives by itself. Their texts are fixed,
// so nothing a client sent can come back in them.
#pragma once

#include <cstddef>
#include <string_view>

#include "http/message.h"

namespace kubiya::http {

enum class Fault {
  none,
  request_line,       // not "METHOD SP target SP HTTP/x.y CRLF"
  target,             // not origin form, or bytes that do not belong there
  version,            // well-formed, but not HTTP/1.1
  line_too_long,      // request line over Limits::request_line_bytes
  headers_too_long,   // header block over Limits::header_bytes
  too_many_headers,   // over Limits::header_count
  header_line,        // bad name, bad value, folding, bare CR or LF
  twin_header,        // "Mcp_Method": reads as a known header behind some gateways
  host,               // none, several, or not host[:port]
  content_length,     // several, or not plain digits
  transfer_encoding,  // anything but "chunked" once
  both_lengths,       // Content-Length and Transfer-Encoding
  expectation,        // an Expect other than 100-continue
  repeated_header,    // a header that must be single is there twice
  chunk,              // chunked framing broken, extensions, trailers
  body_too_large,
  slow_headers,
  slow_body,
  plain_http,  // not from a trusted proxy, on a listener that is for those only
  bad_host,    // Host not served here
  bad_origin,  // Origin not allowed
  internal,
};
inline constexpr std::size_t kFaults = static_cast<std::size_t>(Fault::internal) + 1;

// The answer to a fault: closed-list JSON, not to be stored. Each closes the connection,
// because what follows on it can no longer be trusted; `internal` leaves that to the caller.
Response answer_to(Fault fault);
int status_of(Fault fault);
// A machine word for log and counters, a literal; each fault has its own.
std::string_view name_of(Fault fault);

}  // namespace kubiya::http
