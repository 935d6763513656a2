// SPDX-License-Identifier: Apache-2.0
#include "crypto/public_key.h"

#include <openssl/rsa.h>

#include "crypto/ecdsa_form.h"

namespace kubiya::crypto {
namespace {

constexpr std::size_t kEd25519Bytes = 64;

// A context that has everything a verification needs but the message. Null when OpenSSL
// refuses any part of it.
KeyContext ready_to_verify(EVP_PKEY* key, Algorithm algorithm) {
  KeyContext context(EVP_PKEY_CTX_new_from_pkey(nullptr, key, nullptr));
  const EVP_MD* const hash = hash_of(algorithm);
  const bool started = context && EVP_PKEY_verify_init(context.get()) == 1 &&
                       EVP_PKEY_CTX_set_signature_md(context.get(), hash) == 1;
  if (!started) return nullptr;
  if (!fits(algorithm, KeyType::rsa)) return context;
  const int padding = is_pss(algorithm) ? RSA_PKCS1_PSS_PADDING : RSA_PKCS1_PADDING;
  if (EVP_PKEY_CTX_set_rsa_padding(context.get(), padding) != 1) return nullptr;
  if (is_pss(algorithm) &&
      (EVP_PKEY_CTX_set_rsa_mgf1_md(context.get(), hash) != 1 ||
       EVP_PKEY_CTX_set_rsa_pss_saltlen(context.get(), RSA_PSS_SALTLEN_DIGEST) != 1)) {
    return nullptr;
  }
  return context;
}

// A context of this thread, used again and again; null when the machine has no memory.
EVP_MD_CTX* digest_context() {
  thread_local const DigestContext context(EVP_MD_CTX_new());
  return context.get();
}

struct Hash {
  unsigned char bytes[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
};

bool hash(const EVP_MD* method, std::string_view message, Hash& out) {
  EVP_MD_CTX* const context = digest_context();
  return context != nullptr && EVP_DigestInit_ex2(context, method, nullptr) == 1 &&
         EVP_DigestUpdate(context, message.data(), message.size()) == 1 &&
         EVP_DigestFinal_ex(context, out.bytes, &out.size) == 1;
}

bool verify_hashed(const EVP_PKEY_CTX* ready, Algorithm algorithm, std::string_view message,
                   std::string_view signature) {
  Hash digest;
  const KeyContext context(EVP_PKEY_CTX_dup(ready));
  return context && hash(hash_of(algorithm), message, digest) &&
         EVP_PKEY_verify(context.get(), bytes_of(signature), signature.size(), digest.bytes,
                         digest.size) == 1;
}

bool verify_ed25519(EVP_PKEY* key, std::string_view message, std::string_view signature) {
  const DigestContext context(EVP_MD_CTX_new());
  return context &&
         EVP_DigestVerifyInit_ex(context.get(), nullptr, nullptr, nullptr, nullptr, key, nullptr) ==
             1 &&
         EVP_DigestVerify(context.get(), bytes_of(signature), signature.size(), bytes_of(message),
                          message.size()) == 1;
}

}  // namespace

Result<PublicKey> PublicKey::adopt(KeyType type, EVP_PKEY* key) {
  auto material = std::make_shared<Material>();
  material->key.reset(key);
  for (std::size_t i = 0; i < material->ready.size(); ++i) {
    const auto algorithm = static_cast<Algorithm>(i);
    if (!fits(algorithm, type) || algorithm == Algorithm::eddsa) continue;
    material->ready[i] = ready_to_verify(key, algorithm);
    if (!material->ready[i]) return fail(Code::internal, "a key cannot be made ready to verify");
  }
  PublicKey out;
  out.type_ = type;
  out.material_ = std::move(material);
  return out;
}

bool PublicKey::verify(Algorithm algorithm, std::string_view message,
                       std::string_view signature) const {
  if (!material_ || !fits(algorithm, type_)) return false;
  const QuietErrors quiet;
  EVP_PKEY* const key = material_->key.get();
  if (type_ == KeyType::ed25519) {
    return signature.size() == kEd25519Bytes && verify_ed25519(key, message, signature);
  }
  const EVP_PKEY_CTX* const ready = material_->ready.at(static_cast<std::size_t>(algorithm)).get();
  if (type_ == KeyType::rsa) {
    return signature.size() == static_cast<std::size_t>(EVP_PKEY_get_size(key)) &&
           verify_hashed(ready, algorithm, message, signature);
  }
  return signature.size() == 2 * coordinate_bytes(type_) &&
         verify_hashed(ready, algorithm, message, ecdsa_der(signature));
}

}  // namespace kubiya::crypto
