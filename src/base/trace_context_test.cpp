// SPDX-License-Identifier: Apache-2.0
#include "base/trace_context.h"

#include <gtest/gtest.h>

namespace kubiya {
namespace {

constexpr std::string_view kParent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

std::string repeated(std::string_view piece, int times) {
  std::string text;
  for (int i = 0; i < times; ++i) text += piece;
  return text;
}

TEST(TraceContext, TakesTheExampleOfTheStandard) {
  EXPECT_TRUE(is_traceparent(kParent));
  EXPECT_EQ(trace_id(kParent), "4bf92f3577b34da6a3ce929d0e0e4736");
  EXPECT_EQ(parent_id(kParent), "00f067aa0ba902b7");
  const auto context = read_trace_context(kParent, "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE",
                                          "userId=alice,region = eu ; secure");
  EXPECT_EQ(context.parent, kParent);
  EXPECT_EQ(context.state, "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE");
  EXPECT_EQ(context.baggage, "userId=alice,region = eu ; secure");
}

TEST(TraceContext, KnowsABadParent) {
  for (const std::string_view bad :
       {"", "00", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01x",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "0x-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e473\n-00f067aa0ba902b7-01",
        "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01more",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0g"}) {
    EXPECT_FALSE(is_traceparent(bad)) << bad;
    EXPECT_TRUE(read_trace_context(bad, "a=b", "").empty()) << bad;
  }
}

TEST(TraceContext, SpeaksVersion00WhateverItHeard) {
  const auto later = [](std::string_view flags, std::string_view more) {
    const std::string text = "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-" +
                             std::string(flags) + std::string(more);
    return read_trace_context(text, "", "").parent;
  };
  EXPECT_EQ(later("01", "-what the future will be like"), kParent);
  EXPECT_EQ(later("ff", ""), kParent);
  EXPECT_TRUE(later("02", "").ends_with("-00"));
}

TEST(TraceContext, HasNoStateWithoutAParent) {
  EXPECT_EQ(read_trace_context("", "a=b", "").state, "");
  EXPECT_EQ(read_trace_context("", "", "a=b").baggage, "a=b");
}

TEST(TraceContext, DropsAStateThatIsMalformedOrLong) {
  const auto kept = [](const std::string& state) {
    return !read_trace_context(kParent, state, "").state.empty();
  };
  for (const std::string good : {"a=b", "a=b,", " a=b , c=d", "fw529a3039@dt=FfffffffF", "1a=x y"})
    EXPECT_TRUE(kept(good)) << good;
  EXPECT_TRUE(kept(repeated("a=b,", 31) + "a=b"));
  EXPECT_TRUE(kept("a=" + std::string(256, 'x')));
  for (const std::string bad :
       {"a", "=b", "A=b", "a=b=c", "a=\x01", "a=b\n", "a b=c", "a=\xc3\xa9"})
    EXPECT_FALSE(kept(bad)) << bad;
  EXPECT_FALSE(kept(repeated("a=b,", 32) + "a=b"));
  EXPECT_FALSE(kept("a=" + std::string(257, 'x')));
  EXPECT_FALSE(kept(repeated("a=" + std::string(200, 'x') + ",", 3)));
}

TEST(TraceContext, DropsBaggageThatIsMalformedOrLong) {
  const auto kept = [](const std::string& baggage) {
    return !read_trace_context("", "", baggage).baggage.empty();
  };
  for (const std::string good : {"a=b", "a=", "a=b;p;q=1", "a=%20%C3%A9", "a=b=c"})
    EXPECT_TRUE(kept(good)) << good;
  EXPECT_TRUE(kept(repeated("a=b,", 63) + "a=b"));
  EXPECT_TRUE(kept("a=" + std::string(8190, 'x')));
  for (const std::string bad :
       {"a", "=b", "a=b c", "a=b,", "a=\"b\"", "a=b\\c", "a=b;;", "a b=c", "a=\n", "a=\xc3\xa9"})
    EXPECT_FALSE(kept(bad)) << bad;
  EXPECT_FALSE(kept(repeated("a=b,", 64) + "a=b"));
  EXPECT_FALSE(kept("a=" + std::string(8191, 'x')));
}

}  // namespace
}  // namespace kubiya
