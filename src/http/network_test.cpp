// SPDX-License-Identifier: Apache-2.0
#include "http/network.h"

#include <gtest/gtest.h>

#include "http/forwarded.h"

namespace kubiya::http {
namespace {

struct Row {
  const char* block;
  const char* inside;
  const char* outside;
};

class Block : public testing::TestWithParam<Row> {};

TEST_P(Block, HoldsItsAddressesOnly) {
  const auto set = AddressSet::parse({GetParam().block});
  ASSERT_TRUE(set) << set.error().message;
  EXPECT_TRUE(set->contains(*parse_address(GetParam().inside)));
  EXPECT_FALSE(set->contains(*parse_address(GetParam().outside)));
}

INSTANTIATE_TEST_SUITE_P(
    All, Block,
    testing::Values(Row{"10.0.0.0/8", "10.255.255.255", "11.0.0.0"},
                    Row{"10.0.0.0/8", "::ffff:10.1.2.3", "::10.1.2.3"},
                    Row{"192.0.2.7", "192.0.2.7", "192.0.2.6"},
                    Row{"192.0.2.128/25", "192.0.2.128", "192.0.2.127"},
                    Row{"0.0.0.0/0", "203.0.113.1", "2001:db8::1"},
                    Row{"2001:db8::/33", "2001:db8:7fff::1", "2001:db8:8000::1"},
                    Row{"::1", "::1", "127.0.0.1"}, Row{"::/1", "7fff::1", "8000::"}),
    [](const auto& row) { return "Row" + std::to_string(row.index); });

}  // namespace

TEST(AddressSet, RefusesWhatIsNotABlock) {
  for (const char* entry : {"", "proxy", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/", "10.0.0.1/8",
                            "10.0.0/8", "::1/129", "[::1]", "10.0.0.0/8/8", "fe80::1%eth0"}) {
    const auto set = AddressSet::parse({entry});
    ASSERT_FALSE(set) << entry;
    EXPECT_EQ(set.error().code, Code::invalid);
  }
}

TEST(Address, KnowsLoopback) {
  for (const char* text : {"127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1"}) {
    EXPECT_TRUE(parse_address(text)->is_loopback()) << text;
  }
  for (const char* text : {"128.0.0.1", "0.0.0.0", "::", "::2"}) {
    EXPECT_FALSE(parse_address(text)->is_loopback()) << text;
  }
  EXPECT_EQ(parse_address("::ffff:192.0.2.1")->text(), "192.0.2.1");
}

namespace {

struct Hop {
  const char* name;
  std::vector<Header> headers;
  const char* client;  // "" when unknown
  int secure;          // -1 when unknown
  const char* host;
  Forwarding family = Forwarding::x_forwarded;
};

class Forwarded : public testing::TestWithParam<Hop> {};

TEST_P(Forwarded, IsReadFromTheNearestHopOutwards) {
  const auto trusted = AddressSet::parse({"10.0.0.0/8"});
  const ForwardedFacts facts = read_forwarded(GetParam().headers, *trusted, GetParam().family);
  EXPECT_EQ(facts.client ? facts.client->text() : "", GetParam().client);
  EXPECT_EQ(facts.secure ? int{*facts.secure} : -1, GetParam().secure);
  EXPECT_EQ(facts.host, GetParam().host);
}

INSTANTIATE_TEST_SUITE_P(
    All, Forwarded,
    testing::Values(
        Hop{"Nothing", {}, "", -1, ""},
        Hop{"OneHop",
            {{"X-Forwarded-For", "192.0.2.1"},
             {"X-Forwarded-Proto", "https"},
             {"X-Forwarded-Host", "mcp.example.com"}},
            "192.0.2.1",
            1,
            "mcp.example.com"},
        Hop{"ForgedFirstHop", {{"X-Forwarded-For", "127.0.0.1, 192.0.2.1"}}, "192.0.2.1", -1, ""},
        Hop{"ForgedFirstLine",
            {{"X-Forwarded-For", "127.0.0.1"}, {"X-Forwarded-For", "192.0.2.1"}},
            "192.0.2.1",
            -1,
            ""},
        Hop{"TrustedHopsSkipped",
            {{"x-forwarded-for", "192.0.2.1, 10.1.1.1"}},
            "192.0.2.1",
            -1,
            ""},
        Hop{"GarbageEndsTheWalk",
            {{"X-Forwarded-For", "192.0.2.1, unknown, 10.1.1.1"}},
            "10.1.1.1",
            -1,
            ""},
        Hop{"WithPorts", {{"X-Forwarded-For", "[2001:db8::1]:99"}}, "2001:db8::1", -1, ""},
        Hop{"ForgedProto", {{"X-Forwarded-Proto", "https, http"}}, "", 0, ""},
        Hop{"IllegalHost", {{"X-Forwarded-Host", "a/b"}}, "", -1, ""},
        Hop{"Rfc7239",
            {{"Forwarded", "for=192.0.2.9, for=\"[2001:db8::1]:1\";proto=https;host=\"a:1\""}},
            "2001:db8::1",
            1,
            "a:1",
            Forwarding::forwarded},
        Hop{"ForwardedOfTheClient",
            {{"Forwarded", "for=192.0.2.9;proto=https;host=evil"},
             {"X-Forwarded-For", "192.0.2.1"}},
            "192.0.2.1",
            -1,
            ""},
        Hop{"OnlyForwardedOfTheClient",
            {{"Forwarded", "for=192.0.2.9;proto=https;host=evil"}},
            "",
            -1,
            ""},
        Hop{"XForwardedOfTheClient",
            {{"Forwarded", "for=192.0.2.9"},
             {"X-Forwarded-For", "192.0.2.1"},
             {"X-Forwarded-Proto", "https"},
             {"X-Forwarded-Host", "evil"}},
            "192.0.2.9",
            -1,
            "",
            Forwarding::forwarded}),
    [](const auto& row) { return std::string(row.param.name); });

}  // namespace
}  // namespace kubiya::http
