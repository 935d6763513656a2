// SPDX-License-Identifier: Apache-2.0
#include "base/eight_bytes.h"

#include <gtest/gtest.h>

#include <bit>
#include <string>

namespace kubiya {
namespace {

bool is_control(std::uint8_t c) { return c < 0x20 || c == 0x7F; }

// Every byte at every place, beside bytes that carry and borrow.
TEST(EightBytes, MarksTheFirstOfItsKind) {
  for (const char beside : {'\x01', '\x1f', ' ', '!', '#', '[', ']', '~', '\x80', '\xff', 'a'}) {
    for (int at = 0; at < 8; ++at) {
      for (int byte = 0; byte < 256; ++byte) {
        std::string text(8, beside);
        text[static_cast<std::size_t>(at)] = static_cast<char>(byte);
        const std::uint64_t word = eight_bytes(text.data());
        const auto first = [&](auto test) {
          int i = 0;
          while (i < 8 && !test(static_cast<std::uint8_t>(text[static_cast<std::size_t>(i)]))) ++i;
          return i;
        };
        const auto marked = [](std::uint64_t mask) { return std::countr_zero(mask) / 8; };
        EXPECT_EQ(marked(control_bytes(word)), first(is_control));
        EXPECT_EQ(marked(bytes_equal(word, '"')), first([](std::uint8_t c) { return c == '"'; }));
        EXPECT_EQ(marked(bytes_between(word, 'A', 'Z')),
                  first([](std::uint8_t c) { return c >= 'A' && c <= 'Z'; }));
      }
    }
  }
}

TEST(EightBytes, FindsAByteAtEveryLengthAndPlace) {
  for (std::size_t size = 0; size < 140; ++size) {
    std::string text(size, 'x');
    EXPECT_FALSE(has_byte(text, control_bytes, is_control)) << size;
    for (std::size_t at = 0; at < size; ++at) {
      text[at] = '\n';
      EXPECT_TRUE(has_byte(text, control_bytes, is_control)) << size << " " << at;
      text[at] = 'x';
    }
  }
}

}  // namespace
}  // namespace kubiya
