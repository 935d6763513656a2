// SPDX-License-Identifier: Apache-2.0
#include "identity/provider.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/encoding.h"

namespace kubiya::identity {
namespace {

constexpr std::size_t kHeaderBytes = 1024;

std::string first_audience(const TokenRules& rules) {
  return rules.audiences.empty() ? std::string("this server") : rules.audiences.front();
}

bool about_audience(const Failure& failure) {
  return failure.reason == Reason::wrong_audience ||
         (failure.reason == Reason::bad_claim && failure.detail == "aud");
}

std::string audience_hint(const TokenRules& rules) {
  switch (rules.provider) {
    case Provider::auth0:
      return fmt::format("the client must ask for audience={}", first_audience(rules));
    case Provider::okta:
      return "the audience is a setting of the authorization server in Okta";
    case Provider::google:
      return "the audience of an ID token is the client's id: list it in client_id or audience";
    case Provider::entra:
      return "v2 tokens are for the application's id, v1 tokens for its api:// URI: see client_id";
    case Provider::keycloak:
      return fmt::format("add an audience mapper for {} to the client or a client scope",
                         first_audience(rules));
    case Provider::other:
      break;
  }
  return {};
}

std::string hint(const Failure& failure, const TokenRules& rules) {
  if (about_audience(failure)) return audience_hint(rules);
  if (failure.reason == Reason::group_overage) {
    return "the caller is in too many groups for a token: assign groups to the application, or "
           "use app roles";
  }
  if (rules.provider == Provider::keycloak && failure.detail == "typ is not Bearer") {
    return "this is an ID or refresh token";
  }
  if (rules.provider == Provider::google && failure.reason == Reason::bad_claim &&
      failure.detail.starts_with("email_verified")) {
    return "the address of this account is not verified";
  }
  return {};
}

std::string_view host_part(std::string_view url) {
  const std::size_t scheme = url.find("://");
  const std::size_t start = scheme == url.npos ? 0 : scheme + 3;
  return url.substr(0, std::min(url.find('/', start), url.size()));
}

// The protected header of an encrypted token (RFC 7516 §3.1); nothing for any other text.
std::optional<json::object> encrypted_header(std::string_view text) {
  if (std::count(text.begin(), text.end(), '.') != 4) return std::nullopt;
  const std::string_view part = text.substr(0, text.find('.'));
  if (part.size() > kHeaderBytes) return std::nullopt;
  const auto decoded = unbase64url(part);
  if (!decoded) return std::nullopt;
  auto parsed = parse_json(*decoded, {.depth = 4, .nodes = 64});
  if (!parsed || !parsed->is_object() || !parsed->get_object().contains("enc")) return std::nullopt;
  return std::move(parsed->get_object());
}

}  // namespace

std::string_view to_string(Provider provider) {
  switch (provider) {
    case Provider::auth0:
      return "auth0";
    case Provider::okta:
      return "okta";
    case Provider::google:
      return "google";
    case Provider::entra:
      return "entra";
    case Provider::keycloak:
      return "keycloak";
    case Provider::other:
      break;
  }
  return "";
}

Failure explained(Failure failure, const TokenRules& rules) {
  if (rules.provider == Provider::other) return failure;
  const std::string why = hint(failure, rules);
  if (why.empty()) return failure;
  if (!failure.detail.empty()) failure.detail += "; ";
  failure.detail += why;
  return failure;
}

std::string explain_stranger(std::string_view iss, const TokenRules& rules) {
  const std::string_view ours = rules.issuer;
  const auto with_slash = [](std::string_view longer, std::string_view shorter) {
    return longer.ends_with('/') && longer.substr(0, longer.size() - 1) == shorter;
  };
  if (with_slash(iss, ours) || with_slash(ours, iss))
    return "it differs from a configured one by a slash";
  if (rules.provider == Provider::okta && iss == host_part(ours)) {
    return "this is the Okta org authorization server, whose tokens are for Okta alone: sign in at "
           "the custom authorization server";
  }
  const bool entra = iss.starts_with("https://sts.windows.net/") ||
                     (iss.ends_with("/v2.0") && host_part(iss) == host_part(ours));
  if (rules.provider == Provider::entra && entra) {
    return "an Entra tenant that is not among the accepted ones";
  }
  return {};
}

std::optional<Failure> explain_opaque(std::string_view text, const TokenRules& rules) {
  if (rules.provider == Provider::google && text.starts_with("ya29.")) {
    return Failure{Reason::opaque_token,
                   "Google's access tokens are for Google's own services: send an ID token"};
  }
  if (rules.provider != Provider::auth0) return std::nullopt;
  const auto header = encrypted_header(text);
  const bool dotless = text.find('.') == text.npos;
  if (!dotless && (!header || find_string(*header, "iss").value_or(rules.issuer) != rules.issuer)) {
    return std::nullopt;
  }
  return Failure{Reason::opaque_token,
                 fmt::format("the client asked Auth0 for no audience and got a token for Auth0 "
                             "itself: it must send audience={}",
                             first_audience(rules))};
}

}  // namespace kubiya::identity
