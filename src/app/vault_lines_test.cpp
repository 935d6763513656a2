// SPDX-License-Identifier: Apache-2.0
#include "app/vault_lines.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace kubiya::app {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

store::VaultRow standard() {
  store::VaultRow row;
  row.tenant = "default";
  row.issuer = "https://idp.example";
  return row;
}

// "tenant issuer kind name key;" of each line, or the error.
std::string read(std::string_view text) {
  const auto lines = read_vault_lines(text, standard());
  if (!lines) return lines.error().message;
  std::string out;
  for (const VaultLine& line : *lines) {
    out += line.row.tenant + " " + line.row.issuer + " " + line.row.kind + " " + line.row.name +
           " " + std::string(line.key.reveal()) + ";";
  }
  return out;
}

TEST(VaultLines, AreCsvOrJson) {
  EXPECT_EQ(read("subject,key\nada,kb-1\n\nbob,kb-2\r\n"),
            "default https://idp.example subject ada kb-1;"
            "default https://idp.example subject bob kb-2;");
  EXPECT_EQ(read("key,issuer,tenant,subject,reference\n"
                 "kb-1,https://other.example,acme,\"ada \"\"a\"\", of x\",\n"
                 "kb-2,,,,shared"),
            "acme https://other.example subject ada \"a\", of x kb-1;"
            "default https://idp.example reference shared kb-2;");
  EXPECT_EQ(read(R"({"subject":"ada","key":"kb-1"})"
                 "\n"
                 R"({"reference":"shared","key":"kb-2","issuer":"https://b","tenant":"acme"})"
                 "\n"),
            "default https://idp.example subject ada kb-1;acme https://b reference shared kb-2;");
  EXPECT_EQ(read("subject,key\n"), "");
  EXPECT_EQ(read(""), "");
}

TEST(VaultLines, AreRefusedByLineAndNeverQuoted) {
  const struct {
    std::string text;
    const char* says;
  } rows[] = {
      {"subject,key\nada,kb-secret,x", "line 2: it has 3 fields, the header 2"},
      {"subject,key\nada,\"kb-secret", "line 2: a quote does not end"},
      {"subject,key\nada,kb\"secret", "line 2: a quote does not end"},
      {"subject,secret\nada,kb-secret", "line 2: secret is unknown"},
      {"subject\nada", "line 2: key must be"},
      {"subject,key\nada,kb secret", "line 2: key must be"},
      {"subject,key\nada,", "line 2: key must be"},
      {"subject,key\n,kb-secret", "line 2: subject or reference is missing"},
      {"subject,reference,key\nada,x,kb-secret", "line 2: it has a subject and a reference"},
      {"subject,key,tenant\nada,kb-secret,a\x01", "line 2: tenant"},
      {"subject,key\nada,kb-secret\nada,kb-secret", "line 3: somebody above has the same name"},
      {R"({"subject":"ada","key":1})", "line 1: key must be a string"},
      {R"({"subject":"ada","key":"kb-secret"} x)", "line 1: it is not one JSON object"},
      {R"({"subject":"ada","key":"kb-secret","key":"kb-2"})", "line 1: it is not one JSON"},
      {"{\"subject\":\"ada\",\"key\":\"kb-1\"}\nada,kb-secret", "line 2: it is not one JSON"},
  };
  for (const auto& row : rows) {
    EXPECT_THAT(read(row.text), HasSubstr(row.says)) << row.text;
    EXPECT_THAT(read(row.text), Not(HasSubstr("kb-secret"))) << row.text;
  }
  EXPECT_THAT(read_vault_lines("subject,key\nada,kb-1", {}).error().message,
              HasSubstr("line 2: issuer is missing"));
}

}  // namespace
}  // namespace kubiya::app
