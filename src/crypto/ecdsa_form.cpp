// SPDX-License-Identifier: Apache-2.0
#include "crypto/ecdsa_form.h"

#include <openssl/ecdsa.h>

#include "base/result.h"
#include "crypto/openssl.h"

namespace kubiya::crypto {
namespace {

using Signature = std::unique_ptr<ECDSA_SIG, Freer<ECDSA_SIG_free>>;

// DER integers are signed and as short as possible.
void append_integer(std::string& out, std::string_view number) {
  while (number.size() > 1 && number.front() == '\0') number.remove_prefix(1);
  const bool reads_negative = (static_cast<unsigned char>(number.front()) & 0x80) != 0;
  out += '\x02';
  out += static_cast<char>(number.size() + (reads_negative ? 1 : 0));
  if (reads_negative) out += '\0';
  out += number;
}

}  // namespace

std::string ecdsa_der(std::string_view raw) {
  ASSERT(!raw.empty() && raw.size() % 2 == 0 && raw.size() <= 132, "r and s of a curve of ours");
  const std::size_t half = raw.size() / 2;
  std::string numbers;
  numbers.reserve(raw.size() + 6);
  append_integer(numbers, raw.substr(0, half));
  append_integer(numbers, raw.substr(half));
  std::string out = "\x30";
  out.reserve(numbers.size() + 3);
  if (numbers.size() > 127) out += '\x81';
  out += static_cast<char>(numbers.size());
  out += numbers;
  return out;
}

std::optional<std::string> ecdsa_raw(std::string_view der, std::size_t half) {
  const unsigned char* at = bytes_of(der);
  const Signature signature(d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(der.size())));
  if (!signature || at != bytes_of(der) + der.size()) return std::nullopt;
  std::string raw(2 * half, '\0');
  unsigned char* const out = bytes_of(raw);
  const int bytes = static_cast<int>(half);
  if (BN_bn2binpad(ECDSA_SIG_get0_r(signature.get()), out, bytes) < 0 ||
      BN_bn2binpad(ECDSA_SIG_get0_s(signature.get()), out + half, bytes) < 0) {
    return std::nullopt;
  }
  return raw;
}

}  // namespace kubiya::crypto
