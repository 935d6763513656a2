// SPDX-License-Identifier: Apache-2.0
#include "identity/key_vault.h"

#include <gtest/gtest.h>

#include <functional>

#include "base/encoding.h"
#include "crypto/digest.h"
#include "identity/authenticator_fixture.h"

namespace kubiya::identity {
namespace test {
namespace {

const Secret kVaultKey{"0123456789abcdef0123456789abcdef"};
const Secret kOtherKey{"fedcba9876543210fedcba9876543210"};
const Secret kKept{"kb-kept-in-the-vault"};

VaultKeys keys_of(const Secret& current, const std::optional<Secret>& previous = {}) {
  auto keys = VaultKeys::make(current, previous);
  ASSERT(keys, "long enough");
  return std::move(*keys);
}
const VaultKeys& vault_keys() {
  static const VaultKeys keys = keys_of(kVaultKey);
  return keys;
}

store::VaultRow record(const std::string& subject = "ada", const Secret& key = kKept) {
  store::VaultRow row;
  row.tenant = "default";
  row.issuer = kIssuer;
  row.name = subject;
  row.version = 1;
  vault_keys().seal(row, key);
  return row;
}

std::string outcome(const Checked<Secret>& opened) {
  return opened ? std::string(opened->reveal()) : std::string(to_string(opened.error().reason));
}

TEST(KeyVault, OpensWhatItSealed) {
  const store::VaultRow row = record();
  EXPECT_EQ(outcome(vault_keys().open(row)), kKept.reveal());
  EXPECT_EQ(row.sealed.find(base64(kKept.reveal()).substr(0, 8)), std::string::npos);
  EXPECT_NE(row.sealed, record().sealed) << "a nonce of its own each time";
  EXPECT_EQ(row.key_id.size(), 16u);
}

// What somebody with the database in hand might do, and what becomes of it.
TEST(KeyVault, RefusesARecordThatWasChangedOrMoved) {
  const struct {
    const char* name;
    std::function<void(store::VaultRow&)> change;
    const char* outcome;
  } rows[] = {
      {"another's subject", [](auto& row) { row.name = "bob"; }, "vault_record_invalid"},
      {"another issuer", [](auto& row) { row.issuer += "/"; }, "vault_record_invalid"},
      {"another tenant", [](auto& row) { row.tenant = "acme"; }, "vault_record_invalid"},
      {"another kind", [](auto& row) { row.kind = store::kVaultReference; },
       "vault_record_invalid"},
      {"an older version under a newer number", [](auto& row) { ++row.version; },
       "vault_record_invalid"},
      {"issuer and subject shifted",
       [](auto& row) {
         row.name = row.issuer.back() + row.name;
         row.issuer.pop_back();
       },
       "vault_record_invalid"},
      {"another person's sealed text",
       [](auto& row) { row.sealed = record("bob", Secret("kb-of-bob")).sealed; },
       "vault_record_invalid"},
      {"a bit of the nonce",
       [](auto& row) {
         std::string bytes = *unbase64(row.sealed);
         bytes[0] ^= 1;
         row.sealed = base64(bytes);
       },
       "vault_record_invalid"},
      {"a bit of the text",
       [](auto& row) {
         std::string bytes = *unbase64(row.sealed);
         bytes[13] ^= 1;
         row.sealed = base64(bytes);
       },
       "vault_record_invalid"},
      {"a bit of the tag",
       [](auto& row) {
         std::string bytes = *unbase64(row.sealed);
         bytes.back() ^= 1;
         row.sealed = base64(bytes);
       },
       "vault_record_invalid"},
      {"cut", [](auto& row) { row.sealed.resize(16); }, "vault_record_invalid"},
      {"emptied", [](auto& row) { row.sealed.clear(); }, "vault_record_invalid"},
      {"no base64", [](auto& row) { row.sealed = "*" + row.sealed; }, "vault_record_invalid"},
      {"another key's id", [](auto& row) { row.key_id = "0000000000000000"; }, "vault_key_unknown"},
      {"no key's id", [](auto& row) { row.key_id.clear(); }, "vault_key_unknown"},
      {"not touched", [](auto&) {}, "kb-kept-in-the-vault"},
  };
  for (const auto& row : rows) {
    store::VaultRow changed = record();
    row.change(changed);
    EXPECT_EQ(outcome(vault_keys().open(changed)), row.outcome) << row.name;
  }
}

TEST(KeyVault, OpensWithThePreviousKeyAndSealsWithTheCurrentOne) {
  store::VaultRow row = record();
  EXPECT_EQ(outcome(keys_of(kOtherKey).open(row)), "vault_key_unknown");
  const VaultKeys both = keys_of(kOtherKey, kVaultKey);
  EXPECT_EQ(outcome(both.open(row)), kKept.reveal());
  both.seal(row, kKept);
  EXPECT_EQ(row.key_id, both.current_id());
  EXPECT_EQ(outcome(keys_of(kOtherKey).open(row)), kKept.reveal());
  EXPECT_EQ(outcome(vault_keys().open(row)), "vault_key_unknown");
}

TEST(KeyVault, WantsARealKey) {
  const Secret brief{"0123456789abcdef0123456789abcde"};
  EXPECT_EQ(VaultKeys::make(brief, {}).error().code, Code::invalid);
  EXPECT_EQ(VaultKeys::make(kVaultKey, brief).error().code, Code::invalid);
  EXPECT_TRUE(VaultKeys::make(kVaultKey, kOtherKey));
}

// A server whose vault keeps what the test puts in.
struct VaultWorld : World {
  VaultWorld() {
    publish(client);
    open_tokens();
  }
  void keep(std::vector<store::VaultRow> kept,
            std::shared_ptr<const VaultKeys> with = std::make_shared<VaultKeys>(vault_keys())) {
    people.replace(std::move(kept), std::move(with));
  }
  // "KEY from SOURCE", or why not.
  std::string found(const std::string& text) {
    if (judged(text) != "served") return judged(text);
    const auto verdict = token(text);
    const PrincipalFacts& facts = (**verdict)->facts();
    if (!facts.api_key) return "no key";
    EXPECT_EQ(facts.key_fingerprint, crypto::fingerprint(facts.api_key->reveal()));
    return std::string(facts.api_key->reveal()) + " from " + facts.api_key_source;
  }
};

TEST(KeyVault, ServesThoseWhoseTokenCarriesNoKey) {
  VaultWorld world;
  const std::string plain = claims_token({});
  const std::string bobs = claims_token({{"sub", "bob"}});
  EXPECT_EQ(world.found(plain), "no key");
  world.keep({record()});
  EXPECT_EQ(world.found(plain), "kb-kept-in-the-vault from vault") << "although it was cached";
  EXPECT_EQ(world.found(bobs), "no key");
  EXPECT_EQ(world.found(claims_token({{"kubiya_api_key", "kb-claimed"}})),
            "kb-claimed from claim:kubiya_api_key")
      << "the claims come first";
  world.keep({record("ada", Secret("kb-new"))});
  EXPECT_EQ(world.found(plain), "kb-new from vault");
  world.keep({});
  EXPECT_EQ(world.found(plain), "no key");
}

TEST(KeyVault, AFaultOfTheVaultIsNotTheCallers) {
  VaultWorld world;
  store::VaultRow moved = record("bob");
  moved.name = "ada";
  world.keep({moved});
  EXPECT_EQ(world.found(claims_token({})), "vault_record_invalid");
  EXPECT_EQ(world.found(claims_token({{"kubiya_api_key", "kb-claimed"}})),
            "kb-claimed from claim:kubiya_api_key");
  EXPECT_EQ(world.found(claims_token({{"sub", "bob"}})), "no key");
  world.keep({record()}, nullptr);
  EXPECT_EQ(world.found(claims_token({})), "vault_key_unknown");
  world.keep({record()});
  EXPECT_EQ(world.found(claims_token({})), "kb-kept-in-the-vault from vault");
}

TEST(KeyVault, AChangeForOnePersonCostsOthersNoSignature) {
  VaultWorld world;
  world.options.cold_per_turn = 1;
  world.open_tokens();
  const std::string plain = claims_token({});
  ASSERT_EQ(world.judged(plain), "served");  // and the turn's one check is spent
  world.keep({record("bob")});
  EXPECT_EQ(test::outcome(world.token(plain)), "served") << "out of the cache";
  world.keep({record("ada")});
  EXPECT_EQ(test::outcome(world.token(plain)), "not yet") << "has to be judged again";
}

store::VaultRow reference(std::string name, const Secret& key) {
  store::VaultRow row = record();
  row.kind = store::kVaultReference;
  row.name = std::move(name);
  vault_keys().seal(row, key);
  return row;
}

TEST(KeyVault, ATokenMayNameAKeyOfTheVault) {
  VaultWorld world;
  IssuerOptions naming_keys = issuer_options();
  naming_keys.rules.key_reference_claims = {"kubiya_key_ref"};
  world.open_tokens({naming_keys});
  const std::string naming = claims_token({{"kubiya_key_ref", "team-blue"}});
  world.keep({record(), reference("team-blue", Secret("kb-blue"))});
  EXPECT_EQ(world.found(naming), "kb-blue from vault:reference") << "before the person's own";
  world.keep({record(), reference("team-blue", Secret("kb-blue-2"))});
  EXPECT_EQ(world.found(naming), "kb-blue-2 from vault:reference") << "although it was cached";
  EXPECT_EQ(world.found(claims_token({{"kubiya_key_ref", "ada"}})), "key_reference_unknown")
      << "a person's key is not under a name";
  EXPECT_EQ(world.found(claims_token({{"kubiya_key_ref", 7}})), "bad_claim");
  EXPECT_EQ(world.found(claims_token({{"kubiya_key_ref", "x"}, {"kubiya_api_key", "kb-claimed"}})),
            "kb-claimed from claim:kubiya_api_key");
  world.keep({record()});
  EXPECT_EQ(world.found(naming), "key_reference_unknown");
}

// A key of our own store in the vault is held to what it is everywhere else.
TEST(KeyVault, AKeyOfOurOwnIsItsOwnersOnly) {
  VaultWorld world;
  const NewKey ours = world.add_key({.tenant = "default", .owner = "ada", .scopes = "read"});
  const NewKey bobs = world.add_key({.tenant = "default", .owner = "bob", .scopes = "read"});
  world.keep({record("ada", ours.key)});
  const std::string plain = claims_token({});
  ASSERT_EQ(world.judged(plain), "served");
  EXPECT_EQ((**world.token(plain))->facts().scopes, Scopes{"read"}) << "token ∩ key";
  world.keep({record("ada", bobs.key)});
  EXPECT_EQ(world.judged(plain), "key_of_another_owner");
}

}  // namespace
}  // namespace test
}  // namespace kubiya::identity
