// SPDX-License-Identifier: Apache-2.0
#include <array>

#include "crypto/openssl.h"

namespace kubiya::crypto {
namespace {

struct Row {
  Algorithm algorithm;
  std::string_view name;
  KeyType key;
  const char* hash;  // null: the algorithm hashes by itself
};

constexpr std::array<Row, 10> kAlgorithms = {{
    {Algorithm::rs256, "RS256", KeyType::rsa, "SHA256"},
    {Algorithm::rs384, "RS384", KeyType::rsa, "SHA384"},
    {Algorithm::rs512, "RS512", KeyType::rsa, "SHA512"},
    {Algorithm::ps256, "PS256", KeyType::rsa, "SHA256"},
    {Algorithm::ps384, "PS384", KeyType::rsa, "SHA384"},
    {Algorithm::ps512, "PS512", KeyType::rsa, "SHA512"},
    {Algorithm::es256, "ES256", KeyType::ec_p256, "SHA256"},
    {Algorithm::es384, "ES384", KeyType::ec_p384, "SHA384"},
    {Algorithm::es512, "ES512", KeyType::ec_p521, "SHA512"},
    {Algorithm::eddsa, "EdDSA", KeyType::ed25519, nullptr},
}};

constexpr bool in_enum_order() {
  for (std::size_t i = 0; i < kAlgorithms.size(); ++i) {
    if (static_cast<std::size_t>(kAlgorithms[i].algorithm) != i) return false;
  }
  return true;
}
static_assert(in_enum_order());

const Row& row(Algorithm algorithm) { return kAlgorithms.at(static_cast<std::size_t>(algorithm)); }

const EVP_MD* fetch(const char* hash) {
  const EVP_MD* const method = EVP_MD_fetch(nullptr, hash, nullptr);
  ASSERT(method != nullptr, "OpenSSL lacks a hash of RFC 7518");
  return method;
}

}  // namespace

std::optional<Algorithm> algorithm(std::string_view name) {
  for (const Row& row : kAlgorithms) {
    if (row.name == name) return row.algorithm;
  }
  return std::nullopt;
}

std::string_view name(Algorithm algorithm) { return row(algorithm).name; }

bool fits(Algorithm algorithm, KeyType type) { return row(algorithm).key == type; }

bool is_pss(Algorithm algorithm) {
  return algorithm == Algorithm::ps256 || algorithm == Algorithm::ps384 ||
         algorithm == Algorithm::ps512;
}

const EVP_MD* hash_of(Algorithm algorithm) {
  static const std::array<const EVP_MD*, kAlgorithms.size()> methods = [] {
    std::array<const EVP_MD*, kAlgorithms.size()> all{};
    for (std::size_t i = 0; i < all.size(); ++i) {
      if (kAlgorithms[i].hash != nullptr) all[i] = fetch(kAlgorithms[i].hash);
    }
    return all;
  }();
  return methods.at(static_cast<std::size_t>(algorithm));
}

std::size_t coordinate_bytes(KeyType type) {
  switch (type) {
    case KeyType::ec_p256:
      return 32;
    case KeyType::ec_p384:
      return 48;
    case KeyType::ec_p521:
      return 66;
    case KeyType::rsa:
    case KeyType::ed25519:
      return 0;
  }
  return 0;
}

const char* group_name(KeyType type) {
  switch (type) {
    case KeyType::ec_p256:
      return "prime256v1";
    case KeyType::ec_p384:
      return "secp384r1";
    case KeyType::ec_p521:
      return "secp521r1";
    case KeyType::rsa:
    case KeyType::ed25519:
      return nullptr;
  }
  return nullptr;
}

}  // namespace kubiya::crypto
