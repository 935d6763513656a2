// SPDX-License-Identifier: Apache-2.0
//
// Tokens that are good but for one thing, and the whole judgement over them; for tests only.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/encoding.h"
#include "crypto/test_keys.h"
#include "identity/key_set.h"

namespace kubiya::identity::test {

using crypto::Algorithm;
using crypto::KeyType;

inline constexpr std::int64_t kNow = 1'800'000'000;
inline Wall at(double unix_seconds) {
  return Wall(
      std::chrono::duration_cast<Wall::duration>(std::chrono::duration<double>(unix_seconds)));
}

inline constexpr const char* kIssuer = "https://idp.example";
inline constexpr const char* kAudience = "https://mcp.example/mcp";

inline TokenRules default_rules() {
  TokenRules rules;
  rules.issuer = kIssuer;
  rules.audiences = {kAudience};
  rules.algorithms = {Algorithm::rs256, Algorithm::ps256, Algorithm::es256, Algorithm::es384,
                      Algorithm::eddsa};
  return rules;
}

inline json::object default_claims() {
  return {{"iss", kIssuer},    {"aud", kAudience}, {"sub", "ada"},
          {"exp", kNow + 600}, {"iat", kNow - 60}, {"scope", "read execute"}};
}
inline json::object default_header() {
  return {{"alg", "RS256"}, {"typ", "at+jwt"}, {"kid", "rsa"}};
}

// One entry of a key set; `extra` overrides.
inline json::object jwk(KeyType type, const json::object& extra, int number = 0) {
  json::object out = crypto::test::key_of(type, number).public_key().to_jwk();
  for (const auto& member : extra) out[member.key()] = member.value();
  return out;
}
inline std::string set_text(json::array keys) {
  return to_json(json::object{{"keys", std::move(keys)}});
}
inline KeySet set_of(json::array keys) {
  auto set = KeySet::parse(set_text(std::move(keys)));
  ASSERT(set, "a key set of a test can be read");
  return std::move(*set);
}
inline const KeySet& default_keys() {
  static const KeySet keys =
      set_of({jwk(KeyType::rsa, {{"kid", "rsa"}}), jwk(KeyType::ec_p256, {{"kid", "p256"}}),
              jwk(KeyType::ec_p384, {{"kid", "p384"}}), jwk(KeyType::ed25519, {{"kid", "ed"}})});
  return keys;
}

// Signs any two texts, whatever they say, with the key of `algorithm`.
inline std::string token_of(std::string_view header, std::string_view payload,
                            Algorithm algorithm = Algorithm::rs256, int key_number = 0) {
  std::string input = base64url(header) + "." + base64url(payload);
  const auto& key = crypto::test::key_of(crypto::test::type_for(algorithm), key_number);
  const std::string signature = key.sign(algorithm, input).value();
  return input + "." + base64url(signature);
}
inline std::string with_claims(const json::object& claims) {
  return token_of(to_json(default_header()), to_json(claims));
}
template <class T>
json::value json_of(const T& value) {
  if constexpr (std::is_null_pointer_v<T>) {
    return json::value(nullptr);
  } else if constexpr (std::is_convertible_v<const T&, std::string_view>) {
    return json::value(std::string_view(value));
  } else {
    return json::value(value);
  }
}
template <class T>
std::string with_claim(std::string_view name, const T& value) {
  json::object claims = default_claims();
  claims[name] = json_of(value);
  return with_claims(claims);
}
inline std::string without_claim(std::string_view name) {
  json::object claims = default_claims();
  claims.erase(name);
  return with_claims(claims);
}
// `json` is spliced into the claims as it stands: "\"exp\":1e400". A leading member of the
// same name is left out.
inline std::string with_claim_text(std::string_view name, const std::string& json_text) {
  json::object claims = default_claims();
  claims.erase(name);
  std::string text = to_json(claims);
  text.back() = ',';
  return token_of(to_json(default_header()), text + json_text + "}");
}
inline std::string with_header(const json::object& header) {
  return token_of(to_json(header), to_json(default_claims()));
}
template <class T>
std::string with_header_member(std::string_view name, const T& value) {
  json::object header = default_header();
  header[name] = json_of(value);
  return with_header(header);
}
inline std::string with_payload(std::string_view payload) {
  return token_of(to_json(default_header()), payload);
}

// What the server does with a token: cheap checks first, the signature last.
inline Checked<TokenFacts> judge(std::string_view text, const TokenRules& rules = default_rules(),
                                 const KeySet& keys = default_keys(), Wall now = at(kNow)) {
  const UnverifiedToken token = TRY(parse_token(text));
  TokenFacts facts = TRY(check_claims(token, rules, now));
  TRY_VOID(verify_signature(token, rules, keys));
  return facts;
}

// One line of the catalogue: `name` begins with its row. Without a reason the token is served.
struct Row {
  std::string name;
  std::string token;
  std::optional<Reason> refused;
  TokenRules rules = default_rules();
};
// The tables of jwt_test.cpp and claims_test.cpp.
std::vector<Row> envelope_rows();
std::vector<Row> claim_rows();

inline std::string expected(const Row& row) {
  return row.refused ? std::string(to_string(*row.refused)) : "served";
}
inline std::string outcome(const Checked<TokenFacts>& facts) {
  return facts ? "served" : std::string(to_string(facts.error().reason));
}

}  // namespace kubiya::identity::test
