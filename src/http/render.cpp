// SPDX-License-Identifier: Apache-2.0
#include "http/render.h"

#include <charconv>

#include "base/result.h"
#include "http/guard.h"

namespace kubiya::http {
namespace {

void append_number(std::string& out, std::uint64_t value, int base = 10) {
  char digits[20];
  const auto end = std::to_chars(digits, digits + sizeof digits, value, base).ptr;
  out.append(digits, end);
}

// RFC 9110 §5.6.7, whatever the locale.
std::string http_date(std::time_t now) {
  constexpr std::string_view kDays = "SunMonTueWedThuFriSat";
  constexpr std::string_view kMonths = "JanFebMarAprMayJunJulAugSepOctNovDec";
  std::tm utc{};
  gmtime_r(&now, &utc);
  std::string out(kDays.substr(static_cast<std::size_t>(utc.tm_wday) * 3, 3));
  auto two = [&](int value) {
    out += static_cast<char>('0' + value / 10);
    out += static_cast<char>('0' + value % 10);
  };
  out += ", ";
  two(utc.tm_mday);
  out += ' ';
  out += kMonths.substr(static_cast<std::size_t>(utc.tm_mon) * 3, 3);
  out += ' ';
  append_number(out, static_cast<std::uint64_t>(utc.tm_year) + 1900);
  out += ' ';
  two(utc.tm_hour);
  out += ':';
  two(utc.tm_min);
  out += ':';
  two(utc.tm_sec);
  return out + " GMT";
}

void append_status(std::string& out, const HeadCache& cache, int status) {
  ASSERT(status >= 200 && status <= 599, "a final status");
  if (status == 200) {
    out.append(cache.ok());
    return;
  }
  out.append("HTTP/1.1 ");
  append_number(out, static_cast<std::uint64_t>(status));
  out.append(" ").append(reason_phrase(status)).append("\r\n");
  out.append(cache.common());
}

void append_tail(std::string& out, const Response& response, const AnswerFrame& frame) {
  out.append(response.headers);
  if (!frame.cors_origin.empty()) append_cors(out, frame.cors_origin);
  if (frame.close) out.append("Connection: close\r\n");
  out.append("\r\n");
}

}  // namespace

void HeadCache::set_time(std::time_t now) {
  if (now == now_) return;
  now_ = now;
  common_ = "Date: " + http_date(now) + "\r\nX-Content-Type-Options: nosniff\r\n";
  ok_ = "HTTP/1.1 200 OK\r\n" + common_;
}

void append_response(std::string& out, const HeadCache& cache, const Response& response,
                     const AnswerFrame& frame) {
  append_status(out, cache, response.status);
  // RFC 9110 §8.6: no length with 204; 304 would describe a body that is not sent.
  const bool bodiless = response.status == 204 || response.status == 304;
  if (!bodiless) {
    if (!response.body.empty()) {
      out.append("Content-Type: ").append(response.content_type).append("\r\n");
    }
    out.append("Content-Length: ");
    append_number(out, response.body.size());
    out.append("\r\n");
  }
  append_tail(out, response, frame);
  if (!bodiless && !frame.head_only) out.append(response.body);
}

void append_stream_head(std::string& out, const HeadCache& cache, const Response& head,
                        const AnswerFrame& frame) {
  append_status(out, cache, head.status);
  out.append(
      "Content-Type: text/event-stream\r\n"
      "Cache-Control: no-cache\r\n"
      "X-Accel-Buffering: no\r\n"
      "Transfer-Encoding: chunked\r\n");
  append_tail(out, head, frame);
}

void append_chunk(std::string& out, std::string_view bytes) {
  append_number(out, bytes.size(), 16);
  out.append("\r\n").append(bytes).append("\r\n");
}

}  // namespace kubiya::http
