// SPDX-License-Identifier: Apache-2.0
#include "verify_cost.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <fmt/format.h>

#include "base/encoding.h"
#include "base/ids.h"
#include "base/json.h"
#include "base/log.h"
#include "crypto/signature.h"
#include "identity/judge.h"

namespace kubiya::bench {
namespace {

using crypto::Algorithm;
using crypto::KeyType;
using Timer = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr const char* kIssuer = "https://login.example.com";
constexpr const char* kAudience = "https://mcp.example.com/mcp";

[[noreturn]] void give_up(const std::string& why) {
  std::fprintf(stderr, "bench_tools: %s\n", why.c_str());
  std::exit(2);
}

template <class T>
T value_of(Result<T> result) {
  if (!result) give_up(result.error().message);
  return std::move(*result);
}

// OpenSSL as its manual shows it: the key is parsed, the rest is made for each signature.
class Raw {
 public:
  Raw(const crypto::PrivateKey& key, Algorithm algorithm, std::string message)
      : algorithm_(algorithm), message_(std::move(message)) {
    const std::string pem = key.to_pem();
    BIO* const bio = BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()));
    key_ = PEM_read_bio_PrivateKey(bio, nullptr, nullptr, nullptr);
    BIO_free(bio);
    EVP_MD_CTX* const context = EVP_MD_CTX_new();
    EVP_PKEY_CTX* options = nullptr;
    std::size_t size = 0;
    if (key_ == nullptr || EVP_DigestSignInit(context, &options, digest(), nullptr, key_) != 1 ||
        !set(options) || EVP_DigestSign(context, nullptr, &size, bytes(), message_.size()) != 1) {
      give_up("OpenSSL cannot sign");
    }
    signature_.resize(size);
    auto* const out = reinterpret_cast<unsigned char*>(signature_.data());
    if (EVP_DigestSign(context, out, &size, bytes(), message_.size()) != 1) {
      give_up("OpenSSL cannot sign");
    }
    signature_.resize(size);
    EVP_MD_CTX_free(context);
  }
  Raw(const Raw&) = delete;
  Raw& operator=(const Raw&) = delete;
  ~Raw() { EVP_PKEY_free(key_); }

  void verify() const {
    EVP_MD_CTX* const context = EVP_MD_CTX_new();
    EVP_PKEY_CTX* options = nullptr;
    const auto* const signature = reinterpret_cast<const unsigned char*>(signature_.data());
    const bool good =
        EVP_DigestVerifyInit(context, &options, digest(), nullptr, key_) == 1 && set(options) &&
        EVP_DigestVerify(context, signature, signature_.size(), bytes(), message_.size()) == 1;
    EVP_MD_CTX_free(context);
    if (!good) give_up("OpenSSL refuses its own signature");
  }

 private:
  const EVP_MD* digest() const {
    if (algorithm_ == Algorithm::eddsa) return nullptr;
    return algorithm_ == Algorithm::es384 ? EVP_sha384() : EVP_sha256();
  }
  bool set(EVP_PKEY_CTX* options) const {
    if (algorithm_ != Algorithm::ps256) return true;
    return EVP_PKEY_CTX_set_rsa_padding(options, RSA_PKCS1_PSS_PADDING) == 1 &&
           EVP_PKEY_CTX_set_rsa_pss_saltlen(options, RSA_PSS_SALTLEN_DIGEST) == 1;
  }
  const unsigned char* bytes() const {
    return reinterpret_cast<const unsigned char*>(message_.data());
  }

  const Algorithm algorithm_;
  const std::string message_;
  std::string signature_;
  EVP_PKEY* key_ = nullptr;
};

std::string signing_input(Algorithm algorithm) {
  const auto now = static_cast<long>(std::time(nullptr));
  const std::string header = fmt::format(R"({{"alg":"{}","typ":"at+jwt","kid":"{}"}})",
                                         crypto::name(algorithm), crypto::name(algorithm));
  const std::string claims = fmt::format(
      R"({{"iss":"{}","aud":"{}","sub":"bench","scope":"read write execute","kubiya_api_key":"kb-bench","iat":{},"exp":{},"jti":"{}"}})",
      kIssuer, kAudience, now, now + 7200, random_id());
  return base64url(header) + "." + base64url(claims);
}

// An issuer whose keys come from a file, and the judge of the server over it.
class Court {
 public:
  explicit Court(const json::array& keys) {
    std::ofstream(file_) << to_json(json::object{{"keys", keys}});
    client_ = value_of(http::Client::open({}));
    identity::IssuerOptions issuer;
    issuer.url = kIssuer;
    issuer.jwks_uri = "file:" + file_;
    issuer.rules.issuer = kIssuer;
    issuer.rules.audiences = {kAudience};
    issuer.rules.algorithms = {Algorithm::rs256, Algorithm::ps256, Algorithm::es256,
                               Algorithm::es384, Algorithm::eddsa};
    issuers_.push_back(identity::Issuer::open(issuer, *client_, clock_));
    for (int i = 0; i < 100 && !issuers_[0]->keys(); ++i) {
      issuers_[0]->tick();
      std::this_thread::sleep_for(milliseconds(10));
    }
    options_.mode = identity::Mode::token;
    judge_ = std::make_unique<identity::Judge>(options_, issuers_, keys_,
                                               identity::PersonBook::nobody(), clock_);
  }
  Court(const Court&) = delete;
  Court& operator=(const Court&) = delete;
  ~Court() { std::filesystem::remove(file_); }

  void judge(const std::string& token) {
    const auto judgement = judge_->judge({token, identity::Source::token}, headers_);
    if (!std::holds_alternative<identity::Good>(judgement.answer)) give_up("a token was refused");
  }

 private:
  const std::string file_ =
      std::filesystem::temp_directory_path() / fmt::format("bench-keys-{}.json", ::getpid());
  const SystemClock clock_;
  std::unique_ptr<http::Client> client_;
  std::vector<std::unique_ptr<identity::Issuer>> issuers_;
  const identity::KeyBook keys_{Secret(random_id())};
  identity::AuthenticatorOptions options_;
  std::unique_ptr<identity::Judge> judge_;
  identity::HeaderMemo headers_;
};

template <class Work>
double microseconds(milliseconds span, Work work) {
  constexpr int kBatch = 16;
  const auto begin = Timer::now();
  long count = 0;
  do {
    for (int i = 0; i < kBatch; ++i) work();
    count += kBatch;
  } while (Timer::now() - begin < span);
  const std::chrono::duration<double, std::micro> took = Timer::now() - begin;
  return took.count() / static_cast<double>(count);
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

struct Subject {
  Algorithm algorithm;
  KeyType type;
};

}  // namespace

int verify_cost(char** argv) {
  log::set_level(Level::off);
  const int rounds = std::max(1, std::atoi(argv[0]));
  const milliseconds span(std::max(1, std::atoi(argv[1])));
  const std::vector<Subject> subjects{{Algorithm::rs256, KeyType::rsa},
                                      {Algorithm::ps256, KeyType::rsa},
                                      {Algorithm::es256, KeyType::ec_p256},
                                      {Algorithm::es384, KeyType::ec_p384},
                                      {Algorithm::eddsa, KeyType::ed25519}};
  std::vector<crypto::PrivateKey> keys;
  json::array published;
  for (const Subject& subject : subjects) {
    keys.push_back(value_of(crypto::PrivateKey::generate(subject.type)));
    json::object jwk = keys.back().public_key().to_jwk();
    jwk["kid"] = crypto::name(subject.algorithm);
    published.push_back(std::move(jwk));
  }
  Court court(published);
  for (std::size_t i = 0; i < subjects.size(); ++i) {
    const Algorithm algorithm = subjects[i].algorithm;
    const std::string input = signing_input(algorithm);
    const std::string token = input + "." + base64url(value_of(keys[i].sign(algorithm, input)));
    const Raw raw(keys[i], algorithm, input);
    std::vector<double> ours, theirs, ratios;
    for (int round = 0; round < rounds; ++round) {
      theirs.push_back(microseconds(span, [&raw] { raw.verify(); }));
      ours.push_back(microseconds(span, [&court, &token] { court.judge(token); }));
      ratios.push_back(theirs.back() / ours.back());
    }
    fmt::print("{} {:.2f} {:.2f} {:.3f}\n", crypto::name(algorithm), median(ours), median(theirs),
               median(ratios));
  }
  return 0;
}

}  // namespace kubiya::bench
