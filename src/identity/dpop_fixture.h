// SPDX-License-Identifier: Apache-2.0
//
// Proofs that are good but for one thing; for tests only.
#pragma once

#include <string>

#include "identity/dpop.h"
#include "identity/token_fixture.h"

namespace kubiya::identity::test {

inline constexpr const char* kTarget = "https://mcp.example/mcp";

inline const crypto::PrivateKey& client_key(Algorithm algorithm = Algorithm::es256,
                                            int number = 7) {
  return crypto::test::key_of(crypto::test::type_for(algorithm), number);
}
inline std::string thumbprint_bytes(Algorithm algorithm = Algorithm::es256, int number = 7) {
  return std::string(crypto::view(thumbprint(client_key(algorithm, number).public_key())));
}

inline json::object proof_claims(std::string_view token, std::string_view id = "one") {
  return {{"jti", id},
          {"htm", "POST"},
          {"htu", kTarget},
          {"iat", kNow},
          {"ath", base64url(crypto::view(crypto::sha256(token)))}};
}
inline json::object proof_header(Algorithm algorithm = Algorithm::es256, int number = 7) {
  return {{"typ", "dpop+jwt"},
          {"alg", crypto::name(algorithm)},
          {"jwk", client_key(algorithm, number).public_key().to_jwk()}};
}
inline std::string proof_of(const json::object& header, const json::object& claims,
                            Algorithm algorithm = Algorithm::es256, int number = 7) {
  const std::string input = base64url(to_json(header)) + "." + base64url(to_json(claims));
  return input + "." + base64url(client_key(algorithm, number).sign(algorithm, input).value());
}
inline std::string proof_for(std::string_view token, std::string_view id = "one") {
  return proof_of(proof_header(), proof_claims(token, id));
}

}  // namespace kubiya::identity::test
