// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "base/encoding.h"
#include "identity/claim_readers.h"

namespace kubiya::identity {
namespace {

constexpr std::size_t kAudiences = 16;
constexpr std::size_t kSubjectBytes = 256;
constexpr std::size_t kTenantBytes = 128;

// Times of claims are compared as doubles: they have room for every number a token can hold,
// where an integer would wrap, and are exact to under a microsecond in this century.
using Seconds = std::chrono::duration<double>;

double seconds(Wall time) {
  return std::chrono::duration_cast<Seconds>(time.time_since_epoch()).count();
}

Wall wall(double at) {
  constexpr double kLast = 9.2e9;  // Wall counts nanoseconds in 63 bits
  if (at >= kLast) return Wall::max();
  return Wall(std::chrono::duration_cast<Wall::duration>(Seconds(std::max(at, 0.0))));
}

Checked<void> check_type(const UnverifiedToken& token, const TokenRules& rules) {
  if (!rules.require_at_jwt) return {};
  if (token.type &&
      (iequals(*token.type, "at+jwt") || iequals(*token.type, "application/at+jwt"))) {
    return {};
  }
  return fail(Reason::wrong_token_type, "at+jwt is required");
}

Checked<void> check_issuer(const json::object& claims, const TokenRules& rules) {
  const auto issuer = find_string(claims, "iss");
  if (!issuer) return fail(Reason::bad_claim, "iss");
  if (*issuer != rules.issuer || rules.issuer.empty()) return fail(Reason::wrong_issuer);
  return {};
}

bool is_ours(std::string_view audience, const TokenRules& rules) {
  return !audience.empty() && std::find(rules.audiences.begin(), rules.audiences.end(), audience) !=
                                  rules.audiences.end();
}

Checked<void> check_audience(const json::object& claims, const TokenRules& rules) {
  const json::value* value = find(claims, "aud");
  bool ours = false;
  if (value != nullptr && value->is_string()) {
    ours = is_ours(view(value->get_string()), rules);
  } else if (value != nullptr && value->is_array()) {
    const json::array& list = value->get_array();
    if (list.empty() || list.size() > kAudiences) return fail(Reason::bad_claim, "aud");
    for (const json::value& item : list) {
      if (!item.is_string()) return fail(Reason::bad_claim, "aud");
      ours = ours || is_ours(view(item.get_string()), rules);
    }
  } else {
    return fail(Reason::bad_claim, "aud");
  }
  if (!ours) return fail(Reason::wrong_audience);
  return {};
}

// The moment of expiry.
Checked<Wall> check_times(const json::object& claims, const TokenRules& rules, Wall now_wall) {
  const double now = seconds(now_wall);
  const double leeway = Seconds(rules.leeway).count();
  const auto expires = TRY(read_time(claims, "exp"));
  const auto not_before = TRY(read_time(claims, "nbf"));
  const auto issued = TRY(read_time(claims, "iat"));
  if (!expires) return fail(Reason::bad_claim, "exp");
  if (*expires + leeway <= now) return fail(Reason::token_expired);
  if (not_before && *not_before > now + leeway) return fail(Reason::token_not_yet_valid);
  if (issued && *issued > now + leeway) return fail(Reason::issued_in_future);
  if (*expires - issued.value_or(now) > Seconds(rules.lifetime_max).count()) {
    return fail(Reason::lifetime_too_long);
  }
  return wall(*expires);
}

Checked<std::string> read_subject(const json::object& claims) {
  const auto subject = find_string(claims, "sub");
  if (!subject) return fail(Reason::bad_subject, "missing or not a string");
  if (!is_plain(*subject, kSubjectBytes)) return fail(Reason::bad_subject);
  return std::string(*subject);
}

Checked<std::string> read_tenant(const json::object& claims, const TokenRules& rules) {
  if (rules.tenant_claim.empty()) return rules.tenant;
  const json::value* value = find_claim(claims, rules.tenant_claim);
  if (value == nullptr || !value->is_string()) {
    return fail(Reason::wrong_tenant, "missing or not a string");
  }
  const std::string_view tenant = view(value->get_string());
  if (!is_plain(tenant, kTenantBytes)) return fail(Reason::wrong_tenant);
  return std::string(tenant);
}

// One @ only: of "a@evil.example@corp.example" two readers would take two different domains.
std::string read_email(const json::object& claims) {
  std::string email = shown_claim(claims, {"email"});
  if (std::count(email.begin(), email.end(), '@') != 1) return {};
  return email;
}

}  // namespace

Checked<TokenFacts> check_claims(const UnverifiedToken& token, const TokenRules& rules, Wall now) {
  const json::object& claims = token.claims;
  TRY_VOID(check_type(token, rules));
  TRY_VOID(check_issuer(claims, rules));
  TRY_VOID(check_audience(claims, rules));
  TokenFacts facts;
  facts.expires_at = TRY(check_times(claims, rules, now));
  facts.issuer = rules.issuer;
  facts.subject = TRY(read_subject(claims));
  if (claims.contains("cnf")) return fail(Reason::proof_required);
  facts.tenant = TRY(read_tenant(claims, rules));
  facts.scopes = TRY(read_scopes(claims, rules));
  FoundKey found = TRY(read_api_key(claims, rules));
  facts.api_key = std::move(found.key);
  facts.api_key_source = std::move(found.source);
  facts.display_name = shown_claim(claims, {"name", "preferred_username"});
  facts.email = read_email(claims);
  facts.client = shown_claim(claims, {"client_id", "azp"});
  return facts;
}

}  // namespace kubiya::identity
