// SPDX-License-Identifier: Apache-2.0
//
// Questions about eight bytes at once. Each answer is zero for "none of them"; otherwise its
// lowest set top bit marks the first such byte.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace kubiya {

inline constexpr std::uint64_t kOnes = 0x0101010101010101u;
inline constexpr std::uint64_t kTopBits = 0x8080808080808080u;

inline std::uint64_t eight_bytes(const char* bytes) {
  std::uint64_t word = 0;
  std::memcpy(&word, bytes, sizeof word);
  return word;
}

// Bytes below `limit`, at most 0x80.
constexpr std::uint64_t bytes_below(std::uint64_t word, unsigned char limit) {
  return (word - kOnes * limit) & ~word & kTopBits;
}

constexpr std::uint64_t bytes_equal(std::uint64_t word, unsigned char byte) {
  return bytes_below(word ^ kOnes * byte, 1);
}

// Control bytes of ASCII, DEL included.
constexpr std::uint64_t control_bytes(std::uint64_t word) {
  return bytes_below(word, 0x20) | bytes_equal(word, 0x7F);
}

// Bytes from `low` to `high`, both of ASCII. Exact for every byte, not only for the first.
constexpr std::uint64_t bytes_between(std::uint64_t word, unsigned char low, unsigned char high) {
  const std::uint64_t ascii = word & ~kTopBits;
  const std::uint64_t from_low = ascii + kOnes * (0x80u - low);
  const std::uint64_t beyond_high = ascii + kOnes * (0x7Fu - high);
  return from_low & ~beyond_high & ~word & kTopBits;
}

// With A–Z of ASCII made small, everything else as it was.
constexpr std::uint64_t lower_case(std::uint64_t word) {
  return word | bytes_between(word, 'A', 'Z') >> 2;
}

// Whether a byte of `text` is one that `of_word` marks among eight and `of_byte` tells by itself.
// Texts of sixteen bytes and more go sixteen side by side, without a way out of the loop, of which
// the compiler makes vectors; the last sixteen may overlap those before.
template <class OfWord, class OfByte>
bool has_byte(std::string_view text, OfWord of_word, OfByte of_byte) {
  constexpr std::size_t kSide = 16;
  const std::size_t size = text.size();
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(text.data());
  if (size >= kSide) {
    char found[kSide] = {};
    const auto look = [&](std::size_t at) {
      for (std::size_t i = 0; i < kSide; ++i) {
        found[i] = static_cast<char>(found[i] | static_cast<char>(of_byte(bytes[at + i])));
      }
    };
    look(size - kSide);
    for (std::size_t at = 0; at + kSide < size; at += kSide) look(at);
    return (eight_bytes(found) | eight_bytes(found + 8)) != 0;
  }
  if (size >= 8) {
    const char* last = text.data() + size - 8;
    return (of_word(eight_bytes(text.data())) | of_word(eight_bytes(last))) != 0;
  }
  std::uint8_t found = 0;
  for (std::size_t at = 0; at < size; ++at) found |= static_cast<std::uint8_t>(of_byte(bytes[at]));
  return found != 0;
}

}  // namespace kubiya
