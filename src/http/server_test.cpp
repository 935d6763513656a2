// SPDX-License-Identifier: Apache-2.0
#include "http/server.h"

#include <condition_variable>
#include <mutex>
#include <thread>

#include "http/wire_fixture.h"

namespace kubiya::http {
namespace {

constexpr std::string_view kGet = "GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n";

std::string post(std::string_view target, std::string_view body, std::string_view more = "") {
  return "POST " + std::string(target) +
         " HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + std::to_string(body.size()) + "\r\n" +
         std::string(more) + "\r\n" + std::string(body);
}

TEST(Server, AnswersSeveralRequestsOnOneConnection) {
  FunctionHandler handler(echo);
  const auto server = start_server(handler);
  Wire wire(server->port());
  for (int i = 0; i < 3; ++i) {
    wire.send(post("/x?n=" + std::to_string(i), "hello"));
    const std::string response = wire.read_response();
    EXPECT_EQ(status_of_text(response), 200);
    EXPECT_EQ(body_of(response), "POST /x?n=" + std::to_string(i) + " hello");
  }
  EXPECT_EQ(server->stats().requests, 3u);
}

TEST(Server, SendsItsCommonHeadersAndNoServerHeader) {
  FunctionHandler handler(echo);
  const auto server = start_server(handler);
  Wire wire(server->port());
  wire.send(kGet);
  const std::string response = wire.read_response();
  EXPECT_NE(response.find("\r\nDate: "), response.npos);
  EXPECT_NE(response.find("\r\nX-Content-Type-Options: nosniff\r\n"), response.npos);
  EXPECT_NE(response.find("\r\nContent-Type: text/plain\r\n"), response.npos);
  EXPECT_EQ(response.find("\r\nServer:"), response.npos);
}

TEST(Server, ServesPipelinedRequestsInOrder) {
  FunctionHandler handler(echo);
  const auto server = start_server(handler);
  Wire wire(server->port());
  constexpr int kCount = 500;  // far more than are read ahead
  std::string burst;
  for (int i = 0; i < kCount; ++i) burst += post("/" + std::to_string(i), "b");
  std::thread sender([&] { wire.send(burst); });
  for (int i = 0; i < kCount; ++i) {
    ASSERT_EQ(body_of(wire.read_response()), "POST /" + std::to_string(i) + " b");
  }
  sender.join();
}

// More than the connection gathers before it writes, so that serving stops and goes on.
TEST(Server, ServesPipelinedRequestsWithLargeAnswers) {
  const std::string large(100'000, 'x');
  FunctionHandler handler([&large](const Request& request, Responder responder) {
    Response response;
    response.body = large + std::string(request.target);
    responder.send(std::move(response));
  });
  const auto server = start_server(handler);
  Wire wire(server->port());
  std::string burst;
  for (int i = 0; i < 30; ++i) {
    burst += "GET /" + std::to_string(i) + " HTTP/1.1\r\nHost: localhost\r\n\r\n";
  }
  ASSERT_TRUE(wire.send(burst));
  for (int i = 0; i < 30; ++i) {
    ASSERT_EQ(body_of(wire.read_response()), large + "/" + std::to_string(i));
  }
}

TEST(Server, AcceptsARequestInPiecesOfOneByte) {
  FunctionHandler handler(echo);
  const auto server = start_server(handler);
  Wire wire(server->port());
  for (char c : post("/slow", "body")) wire.send(std::string_view(&c, 1));
  EXPECT_EQ(body_of(wire.read_response()), "POST /slow body");
}

TEST(Server, DecodesAChunkedBodyAndGoesOn) {
  FunctionHandler handler(echo);
  const auto server = start_server(handler);
  Wire wire(server->port());
  wire.send(
      "POST /c HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
      "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n");
  wire.send(kGet);
  EXPECT_EQ(body_of(wire.read_response()), "POST /c hello world");
  EXPECT_EQ(body_of(wire.read_response()), "GET /a ");
}

TEST(Server, NeverExecutesWhatFollowsAnAmbiguousRequest) {
  const char* starts[] = {
      "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: "
      "chunked\r\n\r\n"
      "0\r\n\r\n",
      "POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: xchunked\r\n\r\n",
      "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\n",
      "POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: b\r\n\r\n",
      "GET / HTTP/1.1\nHost: localhost\n\n",
  };
  for (const char* start : starts) {
    FunctionHandler handler(echo);
    const auto server = start_server(handler);
    Wire wire(server->port());
    wire.send(std::string(start) + "GET /admin HTTP/1.1\r\nHost: localhost\r\n\r\n");
    const std::string answer = wire.read_all();
    EXPECT_EQ(status_of_text(answer), 400) << start;
    EXPECT_EQ(answer.find("HTTP/1.1", 1), answer.npos) << "one answer only";
    EXPECT_NE(answer.find("{\"error\":\"bad_request\""), answer.npos);
    EXPECT_NE(answer.find("Connection: close\r\n"), answer.npos);
    EXPECT_NE(answer.find("Cache-Control: no-store\r\n"), answer.npos);
    EXPECT_EQ(handler.handled, 0) << start;
    const auto refused = server->stats().refused;
    ASSERT_EQ(refused.size(), 1u) << start;
    EXPECT_EQ(refused.begin()->second, 1u) << start;
  }
}

TEST(Server, SendsNoBodyToHead) {
  FunctionHandler handler(echo);
  const auto server = start_server(handler);
  Wire wire(server->port());
  wire.send("HEAD /h HTTP/1.1\r\nHost: localhost\r\n\r\n");
  wire.send(kGet);
  EXPECT_NE(wire.read_until("\r\n\r\n").find("Content-Length: 8\r\n"), std::string::npos);
  EXPECT_EQ(body_of(wire.read_response()), "GET /a ");
}

TEST(Server, ClosesWhenTheClientAsks) {
  FunctionHandler handler(echo);
  const auto server = start_server(handler);
  Wire wire(server->port());
  wire.send("GET /a HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
  EXPECT_NE(wire.read_response().find("Connection: close\r\n"), std::string::npos);
  EXPECT_TRUE(wire.closed_by_peer());
  EXPECT_TRUE(eventually([&] { return server->stats().connections == 0; }));
}

TEST(Server, AnswersAClientThatOnlyEndedItsSendingSide) {
  Helpers helpers;
  FunctionHandler handler([&](const Request&, Responder responder) {
    helpers.run([r = std::make_shared<Responder>(std::move(responder))] {
      if (eventually([&] { return !r->open(); })) r->send({});
    });
  });
  const auto server = start_server(handler);
  Wire wire(server->port());
  wire.send(kGet);
  wire.shutdown_send();
  EXPECT_EQ(status_of_text(wire.read_all()), 200);
}

TEST(Server, ContinuesOnlyWhenItWantsTheBody) {
  FunctionHandler handler(echo);
  const auto server = start_server(handler);
  Wire wire(server->port());
  wire.send(
      "POST /e HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_EQ(wire.read_until("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  wire.send("ok");
  EXPECT_EQ(body_of(wire.read_response()), "POST /e ok");
}

TEST(Server, TurnsADroppedResponderInto500) {
  FunctionHandler handler([](const Request&, Responder) {});
  const auto server = start_server(handler);
  Wire wire(server->port());
  wire.send(kGet);
  EXPECT_EQ(status_of_text(wire.read_response()), 500);
}

TEST(Server, TurnsAnExceptionInto500) {
  FunctionHandler handler(
      [](const Request&, Responder) { throw std::runtime_error("secret path"); });
  const auto server = start_server(handler);
  Wire wire(server->port());
  wire.send(kGet);
  const std::string answer = wire.read_response();
  EXPECT_EQ(status_of_text(answer), 500);
  EXPECT_EQ(answer.find("secret"), answer.npos);
}

TEST(Server, TakesAnswersFromOtherThreads) {
  Helpers helpers;
  FunctionHandler handler([&](const Request& request, Responder responder) {
    helpers.run([&request, r = std::make_shared<Responder>(std::move(responder))] {
      Response response;
      response.body = std::string(request.body);
      r->send(std::move(response));
      // The request outlives the answer as long as the Responder does.
      ASSERT_EQ(request.path, "/t");
    });
  });
  const auto server = start_server(handler);
  Wire wire(server->port());
  for (int i = 0; i < 200; ++i) {
    wire.send(post("/t", std::to_string(i)) + post("/t", "x" + std::to_string(i)));
    ASSERT_EQ(body_of(wire.read_response()), std::to_string(i));
    ASSERT_EQ(body_of(wire.read_response()), "x" + std::to_string(i));
  }
}

TEST(Server, ClosesAlsoWhenTheResponderGoesLongAfterTheAnswer) {
  std::unique_ptr<Responder> kept;
  FunctionHandler handler([&](const Request&, Responder responder) {
    responder.send({});
    kept = std::make_unique<Responder>(std::move(responder));
  });
  const auto server = start_server(handler);
  Wire wire(server->port());
  wire.send("GET /a HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(status_of_text(wire.read_response()), 200);
  ::usleep(20'000);  // the answer is long gone
  kept.reset();
  EXPECT_TRUE(wire.closed_by_peer());
}

TEST(Server, SeesTheClientGoWhileTheHandlerWorks) {
  std::mutex mutex;
  std::unique_ptr<Responder> kept;
  std::string path;
  FunctionHandler handler([&](const Request& request, Responder responder) {
    const std::lock_guard lock(mutex);
    path = request.path;
    kept = std::make_unique<Responder>(std::move(responder));
  });
  const auto server = start_server(handler);
  {
    Wire wire(server->port());
    wire.send(kGet);
    ASSERT_TRUE(eventually([&] {
      const std::lock_guard lock(mutex);
      return kept != nullptr;
    }));
    EXPECT_TRUE(kept->open());
  }
  EXPECT_TRUE(eventually([&] { return !kept->open(); }));
  kept->send({});
  kept.reset();
  EXPECT_TRUE(eventually([&] { return server->stats().connections == 0; }));
}

TEST(Server, KeepsAResponderUsableAfterTheServerIsGone) {
  std::unique_ptr<Responder> kept;
  FunctionHandler handler([&](const Request&, Responder responder) {
    kept = std::make_unique<Responder>(std::move(responder));
  });
  auto server = start_server(handler);
  Wire wire(server->port());
  wire.send(kGet);
  ASSERT_TRUE(eventually([&] { return handler.handled == 1; }));
  server.reset();
  EXPECT_FALSE(kept->open());
  kept->send({});
}

TEST(Server, ListensOnBothLoopbacksForLocalhost) {
  FunctionHandler handler(echo);
  ServerOptions options;
  options.host = "localhost";
  options.threads = 2;
  const auto server = start_server(handler, options);
  Wire wire(server->port());
  wire.send(kGet);
  EXPECT_EQ(status_of_text(wire.read_response()), 200);
  EXPECT_EQ(server->threads(), 2);
}

TEST(Server, RefusesToOpen) {
  FunctionHandler handler(echo);
  ServerOptions plain;
  plain.host = "0.0.0.0";
  plain.port = 0;
  const auto exposed = Server::open(plain, handler);
  ASSERT_FALSE(exposed);
  EXPECT_NE(exposed.error().message.find("plain HTTP"), std::string::npos);
  plain.insecure_http = true;
  EXPECT_TRUE(Server::open(plain, handler));
  ServerOptions name;
  name.host = "example.com";
  EXPECT_FALSE(Server::open(name, handler));
  const auto first = start_server(handler);
  ServerOptions taken;
  taken.port = first->port();
  const auto second = Server::open(taken, handler);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, Code::conflict);
}

TEST(Server, RunsChoresOnEveryLoop) {
  FunctionHandler handler(echo);
  ServerOptions options;
  options.threads = 2;
  const auto server = start_server(handler, options);
  std::atomic<int> seen{0};
  server->every(std::chrono::milliseconds(1), [&](int loop) { seen |= 1 << loop; });
  EXPECT_TRUE(eventually([&] { return seen == 3; }));
}

TEST(Server, DrainsRunningRequestsAndClosesIdleConnections) {
  std::mutex mutex;
  std::unique_ptr<Responder> kept;
  FunctionHandler handler([&](const Request&, Responder responder) {
    const std::lock_guard lock(mutex);
    kept = std::make_unique<Responder>(std::move(responder));
  });
  const auto server = start_server(handler);
  Wire idle(server->port());
  Wire busy(server->port());
  busy.send(kGet);
  ASSERT_TRUE(eventually([&] { return handler.handled == 1; }));
  std::thread drain([&] { server->drain(std::chrono::seconds(10)); });
  EXPECT_TRUE(idle.closed_by_peer());
  kept->send({});
  kept.reset();
  const std::string answer = busy.read_all();
  drain.join();
  EXPECT_EQ(status_of_text(answer), 200);
  EXPECT_NE(answer.find("Connection: close\r\n"), answer.npos);
  EXPECT_FALSE(Wire(server->port()).connected());
}

}  // namespace
}  // namespace kubiya::http
