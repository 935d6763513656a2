// SPDX-License-Identifier: Apache-2.0
#include "app/demo_issuer.h"

#include <cstdlib>
#include <filesystem>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "app/demo_client.h"
#include "base/json.h"
#include "identity/jwt.h"
#include "identity/key_set.h"

namespace kubiya::app {
namespace {

using ::testing::HasSubstr;

class FixedClock final : public Clock {
 public:
  Wall wall() const override { return from_unix_ms(1'700'000'000'000); }
  Mono mono() const override { return Mono{}; }
};

std::uint16_t free_port() {
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  ::bind(fd, reinterpret_cast<const sockaddr*>(&address), size);
  ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
  ::close(fd);
  return ntohs(address.sin_port);
}

class DemoIssuerTest : public ::testing::Test {
 protected:
  DemoIssuerTest() {
    std::string name = std::filesystem::temp_directory_path() / "kubiya-issuer-XXXXXX";
    directory_ = ::mkdtemp(name.data());
    Result<std::unique_ptr<DemoIssuer>> issuer = open();
    EXPECT_TRUE(issuer) << issuer.error().message;
    issuer_ = std::move(*issuer);
    issuer_->start();
  }
  ~DemoIssuerTest() override {
    issuer_.reset();
    std::filesystem::remove_all(directory_);
  }

  Result<std::unique_ptr<DemoIssuer>> open() {
    DemoIssuerOptions options;
    options.port = port_ = free_port();
    options.key_file = directory_ + "/issuer.pem";
    options.audience = "http://localhost:8000/mcp";
    options.users = {{"deployer", "Dana", "dana@example.com", "read execute",
                      Secret("kb-for-the-test"), Secret("the-secret")}};
    return DemoIssuer::open(std::move(options), clock_);
  }

  LoopbackAnswer call(std::string method, std::string path, std::string body = {}) const {
    LoopbackRequest request{port_, std::move(method), std::move(path), {}, std::move(body)};
    if (!request.body.empty()) {
      request.headers = {{"Content-Type", "application/x-www-form-urlencoded"}};
    }
    const Result<LoopbackAnswer> answer = call_loopback(request);
    EXPECT_TRUE(answer) << (answer ? "" : answer.error().message);
    return answer.value_or(LoopbackAnswer{});
  }

  // The reason a verifier of this issuer's tokens gives, or "accepted".
  std::string judge(std::string_view text) const {
    const auto keys = identity::KeySet::parse(call("GET", "/jwks.json").body);
    if (!keys) return keys.error().message;
    identity::TokenRules rules;
    rules.issuer = issuer_->url();
    rules.audiences = {"http://localhost:8000/mcp"};
    rules.algorithms = {crypto::Algorithm::rs256};
    const auto token = identity::parse_token(text);
    if (!token) return std::string(identity::to_string(token.error().reason));
    const auto facts = identity::check_claims(*token, rules, clock_.wall());
    if (!facts) return std::string(identity::to_string(facts.error().reason));
    const auto signature = identity::verify_signature(*token, rules, *keys);
    if (!signature) return std::string(identity::to_string(signature.error().reason));
    EXPECT_EQ(facts->subject, "deployer");
    EXPECT_EQ(facts->scopes.text(), "execute read");
    EXPECT_EQ(facts->api_key->reveal(), "kb-for-the-test");
    return "accepted";
  }

  FixedClock clock_;
  std::string directory_;
  std::uint16_t port_ = 0;
  std::unique_ptr<DemoIssuer> issuer_;
};

TEST_F(DemoIssuerTest, PublishesBothMetadataFormsUnderItsOwnName) {
  for (const char* path :
       {"/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"}) {
    const LoopbackAnswer answer = call("GET", path);
    EXPECT_EQ(answer.status, 200) << path;
    const Result<json::value> document = parse_json(answer.body);
    ASSERT_TRUE(document) << path;
    EXPECT_EQ(find_string(document->as_object(), "issuer"), issuer_->url());
    EXPECT_EQ(find_string(document->as_object(), "jwks_uri"), issuer_->url() + "/jwks.json");
  }
  EXPECT_EQ(call("GET", "/elsewhere").status, 404);
  EXPECT_EQ(call("GET", "/token").status, 405);
}

TEST_F(DemoIssuerTest, GoodTokensPassAndBadOnesFailForTheNamedReason) {
  const std::chrono::hours hour{1};
  EXPECT_EQ(judge(issuer_->token("deployer", hour)->reveal()), "accepted");
  EXPECT_EQ(judge(issuer_->token("deployer", hour, TokenKind::expired)->reveal()), "token_expired");
  EXPECT_EQ(judge(issuer_->token("deployer", hour, TokenKind::forged)->reveal()), "bad_signature");
  EXPECT_EQ(issuer_->token("nobody", hour).error().code, Code::not_found);
}

TEST_F(DemoIssuerTest, TokenEndpointWantsTheClientSecret) {
  struct Row {
    const char* name;
    const char* body;
    int status;
    const char* says;
  };
  const Row rows[] = {
      {"good", "grant_type=client_credentials&client_id=deployer&client_secret=the-secret", 200,
       "Bearer"},
      {"wrong secret", "grant_type=client_credentials&client_id=deployer&client_secret=x", 401,
       "invalid_client"},
      {"no secret", "grant_type=client_credentials&client_id=deployer", 401, "invalid_client"},
      {"unknown client", "grant_type=client_credentials&client_id=root&client_secret=the-secret",
       401, "invalid_client"},
      {"other grant", "grant_type=password&client_id=deployer&client_secret=the-secret", 400,
       "unsupported_grant_type"},
      {"field twice", "grant_type=client_credentials&client_id=a&client_id=deployer", 400,
       "invalid_request"},
      {"bad escape", "grant_type=%zz", 400, "invalid_request"},
  };
  for (const Row& row : rows) {
    const LoopbackAnswer answer = call("POST", "/token", row.body);
    EXPECT_EQ(answer.status, row.status) << row.name;
    EXPECT_THAT(answer.body, HasSubstr(row.says)) << row.name;
    EXPECT_EQ(answer.header("cache-control"), "no-store") << row.name;
  }
  const Result<json::value> good = parse_json(call("POST", "/token", rows[0].body).body);
  ASSERT_TRUE(good);
  EXPECT_EQ(judge(*find_string(good->as_object(), "access_token")), "accepted");
}

TEST_F(DemoIssuerTest, KeepsItsKeyInAPrivateFile) {
  const std::string keys = call("GET", "/jwks.json").body;
  struct stat status{};
  ASSERT_EQ(::stat((directory_ + "/issuer.pem").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
  issuer_.reset();
  Result<std::unique_ptr<DemoIssuer>> again = open();
  ASSERT_TRUE(again) << again.error().message;
  issuer_ = std::move(*again);
  issuer_->start();
  EXPECT_EQ(call("GET", "/jwks.json").body, keys);
}

TEST(DemoForm, DecodesOrRefuses) {
  const auto form = parse_form("a=1+2&b=%41%2b&c=");
  ASSERT_TRUE(form);
  EXPECT_EQ((*form)[0].second, "1 2");
  EXPECT_EQ((*form)[1].second, "A+");
  EXPECT_EQ((*form)[2].second, "");
  for (const char* bad : {"a", "a=%4", "a=%", "a=%g0", "a=1&a=2", "a=1&&b=2"}) {
    EXPECT_FALSE(parse_form(bad)) << bad;
  }
}

TEST(DemoClient, ParsesAWholeAnswerOnly) {
  const auto answer =
      parse_answer("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nX-One: a b \r\n\r\nok");
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status, 403);
  EXPECT_EQ(answer->header("x-one"), "a b");
  EXPECT_EQ(answer->header("x-two"), "");
  EXPECT_EQ(answer->body, "ok");
  for (const char* bad :
       {"", "HTTP/1.1 200 OK\r\n", "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok",
        "HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n"}) {
    EXPECT_FALSE(parse_answer(bad)) << bad;
  }
}

}  // namespace
}  // namespace kubiya::app
