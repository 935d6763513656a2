// SPDX-License-Identifier: Apache-2.0
//
// For tests: an authenticator with what it leans on, one event loop and a clock moved by hand.
#pragma once

#include <gtest/gtest.h>

#include <deque>

#include "identity/authenticator.h"
#include "identity/provider_fixture.h"

namespace kubiya::identity::test {

inline Presented bearer(std::string_view value) {
  Presented out;
  out.authorization = value;
  out.authorization_count = 1;
  return out;
}

inline std::string outcome(const Verdict& verdict) {
  return verdict ? "served" : std::string(to_string(verdict.error().reason));
}
inline std::string outcome(const std::optional<Verdict>& verdict) {
  return verdict ? outcome(*verdict) : "not yet";
}

struct KeyFacts {
  std::string tenant = "acme";
  std::string owner = "ada";
  std::string scopes = {};
  std::int64_t expires_ms = 0;
  std::int64_t revoked_ms = 0;
  std::string issuer = std::string(store::kKeyIssuer);
};

// A server with one event loop that runs what is posted when told to.
struct World {
  FakeClient client;
  ManualClock clock;
  Secret pepper{"pepper of the tests"};
  KeyBook keys{pepper};
  PersonBook people;
  AuthenticatorOptions options;
  std::deque<std::function<void()>> posted;
  std::unique_ptr<Authenticator> authenticator;

  void open_tokens(std::vector<IssuerOptions> issuers = {issuer_options()}) {
    options.mode = Mode::token;
    std::vector<std::unique_ptr<Issuer>> list;
    for (auto& issuer : issuers) list.push_back(Issuer::open(std::move(issuer), client, clock));
    authenticator = Authenticator::open(options, std::move(list), keys, clock, people);
  }
  void open_keys() { authenticator = Authenticator::open(options, {}, keys, clock, people); }

  NewKey add_key(const KeyFacts& facts) {
    NewKey key = make_key(pepper);
    store::KeyRow row;
    row.id = key.id;
    row.digest = key.digest;
    row.tenant = facts.tenant;
    row.issuer = facts.issuer;
    row.owner = facts.owner;
    row.scopes = facts.scopes;
    row.expires_ms = facts.expires_ms;
    row.revoked_ms = facts.revoked_ms;
    rows.push_back(row);
    keys.replace(rows);
    return key;
  }
  std::vector<store::KeyRow> rows;

  std::optional<Verdict> now(const Presented& presented) {
    return authenticator->now(presented, 0);
  }
  std::optional<Verdict> token(const std::string& text) { return now(bearer("Bearer " + text)); }
  void later(const std::string& text, std::vector<std::string>& outcomes) {
    const std::string header = "Bearer " + text;
    authenticator->later(
        bearer(header), 0,
        [this](std::function<void()> work) { posted.push_back(std::move(work)); },
        [&outcomes](Verdict verdict) { outcomes.push_back(outcome(verdict)); });
  }
  bool run_one() {
    if (posted.empty()) return false;
    const auto work = std::move(posted.front());
    posted.pop_front();
    work();
    return true;
  }
  void run_all() {
    while (run_one()) {
    }
  }
  // now(), and later() when that is what it takes.
  std::string judged(const std::string& text) {
    if (const auto verdict = token(text)) return outcome(*verdict);
    std::vector<std::string> outcomes;
    later(text, outcomes);
    EXPECT_TRUE(outcomes.empty()) << "done() runs behind later()";
    run_all();
    EXPECT_EQ(outcomes.size(), 1u);
    return outcomes.empty() ? "none" : outcomes[0];
  }
};

inline std::string claims_token(const json::object& changes) {
  json::object claims = default_claims();
  for (const auto& change : changes) claims[change.key()] = change.value();
  return token_by("rsa", 0, claims);
}

}  // namespace kubiya::identity::test
