// SPDX-License-Identifier: Apache-2.0
#include "crypto/weak_key.h"

#include <algorithm>
#include <array>
#include <string>

#include <openssl/bn.h>

#include "base/encoding.h"
#include "base/result.h"

namespace kubiya::crypto {
namespace {

// In the ROCA generator every prime is k·M + (65537^a mod M) with M a primorial, so the modulus
// is a power of 65537 modulo every small prime. A sound modulus passes all of these by
// chance once in about 2^27.
bool has_roca_shape(const BIGNUM* modulus) {
  constexpr std::array kPrimes = {3,   5,   7,   11,  13,  17,  19,  23,  29,  31,  37,  41,  43,
                                  47,  53,  59,  61,  67,  71,  73,  79,  83,  89,  97,  101, 103,
                                  107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167};
  return std::all_of(kPrimes.begin(), kPrimes.end(), [modulus](int small) {
    const auto prime = static_cast<BN_ULONG>(small);
    const BN_ULONG residue = BN_mod_word(modulus, prime);
    BN_ULONG power = 1;
    do {
      if (power == residue) return true;
      power = power * 65537 % prime;
    } while (power != 1);
    return false;
  });
}

}  // namespace

const char* rsa_fault(const BIGNUM* modulus, const BIGNUM* exponent) {
  if (BN_num_bits(modulus) < 2048) return "modulus under 2048 bits";
  if (BN_num_bits(modulus) > 8192) return "modulus over 8192 bits";
  if (!BN_is_odd(modulus)) return "even modulus";
  if (!BN_is_odd(exponent)) return "even exponent";
  if (BN_num_bits(exponent) < 2) return "exponent under 3";
  if (BN_num_bits(exponent) > 64) return "exponent over 64 bits";
  if (has_roca_shape(modulus)) return "modulus of the ROCA generator";
  return nullptr;
}

const char* ed25519_fault(std::string_view key) {
  if (key.size() != 32) return "wrong length";
  // y as a little-endian number without the sign of x: big-endian text compares like the number.
  std::string y(key.rbegin(), key.rend());
  y[0] = static_cast<char>(static_cast<unsigned char>(y[0]) & 0x7f);
  const std::string digits = hex(y);
  static const std::string prime = "7f" + std::string(60, 'f') + "ed";
  if (digits >= prime) return "y not reduced";
  // The y of all eight points whose order divides 8: 1, -1, 0 and the two of order eight.
  static const std::array<std::string, 5> small_order = {
      std::string(63, '0') + "1", "7f" + std::string(60, 'f') + "ec", std::string(64, '0'),
      "05fc536d880238b13933c6d305acdfd5f098eff289f4c345b027b2c28f95e826",
      "7a03ac9277fdc74ec6cc392cfa53202a0f67100d760b3cba4fd84d3d706a17c7"};
  for (const std::string& point : small_order) {
    if (digits == point) return "point of small order";
  }
  return nullptr;
}

}  // namespace kubiya::crypto
