// SPDX-License-Identifier: Apache-2.0
//
// Text encodings, all strict: one spelling per value, anything else is refused.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

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

// CRC-32 (IEEE), for telling a mistyped key from a wrong one without a lookup.
std::uint32_t crc32(std::string_view bytes);

// ASCII only; the locale plays no part.
bool iequals(std::string_view a, std::string_view b);
std::string lower(std::string_view text);
std::string_view trim(std::string_view text);  // spaces and tabs (OWS)

}  // namespace kubiya
