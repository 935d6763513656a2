// SPDX-License-Identifier: Apache-2.0
//
// Bodies, timeouts, caps, and who may talk to us.
#include <thread>

#include "http/network.h"
#include "http/wire_fixture.h"

namespace kubiya::http {
namespace {

using std::chrono::milliseconds;

constexpr std::string_view kGet = "GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n";

ServerOptions with_bodies(std::size_t early, std::size_t most) {
  ServerOptions options;
  options.limits.early_body_bytes = early;
  options.limits.body_bytes = most;
  return options;
}

std::string announce(std::size_t size) {
  return "POST /b HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + std::to_string(size) +
         "\r\n\r\n";
}
const std::string kChunked =
    "POST /b HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";

TEST(BodyLimit, HoldsForAnnouncedBodies) {
  FunctionHandler handler(echo);
  const auto server = start_server(handler, with_bodies(100'000, 100'000));
  for (const std::size_t size : {99'999u, 100'000u}) {
    Wire wire(server->port());
    const std::string body(size, 'x');
    wire.send(announce(size) + body);
    EXPECT_EQ(body_of(wire.read_response()), "POST /b " + body);
  }
  Wire wire(server->port());
  wire.send(announce(100'001));
  EXPECT_EQ(status_of_text(wire.read_all()), 413);
  EXPECT_EQ(handler.handled, 2);
}

TEST(BodyLimit, HoldsForChunkedBodiesWhileTheyStream) {
  FunctionHandler handler(echo);
  const auto server = start_server(handler, with_bodies(1'000, 1'000));
  Wire wire(server->port());
  wire.send(kChunked + "3e8\r\n" + std::string(1'000, 'x') + "\r\n0\r\n\r\n");
  EXPECT_EQ(status_of_text(wire.read_response()), 200);
  wire.send(kChunked + "3e8\r\n" + std::string(1'000, 'x') + "\r\n1\r\n");
  EXPECT_EQ(status_of_text(wire.read_all()), 413);
  EXPECT_EQ(handler.handled, 1);
}

TEST(BodyLimit, TellsAClientThatIsStillSending) {
  FunctionHandler handler(echo);
  const auto server = start_server(handler, with_bodies(1'000, 1'000));
  Wire wire(server->port());
  wire.send(announce(600'000));
  wire.send(std::string(600'000, 'x'));
  EXPECT_EQ(status_of_text(wire.read_all()), 413);
}

TEST(Admission, IsAskedOnceForALargeBody) {
  FunctionHandler handler(echo);
  const auto server = start_server(handler, with_bodies(1'000, 100'000));
  Wire wire(server->port());
  wire.send(announce(1'000) + std::string(1'000, 'x'));
  EXPECT_EQ(status_of_text(wire.read_response()), 200);
  EXPECT_EQ(handler.asked, 0);
  wire.send(announce(50'000) + std::string(50'000, 'y'));
  EXPECT_EQ(body_of(wire.read_response()), "POST /b " + std::string(50'000, 'y'));
  EXPECT_EQ(handler.asked, 1);
  std::string chunks = kChunked;
  for (int i = 0; i < 20; ++i) chunks += "3e8\r\n" + std::string(1'000, 'z') + "\r\n";
  wire.send(chunks + "0\r\n\r\n");
  EXPECT_EQ(body_of(wire.read_response()), "POST /b " + std::string(20'000, 'z'));
  EXPECT_EQ(handler.asked, 2);
}

TEST(Admission, RefusesBeforeTheBodyIsRead) {
  Helpers helpers;
  FunctionHandler handler(echo, [&](const Request& head, Handler::Admission decide) {
    EXPECT_EQ(head.path, "/b");
    helpers.run([decide = std::move(decide)] {
      auto refusal = std::make_unique<Response>();
      refusal->status = 401;
      decide(std::move(refusal));
    });
  });
  const auto server = start_server(handler, with_bodies(1'000, 100'000));
  Wire wire(server->port());
  wire.send(announce(200'000));
  EXPECT_EQ(status_of_text(wire.read_all()), 401);
  EXPECT_EQ(handler.handled, 0);
}

TEST(Admission, ForgottenIsRefused) {
  FunctionHandler handler(echo, [](const Request&, Handler::Admission) {});
  const auto server = start_server(handler, with_bodies(1'000, 100'000));
  Wire wire(server->port());
  wire.send(announce(2'000));
  EXPECT_EQ(status_of_text(wire.read_all()), 500);
}

// The head, or the head and the first chunk size, fill the first block to its last byte.
TEST(Admission, GoesOnWhereverTheBlockEnds) {
  FunctionHandler handler([](const Request& request, Responder responder) {
    Response response;
    response.body = request.header("x-last");
    response.body += std::to_string(request.body.size());
    responder.send(std::move(response));
  });
  const auto server = start_server(handler, with_bodies(1'000, 100'000));
  for (std::size_t size = 8'180; size < 8'200; ++size) {
    Wire wire(server->port());
    std::string head =
        "POST /b HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nX-Fill: ";
    head.append(size - head.size() - 18, 'f').append("\r\nX-Last: last\r\n\r\n");
    ASSERT_EQ(head.size(), size);
    wire.send(head + "7d0\r\n");
    ::usleep(1'000);
    wire.send(std::string(2'000, 'x') + "\r\n1\r\ny\r\n0\r\n\r\n" + std::string(kGet));
    EXPECT_EQ(body_of(wire.read_response()), "last2001") << size;
    EXPECT_EQ(body_of(wire.read_response()), "0");
  }
}

TEST(Admission, DoesNotLiftTheBodyLimit) {
  FunctionHandler handler(echo);
  const auto server = start_server(handler, with_bodies(1'000, 2'000));
  Wire announced(server->port());
  announced.send(announce(2'001));
  EXPECT_EQ(status_of_text(announced.read_all()), 413);
  Wire chunked(server->port());
  chunked.send(kChunked + "5dc\r\n" + std::string(1'500, 'x') + "\r\n1f5\r\n");
  EXPECT_EQ(status_of_text(chunked.read_all()), 413);
  for (const std::string_view size : {"7d1", "fffffffffffffff"}) {
    Wire first(server->port());
    first.send(kChunked + std::string(size) + "\r\n");
    first.send(std::string(2'001, 'x'));
    EXPECT_EQ(status_of_text(first.read_all()), 413) << size;
  }
  EXPECT_EQ(handler.asked, 4);
  EXPECT_EQ(handler.handled, 0);
}

TEST(HeadLimit, AnswersWithItsOwnStatus) {
  FunctionHandler handler(echo);
  const auto server = start_server(handler);
  const auto status = [&](const std::string& bytes) {
    Wire wire(server->port());
    wire.send(bytes);
    return status_of_text(wire.read_all());
  };
  EXPECT_EQ(status("GET /" + std::string(9'000, 'a') + " HTTP/1.1\r\n"), 414);
  EXPECT_EQ(status("GET / HTTP/1.1\r\nHost: a\r\nX: " + std::string(17'000, 'a') + "\r\n"), 431);
  std::string many = "GET / HTTP/1.1\r\nHost: localhost\r\n";
  for (int i = 0; i < 100; ++i) many += "X: a\r\n";
  EXPECT_EQ(status(many + "\r\n"), 431);
  EXPECT_EQ(status("GET / HTTP/1.0\r\nHost: a\r\n\r\n"), 505);
  EXPECT_EQ(status("\x16\x03\x01\x02\x01"), 400);
}

TEST(HeadLimit, LetsTheLargestHeadThrough) {
  FunctionHandler handler(echo);
  const auto server = start_server(handler);
  Wire wire(server->port());
  const std::string line = "GET /" + std::string(8 * 1024 - 14, 'a') + " HTTP/1.1\r\n";
  const std::string host = "Host: localhost\r\n";
  const std::string head =
      line + host + "X: " + std::string(16 * 1024 - host.size() - 5, 'b') + "\r\n\r\n";
  wire.send(head + std::string(kGet));
  EXPECT_EQ(status_of_text(wire.read_response()), 200);
  EXPECT_EQ(status_of_text(wire.read_response()), 200);
}

TEST(Timeouts, EndSlowHeadsAndSlowBodies) {
  FunctionHandler handler(echo);
  ServerOptions options;
  options.limits.headers = milliseconds(100);
  options.limits.body = milliseconds(100);
  const auto server = start_server(handler, options);
  Wire head(server->port());
  head.send("GET / HTT");
  EXPECT_EQ(status_of_text(head.read_all()), 408);
  Wire body(server->port());
  body.send(announce(10) + "12345");
  EXPECT_EQ(status_of_text(body.read_all()), 408);
  EXPECT_EQ(handler.handled, 0);
}

TEST(Timeouts, CloseIdleConnectionsSilently) {
  FunctionHandler handler(echo);
  ServerOptions options;
  options.limits.idle = milliseconds(100);
  const auto server = start_server(handler, options);
  Wire wire(server->port());
  wire.send(kGet);
  EXPECT_EQ(status_of_text(wire.read_response()), 200);
  EXPECT_TRUE(wire.closed_by_peer());
}

Response large_response() {
  Response response;
  response.body.assign(16 * 1024 * 1024, 'x');
  return response;
}

TEST(Timeouts, AnIdleConnectionIsNotOneThatStillDelivers) {
  FunctionHandler handler(
      [](const Request&, Responder responder) { responder.send(large_response()); });
  ServerOptions options;
  options.limits.idle = milliseconds(100);
  const auto server = start_server(handler, options);
  Wire wire(server->port(), 4096);
  wire.send(kGet);
  EXPECT_EQ(status_of_text(wire.read_until("\r\n\r\n")), 200);
  std::this_thread::sleep_for(milliseconds(700));  // past the timeout and two sweeps
  EXPECT_EQ(wire.read_all().size(), large_response().body.size());
}

TEST(Drain, ClosesAConnectionWhenItsLastAnswerIsDelivered) {
  FunctionHandler handler(
      [](const Request&, Responder responder) { responder.send(large_response()); });
  Helpers helpers;
  const auto server = start_server(handler);
  Wire wire(server->port(), 4096);
  wire.send(kGet);
  EXPECT_EQ(status_of_text(wire.read_until("\r\n\r\n")), 200);
  std::atomic<bool> drained{false};
  helpers.run([&] {
    server->drain(std::chrono::seconds(60));
    drained = true;
  });
  EXPECT_EQ(wire.read_all().size(), large_response().body.size());
  EXPECT_TRUE(eventually([&] { return drained.load(); }));
}

TEST(Timeouts, GiveBuffersBackAndStillAnswer) {
  FunctionHandler handler(echo);
  const auto server = start_server(handler);
  Wire wire(server->port());
  wire.send(kGet);
  EXPECT_EQ(status_of_text(wire.read_response()), 200);
  std::this_thread::sleep_for(milliseconds(1'600));  // past the moment the buffers go
  wire.send(kGet);
  EXPECT_EQ(status_of_text(wire.read_response()), 200);
}

TEST(Timeouts, CutAReaderThatStalls) {
  FunctionHandler handler([](const Request&, Responder responder) {
    Response response;
    response.body.assign(32 * 1024 * 1024, 'x');
    responder.send(std::move(response));
  });
  ServerOptions options;
  options.limits.write_stall = milliseconds(200);
  const auto server = start_server(handler, options);
  Wire wire(server->port(), 4096);
  wire.send(kGet);
  ASSERT_TRUE(eventually([&] { return handler.handled == 1; }));
  EXPECT_TRUE(eventually([&] { return server->stats().connections == 0; }));
}

TEST(Caps, BoundConnectionsPerPeer) {
  FunctionHandler handler(echo);
  ServerOptions options;
  options.limits.connections_per_peer = 2;
  const auto server = start_server(handler, options);
  auto first = std::make_unique<Wire>(server->port());
  Wire second(server->port());
  ASSERT_TRUE(eventually([&] { return server->stats().connections == 2; }));
  Wire third(server->port());
  EXPECT_TRUE(third.closed_by_peer());
  first.reset();
  ASSERT_TRUE(eventually([&] { return server->stats().connections == 1; }));
  Wire fourth(server->port());
  fourth.send(kGet);
  EXPECT_EQ(status_of_text(fourth.read_response()), 200);
}

TEST(Guarded, RefusesForeignHostAndOrigin) {
  FunctionHandler handler(echo);
  const auto server = start_server(handler);
  for (const char* lines : {"Host: evil.example\r\n", "Host: localhost\r\nOrigin: null\r\n",
                            "Host: localhost\r\nOrigin: https://evil.example\r\n"}) {
    Wire wire(server->port());
    wire.send("OPTIONS /mcp HTTP/1.1\r\nAccess-Control-Request-Method: POST\r\n" +
              std::string(lines) + "\r\n");
    const std::string answer = wire.read_all();
    EXPECT_EQ(status_of_text(answer), 403) << lines;
    EXPECT_EQ(answer.find("Access-Control-"), answer.npos) << lines;
  }
  EXPECT_EQ(handler.handled, 0);
}

TEST(Guarded, AnswersPreflightsAndMarksAnswers) {
  FunctionHandler handler(echo);
  const auto server = start_server(handler);
  Wire wire(server->port());
  const std::string lines =
      " /mcp HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost:3000\r\n";
  wire.send("OPTIONS" + lines + "Access-Control-Request-Method: POST\r\n\r\n");
  const std::string preflight = wire.read_until("\r\n\r\n");
  EXPECT_EQ(status_of_text(preflight), 204);
  EXPECT_EQ(preflight.find("Content-Length"), preflight.npos);
  wire.send("GET" + lines + "\r\n");
  const std::string answer = wire.read_response();
  EXPECT_NE(answer.find("Access-Control-Allow-Origin: http://localhost:3000\r\nVary: Origin\r\n"),
            answer.npos);
  EXPECT_EQ(handler.handled, 1);
}

TEST(Refusals, AreToldByNameWithWhatIsKnown) {
  FunctionHandler handler(echo);
  ServerOptions options = with_bodies(1'000, 2'000);
  options.limits.body = milliseconds(100);
  const auto server = start_server(handler, options);
  const struct {
    std::string bytes;
    std::string told;
  } rows[] = {
      {"nonsense\r\n", "request_line 400 127.0.0.1 -"},
      {"GET / HTTP/1.0\r\n\r\n", "http_version 505 127.0.0.1 -"},
      {"GET /" + std::string(9'000, 'a') + " HTTP/1.1\r\n",
       "request_line_too_long 414 127.0.0.1 -"},
      {"GET /x HTTP/1.1\r\nHost: a\r\nX: " + std::string(17'000, 'a') + "\r\n",
       "headers_too_long 431 127.0.0.1 -"},
      {"GET /x HTTP/1.1\r\nHost: evil.example\r\n\r\n", "foreign_host 403 127.0.0.1 /x"},
      {"GET /x HTTP/1.1\r\nHost: localhost\r\nOrigin: null\r\n\r\n",
       "foreign_origin 403 127.0.0.1 /x"},
      {announce(2'001), "body_too_large 413 127.0.0.1 /b in the body"},
      {kChunked + "5dc\r\n" + std::string(1'500, 'x') + "\r\n1f5\r\n",
       "body_too_large 413 127.0.0.1 /b in the body"},
      {kChunked + "x\r\n", "chunk 400 127.0.0.1 /b in the body"},
      {announce(10) + "12345", "slow_body 408 127.0.0.1 /b in the body"},
  };
  std::vector<std::string> expected;
  for (const auto& row : rows) {
    Wire wire(server->port());
    wire.send(row.bytes);
    wire.read_all();
    expected.push_back(row.told);
  }
  EXPECT_EQ(handler.refusals(), expected);
  EXPECT_EQ(handler.handled, 0);
  const auto counted = server->stats().refused;
  EXPECT_EQ(counted.at("body_too_large"), 2u);
  EXPECT_EQ(counted.at("chunk"), 1u);
  EXPECT_EQ(counted.count("internal"), 0u);
}

// Through a trusted proxy plain HTTP is a hop behind TLS; to everybody else it is the whole way.
TEST(PlainHttp, OnAReachableAddressIsForTrustedProxies) {
  const std::uint32_t own = own_address();
  if (own == 0) GTEST_SKIP() << "this machine has loopback addresses only";
  const std::string text = Address{
      {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, static_cast<std::uint8_t>(own >> 24),
       static_cast<std::uint8_t>(own >> 16), static_cast<std::uint8_t>(own >> 8),
       static_cast<std::uint8_t>(
           own)}}.text();
  const auto ask = [&](FunctionHandler& handler, std::string proxy, bool insecure,
                       std::uint32_t at) {
    ServerOptions options;
    options.host = "0.0.0.0";
    options.guard.hosts = {"*"};
    options.guard.trusted_proxies = {std::move(proxy)};
    options.insecure_http = insecure;
    const auto server = start_server(handler, options);
    Wire wire(server->port(), 0, at);
    wire.send("GET /a HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    return status_of_text(wire.read_all());
  };
  FunctionHandler handler(echo);
  EXPECT_EQ(ask(handler, "198.51.100.1", false, own), 403);
  EXPECT_EQ(handler.handled, 0);
  EXPECT_EQ(handler.refusals(), std::vector<std::string>{"plain_http 403 " + text + " /a"});
  EXPECT_EQ(ask(handler, text, false, own), 200) << "the proxy itself";
  EXPECT_EQ(ask(handler, "198.51.100.1", true, own), 200) << "allowed explicitly";
  EXPECT_EQ(ask(handler, "198.51.100.1", false, INADDR_LOOPBACK), 200) << "crosses no network";
}

std::string facts(const Request& request) {
  return request.peer + (request.secure ? " secure " : " plain ") +
         (request.loopback ? "local " : "remote ") + std::string(request.host);
}

TEST(Guarded, BelievesForwardedHeadersOfTrustedPeersOnly) {
  FunctionHandler handler([](const Request& request, Responder responder) {
    Response response;
    response.body = facts(request);
    responder.send(std::move(response));
  });
  const std::string request =
      "GET / HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 192.0.2.1\r\n"
      "X-Forwarded-Proto: https\r\nX-Forwarded-Host: mcp.example.com\r\n\r\n";
  const auto ask = [&](const ServerOptions& options, std::string_view bytes) {
    const auto server = start_server(handler, options);
    Wire wire(server->port());
    wire.send(bytes);
    return body_of(wire.read_response());
  };
  ServerOptions options;
  EXPECT_EQ(ask(options, kGet), "127.0.0.1 plain local localhost");
  EXPECT_EQ(ask(options, request), "127.0.0.1 plain remote localhost");
  for (const char* line : {"Via: 1.1 edge", "X-Real-IP: 192.0.2.1", "CF-Connecting-IP: 192.0.2.1",
                           "True-Client-IP: 192.0.2.1", "Forwarded: for=192.0.2.1"}) {
    EXPECT_EQ(
        ask(options, "GET / HTTP/1.1\r\nHost: localhost\r\n" + std::string(line) + "\r\n\r\n"),
        "127.0.0.1 plain remote localhost")
        << line;
  }
  // Who comes in under a public name was sent on by somebody, however silent.
  options.guard.hosts = {"mcp.example.com"};
  EXPECT_EQ(ask(options, "GET / HTTP/1.1\r\nHost: mcp.example.com\r\n\r\n"),
            "127.0.0.1 plain remote mcp.example.com");
  options.guard.trusted_proxies = {"127.0.0.1"};
  options.guard.hosts = {"mcp.example.com"};
  EXPECT_EQ(ask(options, request), "192.0.2.1 secure remote mcp.example.com");
}

}  // namespace
}  // namespace kubiya::http
