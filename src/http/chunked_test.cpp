// SPDX-License-Identifier: Apache-2.0
#include "http/chunked.h"

#include <gtest/gtest.h>

namespace kubiya::http {
namespace {

using State = ChunkedDecoder::State;

constexpr std::size_t kLimit = 1024;

TEST(ChunkedDecoder, DecodesWholeAndByteByByte) {
  const std::string bytes = "5\r\nhello\r\n00A\r\n, world123\r\n0\r\n\r\nGET /";
  const std::size_t end = bytes.size() - 5;
  ChunkedDecoder whole;
  std::string out;
  const auto step = whole.feed(bytes, out, kLimit);
  EXPECT_EQ(step.state, State::done);
  EXPECT_EQ(step.consumed, end);
  EXPECT_EQ(out, "hello, world123");

  ChunkedDecoder piecewise;
  std::string slow;
  for (std::size_t i = 0; i < end; ++i) {
    const auto one = piecewise.feed(std::string_view(bytes).substr(i, 1), slow, kLimit);
    ASSERT_EQ(one.consumed, 1u);
    ASSERT_EQ(one.state, i + 1 == end ? State::done : State::more) << i;
  }
  EXPECT_EQ(slow, out);
}

TEST(ChunkedDecoder, DecodesTheEmptyBody) {
  ChunkedDecoder decoder;
  std::string out;
  EXPECT_EQ(decoder.feed("0\r\n\r\n", out, 0).state, State::done);
  EXPECT_EQ(out, "");
}

struct Row {
  const char* name;
  std::string bytes;
};

class RefusedChunks : public testing::TestWithParam<Row> {};

TEST_P(RefusedChunks, IsAFault) {
  ChunkedDecoder decoder;
  std::string out;
  EXPECT_EQ(decoder.feed(GetParam().bytes, out, kLimit).state, State::fault);
}

INSTANTIATE_TEST_SUITE_P(
    All, RefusedChunks,
    testing::Values(Row{"NoSize", "\r\nhello"}, Row{"NotHex", "g\r\n"}, Row{"Sign", "+5\r\nhello"},
                    Row{"HexPrefix", "0x5\r\nhello"}, Row{"SpaceBefore", " 5\r\nhello"},
                    Row{"SpaceAfter", "5 \r\nhello"}, Row{"Overflow", "10000000000000005\r\nhello"},
                    Row{"TooManyZeros", "0000000000000005\r\nhello"},
                    Row{"BareLineFeedAfterSize", "5\nhello\r\n"},
                    Row{"BareCarriageReturnAfterSize", "5\rhello"},
                    Row{"MissingEndOfData", "5\r\nhello0\r\n\r\n"},
                    Row{"BareLineFeedAfterData", "5\r\nhello\n0\r\n\r\n"},
                    Row{"Extension", "5;a=b\r\nhello\r\n"},
                    Row{"Trailer", "0\r\nAuthorization: Bearer x\r\n\r\n"},
                    Row{"BareLineFeedAtEnd", "0\r\n\n"}),
    [](const auto& row) { return std::string(row.param.name); });

TEST(ChunkedDecoder, TellsTooLargeFromTheAnnouncedSize) {
  const auto feed = [](std::string_view bytes) {
    ChunkedDecoder decoder;
    std::string out;
    const auto step = decoder.feed(bytes, out, 10);
    EXPECT_LE(out.size(), 10u);
    return step.state;
  };
  EXPECT_EQ(feed("9\r\n123456789\r\n0\r\n\r\n"), State::done);
  EXPECT_EQ(feed("A\r\n1234567890\r\n0\r\n\r\n"), State::done);
  EXPECT_EQ(feed("B\r\n"), State::too_large);
  EXPECT_EQ(feed("5\r\n12345\r\n6\r\n"), State::too_large);
  EXPECT_EQ(feed("fffffffffffffff\r\n"), State::too_large);
}

TEST(ChunkedDecoder, GoesOnAfterTooLargeWhenTheLimitIsRaised) {
  ChunkedDecoder decoder;
  std::string out;
  const std::string bytes = "6\r\nabcdef\r\n0\r\n\r\n";
  const auto first = decoder.feed(bytes, out, 5);
  ASSERT_EQ(first.state, State::too_large);
  EXPECT_EQ(decoder.feed(std::string_view(bytes).substr(first.consumed), out, 6).state,
            State::done);
  EXPECT_EQ(out, "abcdef");
}

TEST(ChunkedDecoder, TellsTooLargeAgainUntilTheLimitIsRaisedFarEnough) {
  for (const std::string_view size : {"6\r\n", "fffffffffffffff\r\n"}) {
    ChunkedDecoder decoder;
    std::string out;
    ASSERT_EQ(decoder.feed(size, out, 1).state, State::too_large);
    EXPECT_EQ(decoder.feed("\n", out, 5).state, State::too_large);
    EXPECT_EQ(decoder.feed("\nabcdef", out, 5).state, State::too_large);
    EXPECT_EQ(out, "");
  }
}

}  // namespace
}  // namespace kubiya::http
