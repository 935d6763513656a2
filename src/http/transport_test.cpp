// SPDX-License-Identifier: Apache-2.0
#include "http/transport.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <array>
#include <string>
#include <string_view>

namespace kubiya::http {
namespace {

using State = Transfer::State;

// A stream without TLS, and the other end of it.
struct Pair {
  Pair() {
    std::array<int, 2> ends{};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends.data()), 0);
    near = Transport(Descriptor(ends[0]), nullptr);
    far = Descriptor(ends[1]);
  }

  void arrive(std::string_view bytes) {
    ASSERT_EQ(::send(far.get(), bytes.data(), bytes.size(), 0), std::ssize(bytes));
  }
  Transfer receive(std::size_t size) { return near.receive(buffer.data(), size); }
  std::string_view got(Transfer transfer) const { return {buffer.data(), transfer.count}; }
  std::size_t fill() {
    const std::string bytes(64 * 1024, 'x');
    std::size_t total = 0;
    for (;;) {
      const Transfer sent = near.send(bytes.data(), bytes.size());
      if (sent.state != State::some) return total;
      total += sent.count;
    }
  }
  std::size_t drain() {
    std::string sink(64 * 1024, '\0');
    std::size_t total = 0;
    for (;;) {
      const ssize_t count = ::recv(far.get(), sink.data(), sink.size(), 0);
      if (count <= 0) return total;
      total += static_cast<std::size_t>(count);
    }
  }

  Transport near{Descriptor(), nullptr};
  Descriptor far;
  std::array<char, 256> buffer{};
};

TEST(Transport, IsNotReadBeforeAnEdge) {
  Pair pair;
  pair.arrive("hello");
  EXPECT_FALSE(pair.near.readable());
  pair.near.note(EPOLLIN | EPOLLOUT);
  EXPECT_TRUE(pair.near.readable());
  const Transfer read = pair.receive(100);
  EXPECT_EQ(read.state, State::some);
  EXPECT_EQ(pair.got(read), "hello");
}

TEST(Transport, IsNotReadAgainAfterLessThanWasAskedFor) {
  Pair pair;
  pair.arrive("hello");
  pair.near.note(EPOLLIN);
  pair.receive(100);
  EXPECT_FALSE(pair.near.readable());
}

TEST(Transport, IsReadAgainAfterAsMuchAsWasAskedFor) {
  Pair pair;
  pair.arrive("hello");
  pair.near.note(EPOLLIN);
  EXPECT_EQ(pair.got(pair.receive(5)), "hello");
  EXPECT_TRUE(pair.near.readable());
  EXPECT_EQ(pair.receive(5).state, State::blocked);
  EXPECT_FALSE(pair.near.readable());
}

// The end of input makes no edge of its own when it comes with the bytes before it.
TEST(Transport, SeesTheEndThatCameWithTheBytes) {
  Pair pair;
  pair.arrive("bye");
  ::shutdown(pair.far.get(), SHUT_WR);
  pair.near.note(EPOLLIN | EPOLLRDHUP);
  EXPECT_EQ(pair.got(pair.receive(100)), "bye");
  EXPECT_TRUE(pair.near.readable());
  EXPECT_EQ(pair.receive(100).state, State::ended);
}

TEST(Transport, SendsNothingMoreUntilThereIsRoomAgain) {
  Pair pair;
  const std::size_t first = pair.fill();
  EXPECT_GT(first, 0u);
  EXPECT_EQ(pair.drain(), first);
  EXPECT_EQ(pair.near.send("y", 1).state, State::blocked) << "no edge came";
  pair.near.note(EPOLLOUT);
  const Transfer sent = pair.near.send("y", 1);
  EXPECT_EQ(sent.state, State::some);
  EXPECT_EQ(sent.count, 1u);
}

TEST(Transport, TellsABrokenStream) {
  Pair pair;
  pair.far.reset();
  pair.near.note(EPOLLIN | EPOLLOUT | EPOLLHUP);
  EXPECT_EQ(pair.near.send("y", 1).state, State::failed);
}

TEST(Transport, FailsOnceClosed) {
  Pair pair;
  pair.near.close();
  pair.near.note(EPOLLIN);
  EXPECT_EQ(pair.receive(10).state, State::failed);
  EXPECT_EQ(pair.near.send("y", 1).state, State::failed);
}

}  // namespace
}  // namespace kubiya::http
