// SPDX-License-Identifier: Apache-2.0
#include "identity/credential.h"

#include <gtest/gtest.h>

#include "identity/authenticator_fixture.h"

namespace kubiya::identity {
namespace test {
namespace {

TEST(Credential, FormsAreJudgedByMode) {
  const std::string token = token_by("rsa", 0);
  struct Row {
    const char* name;
    std::string authorization;
    std::string key;
    std::string argument;
    std::string in_token_mode, in_key_mode;
  };
  World tokens;
  publish(tokens.client);
  tokens.open_tokens();
  World keyed;
  const NewKey made = keyed.add_key({.tenant = "acme", .owner = "ada", .scopes = "read"});
  const std::string key(made.key.reveal());
  keyed.open_keys();
  for (const Row& row : std::vector<Row>{
           {"nothing", "", "", "", "no_credential", "no_credential"},
           {"bearer token", "Bearer " + token, "", "", "served", "bad_api_key"},
           {"D21 bearer", "bearer " + token, "", "", "served", "bad_api_key"},
           {"D21 BEARER key", "BEARER " + key, "", "", "not_three_parts", "served"},
           {"UserKey", "UserKey " + key, "", "", "bad_authorization_header", "served"},
           {"userkey", "userkey " + key, "", "", "bad_authorization_header", "served"},
           {"X-API-Key", "", key, "", "argument_key_refused", "served"},
           {"argument", "", "", key, "argument_key_refused", "served"},
           {"argument beside its header", "Bearer " + key, "", key, "argument_key_refused",
            "served"},
           {"argument beside another header", "Bearer " + key, "", key + "x",
            "argument_key_refused", "several_credentials"},
           {"D23 bearer and X-API-Key", "Bearer " + key, key, "", "several_credentials",
            "several_credentials"},
           {"D21 no credential", "Bearer", "", "", "bad_authorization_header",
            "bad_authorization_header"},
           {"D21 empty credential", "Bearer ", "", "", "bad_authorization_header",
            "bad_authorization_header"},
           {"D21 two spaces", "Bearer  " + key, "", "", "bad_authorization_header",
            "bad_authorization_header"},
           {"D21 two words", "Bearer " + key + " y", "", "", "bad_authorization_header",
            "bad_authorization_header"},
           {"D21 comma", "Bearer x,y", "", "", "bad_authorization_header",
            "bad_authorization_header"},
           {"D21 quotes", "Bearer \"x\"", "", "", "bad_authorization_header",
            "bad_authorization_header"},
           {"D21 quoted token", "Bearer \"a.b.c\"", "", "", "bad_authorization_header",
            "bad_authorization_header"},
           {"A47 padding inside", "Bearer eyJ9=.b.c", "", "", "bad_base64",
            "bad_authorization_header"},
           {"A52 JSON", "Bearer {\"payload\":\"e30\", \"signatures\":[]}", "", "",
            "not_three_parts", "bad_authorization_header"},
           {"A52 JSON with dots", "Bearer {\"a\":\"b.c.d\"}", "", "", "bad_base64",
            "bad_authorization_header"},
           {"A18 raw payload", "Bearer e30.{\"sub\":\"x\"}.e30", "", "", "bad_algorithm",
            "bad_authorization_header"},
           {"A49 space inside", "Bearer e30. e30.e30", "", "", "bad_authorization_header",
            "bad_authorization_header"},
           {"D21 Basic", "Basic YTpi", "", "", "bad_authorization_header",
            "bad_authorization_header"},
           {"D21 tab", "Bearer\t" + key, "", "", "bad_authorization_header",
            "bad_authorization_header"},
           {"E7 not ASCII", "Bearer kb-\xc3\xa9", "", "", "bad_authorization_header",
            "bad_authorization_header"},
           {"D24 over 8 KiB", "Bearer " + std::string(8193, 'a'), "", "", "token_too_long",
            "bad_api_key"},
       }) {
    Presented presented;
    presented.authorization = row.authorization;
    presented.authorization_count = row.authorization.empty() ? 0 : 1;
    presented.api_key = row.key;
    presented.api_key_count = row.key.empty() ? 0 : 1;
    presented.argument_key = row.argument;
    EXPECT_EQ(outcome(tokens.now(presented)), row.in_token_mode) << row.name;
    EXPECT_EQ(outcome(keyed.now(presented)), row.in_key_mode) << row.name;
  }
}

TEST(Credential, D20D22SeveralOrInTheUrlAreRefusedWhateverTheySay) {
  World world;
  const std::string key(world.add_key({.tenant = "acme", .owner = "ada"}).key.reveal());
  world.open_keys();
  const std::string header = "Bearer " + key;
  Presented twice = bearer(header);
  twice.authorization_count = 2;
  EXPECT_EQ(outcome(world.now(twice)), "several_credentials");
  Presented keys;
  keys.api_key = key;
  keys.api_key_count = 2;
  EXPECT_EQ(outcome(world.now(keys)), "several_credentials");
  Presented query = bearer(header);
  query.credential_in_query = true;
  EXPECT_EQ(outcome(world.now(query)), "credential_in_query");
  Presented empty;
  empty.api_key_count = 1;
  EXPECT_EQ(outcome(world.now(empty)), "bad_authorization_header") << "E7 empty key";
}

}  // namespace
}  // namespace test
}  // namespace kubiya::identity
