// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "app/config_rows.h"
#include "crypto/signature.h"

namespace kubiya::app::rows {
namespace {

Values algorithm_names(const std::vector<crypto::Algorithm>& algorithms) {
  Values names;
  for (const crypto::Algorithm algorithm : algorithms) names.emplace_back(crypto::name(algorithm));
  return names;
}

Key algorithms() {
  const std::string allowed = "one or more of " +
                              join(algorithm_names(default_draft().issuer.rules.algorithms), ", ") +
                              " (never none, never HS*)";
  Key key = row("auth.algorithms", "list", allowed,
                "Signature algorithms accepted from this issuer, whatever a token asks for.");
  key.shape = Shape::list;
  key.set = [allowed](Draft& draft, const Values& values) -> Result<> {
    std::vector<crypto::Algorithm> chosen;
    for (const std::string& name : values) {
      const std::optional<crypto::Algorithm> algorithm = crypto::algorithm(name);
      if (!algorithm) return fail(Code::invalid, allowed);
      chosen.push_back(*algorithm);
    }
    if (chosen.empty()) return fail(Code::invalid, allowed);
    draft.issuer.rules.algorithms = std::move(chosen);
    return {};
  };
  key.get = [](Draft& draft) { return algorithm_names(draft.issuer.rules.algorithms); };
  return key;
}

// Rules of the configuration follow the built-in ones.
Key scope_map() {
  const std::string allowed = "items of the form presented=granted or presented=one+two";
  Key key = row("identity.scope_map", "list", allowed,
                "Further names (groups, roles) that grant scopes: `ops-team=read+execute`.");
  key.shape = Shape::list;
  key.set = [allowed](Draft& draft, const Values& values) -> Result<> {
    policy::ScopeRules rules = policy::ScopeRules::defaults();
    for (std::string item : values) {
      const std::size_t equals = item.find('=');
      if (equals == 0 || equals == item.npos || equals + 1 == item.size()) {
        return fail(Code::invalid, allowed);
      }
      std::string grants = item.substr(equals + 1);
      std::replace(grants.begin(), grants.end(), '+', ' ');
      rules.rules.push_back({item.substr(0, equals), split_list(grants)});
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

}  // namespace

void add_auth(std::vector<Key>& t) {
  t.push_back(
      flagged("--auth-server", text(
                                   "auth.server", [](D& d) -> auto& { return d.issuer.url; },
                                   "an https:// URL (http:// on loopback only)",
                                   "The issuer, exactly as in its tokens. Empty: API-key mode.")));
  t.push_back(flagged("--auth-type", choice(
                                         "auth.type", [](D& d) -> auto& { return d.issuer.form; },
                                         {{"oidc", identity::DiscoveryForm::oidc},
                                          {"oauth", identity::DiscoveryForm::oauth}},
                                         "How its documents are found.")));
  t.push_back(flagged(
      "--audience",
      aliased(
          "KUBIYA_AUDIENCE",
          list(
              "auth.audience", [](D& d) -> auto& { return d.issuer.rules.audiences; },
              "one or more audiences",
              "Accepted `aud` values, exact. Empty: public_url with mcp_path, and public_url."))));
  t.push_back(algorithms());
  t.push_back(text(
      "auth.jwks_uri", [](D& d) -> auto& { return d.issuer.jwks_uri; },
      "an https:// URL, or file:/path",
      "Key set to use instead of the one the issuer's document names."));
  t.push_back(toggle(
      "auth.require_at_jwt", [](D& d) -> auto& { return d.issuer.rules.require_at_jwt; },
      "Accept access tokens of RFC 9068 (`typ: at+jwt`) only."));
  t.push_back(duration(
      "auth.leeway", [](D& d) -> auto& { return d.issuer.rules.leeway; }, {0, kMinute},
      "Tolerated clock difference."));
  t.push_back(duration(
      "auth.lifetime_max", [](D& d) -> auto& { return d.issuer.rules.lifetime_max; },
      {kMinute, 366 * kDay}, "Longest accepted lifetime of a token."));
  t.push_back(text(
      "auth.tenant", [](D& d) -> auto& { return d.issuer.rules.tenant; }, "a name",
      "Tenant of this issuer's callers."));
  t.push_back(text(
      "auth.tenant_claim", [](D& d) -> auto& { return d.issuer.rules.tenant_claim; },
      "a claim path such as org.id",
      "Claim that names the tenant instead. Empty: the fixed tenant."));
  t.push_back(list(
      "auth.scope_claims", [](D& d) -> auto& { return d.issuer.rules.scope_claims; }, "claim paths",
      "Where scopes are looked for; the first present counts."));
  t.push_back(list(
      "auth.key_claims", [](D& d) -> auto& { return d.issuer.rules.key_claims; }, "claim paths",
      "Where the caller's Kubiya API key is looked for."));
  t.push_back(duration(
      "auth.refresh", [](D& d) -> auto& { return d.issuer.refresh; }, {kMinute, kDay},
      "Refresh of the issuer's keys."));
  t.push_back(duration(
      "auth.refetch_min", [](D& d) -> auto& { return d.issuer.refetch_min; }, {kSecond, kHour},
      "Between fetches caused by unknown key names."));
  t.push_back(duration(
      "auth.stale_max", [](D& d) -> auto& { return d.issuer.stale_max; }, {kMinute, 7 * kDay},
      "How long keys serve while the issuer is down."));
  add_identity(t);
}

}  // namespace kubiya::app::rows
