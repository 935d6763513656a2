// SPDX-License-Identifier: Apache-2.0
//
// Owning pointers over OpenSSL's C types, and its error queue kept clean. Private to
// crypto/.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/evp.h>

#include "crypto/signature.h"

namespace kubiya::crypto {

template <auto Free>
struct Freer {
  template <class T>
  void operator()(T* pointer) const {
    Free(pointer);
  }
};

using KeyPtr = std::unique_ptr<EVP_PKEY, Freer<EVP_PKEY_free>>;
using KeyContext = std::unique_ptr<EVP_PKEY_CTX, Freer<EVP_PKEY_CTX_free>>;
using DigestContext = std::unique_ptr<EVP_MD_CTX, Freer<EVP_MD_CTX_free>>;
using BioPtr = std::unique_ptr<BIO, Freer<BIO_free_all>>;
using Number = std::unique_ptr<BIGNUM, Freer<BN_free>>;

// Whatever OpenSSL queues while this lives is dropped at its end: a leftover error would be
// read by the next TLS call of the same thread as its own.
class QuietErrors {
 public:
  QuietErrors() { ERR_set_mark(); }
  ~QuietErrors() { ERR_pop_to_mark(); }
  QuietErrors(const QuietErrors&) = delete;
  QuietErrors& operator=(const QuietErrors&) = delete;
};

inline const unsigned char* bytes_of(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}
inline unsigned char* bytes_of(std::string& text) {
  return reinterpret_cast<unsigned char*>(text.data());
}

// The hash of an algorithm, fetched once. Not for eddsa, which hashes by itself.
const EVP_MD* hash_of(Algorithm algorithm);
bool is_pss(Algorithm algorithm);

// Bytes of one coordinate, and of each half of a JWS signature; 0 for other types.
std::size_t coordinate_bytes(KeyType type);
// OpenSSL's name of the curve; null for other types.
const char* group_name(KeyType type);

// The type of a key that OpenSSL parsed, by the same rules as from_jwk.
Result<KeyType> classify(EVP_PKEY* key);

}  // namespace kubiya::crypto
