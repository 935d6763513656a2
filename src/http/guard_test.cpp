// SPDX-License-Identifier: Apache-2.0
#include "http/guard.h"

#include <gtest/gtest.h>

namespace kubiya::http {
namespace {

using Kind = GuardVerdict::Kind;

Guard rules() {
  Guard guard;
  guard.hosts = {"mcp.example.com"};
  guard.origins = {"https://app.example.com"};
  guard.public_prefixes = {"/.well-known/"};
  return guard;
}

struct Row {
  const char* name;
  ListenerKind listener;
  std::string_view host;
  std::string_view origin;
  Kind kind;
};

constexpr auto kLocal = ListenerKind::loopback;
constexpr auto kOpen = ListenerKind::reachable;

class GuardTable : public testing::TestWithParam<Row> {};

TEST_P(GuardTable, Judges) {
  const Row& row = GetParam();
  const GuardRules guard(rules(), row.listener);
  GuardInput input{"POST", "/mcp", row.host, row.origin, false, "", ""};
  const GuardVerdict verdict = guard.judge(input);
  EXPECT_EQ(verdict.kind, row.kind);
  EXPECT_EQ(verdict.allow_origin, row.kind == Kind::pass ? row.origin : "");
  // A preflight passes exactly where the request would.
  input.method = "OPTIONS";
  input.requested_method = "POST";
  const bool asks = !row.origin.empty() && row.kind == Kind::pass;
  EXPECT_EQ(guard.judge(input).kind, asks ? Kind::preflight : row.kind);
}

INSTANTIATE_TEST_SUITE_P(
    All, GuardTable,
    testing::Values(
        Row{"ConfiguredHost", kOpen, "mcp.example.com", "", Kind::pass},
        Row{"ConfiguredHostWithPortAndCase", kOpen, "MCP.example.com:8443", "", Kind::pass},
        Row{"ForeignHost", kLocal, "evil.example", "", Kind::bad_host},
        Row{"SuffixHost", kOpen, "evil.mcp.example.com", "", Kind::bad_host},
        Row{"PrefixHost", kOpen, "mcp.example.com.evil.example", "", Kind::bad_host},
        Row{"LoopbackNames", kLocal, "localhost:8000", "", Kind::pass},
        Row{"LoopbackV4", kLocal, "127.0.0.1", "", Kind::pass},
        Row{"LoopbackV6", kLocal, "[::1]:8000", "", Kind::pass},
        Row{"LoopbackNameOnOpenListener", kOpen, "localhost", "", Kind::bad_host},
        Row{"AllowedOrigin", kOpen, "mcp.example.com", "https://app.example.com", Kind::pass},
        Row{"AllowedOriginWrongHost", kOpen, "other", "https://app.example.com", Kind::bad_host},
        Row{"OriginWithOtherScheme", kOpen, "mcp.example.com", "http://app.example.com",
            Kind::bad_origin},
        Row{"OriginWithPort", kOpen, "mcp.example.com", "https://app.example.com:444",
            Kind::bad_origin},
        Row{"ForeignOrigin", kLocal, "localhost", "https://evil.example", Kind::bad_origin},
        Row{"NullOrigin", kLocal, "localhost", "null", Kind::bad_origin},
        Row{"OwnOrigin", kOpen, "mcp.example.com:80", "http://mcp.example.com:80", Kind::pass},
        Row{"OwnOriginOtherScheme", kOpen, "mcp.example.com", "https://mcp.example.com",
            Kind::bad_origin},
        Row{"LoopbackOrigin", kLocal, "127.0.0.1:8000", "https://localhost:5173", Kind::pass},
        Row{"LoopbackOriginOnOpenListener", kOpen, "mcp.example.com", "http://localhost:5173",
            Kind::bad_origin},
        Row{"LoopbackLookalike", kLocal, "localhost", "http://localhost.evil.example",
            Kind::bad_origin},
        Row{"LoopbackUserinfo", kLocal, "localhost", "http://localhost:1@evil.example",
            Kind::bad_origin},
        Row{"OtherSchemeOrigin", kLocal, "localhost", "file://localhost", Kind::bad_origin}),
    [](const auto& row) { return std::string(row.param.name); });

TEST(Guard, StarAcceptsEveryHost) {
  Guard guard;
  guard.hosts = {"*"};
  const GuardRules any(guard, kOpen);
  EXPECT_EQ(any.judge({"GET", "/", "whatever:1", "", false, "", ""}).kind, Kind::pass);
}

TEST(Guard, WithoutHostsRefusesEverybodyOnAnOpenListener) {
  const GuardRules none(Guard{}, kOpen);
  EXPECT_EQ(none.judge({"GET", "/", "a", "", false, "", ""}).kind, Kind::bad_host);
}

TEST(Guard, PublicPathsAreForEveryOrigin) {
  const GuardRules guard(rules(), kOpen);
  GuardInput input{"GET", "/.well-known/x", "mcp.example.com", "https://evil.example", true, "",
                   ""};
  EXPECT_EQ(guard.judge(input).kind, Kind::pass);
  EXPECT_EQ(guard.judge(input).allow_origin, "*");
  for (const char* origin : {"", "null"}) {
    input.origin = origin;
    EXPECT_EQ(guard.judge(input).kind, Kind::pass) << origin;
    EXPECT_EQ(guard.judge(input).allow_origin, "*") << origin;
  }
  input.path = "/mcp";
  EXPECT_EQ(guard.judge(input).kind, Kind::bad_origin);
  input.origin = "";
  EXPECT_EQ(guard.judge(input).allow_origin, "");
  input.host = "evil.example";
  EXPECT_EQ(guard.judge(input).kind, Kind::bad_host);
}

TEST(Guard, BrowsersMayReadWhatARefusalSays) {
  std::string one;
  append_cors(one, "https://app.example.com");
  EXPECT_NE(one.find("Vary: Origin\r\n"), one.npos);
  for (const char* name : {"WWW-Authenticate", "X-Request-Id", "Retry-After", "DPoP-Nonce"}) {
    EXPECT_NE(one.find(name, one.find("Access-Control-Expose-Headers: ")), one.npos) << name;
  }
  std::string all;
  append_cors(all, "*");
  EXPECT_EQ(all.find("Vary"), all.npos) << "one answer for everybody";
}

TEST(Guard, PreflightNamesTheOriginAndTheHeaders) {
  const GuardVerdict verdict{Kind::preflight, "https://app.example.com"};
  const Response response =
      preflight_answer(verdict, "content-type, Mcp-Param-Region,mcp-param-b\r\n, mcp-other");
  EXPECT_EQ(response.status, 204);
  const std::string& lines = response.headers;
  EXPECT_NE(lines.find("Access-Control-Allow-Origin: https://app.example.com\r\n"), lines.npos);
  EXPECT_NE(lines.find("authorization, dpop, x-api-key, content-type"), lines.npos);
  EXPECT_NE(lines.find("idempotency-key, mcp-param-region\r\n"), lines.npos);
  EXPECT_NE(lines.find("Access-Control-Max-Age: 600\r\n"), lines.npos);
}

}  // namespace
}  // namespace kubiya::http
