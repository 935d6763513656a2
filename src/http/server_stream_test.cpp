// SPDX-License-Identifier: Apache-2.0
#include <mutex>
#include <thread>

#include "http/wire_fixture.h"

namespace kubiya::http {
namespace {

using std::chrono::milliseconds;

constexpr std::string_view kGet = "GET /s HTTP/1.1\r\nHost: localhost\r\n\r\n";

// Opens a stream for each request and hands the newest one out.
class Streams {
 public:
  FunctionHandler handler{[this](const Request&, Responder responder) {
    EventStream stream = responder.stream();
    const std::lock_guard lock(mutex_);
    current_ = stream;
    ++opened;
  }};
  EventStream take() {
    EXPECT_TRUE(eventually([&] { return opened > taken_; }));
    ++taken_;
    const std::lock_guard lock(mutex_);
    return std::exchange(current_, {});
  }
  std::atomic<int> opened{0};

 private:
  std::mutex mutex_;
  EventStream current_;
  int taken_ = 0;
};

TEST(EventStream, SendsEachEventAtOnceAndKeepsTheConnection) {
  Streams streams;
  const auto server = start_server(streams.handler);
  Wire wire(server->port());
  for (int round = 0; round < 2; ++round) {
    wire.send(kGet);
    const EventStream stream = streams.take();
    const std::string head = wire.read_until("\r\n\r\n");
    EXPECT_EQ(status_of_text(head), 200);
    for (const char* line : {"Content-Type: text/event-stream\r\n", "Cache-Control: no-cache\r\n",
                             "X-Accel-Buffering: no\r\n", "Transfer-Encoding: chunked\r\n"}) {
      EXPECT_NE(head.find(line), head.npos) << line;
    }
    stream.event("{\"a\":1}");
    EXPECT_EQ(wire.read_until("\n\n\r\n"), "f\r\ndata: {\"a\":1}\n\n\r\n");
    stream.comment("hi");
    EXPECT_EQ(wire.read_until("\n\n\r\n"), "6\r\n: hi\n\n\r\n");
    EXPECT_TRUE(stream.open());
    stream.close();
    EXPECT_FALSE(stream.open());
    stream.event("{}");
    EXPECT_EQ(wire.read_until("0\r\n\r\n"), "0\r\n\r\n");
  }
}

TEST(EventStream, EndsInOrderWhenTheLastCopyIsDropped) {
  Streams streams;
  const auto server = start_server(streams.handler);
  Wire wire(server->port());
  wire.send(kGet);
  {
    const EventStream stream = streams.take();
    stream.event("{}");
  }
  EXPECT_TRUE(wire.read_until("\r\n0\r\n\r\n").ends_with("data: {}\n\n\r\n0\r\n\r\n"));
}

TEST(EventStream, SendsKeepAliveCommentsWhileQuiet) {
  Streams streams;
  ServerOptions options;
  options.limits.event_comment = milliseconds(50);
  const auto server = start_server(streams.handler, options);
  Wire wire(server->port());
  wire.send(kGet);
  const EventStream stream = streams.take();
  EXPECT_TRUE(wire.read_until(": keep-alive\n\n").ends_with(": keep-alive\n\n"));
  EXPECT_TRUE(wire.read_until(": keep-alive\n\n").ends_with(": keep-alive\n\n"));
}

TEST(EventStream, ClosesWhenThePeerGoes) {
  Streams streams;
  const auto server = start_server(streams.handler);
  auto wire = std::make_unique<Wire>(server->port());
  wire->send(kGet);
  const EventStream stream = streams.take();
  wire.reset();
  EXPECT_TRUE(eventually([&] { return !stream.open(); }));
  stream.event("{}");
  EXPECT_TRUE(eventually([&] { return server->stats().connections == 0; }));
}

TEST(EventStream, CutsASlowReaderAtTheBufferBound) {
  Streams streams;
  ServerOptions options;
  options.limits.stream_buffer_bytes = 64 * 1024;
  const auto server = start_server(streams.handler, options);
  Wire wire(server->port(), 4096);
  wire.send(kGet);
  const EventStream stream = streams.take();
  const std::string event = "\"" + std::string(10'000, 'x') + "\"";
  EXPECT_TRUE(eventually([&] {
    stream.event(event);
    return !stream.open();
  }));
  EXPECT_TRUE(eventually([&] { return server->stats().connections == 0; }));
  EXPECT_EQ(wire.read_all().find("\r\n0\r\n\r\n"), std::string::npos) << "no false end";
}

TEST(EventStream, IsEndedInOrderByADrain) {
  Streams streams;
  const auto server = start_server(streams.handler);
  Wire wire(server->port());
  wire.send(kGet);
  const EventStream stream = streams.take();
  server->drain(milliseconds(10));
  EXPECT_TRUE(wire.read_all().ends_with("0\r\n\r\n"));
  EXPECT_FALSE(stream.open());
}

}  // namespace
}  // namespace kubiya::http
