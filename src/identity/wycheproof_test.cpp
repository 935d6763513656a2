// SPDX-License-Identifier: Apache-2.0
//
// Whole tokens of Project Wycheproof and of RFC 7520, against the keys of their group. Their
// payloads are not claims, so the envelope and the signature are judged.
#include <gtest/gtest.h>

#include <set>

#include "crypto/test_vectors.h"
#include "identity/token_fixture.h"

namespace kubiya::identity {
namespace test {
namespace {

using crypto::test::text_of;
using Numbers = std::set<std::int64_t>;

TokenRules every_algorithm() {
  TokenRules rules = default_rules();
  rules.algorithms.assign(crypto::test::kAllAlgorithms.begin(), crypto::test::kAllAlgorithms.end());
  return rules;
}

// True iff this server would believe the signature.
bool believed(const json::value& token, const Result<KeySet>& keys) {
  if (!token.is_string()) return false;  // the JSON serialization, tried by its own test
  const auto envelope = parse_envelope(view(token.get_string()));
  return envelope && keys &&
         verify_signature(envelope->token, every_algorithm(), *keys).has_value();
}

// The group's public key or key set; its private one, symmetric, where there is no other.
std::string keys_of(const json::object& group) {
  const json::object* key = find_object(group, "public");
  if (key == nullptr) key = find_object(group, "private");
  if (key == nullptr) return "{}";
  return key->contains("keys") ? to_json(*key) : set_text({*key});
}

struct Tally {
  int tests = 0;
  Numbers accepted_invalid, refused_valid;
};

Tally tally(const json::object& file, std::string_view member) {
  Tally out;
  for (const auto& item : file.at("testGroups").as_array()) {
    const json::object& group = item.as_object();
    const auto keys = KeySet::parse(keys_of(group));
    for (const auto& test : group.at("tests").as_array()) {
      const json::value* token = find(test.as_object(), member);
      if (token == nullptr) continue;
      ++out.tests;
      const bool valid = text_of(test.as_object(), "result") == "valid";
      const bool served = believed(*token, keys);
      if (served && !valid) out.accepted_invalid.insert(test.at("tcId").as_int64());
      if (!served && valid) out.refused_valid.insert(test.at("tcId").as_int64());
    }
  }
  return out;
}

TEST(Wycheproof, JsonWebSignature) {
  LOAD_VECTORS_OR_SKIP(file, "wycheproof/json_web_signature_test.json");
  const Tally result = tally(file, "jws");
  EXPECT_EQ(result.tests, 401);
  EXPECT_EQ(result.accepted_invalid, Numbers{});
  // 346, 350: the key says PS256, the header PS384. 347, 351: the key says "ES521". 372, 373:
  // "valid" with a '?' in them. All others are HS256, which no issuer of ours may use.
  EXPECT_EQ(result.refused_valid,
            (Numbers{1, 346, 347, 348, 350, 351, 352, 357, 358, 359, 372, 373, 376, 377}));
}

TEST(Wycheproof, JsonWebKey) {
  LOAD_VECTORS_OR_SKIP(file, "wycheproof/json_web_key_test.json");
  const Tally result = tally(file, "jws");
  EXPECT_EQ(result.tests, 26);
  EXPECT_EQ(result.accepted_invalid, Numbers{});
  // All four are HMAC keys.
  EXPECT_EQ(result.refused_valid, (Numbers{2, 13, 14, 15}));
}

TEST(Wycheproof, JsonWebCrypto) {
  LOAD_VECTORS_OR_SKIP(file, "wycheproof/json_web_crypto_test.json");
  const Tally signatures = tally(file, "jws");
  EXPECT_EQ(signatures.accepted_invalid, Numbers{});
  // HMAC keys, as above.
  EXPECT_EQ(signatures.refused_valid, (Numbers{1, 48}));
  const Tally encrypted = tally(file, "jwe");
  EXPECT_EQ(signatures.tests + encrypted.tests, 83);
  EXPECT_EQ(encrypted.accepted_invalid, Numbers{});
}

TEST(Wycheproof, JsonWebEncryptionIsRefusedAsAWhole) {
  LOAD_VECTORS_OR_SKIP(file, "wycheproof/json_web_encryption_test.json");
  int refused = 0;
  for (const auto& group : file.at("testGroups").as_array()) {
    for (const auto& test : group.at("tests").as_array()) {
      const json::value& token = test.at("jwe");
      const std::string text =
          token.is_string() ? std::string(view(token.get_string())) : to_json(token);
      EXPECT_FALSE(parse_envelope(text)) << test.at("tcId");
      ++refused;
    }
  }
  EXPECT_EQ(refused, 139);
}

struct Example {
  const char* file;
  bool compact_is_believed;
};

// RFC 7520 §4 and RFC 8037 appendix A.4.
TEST(Cookbook, CompactFormIsVerifiedAndJsonFormsAreRefused) {
  constexpr Example kExamples[] = {
      {"jws/4_1.rsa_v15_signature", true},
      {"jws/4_2.rsa-pss_signature", true},
      {"jws/4_3.ecdsa_signature", true},
      {"jws/4_4.hmac-sha2_integrity_protection", false},
      {"jws/4_6.protecting_specific_header_fields", false},
      {"jws/4_7.protecting_content_only", false},
      {"jws/4_8.multiple_signatures", false},
      {"curve25519/jws", true},
  };
  for (const Example& example : kExamples) {
    LOAD_VECTORS_OR_SKIP(file, std::string("jose-cookbook/") + example.file + ".json");
    const json::object& input = file.at("input").as_object();
    const json::object& output = file.at("output").as_object();
    Result<KeySet> keys = fail(Code::invalid, "no single key");
    if (const json::object* key = find_object(input, "key")) {
      json::object shared = *key;
      for (const char* member : {"d", "p", "q", "dp", "dq", "qi"}) shared.erase(member);
      keys = KeySet::parse(set_text({shared}));
    }
    if (const json::value* compact = find(output, "compact")) {
      EXPECT_EQ(believed(*compact, keys), example.compact_is_believed) << example.file;
    } else {
      EXPECT_FALSE(example.compact_is_believed) << example.file;
    }
    for (const char* form : {"json", "json_flat"}) {
      const json::value* text = find(output, form);
      EXPECT_FALSE(text != nullptr && parse_envelope(to_json(*text))) << example.file << form;
    }
  }
}

}  // namespace
}  // namespace test
}  // namespace kubiya::identity
