// SPDX-License-Identifier: Apache-2.0
#include "mcp/message.h"

#include <gtest/gtest.h>

namespace kubiya::mcp {
namespace {

constexpr const char* kMeta =
    R"("_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}})";

struct Sent {
  std::string body;
  std::vector<std::string_view> version, method, name;
};

MirroredHeaders::Field field(const std::vector<std::string_view>& values) {
  return {values.empty() ? std::string_view() : values.front(), values.size()};
}

// The era and version of an accepted message, or the code of the refusal.
std::string verdict(const Sent& sent) {
  JsonText body;
  if (!body.read(sent.body)) return "parse";
  const Decoded decoded =
      decode(body.root(), {field(sent.version), field(sent.method), field(sent.name)});
  if (!decoded.message) return std::to_string(decoded.message.error().code);
  const Message& m = *decoded.message;
  return std::string(m.era == Era::modern ? "modern " : "legacy ") + std::string(m.version) +
         (m.kind == Message::Kind::notification ? " notification"
          : m.kind == Message::Kind::response   ? " response"
                                                : "");
}

std::string modern(std::string_view method, std::string_view more = "") {
  return R"({"jsonrpc":"2.0","id":1,"method":")" + std::string(method) + R"(","params":{)" + kMeta +
         std::string(more) + "}}";
}

struct Row {
  const char* name;
  Sent sent;
  const char* expected;
};

class Decode : public testing::TestWithParam<Row> {};

TEST_P(Decode, FollowsTheLadder) {
  EXPECT_EQ(verdict(GetParam().sent), GetParam().expected) << GetParam().name;
}

const std::string kWrongVersionMeta =
    R"({"jsonrpc":"2.0","id":1,"method":"server/discover","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"v999.0.0","io.modelcontextprotocol/clientCapabilities":{}}}})";

INSTANTIATE_TEST_SUITE_P(
    Ladder, Decode,
    testing::Values(
        Row{"ModernDiscover",
            {modern("server/discover"), {"2026-07-28"}, {"server/discover"}, {}},
            "modern 2026-07-28"},
        Row{"ModernCallWithName",
            {modern("tools/call", R"(,"name":"whoami")"),
             {"2026-07-28"},
             {"tools/call"},
             {"whoami"}},
            "modern 2026-07-28"},
        Row{"ModernCallWithBase64Name",
            {modern("tools/call", R"(,"name":"whoami")"),
             {"2026-07-28"},
             {"tools/call"},
             {"=?base64?d2hvYW1p?="}},
            "modern 2026-07-28"},
        Row{"ModernInitializeIsModernAndUnknownLater",
            {modern("initialize"), {"2026-07-28"}, {"initialize"}, {}},
            "modern 2026-07-28"},
        Row{"LegacyInitialize",
            {R"({"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25"}})",
             {},
             {},
             {}},
            "legacy 2025-03-26"},
        Row{"LegacyInitializeNegotiatesWhateverTheHeaderSays",
            {R"({"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2024-11-05"}})",
             {"2024-11-05"},
             {},
             {}},
            "legacy 2025-03-26"},
        Row{"LegacyWithHeader",
            {R"({"jsonrpc":"2.0","id":"a","method":"ping"})", {"2025-11-25"}, {}, {}},
            "legacy 2025-11-25"},
        Row{"LegacyNotification",
            {R"({"jsonrpc":"2.0","method":"notifications/initialized"})", {"2025-06-18"}, {}, {}},
            "legacy 2025-06-18 notification"},
        Row{"D31Batch", {"[]", {}, {}, {}}, "-32600"},
        Row{"D32IdNull", {R"({"jsonrpc":"2.0","id":null,"method":"ping"})", {}, {}, {}}, "-32600"},
        Row{"D32IdFloat", {R"({"jsonrpc":"2.0","id":1.5,"method":"ping"})", {}, {}, {}}, "-32600"},
        Row{"D32IdObject", {R"({"jsonrpc":"2.0","id":{},"method":"ping"})", {}, {}, {}}, "-32600"},
        Row{"D32IdHuge",
            {R"({"jsonrpc":"2.0","id":")" + std::string(2000, 'x') + R"(","method":"ping"})",
             {},
             {},
             {}},
            "-32600"},
        Row{"D33Response",
            {R"({"jsonrpc":"2.0","id":1,"result":{}})", {}, {}, {}},
            "legacy 2025-03-26 response"},
        Row{"D33ResponseWithoutId", {R"({"jsonrpc":"2.0","result":{}})", {}, {}, {}}, "-32600"},
        Row{"D33ResponseWithBoth",
            {R"({"jsonrpc":"2.0","id":1,"result":{},"error":{}})", {}, {}, {}},
            "-32600"},
        Row{"RequestWithoutId", {R"({"jsonrpc":"2.0","method":"ping"})", {}, {}, {}}, "-32600"},
        Row{"D34DuplicateMember",
            {R"({"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/list"})", {}, {}, {}},
            "parse"},
        Row{"D35CaseVariantMember",
            {R"({"jsonrpc":"2.0","id":1,"Method":"ping"})", {}, {}, {}},
            "-32600"},
        Row{"NoJsonrpc", {R"({"id":1,"method":"ping"})", {}, {}, {}}, "-32600"},
        Row{"ParamsArray",
            {R"({"jsonrpc":"2.0","id":1,"method":"ping","params":[]})", {}, {}, {}},
            "-32600"},
        Row{"D38VersionHeaderMissing",
            {modern("server/discover"), {}, {"server/discover"}, {}},
            "-32020"},
        Row{"D38VersionHeaderDiffers",
            {kWrongVersionMeta, {"2026-07-28"}, {"server/discover"}, {}},
            "-32020"},
        Row{"D38VersionHeaderTwice",
            {modern("server/discover"), {"2026-07-28", "2026-07-28"}, {"server/discover"}, {}},
            "-32020"},
        Row{"D38MethodHeaderMissing",
            {modern("server/discover"), {"2026-07-28"}, {}, {}},
            "-32020"},
        Row{"D38MethodHeaderUpperCase",
            {modern("tools/list"), {"2026-07-28"}, {"TOOLS/LIST"}, {}},
            "-32020"},
        Row{"D38NameHeaderMissing",
            {modern("tools/call", R"(,"name":"whoami")"), {"2026-07-28"}, {"tools/call"}, {}},
            "-32020"},
        Row{"D38NameHeaderDiffers",
            {modern("tools/call", R"(,"name":"whoami")"),
             {"2026-07-28"},
             {"tools/call"},
             {"other"}},
            "-32020"},
        Row{"D38NameBadPadding",
            {modern("tools/call", R"(,"name":"whoami")"),
             {"2026-07-28"},
             {"tools/call"},
             {"=?base64?d2hvYW1pIQ?="}},
            "-32020"},
        Row{"D38NameWithRawNonAscii",
            {modern("tools/call", R"(,"name":"caf\u00e9")"),
             {"2026-07-28"},
             {"tools/call"},
             {"caf\u00e9"}},
            "-32020"},
        Row{"LogLevelOfAnotherWord",
            {R"({"jsonrpc":"2.0","id":1,"method":"x","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{},"io.modelcontextprotocol/logLevel":"loud"}}})",
             {"2026-07-28"},
             {"x"},
             {}},
            "-32602"},
        Row{"D38SentinelCaseChangedIsLiteral",
            {modern("tools/call", R"(,"name":"whoami")"),
             {"2026-07-28"},
             {"tools/call"},
             {"=?BASE64?d2hvYW1p?="}},
            "-32020"},
        Row{"D39UnsupportedVersion",
            {kWrongVersionMeta, {"v999.0.0"}, {"server/discover"}, {}},
            "-32022"},
        Row{"D39MetaMissing",
            {R"({"jsonrpc":"2.0","id":1,"method":"server/discover"})",
             {"2026-07-28"},
             {"server/discover"},
             {}},
            "-32602"},
        Row{"D39CapabilitiesMissing",
            {R"({"jsonrpc":"2.0","id":1,"method":"server/discover","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}})",
             {"2026-07-28"},
             {"server/discover"},
             {}},
            "-32602"},
        Row{"InitializeUnderAModernHeader",
            {R"({"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25"}})",
             {"2026-07-28"},
             {},
             {}},
            "-32020"},
        Row{"LegacyUnknownVersionHeader",
            {R"({"jsonrpc":"2.0","id":1,"method":"ping"})", {"1999-01-01"}, {}, {}},
            "-32022"},
        Row{"ProgressTokenOfWrongType",
            {R"({"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"_meta":{"progressToken":[]},"name":"x"}})",
             {"2025-11-25"},
             {},
             {}},
            "-32602"}),
    [](const auto& row) { return std::string(row.param.name); });

MirroredHeaders of_version(std::string_view version) {
  MirroredHeaders headers;
  headers.version = {version, 1};
  return headers;
}

TEST(SessionVersion, CountsWhereThereIsNoHeader) {
  JsonText body;
  ASSERT_TRUE(body.read(R"({"jsonrpc":"2.0","id":1,"method":"ping"})"));
  EXPECT_EQ(decode(body.root(), {}, "2025-11-25").message->version, "2025-11-25");
  const MirroredHeaders older = of_version("2025-06-18");
  EXPECT_EQ(decode(body.root(), older, "2025-11-25").message->version, "2025-06-18");
}

TEST(Batches, AreOfOneRevisionOnly) {
  EXPECT_FALSE(allows_batch({}, ""));
  EXPECT_FALSE(allows_batch({}, "2025-11-25"));
  EXPECT_TRUE(allows_batch({}, "2025-03-26"));
  EXPECT_TRUE(allows_batch(of_version("2025-03-26"), ""));
  EXPECT_FALSE(allows_batch(of_version("2025-06-18"), "2025-03-26"));
}

TEST(WithoutHeaders, TheBodyAloneCounts) {
  const std::string text = modern("tools/call", R"(,"name":"whoami")");
  JsonText body;
  ASSERT_TRUE(body.read(text));
  MirroredHeaders none;
  none.carried = false;
  EXPECT_TRUE(decode(body.root(), none).message);
}

TEST(MessageId, IsKnownEvenWhenTheRestIsRefused) {
  JsonText body;
  ASSERT_TRUE(body.read(R"({"jsonrpc":"2.0","id":"abc","method":"server/discover"})"));
  const Decoded decoded = decode(body.root(), {{"2026-07-28", 1}, {}, {}});
  ASSERT_FALSE(decoded.message);
  EXPECT_EQ(decoded.id, "\"abc\"");
}

TEST(Trace, IsTakenFromEitherEraAndNeverInTheWay) {
  constexpr std::string_view kParent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
  const auto trace = [](const std::string& meta, bool modern_era) {
    const std::string era = modern_era
                                ? R"("io.modelcontextprotocol/protocolVersion":"2026-07-28",)"
                                  R"("io.modelcontextprotocol/clientCapabilities":{},)"
                                : "";
    const std::string text =
        R"({"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"whoami","_meta":{)" +
        era + meta + "}}}";
    JsonText body;
    EXPECT_TRUE(body.read(text));
    MirroredHeaders headers;
    headers.carried = false;
    const Decoded decoded = decode(body.root(), headers);
    EXPECT_TRUE(decoded.message) << text;
    return decoded.message ? trace_of(*decoded.message) : TraceContext{};
  };
  for (const bool modern_era : {true, false}) {
    const std::string parent = R"("traceparent":")" + std::string(kParent) + '"';
    const auto whole = trace(parent + R"(,"tracestate":"a=b","baggage":"c=d")", modern_era);
    EXPECT_EQ(whole.parent, kParent);
    EXPECT_EQ(whole.state, "a=b");
    EXPECT_EQ(whole.baggage, "c=d");
    for (const char* bad :
         {R"("traceparent":7,"tracestate":[])", R"("traceparent":"x","tracestate":"a=b")",
          R"("traceparent":{},"baggage":"\n")", R"("tracestate":"a=b")"}) {
      EXPECT_TRUE(trace(bad, modern_era).empty()) << bad;
    }
  }
}

TEST(ContentType, AcceptsJsonOnly) {
  for (const char* good : {"application/json", "Application/JSON; charset=utf-8",
                           "application/json;charset=\"UTF-8\""}) {
    EXPECT_TRUE(is_json_content(good)) << good;
  }
  for (const char* bad : {"", "text/plain", "application/json; charset=utf-16", "application/jsonx",
                          "application/json; x=y"}) {
    EXPECT_FALSE(is_json_content(bad)) << bad;
  }
}

TEST(Accept, IsLenientAboutWildcardsAndAbsence) {
  EXPECT_TRUE(parse_accept("").json);
  EXPECT_TRUE(parse_accept("*/*").events);
  const auto both = parse_accept("application/json, text/event-stream;q=0.9");
  EXPECT_TRUE(both.json && both.events);
  const auto refused = parse_accept("application/json;q=0, text/event-stream; Q=0.000, */*;q=0");
  EXPECT_FALSE(refused.json || refused.events);
  EXPECT_TRUE(parse_accept("application/json;q=0.001").json);
  const auto neither = parse_accept("text/html, image/png");
  EXPECT_FALSE(neither.json || neither.events);
}

}  // namespace
}  // namespace kubiya::mcp
