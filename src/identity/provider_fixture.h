// SPDX-License-Identifier: Apache-2.0
//
// An identity provider without a network and a clock that stands still; for tests only.
#pragma once

#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/log.h"
#include "http/client.h"
#include "identity/issuer.h"
#include "identity/token_fixture.h"

namespace kubiya::identity::test {

class ManualClock final : public Clock {
 public:
  Wall wall() const override { return wall_; }
  Mono mono() const override { return mono_; }
  void advance(std::chrono::milliseconds by) {
    wall_ += by;
    mono_ += by;
  }
  void step_wall(std::chrono::seconds by) { wall_ += by; }

 private:
  Wall wall_ = at(kNow);
  Mono mono_{std::chrono::hours(1000)};
};

// Answers from a table, at once or, while `hold` is set, when deliver() is called. One thread.
class FakeClient final : public http::Client {
 public:
  FakeClient() { log::set_level(Level::off); }
  void fetch(http::FetchRequest request, Done done) override {
    requests.push_back(request);
    held_.emplace_back(std::move(request.url), std::move(done));
    if (!hold) deliver();
  }
  void deliver() {
    auto held = std::exchange(held_, {});
    for (auto& [url, done] : held) {
      const auto found = answers.find(url);
      done(found == answers.end() ? Result<http::FetchResponse>(response(404, "")) : found->second);
    }
  }
  static http::FetchResponse response(int status, std::string body) {
    http::FetchResponse out;
    out.status = status;
    out.body = std::move(body);
    return out;
  }
  void answer(const std::string& url, std::string body, int status = 200, int max_age = -1) {
    http::FetchResponse full = response(status, std::move(body));
    full.max_age = std::chrono::seconds(max_age);
    answers.insert_or_assign(url, std::move(full));
  }
  void fail_with(const std::string& url, Code code, std::string message) {
    answers.insert_or_assign(url,
                             Result<http::FetchResponse>(kubiya::fail(code, std::move(message))));
  }
  int count(std::string_view url) const {
    return static_cast<int>(std::count_if(requests.begin(), requests.end(),
                                          [&](const auto& r) { return r.url == url; }));
  }

  std::map<std::string, Result<http::FetchResponse>> answers;
  std::vector<http::FetchRequest> requests;
  bool hold = false;

 private:
  std::vector<std::pair<std::string, Done>> held_;
};

inline const std::string kDiscovery = std::string(kIssuer) + "/.well-known/openid-configuration";
inline const std::string kOauthDiscovery =
    std::string(kIssuer) + "/.well-known/oauth-authorization-server";
inline const std::string kJwks = std::string(kIssuer) + "/jwks";

inline std::string metadata_text(std::string_view issuer = kIssuer, std::string_view jwks = kJwks) {
  return to_json(json::object{{"issuer", issuer}, {"jwks_uri", jwks}});
}
inline std::string one_key(const char* kid, int number = 0) {
  return set_text({jwk(KeyType::rsa, {{"kid", kid}}, number)});
}
inline std::string two_keys() {
  return set_text({jwk(KeyType::rsa, {{"kid", "rsa"}}), jwk(KeyType::rsa, {{"kid", "rsa2"}}, 1)});
}
// A good token of the key `number`, named `kid`.
inline std::string token_by(const char* kid, int number, json::object claims = default_claims()) {
  json::object header = default_header();
  header["kid"] = kid;
  return token_of(to_json(header), to_json(claims), Algorithm::rs256, number);
}

inline IssuerOptions issuer_options() {
  IssuerOptions options;
  options.url = kIssuer;
  options.rules = default_rules();
  return options;
}

// A provider that works.
inline void publish(FakeClient& client, std::string keys = one_key("rsa"), int max_age = -1) {
  client.answer(kDiscovery, metadata_text());
  client.answer(kJwks, std::move(keys), 200, max_age);
}

}  // namespace kubiya::identity::test
