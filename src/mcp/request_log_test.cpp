// SPDX-License-Identifier: Apache-2.0
#include "mcp/request_log.h"

#include <gtest/gtest.h>

#include <functional>
#include <thread>

namespace kubiya::mcp {
namespace {

using std::chrono::milliseconds;

const Mono kStart{std::chrono::hours(1)};

std::size_t count(const std::string& text, std::string_view piece) {
  std::size_t found = 0;
  for (std::size_t at = 0; (at = text.find(piece, at)) != text.npos; at += piece.size()) ++found;
  return found;
}

// What `work` writes, run as loop 0's thread.
std::string written(const std::function<void()>& work) {
  testing::internal::CaptureStderr();
  std::thread([&] {
    RequestLog::enter(0);
    work();
  }).join();
  return testing::internal::GetCapturedStderr();
}

http::Request request() {
  http::Request r;
  r.method = "POST";
  r.path = "/mcp";
  r.peer = "192.0.2.7";
  return r;
}

TEST(RequestLog, CountsWhatStrangersCauseBeyondTheirRate) {
  RequestLog log(RequestLogging::all, 1, 10);
  const http::Request stranger = request();
  const std::string text = written([&] {
    const Exchange x(stranger, http::Responder(), "id");
    for (int i = 0; i < 500; ++i) log.line(x, 401, "bad_signature", kStart);
    for (int i = 0; i < 30; ++i) log.broken({"twin_header", 400, nullptr, "192.0.2.8"}, kStart);
    log.flush(0, kStart);
  });
  EXPECT_EQ(count(text, "\"message\":\"request\""), 10u);
  EXPECT_NE(text.find(R"("reason":"bad_signature","more":490})"), text.npos) << text;
  EXPECT_NE(text.find(R"("reason":"twin_header","more":30})"), text.npos) << text;
}

TEST(RequestLog, TellsTheCountsOnceASecondAndAtTheEnd) {
  RequestLog log(RequestLogging::all, 1, 0);
  const auto broken = [&](Mono now) { log.broken({"chunk", 400, nullptr, "192.0.2.8"}, now); };
  const std::string text = written([&] {
    for (int ms = 0; ms < 2'500; ms += 10) {
      broken(kStart + milliseconds(ms));
      log.flush(0, kStart + milliseconds(ms));
    }
    log.flush_all();
  });
  EXPECT_EQ(count(text, "\n"), 4u) << text;  // the first, two whole seconds, the rest
  EXPECT_EQ(count(text, "\"more\":100}"), 2u) << text;
}

TEST(RequestLog, SaysWhoSentBytesThatAreNoRequest) {
  RequestLog log(RequestLogging::refusals, 1, 10);
  const std::string text = written([&] {
    log.broken({"twin_header", 400, nullptr, "192.0.2.8"}, kStart);
    log.flush(0, kStart);
  });
  EXPECT_NE(text.find(R"("peer":"192.0.2.8","status":400,"reason":"twin_header"})"), text.npos);
}

TEST(RequestLog, NamesTheTraceThatTheCallBelongsTo) {
  RequestLog log(RequestLogging::all, 1, 10);
  const http::Request asked = request();
  const std::string text = written([&] {
    Exchange x(asked, http::Responder(), "id");
    log.line(x, 200, "done", kStart);
    x.message.traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    log.line(x, 200, "done", kStart);
    log.flush(0, kStart);
  });
  EXPECT_EQ(count(text, "\n"), 2u);
  EXPECT_EQ(count(text, "trace_id"), 1u) << text;
  EXPECT_EQ(
      count(text,
            R"(,"trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","parent_id":"00f067aa0ba902b7"})"),
      1u)
      << text;
}

TEST(RequestLog, SaysNothingWhereNothingIsWanted) {
  RequestLog log(RequestLogging::none, 1, 0);
  const std::string text = written([&] {
    log.broken({"chunk", 400, nullptr, "192.0.2.8"}, kStart);
    log.flush_all();
  });
  EXPECT_EQ(text, "");
}

}  // namespace
}  // namespace kubiya::mcp
