// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include <fmt/format.h>

#include "base/encoding.h"
#include "crypto/digest.h"
#include "identity/claim_readers.h"
#include "identity/provider.h"

namespace kubiya::identity {
namespace {

constexpr std::size_t kAudiences = 16;
constexpr std::size_t kSubjectBytes = 256;
constexpr std::size_t kTenantBytes = 128;
constexpr std::size_t kShownBytes = 128;

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

enum class Origin { token, introspection };

Checked<void> check_type(const UnverifiedToken& token, const TokenRules& rules) {
  if (!rules.require_at_jwt) return {};
  if (token.type &&
      (iequals(*token.type, "at+jwt") || iequals(*token.type, "application/at+jwt"))) {
    return {};
  }
  return fail(Reason::wrong_token_type, "at+jwt is required");
}

// What the caller's issuer is called. `tid` belongs to the spelling: where one name stands for
// many tenants, the two must speak of the same.
Checked<std::string> check_issuer(const json::object& claims, const TokenRules& rules) {
  const auto issuer = find_string(claims, "iss");
  if (!issuer) return fail(Reason::bad_claim, "iss");
  if (!accepts_issuer(rules, *issuer)) return fail(Reason::wrong_issuer);
  const IssuerForm* form = find_form(rules, *issuer);
  if (form == nullptr) return rules.issuer;
  if (!form->tenant_id.empty() && find_string(claims, "tid") != form->tenant_id) {
    return fail(Reason::wrong_tenant, "tid is not the tenant of iss");
  }
  return form->issuer;
}

Checked<void> check_required(const json::object& claims, const TokenRules& rules) {
  for (const RequiredClaim& wanted : rules.required_claims) {
    const json::value* value = find_claim(claims, wanted.path);
    const bool text =
        value != nullptr && value->is_string() && view(value->get_string()) == wanted.value;
    const bool boolean = value != nullptr && value->is_bool() &&
                         wanted.value == (value->get_bool() ? "true" : "false");
    if (!text && !boolean) return fail(Reason::bad_claim, wanted.path + " is not " + wanted.value);
  }
  return {};
}

bool is_ours(std::string_view audience, const TokenRules& rules) {
  return !audience.empty() && std::find(rules.audiences.begin(), rules.audiences.end(), audience) !=
                                  rules.audiences.end();
}

Checked<void> check_audience(const json::object& claims, const TokenRules& rules, Trail* trail) {
  begin(trail, Check::audience);
  say(trail, [&] { return fmt::format("accepted: {}", fmt::join(rules.audiences, ", ")); });
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
  if (!ours)
    return fail(Reason::wrong_audience, "it is for " + printable(to_json(*value), kShownBytes));
  return {};
}

struct Times {
  Wall expires_at = Wall::max();  // of an introspection answer that names none
  std::optional<Wall> issued_at;
};

Checked<Times> check_times(const json::object& claims, const TokenRules& rules, Origin origin,
                           Wall now_wall) {
  const double now = seconds(now_wall);
  const double leeway = Seconds(rules.leeway).count();
  const auto expires = TRY(read_time(claims, "exp"));
  const auto not_before = TRY(read_time(claims, "nbf"));
  const auto issued = TRY(read_time(claims, "iat"));
  if (!expires && origin == Origin::token) return fail(Reason::bad_claim, "exp");
  if (expires && *expires + leeway <= now) return fail(Reason::token_expired);
  if (not_before && *not_before > now + leeway) return fail(Reason::token_not_yet_valid);
  if (issued && *issued > now + leeway) return fail(Reason::issued_in_future);
  Times out;
  if (issued) out.issued_at = wall(*issued);
  if (!expires) return out;
  if (*expires - issued.value_or(now) > Seconds(rules.lifetime_max).count()) {
    return fail(Reason::lifetime_too_long);
  }
  out.expires_at = wall(*expires);
  return out;
}

Checked<std::string> read_subject(const json::object& claims, const TokenRules& rules) {
  const json::value* value = nullptr;
  for (const std::string& path : rules.subject_claims) {
    value = find_claim(claims, path);
    if (value != nullptr) break;
  }
  if (value == nullptr || !value->is_string()) {
    return fail(Reason::bad_subject, "missing or not a string");
  }
  const std::string_view subject = view(value->get_string());
  if (!is_plain(subject, kSubjectBytes)) return fail(Reason::bad_subject);
  return std::string(subject);
}

Checked<std::string> read_tenant(const json::object& claims, const TokenRules& rules) {
  if (rules.tenant_claim.empty()) return rules.tenant;
  const json::value* value = find_claim(claims, rules.tenant_claim);
  if (value == nullptr || !value->is_string()) {
    return fail(Reason::wrong_tenant, "missing or not a string");
  }
  const std::string_view tenant = view(value->get_string());
  if (!is_plain(tenant, kTenantBytes)) return fail(Reason::wrong_tenant);
  const auto& allowed = rules.tenants;
  if (!allowed.empty() && std::find(allowed.begin(), allowed.end(), tenant) == allowed.end()) {
    return fail(Reason::wrong_tenant, "not one of the accepted: " + printable(tenant, kShownBytes));
  }
  return std::string(tenant);
}

Checked<Scopes> read_all_scopes(const json::object& claims, const TokenRules& rules) {
  Scopes named = TRY(read_scopes(claims, rules));
  if (rules.roles.empty() && rules.grants.empty()) return named;
  return named.unite(TRY(read_role_grants(claims, rules))).unite(rules.grants);
}

// What there is of the claims that scopes may come from, for whoever reads the trail.
std::string scope_sources(const json::object& claims, const TokenRules& rules) {
  std::vector<std::string> present;
  for (const auto* paths : {&rules.scope_claims, &rules.role_claims}) {
    for (const std::string& path : *paths) {
      if (find_claim(claims, path) != nullptr) present.push_back(path);
    }
  }
  return present.empty() ? "no claim names any" : fmt::format("{}", fmt::join(present, ", "));
}

std::string described(const FoundKey& found, const TokenRules& rules) {
  if (!found.key) return fmt::format("none in {}", fmt::join(rules.key_claims, ", "));
  return fmt::format("{} (fingerprint {})", found.source, crypto::fingerprint(found.key->reveal()));
}

std::string described(const Confirmation* bound) {
  if (bound == nullptr) return "bound to nothing";
  std::string out;
  if (!bound->key.empty()) out = "bound to a key: each request needs a DPoP proof";
  if (bound->certificate.empty()) return out;
  return out + (out.empty() ? "" : "; ") + "bound to a client certificate";
}

std::string lifetime(Wall expires_at, Wall now) {
  if (expires_at == Wall::max()) return "without an end";
  const auto left = std::chrono::duration_cast<std::chrono::seconds>(expires_at - now).count();
  return fmt::format("until {}, for {} s", format_time(expires_at), left);
}

// Whether a client got the token in its own name. RFC 9068 §2.2 gives such a token the client's id
// as its subject; the rest is how Auth0, Entra ID and Keycloak say it. Told to the reader of the
// audit trail; it decides nothing.
bool acts_for_itself(const json::object& claims, const TokenFacts& facts) {
  if (find_string(claims, "gty") == "client-credentials") return true;
  if (find_string(claims, "idtyp") == "app") return true;
  if (facts.client.empty()) return false;
  if (facts.subject == facts.client) return true;
  constexpr std::string_view kServiceAccount = "service-account-";
  const std::string_view name = find_string(claims, "preferred_username").value_or("");
  return name.starts_with(kServiceAccount) &&
         iequals(name.substr(kServiceAccount.size()), facts.client);
}

// Everything but issuer and audience, which tokens and introspection answers treat differently.
Checked<TokenFacts> read_facts(const json::object& claims, const TokenRules& rules, Origin origin,
                               std::string issuer, Wall now, Trail* trail) {
  TokenFacts facts;
  facts.issuer = std::move(issuer);
  begin(trail, Check::required_claims);
  TRY_VOID(check_required(claims, rules));
  begin(trail, Check::times);
  const Times times = TRY(check_times(claims, rules, origin, now));
  facts.expires_at = times.expires_at;
  facts.issued_at = times.issued_at;
  say(trail, [&] { return lifetime(facts.expires_at, now); });
  begin(trail, Check::subject);
  facts.subject = TRY(read_subject(claims, rules));
  say(trail, [&] { return facts.subject; });
  begin(trail, Check::proof);
  facts.confirmation = TRY(read_confirmation(claims));
  say(trail, [&] { return described(facts.confirmation.get()); });
  begin(trail, Check::tenant);
  facts.tenant = TRY(read_tenant(claims, rules));
  say(trail, [&] { return facts.tenant; });
  begin(trail, Check::scopes);
  say(trail, [&] { return scope_sources(claims, rules); });
  facts.scopes = TRY(read_all_scopes(claims, rules));
  say(trail, [&] { return "grants " + (facts.scopes.empty() ? "none" : facts.scopes.text()); });
  facts.groups = read_groups(claims, rules);
  begin(trail, Check::key_claim);
  FoundKey found = TRY(read_api_key(claims, rules));
  say(trail, [&] { return described(found, rules); });
  facts.api_key = std::move(found.key);
  facts.api_key_source = std::move(found.source);
  facts.key_reference = TRY(read_key_reference(claims, rules));
  facts.display_name = shown_claim(claims, rules.name_claims);
  facts.email = shown_email(claims);
  facts.client = shown_claim(claims, rules.client_claims);
  facts.of_client = acts_for_itself(claims, facts);
  return facts;
}

Checked<TokenFacts> check_token(const UnverifiedToken& token, const TokenRules& rules, Wall now,
                                Trail* trail) {
  begin(trail, Check::type);
  say(trail, [&] { return token.type ? "typ " + *token.type : std::string("no typ"); });
  TRY_VOID(check_type(token, rules));
  std::string issuer = TRY(check_issuer(token.claims, rules));
  TRY_VOID(check_audience(token.claims, rules, trail));
  return read_facts(token.claims, rules, Origin::token, std::move(issuer), now, trail);
}

}  // namespace

bool accepts_issuer(const TokenRules& rules, std::string_view iss) {
  if (rules.issuer.empty()) return false;
  return iss == rules.issuer || find_form(rules, iss) != nullptr;
}

bool calls_its_callers(const TokenRules& rules, std::string_view issuer) {
  return issuer == rules.issuer ||
         std::ranges::any_of(rules.forms, [&](const auto& form) { return form.issuer == issuer; });
}

const IssuerForm* find_form(const TokenRules& rules, std::string_view iss) {
  const auto before = [](const IssuerForm& form, std::string_view text) { return form.iss < text; };
  const auto at = std::lower_bound(rules.forms.begin(), rules.forms.end(), iss, before);
  return at != rules.forms.end() && at->iss == iss ? &*at : nullptr;
}

Checked<TokenFacts> check_claims(const UnverifiedToken& token, const TokenRules& rules, Wall now,
                                 Trail* trail) {
  auto facts = check_token(token, rules, now, trail);
  if (!facts) return fail(explained(std::move(facts).error(), rules));
  return facts;
}

Checked<TokenFacts> check_introspected(const json::object& members, const TokenRules& rules,
                                       bool allow_missing_audience, Wall now, Trail* trail) {
  std::string issuer = rules.issuer;
  begin(trail, Check::issuer);
  if (members.contains("iss")) issuer = TRY(check_issuer(members, rules));
  if (members.contains("aud") || !allow_missing_audience) {
    TRY_VOID(check_audience(members, rules, trail));
  }
  return read_facts(members, rules, Origin::introspection, std::move(issuer), now, trail);
}

}  // namespace kubiya::identity
