// SPDX-License-Identifier: Apache-2.0
//
// Keys made once per test process; for tests only.
#pragma once

#include <array>
#include <map>

#include "crypto/signature.h"

namespace kubiya::crypto::test {

inline constexpr std::array kAllAlgorithms = {
    Algorithm::rs256, Algorithm::rs384, Algorithm::rs512, Algorithm::ps256, Algorithm::ps384,
    Algorithm::ps512, Algorithm::es256, Algorithm::es384, Algorithm::es512, Algorithm::eddsa};
inline constexpr std::array kAllKeyTypes = {KeyType::rsa, KeyType::ec_p256, KeyType::ec_p384,
                                            KeyType::ec_p521, KeyType::ed25519};

// The same key for the same type and number, a different one for another number.
inline const PrivateKey& key_of(KeyType type, int number = 0) {
  static std::map<std::pair<KeyType, int>, PrivateKey> keys;
  const auto at = keys.find({type, number});
  if (at != keys.end()) return at->second;
  auto made = PrivateKey::generate(type);
  ASSERT(made, "the test machine can make keys");
  return keys.emplace(std::pair(type, number), std::move(*made)).first->second;
}

inline KeyType type_for(Algorithm algorithm) {
  for (const KeyType type : kAllKeyTypes) {
    if (fits(algorithm, type)) return type;
  }
  ASSERT(false, "every algorithm fits a key type");
  return KeyType::rsa;
}

}  // namespace kubiya::crypto::test
