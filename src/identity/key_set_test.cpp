// SPDX-License-Identifier: Apache-2.0
#include "identity/key_set.h"

#include <gtest/gtest.h>

#include "identity/token_fixture.h"

namespace kubiya::identity {
namespace test {
namespace {

json::object good_rsa() { return jwk(KeyType::rsa, {{"kid", "rsa"}}); }

std::string header_of(Algorithm algorithm, std::optional<std::string_view> kid) {
  json::object header = {{"alg", crypto::name(algorithm)}};
  if (kid) header["kid"] = *kid;
  return to_json(header);
}
std::string signed_with(Algorithm algorithm, std::optional<std::string_view> kid,
                        int key_number = 0) {
  return token_of(header_of(algorithm, kid), to_json(default_claims()), algorithm, key_number);
}
TokenRules every_algorithm() {
  TokenRules rules = default_rules();
  rules.algorithms.assign(crypto::test::kAllAlgorithms.begin(), crypto::test::kAllAlgorithms.end());
  return rules;
}

TEST(KeySet, SkipsWhatItMustNotUseAndKeepsTheRest) {
  const struct {
    const char* name;
    json::value key;
    const char* why;  // part of what skipped() says
  } rows[] = {
      {"A32 oct", json::object{{"kty", "oct"}, {"kid", "x"}, {"k", "c2VjcmV0"}}, "secret"},
      {"A33 use enc", jwk(KeyType::rsa, {{"kid", "x"}, {"use", "enc"}}), "use"},
      {"A33 use not a string", jwk(KeyType::rsa, {{"kid", "x"}, {"use", 1}}), "use"},
      {"A33 key_ops encrypt",
       jwk(KeyType::rsa, {{"kid", "x"}, {"key_ops", json::array{"encrypt"}}}), "key_ops"},
      {"A33 key_ops empty", jwk(KeyType::rsa, {{"kid", "x"}, {"key_ops", json::array{}}}),
       "key_ops"},
      {"A33 key_ops a string", jwk(KeyType::rsa, {{"kid", "x"}, {"key_ops", "verify"}}), "key_ops"},
      {"A34 small exponent", jwk(KeyType::rsa, {{"kid", "x"}, {"e", "AQ"}}), "exponent"},
      {"A34 small modulus", jwk(KeyType::rsa, {{"kid", "x"}, {"n", "AQAB"}}), "modulus"},
      {"A36 off the curve", jwk(KeyType::ec_p256, {{"kid", "x"}, {"crv", "P-384"}}), "coordinate"},
      {"alg of another family", jwk(KeyType::rsa, {{"kid", "x"}, {"alg", "ES256"}}), "alg"},
      {"alg of another curve", jwk(KeyType::ec_p256, {{"kid", "x"}, {"alg", "ES384"}}), "alg"},
      {"alg unknown", jwk(KeyType::ec_p521, {{"kid", "x"}, {"alg", "ES521"}}), "alg"},
      {"alg for encryption", jwk(KeyType::rsa, {{"kid", "x"}, {"alg", "RSA-OAEP"}}), "alg"},
      {"alg a number", jwk(KeyType::rsa, {{"kid", "x"}, {"alg", 5}}), "alg"},
      {"alg HS256", jwk(KeyType::rsa, {{"kid", "x"}, {"alg", "HS256"}}), "alg"},
      {"kid empty", jwk(KeyType::rsa, {{"kid", ""}}), "kid"},
      {"kid a number", jwk(KeyType::rsa, {{"kid", 7}}), "kid"},
      {"kid of 129 bytes", jwk(KeyType::rsa, {{"kid", std::string(129, 'k')}}), "kid"},
      {"kid with a line break", jwk(KeyType::rsa, {{"kid", "x\n"}}), "kid"},
      {"private", jwk(KeyType::rsa, {{"kid", "x"}, {"d", "AQAB"}}), "private"},
      {"C4 unknown kty", json::object{{"kty", "AKP"}, {"kid", "x"}}, "unsupported"},
      {"C4 unknown crv", jwk(KeyType::ed25519, {{"kid", "x"}, {"crv", "Ed448"}}), "curve"},
      {"not an object", "key", "not an object"},
  };
  for (const auto& row : rows) {
    const auto set = KeySet::parse(set_text({row.key, good_rsa()}));
    ASSERT_TRUE(set) << row.name << set.error().message;
    EXPECT_EQ(set->size(), 1u) << row.name;
    ASSERT_EQ(set->skipped().size(), 1u) << row.name;
    EXPECT_NE(set->skipped()[0].find(row.why), std::string::npos)
        << row.name << ": " << set->skipped()[0];
    EXPECT_EQ(set->skipped()[0].find('\n'), std::string::npos) << row.name;
    EXPECT_EQ(outcome(judge(signed_with(Algorithm::rs256, "x"), default_rules(), *set)),
              "unknown_key")
        << row.name;
    EXPECT_EQ(outcome(judge(signed_with(Algorithm::rs256, "rsa"), default_rules(), *set)), "served")
        << row.name;
    EXPECT_FALSE(KeySet::parse(set_text({row.key}))) << row.name;
  }
}

TEST(KeySet, AcceptsKeysWithFurtherMembers) {
  const json::object key = jwk(KeyType::rsa, {{"kid", "rsa"},
                                              {"use", "sig"},
                                              {"alg", "RS256"},
                                              {"key_ops", json::array{"verify"}},
                                              {"x5c", json::array{"MIIB"}},
                                              {"x5t", "AAAA"},
                                              {"issuer", "https://login.example"}});
  const auto set = KeySet::parse(set_text({key}));
  ASSERT_TRUE(set);
  EXPECT_TRUE(set->skipped().empty());
  EXPECT_EQ(outcome(judge(signed_with(Algorithm::rs256, "rsa"), default_rules(), *set)), "served");
}

TEST(KeySet, IgnoresBothOfTwoKeysWithOneName) {  // A31
  const auto set = KeySet::parse(
      set_text({jwk(KeyType::rsa, {{"kid", "x"}}), jwk(KeyType::rsa, {{"kid", "x"}}, 1),
                jwk(KeyType::ec_p256, {{"kid", "p256"}})}));
  ASSERT_TRUE(set);
  EXPECT_EQ(set->size(), 1u);
  EXPECT_EQ(set->skipped().size(), 2u);
  for (const int number : {0, 1}) {
    EXPECT_EQ(outcome(judge(signed_with(Algorithm::rs256, "x", number), default_rules(), *set)),
              "unknown_key");
  }
  EXPECT_EQ(outcome(judge(signed_with(Algorithm::es256, "p256"), default_rules(), *set)), "served");
}

TEST(KeySet, AnEncryptionKeyMayShareANameWithItsSibling) {
  const auto set =
      KeySet::parse(set_text({jwk(KeyType::rsa, {{"kid", "rsa"}, {"use", "enc"}}, 1), good_rsa()}));
  ASSERT_TRUE(set);
  EXPECT_EQ(outcome(judge(signed_with(Algorithm::rs256, "rsa"), default_rules(), *set)), "served");
}

TEST(KeySet, RefusesWhatIsNotAKeySet) {  // C3
  json::array many(65, json::value(good_rsa()));
  const std::string good = set_text({good_rsa()});
  const std::pair<const char*, std::string> rows[] = {
      {"empty", ""},
      {"HTML", "<html></html>"},
      {"empty object", "{}"},
      {"keys an object", R"({"keys":{}})"},
      {"keys empty", R"({"keys":[]})"},
      {"keys null", R"({"keys":null})"},
      {"array", "[" + good + "]"},
      {"truncated", good.substr(0, good.size() - 1)},
      {"trailing junk", good + "x"},
      {"keys twice", R"({"keys":[],)" + good.substr(1)},
      {"too deep", R"({"x":)" + std::string(9, '[') + std::string(9, ']') + "," + good.substr(1)},
      {"65 keys", set_text(many)},
      {"over 256 KiB", good.substr(0, good.size() - 1) + std::string(256 * 1024, ' ') + "}"},
  };
  for (const auto& [name, text] : rows) EXPECT_FALSE(KeySet::parse(text)) << name;
}

TEST(KeySet, LimitsAreExact) {
  json::array keys;
  for (int i = 0; i < 64; ++i) {
    keys.push_back(jwk(KeyType::ed25519, {{"kid", "k" + std::to_string(i)}}));
  }
  const auto full = KeySet::parse(set_text(keys));
  ASSERT_TRUE(full);
  EXPECT_EQ(full->size(), 64u);
  std::string text = set_text({good_rsa()});
  text.insert(text.size() - 1, std::string(256 * 1024 - text.size(), ' '));
  EXPECT_TRUE(KeySet::parse(text));
  text.insert(text.size() - 1, " ");
  EXPECT_FALSE(KeySet::parse(text));
}

TEST(KeySet, WithoutANameOnlyASingleFittingKeyServes) {  // A29, A30
  const KeySet one = set_of({good_rsa()});
  EXPECT_EQ(outcome(judge(signed_with(Algorithm::rs256, {}), default_rules(), one)), "served");
  EXPECT_EQ(outcome(judge(signed_with(Algorithm::es256, {}), default_rules(), one)),
            "key_mismatch");
  EXPECT_EQ(outcome(judge(signed_with(Algorithm::rs256, {}, 1), default_rules(), one)),
            "bad_signature");
  const KeySet unnamed = set_of({jwk(KeyType::rsa, {})});
  EXPECT_EQ(outcome(judge(signed_with(Algorithm::rs256, {}), default_rules(), unnamed)), "served");
  EXPECT_EQ(outcome(judge(signed_with(Algorithm::rs256, "rsa"), default_rules(), unnamed)),
            "unknown_key");
  const KeySet two = set_of({good_rsa(), jwk(KeyType::ec_p256, {})});
  EXPECT_EQ(outcome(judge(signed_with(Algorithm::rs256, {}), default_rules(), two)), "bad_key_id");
}

TEST(KeySet, AKeyWithAnAlgorithmServesThatOneOnly) {  // A7
  for (const char* allowed : {"RS384", "RS512", "PS256", "PS384", "PS512"}) {
    const KeySet set = set_of({jwk(KeyType::rsa, {{"kid", "rsa"}, {"alg", allowed}})});
    EXPECT_EQ(outcome(judge(signed_with(Algorithm::rs256, "rsa"), every_algorithm(), set)),
              "key_mismatch")
        << allowed;
    EXPECT_EQ(
        outcome(judge(signed_with(*crypto::algorithm(allowed), "rsa"), every_algorithm(), set)),
        "served")
        << allowed;
  }
}

TEST(KeySet, EveryAlgorithmAgainstEveryKey) {
  const std::pair<KeyType, const char*> keys[] = {{KeyType::rsa, "rsa"},
                                                  {KeyType::ec_p256, "p256"},
                                                  {KeyType::ec_p384, "p384"},
                                                  {KeyType::ec_p521, "p521"},
                                                  {KeyType::ed25519, "ed"}};
  json::array all;
  for (const auto& [type, kid] : keys) all.push_back(jwk(type, {{"kid", kid}}));
  const KeySet set = set_of(all);
  for (const Algorithm algorithm : crypto::test::kAllAlgorithms) {
    for (const auto& [type, kid] : keys) {
      EXPECT_EQ(outcome(judge(signed_with(algorithm, kid), every_algorithm(), set)),
                crypto::fits(algorithm, type) ? "served" : "key_mismatch")
          << crypto::name(algorithm) << " " << kid;
    }
  }
}

TEST(KeySet, TheIssuersAlgorithmsComeFirst) {  // A11
  for (const Algorithm algorithm : crypto::test::kAllAlgorithms) {
    TokenRules rules = every_algorithm();
    std::erase(rules.algorithms, algorithm);
    const auto refused = judge(signed_with(algorithm, "nobody"), rules);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().reason, Reason::bad_algorithm) << crypto::name(algorithm);
  }
  TokenRules none = default_rules();
  none.algorithms.clear();
  EXPECT_EQ(outcome(judge(signed_with(Algorithm::rs256, "rsa"), none)), "bad_algorithm");
}

TEST(KeySet, KeysOfOneIssuerDoNotServeAnother) {  // B25, B26: the same name in both sets
  const KeySet of_a = set_of({good_rsa()});
  const KeySet of_b = set_of({jwk(KeyType::rsa, {{"kid", "rsa"}}, 1)});
  const std::string by_a = signed_with(Algorithm::rs256, "rsa");
  const std::string by_b = signed_with(Algorithm::rs256, "rsa", 1);
  EXPECT_EQ(outcome(judge(by_a, default_rules(), of_a)), "served");
  EXPECT_EQ(outcome(judge(by_b, default_rules(), of_b)), "served");
  EXPECT_EQ(outcome(judge(by_b, default_rules(), of_a)), "bad_signature");
  EXPECT_EQ(outcome(judge(by_a, default_rules(), of_b)), "bad_signature");
}

TEST(KeySet, OutlivesTheTextItCameFrom) {
  std::optional<KeySet> set;
  {
    const std::string text = set_text({good_rsa()});
    set = KeySet::parse(text).value();
  }
  const KeySet copy = *set;
  set.reset();
  EXPECT_EQ(outcome(judge(signed_with(Algorithm::rs256, "rsa"), default_rules(), copy)), "served");
}

}  // namespace
}  // namespace test
}  // namespace kubiya::identity
