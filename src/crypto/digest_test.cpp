// SPDX-License-Identifier: Apache-2.0
#include "crypto/digest.h"

#include <gtest/gtest.h>

#include "base/encoding.h"
#include "crypto/test_vectors.h"

namespace kubiya::crypto {
namespace {

constexpr const char* kOfNothing =
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
constexpr const char* kOfAbc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

TEST(Sha256, AgreesWithFips180) {
  EXPECT_EQ(hex(view(sha256(""))), kOfNothing);
  EXPECT_EQ(hex(view(sha256({}))), kOfNothing);
  EXPECT_EQ(hex(view(sha256("abc"))), kOfAbc);
}

TEST(Sha256, KeepsNothingBetweenUses) {
  Sha256 hash;
  EXPECT_EQ(hex(view(hash("abc"))), kOfAbc);
  EXPECT_EQ(hex(view(hash(""))), kOfNothing);
  EXPECT_EQ(hash(std::string(1000, 'x')), sha256(std::string(1000, 'x')));
}

TEST(Hmac, AgreesWithRfc4231) {
  EXPECT_EQ(hex(view(hmac_sha256("Jefe", "what do ya want for nothing?"))),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

TEST(Hmac, AnEmptyKeyIsNotThePreviousKey) {
  const Digest empty = hmac_sha256("", "message");
  EXPECT_EQ(hex(view(empty)), "eb08c1f56d5ddee07f7bdf80468083da06b64cf4fac64fe3a90883df5feacae4");
  EXPECT_NE(hmac_sha256("pepper", "message"), empty);
  EXPECT_EQ(hmac_sha256({}, "message"), empty);
}

TEST(Hmac, PassesWycheproof) {
  LOAD_VECTORS_OR_SKIP(file, "wycheproof/hmac_sha256_test.json");
  int checked = 0;
  for (const auto& group : file.at("testGroups").as_array()) {
    const auto tag_bytes = static_cast<std::size_t>(group.at("tagSize").as_int64() / 8);
    for (const auto& item : group.at("tests").as_array()) {
      const json::object& test = item.as_object();
      const auto key = unhex(test::text_of(test, "key"));
      const auto message = unhex(test::text_of(test, "msg"));
      const auto tag = unhex(test::text_of(test, "tag"));
      ASSERT_TRUE(key && message && tag);
      const Digest ours = hmac_sha256(*key, *message);
      EXPECT_EQ(equal_constant_time(view(ours).substr(0, tag_bytes), *tag),
                test::text_of(test, "result") == "valid")
          << "tcId " << test.at("tcId");
      ++checked;
    }
  }
  EXPECT_EQ(checked, 174);
}

TEST(Fingerprint, IsTheFirstEightHexDigits) {
  EXPECT_EQ(fingerprint("abc"), std::string(kOfAbc).substr(0, 8));
}

TEST(EqualConstantTime, ComparesLengthAndBytes) {
  EXPECT_TRUE(equal_constant_time("", ""));
  EXPECT_TRUE(equal_constant_time("abc", "abc"));
  EXPECT_FALSE(equal_constant_time("abc", "abd"));
  EXPECT_FALSE(equal_constant_time("abc", "abcd"));
  EXPECT_FALSE(equal_constant_time("", "a"));
}

}  // namespace
}  // namespace kubiya::crypto
