// SPDX-License-Identifier: Apache-2.0
#include "base/encoding.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "base/eight_bytes.h"

namespace kubiya {
namespace {

constexpr std::string_view kUrlAlphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
constexpr std::string_view kStdAlphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

// For each place in a quantum of four, what a character there adds to its 24 bits; kBad when it
// is none of the alphabet.
using Quantum = std::array<std::array<std::uint32_t, 256>, 4>;
constexpr std::uint32_t kBad = 1u << 24;

constexpr Quantum quantum(std::string_view alphabet) {
  Quantum table{};
  for (std::size_t place = 0; place < 4; ++place) {
    for (auto& entry : table[place]) entry = kBad;
    for (std::size_t i = 0; i < alphabet.size(); ++i) {
      table[place][static_cast<unsigned char>(alphabet[i])] =
          static_cast<std::uint32_t>(i << (18 - 6 * place));
    }
  }
  return table;
}
constexpr Quantum kUrlQuantum = quantum(kUrlAlphabet);
constexpr Quantum kStdQuantum = quantum(kStdAlphabet);

std::string encode64(std::string_view in, std::string_view alphabet) {
  std::string out;
  out.reserve((in.size() * 4 + 2) / 3);
  std::size_t i = 0;
  auto byte = [&](std::size_t k) {
    return static_cast<std::uint32_t>(static_cast<unsigned char>(in[k]));
  };
  for (; i + 3 <= in.size(); i += 3) {
    const std::uint32_t v = byte(i) << 16 | byte(i + 1) << 8 | byte(i + 2);
    out += alphabet[v >> 18];
    out += alphabet[v >> 12 & 63];
    out += alphabet[v >> 6 & 63];
    out += alphabet[v & 63];
  }
  if (in.size() - i == 1) {
    const std::uint32_t v = byte(i) << 16;
    out += alphabet[v >> 18];
    out += alphabet[v >> 12 & 63];
  } else if (in.size() - i == 2) {
    const std::uint32_t v = byte(i) << 16 | byte(i + 1) << 8;
    out += alphabet[v >> 18];
    out += alphabet[v >> 12 & 63];
    out += alphabet[v >> 6 & 63];
  }
  return out;
}

std::optional<std::string> decode64(std::string_view in, const Quantum& table) {
  const std::size_t rest = in.size() % 4;
  if (rest == 1) return std::nullopt;
  std::string out(in.size() / 4 * 3 + (rest == 0 ? 0 : rest - 1), '\0');
  const auto* from = reinterpret_cast<const unsigned char*>(in.data());
  char* to = out.data();
  for (const auto* const end = from + (in.size() - rest); from != end; from += 4) {
    const std::uint32_t bits =
        table[0][from[0]] | table[1][from[1]] | table[2][from[2]] | table[3][from[3]];
    if (bits >= kBad) return std::nullopt;
    *to++ = static_cast<char>(bits >> 16);
    *to++ = static_cast<char>(bits >> 8);
    *to++ = static_cast<char>(bits);
  }
  if (rest == 0) return out;
  std::uint32_t bits = 0;
  for (std::size_t place = 0; place < rest; ++place) bits |= table[place][from[place]];
  // The bits behind the last whole byte are zero: one spelling for each text.
  if (bits >= kBad || (bits & (rest == 2 ? 0xFFFFu : 0xFFu)) != 0) return std::nullopt;
  *to++ = static_cast<char>(bits >> 16);
  if (rest == 3) *to = static_cast<char>(bits >> 8);
  return out;
}

// Decodes one code point; returns its length or 0 when malformed (RFC 3629 §4).
std::size_t decode_utf8(std::string_view text, std::size_t at, char32_t& point) {
  auto byte = [&](std::size_t k) -> unsigned {
    return at + k < text.size() ? static_cast<unsigned char>(text[at + k]) : 0u;
  };
  auto tail = [](unsigned b) { return (b & 0xC0) == 0x80; };
  const unsigned a = byte(0);
  if (a < 0x80) {
    point = a;
    return 1;
  }
  if (a >= 0xC2 && a <= 0xDF && tail(byte(1))) {
    point = (a & 0x1F) << 6 | (byte(1) & 0x3F);
    return 2;
  }
  if ((a & 0xF0) == 0xE0 && tail(byte(1)) && tail(byte(2))) {
    point = (a & 0x0F) << 12 | (byte(1) & 0x3F) << 6 | (byte(2) & 0x3F);
    return point < 0x800 || (point >= 0xD800 && point <= 0xDFFF) ? 0 : 3;
  }
  if (a >= 0xF0 && a <= 0xF4 && tail(byte(1)) && tail(byte(2)) && tail(byte(3))) {
    point = (a & 0x07) << 18 | (byte(1) & 0x3F) << 12 | (byte(2) & 0x3F) << 6 | (byte(3) & 0x3F);
    return point < 0x10000 || point > 0x10FFFF ? 0 : 4;
  }
  return 0;
}

bool is_deceptive(char32_t c) {
  return c < 0x20 || (c >= 0x7F && c < 0xA0) || (c >= 0x200B && c <= 0x200F) ||
         (c >= 0x2028 && c <= 0x202E) || (c >= 0x2060 && c <= 0x2069) || c == 0xFEFF;
}

}  // namespace

std::string hex(std::string_view bytes) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string out;
  out.reserve(bytes.size() * 2);
  for (const char c : bytes) {
    out += digits[static_cast<unsigned char>(c) >> 4];
    out += digits[static_cast<unsigned char>(c) & 15];
  }
  return out;
}

std::optional<std::string> unhex(std::string_view text) {
  if (text.size() % 2 != 0) return std::nullopt;
  auto digit = [](char c) -> int {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return -1;
  };
  std::string out;
  for (std::size_t i = 0; i < text.size(); i += 2) {
    const int high = digit(text[i]);
    const int low = digit(text[i + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    out += static_cast<char>(high << 4 | low);
  }
  return out;
}

std::string base64url(std::string_view bytes) { return encode64(bytes, kUrlAlphabet); }
std::optional<std::string> unbase64url(std::string_view text) {
  return decode64(text, kUrlQuantum);
}

std::string base64(std::string_view bytes) {
  std::string out = encode64(bytes, kStdAlphabet);
  while (out.size() % 4 != 0) out += '=';
  return out;
}

std::optional<std::string> unbase64(std::string_view text) {
  if (text.size() % 4 != 0) return std::nullopt;
  for (int i = 0; i < 2 && !text.empty() && text.back() == '='; ++i) text.remove_suffix(1);
  return decode64(text, kStdQuantum);
}

bool is_utf8(std::string_view text) {
  char32_t point = 0;
  for (std::size_t i = 0; i < text.size();) {
    if (static_cast<unsigned char>(text[i]) < 0x80) {
      ++i;
      continue;
    }
    const std::size_t length = decode_utf8(text, i, point);
    if (length == 0) return false;
    i += length;
  }
  return true;
}

void append_utf8(std::string& out, char32_t point) {
  const auto tail = [&](int shift) { out += static_cast<char>(0x80 | (point >> shift & 0x3F)); };
  if (point < 0x80) {
    out += static_cast<char>(point);
    return;
  }
  if (point < 0x800) {
    out += static_cast<char>(0xC0 | point >> 6);
  } else if (point < 0x10000) {
    out += static_cast<char>(0xE0 | point >> 12);
    tail(6);
  } else {
    out += static_cast<char>(0xF0 | point >> 18);
    tail(12);
    tail(6);
  }
  tail(0);
}

std::string printable(std::string_view text, std::size_t max) {
  const auto is_odd = [](char c) { return c < 0x20 || c > 0x7E; };
  if (text.size() <= max && std::none_of(text.begin(), text.end(), is_odd)) {
    return std::string(text);
  }
  std::string out;
  for (std::size_t i = 0; i < text.size();) {
    char32_t point = 0;
    const std::size_t length = decode_utf8(text, i, point);
    std::string piece;
    if (length == 0) {
      piece = fmt::format("\\x{:02x}", static_cast<unsigned char>(text[i]));
    } else if (is_deceptive(point)) {
      piece = fmt::format("\\u{:04x}", static_cast<unsigned>(point));
    } else {
      piece = std::string(text.substr(i, length));
    }
    if (out.size() + piece.size() > max) return out + "…";
    out += piece;
    i += length == 0 ? 1 : length;
  }
  return out;
}

std::string printable_redacted(std::string_view text, std::size_t max) {
  constexpr std::size_t kShortest = 16;  // key ids have twelve characters, and are no secret
  const auto is_word = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  };
  std::string out;
  std::size_t taken = 0;
  for (std::size_t at = 0; at + 3 + kShortest <= text.size(); ++at) {
    const bool key = text.substr(at, 3) == "kb-";
    const bool token = text.substr(at, 3) == "eyJ";
    if ((!key && !token) || (at > 0 && is_word(text[at - 1]))) continue;
    const auto ends = [&](char c) {
      return !is_word(c) && !(token && (c == '-' || c == '_' || c == '.'));
    };
    const auto rest = text.substr(at + 3);
    const auto end = std::ranges::find_if(rest, ends);
    const auto length = static_cast<std::size_t>(end - rest.begin());
    if (length < kShortest) continue;
    out.append(text.substr(taken, at - taken)).append("[redacted]");
    taken = at + 3 + length;
    at = taken - 1;
  }
  if (taken == 0) return printable(text, max);
  return printable(out.append(text.substr(taken)), max);
}

std::uint32_t crc32(std::string_view bytes) {
  static const auto table = [] {
    std::array<std::uint32_t, 256> t{};
    for (std::uint32_t i = 0; i < 256; ++i) {
      std::uint32_t c = i;
      for (int k = 0; k < 8; ++k) c = (c & 1) ? 0xEDB88320u ^ (c >> 1) : c >> 1;
      t[i] = c;
    }
    return t;
  }();
  std::uint32_t crc = 0xFFFFFFFFu;
  for (const char b : bytes) crc = table[(crc ^ static_cast<unsigned char>(b)) & 255] ^ (crc >> 8);
  return crc ^ 0xFFFFFFFFu;
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
  }
  return out;
}

}  // namespace kubiya
