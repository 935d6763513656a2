// SPDX-License-Identifier: Apache-2.0
#include "http/parse.h"

#include <gtest/gtest.h>

namespace kubiya::http {
namespace {

using State = HeadResult::State;

HeadResult parse(std::string_view bytes, const HeadLimits& limits = {}) {
  Head head;
  return parse_head(bytes, limits, head);
}

const std::string kStart = "POST /mcp HTTP/1.1\r\nHost: a\r\n";

TEST(ParseHead, ReadsARequest) {
  const std::string bytes =
      "POST /mcp?x=1&y HTTP/1.1\r\nHost: example.com:8000\r\nContent-Length: 12\r\n"
      "Origin: https://a\r\nX-Thing:  spaced \t\r\nEmpty:\r\nConnection: keep-alive, Close\r\n"
      "Expect: 100-continue\r\n\r\nbody";
  Head head;
  const HeadResult result = parse_head(bytes, {}, head);
  ASSERT_EQ(result.state, State::complete);
  EXPECT_EQ(bytes.substr(result.size), "body");
  EXPECT_EQ(head.method, "POST");
  EXPECT_EQ(head.target, "/mcp?x=1&y");
  EXPECT_EQ(head.path, "/mcp");
  EXPECT_EQ(head.query, "x=1&y");
  EXPECT_EQ(head.host, "example.com:8000");
  EXPECT_EQ(head.origin, "https://a");
  EXPECT_EQ(head.content_length, 12u);
  EXPECT_FALSE(head.chunked);
  EXPECT_TRUE(head.close);
  EXPECT_TRUE(head.expects_continue);
  ASSERT_EQ(head.headers.size(), 7u);
  EXPECT_EQ(head.headers[3].value, "spaced");
  EXPECT_EQ(head.headers[4].value, "");
}

TEST(ParseHead, ForgetsThePreviousRequest) {
  Head head;
  parse_head(kStart + "Transfer-Encoding: chunked\r\nOrigin: x\r\n\r\n", {}, head);
  ASSERT_TRUE(head.chunked);
  ASSERT_EQ(parse_head("GET / HTTP/1.1\r\nHost: b\r\n\r\n", {}, head).state, State::complete);
  EXPECT_FALSE(head.chunked);
  EXPECT_TRUE(head.origin.empty());
  EXPECT_EQ(head.headers.size(), 1u);
}

TEST(ParseHead, NeedsEveryByte) {
  const std::string bytes = kStart + "Content-Length: 5\r\n\r\n";
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    ASSERT_EQ(parse(std::string_view(bytes).substr(0, size)).state, State::incomplete) << size;
  }
  EXPECT_EQ(parse(bytes).state, State::complete);
}

struct Row {
  const char* name;
  std::string bytes;
  Fault fault;
};

class RefusedHead : public testing::TestWithParam<Row> {};

TEST_P(RefusedHead, IsNamed) {
  const HeadResult result = parse(GetParam().bytes);
  EXPECT_EQ(result.state, State::fault);
  EXPECT_EQ(result.fault, GetParam().fault);
}

std::string with(std::string_view line) { return kStart + std::string(line) + "\r\n\r\n"; }
std::string request(std::string_view line) { return std::string(line) + "\r\nHost: a\r\n\r\n"; }

INSTANTIATE_TEST_SUITE_P(
    RequestLine, RefusedHead,
    testing::Values(Row{"TlsClientHello", "\x16\x03\x01\x02", Fault::request_line},
                    Row{"LeadingEmptyLine", "\r\n" + with(""), Fault::request_line},
                    Row{"LeadingSpace", " GET", Fault::request_line},
                    Row{"BareLineFeed", "GET / HTTP/1.1\nHost: a\n\n", Fault::request_line},
                    Row{"NoVersion", "GET /\r\n", Fault::request_line},
                    Row{"TwoSpaces", request("GET  / HTTP/1.1"), Fault::request_line},
                    Row{"TrailingSpace", request("GET / HTTP/1.1 "), Fault::request_line},
                    Row{"LowerCaseVersion", request("GET / http/1.1"), Fault::request_line},
                    Row{"SpaceInTarget", request("GET /a b HTTP/1.1"), Fault::request_line},
                    Row{"MethodWithSlash", request("G/T / HTTP/1.1"), Fault::request_line},
                    Row{"Http10", request("GET / HTTP/1.0"), Fault::version},
                    Row{"Http2Preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Fault::version},
                    Row{"AbsoluteForm", request("GET http://a/ HTTP/1.1"), Fault::target},
                    Row{"AuthorityForm", request("CONNECT a:443 HTTP/1.1"), Fault::target},
                    Row{"Asterisk", request("OPTIONS * HTTP/1.1"), Fault::target},
                    Row{"Fragment", request("GET /a#b HTTP/1.1"), Fault::target},
                    Row{"Backslash", request("GET /a\\b HTTP/1.1"), Fault::target},
                    Row{"RawUtf8", request("GET /\xC3\xA9 HTTP/1.1"), Fault::target},
                    Row{"Tab", request("GET /a\tb HTTP/1.1"), Fault::target},
                    Row{"Nul", request(std::string_view("GET /a\0b HTTP/1.1", 17)), Fault::target},
                    Row{"Delete", request("GET /a\x7F HTTP/1.1"), Fault::target},
                    Row{"BareCarriageReturn", request("GET /a\rb HTTP/1.1"), Fault::target}),
    [](const auto& row) { return std::string(row.param.name); });

INSTANTIATE_TEST_SUITE_P(
    Headers, RefusedHead,
    testing::Values(
        Row{"NoHost", "GET / HTTP/1.1\r\n\r\n", Fault::host},
        Row{"TwoHosts", with("Host: a"), Fault::host},
        Row{"TwoHostsFirstEmpty", "GET / HTTP/1.1\r\nHost:\r\nHost: a\r\n\r\n", Fault::host},
        Row{"HostWithPath", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", Fault::host},
        Row{"HostWithUser", "GET / HTTP/1.1\r\nHost: x@y\r\n\r\n", Fault::host},
        Row{"HostWithFragment", "GET / HTTP/1.1\r\nHost: a#\r\n\r\n", Fault::host},
        Row{"HostWithSpace", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", Fault::host},
        Row{"HostWithComma", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", Fault::host},
        Row{"LengthAndChunked", with("Content-Length: 5\r\nTransfer-Encoding: chunked"),
            Fault::both_lengths},
        Row{"TwoLengths", with("Content-Length: 5\r\nContent-Length: 6"), Fault::content_length},
        Row{"TwoEqualLengths", with("Content-Length: 5\r\nContent-Length: 5"),
            Fault::content_length},
        Row{"LengthWithSign", with("Content-Length: +5"), Fault::content_length},
        Row{"LengthNegative", with("Content-Length: -5"), Fault::content_length},
        Row{"LengthList", with("Content-Length: 5,5"), Fault::content_length},
        Row{"LengthHex", with("Content-Length: 0x5"), Fault::content_length},
        Row{"LengthPadded", with("Content-Length:  5 "), Fault::content_length},
        Row{"LengthTrailingTab", with("Content-Length: 5\t"), Fault::content_length},
        Row{"LengthTwoTo64", with("Content-Length: 18446744073709551616"), Fault::content_length},
        Row{"LengthTwentyDigits", with("Content-Length: 00000000000000000005"),
            Fault::content_length},
        Row{"LengthEmpty", with("Content-Length:"), Fault::content_length},
        Row{"EncodingTwiceInOne", with("Transfer-Encoding: chunked, chunked"),
            Fault::transfer_encoding},
        Row{"EncodingTwice", with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
            Fault::transfer_encoding},
        Row{"EncodingUnknown", with("Transfer-Encoding: xchunked"), Fault::transfer_encoding},
        Row{"EncodingIdentity", with("Transfer-Encoding: identity"), Fault::transfer_encoding},
        Row{"EncodingGzip", with("Transfer-Encoding: gzip, chunked"), Fault::transfer_encoding},
        Row{"EncodingAfterTab", with("Transfer-Encoding:\tchunked"), Fault::transfer_encoding},
        Row{"EncodingVerticalTab",
            with("Transfer-Encoding: \x0B"
                 "chunked"),
            Fault::header_line},
        Row{"Folding", with("X: a\r\n b"), Fault::header_line},
        Row{"FoldedEncoding", with("Transfer-Encoding:\r\n chunked"), Fault::transfer_encoding},
        Row{"FirstLineFolded", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", Fault::header_line},
        Row{"SpaceBeforeColon", with("X : a"), Fault::header_line},
        Row{"NoColon", with("X"), Fault::header_line},
        Row{"NoName", with(": a"), Fault::header_line},
        Row{"BareLineFeedInValue", with("X: a\nY: b"), Fault::header_line},
        Row{"BareCarriageReturnInValue", with("X: a\rY: b"), Fault::header_line},
        Row{"NulInValue", with(std::string_view("X: a\0b", 6)), Fault::header_line},
        Row{"Utf8InName", with("X\xC3\xA9: a"), Fault::header_line},
        Row{"TwinOfMcpHeader", with("Mcp_Method: tools/call"), Fault::twin_header},
        Row{"TwinOfForwarded", with("X_Forwarded_For: 127.0.0.1"), Fault::twin_header},
        Row{"TwinOfLength", with("Content_Length: 5"), Fault::twin_header},
        Row{"TwinOfApiKey", with("X-API_Key: kb-1"), Fault::twin_header},
        Row{"TwoOrigins", with("Origin: https://a\r\nOrigin: https://b"), Fault::repeated_header},
        Row{"UnknownExpectation", with("Expect: 200-ok"), Fault::expectation}),
    [](const auto& row) { return std::string(row.param.name); });

TEST(ParseHead, SeesTheTracesOfAProxy) {
  for (std::string_view name : {"Via",
                                "Forwarded",
                                "X-Forwarded-For",
                                "x-forwarded-anything",
                                "X-Forwarded",
                                "X-Real-IP",
                                "x-real-ip",
                                "CF-Connecting-IP",
                                "cf-ray",
                                "True-Client-IP",
                                "X-Client-IP",
                                "X-Cluster-Client-IP",
                                "Fastly-Client-IP",
                                "Fly-Client-IP",
                                "CDN-Loop",
                                "X-Original-URL",
                                "X-Original-Forwarded-For",
                                "X-Envoy-External-Address",
                                "X-Amzn-Trace-Id",
                                "X-Amz-Cf-Id",
                                "X-Azure-ClientIP",
                                "X-Varnish"}) {
    Head head;
    parse_head(with(std::string(name) + ": x"), {}, head);
    EXPECT_TRUE(head.forwarded) << name;
  }
  for (std::string_view name : {"X-Real", "Vial", "X-Api-Key", "Content-Type", "X-Request-Id",
                                "True", "C", "X", "CF", "Forward", "User-Agent", "Cookie"}) {
    Head head;
    parse_head(with(std::string(name) + ": x"), {}, head);
    EXPECT_FALSE(head.forwarded) << name;
  }
}

TEST(ParseHead, PassesPathsOnAsText) {
  for (std::string_view target : {"//evil", "/mcp/../admin", "/%2e%2e", "/%00", "/a;x", "/a%2Fb"}) {
    Head head;
    const std::string bytes = request("GET " + std::string(target) + " HTTP/1.1");
    ASSERT_EQ(parse_head(bytes, {}, head).state, State::complete) << target;
    EXPECT_EQ(head.path, target);
  }
}

TEST(ParseHead, AllowsUnderscoresThatImitateNothing) {
  EXPECT_EQ(parse(with("my_header: a")).state, State::complete);
}

TEST(ParseHead, LimitsTheRequestLine) {
  HeadLimits limits;
  limits.request_line_bytes = 100;
  const auto line = [](std::size_t size) {
    return request("GET /" + std::string(size - 14, 'a') + " HTTP/1.1");
  };
  EXPECT_EQ(parse(line(99), limits).state, State::complete);
  EXPECT_EQ(parse(line(100), limits).state, State::complete);
  EXPECT_EQ(parse(line(101), limits).fault, Fault::line_too_long);
  EXPECT_EQ(parse("GET /" + std::string(200, 'a'), limits).fault, Fault::line_too_long);
}

TEST(ParseHead, LimitsTheHeaderBlock) {
  HeadLimits limits;
  limits.header_bytes = 100;
  const auto block =
      [](std::size_t size) {  // "Host: a\r\n" is 9, "X: …\r\n" is 5 more than its value
        return "GET / HTTP/1.1\r\nHost: a\r\nX: " + std::string(size - 9 - 5, 'v') + "\r\n\r\n";
      };
  EXPECT_EQ(parse(block(99), limits).state, State::complete);
  EXPECT_EQ(parse(block(100), limits).state, State::complete);
  EXPECT_EQ(parse(block(101), limits).fault, Fault::headers_too_long);
  EXPECT_EQ(parse(block(5000), limits).fault, Fault::headers_too_long);
  EXPECT_EQ(parse("GET / HTTP/1.1\r\nX: " + std::string(200, 'v'), limits).fault,
            Fault::headers_too_long);
}

TEST(ParseHead, LimitsTheNumberOfHeaders) {
  const auto count = [](int number) {
    std::string bytes = "GET / HTTP/1.1\r\nHost: a\r\n";
    for (int i = 1; i < number; ++i) bytes += "X: a\r\n";
    return bytes + "\r\n";
  };
  EXPECT_EQ(parse(count(99)).state, State::complete);
  EXPECT_EQ(parse(count(100)).state, State::complete);
  EXPECT_EQ(parse(count(101)).fault, Fault::too_many_headers);
}

TEST(HostPort, TakesNamesAddressesAndPorts) {
  for (std::string_view good :
       {"a", "example.com", "example.com:443", "127.0.0.1:0", "[::1]", "[::1]:65535", "a-b_c.d"}) {
    EXPECT_TRUE(is_host_port(good)) << good;
  }
  for (std::string_view bad : {"", ":80", "a:", "a:65536", "a:x", "a:-1", "[]", "[::1", "::1",
                               "[::1]x", "[g::]", "a:1:2", "a,b", "a%2e"}) {
    EXPECT_FALSE(is_host_port(bad)) << bad;
  }
}

}  // namespace
}  // namespace kubiya::http
