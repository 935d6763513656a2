// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "app/config_rows.h"

namespace kubiya::app::rows {
namespace {

// Rules of the configuration follow the built-in ones.
Key scope_map() {
  const std::string allowed = "items of the form presented=granted or presented=one+two";
  Key key = row("identity.scope_map", "list", allowed,
                "Further names (groups, roles) that grant scopes: `ops-team=read+execute`.");
  key.shape = Shape::list;
  key.set = [allowed](Draft& draft, const Values& values) -> Result<> {
    policy::ScopeRules rules = policy::ScopeRules::defaults();
    for (const std::string& item : values) {
      const std::size_t equals = item.find('=');
      if (equals == 0 || equals == item.npos || equals + 1 == item.size()) {
        return fail(Code::invalid, allowed);
      }
      rules.rules.push_back({item.substr(0, equals), split_sum(item.substr(equals + 1))});
    }
    draft.config.identity.scope_rules = std::move(rules);
    return {};
  };
  key.get = [](Draft& draft) {
    Values items;
    const std::vector<policy::ScopeRules::Rule>& rules = draft.config.identity.scope_rules.rules;
    for (std::size_t i = policy::ScopeRules::defaults().rules.size(); i < rules.size(); ++i) {
      items.push_back(rules[i].presented + "=" + join(rules[i].grants, "+"));
    }
    return items;
  };
  return key;
}

Key dpop_algorithms() {
  const std::string allowed = "names of RFC 7518 and RFC 8037 such as ES256, EdDSA, PS256";
  Key key = row("identity.dpop.algorithms", "list", allowed,
                "Signature algorithms of DPoP proofs (RFC 9449). Empty: none is taken, and tokens "
                "that need one are refused.");
  key.shape = Shape::list;
  key.set = [allowed](Draft& draft, const Values& values) -> Result<> {
    std::vector<crypto::Algorithm> chosen;
    for (const std::string& name : values) {
      const auto algorithm = crypto::algorithm(name);
      if (!algorithm) return fail(Code::invalid, allowed);
      chosen.push_back(*algorithm);
    }
    draft.config.identity.dpop.algorithms = std::move(chosen);
    return {};
  };
  key.get = [](Draft& draft) {
    Values names;
    for (const auto one : draft.config.identity.dpop.algorithms) names.emplace_back(name(one));
    return names;
  };
  return key;
}

}  // namespace

void add_identity(std::vector<Key>& t) {
  t.push_back(
      aliased("KUBIYA_API_KEY",
              secret(
                  "identity.shared_key", [](D& d) -> auto& { return d.config.identity.shared_key; },
                  "API key used for callers without one (API-key mode, loopback).")));
  t.push_back(flagged("--allow-shared-key",
                      toggle(
                          "identity.allow_shared_key",
                          [](D& d) -> auto& { return d.config.identity.allow_shared_key; },
                          "Use the shared key for callers that are not on loopback too.")));
  t.push_back(toggle(
      "identity.allow_key_argument",
      [](D& d) -> auto& { return d.config.identity.allow_key_argument; },
      "Accept the `api_key` argument of tools (API-key mode)."));
  t.push_back(scope_map());
  t.push_back(number(
      "identity.cache_entries", [](D& d) -> auto& { return d.config.identity.cache_entries; },
      {16, 10'000'000}, "Verified tokens remembered per event loop."));
  t.push_back(duration(
      "identity.cache_time", [](D& d) -> auto& { return d.config.identity.cache_seconds; },
      {0, kMinute}, "How long a verified token is remembered."));
  t.push_back(number(
      "identity.cold_per_turn", [](D& d) -> auto& { return d.config.identity.cold_per_turn; },
      {1, 10'000}, "Signature checks per turn of an event loop."));
  t.push_back(duration(
      "identity.link_lifetime", [](D& d) -> auto& { return d.config.one_time.lifetime; },
      {10 * kSecond, 24 * kHour},
      "How long the link works that shows a new API key once. A key that nobody looked at in that "
      "time is revoked."));
  t.push_back(dpop_algorithms());
  t.push_back(duration(
      "identity.dpop.window", [](D& d) -> auto& { return d.config.identity.dpop.window; },
      {kSecond, 10 * kMinute}, "How far a proof's time may be from this server's, either way."));
  t.push_back(number(
      "identity.dpop.proofs", [](D& d) -> auto& { return d.config.identity.dpop.proofs; },
      {64, 100'000'000},
      "Proofs of each issuer's tokens that are remembered for twice that time, so that none serves "
      "twice. When they are too many, further ones are answered 503."));
  t.push_back(toggle(
      "identity.dpop.nonces", [](D& d) -> auto& { return d.config.identity.dpop.nonces; },
      "Ask for a nonce of this server in each proof, so that none can be made ahead of time. It "
      "costs a client one more request every few minutes."));
  t.push_back(duration(
      "outbound.connect_timeout", [](D& d) -> auto& { return d.config.client.connect_timeout; },
      {100, kMinute}, "Connecting to the issuer."));
  t.push_back(duration(
      "outbound.total_timeout", [](D& d) -> auto& { return d.config.client.total_timeout; },
      {100, 5 * kMinute}, "A whole request to the issuer."));
  t.push_back(text(
      "outbound.ca_file", [](D& d) -> auto& { return d.config.client.ca_file; }, "a file",
      "Certificate authorities to trust. Empty: the system's."));
  t.push_back(credential_url(
      "outbound.proxy", [](D& d) -> auto& { return d.config.client.proxy; },
      "Proxy for outbound requests; may carry user and password. Empty: none."));
  t.push_back(number(
      "outbound.in_flight", [](D& d) -> auto& { return d.config.client.in_flight_max; },
      {1, 10'000}, "Outbound requests at a time."));
}

}  // namespace kubiya::app::rows
