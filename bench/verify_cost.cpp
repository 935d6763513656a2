// SPDX-License-Identifier: Apache-2.0
#include "verify_cost.h"

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
#include "raw_openssl.h"

namespace kubiya::bench {
namespace {

using crypto::Algorithm;
using crypto::KeyType;
using Timer = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr const char* kIssuer = "https://login.example.com";
constexpr const char* kAudience = "https://mcp.example.com/mcp";

template <class T>
T value_of(Result<T> result) {
  if (!result) give_up(result.error().message);
  return std::move(*result);
}

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
    const RawKey raw(keys[i].to_pem());
    const std::string signature = raw.sign(algorithm, input);
    std::vector<double> ours, theirs, ratios;
    for (int round = 0; round < rounds; ++round) {
      theirs.push_back(microseconds(span, [&] {
        if (!raw.verify(algorithm, input, signature)) give_up("OpenSSL refuses its own signature");
      }));
      ours.push_back(microseconds(span, [&court, &token] { court.judge(token); }));
      ratios.push_back(theirs.back() / ours.back());
    }
    fmt::print("{} {:.2f} {:.2f} {:.3f}\n", crypto::name(algorithm), median(ours), median(theirs),
               median(ratios));
  }
  return 0;
}

}  // namespace kubiya::bench
