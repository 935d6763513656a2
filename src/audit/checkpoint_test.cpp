// SPDX-License-Identifier: Apache-2.0
#include "audit/checkpoint.h"

#include <gtest/gtest.h>

#include "base/encoding.h"

namespace kubiya::audit {
namespace {

// RFC 8410, 10.3 style PKCS#8 around a fixed seed, so that the bytes below never change.
crypto::PrivateKey fixed_key() {
  std::string der = *unhex("302e020100300506032b657004220420");
  for (int i = 0; i < 32; ++i) der += static_cast<char>(i);
  return *crypto::PrivateKey::from_pem("-----BEGIN PRIVATE KEY-----\n" + base64(der) +
                                       "\n-----END PRIVATE KEY-----\n");
}

const Checkpoint kCheckpoint{"example.com/audit", 42, leaf_hash("x")};

std::string note() { return *NoteSigner("example.com/audit", fixed_key()).sign(kCheckpoint); }
NoteVerifier verifier() { return NoteSigner("example.com/audit", fixed_key()).verifier(); }

std::string replaced(std::string text, std::string_view from, std::string_view to) {
  text.replace(text.find(from), from.size(), to);
  return text;
}

TEST(Checkpoint, ReadsBackWhatItSigned) {
  const auto opened = verifier().open(note());
  ASSERT_TRUE(opened) << opened.error().message;
  EXPECT_EQ(opened->origin, kCheckpoint.origin);
  EXPECT_EQ(opened->size, 42u);
  EXPECT_EQ(opened->root, kCheckpoint.root);
}

TEST(Checkpoint, HasTheFormOfATlogCheckpoint) {
  const std::string expected_start = "example.com/audit\n42\n" +
                                     base64(crypto::view(kCheckpoint.root)) +
                                     "\n\n\xE2\x80\x94 example.com/audit ";
  EXPECT_TRUE(note().starts_with(expected_start));
  EXPECT_TRUE(note().ends_with("\n"));
  const std::string signature = *unbase64(trim(std::string_view(note()).substr(
      expected_start.size(), note().size() - expected_start.size() - 1)));
  EXPECT_EQ(signature.size(), 4u + 64u);
}

TEST(Checkpoint, IgnoresStrangersSignaturesButNeedsItsOwn) {
  const auto other = crypto::PrivateKey::generate(crypto::KeyType::ed25519);
  ASSERT_TRUE(other);
  const std::string foreign = *NoteSigner("example.com/audit", *other).sign(kCheckpoint);
  EXPECT_FALSE(verifier().open(foreign));
  const std::string line = foreign.substr(foreign.rfind("\xE2\x80\x94"));
  EXPECT_TRUE(verifier().open(note() + line));
  std::string many = note();
  for (int i = 0; i < 16; ++i) many += line;
  EXPECT_FALSE(verifier().open(many));
}

TEST(Checkpoint, RefusesEveryFlippedBit) {
  const std::string good = note();
  for (std::size_t i = 0; i < good.size(); ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string bad = good;
      bad[i] = static_cast<char>(bad[i] ^ (1 << bit));
      EXPECT_FALSE(verifier().open(bad)) << "byte " << i << " bit " << bit;
    }
  }
}

TEST(Checkpoint, RefusesOtherForms) {
  const std::string good = note();
  EXPECT_FALSE(verifier().open(""));
  EXPECT_FALSE(verifier().open(good.substr(0, good.size() - 1)));
  EXPECT_FALSE(verifier().open(good + "\n"));
  EXPECT_FALSE(verifier().open(replaced(good, "\n\n", "\n")));
  EXPECT_FALSE(verifier().open(replaced(good, "\n\n", "\nextension\n\n")));
  EXPECT_FALSE(verifier().open(good.substr(0, good.find("\n\n") + 2)));
  // Signed by the right key, but of another log or not in the one spelling.
  const NoteSigner elsewhere("example.com/audit", fixed_key());
  EXPECT_FALSE(verifier().open(*elsewhere.sign({"example.com/other", 42, kCheckpoint.root})));
}

TEST(NoteVerifier, RoundTripsItsKeyAndChecksItsHash) {
  const std::string text = verifier().text();
  const auto parsed = NoteVerifier::parse(text + "\n");
  ASSERT_TRUE(parsed) << parsed.error().message;
  EXPECT_EQ(parsed->text(), text);
  EXPECT_TRUE(parsed->open(note()));
  EXPECT_FALSE(NoteVerifier::parse("x" + text));
  EXPECT_FALSE(NoteVerifier::parse(text.substr(0, text.size() - 4)));
  EXPECT_FALSE(NoteVerifier::parse("name"));
  EXPECT_FALSE(NoteVerifier::parse(""));
}

// The verifier key and signature published with the reference implementation's package
// documentation (golang.org/x/mod/sumdb/note): an independent writer of this format.
TEST(NoteVerifier, ReadsAKeyMadeByTheReferenceImplementation) {
  const auto parsed =
      NoteVerifier::parse("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW");
  ASSERT_TRUE(parsed) << parsed.error().message;
  EXPECT_EQ(parsed->name(), "PeterNeumann");
  EXPECT_EQ(parsed->key_id(), 0xc74f20a3u);
}

TEST(NoteSigner, RefusesNamesThatWouldNotParse) {
  for (const char* name : {"", "a b", "a+b", "a\nb", "\xC3\xA9"})
    EXPECT_FALSE(NoteSigner::is_name(name));
  EXPECT_TRUE(NoteSigner::is_name("kubiya-mcp"));
}

}  // namespace
}  // namespace kubiya::audit
