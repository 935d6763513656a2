// SPDX-License-Identifier: Apache-2.0
#include "base/encoding.h"

#include <gtest/gtest.h>

#include "base/ids.h"
#include "base/principal.h"
#include "base/scopes.h"
#include "base/secret.h"

namespace kubiya {
namespace {

TEST(Encoding, Base64UrlRoundTripsAllLengths) {
  for (std::size_t n = 0; n < 70; ++n) {
    std::string bytes(n, '\0');
    random_bytes(bytes.data(), n);
    EXPECT_EQ(unbase64url(base64url(bytes)), bytes);
    EXPECT_EQ(unbase64(base64(bytes)), bytes);
  }
}

TEST(Encoding, Base64UrlRefusesEveryOtherSpelling) {
  for (const char* text : {"A", "QQ==", "QQ=", "QR", "QUJ", "Q+/", "Q Q", "QQ\n", "AAAAA"}) {
    EXPECT_FALSE(unbase64url(text)) << text;
  }
  EXPECT_EQ(unbase64url("QQ"), "A");
  EXPECT_FALSE(unbase64("QQ"));
  EXPECT_FALSE(unbase64("Q==="));
  EXPECT_FALSE(unbase64("QR=="));
}

TEST(Encoding, Base64UrlTakesItsAlphabetAndNothingElseAtEachPlace) {
  const std::string alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  for (std::size_t size : {4u, 8u}) {
    for (std::size_t at = 0; at < size; ++at) {
      for (int c = 0; c < 256; ++c) {
        std::string text(size, 'A');
        text[at] = static_cast<char>(c);
        const auto bytes = unbase64url(text);
        const bool ours = alphabet.find(static_cast<char>(c)) != alphabet.npos;
        ASSERT_EQ(bytes.has_value(), ours) << size << " " << at << " " << c;
        if (ours) {
          EXPECT_EQ(base64url(*bytes), text);
        }
      }
    }
  }
}

TEST(Encoding, Base64UrlHasOneSpellingForEachText) {
  int accepted = 0;
  for (const char second : {'A', 'B', 'I', 'P', 'Q', '_'}) {
    accepted += unbase64url(std::string("AAAAA") + second).has_value();
    accepted += unbase64url(std::string("AAAAAA") + second).has_value();
  }
  // A and Q leave four bits of zeros; A, I and Q leave two.
  EXPECT_EQ(accepted, 2 + 3);
  EXPECT_FALSE(unbase64url("AAAA*A"));
  EXPECT_FALSE(unbase64url("AAAAA*A"));
}

TEST(Encoding, ChecksUtf8) {
  EXPECT_TRUE(is_utf8("aé€😀"));
  for (const char* bad :
       {"\xFF", "\xC0\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xE2\x82", "\x80"}) {
    EXPECT_FALSE(is_utf8(bad));
  }
}

TEST(Encoding, AppendsWhatItReads) {
  std::string out;
  for (const char32_t point :
       {U'a', U'\u0080', U'\u07ff', U'\u0800', U'\uffff', U'\U00010000', U'\U0010ffff'}) {
    append_utf8(out, point);
  }
  EXPECT_EQ(out, "a\u0080\u07ff\u0800\uffff\U00010000\U0010ffff");
}

TEST(Encoding, ComparesWithoutCaseAtEveryLengthAndPlace) {
  const std::string text = "Mcp-Protocol-Version: [x]@Z`{";
  for (std::size_t size = 0; size <= text.size(); ++size) {
    const std::string a = text.substr(0, size);
    EXPECT_TRUE(iequals(a, lower(a)));
    EXPECT_FALSE(iequals(a, a + "x"));
    for (std::size_t at = 0; at < size; ++at) {
      std::string b = a;
      b[at] = static_cast<char>(b[at] ^ 1);
      EXPECT_FALSE(iequals(a, b)) << size << " " << at;
    }
  }
  EXPECT_FALSE(iequals("[bcdefgh", "{bcdefgh"));
  EXPECT_FALSE(iequals("@bcdefgh", "`bcdefgh"));
}

TEST(Encoding, PrintableHidesControlBytesAndCuts) {
  EXPECT_EQ(printable("a\r\n\x1b[31m\u202e"), "a\\u000d\\u000a\\u001b[31m\\u202e");
  EXPECT_EQ(printable("\xFFx"), "\\xffx");
  EXPECT_EQ(printable(std::string(100, 'a'), 5), "aaaaa…");
}

TEST(Encoding, Crc32MatchesTheCheckValue) { EXPECT_EQ(crc32("123456789"), 0xCBF43926u); }

TEST(ScopesSet, IsASortedSet) {
  const Scopes s{"write", "read", "write"};
  EXPECT_EQ(s.text(), "read write");
  EXPECT_TRUE(s.has("read"));
  EXPECT_FALSE(s.has("rea"));
  EXPECT_EQ((s.missing({"read", "execute"}).text()), "execute");
  EXPECT_EQ((s.intersect({"read", "execute"}).text()), "read");
  EXPECT_TRUE(s.has_all({}));
  Scopes many;
  for (int i = 0; i < 20; ++i) many.add("scope" + std::to_string(i));
  for (int i = 0; i < 20; ++i) EXPECT_TRUE(many.has("scope" + std::to_string(i)));
  EXPECT_FALSE(many.has("scope"));
  EXPECT_FALSE(many.has("scope20"));
}

TEST(SecretValue, WipesItsSourceAndMovesWhole) {
  std::string source = "kb-secret";
  Secret a = Secret::take(std::move(source));
  EXPECT_EQ(a.reveal(), "kb-secret");
  Secret b = std::move(a);
  EXPECT_TRUE(a.empty());
  EXPECT_EQ(b.reveal(), "kb-secret");
  Secret c = b;
  EXPECT_EQ(c.reveal(), "kb-secret");
}

TEST(Ids, AreDistinctAndShaped) {
  EXPECT_EQ(random_id().size(), 32u);
  EXPECT_NE(random_id(), random_id());
  const std::string id = uuid_v7(0x018bcfe56800);
  EXPECT_EQ(id.substr(0, 15), "018bcfe5-6800-7");
  EXPECT_EQ(id.size(), 36u);
}

TEST(Printable, HidesCredentialsWhereNoneBelongs) {
  const std::string key = "kb-" + std::string(61, 'K');
  const struct {
    std::string text, shown;
  } rows[] = {
      {"/mcp/" + key, "/mcp/[redacted]"},
      {key + "/" + key + "?x", "[redacted]/[redacted]?x"},
      {"Bearer eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhZGEifQ.c2ln", "Bearer [redacted]"},
      {"kb-0123456789AB", "kb-0123456789AB"},
      {"kb-runs-every-night-at-four", "kb-runs-every-night-at-four"},
      {"tokeyJhbGciOiJSUzI1NiJ9abc", "tokeyJhbGciOiJSUzI1NiJ9abc"},
      {"eyJ", "eyJ"},
      {"", ""},
      {"a\nb", "a\\u000ab"},
  };
  for (const auto& row : rows) EXPECT_EQ(printable_redacted(row.text, 128), row.shown);
  EXPECT_EQ(printable_redacted("x" + std::string(60, '.') + key, 64).find("KKK"), std::string::npos)
      << "hidden before it is cut";
}

}  // namespace
}  // namespace kubiya
