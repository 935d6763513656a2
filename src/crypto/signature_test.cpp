// SPDX-License-Identifier: Apache-2.0
#include "crypto/signature.h"

#include <gtest/gtest.h>
#include <openssl/err.h>

#include <atomic>
#include <thread>
#include <vector>

#include "base/encoding.h"
#include "crypto/ecdsa_form.h"
#include "crypto/test_keys.h"

namespace kubiya::crypto {
namespace {

using test::kAllAlgorithms;
using test::kAllKeyTypes;
using test::key_of;
using test::type_for;

constexpr std::string_view kMessage = "header.payload";

std::string signature_by(Algorithm algorithm) {
  auto signature = key_of(type_for(algorithm)).sign(algorithm, kMessage);
  EXPECT_TRUE(signature) << name(algorithm);
  return signature.value_or("");
}

TEST(Algorithm, NamesAreExactAndRoundTrip) {
  for (const Algorithm one : kAllAlgorithms) EXPECT_EQ(algorithm(name(one)), one);
  EXPECT_EQ(algorithm("EdDSA"), Algorithm::eddsa);
  for (const std::string_view other :
       {"none", "None", "NONE", "nOnE", "HS256", "HS384", "HS512", "rs256", "RS256 ", " RS256",
        "ＲS256", "ES256K", "ES521", "EDDSA", "Ed25519", "dir", ""}) {
    EXPECT_FALSE(algorithm(other)) << other;
  }
  EXPECT_FALSE(algorithm(std::string_view("RS256\0", 6)));
}

TEST(Signature, EachAlgorithmSignsAndVerifies) {
  for (const Algorithm one : kAllAlgorithms) {
    const PublicKey key = key_of(type_for(one)).public_key();
    const std::string signature = signature_by(one);
    EXPECT_TRUE(key.verify(one, kMessage, signature)) << name(one);
    EXPECT_FALSE(key.verify(one, "header.payloae", signature)) << name(one);
    EXPECT_FALSE(key.verify(one, "", signature)) << name(one);
    const PublicKey other = key_of(type_for(one), 1).public_key();
    EXPECT_FALSE(other.verify(one, kMessage, signature)) << name(one);
  }
}

TEST(Signature, SignsTheEmptyMessage) {
  for (const Algorithm one : kAllAlgorithms) {
    const auto signature = key_of(type_for(one)).sign(one, {});
    ASSERT_TRUE(signature) << name(one);
    EXPECT_TRUE(key_of(type_for(one)).public_key().verify(one, {}, *signature)) << name(one);
  }
}

// Every signature under every algorithm and every key: only its own pair may agree.
TEST(Signature, NoAlgorithmStandsInForAnother) {
  for (const Algorithm made : kAllAlgorithms) {
    const std::string signature = signature_by(made);
    for (const Algorithm claimed : kAllAlgorithms) {
      for (const KeyType type : kAllKeyTypes) {
        const bool own = claimed == made && type == type_for(made);
        EXPECT_EQ(key_of(type).public_key().verify(claimed, kMessage, signature), own)
            << "made as " << name(made) << ", claimed " << name(claimed) << ", key "
            << static_cast<int>(type);
      }
    }
  }
}

TEST(Signature, AKeySignsOnlyWithItsOwnAlgorithms) {
  for (const Algorithm one : kAllAlgorithms) {
    for (const KeyType type : kAllKeyTypes) {
      EXPECT_EQ(key_of(type).sign(one, kMessage).has_value(), fits(one, type)) << name(one);
    }
  }
  EXPECT_FALSE(PrivateKey().sign(Algorithm::rs256, kMessage));
}

TEST(Signature, AnEmptyKeyVerifiesNothing) {
  const PublicKey none;
  for (const Algorithm one : kAllAlgorithms) {
    EXPECT_FALSE(none.verify(one, kMessage, signature_by(one)));
  }
  EXPECT_TRUE(none.to_jwk().empty());
  EXPECT_EQ(none.raw_ed25519(), "");
}

TEST(Signature, EachFlippedBitIsNoticed) {
  for (const Algorithm one : kAllAlgorithms) {
    const PublicKey key = key_of(type_for(one)).public_key();
    const std::string good = signature_by(one);
    std::string bad = good;
    for (std::size_t bit = 0; bit < good.size() * 8; ++bit) {
      bad[bit / 8] = static_cast<char>(good[bit / 8] ^ (1 << bit % 8));
      EXPECT_FALSE(key.verify(one, kMessage, bad)) << name(one) << " bit " << bit;
      bad[bit / 8] = good[bit / 8];
    }
    EXPECT_TRUE(key.verify(one, kMessage, bad));
  }
}

TEST(Signature, LengthIsExact) {
  for (const Algorithm one : kAllAlgorithms) {
    const PublicKey key = key_of(type_for(one)).public_key();
    const std::string good = signature_by(one);
    std::vector<std::string> wrong = {"",
                                      good.substr(1),
                                      good.substr(0, good.size() - 1),
                                      good + '\0',
                                      good + std::string(2, '\0'),
                                      '\0' + good,
                                      good + good,
                                      std::string(514, '\1')};
    for (const std::string& bad : wrong) {
      EXPECT_FALSE(key.verify(one, kMessage, bad)) << name(one) << " of " << bad.size();
    }
  }
}

TEST(Signature, EcdsaInDerIsRefused) {
  for (const Algorithm one : {Algorithm::es256, Algorithm::es384, Algorithm::es512}) {
    const PublicKey key = key_of(type_for(one)).public_key();
    EXPECT_FALSE(key.verify(one, kMessage, ecdsa_der(signature_by(one))));
    EXPECT_FALSE(key.verify(one, kMessage, std::string("\x30\x06\x02\x01\x00\x02\x01\x00", 8)));
  }
}

TEST(Signature, EcdsaOfBorderNumbersIsRefused) {
  const std::string order =
      unhex("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551").value();
  std::string less = order;
  less.back() = static_cast<char>(less.back() - 1);
  const std::string zero(32, '\0');
  const std::string one = std::string(31, '\0') + '\1';
  const PublicKey key = key_of(KeyType::ec_p256).public_key();
  for (const std::string& r : {zero, one, less, order}) {
    for (const std::string& s : {zero, one, less, order}) {
      EXPECT_FALSE(key.verify(Algorithm::es256, kMessage, r + s)) << hex(r) << " " << hex(s);
    }
  }
}

TEST(Signature, AFailureLeavesNoErrorForTheNextLibraryCall) {
  ERR_clear_error();
  for (const Algorithm one : kAllAlgorithms) {
    const std::string junk(signature_by(one).size(), '\xff');
    EXPECT_FALSE(key_of(type_for(one)).public_key().verify(one, kMessage, junk));
    EXPECT_EQ(ERR_peek_error(), 0u) << name(one);
  }
  EXPECT_FALSE(PrivateKey::from_pem("-----BEGIN PRIVATE KEY-----\nAAAA\n"));
  EXPECT_EQ(ERR_peek_error(), 0u);
}

TEST(Signature, OneKeyServesManyThreads) {
  for (const Algorithm one : {Algorithm::rs256, Algorithm::ps256, Algorithm::es256}) {
    const PublicKey key = key_of(type_for(one)).public_key();
    const std::string good = signature_by(one);
    std::atomic<int> agreed = 0;
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i < 25; ++i) {
          agreed += key.verify(one, kMessage, good) && !key.verify(one, "other", good);
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(agreed, 100) << name(one);
  }
}

TEST(EcdsaForm, RoundTripsWithLeadingZerosAndHighBits) {
  for (const std::size_t half : {32u, 48u, 66u}) {
    for (const char first : {'\0', '\1', '\x7f', '\x80', '\xff'}) {
      std::string number(half, '\x81');
      number[0] = first;
      number[1] = first;
      const std::string raw = number + std::string(half - 1, '\0') + '\5';
      EXPECT_EQ(ecdsa_raw(ecdsa_der(raw), half), raw) << half << " " << int{first};
    }
  }
  EXPECT_EQ(hex(ecdsa_der(std::string(64, '\0'))), "3006020100020100");
  EXPECT_FALSE(ecdsa_raw(ecdsa_der(std::string(132, '\x11')), 32));
  EXPECT_FALSE(ecdsa_raw(ecdsa_der(std::string(64, '\x11')) + "x", 32));
  EXPECT_FALSE(ecdsa_raw("", 32));
}

}  // namespace
}  // namespace kubiya::crypto
