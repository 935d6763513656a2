// SPDX-License-Identifier: Apache-2.0
#include "app/demo_issuer.h"

#include <algorithm>
#include <optional>

#include "app/config_files.h"
#include "base/encoding.h"
#include "base/ids.h"
#include "base/json.h"
#include "crypto/digest.h"

namespace kubiya::app {
namespace {

constexpr std::chrono::seconds kLifetime{3'600};

Result<crypto::PrivateKey> open_key(const std::string& path) {
  Result<std::string> pem = read_file(path, 64 * 1024);
  if (pem) return crypto::PrivateKey::from_pem(*pem);
  if (pem.error().code != Code::not_found) return fail(pem.error());
  crypto::PrivateKey key = TRY(crypto::PrivateKey::generate(crypto::KeyType::rsa));
  TRY_VOID(write_private_file(path, key.to_pem()));
  return key;
}

std::string metadata_document(const std::string& url) {
  return to_json(json::object{
      {"issuer", url},
      {"token_endpoint", url + "/token"},
      {"jwks_uri", url + "/jwks.json"},
      {"grant_types_supported", {"client_credentials"}},
      {"response_types_supported", json::array()},
      {"subject_types_supported", {"public"}},
      {"id_token_signing_alg_values_supported", {"RS256"}},
      {"token_endpoint_auth_methods_supported", {"client_secret_post"}},
      {"scopes_supported", {"read", "write", "execute"}},
  });
}

Result<std::string> sign_token(const crypto::PrivateKey& key, const std::string& key_id,
                               const json::object& claims) {
  const json::object header{{"alg", "RS256"}, {"typ", "at+jwt"}, {"kid", key_id}};
  std::string text = base64url(to_json(header)) + "." + base64url(to_json(claims));
  const std::string signature = TRY(key.sign(crypto::Algorithm::rs256, text));
  return text + "." + base64url(signature);
}

json::object claims_of(const DemoUser& user, const std::string& issuer, const std::string& audience,
                       std::int64_t issued, std::int64_t expires) {
  return {{"iss", issuer},
          {"sub", user.subject},
          {"aud", audience},
          {"name", user.name},
          {"email", user.email},
          {"scope", user.scope},
          {"client_id", user.subject},
          {"kubiya_api_key", user.api_key.reveal()},
          {"iat", issued},
          {"exp", expires},
          {"jti", random_id()}};
}

http::Response json_response(int status, std::string body) {
  http::Response response;
  response.status = status;
  response.body = std::move(body);
  return response;
}

// RFC 6749, 5.2.
http::Response token_error(int status, std::string_view error) {
  http::Response response = json_response(status, to_json(json::object{{"error", error}}));
  response.add("Cache-Control", "no-store");
  return response;
}

std::optional<std::string> form_decoded(std::string_view text) {
  std::string decoded;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      decoded += text[i] == '+' ? ' ' : text[i];
      continue;
    }
    const std::optional<std::string> byte = unhex(lower(text.substr(i + 1, 2)));
    if (!byte || byte->size() != 1) return std::nullopt;
    decoded += *byte;
    i += 2;
  }
  return decoded;
}

std::string_view field(const std::vector<std::pair<std::string, std::string>>& form,
                       std::string_view name) {
  for (const auto& [key, value] : form) {
    if (key == name) return value;
  }
  return {};
}

}  // namespace

std::optional<std::vector<std::pair<std::string, std::string>>> parse_form(std::string_view body) {
  std::vector<std::pair<std::string, std::string>> fields;
  while (!body.empty()) {
    const std::size_t end = std::min(body.find('&'), body.size());
    const std::string_view pair = body.substr(0, end);
    body.remove_prefix(std::min(end + 1, body.size()));
    const std::size_t equals = pair.find('=');
    if (equals == pair.npos) return std::nullopt;
    std::optional<std::string> name = form_decoded(pair.substr(0, equals));
    std::optional<std::string> value = form_decoded(pair.substr(equals + 1));
    if (!name || !value) return std::nullopt;
    for (const auto& earlier : fields) {
      if (earlier.first == *name) return std::nullopt;
    }
    fields.emplace_back(std::move(*name), std::move(*value));
  }
  return fields;
}

DemoIssuer::DemoIssuer(DemoIssuerOptions options, const Clock& clock, crypto::PrivateKey key)
    : options_(std::move(options)),
      clock_(clock),
      key_(std::move(key)),
      url_("http://localhost:" + std::to_string(options_.port)),
      metadata_(metadata_document(url_)) {
  json::object jwk = key_.public_key().to_jwk();
  key_id_ = crypto::fingerprint(to_json(jwk));
  jwk["kid"] = key_id_;
  jwk["alg"] = "RS256";
  jwk["use"] = "sig";
  key_set_ = to_json(json::object{{"keys", json::array{std::move(jwk)}}});
}

DemoIssuer::~DemoIssuer() {
  if (server_) server_->drain(std::chrono::milliseconds(500));
}

Result<std::unique_ptr<DemoIssuer>> DemoIssuer::open(DemoIssuerOptions options,
                                                     const Clock& clock) {
  crypto::PrivateKey key = TRY(open_key(options.key_file));
  http::ServerOptions server;
  server.host = "localhost";
  server.port = options.port;
  server.threads = 1;
  server.guard.public_prefixes = {"/.well-known/", "/jwks.json"};
  std::unique_ptr<DemoIssuer> issuer(new DemoIssuer(std::move(options), clock, std::move(key)));
  issuer->server_ = TRY(http::Server::open(std::move(server), *issuer));
  return issuer;
}

const DemoUser* DemoIssuer::find_user(std::string_view subject) const {
  for (const DemoUser& user : options_.users) {
    if (user.subject == subject) return &user;
  }
  return nullptr;
}

Result<Secret> DemoIssuer::token(std::string_view subject, std::chrono::seconds lifetime,
                                 TokenKind kind) const {
  const DemoUser* user = find_user(subject);
  if (user == nullptr) return fail(Code::not_found, "no such user of the demonstration");
  std::int64_t expires = unix_ms(clock_.wall()) / 1'000 + lifetime.count();
  if (kind == TokenKind::expired) expires -= lifetime.count() + kLifetime.count();
  const json::object claims =
      claims_of(*user, url_, options_.audience, expires - lifetime.count(), expires);
  if (kind != TokenKind::forged) return Secret::take(TRY(sign_token(key_, key_id_, claims)));
  const crypto::PrivateKey strange = TRY(crypto::PrivateKey::generate(crypto::KeyType::rsa));
  return Secret::take(TRY(sign_token(strange, key_id_, claims)));
}

http::Response DemoIssuer::token_response(const http::Request& request) const {
  const std::string_view type = request.header("content-type");
  if (!iequals(trim(type.substr(0, type.find(';'))), "application/x-www-form-urlencoded")) {
    return token_error(400, "invalid_request");
  }
  const auto form = parse_form(request.body);
  if (!form) return token_error(400, "invalid_request");
  if (field(*form, "grant_type") != "client_credentials") {
    return token_error(400, "unsupported_grant_type");
  }
  const DemoUser* user = find_user(field(*form, "client_id"));
  if (user == nullptr ||
      !crypto::equal_constant_time(field(*form, "client_secret"), user->client_secret.reveal())) {
    return token_error(401, "invalid_client");
  }
  const Result<Secret> token = this->token(user->subject, kLifetime);
  if (!token) return token_error(500, "server_error");
  http::Response response = json_response(200, to_json(json::object{
                                                   {"access_token", token->reveal()},
                                                   {"token_type", "Bearer"},
                                                   {"expires_in", kLifetime.count()},
                                                   {"scope", user->scope},
                                               }));
  response.add("Cache-Control", "no-store");
  return response;
}

void DemoIssuer::handle(const http::Request& request, http::Responder responder) {
  const bool metadata = request.path == "/.well-known/openid-configuration" ||
                        request.path == "/.well-known/oauth-authorization-server";
  if (request.path == "/token") {
    responder.send(request.method == "POST" ? token_response(request)
                                            : token_error(405, "invalid_request"));
  } else if (metadata || request.path == "/jwks.json") {
    const bool get = request.method == "GET";
    responder.send(get ? json_response(200, metadata ? metadata_ : key_set_)
                       : json_response(405, "{}"));
  } else {
    responder.send(json_response(404, "{}"));
  }
}

void DemoIssuer::admit(const http::Request&, Admission decide) {
  auto refusal = std::make_unique<http::Response>(json_response(413, "{}"));
  refusal->close = true;
  decide(std::move(refusal));
}

}  // namespace kubiya::app
