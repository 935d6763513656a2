// SPDX-License-Identifier: Apache-2.0
#include "crypto/digest.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>

#include "base/encoding.h"
#include "base/result.h"
#include "crypto/openssl.h"

namespace kubiya::crypto {
namespace {

using MacContext = std::unique_ptr<EVP_MAC_CTX, Freer<EVP_MAC_CTX_free>>;

const EVP_MD* sha256_method() {
  static const EVP_MD* const method = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  ASSERT(method != nullptr, "OpenSSL offers no SHA-256");
  return method;
}

DigestContext new_digest_context() {
  DigestContext context(EVP_MD_CTX_new());
  ASSERT(context, "out of memory");
  return context;
}

Digest run_sha256(EVP_MD_CTX* context, std::string_view bytes) {
  Digest digest;
  unsigned int size = 0;
  ASSERT(EVP_DigestInit_ex2(context, sha256_method(), nullptr) == 1, "SHA-256 cannot start");
  ASSERT(EVP_DigestUpdate(context, bytes.data(), bytes.size()) == 1, "SHA-256 failed");
  ASSERT(EVP_DigestFinal_ex(context, digest.data(), &size) == 1, "SHA-256 failed");
  ASSERT(size == digest.size(), "SHA-256 has 32 bytes");
  return digest;
}

MacContext new_hmac_context() {
  static EVP_MAC* const method = EVP_MAC_fetch(nullptr, "HMAC", nullptr);
  ASSERT(method != nullptr, "OpenSSL offers no HMAC");
  MacContext context(EVP_MAC_CTX_new(method));
  char hash[] = "SHA256";
  const OSSL_PARAM params[] = {
      OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, hash, 0),
      OSSL_PARAM_construct_end(),
  };
  ASSERT(context && EVP_MAC_CTX_set_params(context.get(), params) == 1, "HMAC cannot start");
  return context;
}

}  // namespace

struct Sha256::Impl {
  DigestContext context = new_digest_context();
};

Sha256::Sha256() : impl_(std::make_unique<Impl>()) {}
Sha256::~Sha256() = default;
Digest Sha256::operator()(std::string_view bytes) {
  return run_sha256(impl_->context.get(), bytes);
}

Digest sha256(std::string_view bytes) {
  thread_local const DigestContext context = new_digest_context();
  return run_sha256(context.get(), bytes);
}

Digest hmac_sha256(std::string_view key, std::string_view bytes) {
  // A null key would mean "the key of the last call" to a context that is used again.
  if (key.data() == nullptr) key = "";
  // A fresh context, so that no key outlives its call in this thread's memory.
  const MacContext context = new_hmac_context();
  Digest digest;
  std::size_t size = 0;
  ASSERT(EVP_MAC_init(context.get(), bytes_of(key), key.size(), nullptr) == 1, "HMAC cannot start");
  ASSERT(EVP_MAC_update(context.get(), bytes_of(bytes), bytes.size()) == 1, "HMAC failed");
  ASSERT(EVP_MAC_final(context.get(), digest.data(), &size, digest.size()) == 1, "HMAC failed");
  ASSERT(size == digest.size(), "HMAC-SHA-256 has 32 bytes");
  return digest;
}

std::string_view view(const Digest& digest) {
  return {reinterpret_cast<const char*>(digest.data()), digest.size()};
}

std::string fingerprint(std::string_view secret) { return hex(view(sha256(secret)).substr(0, 4)); }

bool equal_constant_time(std::string_view a, std::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace kubiya::crypto
