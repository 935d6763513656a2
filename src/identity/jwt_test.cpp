// SPDX-License-Identifier: Apache-2.0
//
// The envelope: a good token with one thing wrong, and what it is refused for. The numbers in
// front of the rows' names are those of the catalogue of bad inputs, part A (some of part B).
#include "identity/jwt.h"

#include <gtest/gtest.h>

#include <set>

#include "crypto/digest.h"
#include "identity/token_fixture.h"

namespace kubiya::identity {
namespace test {
namespace {

std::string header_text(std::string_view text) { return token_of(text, to_json(default_claims())); }
std::string header_with(const std::string& members) {
  return header_text("{\"alg\":\"RS256\",\"kid\":\"rsa\"," + members + "}");
}

struct Segments {
  std::string header, payload, signature;
  std::string joined() const { return header + "." + payload + "." + signature; }
};
Segments good() {
  const std::string text = with_claims(default_claims());
  const auto first = text.find('.');
  const auto second = text.rfind('.');
  return {text.substr(0, first), text.substr(first + 1, second - first - 1),
          text.substr(second + 1)};
}

std::string unsigned_token(const std::string& header, const std::string& signature) {
  return base64url(header) + "." + good().payload + "." + signature;
}

// HS256 keyed with something public: what a confused verifier would accept.
std::string mac_token(std::string_view key) {
  const std::string input = base64url(R"({"alg":"HS256","kid":"rsa"})") + "." + good().payload;
  return input + "." + base64url(crypto::view(crypto::hmac_sha256(key, input)));
}

// SubjectPublicKeyInfo of our RSA key of 2048 bits with exponent 65537.
std::string public_der() {
  const json::object key = jwk(KeyType::rsa, {});
  return unhex("30820122300d06092a864886f70d01010105000382010f003082010a0282010100").value() +
         unbase64url(*find_string(key, "n")).value() + unhex("0203010001").value();
}
std::string public_pem(const std::string& line_end, bool last_end) {
  const std::string body = base64(public_der());
  std::string out = "-----BEGIN PUBLIC KEY-----" + line_end;
  for (std::size_t i = 0; i < body.size(); i += 64) out += body.substr(i, 64) + line_end;
  out += "-----END PUBLIC KEY-----";
  return last_end ? out + line_end : out;
}

std::string es256_with(std::string_view signature) {
  return base64url(R"({"alg":"ES256","kid":"p256"})") + "." + good().payload + "." +
         base64url(signature);
}

// The attacker's own key, offered in the header and used to sign.
std::string self_signed(const json::object& members, std::string_view kid) {
  json::object header = {{"alg", "RS256"}, {"kid", kid}};
  for (const auto& member : members) header[member.key()] = member.value();
  return token_of(to_json(header), to_json(default_claims()), Algorithm::rs256, 1);
}

void add_algorithm_rows(std::vector<Row>& rows) {
  const auto bad = Reason::bad_algorithm;
  for (const std::string name : {"none", "nOnE", "NONE", "none ", "None"}) {
    const std::string header = R"({"alg":")" + name + R"("})";
    rows.push_back({"A1 A2 alg " + name + ", no signature", unsigned_token(header, ""), bad});
    rows.push_back({"A3 alg " + name + ", junk signature", unsigned_token(header, "AAAA"), bad});
  }
  rows.push_back(
      {"A4 signature removed", good().header + "." + good().payload + ".", Reason::bad_signature});
  const std::pair<const char*, std::string> keys[] = {
      {"PEM with LF", public_pem("\n", true)},
      {"PEM with CRLF", public_pem("\r\n", true)},
      {"PEM without last newline", public_pem("\n", false)},
      {"DER", public_der()},
      {"JWK", to_json(jwk(KeyType::rsa, {}))},
      {"modulus", unbase64url(*find_string(jwk(KeyType::rsa, {}), "n")).value()},
  };
  for (const auto& [name, key] : keys) {
    rows.push_back({std::string("A5 HS256 keyed with ") + name, mac_token(key), bad});
  }
  rows.push_back({"A6 HS256 with an empty key", mac_token(""), bad});
  for (const char* name : {"rs256", "RS256 ", " RS256", "ＲS256", "RS256\\u0000", "", "RS1"}) {
    rows.push_back({std::string("A9 alg ") + name,
                    header_text(std::string(R"({"kid":"rsa","alg":")") + name + "\"}"), bad});
  }
  for (const char* value : {"null", "256", R"(["RS256"])", R"({"name":"RS256"})", "true"}) {
    rows.push_back({std::string("A10 alg ") + value,
                    header_text(std::string(R"({"kid":"rsa","alg":)") + value + "}"), bad});
  }
  rows.push_back({"A10 alg missing", header_text(R"({"kid":"rsa"})"), bad});
  rows.push_back(
      {"A11 RS512 is good but not allowed",
       token_of(R"({"alg":"RS512","kid":"rsa"})", to_json(default_claims()), Algorithm::rs512),
       bad});
}

void add_header_rows(std::vector<Row>& rows) {
  const auto bad = Reason::bad_header_json;
  rows.push_back({"A12 alg twice, none first",
                  header_text(R"({"alg":"none","alg":"RS256","kid":"rsa"})"), bad});
  rows.push_back({"A12 alg twice, none last",
                  header_text(R"({"alg":"RS256","kid":"rsa","alg":"none"})"), bad});
  rows.push_back({"A12 alg twice, one escaped",
                  header_text(R"({"alg":"RS256","kid":"rsa","\u0061lg":"none"})"), bad});
  for (const char* text : {"[]", R"("RS256")", "1", "null", "", "{", "{}x", "{'alg':'RS256'}",
                           R"({"alg":"RS256",})", "\xef\xbb\xbf{\"alg\":\"RS256\"}"}) {
    rows.push_back({std::string("A13 header ") + text, header_text(text), bad});
  }
  const std::pair<const char*, const char*> extensions[] = {
      {"A14 unknown crit", R"("crit":["x"],"x":1)"},
      {"A15 crit names an absent member", R"("crit":["x"])"},
      {"A16 crit empty", R"("crit":[])"},
      {"A17 crit a string", R"("crit":"x","x":1)"},
      {"A17 crit lists alg", R"("crit":["alg"])"},
      {"A17 crit lists twice", R"("crit":["x","x"],"x":1)"},
      {"A17 crit null", R"("crit":null)"},
      {"A18 b64 false with crit", R"("b64":false,"crit":["b64"])"},
      {"A19 b64 false without crit", R"("b64":false)"},
      {"A19 b64 true", R"("b64":true)"},
      {"A20 zip", R"("zip":"DEF")"},
  };
  for (const auto& [name, members] : extensions) {
    rows.push_back({name, header_with(members), Reason::critical_header});
  }
  rows.push_back({"A18 b64 false, payload raw",
                  base64url(R"({"alg":"RS256","b64":false,"crit":["b64"]})") + ".{}.AAAA",
                  Reason::critical_header});
}

void add_type_rows(std::vector<Row>& rows) {
  for (const char* type : {"JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt"}) {
    rows.push_back({std::string("B27 typ ") + type, with_header_member("typ", type), {}});
  }
  json::object plain = default_header();
  plain.erase("typ");
  rows.push_back({"B27 typ absent", with_header(plain), {}});
  TokenRules strict = default_rules();
  strict.require_at_jwt = true;
  for (const char* type : {"at+jwt", "AT+JWT", "Application/At+Jwt"}) {
    rows.push_back(
        {std::string("B27 rfc9068, typ ") + type, with_header_member("typ", type), {}, strict});
  }
  rows.push_back(
      {"B27 rfc9068, typ JWT", with_header_member("typ", "JWT"), Reason::wrong_token_type, strict});
  rows.push_back({"B29 rfc9068, typ absent", with_header(plain), Reason::wrong_token_type, strict});
  for (const char* type : {"logout+jwt", "secevent+jwt", "dpop+jwt", "id+jwt", "kb+jwt", "JOSE",
                           "JWE", "", "at+jwt ", "application/jwt", "text/at+jwt"}) {
    rows.push_back({std::string("B28 typ ") + type, with_header_member("typ", type),
                    Reason::wrong_token_type});
  }
  rows.push_back({"B28 typ a number", with_header_member("typ", 1), Reason::wrong_token_type});
  rows.push_back({"B28 typ null", with_header_member("typ", nullptr), Reason::wrong_token_type});
  rows.push_back({"A54 cty JWT", with_header_member("cty", "JWT"), Reason::wrong_token_type});
  rows.push_back({"A54 nested token",
                  token_of(R"({"alg":"RS256","kid":"rsa","cty":"JWT"})", good().joined()),
                  Reason::wrong_token_type});
  rows.push_back(
      {"A54 nested token without cty", with_payload(good().joined()), Reason::bad_claims_json});
}

void add_foreign_key_rows(std::vector<Row>& rows) {
  const json::object attacker = jwk(KeyType::rsa, {{"kid", "evil"}}, 1);
  const json::array chain = {"MIIB"};
  const std::pair<const char*, json::object> offers[] = {
      {"A21 jwk", {{"jwk", attacker}}},
      {"A22 jku", {{"jku", "https://evil.example/jwks"}}},
      {"A22 x5u", {{"x5u", "https://evil.example/cert"}}},
      {"A23 x5c", {{"x5c", chain}}},
      {"A23 x5t", {{"x5t", "AAAA"}, {"x5t#S256", "AAAA"}}},
  };
  for (const auto& [name, members] : offers) {
    const std::string row = name;
    rows.push_back(
        {row + " with our key's name", self_signed(members, "rsa"), Reason::bad_signature});
    rows.push_back({row + " with its own name", self_signed(members, "evil"), Reason::unknown_key});
    json::object header = default_header();
    for (const auto& member : members) header[member.key()] = member.value();
    rows.push_back({"A24 " + row + " beside a good signature is ignored", with_header(header), {}});
  }
}

void add_key_name_rows(std::vector<Row>& rows) {
  for (const char* kid : {"other", "RSA", "rsa ", "../../../../dev/null", "/proc/self/environ",
                          "file:///etc/passwd", "' OR 1=1--", "*)(uid=*))(|(uid=*", "rsa2"}) {
    rows.push_back({std::string("A25 A26 A27 kid ") + kid, with_header_member("kid", kid),
                    Reason::unknown_key});
  }
  for (const char* kid : {"rs\\u0000a", "rsa\\r\\nSet-Cookie: a", "rsa\\u202e", "", "rsa\\t"}) {
    rows.push_back({std::string("A27 kid ") + kid,
                    header_text(std::string(R"({"alg":"RS256","kid":")") + kid + "\"}"),
                    Reason::bad_key_id});
  }
  rows.push_back({"A27 kid of 128 bytes", with_header_member("kid", std::string(128, 'k')),
                  Reason::unknown_key});
  rows.push_back({"A27 kid of 129 bytes", with_header_member("kid", std::string(129, 'k')),
                  Reason::bad_key_id});
  rows.push_back({"A27 kid of 64 KiB", with_header_member("kid", std::string(65536, 'k')),
                  Reason::token_too_long});
  const json::value kids[] = {1, json::array{"rsa"}, json::object{{"rsa", 1}}, nullptr, true};
  for (const json::value& kid : kids) {
    rows.push_back({"A28 kid " + to_json(kid), with_header_member("kid", kid), Reason::bad_key_id});
  }
  json::object unnamed = default_header();
  unnamed.erase("kid");
  rows.push_back({"A30 no kid, several keys", with_header(unnamed), Reason::bad_key_id});
  rows.push_back(
      {"A8 ES256 with the P-384 key",
       token_of(R"({"alg":"ES256","kid":"p384"})", to_json(default_claims()), Algorithm::es256),
       Reason::key_mismatch});
  rows.push_back(
      {"A8 ES384 with the P-256 key",
       token_of(R"({"alg":"ES384","kid":"p256"})", to_json(default_claims()), Algorithm::es384),
       Reason::key_mismatch});
  rows.push_back(
      {"A8 EdDSA with the RSA key",
       token_of(R"({"alg":"EdDSA","kid":"rsa"})", to_json(default_claims()), Algorithm::eddsa),
       Reason::key_mismatch});
}

void add_signature_rows(std::vector<Row>& rows) {
  const auto bad = Reason::bad_signature;
  const std::string order =
      unhex("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551").value();
  std::string less = order;
  less.back() = static_cast<char>(less.back() - 1);
  const std::pair<const char*, std::string> numbers[] = {{"0", std::string(32, '\0')},
                                                         {"1", std::string(31, '\0') + '\1'},
                                                         {"n-1", less},
                                                         {"n", order}};
  for (const auto& [r_name, r] : numbers) {
    for (const auto& [s_name, s] : numbers) {
      rows.push_back({std::string("A38 A41 r=") + r_name + " s=" + s_name, es256_with(r + s), bad});
    }
  }
  for (const std::size_t size : {1u, 63u, 65u, 66u, 514u}) {
    rows.push_back({"A39 ES256 signature of " + std::to_string(size),
                    es256_with(std::string(size, '\1')), bad});
  }
  rows.push_back({"A39 ES256 signature of 0", es256_with(""), bad});
  rows.push_back(
      {"A40 ES256 in DER",
       base64url(R"({"alg":"ES256","kid":"p256"})") + "." + good().payload + ".MAYCAQACAQA", bad});
  Segments altered = good();
  altered.payload = base64url(to_json(json::object(default_claims())).replace(0, 1, "{ "));
  rows.push_back({"A42 payload changed", altered.joined(), bad});
  altered = good();
  altered.header = base64url(R"({"alg":"RS256","typ":"JWT","kid":"rsa"})");
  rows.push_back({"A42 header changed", altered.joined(), bad});
}

// The last character spelled with unused bits set; nothing when the segment has none.
std::string loose_end(std::string segment) {
  constexpr std::string_view alphabet =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  ASSERT(segment.size() % 4 != 0, "the segment has unused bits");
  segment.back() = alphabet[alphabet.find(segment.back()) + 1];
  return segment;
}

void add_base64_rows(std::vector<Row>& rows) {
  const auto bad = Reason::bad_base64;
  using Change = std::string (*)(std::string);
  const std::pair<const char*, Change> changes[] = {
      {"A47 one =", [](std::string s) { return s + "="; }},
      {"A47 two =", [](std::string s) { return s + "=="; }},
      {"A48 +", [](std::string s) { return s.replace(0, 1, "+"); }},
      {"A48 /", [](std::string s) { return s.replace(1, 1, "/"); }},
      {"A49 newline inside", [](std::string s) { return s.insert(4, "\n"); }},
      {"A49 space before", [](std::string s) { return " " + s; }},
      {"A49 space after", [](std::string s) { return s + " "; }},
      {"A49 tab after", [](std::string s) { return s + "\t"; }},
      {"A49 CRLF after", [](std::string s) { return s + "\r\n"; }},
      {"A49 NUL after", [](std::string s) { return s + '\0'; }},
      {"A50 length 1 mod 4", [](std::string s) { return s.substr(0, s.size() / 4 * 4 - 3); }},
      {"A48 high byte", [](std::string s) { return s.replace(0, 1, "\xff"); }},
  };
  for (const auto& [name, change] : changes) {
    Segments one = good();
    one.header = change(one.header);
    rows.push_back({std::string(name) + ", header", one.joined(), bad});
    one = good();
    one.payload = change(one.payload);
    rows.push_back({std::string(name) + ", payload", one.joined(), bad});
    one = good();
    one.signature = change(one.signature);
    rows.push_back({std::string(name) + ", signature", one.joined(), bad});
  }
  Segments loose = good();
  loose.signature = loose_end(loose.signature);
  rows.push_back({"A46 unused bits, signature", loose.joined(), bad});
  loose = good();
  loose.header = loose_end(base64url(R"({"alg":"RS256","kid":"rsa" })"));
  rows.push_back({"A46 unused bits, header", loose.joined(), bad});
  loose = good();
  loose.payload = loose_end(base64url(R"({"iss":"a"})"));
  rows.push_back({"A46 unused bits, payload", loose.joined(), bad});
}

void add_shape_rows(std::vector<Row>& rows) {
  const auto bad = Reason::not_three_parts;
  const Segments g = good();
  const std::string text = g.joined();
  rows.push_back({"A51 empty", "", bad});
  rows.push_back({"A51 one segment", g.header, bad});
  rows.push_back({"A51 two segments", g.header + "." + g.payload, bad});
  rows.push_back({"A51 four segments", text + "." + g.signature, bad});
  rows.push_back({"A51 five segments", text + ".a.b", bad});
  rows.push_back({"A51 leading dot", "." + text, bad});
  rows.push_back({"A51 trailing dot", text + ".", bad});
  rows.push_back({"A51 8000 dots", std::string(8000, '.'), bad});
  rows.push_back({"A51 a million dots", std::string(1'000'000, '.'), Reason::token_too_long});
  rows.push_back(
      {"A51 empty header", "." + g.payload + "." + g.signature, Reason::bad_header_json});
  rows.push_back({"A52 flattened JSON",
                  to_json(json::object{
                      {"protected", g.header}, {"payload", g.payload}, {"signature", g.signature}}),
                  bad});
  rows.push_back({"A52 JSON with three parts", "{\"a\":\"" + text + "\"}", Reason::bad_base64});
  const std::string tail = ".AAAA.AAAA.AAAA.AAAA";
  for (const char* header :
       {R"({"alg":"dir","enc":"A256GCM"})", R"({"alg":"RSA1_5","enc":"A128CBC-HS256"})",
        R"({"alg":"PBES2-HS256+A128KW","enc":"A128GCM","p2s":"AAAA","p2c":2147483647})",
        R"({"alg":"dir","enc":"A256GCM","zip":"DEF"})"}) {
    rows.push_back({std::string("A53 JWE ") + header, base64url(header) + tail, bad});
  }
}

void add_payload_rows(std::vector<Row>& rows) {
  const std::string good_text = to_json(default_claims());
  std::string utf16;
  for (const char c : good_text) utf16 += {c, '\0'};
  std::string utf32;
  for (const char c : good_text) utf32 += {c, '\0', '\0', '\0'};
  const auto spliced = [&good_text](std::string_view member) {
    return good_text.substr(0, good_text.size() - 1) + "," + std::string(member) + "}";
  };
  const std::pair<const char*, std::string> payloads[] = {
      {"A55 array", "[]"},
      {"A55 string", "\"x\""},
      {"A55 number", "1"},
      {"A55 null", "null"},
      {"A55 empty", ""},
      {"A56 byte order mark", "\xef\xbb\xbf" + good_text},
      {"A57 UTF-16", utf16},
      {"A57 UTF-16 with mark", "\xff\xfe" + utf16},
      {"A57 UTF-32", utf32},
      {"A58 FF FE in a claim", spliced("\"x\":\"\xff\xfe\"")},
      {"A58 overlong", spliced("\"x\":\"\xc0\xaf\"")},
      {"A58 surrogate bytes", spliced("\"x\":\"\xed\xa0\x80\"")},
      {"A59 lone high surrogate", spliced(R"("x":"\ud800")")},
      {"A59 lone low surrogate", spliced(R"("x":"\udc00")")},
      {"A60 trailing junk", good_text + "x"},
      {"A60 second object", good_text + "{}"},
      {"A60 comment", good_text + "//"},
      {"A60 block comment", "/**/" + good_text},
      {"A60 trailing comma", spliced("\"x\":1,")},
      {"A60 single quotes", "{'iss':'a'}"},
      {"A60 NaN", spliced("\"x\":NaN")},
      {"A60 Infinity", spliced("\"x\":Infinity")},
      {"A61 nested 2000 deep", spliced("\"x\":" + std::string(2000, '[') + std::string(2000, ']'))},
      {"A61 nested 9 deep", spliced("\"x\":" + std::string(8, '[') + std::string(8, ']'))},
      {"A62 sub twice", spliced("\"sub\":\"admin\"")},
      {"A62 exp twice", spliced("\"exp\":1")},
      {"A62 twice in an ignored claim", spliced(R"("x":{"a":1,"a":1})")},
  };
  for (const auto& [name, payload] : payloads) {
    rows.push_back({name, with_payload(payload), Reason::bad_claims_json});
  }
  rows.push_back({"A61 nested 20000 deep",
                  with_payload(spliced("\"x\":" + std::string(20000, '['))),
                  Reason::token_too_long});
  rows.push_back({"A61 nested 8 deep",
                  with_payload(spliced("\"x\":" + std::string(7, '[') + std::string(7, ']'))),
                  {}});
}

}  // namespace

std::vector<Row> envelope_rows() {
  std::vector<Row> rows;
  add_algorithm_rows(rows);
  add_header_rows(rows);
  add_type_rows(rows);
  add_foreign_key_rows(rows);
  add_key_name_rows(rows);
  add_signature_rows(rows);
  add_base64_rows(rows);
  add_shape_rows(rows);
  add_payload_rows(rows);
  return rows;
}

namespace {

TEST(Token, EnvelopeRowsOfTheCatalogue) {
  for (const Row& row : envelope_rows()) {
    EXPECT_EQ(outcome(judge(row.token, row.rules)), expected(row)) << row.name;
  }
}

TEST(Token, EveryReasonOfATokenHasARow) {
  std::set<Reason> seen;
  for (const auto& rows : {envelope_rows(), claim_rows()}) {
    for (const Row& row : rows) {
      if (row.refused) seen.insert(*row.refused);
    }
  }
  // What a token is bound to is judged with the request it comes with: see possession_test.
  for (int r = static_cast<int>(Reason::token_too_long);
       r <= static_cast<int>(Reason::group_overage); ++r) {
    EXPECT_TRUE(seen.count(static_cast<Reason>(r))) << to_string(static_cast<Reason>(r));
  }
  EXPECT_TRUE(seen.count(Reason::key_claims_disagree));
}

TEST(Token, EveryReasonHasItsOwnName) {
  std::set<std::string_view> names;
  const int count = static_cast<int>(Reason::overloaded) + 1;
  for (int r = 0; r < count; ++r) names.insert(to_string(static_cast<Reason>(r)));
  EXPECT_EQ(names.size(), static_cast<std::size_t>(count));
  EXPECT_FALSE(names.count("unknown"));
  EXPECT_TRUE(is_transient(Reason::keys_unavailable));
  EXPECT_TRUE(is_transient(Reason::overloaded));
  EXPECT_FALSE(is_transient(Reason::unknown_key));
  EXPECT_FALSE(is_transient(Reason::token_expired));
}

TEST(Token, EachAllowedAlgorithmIsServed) {
  const std::pair<Algorithm, const char*> rows[] = {{Algorithm::rs256, "rsa"},
                                                    {Algorithm::ps256, "rsa"},
                                                    {Algorithm::es256, "p256"},
                                                    {Algorithm::es384, "p384"},
                                                    {Algorithm::eddsa, "ed"}};
  for (const auto& [algorithm, kid] : rows) {
    const json::object header = {{"alg", crypto::name(algorithm)}, {"kid", kid}};
    EXPECT_EQ(outcome(judge(token_of(to_json(header), to_json(default_claims()), algorithm))),
              "served")
        << crypto::name(algorithm);
  }
}

// A45.
TEST(Token, EachFlippedBitOfTheSignatureIsNoticed) {
  const Segments g = good();
  const std::string signature = unbase64url(g.signature).value();
  for (std::size_t bit = 0; bit < signature.size() * 8; ++bit) {
    Segments one = g;
    std::string flipped = signature;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
    one.signature = base64url(flipped);
    ASSERT_EQ(outcome(judge(one.joined())), "bad_signature") << "bit " << bit;
  }
}

TEST(Token, EachChangedCharacterIsNoticed) {
  const std::string text = good().joined();
  for (std::size_t i = 0; i < text.size(); ++i) {
    std::string changed = text;
    changed[i] = changed[i] == 'A' ? 'B' : 'A';
    EXPECT_NE(outcome(judge(changed)), "served") << "character " << i;
  }
}

TEST(Token, EachPrefixIsRefused) {
  const std::string text = good().joined();
  for (std::size_t size = 0; size < text.size(); ++size) {
    EXPECT_NE(outcome(judge(std::string_view(text).substr(0, size))), "served") << size;
  }
}

TEST(Token, LengthLimitIsExact) {
  const std::string text = good().joined();
  for (const int offset : {-1, 0, 1}) {
    TokenLimits limits;
    limits.token_bytes = text.size() - 1 + static_cast<std::size_t>(offset + 1);
    EXPECT_EQ(parse_token(text, limits).has_value(), offset >= 0) << offset;
  }
  const auto parsed = parse_token(std::string(8 * 1024 + 1, 'a'));
  ASSERT_FALSE(parsed);
  EXPECT_EQ(parsed.error().reason, Reason::token_too_long);
}

TEST(Token, HeaderLimitIsExact) {
  const auto header_of = [](std::size_t size) {
    std::string header = R"({"alg":"RS256","kid":"rsa","x":""})";
    header.insert(header.size() - 2, std::string(size - header.size(), 'x'));
    return header_text(header);
  };
  EXPECT_EQ(outcome(judge(header_of(1023))), "served");
  EXPECT_EQ(outcome(judge(header_of(1024))), "served");
  for (const std::size_t size : {1025u, 1026u, 1027u, 3000u}) {
    EXPECT_EQ(outcome(judge(header_of(size))), "token_too_long") << size;
  }
}

TEST(Token, ClaimCountLimitIsExact) {
  const auto with_count = [](std::size_t count) {
    json::object claims = default_claims();
    while (claims.size() < count) claims["x" + std::to_string(claims.size())] = 1;
    return with_claims(claims);
  };
  EXPECT_EQ(outcome(judge(with_count(64))), "served");
  EXPECT_EQ(outcome(judge(with_count(65))), "bad_claims_json");
}

TEST(Token, FailureTextIsEscapedAndShort) {
  const auto bidi = judge(with_header_member("kid", "a\u202e" + std::string(60, 'k')));
  ASSERT_FALSE(bidi);
  EXPECT_EQ(bidi.error().reason, Reason::bad_key_id);
  EXPECT_EQ(bidi.error().detail.rfind("a\\u202ek", 0), 0u);
  EXPECT_LE(bidi.error().detail.size(), 35u);
  const auto unknown = judge(with_header_member("kid", std::string(100, 'k')));
  ASSERT_FALSE(unknown);
  EXPECT_LE(unknown.error().detail.size(), 35u);
}

TEST(Token, ClaimedNamesAreEscapedAndShort) {
  json::object claims = default_claims();
  claims["iss"] = json_of("https://evil.example\r\n" + std::string(200, 'x'));
  claims["sub"] = "a\u202eb";
  const auto token = parse_token(with_claims(claims));
  ASSERT_TRUE(token);
  const Claimed claimed = claimed_by(*token);
  EXPECT_EQ(claimed.issuer.rfind("https://evil.example\\u000d\\u000a", 0), 0u);
  EXPECT_LE(claimed.issuer.size(), 70u);
  EXPECT_EQ(claimed.subject, "a\\u202eb");
  claims["iss"] = 7;
  claims.erase("sub");
  const auto nameless = parse_token(with_claims(claims));
  ASSERT_TRUE(nameless);
  EXPECT_EQ(claimed_by(*nameless).issuer, "");
  EXPECT_EQ(claimed_by(*nameless).subject, "");
}

std::string kid_seen(const std::string& header, HeaderMemo& memo) {
  const auto token = parse_token(header_text(header), {}, &memo);
  return token ? token->kid.value_or("none") : std::string(to_string(token.error().reason));
}

TEST(Token, AHeaderMemoChangesNoOutcome) {
  HeaderMemo memo;
  for (int pass = 0; pass < 2; ++pass) {
    std::vector<Row> rows = envelope_rows();
    const std::vector<Row> more = claim_rows();
    rows.insert(rows.end(), more.begin(), more.end());
    for (const Row& row : rows) {
      const auto plain = parse_token(row.token);
      const auto with_memo = parse_token(row.token, {}, &memo);
      ASSERT_EQ(with_memo.has_value(), plain.has_value()) << row.name;
      if (!plain) {
        EXPECT_EQ(with_memo.error().reason, plain.error().reason) << row.name;
        continue;
      }
      EXPECT_EQ(with_memo->algorithm, plain->algorithm) << row.name;
      EXPECT_EQ(with_memo->kid, plain->kid) << row.name;
      EXPECT_EQ(with_memo->type, plain->type) << row.name;
      EXPECT_EQ(with_memo->claims, plain->claims) << row.name;
    }
  }
}

TEST(Token, AHeaderMemoKnowsExactlyWhatItWasGiven) {
  HeaderMemo memo;
  const std::string good_header = R"({"alg":"RS256","kid":"one"})";
  EXPECT_EQ(memo.find(""), nullptr);
  EXPECT_EQ(kid_seen(good_header, memo), "one");
  const std::string encoded = base64url(good_header);
  EXPECT_NE(memo.find(encoded), nullptr);
  for (std::size_t i = 0; i < encoded.size(); ++i) {
    std::string changed = encoded;
    changed[i] = changed[i] == 'A' ? 'B' : 'A';
    EXPECT_EQ(memo.find(changed), nullptr);
    EXPECT_EQ(memo.find(encoded.substr(0, i)), nullptr);
  }
  // Neither what was refused nor what was pushed out is known.
  EXPECT_EQ(kid_seen(R"({"alg":"none"})", memo), "bad_algorithm");
  EXPECT_EQ(memo.find(base64url(R"({"alg":"none"})")), nullptr);
  for (int i = 0; i < 8; ++i) {
    const std::string kid = "k" + std::to_string(i);
    EXPECT_EQ(kid_seen(R"({"alg":"ES256","kid":")" + kid + "\"}", memo), kid);
  }
  EXPECT_EQ(memo.find(encoded), nullptr);
  EXPECT_EQ(kid_seen(good_header, memo), "one");
}

TEST(Token, TheEnvelopeCarriesAnyPayload) {
  const auto envelope = parse_envelope(with_payload("not JSON"));
  ASSERT_TRUE(envelope);
  EXPECT_EQ(envelope->payload, "not JSON");
  EXPECT_EQ(envelope->token.algorithm, Algorithm::rs256);
  EXPECT_EQ(envelope->token.kid, "rsa");
  EXPECT_EQ(envelope->token.type, "at+jwt");
  EXPECT_TRUE(envelope->token.claims.empty());
}

}  // namespace
}  // namespace test
}  // namespace kubiya::identity
