// SPDX-License-Identifier: Apache-2.0
//
// What is accepted as a key, and what comes out of one.
#include <gtest/gtest.h>
#include <openssl/bn.h>
#include <openssl/pem.h>

#include "base/encoding.h"
#include "crypto/openssl.h"
#include "crypto/test_keys.h"
#include "crypto/weak_key.h"

namespace kubiya::crypto {
namespace {

using test::kAllAlgorithms;
using test::kAllKeyTypes;
using test::key_of;
using test::type_for;

constexpr std::string_view kMessage = "message";

TEST(PublicKey, SurvivesItsJwk) {
  for (const Algorithm one : kAllAlgorithms) {
    const PrivateKey& secret = key_of(type_for(one));
    const json::object jwk = secret.public_key().to_jwk();
    const auto key = PublicKey::from_jwk(jwk);
    ASSERT_TRUE(key) << name(one) << key.error().message;
    EXPECT_EQ(key->type(), type_for(one));
    EXPECT_EQ(key->to_jwk(), jwk);
    EXPECT_TRUE(key->verify(one, kMessage, secret.sign(one, kMessage).value())) << name(one);
  }
}

TEST(PublicKey, CoordinatesKeepTheirLeadingZeros) {
  // The point of P-256 with the smallest x.
  const json::object jwk = {{"kty", "EC"},
                            {"crv", "P-256"},
                            {"x", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAU"},
                            {"y", "RZJDuapYGAb-kTvOmYF63hHKUDxk2aPFM0FcCDJI-8w"}};
  const auto key = PublicKey::from_jwk(jwk);
  ASSERT_TRUE(key);
  EXPECT_EQ(key->to_jwk(), jwk);
}

TEST(PublicKey, Ed25519HasRawBytes) {
  const PublicKey key = key_of(KeyType::ed25519).public_key();
  EXPECT_EQ(key.raw_ed25519().size(), 32u);
  const auto again = PublicKey::from_raw_ed25519(key.raw_ed25519());
  ASSERT_TRUE(again);
  EXPECT_EQ(again->to_jwk(), key.to_jwk());
  EXPECT_EQ(key_of(KeyType::rsa).public_key().raw_ed25519(), "");
  EXPECT_FALSE(PublicKey::from_raw_ed25519(key.raw_ed25519() + "x"));
  EXPECT_FALSE(PublicKey::from_raw_ed25519(key.raw_ed25519().substr(1)));
  EXPECT_FALSE(PublicKey::from_raw_ed25519({}));
}

TEST(PrivateKey, SurvivesItsPem) {
  for (const Algorithm one : kAllAlgorithms) {
    const PrivateKey& secret = key_of(type_for(one));
    const std::string pem = secret.to_pem();
    EXPECT_EQ(pem.rfind("-----BEGIN PRIVATE KEY-----\n", 0), 0u);
    const auto again = PrivateKey::from_pem(pem);
    ASSERT_TRUE(again) << name(one);
    EXPECT_EQ(again->public_key().to_jwk(), secret.public_key().to_jwk());
    EXPECT_TRUE(secret.public_key().verify(one, kMessage, again->sign(one, kMessage).value()));
  }
}

TEST(PrivateKey, PublicHalfHoldsNoSecret) {
  for (const KeyType type : kAllKeyTypes) {
    const json::object jwk = key_of(type).public_key().to_jwk();
    for (const char* member : {"d", "p", "q", "dp", "dq", "qi", "k"}) {
      EXPECT_FALSE(jwk.contains(member)) << member;
    }
  }
}

std::string pem_of(EVP_PKEY* key, const EVP_CIPHER* cipher) {
  const BioPtr sink(BIO_new(BIO_s_mem()));
  char password[] = "pass";
  PEM_write_bio_PKCS8PrivateKey(sink.get(), key, cipher, password, 4, nullptr, nullptr);
  char* data = nullptr;
  const long size = BIO_get_mem_data(sink.get(), &data);
  return std::string(data, static_cast<std::size_t>(size));
}

TEST(PrivateKey, RefusesPemThatWeMustNotUse) {
  const KeyPtr small(EVP_PKEY_Q_keygen(nullptr, nullptr, "RSA", std::size_t{1024}));
  const KeyPtr bitcoin(EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "secp256k1"));
  const KeyPtr exchange(EVP_PKEY_Q_keygen(nullptr, nullptr, "X25519"));
  const KeyPtr sound(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"));
  EXPECT_TRUE(PrivateKey::from_pem(pem_of(sound.get(), nullptr)));
  const std::pair<const char*, std::string> rows[] = {
      {"RSA of 1024 bits", pem_of(small.get(), nullptr)},
      {"secp256k1", pem_of(bitcoin.get(), nullptr)},
      {"X25519", pem_of(exchange.get(), nullptr)},
      {"encrypted", pem_of(sound.get(), EVP_aes_128_cbc())},
      {"empty", ""},
      {"junk", "-----BEGIN PRIVATE KEY-----\nnot base64\n-----END PRIVATE KEY-----\n"},
      {"public", "-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n"},
  };
  for (const auto& [row, pem] : rows) EXPECT_FALSE(PrivateKey::from_pem(pem)) << row;
}

TEST(PrivateKey, RefusesToMakeWeakRsa) {
  EXPECT_FALSE(PrivateKey::generate(KeyType::rsa, 1024));
  EXPECT_FALSE(PrivateKey::generate(KeyType::rsa, 16384));
}

std::string number(const BIGNUM* value) {
  std::string out(static_cast<std::size_t>(BN_num_bytes(value)), '\0');
  BN_bn2bin(value, bytes_of(out));
  return base64url(out);
}

// 2048 bits, congruent to 65537^5 modulo the product of the primes below 168: what the ROCA
// generator leaves behind, whether or not the number is a product of two primes.
Number roca_modulus() {
  Number out(BN_new()), product(BN_new()), power(BN_new());
  BN_one(product.get());
  for (BN_ULONG candidate = 2; candidate < 168; ++candidate) {
    bool prime = true;
    for (BN_ULONG d = 2; d * d <= candidate; ++d) prime = prime && candidate % d != 0;
    if (prime) BN_mul_word(product.get(), candidate);
  }
  BN_set_word(power.get(), 65537);
  for (int i = 0; i < 4; ++i) BN_mul_word(power.get(), 65537);
  BN_lshift(out.get(), product.get(), 2047 - BN_num_bits(product.get()) + 1);
  BN_add(out.get(), out.get(), power.get());
  return out;
}

json::object with(KeyType type, std::string_view member, json::value value) {
  json::object jwk = key_of(type).public_key().to_jwk();
  jwk[member] = std::move(value);
  return jwk;
}
json::object without(KeyType type, std::string_view member) {
  json::object jwk = key_of(type).public_key().to_jwk();
  jwk.erase(member);
  return jwk;
}
// The value of a coordinate with its last bit changed.
std::string moved(KeyType type, std::string_view member) {
  std::string bytes = unbase64url(*find_string(key_of(type).public_key().to_jwk(), member)).value();
  bytes.back() = static_cast<char>(bytes.back() ^ 1);
  return base64url(bytes);
}

TEST(PublicKey, RefusesJwksThatMustNotBeUsed) {
  const auto rsa = [](const char* member, const std::string& bytes) {
    return with(KeyType::rsa, member, json::value(base64url(bytes)));
  };
  const std::string odd_8193 = '\1' + std::string(1023, '\0') + '\1';
  const std::string odd_16384 = '\x80' + std::string(2046, '\0') + '\1';
  const std::string odd_2047 = '\x7f' + std::string(254, '\0') + '\1';
  const std::string even = '\x80' + std::string(254, '\0') + '\2';
  const std::string p256_33(33, '\1');
  const std::string p256_31(31, '\1');
  const struct {
    const char* name;
    json::object jwk;
  } rows[] = {
      {"empty object", {}},
      {"A32 oct", {{"kty", "oct"}, {"k", base64url(std::string(32, 'k'))}}},
      {"A34 modulus of 2047 bits", rsa("n", odd_2047)},
      {"A34 modulus of 1024 bits", rsa("n", '\x80' + std::string(126, '\0') + '\1')},
      {"A34 modulus of 8193 bits", rsa("n", odd_8193)},
      {"A34 modulus of 16384 bits", rsa("n", odd_16384)},
      {"A34 modulus 0", rsa("n", std::string(1, '\0'))},
      {"A34 even modulus", rsa("n", even)},
      {"A34 exponent 0", rsa("e", std::string(1, '\0'))},
      {"A34 exponent 1", rsa("e", "\1")},
      {"A34 exponent 2", rsa("e", "\2")},
      {"A34 even exponent", rsa("e", std::string("\1\0\0", 3))},
      {"A34 exponent of 65 bits", rsa("e", '\1' + std::string(7, '\0') + '\1')},
      {"A35 ROCA", with(KeyType::rsa, "n", json::value(number(roca_modulus().get())))},
      {"RSA without n", without(KeyType::rsa, "n")},
      {"RSA without e", without(KeyType::rsa, "e")},
      {"RSA n a number", with(KeyType::rsa, "n", 5)},
      {"RSA n empty", with(KeyType::rsa, "n", "")},
      {"RSA n padded", with(KeyType::rsa, "e", "AQAB==")},
      {"RSA with d", with(KeyType::rsa, "d", "AQAB")},
      {"EC with d", with(KeyType::ec_p256, "d", "AQAB")},
      {"OKP with d", with(KeyType::ed25519, "d", "AQAB")},
      {"RSA with k", with(KeyType::rsa, "k", "AQAB")},
      {"kty missing", without(KeyType::rsa, "kty")},
      {"kty not a string", with(KeyType::rsa, "kty", 1)},
      {"kty of another case", with(KeyType::rsa, "kty", "rsa")},
      {"kty of another family", with(KeyType::ec_p256, "kty", "RSA")},
      {"A36 point off the curve",
       with(KeyType::ec_p256, "y", json::value(moved(KeyType::ec_p256, "y")))},
      {"A36 P-384 off the curve",
       with(KeyType::ec_p384, "y", json::value(moved(KeyType::ec_p384, "y")))},
      {"A36 P-521 off the curve",
       with(KeyType::ec_p521, "y", json::value(moved(KeyType::ec_p521, "y")))},
      {"A36 x of 33 bytes", with(KeyType::ec_p256, "x", json::value(base64url(p256_33)))},
      {"A36 x of 31 bytes", with(KeyType::ec_p256, "x", json::value(base64url(p256_31)))},
      {"A36 infinity",
       {{"kty", "EC"},
        {"crv", "P-256"},
        {"x", base64url(std::string(32, '\0'))},
        {"y", base64url(std::string(32, '\0'))}}},
      {"A36 empty coordinates", {{"kty", "EC"}, {"crv", "P-256"}, {"x", ""}, {"y", ""}}},
      {"A36 y missing", without(KeyType::ec_p256, "y")},
      {"A36 P-256 point as P-384", with(KeyType::ec_p256, "crv", "P-384")},
      {"secp256k1", with(KeyType::ec_p256, "crv", "secp256k1")},
      {"crv missing", without(KeyType::ec_p256, "crv")},
      {"X25519", with(KeyType::ed25519, "crv", "X25519")},
      {"Ed448", with(KeyType::ed25519, "crv", "Ed448")},
      {"Ed25519 of 31 bytes", with(KeyType::ed25519, "x", json::value(base64url(p256_31)))},
      {"Ed25519 of 33 bytes", with(KeyType::ed25519, "x", json::value(base64url(p256_33)))},
      {"Ed25519 as EC", with(KeyType::ed25519, "kty", "EC")},
  };
  for (const auto& row : rows) EXPECT_FALSE(PublicKey::from_jwk(row.jwk)) << row.name;
}

TEST(PublicKey, AcceptsALeadingZeroInTheModulus) {
  const std::string n =
      unbase64url(*find_string(key_of(KeyType::rsa).public_key().to_jwk(), "n")).value();
  const auto key = PublicKey::from_jwk(with(KeyType::rsa, "n", json::value(base64url('\0' + n))));
  ASSERT_TRUE(key);
  EXPECT_EQ(key->to_jwk(), key_of(KeyType::rsa).public_key().to_jwk());
}

TEST(PublicKey, RefusesEd25519PointsOfSmallOrderInEverySpelling) {
  const char* const spellings[] = {
      "0100000000000000000000000000000000000000000000000000000000000000",
      "0000000000000000000000000000000000000000000000000000000000000000",
      "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
      "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
      "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
      // Not reduced: p, p + 1 and the largest.
      "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
      "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
      "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  };
  for (const char* spelling : spellings) {
    std::string point = unhex(spelling).value();
    EXPECT_FALSE(PublicKey::from_raw_ed25519(point)) << spelling;
    point.back() = static_cast<char>(point.back() ^ '\x80');
    EXPECT_FALSE(PublicKey::from_raw_ed25519(point)) << spelling << ", sign bit";
  }
}

TEST(WeakKey, RocaShapeIsNamed) {
  const Number modulus = roca_modulus();
  Number exponent(BN_new());
  BN_set_word(exponent.get(), 65537);
  ASSERT_EQ(BN_num_bits(modulus.get()), 2048);
  ASSERT_TRUE(BN_is_odd(modulus.get()));
  EXPECT_STREQ(rsa_fault(modulus.get(), exponent.get()), "modulus of the ROCA generator");
  BN_add_word(modulus.get(), 2);
  EXPECT_EQ(rsa_fault(modulus.get(), exponent.get()), nullptr);
}

}  // namespace
}  // namespace kubiya::crypto
