// SPDX-License-Identifier: Apache-2.0
//
// How one issuer's tokens are judged. Every field has a configuration key.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "base/scopes.h"
#include "crypto/signature.h"

namespace kubiya::identity {

enum class Provider { other, auth0, okta, google, entra, keycloak };
std::string_view to_string(Provider provider);  // "other" is ""

// One more spelling of `iss` of the same issuer. Compared byte for byte.
struct IssuerForm {
  std::string iss;
  std::string issuer;     // what its callers' issuer is called, so that a person stays one person
  std::string tenant_id;  // must equal the claim `tid`; empty: not asked
};

struct RoleGrant {
  std::string role;  // exact
  std::vector<std::string> scopes;
};

struct RequiredClaim {
  std::string path;
  std::string value;  // of a string, exact; "true" or "false" of a boolean
};

struct TokenRules {
  Provider provider = Provider::other;        // whose peculiarities a refusal explains
  std::string issuer;                         // byte for byte
  std::vector<IssuerForm> forms;              // others than `issuer`, sorted by iss
  std::vector<std::string> audiences;         // never empty; exact
  std::vector<crypto::Algorithm> algorithms;  // never empty
  bool require_at_jwt = false;                // RFC 9068 profile: `typ` must be at+jwt
  bool require_dpop = false;                  // RFC 9449: `cnf.jkt` must be there
  std::vector<RequiredClaim> required_claims;
  std::chrono::seconds leeway{30};
  std::chrono::seconds lifetime_max{24 * 3600};

  // Paths name a top-level member ("https://corp.example/tenant") or, when there is none of
  // that name, members inside members ("app.tenant").
  std::vector<std::string> subject_claims{"sub"};  // the first present counts
  std::vector<std::string> name_claims{"name", "preferred_username"};
  std::vector<std::string> client_claims{"client_id", "azp"};
  std::string tenant = "default";
  std::string tenant_claim;          // path; empty: the fixed tenant above
  std::vector<std::string> tenants;  // accepted ones; empty: any

  // Claim paths looked up in order for scopes; the first present wins, `scope` and `scp`
  // both present and unequal is a refusal. String (single spaces) or array of strings; an
  // element of an array that is no scope name (RFC 6749 §3.3) grants nothing.
  std::vector<std::string> scope_claims{"scope", "scopes", "scp", "permissions", "roles"};
  bool all_scope_claims = false;     // all that are present count together, not the first alone
  std::vector<RoleGrant> scope_map;  // what this issuer's own scope names grant besides
  // Paths of names that are no scopes: groups, roles, `email` (only when verified). They grant
  // what `roles` says and nothing else.
  std::vector<std::string> role_claims;
  std::vector<RoleGrant> roles;
  bool ignore_group_overage = false;  // serve tokens whose groups were left out for their number
  Scopes grants;                      // what every caller of this issuer has
  Scopes required_scopes;             // what every request of its callers needs

  // Where the caller's Kubiya key may be, in order (the seed's three). Different values in two
  // of them are a refusal.
  std::vector<std::string> key_claims{"kubiya_api_key", "api_key", "metadata.kubiya_api_key"};
  // Where a token names a key of the vault instead of carrying one. None: nowhere.
  std::vector<std::string> key_reference_claims;
};

// Whether the issuer's tokens may name it so.
bool accepts_issuer(const TokenRules& rules, std::string_view iss);
// Whether the issuer of its callers is called so (IssuerForm::issuer).
bool calls_its_callers(const TokenRules& rules, std::string_view issuer);
// The form of exactly this spelling; null for `rules.issuer` and for strangers.
const IssuerForm* find_form(const TokenRules& rules, std::string_view iss);

}  // namespace kubiya::identity
