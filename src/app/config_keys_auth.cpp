// SPDX-License-Identifier: Apache-2.0
//
// The keys of one issuer: `auth`, and each item of `issuers`.
#include <algorithm>

#include "app/config_issuers.h"
#include "app/config_rows.h"
#include "crypto/signature.h"
#include "workflow/definition.h"

namespace kubiya::app::rows {
namespace {

using identity::ClientAuth;
using identity::Provider;
using identity::TenantRule;
using identity::TokenKind;

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

// Names and what they grant. The last = divides: a role may hold one itself.
template <class At>
Key grants(std::string name, At at, std::string description) {
  const std::string allowed = "items of the form name=scope or name=one+two";
  Key key = row(std::move(name), "list", allowed, std::move(description));
  key.shape = Shape::list;
  key.set = [allowed, at](Draft& draft, const Values& values) -> Result<> {
    std::vector<identity::RoleGrant> all;
    for (const std::string& item : values) {
      const std::size_t equals = item.rfind('=');
      if (equals == item.npos || equals == 0) return fail(Code::invalid, allowed);
      Values scopes = split_sum(item.substr(equals + 1));
      if (scopes.empty() || !check_scope_names(scopes)) return fail(Code::invalid, allowed);
      all.push_back({item.substr(0, equals), std::move(scopes)});
    }
    at(draft) = std::move(all);
    return {};
  };
  key.get = [at](Draft& draft) {
    Values items;
    for (const auto& grant : at(draft)) items.push_back(grant.role + "=" + join(grant.scopes, "+"));
    return items;
  };
  return key;
}

Key required_claims() {
  const std::string allowed = "items of the form path=value";
  Key key = row("auth.required_claims", "list", allowed,
                "Claims that a token must have, exactly so: `email_verified=true`.");
  key.shape = Shape::list;
  key.set = [allowed](Draft& draft, const Values& values) -> Result<> {
    std::vector<identity::RequiredClaim> claims;
    for (const std::string& item : values) {
      const std::size_t equals = item.find('=');
      if (equals == item.npos || equals == 0) return fail(Code::invalid, allowed);
      claims.push_back({item.substr(0, equals), item.substr(equals + 1)});
    }
    draft.issuer.rules.required_claims = std::move(claims);
    return {};
  };
  key.get = [](Draft& draft) {
    Values items;
    for (const auto& claim : draft.issuer.rules.required_claims) {
      items.push_back(claim.path + "=" + claim.value);
    }
    return items;
  };
  return key;
}

void add_provider(std::vector<Key>& t) {
  t.push_back(text(
      "auth.name", [](D& d) -> auto& { return d.issuer.name; }, "a name",
      "What this issuer is called among others."));
  t.push_back(choice(
      "auth.preset", [](D& d) -> auto& { return d.issuer.rules.provider; },
      {{"none", Provider::other},
       {"auth0", Provider::auth0},
       {"okta", Provider::okta},
       {"google", Provider::google},
       {"entra", Provider::entra},
       {"keycloak", Provider::keycloak}},
      "Fills the other keys for this provider; see [providers/](providers/)."));
  t.push_back(text(
      "auth.client_id", [](D& d) -> auto& { return d.issuer.client_id; }, "an id",
      "This server's application at the provider, where a preset needs it."));
}

void add_claims(std::vector<Key>& t) {
  t.push_back(text(
      "auth.scope_prefix", [](D& d) -> auto& { return d.issuer.scope_prefix; }, "text",
      "In front of scope names in challenges and documents, where this is the only issuer."));
  t.push_back(scope_names(
      "auth.sign_in_scopes", [](D& d) -> auto& { return d.issuer.sign_in_scopes; },
      "What challenges and documents tell clients to ask for instead of this server's scopes, "
      "where "
      "the only issuer does not know them."));
  t.push_back(list(
      "auth.subject_claims", [](D& d) -> auto& { return d.issuer.rules.subject_claims; },
      "claim paths", "Who the caller is; the first present counts."));
  t.push_back(list(
      "auth.name_claims", [](D& d) -> auto& { return d.issuer.rules.name_claims; }, "claim paths",
      "The caller's name, for people."));
  t.push_back(list(
      "auth.client_claims", [](D& d) -> auto& { return d.issuer.rules.client_claims; },
      "claim paths", "The client the caller uses, for people."));
  t.push_back(list(
      "auth.key_reference_claims",
      [](D& d) -> auto& { return d.issuer.rules.key_reference_claims; }, "claim paths",
      "Where tokens name a key of the [key vault](key-vault.md) instead of carrying one."));
  t.push_back(required_claims());
  t.push_back(choice(
      "auth.tenant_rule", [](D& d) -> auto& { return d.issuer.tenant_rule; },
      {{"auto", TenantRule::automatic},
       {"fixed", TenantRule::fixed},
       {"claim", TenantRule::claim},
       {"issuer", TenantRule::issuer}},
      "Where the callers' tenant comes from. auto: the claim when there is tenant_claim."));
  t.push_back(text(
      "auth.tenant", [](D& d) -> auto& { return d.issuer.rules.tenant; }, "a name",
      "Tenant of this issuer's callers."));
  t.push_back(text(
      "auth.tenant_claim", [](D& d) -> auto& { return d.issuer.rules.tenant_claim; },
      "a claim path such as org.id",
      "Claim that names the tenant instead. Empty: the fixed tenant."));
  t.push_back(list(
      "auth.tenants", [](D& d) -> auto& { return d.issuer.rules.tenants; }, "names",
      "Tenants accepted in tenant_claim. Empty: any."));
  t.push_back(list(
      "auth.scope_claims", [](D& d) -> auto& { return d.issuer.rules.scope_claims; }, "claim paths",
      "Where scopes are looked for."));
  t.push_back(choice(
      "auth.scope_merge", [](D& d) -> auto& { return d.issuer.rules.all_scope_claims; },
      {{"first", false}, {"all", true}},
      "Whether the first of scope_claims that is present counts, or all together."));
  t.push_back(grants(
      "auth.scope_map", [](D& d) -> auto& { return d.issuer.rules.scope_map; },
      "What scope names of this issuer grant besides: `Workflows.Run=execute`."));
  t.push_back(list(
      "auth.role_claims", [](D& d) -> auto& { return d.issuer.rules.role_claims; }, "claim paths",
      "Where roles and groups are looked for; they grant what role_map says."));
  t.push_back(grants(
      "auth.role_map", [](D& d) -> auto& { return d.issuer.rules.roles; },
      "What the roles and groups in role_claims grant: `Platform Team=read+execute`."));
  t.push_back(choice(
      "auth.group_overage", [](D& d) -> auto& { return d.issuer.rules.ignore_group_overage; },
      {{"refuse", false}, {"ignore", true}},
      "What to do with a token whose groups were left out because there are too many."));
  t.push_back(scope_names(
      "auth.grants", [](D& d) -> auto& { return d.issuer.rules.grants; },
      "Scopes that every caller of this issuer has."));
  t.push_back(scope_names(
      "auth.required_scopes", [](D& d) -> auto& { return d.issuer.rules.required_scopes; },
      "Scopes that every request of its callers needs, on top of required_scopes."));
  t.push_back(list(
      "auth.key_claims", [](D& d) -> auto& { return d.issuer.rules.key_claims; }, "claim paths",
      "Where the caller's Kubiya API key is looked for."));
}

// How this server proves to the issuer who it is. `at` finds an identity::ClientProof.
template <class At>
void add_client(std::vector<Key>& t, const std::string& part, At at) {
  t.push_back(choice(
      part + ".auth", [at](D& d) -> auto& { return at(d).auth; },
      {{"client_secret_basic", ClientAuth::basic},
       {"client_secret_post", ClientAuth::post},
       {"private_key_jwt", ClientAuth::private_key_jwt}},
      "How this server proves who it is."));
  t.push_back(text(
      part + ".client_id", [at](D& d) -> auto& { return at(d).client_id; }, "an id",
      "This server's client at the issuer."));
  t.push_back(secret(
      part + ".client_secret", [at](D& d) -> auto& { return at(d).client_secret; }, "Its secret."));
  t.push_back(secret(
      part + ".private_key", [at](D& d) -> auto& { return at(d).private_key; },
      "Its private key (PEM), for private_key_jwt."));
  t.push_back(text(
      part + ".key_id", [at](D& d) -> auto& { return at(d).key_id; }, "a key id",
      "`kid` of that key. Empty: none is sent."));
  t.push_back(text(
      part + ".assertion_audience", [at](D& d) -> auto& { return at(d).assertion_audience; },
      "a URL", "`aud` of the assertion made with it. Empty: the issuer."));
}

// The last = divides: before it the audience, behind it the workflows that may ask for it.
Key exchange_audiences() {
  const std::string allowed = "items of the form audience, audience=workflow or audience=one+two";
  Key key = row("auth.token_exchange.audiences", "list", allowed,
                "Audiences that steps may ask for a token for, each with the workflows that may. "
                "Without =, all workflows may.");
  key.shape = Shape::list;
  key.set = [allowed](Draft& draft, const Values& values) -> Result<> {
    std::vector<identity::ExchangeRule> rules;
    for (const std::string& item : values) {
      const std::size_t equals = item.rfind('=');
      identity::ExchangeRule rule{item.substr(0, equals), {}};
      if (equals != item.npos) {
        rule.workflows = split_sum(item.substr(equals + 1));
        const bool good = !rule.workflows.empty() &&
                          std::ranges::all_of(rule.workflows, workflow::is_workflow_name);
        if (!good) return fail(Code::invalid, allowed);
      }
      if (rule.audience.empty()) return fail(Code::invalid, allowed);
      rules.push_back(std::move(rule));
    }
    draft.issuer.exchange.audiences = std::move(rules);
    return {};
  };
  key.get = [](Draft& draft) {
    Values items;
    for (const auto& rule : draft.issuer.exchange.audiences) {
      items.push_back(rule.audience + (rule.workflows.empty() ? "" : "=") +
                      join(rule.workflows, "+"));
    }
    return items;
  };
  return key;
}

void add_exchange(std::vector<Key>& t) {
  t.push_back(text(
      "auth.token_exchange.url", [](D& d) -> auto& { return d.issuer.exchange.url; },
      "an https:// URL", "The issuer's token endpoint. Empty: as in its document."));
  add_client(t, "auth.token_exchange", [](D& d) -> auto& { return d.issuer.exchange; });
  t.push_back(exchange_audiences());
  t.push_back(duration(
      "auth.token_exchange.lifetime_max",
      [](D& d) -> auto& { return d.issuer.exchange.lifetime_max; }, {0, 7 * kDay},
      "Longest life of a token that a step is given. 0: any."));
}

void add_introspection(std::vector<Key>& t) {
  t.push_back(text(
      "auth.introspection.url", [](D& d) -> auto& { return d.issuer.introspection.url; },
      "an https:// URL", "Where to ask. Empty: as in the issuer's document."));
  add_client(t, "auth.introspection", [](D& d) -> auto& { return d.issuer.introspection; });
  t.push_back(duration(
      "auth.introspection.cache_time",
      [](D& d) -> auto& { return d.issuer.introspection.cache_time; }, {0, kMinute},
      "How long an answer counts: a revoked token ends by then."));
  t.push_back(duration(
      "auth.introspection.stream_time",
      [](D& d) -> auto& { return d.issuer.introspection.stream_time; }, {kSecond, kHour},
      "How long an event stream stays open; its client opens it again, and the issuer is asked "
      "again."));
  t.push_back(toggle(
      "auth.introspection.allow_missing_audience",
      [](D& d) -> auto& { return d.issuer.introspection.allow_missing_audience; },
      "Accept answers that do not say whom the token is for."));
}

Key issuers() {
  Key key = row("issuers", "list of maps", "a list of maps of the keys of `auth`, with `url`",
                "Several issuers; see above.");
  key.shape = Shape::items;
  key.set = [](Draft& draft, const Values& values) { return read_issuers(draft, values.front()); };
  key.get = [](Draft& draft) { return Values{write_issuers(draft)}; };
  return key;
}

}  // namespace

void add_issuers(std::vector<Key>& t) { t.push_back(issuers()); }

void add_auth(std::vector<Key>& t) {
  add_provider(t);
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
  t.push_back(toggle(
      "auth.dpop_bound_access_tokens_required",
      [](D& d) -> auto& { return d.issuer.rules.require_dpop; },
      "Accept only tokens that are bound to their client's key by DPoP (RFC 9449)."));
  t.push_back(duration(
      "auth.leeway", [](D& d) -> auto& { return d.issuer.rules.leeway; }, {0, kMinute},
      "Tolerated clock difference."));
  t.push_back(duration(
      "auth.lifetime_max", [](D& d) -> auto& { return d.issuer.rules.lifetime_max; },
      {kMinute, 366 * kDay}, "Longest accepted lifetime of a token."));
  add_claims(t);
  t.push_back(duration(
      "auth.refresh", [](D& d) -> auto& { return d.issuer.refresh; }, {kMinute, kDay},
      "Refresh of the issuer's keys."));
  t.push_back(duration(
      "auth.refetch_min", [](D& d) -> auto& { return d.issuer.refetch_min; }, {kSecond, kHour},
      "Between fetches caused by unknown key names."));
  t.push_back(duration(
      "auth.stale_max", [](D& d) -> auto& { return d.issuer.stale_max; }, {kMinute, 7 * kDay},
      "How long keys serve while the issuer is down."));
  t.push_back(list(
      "auth.allow_private", [](D& d) -> auto& { return d.issuer.allow_private; }, "host names",
      "Hosts of the issuer that may be at private addresses."));
  t.push_back(choice(
      "auth.tokens", [](D& d) -> auto& { return d.issuer.tokens; },
      {{"jwt", TokenKind::jwt}, {"opaque", TokenKind::opaque}},
      "What the issuer's access tokens are. opaque: it is asked about each."));
  add_introspection(t);
  add_exchange(t);
}

}  // namespace kubiya::app::rows
