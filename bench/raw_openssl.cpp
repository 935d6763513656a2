// SPDX-License-Identifier: Apache-2.0
#include "raw_openssl.h"

#include <openssl/evp.h>
#include <openssl/pem.h>

#include <cstdio>
#include <cstdlib>
#include <memory>

namespace kubiya::bench {
namespace {

using crypto::Algorithm;

struct Free {
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
  void operator()(BIO* bio) const { BIO_free(bio); }
};
using Context = std::unique_ptr<EVP_MD_CTX, Free>;

const EVP_MD* digest(Algorithm algorithm) {
  if (algorithm == Algorithm::eddsa) return nullptr;
  return algorithm == Algorithm::es384 ? EVP_sha384() : EVP_sha256();
}

bool set(EVP_PKEY_CTX* options, Algorithm algorithm) {
  if (algorithm != Algorithm::ps256) return true;
  return EVP_PKEY_CTX_set_rsa_padding(options, RSA_PKCS1_PSS_PADDING) == 1 &&
         EVP_PKEY_CTX_set_rsa_pss_saltlen(options, RSA_PSS_SALTLEN_DIGEST) == 1;
}

const unsigned char* bytes(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

}  // namespace

void give_up(const std::string& why) {
  std::fprintf(stderr, "bench_tools: %s\n", why.c_str());
  std::exit(2);
}

RawKey::RawKey(const std::string& pem) {
  const std::unique_ptr<BIO, Free> bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  key_ = PEM_read_bio_PrivateKey(bio.get(), nullptr, nullptr, nullptr);
  if (key_ == nullptr) give_up("OpenSSL cannot read the key");
}

RawKey::~RawKey() { EVP_PKEY_free(key_); }

std::string RawKey::sign(Algorithm algorithm, std::string_view text) const {
  const Context context(EVP_MD_CTX_new());
  EVP_PKEY_CTX* options = nullptr;
  std::size_t size = 0;
  if (EVP_DigestSignInit(context.get(), &options, digest(algorithm), nullptr, key_) != 1 ||
      !set(options, algorithm) ||
      EVP_DigestSign(context.get(), nullptr, &size, bytes(text), text.size()) != 1) {
    give_up("OpenSSL cannot sign");
  }
  std::string signature(size, '\0');
  auto* const out = reinterpret_cast<unsigned char*>(signature.data());
  if (EVP_DigestSign(context.get(), out, &size, bytes(text), text.size()) != 1) {
    give_up("OpenSSL cannot sign");
  }
  signature.resize(size);
  return signature;
}

bool RawKey::verify(Algorithm algorithm, std::string_view text, std::string_view signature) const {
  const Context context(EVP_MD_CTX_new());
  EVP_PKEY_CTX* options = nullptr;
  return EVP_DigestVerifyInit(context.get(), &options, digest(algorithm), nullptr, key_) == 1 &&
         set(options, algorithm) &&
         EVP_DigestVerify(context.get(), bytes(signature), signature.size(), bytes(text),
                          text.size()) == 1;
}

}  // namespace kubiya::bench
