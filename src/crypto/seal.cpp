// SPDX-License-Identifier: Apache-2.0
#include "crypto/seal.h"

#include <openssl/evp.h>

#include <memory>

#include "base/ids.h"
#include "base/result.h"
#include "crypto/digest.h"

namespace kubiya::crypto {
namespace {

constexpr std::size_t kNonceBytes = 12;
constexpr std::size_t kTagBytes = 16;

struct FreeContext {
  void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
};
using Context = std::unique_ptr<EVP_CIPHER_CTX, FreeContext>;

unsigned char* bytes(std::string& text, std::size_t at = 0) {
  return reinterpret_cast<unsigned char*>(text.data()) + at;
}
const unsigned char* bytes(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}
int length(std::string_view text) { return static_cast<int>(text.size()); }

}  // namespace

Sealer::Sealer(const Secret& secret, std::string_view purpose)
    : key_(std::string(view(hmac_sha256(secret.reveal(), purpose)))) {}

std::string Sealer::seal(std::string_view text, std::string_view context) const {
  std::string out(kNonceBytes + text.size() + kTagBytes, '\0');
  random_bytes(out.data(), kNonceBytes);
  const Context cipher(EVP_CIPHER_CTX_new());
  int done = 0;
  const bool sealed =
      cipher &&
      EVP_EncryptInit_ex2(cipher.get(), EVP_aes_256_gcm(), bytes(key_.reveal()), bytes(out),
                          nullptr) == 1 &&
      EVP_EncryptUpdate(cipher.get(), nullptr, &done, bytes(context), length(context)) == 1 &&
      EVP_EncryptUpdate(cipher.get(), bytes(out, kNonceBytes), &done, bytes(text), length(text)) ==
          1 &&
      EVP_EncryptFinal_ex(cipher.get(), bytes(out, kNonceBytes + text.size()), &done) == 1 &&
      EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_GCM_GET_TAG, kTagBytes,
                          bytes(out, kNonceBytes + text.size())) == 1;
  ASSERT(sealed, "AES-256-GCM is there and takes any text");
  return out;
}

std::optional<std::string> Sealer::open(std::string_view sealed, std::string_view context) const {
  if (sealed.size() < kNonceBytes + kTagBytes) return std::nullopt;
  const std::string_view body = sealed.substr(kNonceBytes, sealed.size() - kNonceBytes - kTagBytes);
  std::string tag(sealed.substr(sealed.size() - kTagBytes));
  std::string out(body.size(), '\0');
  const Context cipher(EVP_CIPHER_CTX_new());
  int done = 0;
  const bool good =
      cipher &&
      EVP_DecryptInit_ex2(cipher.get(), EVP_aes_256_gcm(), bytes(key_.reveal()), bytes(sealed),
                          nullptr) == 1 &&
      EVP_DecryptUpdate(cipher.get(), nullptr, &done, bytes(context), length(context)) == 1 &&
      EVP_DecryptUpdate(cipher.get(), bytes(out), &done, bytes(body), length(body)) == 1 &&
      EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_GCM_SET_TAG, kTagBytes, bytes(tag)) == 1 &&
      EVP_DecryptFinal_ex(cipher.get(), bytes(out, out.size()), &done) == 1;
  if (!good) return std::nullopt;
  return out;
}

}  // namespace kubiya::crypto
