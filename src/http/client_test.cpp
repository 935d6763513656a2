// SPDX-License-Identifier: Apache-2.0
#include "http/client.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <fmt/format.h>

#include "http/outbound.h"

namespace kubiya::http {
namespace {

using ::testing::HasSubstr;

std::string address(const char* text) {
  char bytes[16];
  if (inet_pton(AF_INET, text, bytes) == 1) return {bytes, 4};
  EXPECT_EQ(inet_pton(AF_INET6, text, bytes), 1) << text;
  return {bytes, 16};
}

TEST(OutboundAddress, SpecialOnesAreTold) {
  for (const char* text : {
           "127.0.0.1",
           "127.255.255.254",
           "10.0.0.1",
           "172.16.0.1",
           "172.31.255.255",
           "192.168.1.1",
           "169.254.169.254",
           "100.64.0.1",
           "100.127.255.255",
           "0.0.0.0",
           "0.1.2.3",
           "192.0.0.8",
           "192.0.2.1",
           "198.18.0.1",
           "198.19.255.255",
           "198.51.100.7",
           "203.0.113.7",
           "224.0.0.1",
           "239.255.255.255",
           "240.0.0.1",
           "255.255.255.255",
           "::",
           "::1",
           "fc00::1",
           "fdff::1",
           "fe80::1",
           "fec0::1",
           "ff02::1",
           "2001:db8::1",
           "::ffff:10.0.0.1",
           "::ffff:8.8.8.8",
           "::10.0.0.1",
           "64:ff9b::a00:1",
           "64:ff9b::808:808",
           "64:ff9b:1::1",
           "2002:a00:1::",
           "2001:0:1::1",
           "2600::5efe:10.0.0.1",
           "2600::200:5efe:a00:1",
           "100::1",
           "3fff::1",
           "5f00::1",
       }) {
    EXPECT_TRUE(is_special_address(address(text))) << text;
  }
}

TEST(OutboundAddress, PublicOnesAreTold) {
  for (const char* text :
       {"8.8.8.8", "1.1.1.1", "172.15.255.255", "172.32.0.1", "100.63.255.255", "100.128.0.1",
        "192.167.255.255", "198.17.255.255", "198.20.0.1", "223.255.255.255", "11.0.0.1",
        "2606:4700::1111", "2a00:1450:4001::65", "2003::1"}) {
    EXPECT_FALSE(is_special_address(address(text))) << text;
  }
  EXPECT_TRUE(is_special_address("")) << "no address at all";
  EXPECT_TRUE(is_special_address("abc")) << "a broken address";
}

TEST(OutboundAddress, OnlyTheRuleOpensWhatIsSpecial) {
  struct Row {
    const char* address;
    bool public_only, loopback_too, loopback_only, private_too;
  };
  for (const Row& row : std::vector<Row>{
           {"8.8.8.8", true, true, false, true},
           {"2606:4700::1111", true, true, false, true},
           {"127.0.0.1", false, true, true, false},
           {"::1", false, true, true, false},
           {"::ffff:127.0.0.1", false, false, false, false},
           {"10.1.2.3", false, false, false, true},
           {"100.64.0.1", false, false, false, true},
           {"fd00::1", false, false, false, true},
           {"169.254.169.254", false, false, false, false},
           {"fe80::1", false, false, false, false},
           {"0.0.0.0", false, false, false, false},
       }) {
    const std::string bytes = address(row.address);
    EXPECT_EQ(may_connect(AddressRule::public_only, bytes), row.public_only) << row.address;
    EXPECT_EQ(may_connect(AddressRule::public_or_loopback, bytes), row.loopback_too) << row.address;
    EXPECT_EQ(may_connect(AddressRule::loopback_only, bytes), row.loopback_only) << row.address;
    EXPECT_EQ(may_connect(AddressRule::public_or_private, bytes), row.private_too) << row.address;
  }
  EXPECT_FALSE(may_connect(AddressRule::any, "xyz"));
}

TEST(OutboundUrl, RefusesWhatIsNotOnePlainHttpsUrl) {
  for (const char* url : {
           "http://idp.example.com/",
           "file:///etc/passwd",
           "data:text/plain,x",
           "ftp://idp.example.com/",
           "idp.example.com",
           "",
           "https://",
           "https:///path",
           "https://user@idp.example.com/",
           "https://user:pw@idp.example.com/",
           "https://idp.example.com:/",
           "https://idp.example.com:0/",
           "https://idp.example.com:65536/",
           "https://idp.example.com:44x/",
           "https://idp.example.com./",
           "https://localhost./",
           "https://idp..example.com/",
           "https://idp%2eexample.com/",
           "https://idp.example.com\\@evil.example/",
           "https://idp.example.com/#fragment",
           "https://idp.example.com/a b",
           "https://idp.example.com/\r\nX: y",
           "https://\xe2\x91\xa0\xe2\x91\xa1\xe2\x91\xa6.0.0.1/",
           "https://0177.0.0.1/",
           "https://0x7f.1/",
           "https://0x7f000001/",
           "https://2130706433/",
           "https://127.1/",
           "https://1.2.3.4.5/",
           "https://127.0.0.1/",
           "https://10.0.0.1/",
           "https://169.254.169.254/latest/meta-data",
           "https://[::1]/",
           "https://[::ffff:7f00:1]/",
           "https://[fe80::1%25eth0]/",
           "https://[::1/",
           "https://[::1]x/",
       }) {
    FetchRequest request;
    request.url = url;
    EXPECT_FALSE(check_url(request)) << url;
  }
}

TEST(OutboundUrl, LoopbackIsOpenedForLoopbackOnly) {
  struct Row {
    const char* url;
    bool accepted;
  };
  for (const Row& row : std::vector<Row>{
           {"http://127.0.0.1:8080/jwks", true},
           {"http://localhost:8080/jwks", true},
           {"http://[::1]:8080/jwks", true},
           {"https://127.0.0.1/", true},
           {"https://idp.example.com/", true},
           {"http://idp.example.com/", false},
           {"http://10.0.0.1/", false},
           {"https://10.0.0.1/", false},
           {"http://localhost./", false},
           {"http://[::ffff:7f00:1]/", false},
           {"http://localhost.evil.example/", false},
           {"http://2130706433/", false},
       }) {
    FetchRequest request;
    request.url = row.url;
    request.allow_loopback = true;
    EXPECT_EQ(check_url(request).has_value(), row.accepted) << row.url;
  }
}

TEST(OutboundUrl, PrivateHostsAreOpenedByName) {
  FetchRequest request;
  request.url = "https://10.0.0.1/";
  request.allow_private = {"keycloak.internal", "10.0.0.1"};
  EXPECT_TRUE(check_url(request));
  request.url = "https://10.0.0.2/";
  EXPECT_FALSE(check_url(request));
  request.url = "https://KeyCloak.internal:8443/realms/x";
  const auto target = check_url(request);
  ASSERT_TRUE(target);
  EXPECT_EQ(target->rule, AddressRule::public_or_private);
  EXPECT_EQ(target->origin, "https://keycloak.internal:8443");
}

TEST(OutboundCaching, ReadsMaxAge) {
  struct Row {
    const char* value;
    int seconds;
  };
  for (const Row& row : std::vector<Row>{{"max-age=300", 300},
                                         {"public, Max-Age=60, must-revalidate", 60},
                                         {"max-age=\"15\"", 15},
                                         {"no-store", 0},
                                         {"max-age=60, no-cache", 0},
                                         {"public", -1},
                                         {"", -1},
                                         {"max-age=", -1},
                                         {"max-age=-5", -1},
                                         {"max-age=6x", -1},
                                         {"s-maxage=9", -1},
                                         {"max-age=99999999999999999999", 31'536'000}}) {
    EXPECT_EQ(parse_max_age(row.value).count(), row.seconds) << row.value;
  }
}

// Answers every connection with the same bytes, in pieces. "Silent" never answers.
class TinyServer {
 public:
  struct Script {
    std::string head;
    std::string piece;  // sent again and again, `times` times
    int times = 1;
    std::chrono::milliseconds pause{0};
    bool silent = false;
  };

  explicit TinyServer(Script script) : script_(std::move(script)) {
    fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::bind(fd_, reinterpret_cast<sockaddr*>(&at), sizeof at), 0);
    EXPECT_EQ(::listen(fd_, 16), 0);
    socklen_t size = sizeof at;
    ::getsockname(fd_, reinterpret_cast<sockaddr*>(&at), &size);
    port_ = ntohs(at.sin_port);
    thread_ = std::thread([this] { serve(); });
  }
  ~TinyServer() {
    stop_ = true;
    ::shutdown(fd_, SHUT_RDWR);
    thread_.join();
    ::close(fd_);
  }

  std::string url(std::string_view path = "/") const {
    return fmt::format("http://127.0.0.1:{}{}", port_, path);
  }
  int connections() const { return connections_; }
  std::string last_request() const {
    const std::lock_guard lock(mutex_);
    return last_request_;
  }

 private:
  void serve() {
    for (;;) {
      const int peer = ::accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC);
      if (peer < 0) return;
      ++connections_;
      answer(peer);
      ::close(peer);
    }
  }
  void answer(int peer) {
    char buffer[4096];
    const ssize_t size = ::recv(peer, buffer, sizeof buffer, 0);
    {
      const std::lock_guard lock(mutex_);
      last_request_.assign(buffer, size > 0 ? static_cast<std::size_t>(size) : 0);
    }
    while (script_.silent && !stop_) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    bool open = send(peer, script_.head);
    for (int i = 0; open && i < script_.times && !stop_; ++i) {
      open = send(peer, script_.piece);
      std::this_thread::sleep_for(script_.pause);
    }
  }
  static bool send(int peer, const std::string& bytes) {
    return ::send(peer, bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
           static_cast<ssize_t>(bytes.size());
  }

  Script script_;
  int fd_ = -1;
  int port_ = 0;
  std::atomic<bool> stop_{false};
  std::atomic<int> connections_{0};
  mutable std::mutex mutex_;
  std::string last_request_;
  std::thread thread_;
};

FetchRequest loopback(std::string url) {
  FetchRequest request;
  request.url = std::move(url);
  request.allow_loopback = true;
  return request;
}

std::unique_ptr<Client> open_client(ClientOptions options = {}) {
  auto client = Client::open(std::move(options));
  EXPECT_TRUE(client);
  return std::move(*client);
}

Result<FetchResponse> get(Client& client, FetchRequest request) {
  std::promise<Result<FetchResponse>> promise;
  auto future = promise.get_future();
  client.fetch(std::move(request),
               [&](Result<FetchResponse> r) { promise.set_value(std::move(r)); });
  return future.get();
}

TEST(Client, FetchesABodyAndItsMaxAge) {
  TinyServer server({.head = "HTTP/1.1 200 OK\r\nCache-Control: public, max-age=120\r\n"
                             "Content-Length: 2\r\n\r\n",
                     .piece = "{}"});
  const auto client = open_client();
  const auto response = get(*client, loopback(server.url("/jwks")));
  ASSERT_TRUE(response) << response.error().message;
  EXPECT_EQ(response->status, 200);
  EXPECT_EQ(response->body, "{}");
  EXPECT_EQ(response->max_age.count(), 120);
  EXPECT_THAT(server.last_request(), HasSubstr("GET /jwks HTTP/1.1\r\n"));
  EXPECT_THAT(server.last_request(), HasSubstr("Accept: application/json\r\n"));
  EXPECT_THAT(server.last_request(), ::testing::Not(HasSubstr("Accept-Encoding")));
}

TEST(Client, ShowsWhatADoctorAsksOfTheHeaders) {
  TinyServer server({.head = "HTTP/1.1 302 Found\r\nDate: Fri, 15 Jan 2027 08:00:00 GMT\r\n"
                             "Age: 30\r\nLocation: /x\x07y\r\nContent-Type: text/html\r\n"
                             "Access-Control-Allow-Origin: *\r\nContent-Length: 0\r\n\r\n",
                     .piece = ""});
  const auto client = open_client();
  FetchRequest request = loopback(server.url("/"));
  request.origin = "https://client.example";
  const auto response = get(*client, std::move(request));
  ASSERT_TRUE(response) << response.error().message;
  EXPECT_EQ(response->date, from_unix_ms(1'800'000'000'000));
  EXPECT_EQ(response->age.count(), 30);
  EXPECT_EQ(response->location.find('\x07'), std::string::npos);
  EXPECT_EQ(response->content_type, "text/html");
  EXPECT_EQ(response->allowed_origin, "*");
  EXPECT_THAT(server.last_request(), HasSubstr("Origin: https://client.example\r\n"));
}

TEST(Client, IgnoresProxiesOfTheEnvironment) {
  ::setenv("http_proxy", "http://127.0.0.1:1", 1);
  ::setenv("ALL_PROXY", "http://127.0.0.1:1", 1);
  TinyServer server({.head = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", .piece = "{}"});
  EXPECT_TRUE(get(*open_client(), loopback(server.url())));
  ::unsetenv("http_proxy");
  ::unsetenv("ALL_PROXY");
}

TEST(Client, GivesARedirectAsAValueAndFollowsNothing) {
  TinyServer aim({.head = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", .piece = "{}"});
  for (const int status : {301, 302, 307, 308}) {
    TinyServer server({.head = fmt::format("HTTP/1.1 {} Moved\r\nLocation: {}\r\n"
                                           "Content-Length: 0\r\n\r\n",
                                           status, aim.url()),
                       .piece = "",
                       .times = 0});
    const auto response = get(*open_client(), loopback(server.url()));
    ASSERT_TRUE(response);
    EXPECT_EQ(response->status, status);
  }
  EXPECT_EQ(aim.connections(), 0);
}

TEST(Client, StopsAtTheSizeLimitHoweverTheBodyIsFramed) {
  const std::string kilobyte(1024, 'x');
  struct Row {
    const char* name;
    TinyServer::Script script;
    bool accepted;
  };
  for (const Row& row : std::vector<Row>{
           {"announced",
            {"HTTP/1.1 200 OK\r\nContent-Length: 10485760\r\n\r\n", kilobyte, 10240},
            false},
           {"until close",
            {"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", kilobyte, 10240},
            false},
           {"chunked for ever",
            {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "400\r\n" + kilobyte + "\r\n",
             10240},
            false},
           {"one byte more",
            {"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", kilobyte + "x", 4},
            false},
           {"exactly", {"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", kilobyte, 4}, true},
       }) {
    TinyServer server(row.script);
    FetchRequest request = loopback(server.url());
    request.bytes_max = 4096;
    const auto response = get(*open_client(), std::move(request));
    EXPECT_EQ(response.has_value(), row.accepted) << row.name;
    if (!response) {
      EXPECT_EQ(response.error().code, Code::too_large) << row.name;
    }
  }
}

TEST(Client, RefusesACompressedAnswer) {
  TinyServer server(
      {.head = "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\n",
       .piece = "\x1f\x8b\x08\x01"});
  const auto response = get(*open_client(), loopback(server.url()));
  ASSERT_FALSE(response);
  EXPECT_THAT(response.error().message, HasSubstr("compressed"));
}

TEST(Client, EndsASlowBodyAtTheTotalTimeout) {
  TinyServer server({.head = "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n",
                     .piece = "x",
                     .times = 100000,
                     .pause = std::chrono::milliseconds(10)});
  ClientOptions options;
  options.total_timeout = std::chrono::milliseconds(150);
  const auto response = get(*open_client(options), loopback(server.url()));
  ASSERT_FALSE(response);
  EXPECT_EQ(response.error().code, Code::timeout);
}

TEST(Client, SaysThatNobodyListens) {
  std::string url;
  {
    TinyServer gone({.head = "", .piece = "", .times = 0});
    url = gone.url();
  }
  const auto response = get(*open_client(), loopback(url));
  ASSERT_FALSE(response);
  EXPECT_EQ(response.error().code, Code::unavailable);
  EXPECT_EQ(response.error().message, "connection refused by " + url.substr(0, url.size() - 1) +
                                          " (is the identity provider running?)");
}

TEST(Client, RefusesLoopbackUnlessAllowedAndConnectsNowhere) {
  TinyServer server({.head = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", .piece = "{}"});
  FetchRequest plain;
  plain.url = server.url();
  EXPECT_FALSE(get(*open_client(), plain));
  // A name passes the look at the URL; the address behind it is stopped at the socket.
  FetchRequest named;
  named.url = "https://localhost" + server.url().substr(std::string("http://127.0.0.1").size());
  const auto response = get(*open_client(), named);
  ASSERT_FALSE(response);
  EXPECT_EQ(response.error().code, Code::forbidden) << response.error().message;
  EXPECT_EQ(server.connections(), 0);
}

TEST(Client, SendsAFormWithACredential) {
  TinyServer server(
      {.head = "HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 2\r\n\r\n", .piece = "{}"});
  FetchRequest request = loopback(server.url("/introspect"));
  request.form = Secret("token=a%2Fb&token_type_hint=access_token");
  request.authorization = Secret("Basic aWQ6c2VjcmV0");
  const auto response = get(*open_client(), std::move(request));
  ASSERT_TRUE(response) << response.error().message;
  EXPECT_EQ(response->status, 503);
  EXPECT_EQ(response->retry_after.count(), 7);
  const std::string sent = server.last_request();
  EXPECT_TRUE(sent.starts_with("POST /introspect HTTP/1.1\r\n")) << sent;
  EXPECT_THAT(sent, HasSubstr("\r\nContent-Type: application/x-www-form-urlencoded\r\n"));
  EXPECT_THAT(sent, HasSubstr("\r\nAuthorization: Basic aWQ6c2VjcmV0\r\n"));
  EXPECT_THAT(sent, ::testing::Not(HasSubstr("Expect:")));
  EXPECT_TRUE(sent.ends_with("\r\n\r\ntoken=a%2Fb&token_type_hint=access_token")) << sent;
}

TEST(Outbound, SecondsAreAWholeNumber) {
  for (const auto& [value, seconds] :
       std::vector<std::pair<const char*, int>>{{"0", 0},
                                                {"120", 120},
                                                {"99999999999999999999", 31'536'000},
                                                {"", -1},
                                                {"-1", -1},
                                                {"1.5", -1},
                                                {"7 ", -1},
                                                {"Wed, 21 Oct 2026 07:28:00 GMT", -1}}) {
    EXPECT_EQ(parse_seconds(value).count(), seconds) << value;
  }
}

TEST(Client, DoesNotTalkTlsToAnUntrustedPeer) {
  TinyServer server({.head = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", .piece = "{}"});
  const auto response = get(*open_client(), loopback("https" + server.url().substr(4)));
  ASSERT_FALSE(response);
  EXPECT_EQ(response.error().code, Code::untrusted);
  EXPECT_THAT(response.error().message, HasSubstr("no trusted TLS connection"));
}

TEST(Client, BoundsWhatIsInFlight) {
  TinyServer server({.head = "", .piece = "", .times = 0, .silent = true});
  ClientOptions options;
  options.in_flight_max = 2;
  auto client = open_client(options);
  std::mutex mutex;
  std::vector<Code> codes;
  std::promise<void> first;
  for (int i = 0; i < 3; ++i) {
    client->fetch(loopback(server.url()), [&](Result<FetchResponse> response) {
      const std::lock_guard lock(mutex);
      codes.push_back(response ? Code::internal : response.error().code);
      if (codes.size() == 1) first.set_value();
    });
  }
  first.get_future().wait();
  client.reset();
  EXPECT_EQ(codes, (std::vector<Code>{Code::busy, Code::cancelled, Code::cancelled}));
}

TEST(Client, CancelsWhatIsUnderWayWhenDestroyed) {
  TinyServer server({.head = "", .piece = "", .times = 0, .silent = true});
  auto client = open_client();
  std::vector<Code> codes;
  for (int i = 0; i < 8; ++i) {
    client->fetch(loopback(server.url()), [&](Result<FetchResponse> response) {
      codes.push_back(response ? Code::internal : response.error().code);
      // A callback that asks again is answered too.
      if (codes.size() < 16) {
        client->fetch(loopback(server.url()), [&](Result<FetchResponse> again) {
          codes.push_back(again ? Code::internal : again.error().code);
        });
      }
    });
  }
  // unique_ptr::reset() would null the pointer that the callbacks use.
  delete client.get();
  static_cast<void>(client.release());
  EXPECT_EQ(codes, std::vector<Code>(16, Code::cancelled));
}

TEST(Client, RefusesACaFileThatIsNotThere) {
  ClientOptions options;
  options.ca_file = "/nonexistent/ca.pem";
  EXPECT_FALSE(Client::open(options));
}

}  // namespace
}  // namespace kubiya::http
