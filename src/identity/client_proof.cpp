// SPDX-License-Identifier: Apache-2.0
#include "identity/client_proof.h"

#include <chrono>

#include <fmt/format.h>

#include "base/encoding.h"
#include "base/ids.h"
#include "base/json.h"
#include "crypto/signature.h"

namespace kubiya::identity {
namespace {

using crypto::Algorithm;

constexpr std::chrono::seconds kAssertionLife{60};

void append_encoded(std::string& out, std::string_view text) {
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '_' || c == '.' || c == '~';
    if (plain) {
      out += c;
    } else {
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
}

// RFC 6749 §2.3.1: encoded first, so that a colon in the id separates nothing.
Secret basic_credentials(const ClientProof& client) {
  std::string pair;
  append_encoded(pair, client.client_id);
  pair += ':';
  if (client.client_secret) append_encoded(pair, client.client_secret->reveal());
  std::string header = "Basic " + base64(pair);
  wipe_memory(pair.data(), pair.size());
  return Secret::take(std::move(header));
}

Result<Algorithm> algorithm_of(const crypto::PrivateKey& key) {
  for (const Algorithm algorithm :
       {Algorithm::rs256, Algorithm::es256, Algorithm::es384, Algorithm::es512, Algorithm::eddsa}) {
    if (crypto::fits(algorithm, key.public_key().type())) return algorithm;
  }
  return fail(Code::unsupported, "the private key is of no usable type");
}

// RFC 7523 §3.
Result<std::string> assertion(const ClientProof& client, std::string_view issuer, Wall now) {
  if (!client.private_key) return fail(Code::invalid, "there is no private key");
  const auto key = TRY(crypto::PrivateKey::from_pem(client.private_key->reveal()));
  const Algorithm algorithm = TRY(algorithm_of(key));
  json::object header{{"alg", crypto::name(algorithm)}, {"typ", "JWT"}};
  if (!client.key_id.empty()) header["kid"] = client.key_id;
  const std::int64_t at = unix_ms(now) / 1000;
  const std::string& audience = client.assertion_audience;
  const json::object claims{{"iss", client.client_id},
                            {"sub", client.client_id},
                            {"aud", audience.empty() ? issuer : std::string_view(audience)},
                            {"jti", random_id()},
                            {"iat", at},
                            {"exp", at + kAssertionLife.count()}};
  std::string text = base64url(to_json(header)) + "." + base64url(to_json(claims));
  const std::string signature = TRY(key.sign(algorithm, text));
  return text + "." + base64url(signature);
}

}  // namespace

void SecretForm::add(std::string_view name, std::string_view value) {
  if (!text_.empty()) text_ += '&';
  text_ += name;
  text_ += '=';
  append_encoded(text_, value);
}

Result<> prove_client(const ClientProof& client, std::string_view issuer, Wall now,
                      SecretForm& form, http::FetchRequest& request) {
  switch (client.auth) {
    case ClientAuth::basic:
      request.authorization = basic_credentials(client);
      break;
    case ClientAuth::post:
      form.add("client_id", client.client_id);
      if (client.client_secret) form.add("client_secret", client.client_secret->reveal());
      break;
    case ClientAuth::private_key_jwt:
      form.add("client_id", client.client_id);
      form.add("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
      form.add("client_assertion", TRY(assertion(client, issuer, now)));
      break;
  }
  request.form = form.take();
  return {};
}

}  // namespace kubiya::identity
