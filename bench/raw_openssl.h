// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "crypto/signature.h"

using EVP_PKEY = struct evp_pkey_st;

namespace kubiya::bench {

// What the product's verification is measured against: OpenSSL as its manual shows it
// (EVP_DigestVerifyInit(3)), where the key is parsed once and the rest made for each signature.
// Ends the program where OpenSSL refuses the key. Thread-safe once built.
class RawKey {
 public:
  // A private key in PEM, of which verify uses the public half.
  explicit RawKey(const std::string& pem);
  RawKey(const RawKey&) = delete;
  RawKey& operator=(const RawKey&) = delete;
  ~RawKey();

  // The signature in OpenSSL's own form: an ECDSA one is DER, not the JWS's two numbers.
  [[nodiscard]] std::string sign(crypto::Algorithm algorithm, std::string_view text) const;
  [[nodiscard]] bool verify(crypto::Algorithm algorithm, std::string_view text,
                            std::string_view signature) const;

 private:
  EVP_PKEY* key_;
};

[[noreturn]] void give_up(const std::string& why);

}  // namespace kubiya::bench
