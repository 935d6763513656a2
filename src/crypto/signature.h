// SPDX-License-Identifier: Apache-2.0
//
// Signatures of RFC 7518 and RFC 8037 over OpenSSL EVP. An algorithm is a closed enum
// and belongs to a key, never to a token.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/json.h"
#include "base/result.h"

typedef struct evp_pkey_st EVP_PKEY;

namespace kubiya::crypto {

enum class Algorithm { rs256, rs384, rs512, ps256, ps384, ps512, es256, es384, es512, eddsa };
// Exact, case-sensitive names: "RS256" … "EdDSA". Nothing else, above all not "none" or HS*.
std::optional<Algorithm> algorithm(std::string_view name);
std::string_view name(Algorithm algorithm);

enum class KeyType { rsa, ec_p256, ec_p384, ec_p521, ed25519 };
bool fits(Algorithm algorithm, KeyType type);

// A public key parsed once; safe to use from many threads.
class PublicKey {
 public:
  // From one JWK (RFC 7517): kty RSA, EC, OKP. Refuses private members (a published secret is
  // nobody's), oct keys, RSA under 2048 or over 8192 bits, even or small exponents (< 3), ROCA
  // moduli, points off the curve or of small order, wrong coordinate lengths.
  static Result<PublicKey> from_jwk(const json::object& jwk);
  static Result<PublicKey> from_raw_ed25519(std::string_view bytes);
  KeyType type() const { return type_; }
  // True iff the algorithm fits the key and OpenSSL answers exactly 1. `signature` in JWS form:
  // r‖s for ES*, raw otherwise, of exact length.
  bool verify(Algorithm algorithm, std::string_view message, std::string_view signature) const;
  json::object to_jwk() const;      // kty and parameters only
  std::string raw_ed25519() const;  // 32 bytes; empty for other types

 private:
  friend class PrivateKey;
  struct Material;
  // Takes over `key`, which was checked to be of `type`.
  static Result<PublicKey> adopt(KeyType type, EVP_PKEY* key);
  KeyType type_ = KeyType::rsa;
  std::shared_ptr<const Material> material_;  // null in a default-made key, which verifies nothing
};

// For the demonstration issuer, the audit checkpoints and tests.
class PrivateKey {
 public:
  static Result<PrivateKey> generate(KeyType type, int rsa_bits = 2048);
  // Unencrypted PKCS#8 or the traditional forms; the key must pass what from_jwk asks.
  static Result<PrivateKey> from_pem(std::string_view pem);
  // PKCS#8, unencrypted: write 0600.
  std::string to_pem() const;
  PublicKey public_key() const;
  Result<std::string> sign(Algorithm algorithm, std::string_view message) const;  // JWS form

 private:
  KeyType type_ = KeyType::rsa;
  std::shared_ptr<EVP_PKEY> key_;
};

}  // namespace kubiya::crypto
