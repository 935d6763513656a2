// SPDX-License-Identifier: Apache-2.0
//
// Text encodings, all strict: one spelling per value, anything else is refused.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/eight_bytes.h"

namespace kubiya {

std::string hex(std::string_view bytes);
std::optional<std::string> unhex(std::string_view text);

// RFC 4648 §5, no padding. Decoding refuses padding, whitespace, the standard
// alphabet, length 1 mod 4 and non-zero unused bits (non-canonical spellings).
std::string base64url(std::string_view bytes);
std::optional<std::string> unbase64url(std::string_view text);

// RFC 4648 §4, padded; decoding is as strict.
std::string base64(std::string_view bytes);
std::optional<std::string> unbase64(std::string_view text);

// True for well-formed UTF-8 (RFC 3629: no surrogates, no overlong forms).
bool is_utf8(std::string_view text);
// Appends one Unicode scalar value.
void append_utf8(std::string& out, char32_t point);

// Client-controlled text made safe for a log line or a message: control and
// bidirectional characters and invalid UTF-8 escaped, cut to `max` bytes.
std::string printable(std::string_view text, std::size_t max = 64);

// The same for places where no credential belongs, in case one is there all the same: what looks
// like a token ("eyJ…") or a Kubiya key ("kb-…") becomes "[redacted]".
std::string printable_redacted(std::string_view text, std::size_t max = 64);

// CRC-32 (IEEE), for telling a mistyped key from a wrong one without a lookup.
std::uint32_t crc32(std::string_view bytes);

// ASCII only; the locale plays no part. Here, because every header of every request is asked, and
// most differ in their first letter.
inline bool iequals(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  if (a.empty()) return true;
  if (((a[0] ^ b[0]) & ~0x20) != 0) return false;
  const auto eight_alike = [&](std::size_t at) {
    return lower_case(eight_bytes(a.data() + at)) == lower_case(eight_bytes(b.data() + at));
  };
  if (a.size() >= 8) {
    for (std::size_t at = 0; at + 8 < a.size(); at += 8) {
      if (!eight_alike(at)) return false;
    }
    return eight_alike(a.size() - 8);
  }
  const auto fold = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (fold(a[i]) != fold(b[i])) return false;
  }
  return true;
}
std::string lower(std::string_view text);
// Without spaces and tabs at both ends (OWS of RFC 9110).
inline std::string_view trim(std::string_view text) {
  const auto blank = [](char c) { return c == ' ' || c == '\t'; };
  while (!text.empty() && blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && blank(text.back())) text.remove_suffix(1);
  return text;
}

}  // namespace kubiya
