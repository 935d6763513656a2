// SPDX-License-Identifier: Apache-2.0
#include "identity/metadata.h"

#include <algorithm>
#include <utility>

#include "base/json.h"

namespace kubiya::identity {
namespace {

constexpr std::string_view kWellKnown = "/.well-known/oauth-protected-resource";

// RFC 9110 §5.6.4. What a quoted-string cannot carry becomes '?', so that no
// value ends the header line or the string.
void append_quoted(std::string& out, std::string_view value) {
  out += '"';
  for (const char c : value) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') out += '\\';
    out += (byte < 0x20 || byte >= 0x7f) ? '?' : c;
  }
  out += '"';
}

// One challenge; parameters without a value are left out. RFC 9110 §11.6.1.
class Challenge {
 public:
  explicit Challenge(std::string_view scheme = "Bearer") : text_(scheme) {}
  Challenge& add(std::string_view name, std::string_view value) {
    if (value.empty()) return *this;
    text_ += empty_ ? " " : ", ";
    empty_ = false;
    text_ += name;
    text_ += '=';
    append_quoted(text_, value);
    return *this;
  }
  // Clients skip a challenge without parameters.
  std::string text() && {
    if (empty_) add("realm", "kubiya-mcp");
    return std::move(text_);
  }

 private:
  std::string text_;
  bool empty_ = true;
};

// offline_access is between the client and its authorization server (MCP authorization).
std::string for_clients(const Scopes& scopes) {
  std::string out;
  for (const auto& name : scopes.names()) {
    if (name == "offline_access") continue;
    if (!out.empty()) out += ' ';
    out += name;
  }
  return out;
}

json::array strings(const std::vector<std::string>& values) {
  json::array out;
  for (const auto& value : values) out.emplace_back(value);
  return out;
}

// RFC 6750 §3.1: no error code for a request that presents nothing. RFC 9449 §7.1: what is wrong
// with a proof is told to who sends proofs.
void add_error(Challenge& challenge, Reason reason, bool sends_proofs = false) {
  if (http_status(reason) == 400) {
    challenge.add("error", "invalid_request");
  } else if (sends_proofs && is_about_proof(reason)) {
    const bool nonce = reason == Reason::nonce_required;
    challenge.add("error", nonce ? "use_dpop_nonce" : "invalid_dpop_proof");
    challenge.add("error_description",
                  nonce ? "the proof needs the nonce of DPoP-Nonce" : "proof missing or invalid");
  } else if (reason != Reason::no_credential) {
    challenge.add("error", "invalid_token");
    challenge.add("error_description",
                  reason == Reason::token_expired ? "token expired" : "token invalid");
  }
}

}  // namespace

std::string protected_resource_document(const ResourceInfo& info) {
  json::object document;
  document["resource"] = info.resource;
  document["authorization_servers"] = strings(info.authorization_servers);
  json::array scopes;
  for (const auto& scope : info.scopes_supported) {
    if (scope != "offline_access") scopes.emplace_back(scope);
  }
  if (!scopes.empty()) document["scopes_supported"] = std::move(scopes);
  document["bearer_methods_supported"] = json::array{"header"};
  if (!info.dpop_algorithms.empty()) {
    document["dpop_signing_alg_values_supported"] = strings(info.dpop_algorithms);
  }
  if (info.dpop_required) document["dpop_bound_access_tokens_required"] = true;
  if (info.certificate_bound) document["tls_client_certificate_bound_access_tokens"] = true;
  if (!info.name.empty()) document["resource_name"] = info.name;
  if (!info.documentation.empty()) document["resource_documentation"] = info.documentation;
  return to_json(document);
}

std::string metadata_url(std::string_view resource) {
  const auto scheme = resource.find("://");
  const auto authority = scheme == std::string_view::npos ? 0 : scheme + 3;
  const auto path = std::min(resource.find('/', authority), resource.size());
  std::string out(resource.substr(0, path));
  out += kWellKnown;
  if (resource.substr(path) != "/") out += resource.substr(path);
  return out;
}

std::string challenge_unauthenticated(std::string_view metadata_url, const Scopes& scopes,
                                      Reason reason) {
  Challenge challenge;
  add_error(challenge, reason);
  challenge.add("resource_metadata", metadata_url);
  challenge.add("scope", for_clients(scopes));
  return std::move(challenge).text();
}

std::string challenge_insufficient_scope(std::string_view metadata_url, const Scopes& needed) {
  Challenge challenge;
  challenge.add("error", "insufficient_scope");
  challenge.add("scope", for_clients(needed));
  challenge.add("resource_metadata", metadata_url);
  return std::move(challenge).text();
}

std::string dpop_challenge_unauthenticated(std::string_view metadata_url, const Scopes& scopes,
                                           Reason reason, std::string_view algorithms, bool used) {
  Challenge challenge("DPoP");
  if (used) add_error(challenge, reason, true);
  challenge.add("algs", algorithms);
  challenge.add("resource_metadata", metadata_url);
  challenge.add("scope", for_clients(scopes));
  return std::move(challenge).text();
}

std::string dpop_challenge_insufficient_scope(std::string_view metadata_url, const Scopes& needed,
                                              std::string_view algorithms) {
  Challenge challenge("DPoP");
  challenge.add("error", "insufficient_scope");
  challenge.add("scope", for_clients(needed));
  challenge.add("algs", algorithms);
  challenge.add("resource_metadata", metadata_url);
  return std::move(challenge).text();
}

std::string key_challenge_unauthenticated(std::string_view realm, Reason reason) {
  Challenge challenge;
  challenge.add("realm", realm);
  add_error(challenge, reason);
  return std::move(challenge).text();
}

std::string key_challenge_insufficient_scope(std::string_view realm, const Scopes& needed) {
  Challenge challenge;
  challenge.add("realm", realm);
  challenge.add("error", "insufficient_scope");
  challenge.add("scope", for_clients(needed));
  return std::move(challenge).text();
}

int http_status(Reason reason) {
  if (is_transient(reason)) return 503;
  switch (reason) {
    case Reason::bad_authorization_header:
    case Reason::several_credentials:
    case Reason::credential_in_query:
    case Reason::argument_key_refused:
      return 400;
    default:
      return 401;
  }
}

std::string_view public_message(Reason reason) {
  switch (reason) {
    case Reason::no_credential:
      return "No API token provided";
    case Reason::bad_authorization_header:
      return "Malformed credential: send one header 'Authorization: Bearer <token>'";
    case Reason::several_credentials:
      return "Several credentials in one request: send exactly one";
    case Reason::credential_in_query:
      return "Credentials in the URL are refused: send the Authorization header";
    case Reason::argument_key_refused:
      return "An API key is not accepted here: sign in and send an access token";
    case Reason::keys_unavailable:
    case Reason::introspection_unavailable:
      return "The identity provider cannot be reached; try again later";
    case Reason::overloaded:
      return "Too many sign-ins at once; try again later";
    default:
      return "Invalid token";
  }
}

}  // namespace kubiya::identity
