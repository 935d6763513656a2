// SPDX-License-Identifier: Apache-2.0
//
// What no single key of an issuer can tell.
#include <map>

#include <fmt/format.h>

#include "app/config_issuers.h"
#include "app/config_table.h"
#include "base/encoding.h"
#include "crypto/digest.h"
#include "crypto/signature.h"
#include "identity/preset.h"

namespace kubiya::app {
namespace {

using identity::IssuerOptions;
using identity::TenantRule;

// One issuer and how the configuration spells its keys.
struct Place {
  IssuerOptions& issuer;
  std::string prefix;  // "auth." or "issuers[0]."
  bool listed = false;

  tl::unexpected<Error> refuse(std::string_view key, std::string_view why) const {
    const std::string name = listed ? issuer_key("auth." + std::string(key)) : std::string(key);
    return fail(Code::invalid, fmt::format("{}{}: {}", prefix, name, why));
  }
};

Result<> check_urls(const Place& place) {
  if (const Result<> url = identity::check_issuer_url(place.issuer.url); !url) {
    return place.refuse("server", url.error().message);
  }
  const std::string& keys = place.issuer.jwks_uri;
  if (!keys.empty() && !identity::check_jwks_uri(keys)) {
    return place.refuse("jwks_uri", "allowed: https://, http:// on loopback, or file:/path");
  }
  return {};
}

Result<> fill_audiences(const Place& place, const Config& config) {
  auto& rules = place.issuer.rules;
  if (rules.audiences.empty()) {
    rules.audiences = {config.public_url + config.mcp_path, config.public_url};
    // Keycloak's audience mapper offers the application as the audience.
    const bool client = rules.provider == identity::Provider::keycloak;
    if (client && !place.issuer.client_id.empty()) {
      rules.audiences.push_back(place.issuer.client_id);
    }
  }
  for (const std::string& audience : rules.audiences) {
    if (audience.empty() || audience.size() > 1'024) {
      return place.refuse("audience", "allowed: 1 to 1024 bytes each");
    }
  }
  return {};
}

Result<> fill_tenant(const Place& place, bool several) {
  auto& rules = place.issuer.rules;
  TenantRule rule = place.issuer.tenant_rule;
  if (rule == TenantRule::automatic) {
    rule = rules.tenant_claim.empty() ? TenantRule::fixed : TenantRule::claim;
  }
  if (rule == TenantRule::claim) {
    if (rules.tenant_claim.empty()) return place.refuse("tenant_rule", "claim needs tenant_claim");
    if (several && rules.tenants.empty()) {
      return place.refuse("tenant_claim",
                          "with several issuers, list the accepted tenants in tenants: no issuer "
                          "may name another's tenant");
    }
    return {};
  }
  if (!rules.tenant_claim.empty()) {
    return place.refuse("tenant_rule", "with tenant_claim, only claim makes sense");
  }
  if (!rules.tenants.empty()) return place.refuse("tenants", "has no meaning without tenant_claim");
  if (rule == TenantRule::issuer) {
    if (place.issuer.name.empty()) return place.refuse("tenant_rule", "issuer needs name");
    rules.tenant = place.issuer.name;
  }
  if (rules.tenant.empty()) return place.refuse("tenant", "must not be empty");
  return {};
}

Result<> check_claims(const Place& place) {
  const auto& rules = place.issuer.rules;
  if (rules.scope_claims.empty()) return place.refuse("scope_claims", "must not be empty");
  if (rules.subject_claims.empty()) return place.refuse("subject_claims", "must not be empty");
  if (rules.key_claims.empty()) return place.refuse("key_claims", "must not be empty");
  if (!rules.roles.empty() && rules.role_claims.empty()) {
    return place.refuse("role_map", "has no meaning without role_claims");
  }
  return {};
}

Result<> check_client(const Place& place, const std::string& part,
                      const identity::ClientProof& client) {
  if (client.client_id.empty()) return place.refuse(part + ".client_id", "is needed");
  const bool by_key = client.auth == identity::ClientAuth::private_key_jwt;
  if (!by_key && !client.client_secret) return place.refuse(part + ".client_secret", "is needed");
  if (!by_key) return {};
  if (!client.private_key) return place.refuse(part + ".private_key", "is needed");
  if (!crypto::PrivateKey::from_pem(client.private_key->reveal())) {
    return place.refuse(part + ".private_key",
                        "must be a private key in PEM that is not encrypted");
  }
  return {};
}

Result<> check_introspection(const Place& place) {
  const auto& options = place.issuer.introspection;
  if (place.issuer.tokens == identity::TokenKind::jwt) {
    const bool any = !options.url.empty() || !options.client_id.empty() || options.client_secret ||
                     options.private_key;
    if (any) return place.refuse("introspection", "has no meaning without tokens: opaque");
    return {};
  }
  if (!options.url.empty()) {
    if (const auto url = identity::check_endpoint_url(options.url); !url) {
      return place.refuse("introspection.url", url.error().message);
    }
  }
  return check_client(place, "introspection", options);
}

Result<> check_exchange(const Place& place) {
  const identity::ExchangeOptions& options = place.issuer.exchange;
  const bool any = !options.url.empty() || !options.client_id.empty() || options.client_secret ||
                   options.private_key || !options.audiences.empty();
  if (!any) return {};
  if (!options.url.empty()) {
    if (const auto url = identity::check_endpoint_url(options.url); !url) {
      return place.refuse("token_exchange.url", url.error().message);
    }
  }
  if (options.audiences.empty()) {
    return place.refuse("token_exchange.audiences", "must name what steps may ask for");
  }
  return check_client(place, "token_exchange", options);
}

Result<> complete_issuer(const Place& place, const Config& config, bool several) {
  IssuerOptions& issuer = place.issuer;
  if (const auto preset = identity::complete_preset(issuer); !preset) {
    return place.refuse("preset", preset.error().message);
  }
  TRY_VOID(check_urls(place));
  TRY_VOID(fill_audiences(place, config));
  TRY_VOID(fill_tenant(place, several));
  TRY_VOID(check_claims(place));
  if (issuer.rules.require_dpop && config.identity.dpop.algorithms.empty()) {
    return place.refuse("dpop_bound_access_tokens_required", "needs identity.dpop.algorithms");
  }
  TRY_VOID(check_introspection(place));
  TRY_VOID(check_exchange(place));
  issuer.cache_file = config.data_dir + "/issuer-" + crypto::fingerprint(issuer.url) + ".json";
  return {};
}

// What decides whose a token is must have one answer.
Result<> check_distinct(const std::vector<IssuerOptions>& issuers) {
  std::map<std::string_view, std::size_t> known;
  std::map<std::string_view, std::size_t> names;
  std::size_t opaque = 0;
  for (std::size_t i = 0; i < issuers.size(); ++i) {
    const auto refuse = [i](std::string_view key, std::string_view why, std::size_t other) {
      return fail(Code::invalid, fmt::format("issuers[{}].{}: {} issuers[{}]", i, key, why, other));
    };
    const auto& rules = issuers[i].rules;
    const auto own = known.emplace(rules.issuer, i).first->second;
    if (own != i) return refuse("url", "is the same as that of", own);
    for (const auto& form : rules.forms) {
      const auto first = known.emplace(form.iss, i).first->second;
      if (first != i) {
        return refuse("url", fmt::format("its {} is also that of", printable(form.iss)), first);
      }
    }
    const std::string& name = issuers[i].name;
    const auto first = name.empty() ? i : names.emplace(name, i).first->second;
    if (first != i) return refuse("name", "is the same as that of", first);
    opaque += issuers[i].tokens == identity::TokenKind::opaque ? 1 : 0;
    if (opaque > 1) {
      return fail(
          Code::invalid,
          fmt::format("issuers[{}].tokens: opaque is for one issuer at most, because such a "
                      "token does not say whose it is",
                      i));
    }
  }
  return {};
}

}  // namespace

Result<> complete_issuers(Config& config, Draft draft) {
  const bool listed = !draft.issuers.empty();
  if (listed && !draft.issuer.url.empty()) {
    return fail(Code::invalid, "issuers: use either issuers or auth.server");
  }
  if (!listed && draft.issuer.url.empty()) return {};
  config.issuers_listed = listed;
  config.issuers = listed ? std::move(draft.issuers) : std::vector{std::move(draft.issuer)};
  for (std::size_t i = 0; i < config.issuers.size(); ++i) {
    const Place place{config.issuers[i], listed ? fmt::format("issuers[{}].", i) : "auth.", listed};
    TRY_VOID(complete_issuer(place, config, config.issuers.size() > 1));
  }
  return check_distinct(config.issuers);
}

}  // namespace kubiya::app
