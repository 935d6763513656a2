// SPDX-License-Identifier: Apache-2.0
//
// Responses as bytes, written straight into a connection's output buffer.
#pragma once

#include <ctime>
#include <string>
#include <string_view>

#include "http/message.h"

namespace kubiya::http {

// What the connection knows about an answer and the handler does not.
struct AnswerFrame {
  std::string_view cors_origin;  // empty: no CORS lines
  bool head_only = false;        // the request was a HEAD
  bool close = false;            // this is the connection's last answer
};

// The head bytes that every answer shares, rebuilt once a second. One per loop.
class HeadCache {
 public:
  void set_time(std::time_t now);
  std::string_view ok() const { return ok_; }          // status line 200 and common lines
  std::string_view common() const { return common_; }  // common lines alone

 private:
  std::time_t now_ = -1;
  std::string ok_;
  std::string common_;
};

void append_response(std::string& out, const HeadCache& cache, const Response& response,
                     const AnswerFrame& frame);
// The head of a chunked text/event-stream answer.
void append_stream_head(std::string& out, const HeadCache& cache, const Response& head,
                        const AnswerFrame& frame);
void append_chunk(std::string& out, std::string_view bytes);  // `bytes` must not be empty
inline constexpr std::string_view kLastChunk = "0\r\n\r\n";
inline constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";

}  // namespace kubiya::http
