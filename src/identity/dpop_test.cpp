// SPDX-License-Identifier: Apache-2.0
#include "identity/dpop.h"

#include <gtest/gtest.h>

#include "identity/dpop_fixture.h"

namespace kubiya::identity {
namespace test {
namespace {

constexpr std::string_view kToken = "the.access.token";

std::string judged(const std::string& proof, const DpopOptions& options = {},
                   std::string_view method = "POST", std::string_view target = kTarget,
                   double now = kNow) {
  const std::string key = thumbprint_bytes();
  const auto checked = check_proof(proof, options, {method, target, kToken, key}, at(now));
  return checked ? "served" : std::string(to_string(checked.error().reason));
}
template <class T>
std::string with_proof_claim(const char* name, const T& value) {
  json::object claims = proof_claims(kToken);
  claims[name] = json_of(value);
  return judged(proof_of(proof_header(), claims));
}
std::string without_proof_claim(const char* name) {
  json::object claims = proof_claims(kToken);
  claims.erase(name);
  return judged(proof_of(proof_header(), claims));
}
template <class T>
std::string with_proof_header(const char* name, const T& value) {
  json::object header = proof_header();
  header[name] = json_of(value);
  return judged(proof_of(header, proof_claims(kToken)));
}

// RFC 7638 §3.1 and RFC 8037 appendix A.3.
TEST(Thumbprint, IsThatOfTheStandards) {
  const auto of = [](const json::object& jwk) {
    const auto key = crypto::PublicKey::from_jwk(jwk);
    return key ? base64url(crypto::view(thumbprint(*key))) : key.error().message;
  };
  EXPECT_EQ(
      of({{"kty", "RSA"},
          {"n",
           "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L"
           "6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ"
           "5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD"
           "08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEg"
           "U8awapJzKnqDKgw"},
          {"e", "AQAB"},
          {"alg", "RS256"},
          {"kid", "2011-04-29"}}),
      "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
  EXPECT_EQ(of({{"kty", "OKP"},
                {"crv", "Ed25519"},
                {"x", "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}}),
            "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
}

TEST(Proof, IsTakenForItsOwnRequestAndToken) {
  EXPECT_EQ(judged(proof_for(kToken)), "served");
  EXPECT_EQ(judged(proof_for("another.access.token")), "proof_of_another_request");
  EXPECT_EQ(judged(proof_for(kToken), {}, "GET"), "proof_of_another_request");
  EXPECT_EQ(judged(proof_for(kToken), {}, "POST", "https://mcp.example/"),
            "proof_of_another_request");
  EXPECT_EQ(judged(proof_for(kToken), {}, "POST", "http://mcp.example/mcp"),
            "proof_of_another_request");
}

TEST(Proof, MayBeSignedByEachAcceptedAlgorithm) {
  for (const Algorithm algorithm : DpopOptions().algorithms) {
    const std::string key = thumbprint_bytes(algorithm);
    const std::string proof = proof_of(proof_header(algorithm), proof_claims(kToken), algorithm);
    const ProofContext request{"POST", kTarget, kToken, key};
    EXPECT_TRUE(check_proof(proof, {}, request, at(kNow))) << crypto::name(algorithm);
    DpopOptions fewer;
    std::erase(fewer.algorithms, algorithm);
    EXPECT_FALSE(check_proof(proof, fewer, request, at(kNow))) << crypto::name(algorithm);
  }
}

TEST(Proof, IsMalformedInManyWays) {
  const std::string good = proof_for(kToken);
  for (const std::string& text :
       {std::string(), std::string("x"), std::string("a.b"), std::string("a.b.c"), good + ".x",
        good + "=", " " + good, good.substr(0, good.size() - 1), "{}." + good,
        std::string(9000, 'a') + "." + good}) {
    EXPECT_EQ(judged(text), "bad_proof") << text.substr(0, 40);
  }
  std::string flipped = good;
  flipped[flipped.size() - 4] = flipped[flipped.size() - 4] == 'A' ? 'B' : 'A';
  EXPECT_EQ(judged(flipped), "bad_proof");
  EXPECT_EQ(judged(good), "served");
}

TEST(Proof, HeaderHoldsATypeAnAlgorithmAndOnePublicKey) {
  EXPECT_EQ(with_proof_header("typ", "DPoP+JWT"), "served") << "a media type";
  for (const char* type : {"JWT", "at+jwt", "application/dpop+jwt", ""}) {
    EXPECT_EQ(with_proof_header("typ", type), "bad_proof") << type;
  }
  for (const char* name : {"none", "HS256", "es256", "ES384", "RS512", ""}) {
    EXPECT_EQ(with_proof_header("alg", name), "bad_proof") << name;
  }
  EXPECT_EQ(with_proof_header("crit", json::array{"x"}), "bad_proof");
  EXPECT_EQ(with_proof_header("b64", false), "bad_proof");
  EXPECT_EQ(with_proof_header("jwk", nullptr), "bad_proof");
  EXPECT_EQ(with_proof_header("jwk", json::object{{"kty", "oct"}, {"k", "AAAA"}}), "bad_proof");
  json::object secret = client_key().public_key().to_jwk();
  secret["d"] = base64url(std::string(32, 'd'));
  EXPECT_EQ(with_proof_header("jwk", secret), "bad_proof") << "a private key is nobody's";
  EXPECT_EQ(with_proof_header("jwk", client_key(Algorithm::es256, 8).public_key().to_jwk()),
            "bad_proof")
      << "signed by another key than the one it shows";
  EXPECT_EQ(judged(proof_of(proof_header(Algorithm::es256, 8), proof_claims(kToken),
                            Algorithm::es256, 8)),
            "proof_of_another_key");
}

TEST(Proof, ClaimsAreAllThereAndOfTheirTypes) {
  for (const char* name : {"jti", "htm", "htu", "iat", "ath"}) {
    EXPECT_EQ(without_proof_claim(name), "bad_proof") << name;
    EXPECT_EQ(with_proof_claim(name, json::array{}), "bad_proof") << name;
    EXPECT_EQ(with_proof_claim(name, nullptr), "bad_proof") << name;
  }
  EXPECT_EQ(with_proof_claim("jti", ""), "bad_proof");
  EXPECT_EQ(with_proof_claim("jti", std::string(256, 'j')), "served");
  EXPECT_EQ(with_proof_claim("jti", std::string(257, 'j')), "bad_proof");
  EXPECT_EQ(with_proof_claim("htm", "post"), "proof_of_another_request") << "case counts";
  EXPECT_EQ(with_proof_claim("ath", ""), "proof_of_another_request");
  EXPECT_EQ(with_proof_claim("htu", std::string(kTarget) + "?a=b#c"), "served");
  EXPECT_EQ(with_proof_claim("htu", "HTTPS://MCP.example:443/%6dcp"), "served");
  EXPECT_EQ(with_proof_claim("htu", "https://mcp.example:8443/mcp"), "proof_of_another_request");
  EXPECT_EQ(with_proof_claim("htu", "https://mcp.example/MCP"), "proof_of_another_request");
  EXPECT_EQ(with_proof_claim("htu", "/mcp"), "proof_of_another_request");
}

TEST(Proof, IsOfNow) {
  EXPECT_EQ(with_proof_claim("iat", kNow - 60), "served");
  EXPECT_EQ(with_proof_claim("iat", kNow - 61), "proof_outdated");
  EXPECT_EQ(with_proof_claim("iat", kNow + 60), "served");
  EXPECT_EQ(with_proof_claim("iat", kNow + 61), "proof_outdated");
  EXPECT_EQ(with_proof_claim("iat", std::to_string(kNow)), "bad_proof");
  EXPECT_EQ(with_proof_claim("exp", kNow - 61), "proof_outdated");
  EXPECT_EQ(with_proof_claim("exp", kNow + 5), "served");
  EXPECT_EQ(with_proof_claim("nbf", kNow + 61), "proof_outdated");
  EXPECT_EQ(with_proof_claim("nbf", true), "bad_proof");
}

TEST(Proof, IsKnownAgainByItsKeyAndItsName) {
  const std::string key = thumbprint_bytes();
  const auto marks = [&](std::string_view id) {
    const auto checked =
        check_proof(proof_for(kToken, id), {}, {"POST", kTarget, kToken, key}, at(kNow));
    return checked ? checked->id : crypto::Digest{};
  };
  EXPECT_EQ(marks("one"), marks("one")) << "whatever the random part of its signature";
  EXPECT_NE(marks("one"), marks("two"));
  EXPECT_NE(marks("one"), crypto::Digest{});
}

TEST(Proof, TargetsHaveOneSpelling) {
  struct Row {
    const char* url;
    const char* same;
  };
  for (const Row& row :
       std::vector<Row>{{"https://a.example", "https://a.example/"},
                        {"HTTP://A.Example:80/x", "http://a.example/x"},
                        {"https://a.example:/x", "https://a.example/x"},
                        {"https://a.example:444/", "https://a.example:444/"},
                        {"https://a.example/%7ea%2f%zz", "https://a.example/~a%2F%zz"},
                        {"https://[::1]:443/x", "https://[::1]/x"}}) {
    EXPECT_EQ(normal_target(row.url).value_or("none"), row.same) << row.url;
  }
  for (const char* url :
       {"", "a", "ftp://a/", "https://", "https:///x", "https://me@a/", "//a/b"}) {
    EXPECT_FALSE(normal_target(url)) << url;
  }
}

TEST(ProofNonces, AreGoodForMinutesAndOfOneProcess) {
  const ProofNonces nonces;
  const std::string nonce = nonces.current(at(kNow));
  EXPECT_TRUE(nonces.accepts(nonce, at(kNow)));
  EXPECT_TRUE(nonces.accepts(nonce, at(kNow + 299)));
  EXPECT_FALSE(nonces.accepts(nonce, at(kNow + 601)));
  EXPECT_FALSE(nonces.accepts(nonce, at(kNow - 301))) << "not of the future";
  EXPECT_FALSE(nonces.accepts("", at(kNow)));
  EXPECT_FALSE(ProofNonces().accepts(nonce, at(kNow)));
}

}  // namespace
}  // namespace test
}  // namespace kubiya::identity
