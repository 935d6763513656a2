// SPDX-License-Identifier: Apache-2.0
#include <openssl/core_names.h>

#include "crypto/openssl.h"
#include "crypto/weak_key.h"

namespace kubiya::crypto {
namespace {

Number number(EVP_PKEY* key, const char* name) {
  BIGNUM* value = nullptr;
  EVP_PKEY_get_bn_param(key, name, &value);
  return Number(value);
}

Result<KeyType> classify_rsa(EVP_PKEY* key) {
  const Number n = number(key, OSSL_PKEY_PARAM_RSA_N);
  const Number e = number(key, OSSL_PKEY_PARAM_RSA_E);
  if (!n || !e) return fail(Code::invalid, "not a usable RSA key");
  if (const char* fault = rsa_fault(n.get(), e.get())) {
    return fail(Code::invalid, "weak RSA key", fault);
  }
  return KeyType::rsa;
}

Result<KeyType> classify_ec(EVP_PKEY* key) {
  char group[32] = {};
  std::size_t size = 0;
  if (EVP_PKEY_get_group_name(key, group, sizeof group, &size) == 1) {
    for (const KeyType type : {KeyType::ec_p256, KeyType::ec_p384, KeyType::ec_p521}) {
      if (std::string_view(group, size) == group_name(type)) return type;
    }
  }
  return fail(Code::unsupported, "unsupported curve", "only P-256, P-384 and P-521 are used");
}

Result<KeyType> classify_ed25519(EVP_PKEY* key) {
  unsigned char raw[32];
  std::size_t size = sizeof raw;
  if (EVP_PKEY_get_raw_public_key(key, raw, &size) != 1) {
    return fail(Code::invalid, "not a usable Ed25519 key");
  }
  if (const char* fault = ed25519_fault({reinterpret_cast<const char*>(raw), size})) {
    return fail(Code::invalid, "weak Ed25519 key", fault);
  }
  return KeyType::ed25519;
}

}  // namespace

Result<KeyType> classify(EVP_PKEY* key) {
  switch (EVP_PKEY_get_base_id(key)) {
    case EVP_PKEY_RSA:
      return classify_rsa(key);
    case EVP_PKEY_EC:
      return classify_ec(key);
    case EVP_PKEY_ED25519:
      return classify_ed25519(key);
    default:
      return fail(Code::unsupported, "unsupported kind of key");
  }
}

}  // namespace kubiya::crypto
