// SPDX-License-Identifier: Apache-2.0
#include "http/fault.h"

#include "base/result.h"

namespace kubiya::http {
namespace {

struct Row {
  Fault fault;
  int status;
  std::string_view error;
  std::string_view message;
};

constexpr Row kRows[] = {
    {Fault::request_line, 400, "bad_request", "The request line is malformed."},
    {Fault::target, 400, "bad_request", "The request target must be a path, starting with '/'."},
    {Fault::version, 505, "version_not_supported", "Use HTTP/1.1."},
    {Fault::line_too_long, 414, "uri_too_long", "The request line is too long."},
    {Fault::headers_too_long, 431, "headers_too_large", "The request headers are too large."},
    {Fault::too_many_headers, 431, "headers_too_large", "The request has too many headers."},
    {Fault::header_line, 400, "bad_request", "A request header is malformed."},
    {Fault::twin_header, 400, "bad_request", "Header names use '-', not '_'."},
    {Fault::host, 400, "bad_request", "Exactly one valid Host header is required."},
    {Fault::content_length, 400, "bad_request", "The Content-Length header is malformed."},
    {Fault::transfer_encoding, 400, "bad_request", "Only Transfer-Encoding: chunked is supported."},
    {Fault::both_lengths, 400, "bad_request",
     "Content-Length and Transfer-Encoding exclude each other."},
    {Fault::expectation, 417, "expectation_failed", "Only Expect: 100-continue is supported."},
    {Fault::repeated_header, 400, "bad_request", "A header that must be single was repeated."},
    {Fault::chunk, 400, "bad_request", "The chunked request body is malformed."},
    {Fault::body_too_large, 413, "content_too_large", "The request body is too large."},
    {Fault::slow_headers, 408, "request_timeout", "The request headers took too long."},
    {Fault::slow_body, 408, "request_timeout", "The request body took too long."},
    {Fault::bad_host, 403, "forbidden",
     "This Host is not served here; public_url and server.hosts name those that are."},
    {Fault::bad_origin, 403, "forbidden",
     "This Origin is not allowed; server.origins names those that are."},
    {Fault::internal, 500, "internal_error", "The request could not be completed."},
};

const Row& row(Fault fault) {
  for (const Row& candidate : kRows) {
    if (candidate.fault == fault) return candidate;
  }
  ASSERT(false, "every fault has an answer");
  return kRows[0];
}

}  // namespace

int status_of(Fault fault) { return row(fault).status; }

Response answer_to(Fault fault) {
  const Row& found = row(fault);
  Response response;
  response.status = found.status;
  response.headers = "Cache-Control: no-store\r\n";
  response.body.append("{\"error\":\"").append(found.error);
  response.body.append("\",\"message\":\"").append(found.message).append("\"}");
  response.close = fault != Fault::internal;
  return response;
}

}  // namespace kubiya::http
