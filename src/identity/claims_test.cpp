// SPDX-License-Identifier: Apache-2.0
//
// The claims of a well-signed token. The numbers in front of the rows' names are those of the
// catalogue of bad inputs, part B.
#include <gtest/gtest.h>

#include "identity/minter.h"
#include "identity/token_fixture.h"

namespace kubiya::identity {
namespace test {
namespace {

// A good token whose claim `name` is spelled `value`, which may be no JSON number of ours.
std::string spelled(const std::string& name, const std::string& value) {
  return with_claim_text(name, "\"" + name + "\":" + value);
}

void add_expiry_rows(std::vector<Row>& rows) {
  const auto bad = Reason::bad_claim;
  const auto expired = Reason::token_expired;
  const auto too_long = Reason::lifetime_too_long;
  rows.push_back({"B1 exp missing", without_claim("exp"), bad});
  rows.push_back({"B2 exp 31 s ago", with_claim("exp", kNow - 31), expired});
  rows.push_back({"B2 exp 30 s ago", with_claim("exp", kNow - 30), expired});
  rows.push_back({"B2 exp 29 s ago", with_claim("exp", kNow - 29), {}});
  rows.push_back({"B3 exp a future string", with_claim("exp", std::to_string(kNow + 60)), bad});
  rows.push_back({"B3 exp a past string", with_claim("exp", "1"), bad});
  for (const char* value : {"null", "true", "[]", "{}", "\"\"", "[1800000600]"}) {
    rows.push_back({std::string("B4 exp ") + value, spelled("exp", value), bad});
  }
  for (const char* value : {"0", "-1", "-9223372036854775808", "-1e308", "1e-400", "0.0"}) {
    rows.push_back({std::string("B5 exp ") + value, spelled("exp", value), expired});
  }
  rows.push_back({"B6 exp 1e308", spelled("exp", "1e308"), too_long});
  rows.push_back({"B7 exp 1e400", spelled("exp", "1e400"), Reason::bad_claims_json});
  for (const char* value : {"9223372036854775807", "9223372036854775808", "18446744073709551615",
                            "18446744073709551617", "253402300800"}) {
    rows.push_back({std::string("B8 exp ") + value, spelled("exp", value), too_long});
  }
  rows.push_back(
      {"B8 exp of 65 digits", spelled("exp", std::string(65, '1')), Reason::bad_claims_json});
  rows.push_back({"B9 exp fractional", with_claim("exp", static_cast<double>(kNow) + 600.5), {}});
  rows.push_back({"B9 exp with exponent", spelled("exp", "18000006e2"), {}});
  rows.push_back({"B9 exp 29.5 s ago", with_claim("exp", static_cast<double>(kNow) - 29.5), {}});
  rows.push_back(
      {"B9 exp 30.5 s ago", with_claim("exp", static_cast<double>(kNow) - 30.5), expired});
}

std::string with_times(std::int64_t issued, std::int64_t expires) {
  json::object claims = default_claims();
  claims["iat"] = issued;
  claims["exp"] = expires;
  return with_claims(claims);
}

void add_time_rows(std::vector<Row>& rows) {
  const auto bad = Reason::bad_claim;
  const std::int64_t day = 24 * 3600;
  rows.push_back({"B10 lifetime of a day", with_times(kNow - 60, kNow - 60 + day), {}});
  rows.push_back({"B10 lifetime of a day and a second", with_times(kNow - 60, kNow - 59 + day),
                  Reason::lifetime_too_long});
  rows.push_back({"B10 iat long ago", spelled("iat", "-1e308"), Reason::lifetime_too_long});
  json::object ageless = default_claims();
  ageless.erase("iat");
  ageless["exp"] = kNow + day;
  rows.push_back({"B10 a day from now without iat", with_claims(ageless), {}});
  ageless["exp"] = kNow + day + 1;
  rows.push_back({"B10 more than a day from now without iat", with_claims(ageless),
                  Reason::lifetime_too_long});
  rows.push_back({"B11 nbf in 31 s", with_claim("nbf", kNow + 31), Reason::token_not_yet_valid});
  rows.push_back({"B11 nbf in 30 s", with_claim("nbf", kNow + 30), {}});
  rows.push_back({"B11 nbf in the past", with_claim("nbf", kNow - 3600), {}});
  rows.push_back({"B11 nbf a string", with_claim("nbf", "1900000000"), bad});
  rows.push_back({"B11 nbf 1e308", spelled("nbf", "1e308"), Reason::token_not_yet_valid});
  rows.push_back({"B12 nbf 1e400", spelled("nbf", "1e400"), Reason::bad_claims_json});
  rows.push_back({"B12 nbf null", spelled("nbf", "null"), bad});
  rows.push_back(
      {"B13 iat tomorrow", with_times(kNow + day, kNow + day + 60), Reason::issued_in_future});
  rows.push_back({"B13 iat in 31 s", with_claim("iat", kNow + 31), Reason::issued_in_future});
  rows.push_back({"B13 iat in 30 s", with_claim("iat", kNow + 30), {}});
  rows.push_back({"B13 iat 1e308", spelled("iat", "1e308"), Reason::issued_in_future});
  rows.push_back({"B14 iat a string", with_claim("iat", "1800000000"), bad});
  rows.push_back({"B14 iat an object", spelled("iat", "{}"), bad});
  rows.push_back({"B14 iat null", spelled("iat", "null"), bad});
}

json::array audiences(std::size_t count, bool with_ours) {
  json::array out;
  while (out.size() + (with_ours ? 1 : 0) < count) {
    out.emplace_back("https://other.example/" + std::to_string(out.size()));
  }
  if (with_ours) out.emplace_back(kAudience);
  return out;
}

void add_audience_rows(std::vector<Row>& rows) {
  const auto bad = Reason::bad_claim;
  const auto wrong = Reason::wrong_audience;
  rows.push_back({"B16 aud missing", without_claim("aud"), bad});
  for (const char* value :
       {"[]", R"([["https://mcp.example/mcp"]])", R"({"https://mcp.example/mcp":1})", "7", "null",
        R"(["https://mcp.example/mcp",1])", R"([null])", "true"}) {
    rows.push_back({std::string("B17 aud ") + value, spelled("aud", value), bad});
  }
  rows.push_back({"B17 aud empty", with_claim("aud", ""), wrong});
  rows.push_back({"B18 aud among 2", with_claim("aud", audiences(2, true)), {}});
  rows.push_back({"B18 aud among 15", with_claim("aud", audiences(15, true)), {}});
  rows.push_back({"B18 aud among 16", with_claim("aud", audiences(16, true)), {}});
  rows.push_back({"B19 aud among 17", with_claim("aud", audiences(17, true)), bad});
  rows.push_back(
      {"B19 aud among 1000", with_claim("aud", json::array(1000, json::value("a"))), bad});
  rows.push_back({"B19 aud among 10000", with_claim("aud", json::array(10000, json::value("a"))),
                  Reason::token_too_long});
  for (const char* value :
       {"https://mcp.example/mcp/", "https://mcp.example/mcp/x", "https://mcp.example/mc",
        "https://mcp.example", "https://MCP.example/mcp", "https://mcp.example:443/mcp",
        "https://mcp.example/%6dcp", "HTTPS://mcp.example/mcp", " https://mcp.example/mcp",
        "https://mcp.example/mcp https://other.example"}) {
    rows.push_back({std::string("B20 aud ") + value, with_claim("aud", value), wrong});
  }
  rows.push_back({"B21 aud of a public client", with_claim("aud", "console-client"), wrong});
  rows.push_back(
      {"B22 aud of another deployment", with_claim("aud", "https://mcp2.example/mcp"), wrong});
  TokenRules several = default_rules();
  several.audiences = {"api://kubiya", kAudience};
  rows.push_back(
      {"B20 aud of the configured list", with_claim("aud", "api://kubiya"), {}, several});
  TokenRules none = default_rules();
  none.audiences.clear();
  rows.push_back({"B16 no audience configured", with_claims(default_claims()), wrong, none});
  TokenRules blank = default_rules();
  blank.audiences = {""};
  rows.push_back({"B17 an empty audience configured", with_claim("aud", ""), wrong, blank});
}

void add_issuer_rows(std::vector<Row>& rows) {
  const auto wrong = Reason::wrong_issuer;
  for (const char* value :
       {"https://idp.example/", "https://idp.exampl", "https://idp.example.evil", "idp.example",
        "https://IDP.example", "https://idp.example@evil", "https://xn--idp.example",
        "https://іdp.example", "", " https://idp.example", "https://idp.example#", "https://"}) {
    rows.push_back({std::string("B23 B24 iss ") + value, with_claim("iss", value), wrong});
  }
  rows.push_back({"B24 iss missing", without_claim("iss"), Reason::bad_claim});
  for (const char* value : {R"(["https://idp.example"])", "null", "1", "{}"}) {
    rows.push_back({std::string("B24 iss ") + value, spelled("iss", value), Reason::bad_claim});
  }
  TokenRules slash = default_rules();
  slash.issuer = std::string(kIssuer) + "/";
  rows.push_back(
      {"B23 slash configured, none in the token", with_claims(default_claims()), wrong, slash});
  TokenRules blank = default_rules();
  blank.issuer = "";
  rows.push_back({"B24 no issuer configured", with_claim("iss", ""), wrong, blank});
}

void add_subject_rows(std::vector<Row>& rows) {
  const auto bad = Reason::bad_subject;
  rows.push_back({"B31 sub missing", without_claim("sub"), bad});
  rows.push_back({"B31 sub empty", with_claim("sub", ""), bad});
  rows.push_back({"B31 sub of 255 bytes", with_claim("sub", std::string(255, 's')), {}});
  rows.push_back({"B31 sub of 256 bytes", with_claim("sub", std::string(256, 's')), {}});
  rows.push_back({"B31 sub of 257 bytes", with_claim("sub", std::string(257, 's')), bad});
  rows.push_back({"B31 sub of 4 KiB", with_claim("sub", std::string(4096, 's')), bad});
  for (const char* value : {R"("u1\u0000admin")", R"("u1\r")", R"("u1\nadmin")", R"("u1\u202e")",
                            R"("\u200bu1")", R"("u1\u007f")", "7", "null", R"(["ada"])"}) {
    rows.push_back({std::string("B31 sub ") + value, spelled("sub", value), bad});
  }
  rows.push_back(
      {"B31 sub with letters of the world", with_claim("sub", "auth0|Zoë Ångström"), {}});
  const std::string digest = base64url(std::string(32, 'k'));
  for (const std::string& value :
       {std::string("{}"), std::string(R"({"jkt":"x"})"), std::string("null"), std::string("false"),
        R"({"jkt":")" + base64url(std::string(31, 'k')) + R"("})",
        R"({"jwk":{"kty":"oct"}})" + std::string(), R"({"jkt":[")" + digest + R"("]})",
        R"({"jkt":")" + digest + R"(","kid":"k"})", R"({"JKT":")" + digest + R"("})",
        R"({"x5t#S256":")" + digest + R"(="})"}) {
    rows.push_back({"B40 cnf " + value, spelled("cnf", value), Reason::unsupported_confirmation});
  }
  for (const char* name : {"jkt", "x5t#S256"}) {
    rows.push_back({std::string("B40 cnf that a request can be held against, ") + name,
                    with_claim("cnf", json::object{{name, digest}}),
                    {}});
  }
}

std::string many(std::size_t count) {
  std::string out = "s0";
  for (std::size_t i = 1; i < count; ++i) out += " s" + std::to_string(i);
  return out;
}

void add_scope_rows(std::vector<Row>& rows) {
  const auto bad = Reason::bad_claim;
  for (const char* value : {"read  execute", " read", "read ", "read\texecute", "read\nexecute",
                            " ", "re\"ad", "re\\ad", "réad", "read\u00a0execute"}) {
    rows.push_back({std::string("B34 scope ") + value, with_claim("scope", value), bad});
  }
  for (const char* value : {"7", "null", "{}", "true", "[1]", "[null]", R"([["read"]])"}) {
    rows.push_back({std::string("B34 scope ") + value, spelled("scope", value), bad});
  }
  rows.push_back({"B35 scp equal to scope", with_claim("scp", "execute read"), {}});
  rows.push_back(
      {"B35 scp equal, as array", with_claim("scp", json::array{"execute", "read"}), {}});
  rows.push_back({"B35 scp unequal", with_claim("scp", "admin"), bad});
  rows.push_back({"B35 scp a part", with_claim("scp", "read"), bad});
  rows.push_back({"B35 scp unequal, as array", with_claim("scp", json::array{"admin"}), bad});
  rows.push_back({"B35 scp not scopes", with_claim("scp", 1), bad});
  TokenRules only_scope = default_rules();
  only_scope.scope_claims = {"scope"};
  rows.push_back({"B35 scp not configured", with_claim("scp", "admin"), {}, only_scope});
  rows.push_back({"B37 64 scopes", with_claim("scope", many(64)), {}});
  rows.push_back({"B37 65 scopes", with_claim("scope", many(65)), bad});
  rows.push_back({"B37 700 scopes", with_claim("scope", many(700)), bad});
  rows.push_back({"B37 2000 scopes", with_claim("scope", many(2000)), Reason::token_too_long});
  rows.push_back({"B37 array of 64", with_claim("scope", json::array(64, json::value("s"))), {}});
  rows.push_back({"B37 array of 65", with_claim("scope", json::array(65, json::value("s"))), bad});
  rows.push_back({"B37 scope of 2048 bytes", with_claim("scope", std::string(2048, 's')), {}});
  rows.push_back({"B37 scope of 2049 bytes", with_claim("scope", std::string(2049, 's')), bad});
  rows.push_back({"B37 array of 2049 bytes",
                  with_claim("scope", json::array{std::string(2048, 's'), "s"}), bad});
}

void add_tenant_rows(std::vector<Row>& rows) {
  const auto wrong = Reason::wrong_tenant;
  TokenRules rules = default_rules();
  rules.tenant_claim = "app.tenant";
  const auto row = [&](const char* name, const char* app, std::optional<Reason> reason) {
    rows.push_back({std::string("tenant: ") + name, spelled("app", app), reason, rules});
  };
  row("given", R"({"tenant":"acme"})", {});
  row("empty", R"({"tenant":""})", wrong);
  row("a number", R"({"tenant":7})", wrong);
  row("null", R"({"tenant":null})", wrong);
  row("with a control character", R"({"tenant":"acme\n"})", wrong);
  row("missing inside", "{}", wrong);
  row("parent not an object", R"("acme")", wrong);
  rows.push_back({"tenant: missing", with_claims(default_claims()), wrong, rules});
  const auto of_size = [](std::size_t size) {
    return with_claim("app", json::object{{"tenant", std::string(size, 't')}});
  };
  rows.push_back({"tenant: of 128 bytes", of_size(128), {}, rules});
  rows.push_back({"tenant: of 129 bytes", of_size(129), wrong, rules});
}

// nullptr: no such claim.
template <class A, class B, class C>
std::string with_keys(const A& first, const B& second, const C& third) {
  json::object claims = default_claims();
  if (const json::value key = json_of(first); !key.is_null()) claims["kubiya_api_key"] = key;
  if (const json::value key = json_of(second); !key.is_null()) claims["api_key"] = key;
  if (const json::value key = json_of(third); !key.is_null()) {
    claims["metadata"] = json::object{{"kubiya_api_key", key}};
  }
  return with_claims(claims);
}

void add_key_rows(std::vector<Row>& rows) {
  const auto bad = Reason::bad_claim;
  const auto disagree = Reason::key_claims_disagree;
  rows.push_back({"B43 equal in all three", with_keys("kb-1", "kb-1", "kb-1"), {}});
  rows.push_back({"B43 first and second differ", with_keys("kb-1", "kb-2", nullptr), disagree});
  rows.push_back({"B43 first and third differ", with_keys("kb-1", nullptr, "kb-2"), disagree});
  rows.push_back({"B43 second and third differ", with_keys(nullptr, "kb-1", "kb-11"), disagree});
  rows.push_back({"B43 two agree, one differs", with_keys("kb-1", "kb-1", "kb-2"), disagree});
  rows.push_back({"B45 empty", with_keys("", nullptr, nullptr), bad});
  rows.push_back({"B45 of 1 KiB", with_keys(std::string(1024, 'k'), nullptr, nullptr), {}});
  rows.push_back({"B45 over 1 KiB", with_keys(std::string(1025, 'k'), nullptr, nullptr), bad});
  rows.push_back({"B45 of 1 MiB", with_keys(std::string(1 << 20, 'k'), nullptr, nullptr),
                  Reason::token_too_long});
  rows.push_back({"B45 a number", with_keys(7, nullptr, nullptr), bad});
  rows.push_back({"B45 an array", with_keys(json::array{"kb-1"}, nullptr, nullptr), bad});
  rows.push_back({"B45 null", spelled("kubiya_api_key", "null"), bad});
  rows.push_back({"B45 with a line break", with_keys("kb-1\r\nX: y", nullptr, nullptr), bad});
  rows.push_back({"B45 bad behind a good one", with_keys("kb-1", 7, nullptr), bad});
  TokenRules off = default_rules();
  off.key_claims.clear();
  rows.push_back({"B41 feature off", with_keys(7, "kb-1", "kb-2"), {}, off});
}

TokenRules with_groups() {
  TokenRules rules = default_rules();
  rules.role_claims = {"realm_access.roles", "groups", "email"};
  rules.roles = {{"Platform Team", {"read", "execute"}}, {"/ops", {"admin"}}};
  return rules;
}

void add_provider_rows(std::vector<Row>& rows) {
  const auto over = Reason::group_overage;
  const json::object elsewhere = {{"groups", "src1"}};
  rows.push_back({"groups left out", with_claim("_claim_names", elsewhere), over, with_groups()});
  rows.push_back({"groups left out, implicit", with_claim("hasgroups", true), over, with_groups()});
  TokenRules ignoring = with_groups();
  ignoring.ignore_group_overage = true;
  rows.push_back({"groups left out, ignored", with_claim("hasgroups", true), {}, ignoring});
  rows.push_back({"groups left out, not needed", with_claim("_claim_names", elsewhere), {}});
  rows.push_back({"other claims left out",
                  with_claim("_claim_names", json::object{{"x", "y"}}),
                  {},
                  with_groups()});
  rows.push_back(
      {"groups are a number", with_claim("groups", 7), Reason::bad_claim, with_groups()});
  rows.push_back({"a group is a number", with_claim("groups", json::array{"/ops", 7}),
                  Reason::bad_claim, with_groups()});
  TokenRules bearer = default_rules();
  bearer.required_claims = {{"typ", "Bearer"}, {"verified", "true"}};
  const auto claims = [](const json::object& more) {
    json::object all = default_claims();
    for (const auto& member : more) all[member.key()] = member.value();
    return with_claims(all);
  };
  rows.push_back({"required", claims({{"typ", "Bearer"}, {"verified", true}}), {}, bearer});
  rows.push_back(
      {"required, other", claims({{"typ", "ID"}, {"verified", true}}), Reason::bad_claim, bearer});
  rows.push_back({"required, absent", claims({{"typ", "Bearer"}}), Reason::bad_claim, bearer});
  rows.push_back(
      {"required, a text", claims({{"typ", "Bearer"}, {"verified", "true"}}), {}, bearer});
  rows.push_back({"required, not true", claims({{"typ", "Bearer"}, {"verified", false}}),
                  Reason::bad_claim, bearer});
  TokenRules tenants = default_rules();
  tenants.tenant_claim = "org";
  tenants.tenants = {"acme", "corp"};
  rows.push_back({"an accepted tenant", with_claim("org", "corp"), {}, tenants});
  rows.push_back(
      {"a tenant not accepted", with_claim("org", "Corp"), Reason::wrong_tenant, tenants});
}

}  // namespace

std::vector<Row> claim_rows() {
  std::vector<Row> rows;
  add_expiry_rows(rows);
  add_time_rows(rows);
  add_audience_rows(rows);
  add_issuer_rows(rows);
  add_subject_rows(rows);
  add_scope_rows(rows);
  add_tenant_rows(rows);
  add_key_rows(rows);
  add_provider_rows(rows);
  return rows;
}

namespace {

TokenFacts facts_of(const std::string& token, const TokenRules& rules = default_rules()) {
  auto facts = judge(token, rules);
  EXPECT_TRUE(facts) << outcome(facts);
  return facts ? std::move(*facts) : TokenFacts{};
}

TEST(Claims, RowsOfTheCatalogue) {
  for (const Row& row : claim_rows()) {
    EXPECT_EQ(outcome(judge(row.token, row.rules)), expected(row)) << row.name;
  }
}

TEST(Claims, FactsAreThoseOfTheToken) {
  json::object claims = default_claims();
  claims["name"] = "Ada Lovelace";
  claims["email"] = "ada@corp.example";
  claims["azp"] = "console";
  claims["exp"] = static_cast<double>(kNow) + 600.5;
  const TokenFacts facts = facts_of(with_claims(claims));
  EXPECT_EQ(facts.tenant, "default");
  EXPECT_EQ(facts.issuer, kIssuer);
  EXPECT_EQ(facts.subject, "ada");
  EXPECT_EQ(facts.display_name, "Ada Lovelace");
  EXPECT_EQ(facts.email, "ada@corp.example");
  EXPECT_EQ(facts.client, "console");
  EXPECT_EQ(facts.scopes.text(), "execute read");
  EXPECT_EQ(unix_ms(facts.expires_at), kNow * 1000 + 600'500);
  EXPECT_FALSE(facts.api_key);
  EXPECT_EQ(facts.api_key_source, "");
}

TEST(Claims, NamesForPeopleNeverRefuse) {
  json::object claims = default_claims();
  claims["name"] = 7;
  claims["preferred_username"] = json_of(std::string(500, 'n'));
  claims["email"] = "a@evil.example@corp.example";  // B39
  claims["client_id"] = "c\u202ed\n";
  claims["azp"] = "other";
  const TokenFacts facts = facts_of(with_claims(claims));
  EXPECT_EQ(facts.display_name, std::string(128, 'n') + "…");
  EXPECT_EQ(facts.email, "");
  EXPECT_EQ(facts.client, "c\\u202ed\\u000a");
}

TEST(Claims, TenantComesFromItsClaim) {
  TokenRules rules = default_rules();
  rules.tenant = "fixed";
  EXPECT_EQ(facts_of(with_claims(default_claims()), rules).tenant, "fixed");
  rules.tenant_claim = "app.tenant";
  EXPECT_EQ(facts_of(with_claim("app", json::object{{"tenant", "acme"}}), rules).tenant, "acme");
  rules.tenant_claim = "https://corp.example/tenant.id";
  EXPECT_EQ(facts_of(with_claim("https://corp.example/tenant.id", "acme"), rules).tenant, "acme");
}

TEST(Claims, ScopesComeFromTheFirstClaimThatIsThere) {
  const auto scopes = [](json::object extra, bool keep_scope = false) {
    json::object claims = default_claims();
    if (!keep_scope) claims.erase("scope");
    for (const auto& member : extra) claims[member.key()] = member.value();
    return facts_of(with_claims(claims)).scopes.text();
  };
  EXPECT_EQ(scopes({}), "");  // B38: without a claim of scopes there are none
  EXPECT_EQ(scopes({{"groups", json::array{"admin"}}}), "");
  EXPECT_EQ(scopes({{"scopes", "write"}}), "write");
  EXPECT_EQ(scopes({{"scp", json::array{"read", "write"}}}), "read write");
  EXPECT_EQ(scopes({{"permissions", json::array{"execute"}}}), "execute");
  EXPECT_EQ(scopes({{"roles", json::array{"admin"}}}), "admin");
  EXPECT_EQ(scopes({{"permissions", json::array{"execute"}}, {"roles", json::array{"admin"}}}),
            "execute");
  EXPECT_EQ(scopes({{"roles", json::array{"admin"}}}, true), "execute read");
  EXPECT_EQ(scopes({{"scope", ""}, {"roles", json::array{"admin"}}}), "");
}

TEST(Claims, ScopesHaveNoWildcardsAndNoHiddenSpaces) {  // B34, B36
  const auto scopes = [](const auto& value) {
    return facts_of(with_claim("scope", value)).scopes.names();
  };
  using Names = std::vector<std::string>;
  EXPECT_EQ(scopes("admin*"), Names{"admin*"});
  EXPECT_EQ(scopes("*"), Names{"*"});
  EXPECT_EQ(scopes("read,write"), Names{"read,write"});
  EXPECT_EQ(scopes(json::array{"read write"}), Names{});
  EXPECT_EQ(scopes(json::array{"read write", "execute", "", "réad", "a\tb"}), Names{"execute"});
  EXPECT_EQ(scopes("read read"), Names{"read"});
}

TEST(Claims, ScopesFromAConfiguredPath) {
  TokenRules rules = default_rules();
  rules.scope_claims = {"realm_access.roles"};
  const json::object realm = {{"roles", json::array{"execute", "offline_access"}}};
  EXPECT_EQ(facts_of(with_claim("realm_access", realm), rules).scopes.text(),
            "execute offline_access");
}

TEST(Claims, AllScopeClaimsCountTogetherWhenSaidSo) {
  TokenRules rules = default_rules();
  rules.scope_claims = {"scope", "roles", "resource_access.my.client.roles"};
  rules.all_scope_claims = true;
  json::object claims = default_claims();
  claims["scope"] = "openid read";
  claims["roles"] = json::array{"execute"};
  claims["resource_access"] = json::object{{"my.client", {{"roles", json::array{"write"}}}},
                                           {"other", {{"roles", json::array{"admin"}}}}};
  EXPECT_EQ(facts_of(with_claims(claims), rules).scopes.text(), "execute openid read write");
  rules.scope_claims = {"scope", "roles", "scp"};
  claims["scp"] = json::array{"read", "openid"};
  EXPECT_EQ(facts_of(with_claims(claims), rules).scopes.text(), "execute openid read");
  claims["scp"] = json::array{"read", "openid", "admin"};
  EXPECT_EQ(outcome(judge(with_claims(claims), rules)), "bad_claim") << "B35";
}

TEST(Claims, RolesGrantWhatTheMapSaysAndNothingElse) {
  const auto scopes = [](const json::object& more, const TokenRules& rules = with_groups()) {
    json::object claims = default_claims();
    claims["scope"] = "openid";
    for (const auto& member : more) claims[member.key()] = member.value();
    return facts_of(with_claims(claims), rules).scopes.text();
  };
  EXPECT_EQ(scopes({{"groups", json::array{"admin", "read"}}}), "openid");
  EXPECT_EQ(scopes({{"groups", json::array{"Platform Team", "x"}}}), "execute openid read");
  EXPECT_EQ(scopes({{"groups", "Platform Team"}}), "execute openid read");
  EXPECT_EQ(scopes({{"groups", json::array{"platform team", "/ops/", "ops"}}}), "openid");
  EXPECT_EQ(scopes({{"realm_access", {{"roles", json::array{"/ops"}}}}}), "admin openid");
  TokenRules rules = with_groups();
  rules.grants = {"read"};
  EXPECT_EQ(scopes({}, rules), "openid read");
}

TEST(Claims, ScopesOfAnIssuersOwnGrantWhatItsMapSays) {
  TokenRules rules = default_rules();
  rules.scope_map = {{"Workflows.Run", {"execute", "x"}}, {"x", {"admin"}}};
  EXPECT_EQ(facts_of(with_claim("scope", "Workflows.Run"), rules).scopes.text(),
            "Workflows.Run execute x")
      << "one step: what is granted is no name of the issuer's";
  EXPECT_EQ(facts_of(with_claim("scope", "workflows.run"), rules).scopes.text(), "workflows.run");
}

TEST(Claims, AnAddressIsARoleOnlyWhenItIsVerified) {
  TokenRules rules = with_groups();
  rules.roles = {{"ada@corp.example", {"execute"}}, {"a@b@corp.example", {"admin"}}};
  const auto scopes = [&](const char* email, const json::value& verified) {
    json::object claims = default_claims();
    claims["scope"] = "";
    claims["email"] = email;
    claims["email_verified"] = verified;
    return facts_of(with_claims(claims), rules).scopes.text();
  };
  EXPECT_EQ(scopes("ada@corp.example", true), "execute");
  EXPECT_EQ(scopes("ada@corp.example", false), "");
  EXPECT_EQ(scopes("ada@corp.example", "true"), "");
  EXPECT_EQ(scopes("a@b@corp.example", true), "");  // B39
}

TEST(Claims, TheFirstSubjectClaimThatIsThereCounts) {
  TokenRules rules = default_rules();
  rules.subject_claims = {"uid", "sub"};
  EXPECT_EQ(facts_of(with_claim("uid", "00u1"), rules).subject, "00u1");
  EXPECT_EQ(facts_of(with_claim("x", "y"), rules).subject, "ada");
  EXPECT_EQ(outcome(judge(with_claim("uid", 7), rules)), "bad_subject")
      << "a bad one is not passed over";
}

TEST(Claims, FormsOfOneIssuerAreOneIssuer) {
  TokenRules rules = default_rules();
  rules.forms = {{"https://old.example/t1/", kIssuer, "t1"},
                 {"https://old.example/t2/", "two", "t2"}};
  const auto token = [](const char* iss, const char* tid) {
    json::object claims = default_claims();
    claims["iss"] = iss;
    claims["tid"] = tid;
    return with_claims(claims);
  };
  EXPECT_EQ(facts_of(token("https://old.example/t1/", "t1"), rules).issuer, kIssuer);
  EXPECT_EQ(facts_of(token("https://old.example/t2/", "t2"), rules).issuer, "two");
  EXPECT_EQ(facts_of(token(kIssuer, "t9"), rules).issuer, kIssuer);
  EXPECT_EQ(outcome(judge(token("https://old.example/t1/", "t2"), rules)), "wrong_tenant");
  EXPECT_EQ(outcome(judge(token("https://old.example/t3/", "t3"), rules)), "wrong_issuer");
  EXPECT_EQ(outcome(judge(token("https://old.example/t1", "t1"), rules)), "wrong_issuer");
}

TEST(Claims, ApiKeyIsFoundInEachOfItsClaims) {
  const std::pair<std::string, const char*> rows[] = {
      {with_keys("kb-canary", nullptr, nullptr), "claim:kubiya_api_key"},
      {with_keys(nullptr, "kb-canary", nullptr), "claim:api_key"},
      {with_keys(nullptr, nullptr, "kb-canary"), "claim:metadata.kubiya_api_key"},
  };
  for (const auto& [token, source] : rows) {
    const TokenFacts facts = facts_of(token);
    ASSERT_TRUE(facts.api_key) << source;
    EXPECT_EQ(facts.api_key->reveal(), "kb-canary");
    EXPECT_EQ(facts.api_key_source, source);
  }
}

TEST(Claims, NoApiKeyWhenTheFeatureIsOff) {  // B41
  TokenRules off = default_rules();
  off.key_claims.clear();
  EXPECT_FALSE(facts_of(with_keys("kb-canary", nullptr, nullptr), off).api_key);
}

TEST(Claims, RefusalsNeverRepeatAKey) {
  for (const std::string& token :
       {with_keys("kb-canary", "kb-canary2", nullptr), with_keys("kb-canary\n", nullptr, nullptr),
        with_keys(json::array{"kb-canary"}, nullptr, nullptr)}) {
    const auto refused = judge(token);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().detail.find("canary"), std::string::npos) << refused.error().detail;
  }
}

TEST(Claims, RefusalsNameTheClaim) {
  EXPECT_EQ(judge(without_claim("exp")).error().detail, "exp");
  EXPECT_EQ(judge(without_claim("aud")).error().detail, "aud");
  EXPECT_EQ(judge(without_claim("iss")).error().detail, "iss");
  EXPECT_EQ(judge(with_claim("nbf", "x")).error().detail, "nbf");
  EXPECT_EQ(judge(with_claim("scope", 1)).error().detail, "scope");
}

TEST(Claims, SubjectsThatLookAlikeStayDifferent) {  // B33
  const std::string composed = "zo\u00eb";
  const std::string decomposed = "zoe\u0308";
  const auto owner = [](const std::string& subject) {
    PrincipalFacts facts;
    facts.subject = facts_of(with_claim("sub", subject)).subject;
    return Minter::mint(std::move(facts))->owner();
  };
  EXPECT_NE(owner(composed), owner(decomposed));
  EXPECT_NE(owner("ada"), owner("Ada"));
  EXPECT_EQ(owner("ada"), owner("ada"));
}

TEST(Claims, OwnersAreSpelledAsTheyAreKept) {  // runs and workflows are found by this text
  const auto owner = [](const char* tenant, const char* issuer, const std::string& subject) {
    PrincipalFacts facts;
    facts.tenant = tenant;
    facts.issuer = issuer;
    facts.subject = subject;
    return Minter::mint(std::move(facts))->owner();
  };
  EXPECT_EQ(owner("acme", "https://idp.example", "ada"), "4:acme,19:https://idp.example,3:ada");
  EXPECT_EQ(owner("", "", ""), "0:,0:,0:");
  EXPECT_EQ(owner("a", "b", std::string(1234, 'x')), "1:a,1:b,1234:" + std::string(1234, 'x'));
}

TEST(Claims, ALifetimeWithoutBoundEndsWithTheClock) {
  TokenRules rules = default_rules();
  rules.lifetime_max = std::chrono::seconds::max();
  EXPECT_EQ(facts_of(with_claim_text("exp", "\"exp\":9e15"), rules).expires_at, Wall::max());
}

TEST(Claims, JudgementFollowsTheClock) {
  const std::string token = with_claims(default_claims());
  const auto when = [&token](double seconds) {
    return outcome(judge(token, default_rules(), default_keys(), at(seconds)));
  };
  EXPECT_EQ(when(kNow), "served");
  EXPECT_EQ(when(kNow + 629.9), "served");
  EXPECT_EQ(when(kNow + 630), "token_expired");
  EXPECT_EQ(when(kNow - 90), "served");
  EXPECT_EQ(when(kNow - 90.5), "issued_in_future");
}

}  // namespace
}  // namespace test
}  // namespace kubiya::identity
