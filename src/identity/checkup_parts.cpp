// SPDX-License-Identifier: Apache-2.0
#include "identity/checkup_parts.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/encoding.h"
#include "base/json.h"
#include "http/outbound.h"
#include "identity/key_set.h"

namespace kubiya::identity {
namespace {

using crypto::Algorithm;
using Texts = std::vector<std::string>;

constexpr std::size_t kShown = 200;
constexpr std::string_view kExchangeGrant = "urn:ietf:params:oauth:grant-type:token-exchange";

std::string host_of(std::string_view url) {
  const auto target = http::parse_target(url);
  return target ? target->host : printable(url, kShown);
}

json::object object_at(const Answered& document) {
  if (!document.answer || document.answer->status != 200) return {};
  auto parsed = parse_json(document.answer->body, {.depth = 16, .nodes = 10'000});
  return parsed && parsed->is_object() ? std::move(parsed->get_object()) : json::object();
}

// Absent: the document does not say.
std::optional<Texts> texts(const json::object& object, std::string_view name) {
  const json::array* list = find_array(object, name);
  if (list == nullptr) return {};
  Texts out;
  for (const json::value& value : *list) {
    if (const json::string* text = value.if_string()) out.push_back(printable(*text, 80));
  }
  return out;
}

bool has(const Texts& list, std::string_view text) {
  return std::find(list.begin(), list.end(), text) != list.end();
}

Texts names_of(const std::vector<Algorithm>& algorithms) {
  Texts out;
  for (const Algorithm one : algorithms) out.emplace_back(crypto::name(one));
  return out;
}

std::vector<Algorithm> served_by(const KeySet& keys) {
  std::vector<Algorithm> out;
  for (const Algorithm one :
       {Algorithm::rs256, Algorithm::rs384, Algorithm::rs512, Algorithm::ps256, Algorithm::ps384,
        Algorithm::ps512, Algorithm::es256, Algorithm::es384, Algorithm::es512, Algorithm::eddsa}) {
    if (keys.serves(one)) out.push_back(one);
  }
  return out;
}

void check_algorithms(const IssuerOptions& options, const KeySet& keys, std::string_view url,
                      std::vector<Finding>& out) {
  const std::vector<Algorithm>& allowed = options.rules.algorithms;
  const std::vector<Algorithm> served = served_by(keys);
  const bool any = std::any_of(served.begin(), served.end(), [&allowed](Algorithm one) {
    return std::find(allowed.begin(), allowed.end(), one) != allowed.end();
  });
  if (any) {
    out.push_back({Severity::fine,
                   "keys",
                   fmt::format("{} has {} usable keys, for {}", printable(url, kShown), keys.size(),
                               fmt::join(names_of(served), ", ")),
                   {}});
  } else {
    out.push_back(
        {Severity::blocker, "no_key_for_algorithms",
         fmt::format("the provider's keys are for {}, auth.algorithms allows {}",
                     fmt::join(names_of(served), ", "), fmt::join(names_of(allowed), ", ")),
         fmt::format("set auth.algorithms to [{}], or have the provider sign with one of "
                     "the allowed",
                     crypto::name(served.front()))});
  }
  for (const std::string& skipped : keys.skipped()) {
    out.push_back({Severity::note, "key_skipped", "not used: " + skipped, {}});
  }
}

std::string audience_advice(Provider provider) {
  switch (provider) {
    case Provider::auth0:
      return "clients must ask Auth0 for it (`audience`), or set it as the tenant's Default "
             "Audience, or switch on the Resource Parameter Compatibility Profile";
    case Provider::okta:
      return "it is the audience setting of the custom authorization server (Security, API)";
    case Provider::google:
      return "it is the client id of the OAuth client that people sign in with";
    case Provider::entra:
      return "it follows from the scope that clients ask for, api://CLIENT-ID/…; Entra ID ignores "
             "`resource`";
    case Provider::keycloak:
      return "an audience mapper in a default client scope puts it there; Keycloak ignores "
             "`resource` unless its experimental feature is on";
    case Provider::other:
      break;
  }
  return "MCP clients name it as `resource` (RFC 8707); a provider that ignores that has a setting "
         "for the audience";
}

void check_pkce(const json::object& document, std::vector<Finding>& out) {
  const auto methods = texts(document, "code_challenge_methods_supported");
  if (methods && has(*methods, "S256")) {
    out.push_back({Severity::fine, "pkce", "PKCE with S256 is offered", {}});
    return;
  }
  const std::string fix =
      "switch PKCE (S256) on at the provider; where it works but is not published (Entra ID), some "
      "clients have a setting that trusts it";
  if (methods) {
    out.push_back(
        {Severity::blocker, "no_pkce",
         fmt::format("the provider offers no S256 for PKCE, only {}",
                     methods->empty() ? "nothing" : fmt::format("{}", fmt::join(*methods, ", "))),
         fix});
    return;
  }
  out.push_back({Severity::warning, "pkce_unpublished",
                 "the document does not say that PKCE is offered "
                 "(code_challenge_methods_supported); MCP clients must not sign in without",
                 fix});
}

void check_registration(const json::object& document, std::vector<Finding>& out) {
  const json::value* by_url = document.if_contains("client_id_metadata_document_supported");
  const bool by_document = by_url != nullptr && *by_url == json::value(true);
  const bool dynamic = document.contains("registration_endpoint");
  if (by_document || dynamic) {
    out.push_back(
        {Severity::fine,
         "registration",
         fmt::format("clients can introduce themselves ({})",
                     by_document ? "client id metadata documents" : "dynamic registration"),
         {}});
    return;
  }
  out.push_back({Severity::note, "no_registration",
                 "clients cannot register themselves at this provider",
                 "create one client there by hand, public with PKCE and the redirect URIs of the "
                 "MCP clients in use, and give its client id to them"});
}

void check_scopes(const IssuerOptions& options, const json::object& document,
                  std::vector<Finding>& out) {
  const auto offered = texts(document, "scopes_supported");
  if (!offered) return;
  Texts lacking;
  const Scopes wanted =
      options.sign_in_scopes.empty() ? Scopes{"read", "write", "execute"} : options.sign_in_scopes;
  for (const std::string& name : wanted.names()) {
    const std::string asked = options.sign_in_scopes.empty() ? options.scope_prefix + name : name;
    if (!has(*offered, asked)) lacking.push_back(asked);
  }
  // Entra ID lists none of an application's own.
  if (lacking.empty() || options.rules.provider == Provider::entra) return;
  out.push_back({Severity::warning, "scopes_unknown",
                 fmt::format("clients are told to ask for {}, which the provider does not list",
                             fmt::join(lacking, ", ")),
                 "create these scopes at the provider, or let roles and groups decide and set "
                 "auth.sign_in_scopes to what clients shall ask for, such as [openid]"});
}

void check_endpoints(const json::object& document, std::vector<Finding>& out) {
  const auto responses = texts(document, "response_types_supported");
  const bool code = !responses || has(*responses, "code");
  if (document.contains("authorization_endpoint") && document.contains("token_endpoint") && code) {
    return;
  }
  out.push_back({Severity::warning, "no_sign_in",
                 "the document offers no authorization code flow: nobody can sign in through it",
                 "only machine clients with tokens from elsewhere can connect; switch the flow on "
                 "if people shall"});
}

void check_browsers(const http::FetchResponse& answer, std::vector<Finding>& out) {
  if (!answer.allowed_origin.empty()) return;
  out.push_back({Severity::note, "no_cors",
                 "pages of other origins may not read the provider's document (no "
                 "Access-Control-Allow-Origin): clients in a browser cannot sign in",
                 "allow their origins at the provider, or use clients that are programs"});
}

}  // namespace

std::optional<std::string> find_text(const Answered& document, std::string_view name) {
  const json::object object = object_at(document);
  const auto text = find_string(object, name);
  return text ? std::optional<std::string>(*text) : std::nullopt;
}

Finding unanswered(const IssuerOptions& options, const Answered& asked, std::string_view what) {
  const std::string url = printable(asked.url, kShown);
  const std::string host = host_of(asked.url);
  if (asked.answer) {
    const http::FetchResponse& answer = *asked.answer;
    const int status = answer.status;
    if (status >= 300 && status < 400) {
      return {Severity::blocker, "redirected",
              fmt::format("{} is redirected to {}; redirects are not followed", url,
                          answer.location.empty() ? "elsewhere" : answer.location),
              fmt::format("configure the address that {} really has", what)};
    }
    if (status == 401 || status == 403) {
      return {Severity::blocker, "guarded", fmt::format("{} answers {}", url, status),
              fmt::format("{} must be readable without signing in: look at the proxy or firewall "
                          "in front of the provider",
                          what)};
    }
    return {Severity::blocker, "provider_error", fmt::format("{} answers {}", url, status),
            status == 404 ? fmt::format("correct the address of {}", what)
                          : "look at the provider's own log and status page, and try again"};
  }
  const Error& error = asked.answer.error();
  const std::string found = error.message + (error.detail.empty() ? "" : " (" + error.detail + ")");
  switch (error.code) {
    case Code::forbidden:
      return {Severity::blocker, "private_address", found,
              fmt::format("set auth.allow_private to [{}] if the provider is meant to be inside "
                          "your network",
                          host)};
    case Code::untrusted:
      return {Severity::blocker, "certificate", found,
              fmt::format("set outbound.ca_file to the authority that signed the certificate of "
                          "{}, or use the name that the certificate is for",
                          host)};
    case Code::timeout:
      return {Severity::blocker, "no_answer", found,
              fmt::format("let this machine reach {} (firewall), or set outbound.proxy", host)};
    case Code::invalid:
      return {Severity::blocker, "address_refused", found,
              fmt::format("correct the address of {}: https, no user name, no fragment", what)};
    default:
      return {Severity::blocker, "unreachable", found,
              options.url.starts_with("https://")
                  ? fmt::format("check the name and that {} is up and reachable from this machine; "
                                "a network with a proxy needs outbound.proxy",
                                host)
                  : fmt::format("start it, or correct the port: nothing answers at {}", host)};
  }
}

void check_keys(const IssuerOptions& options, const Evidence& evidence, std::vector<Finding>& out) {
  if (!evidence.keys) return;
  const Answered& asked = *evidence.keys;
  if (!asked.answer || asked.answer->status != 200) {
    if (asked.url.starts_with("file:")) {
      out.push_back({Severity::blocker, "key_file", asked.answer.error().message,
                     "write the provider's key set there, readable by the server's user"});
      return;
    }
    out.push_back(unanswered(options, asked, "the key set"));
    return;
  }
  const auto keys = KeySet::parse(asked.answer->body);
  if (!keys) {
    const Error& error = keys.error();
    out.push_back({Severity::blocker, "no_usable_keys",
                   fmt::format("{}: {}{}{}", printable(asked.url, kShown), error.message,
                               error.detail.empty() ? "" : ": ", printable(error.detail, 400)),
                   "have the provider sign with RS256, ES256 or another public-key algorithm and "
                   "publish that key; a shared secret (HS256) cannot be verified by others"});
    return;
  }
  check_algorithms(options, *keys, asked.url, out);
  if (asked.url.starts_with("file:") || host_of(asked.url) == host_of(options.url)) return;
  out.push_back(
      {Severity::note,
       "keys_elsewhere",
       fmt::format("the keys are on another host than the issuer: {}", host_of(asked.url)),
       {}});
}

void check_introspection(const IssuerOptions& options, const Evidence& evidence,
                         const Metadata* metadata, std::vector<Finding>& out) {
  const bool known = !options.introspection.url.empty() ||
                     (metadata != nullptr && !metadata->introspection_endpoint.empty());
  if (!known) {
    out.push_back({Severity::blocker, "no_introspection",
                   "tokens are opaque, and nothing says where to ask about them",
                   "set auth.introspection.url, or auth.tokens to jwt if its access tokens are "
                   "signed"});
    return;
  }
  if (!evidence.introspection) return;
  const auto& answer = *evidence.introspection;
  if (answer) {
    out.push_back({Severity::blocker, "introspection_vouches",
                   "the provider vouches for a token that nobody issued",
                   "do not connect it: whoever answers there accepts anything"});
  } else if (answer.error().reason == Reason::token_inactive) {
    out.push_back(
        {Severity::fine, "introspection", "the provider answers this server about tokens", {}});
  } else {
    out.push_back({Severity::blocker, "introspection_refused",
                   fmt::format("the provider does not answer about tokens: {}",
                               printable(answer.error().detail, 300)),
                   "check auth.introspection: the client id, its secret or key, and the method "
                   "(auth) that the provider has for this client"});
  }
}

void check_exchange(const IssuerOptions& options, const Answered* document,
                    std::vector<Finding>& out) {
  if (!options.exchange.is_configured()) return;
  const json::object object = document == nullptr ? json::object() : object_at(*document);
  if (options.exchange.url.empty() && !find_string(object, "token_endpoint")) {
    out.push_back({Severity::blocker, "no_token_endpoint",
                   "token exchange is configured, and nothing says where to ask",
                   "set auth.token_exchange.url"});
    return;
  }
  const auto grants = texts(object, "grant_types_supported");
  if (grants && std::ranges::find(*grants, kExchangeGrant) == grants->end()) {
    out.push_back({Severity::warning, "no_token_exchange",
                   "the document does not list token exchange among its grant types",
                   "switch it on at the provider, for this server's client (RFC 8693)"});
  } else {
    out.push_back({Severity::fine,
                   "token_exchange",
                   "tokens can be asked for at the token endpoint, as far as the document says",
                   {}});
  }
}

void check_audience(const IssuerOptions& options, std::vector<Finding>& out) {
  const std::vector<std::string>& audiences = options.rules.audiences;
  const bool local = !is_loopback_url(options.url) &&
                     std::any_of(audiences.begin(), audiences.end(),
                                 [](const std::string& one) { return is_loopback_url(one); });
  if (local) {
    out.push_back({Severity::warning, "audience_is_local",
                   fmt::format("tokens would have to be issued for {}, an address of this machine",
                               fmt::join(audiences, " or ")),
                   "set public_url to the https address that clients use, or auth.audience"});
  }
  out.push_back({Severity::note, "audience",
                 fmt::format("tokens must have \"aud\": {}", fmt::join(audiences, " or ")),
                 audience_advice(options.rules.provider)});
}

void check_sign_in(const IssuerOptions& options, const Answered& document,
                   std::vector<Finding>& out) {
  const json::object object = object_at(document);
  check_endpoints(object, out);
  check_pkce(object, out);
  check_registration(object, out);
  check_scopes(options, object, out);
  check_browsers(*document.answer, out);
}

}  // namespace kubiya::identity
