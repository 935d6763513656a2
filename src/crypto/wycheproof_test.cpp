// SPDX-License-Identifier: Apache-2.0
//
// Project Wycheproof's vectors for the signatures that JWS uses. "acceptable" counts as
// invalid: RFC 8017's legacy encodings have no place in a token.
#include <gtest/gtest.h>

#include "base/encoding.h"
#include "crypto/signature.h"
#include "crypto/test_keys.h"
#include "crypto/test_vectors.h"

namespace kubiya::crypto {
namespace {

using test::text_of;

struct Row {
  const char* file;
  Algorithm algorithm;
  int tests;
};

void PrintTo(const Row& row, std::ostream* out) { *out << row.file; }

std::string encoded(const std::string& digits) {
  return base64url(unhex(digits).value_or(std::string()));
}

json::object jwk_of(const json::object& key, KeyType type) {
  if (type == KeyType::rsa) {
    return {{"kty", "RSA"},
            {"n", encoded(text_of(key, "modulus"))},
            {"e", encoded(text_of(key, "publicExponent"))}};
  }
  if (type == KeyType::ed25519) {
    return {{"kty", "OKP"}, {"crv", "Ed25519"}, {"x", encoded(text_of(key, "pk"))}};
  }
  const std::string point = unhex(text_of(key, "uncompressed")).value_or("");
  const std::size_t half = point.size() / 2;
  const char* const curve = type == KeyType::ec_p256   ? "P-256"
                            : type == KeyType::ec_p384 ? "P-384"
                                                       : "P-521";
  return {{"kty", "EC"},
          {"crv", curve},
          {"x", base64url(point.substr(1, half))},
          {"y", base64url(point.substr(1 + half))}};
}

class Wycheproof : public ::testing::TestWithParam<Row> {};

TEST_P(Wycheproof, AcceptsExactlyTheValid) {
  const Row& row = GetParam();
  LOAD_VECTORS_OR_SKIP(file, std::string("wycheproof/") + row.file + "_test.json");
  int checked = 0;
  for (const auto& group : file.at("testGroups").as_array()) {
    const json::object& public_key = group.at("publicKey").as_object();
    const auto key = PublicKey::from_jwk(jwk_of(public_key, test::type_for(row.algorithm)));
    ASSERT_TRUE(key) << key.error().message << ": " << key.error().detail;
    for (const auto& item : group.at("tests").as_array()) {
      const json::object& test = item.as_object();
      const auto message = unhex(text_of(test, "msg"));
      const auto signature = unhex(text_of(test, "sig"));
      ASSERT_TRUE(message && signature);
      EXPECT_EQ(key->verify(row.algorithm, *message, *signature),
                text_of(test, "result") == "valid")
          << "tcId " << test.at("tcId") << ": " << text_of(test, "comment");
      ++checked;
    }
  }
  EXPECT_EQ(checked, row.tests);
}

INSTANTIATE_TEST_SUITE_P(
    Files, Wycheproof,
    ::testing::Values(Row{"ecdsa_secp256r1_sha256_p1363", Algorithm::es256, 262},
                      Row{"ecdsa_secp384r1_sha384_p1363", Algorithm::es384, 280},
                      Row{"ecdsa_secp521r1_sha512_p1363", Algorithm::es512, 318},
                      Row{"ed25519", Algorithm::eddsa, 151},
                      Row{"rsa_signature_2048_sha256", Algorithm::rs256, 259},
                      Row{"rsa_signature_3072_sha384", Algorithm::rs384, 259},
                      Row{"rsa_signature_4096_sha512", Algorithm::rs512, 259},
                      Row{"rsa_pss_2048_sha256_mgf1_32", Algorithm::ps256, 108},
                      Row{"rsa_pss_4096_sha384_mgf1_48", Algorithm::ps384, 141},
                      Row{"rsa_pss_4096_sha512_mgf1_64", Algorithm::ps512, 179}),
    [](const auto& test) { return std::string(test.param.file); });

}  // namespace
}  // namespace kubiya::crypto
