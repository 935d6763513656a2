// SPDX-License-Identifier: Apache-2.0
#include "identity/preset.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "base/encoding.h"
#include "http/outbound.h"
#include "identity/discovery.h"

namespace kubiya::identity {
namespace {

using crypto::Algorithm;

tl::unexpected<Error> refuse(std::string why) { return fail(Code::invalid, std::move(why)); }

bool has_path(std::string_view url) {
  const std::size_t start = url.find("://");
  return start != url.npos && url.find('/', start + 3) != url.npos;
}

// ---- Entra

struct EntraCloud {
  std::string_view host;
  std::string_view v1;  // in front of the tenant's id in `iss` of version 1 tokens
};
constexpr std::array<EntraCloud, 3> kEntraClouds{{
    {"login.microsoftonline.com", "https://sts.windows.net/"},
    {"login.microsoftonline.us", "https://sts.windows.net/"},
    {"login.partner.microsoftonline.cn", "https://sts.chinacloudapi.cn/"},
}};

bool is_guid(std::string_view text) {
  if (text.size() != 36) return false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    const bool digit = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
    if (dash ? c != '-' : !digit) return false;
  }
  return true;
}

// "https://host/TENANT/v2.0" apart.
struct EntraUrl {
  std::string origin;  // "https://host"
  std::string tenant;
  std::string_view v1;
};

Result<EntraUrl> parse_entra(const std::string& url) {
  const auto target = http::parse_target(url);
  if (!target) return refuse(target.error().message);
  const auto cloud = std::find_if(kEntraClouds.begin(), kEntraClouds.end(),
                                  [&](const EntraCloud& c) { return c.host == target->host; });
  // A tenant's id means something at Microsoft's own hosts only.
  if (cloud == kEntraClouds.end() && !http::is_loopback(*target)) {
    return refuse("entra: the host must be login.microsoftonline.com or that of a national cloud");
  }
  EntraUrl out{target->origin, {}, cloud == kEntraClouds.end() ? kEntraClouds[0].v1 : cloud->v1};
  constexpr std::string_view kV2 = "/v2.0";
  const std::string_view path = std::string_view(url).substr(out.origin.size());
  if (!path.starts_with('/') || !path.ends_with(kV2) || path.size() <= 1 + kV2.size()) {
    return refuse("entra: the URL must be https://login.microsoftonline.com/TENANT-ID/v2.0");
  }
  out.tenant = path.substr(1, path.size() - 1 - kV2.size());
  return out;
}

// Both versions of a tenant's tokens, under one name: which version an application gets is a
// setting of its registration, and a change of it must not make everybody somebody else.
void add_entra_tenant(IssuerOptions& options, const EntraUrl& url, const std::string& tenant) {
  const std::string v2 = fmt::format("{}/{}/v2.0", url.origin, tenant);
  options.rules.forms.push_back({v2, v2, tenant});
  options.rules.forms.push_back({fmt::format("{}{}/", url.v1, tenant), v2, tenant});
}

Result<> complete_entra(IssuerOptions& options) {
  TokenRules& rules = options.rules;
  const EntraUrl url = TRY(parse_entra(options.url));
  const bool many = url.tenant == "organizations" || url.tenant == "common";
  if (!many && !is_guid(url.tenant)) {
    return refuse(
        "entra: the tenant in the URL must be its id (a GUID in lower case), or "
        "organizations with a list of tenants");
  }
  if (many) {
    if (rules.tenants.empty()) {
      return refuse(
          "entra: with organizations or common, tenants must list the accepted tenant ids");
    }
    options.document_issuer = url.origin + "/{tenantid}/v2.0";
    rules.tenant_claim = "tid";
    for (const std::string& tenant : rules.tenants) {
      if (!is_guid(tenant))
        return refuse("entra: tenants must be tenant ids (GUIDs in lower case)");
      add_entra_tenant(options, url, tenant);
    }
  } else {
    add_entra_tenant(options, url, url.tenant);
  }
  if (rules.audiences.empty() && options.client_id.empty()) {
    return refuse("entra: client_id (the application's id) or audience is needed");
  }
  return {};
}

void preset_entra(IssuerOptions& options) {
  TokenRules& rules = options.rules;
  rules.algorithms = {Algorithm::rs256};
  // `sub` differs from application to application; the object's id is the person's in the tenant.
  rules.subject_claims = {"oid"};
  rules.name_claims = {"name", "preferred_username", "unique_name"};
  rules.client_claims = {"azp", "appid"};
  rules.scope_claims = {"scp", "roles"};
  rules.all_scope_claims = true;
  rules.role_claims = {"roles", "groups"};
  if (options.client_id.empty()) return;
  rules.audiences = {options.client_id, "api://" + options.client_id};
  // Asked for by their full name, they come back in `scp` by their own.
  options.scope_prefix = "api://" + options.client_id + "/";
}

// ---- the others

void preset_auth0(TokenRules& rules) {
  rules.algorithms = {Algorithm::rs256, Algorithm::ps256};
  rules.scope_claims = {"permissions", "scope"};
  rules.client_claims = {"azp", "client_id"};
}

void preset_okta(TokenRules& rules) {
  rules.algorithms = {Algorithm::rs256};
  // `sub` is the login, which can be given to somebody else; machines have no uid.
  rules.subject_claims = {"uid", "sub"};
  rules.name_claims = {"name", "sub"};
  rules.client_claims = {"cid"};
  rules.scope_claims = {"scp"};
  rules.role_claims = {"groups"};
}

void preset_google(IssuerOptions& options) {
  TokenRules& rules = options.rules;
  if (options.url.empty()) options.url = "https://accounts.google.com";
  rules.algorithms = {Algorithm::rs256};
  rules.scope_claims = {"scope"};
  rules.role_claims = {"email", "hd"};
  rules.client_claims = {"azp"};
  if (!options.client_id.empty()) rules.audiences = {options.client_id};
}

void preset_keycloak(IssuerOptions& options) {
  TokenRules& rules = options.rules;
  rules.client_claims = {"azp", "client_id"};
  rules.scope_claims = {"scope"};
  rules.all_scope_claims = true;
  // Realm roles are everybody's words: "admin" there is not ours.
  rules.role_claims = {"realm_access.roles", "groups"};
  rules.required_claims = {{"typ", "Bearer"}};
  if (options.client_id.empty()) return;
  rules.scope_claims.push_back(fmt::format("resource_access.{}.roles", options.client_id));
}

Result<> complete_okta(const IssuerOptions& options) {
  if (options.url.find("/oauth2/") != std::string::npos) return {};
  return refuse(
      "okta: the org authorization server's access tokens cannot be verified by others; "
      "use a custom one: https://DOMAIN/oauth2/default");
}

Result<> complete_google(IssuerOptions& options) {
  if (options.rules.audiences.empty()) {
    return refuse("google: client_id (or audience) is needed: it is the audience of ID tokens");
  }
  // As in ID tokens of older clients (OpenID Connect for Google).
  if (options.url == "https://accounts.google.com") {
    options.rules.forms.push_back({"accounts.google.com", options.url, {}});
  }
  return {};
}

}  // namespace

void apply_preset(IssuerOptions& options) {
  switch (options.rules.provider) {
    case Provider::auth0:
      return preset_auth0(options.rules);
    case Provider::okta:
      return preset_okta(options.rules);
    case Provider::google:
      return preset_google(options);
    case Provider::entra:
      return preset_entra(options);
    case Provider::keycloak:
      return preset_keycloak(options);
    case Provider::other:
      return;
  }
}

Result<> complete_preset(IssuerOptions& options) {
  // The tenant's domain is what people have at hand; its `iss` ends with a slash.
  if (options.rules.provider == Provider::auth0 && !has_path(options.url)) options.url += '/';
  options.rules.issuer = options.url;
  options.rules.forms.clear();
  options.document_issuer = options.url;
  if (options.rules.provider == Provider::okta) TRY_VOID(complete_okta(options));
  if (options.rules.provider == Provider::google) TRY_VOID(complete_google(options));
  if (options.rules.provider == Provider::entra) TRY_VOID(complete_entra(options));
  auto& forms = options.rules.forms;
  std::sort(forms.begin(), forms.end(),
            [](const IssuerForm& a, const IssuerForm& b) { return a.iss < b.iss; });
  return {};
}

}  // namespace kubiya::identity
