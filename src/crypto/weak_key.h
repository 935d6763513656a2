// SPDX-License-Identifier: Apache-2.0
//
// Public keys that no signature should be believed under. Private to crypto/. Pure.
#pragma once

#include <string_view>

#include <openssl/types.h>

namespace kubiya::crypto {

// RSA: 2048 to 8192 bits, odd modulus, exponent odd, at least 3 and at most 64 bits, and not of
// the shape of CVE-2017-15361 (ROCA). The fault in words, or null.
const char* rsa_fault(const BIGNUM* modulus, const BIGNUM* exponent);

// Ed25519: 32 bytes, the canonical spelling of y, and not one of the points of small order
// (RFC 8032 §5.1.3; under those, one signature fits many messages). The fault, or null.
const char* ed25519_fault(std::string_view key);

}  // namespace kubiya::crypto
