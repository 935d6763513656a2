// SPDX-License-Identifier: Apache-2.0
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "crypto/ecdsa_form.h"
#include "crypto/public_key.h"

namespace kubiya::crypto {
namespace {

EVP_PKEY* generate_key(KeyType type, int rsa_bits) {
  switch (type) {
    case KeyType::rsa:
      return EVP_PKEY_Q_keygen(nullptr, nullptr, "RSA", static_cast<std::size_t>(rsa_bits));
    case KeyType::ec_p256:
    case KeyType::ec_p384:
    case KeyType::ec_p521:
      return EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", group_name(type));
    case KeyType::ed25519:
      return EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519");
  }
  return nullptr;
}

// Answers for the terminal that OpenSSL would ask otherwise.
int no_password(char*, int, int, void*) { return -1; }

// The same key without its private half.
KeyPtr public_half(EVP_PKEY* key) {
  unsigned char* der = nullptr;
  const int size = i2d_PUBKEY(key, &der);
  if (size <= 0) return nullptr;
  const unsigned char* at = der;
  KeyPtr out(d2i_PUBKEY(nullptr, &at, size));
  OPENSSL_free(der);
  return out;
}

bool set_padding(EVP_PKEY_CTX* context, Algorithm algorithm) {
  if (!is_pss(algorithm)) return EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PADDING) == 1;
  return EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PSS_PADDING) == 1 &&
         EVP_PKEY_CTX_set_rsa_mgf1_md(context, hash_of(algorithm)) == 1 &&
         EVP_PKEY_CTX_set_rsa_pss_saltlen(context, RSA_PSS_SALTLEN_DIGEST) == 1;
}

// As OpenSSL spells it (DER for ECDSA); nothing on failure.
std::optional<std::string> raw_sign(EVP_PKEY* key, Algorithm algorithm, std::string_view message) {
  const DigestContext context(EVP_MD_CTX_new());
  EVP_PKEY_CTX* settings = nullptr;
  const EVP_MD* const hash = hash_of(algorithm);
  if (!context ||
      EVP_DigestSignInit_ex(context.get(), &settings, hash ? EVP_MD_get0_name(hash) : nullptr,
                            nullptr, nullptr, key, nullptr) != 1 ||
      (fits(algorithm, KeyType::rsa) && !set_padding(settings, algorithm))) {
    return std::nullopt;
  }
  std::size_t size = 0;
  if (EVP_DigestSign(context.get(), nullptr, &size, bytes_of(message), message.size()) != 1) {
    return std::nullopt;
  }
  std::string out(size, '\0');
  if (EVP_DigestSign(context.get(), bytes_of(out), &size, bytes_of(message), message.size()) != 1) {
    return std::nullopt;
  }
  out.resize(size);
  return out;
}

}  // namespace

Result<PrivateKey> PrivateKey::generate(KeyType type, int rsa_bits) {
  if (type == KeyType::rsa && (rsa_bits < 2048 || rsa_bits > 8192)) {
    return fail(Code::invalid, "an RSA key has 2048 to 8192 bits");
  }
  const QuietErrors quiet;
  KeyPtr key(generate_key(type, rsa_bits));
  if (!key) return fail(Code::internal, "a key could not be generated");
  PrivateKey out;
  out.type_ = type;
  out.key_ = std::move(key);
  return out;
}

Result<PrivateKey> PrivateKey::from_pem(std::string_view pem) {
  const QuietErrors quiet;
  const BioPtr source(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  KeyPtr key(source ? PEM_read_bio_PrivateKey(source.get(), nullptr, no_password, nullptr)
                    : nullptr);
  if (!key) return fail(Code::invalid, "not an unencrypted private key in PEM");
  PrivateKey out;
  out.type_ = TRY(classify(key.get()));
  out.key_ = std::move(key);
  return out;
}

std::string PrivateKey::to_pem() const {
  ASSERT(key_, "a private key is generated or read before use");
  const QuietErrors quiet;
  const BioPtr sink(BIO_new(BIO_s_secmem()));
  ASSERT(sink && PEM_write_bio_PKCS8PrivateKey(sink.get(), key_.get(), nullptr, nullptr, 0, nullptr,
                                               nullptr) == 1,
         "a private key can be written");
  char* data = nullptr;
  const long size = BIO_get_mem_data(sink.get(), &data);
  return std::string(data, static_cast<std::size_t>(size));
}

PublicKey PrivateKey::public_key() const {
  ASSERT(key_, "a private key is generated or read before use");
  const QuietErrors quiet;
  KeyPtr half = public_half(key_.get());
  ASSERT(half, "a private key has a public half");
  auto key = PublicKey::adopt(type_, half.release());
  ASSERT(key, "a key of ours can be made ready to verify");
  return std::move(*key);
}

Result<std::string> PrivateKey::sign(Algorithm algorithm, std::string_view message) const {
  if (!key_ || !fits(algorithm, type_)) {
    return fail(Code::invalid, "the algorithm does not fit the key");
  }
  const QuietErrors quiet;
  auto signature = raw_sign(key_.get(), algorithm, message);
  if (!signature) return fail(Code::internal, "signing failed");
  const std::size_t half = coordinate_bytes(type_);
  if (half == 0) return std::move(*signature);
  auto raw = ecdsa_raw(*signature, half);
  if (!raw) return fail(Code::internal, "signing failed", "the signature is not DER");
  return std::move(*raw);
}

}  // namespace kubiya::crypto
