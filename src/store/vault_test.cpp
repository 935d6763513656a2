// SPDX-License-Identifier: Apache-2.0
#include "store/vault.h"

#include <gtest/gtest.h>

#include "store/testing.h"

namespace kubiya::store {
namespace {

class VaultTest : public testing::Test {
 protected:
  static VaultRow row(const std::string& name, const std::string& tenant = "acme") {
    VaultRow row;
    row.tenant = tenant;
    row.issuer = "https://idp.example";
    row.name = name;
    row.updated_ms = 7;
    return row;
  }
  static Vault::Change change(VaultRow row, const std::string& key) {
    return {std::move(row), Secret(key), {0, "vault_key_set", "{}"}};
  }
  // Seals by writing the key down, which shows what was sealed and when.
  static Result<> plain(VaultRow& row, const Secret& key) {
    row.key_id = "k1";
    row.sealed = std::string(key.reveal()) + "@" + std::to_string(row.version);
    return {};
  }
  Result<> set(std::vector<Vault::Change> changes) { return vault_.set(std::move(changes), plain); }
  std::vector<std::string> sealed() {
    std::vector<std::string> all;
    const auto rows = vault_.all().value();
    for (const VaultRow& one : rows) all.push_back(one.name + "=" + one.sealed);
    return all;
  }
  using Texts = std::vector<std::string>;

  TemporaryDirectory place_;
  std::unique_ptr<Database> db_ = Database::open(place_.file("kubiya.db")).value();
  Vault vault_{*db_};
};

TEST_F(VaultTest, KeepsOneRecordAPersonAndCountsItsVersions) {
  const auto before = vault_.generation().value();
  ASSERT_TRUE(set({change(row("ada"), "one"), change(row("bob"), "two")}));
  ASSERT_TRUE(set({change(row("ada"), "three")}));
  VaultRow reference = row("ada");
  reference.kind = kVaultReference;
  ASSERT_TRUE(set({change(reference, "four"), change(row("ada", "other"), "five")}));
  EXPECT_EQ(sealed(), (Texts{"ada=four@1", "ada=three@2", "bob=two@1", "ada=five@1"}));
  EXPECT_NE(vault_.generation().value(), before);
  EXPECT_EQ(Owed(*db_).all()->size(), 5u) << "one for each";

  EXPECT_EQ(vault_.list("acme", "https://idp.example")->size(), 3u);
  EXPECT_EQ(vault_.list("acme", "https://other.example")->size(), 0u);
  EXPECT_EQ(vault_.list("other", std::nullopt)->size(), 1u);
}

TEST_F(VaultTest, SetsAllOrNone) {
  const auto refuses_bob = [](VaultRow& one, const Secret& key) -> Result<> {
    if (one.name == "bob") return fail(Code::unavailable, "no");
    return plain(one, key);
  };
  EXPECT_FALSE(vault_.set({change(row("ada"), "one"), change(row("bob"), "two")}, refuses_bob));
  EXPECT_EQ(sealed(), Texts{});
  EXPECT_EQ(Owed(*db_).all()->size(), 0u);
}

TEST_F(VaultTest, RemovesWhatIsThere) {
  ASSERT_TRUE(set({change(row("ada"), "one")}));
  const auto generation = vault_.generation().value();
  EXPECT_EQ(vault_.remove(row("bob"), {}).error().code, Code::not_found);
  EXPECT_EQ(vault_.generation().value(), generation);
  ASSERT_TRUE(vault_.remove(row("ada"), {0, "vault_key_removed", "{}"}));
  EXPECT_EQ(sealed(), Texts{});
  EXPECT_NE(vault_.generation().value(), generation);
}

TEST_F(VaultTest, SealsAnewWhatAnotherKeySealed) {
  ASSERT_TRUE(set({change(row("ada"), "one"), change(row("bob"), "two")}));
  const auto anew = [](VaultRow& one) -> Result<> {
    one.key_id = "k2";
    one.sealed += "!";
    return {};
  };
  const auto refuses_bob = [&](VaultRow& one) -> Result<> {
    if (one.name == "bob") return fail(Code::corrupt, "no");
    return anew(one);
  };
  EXPECT_FALSE(vault_.reseal("k2", refuses_bob, {}));
  EXPECT_EQ(sealed(), (Texts{"ada=one@1", "bob=two@1"})) << "none of them";
  EXPECT_EQ(vault_.reseal("k2", anew, {0, "vault_key_rotated", "{}"}).value(), 2u);
  EXPECT_EQ(sealed(), (Texts{"ada=one@1!", "bob=two@1!"}));
  EXPECT_EQ(vault_.reseal("k2", anew, {}).value(), 0u);
}

TEST_F(VaultTest, WhatIsOwedIsKeptUntilItIsPaid) {
  ASSERT_TRUE(set({change(row("ada"), "one"), change(row("bob"), "two")}));
  Owed owed(*db_);
  const auto records = owed.all().value();
  ASSERT_EQ(records.size(), 2u);
  EXPECT_LT(records[0].id, records[1].id);
  owed.paid(records[0].id);
  ASSERT_TRUE(set({}));  // written behind it
  const auto left = owed.all().value();
  ASSERT_EQ(left.size(), 1u);
  EXPECT_EQ(left[0].id, records[1].id);
}

}  // namespace
}  // namespace kubiya::store
