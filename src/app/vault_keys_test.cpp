// SPDX-License-Identifier: Apache-2.0
#include "app/vault_keys.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>

#include "app/config_files.h"
#include "app/person_watch.h"
#include "audit/journal_impl.h"
#include "audit/reader.h"
#include "audit/test_support.h"

namespace kubiya::app {
namespace {

const std::string kConfigured(32, 'k');

class VaultKeysTest : public testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::create_directories(place_.path());
    config_.data_dir = place_.path();
    database_ = store::Database::open(place_.file("kubiya.db")).value();
    vault_.emplace(*database_);
  }
  void TearDown() override { ::unsetenv("CREDENTIALS_DIRECTORY"); }

  Result<> keep(const std::string& subject, const std::string& key) {
    store::VaultRow row;
    row.tenant = "default";
    row.issuer = "https://idp.example";
    row.name = subject;
    std::vector<store::Vault::Change> changes;
    changes.push_back(
        {row, Secret(key), {0, "vault_key_set", "{\"subject\":\"" + subject + "\"}"}});
    return vault_->set(std::move(changes), sealing(config_, *vault_));
  }
  Result<Rotation> rotate() {
    return rotate_vault_key(config_, *vault_, {0, "vault_key_rotated", "{}"});
  }
  // What the keys of this configuration make of each record.
  std::string opened() {
    const auto keys = open_vault_keys(config_, false);
    if (!keys) return keys.error().message;
    std::string out;
    const auto rows = vault_->all().value();
    for (const auto& row : rows) {
      if (!*keys) return "there is no vault key";
      const auto key = (*keys)->open(row);
      out += row.name + "=" +
             (key ? std::string(key->reveal()) : std::string(to_string(key.error().reason))) + ";";
    }
    return out;
  }
  bool is_there(const std::string& name) { return std::filesystem::exists(place_.file(name)); }

  audit::TemporaryDirectory place_;
  Config config_;
  std::unique_ptr<store::Database> database_;
  std::optional<store::Vault> vault_;
};

TEST_F(VaultKeysTest, MakesItsFileWithTheFirstRecord) {
  EXPECT_FALSE(open_vault_keys(config_, false).value());
  EXPECT_FALSE(is_there("vault.key"));
  ASSERT_TRUE(keep("ada", "kb-1"));
  const auto mode = std::filesystem::status(place_.file("vault.key")).permissions();
  EXPECT_EQ(static_cast<int>(mode), 0600);
  ASSERT_TRUE(keep("bob", "kb-2"));
  EXPECT_EQ(opened(), "ada=kb-1;bob=kb-2;");
}

TEST_F(VaultKeysTest, ALostKeyIsNotMadeAnew) {
  ASSERT_TRUE(keep("ada", "kb-1"));
  std::filesystem::remove(place_.file("vault.key"));
  EXPECT_EQ(keep("bob", "kb-2").error().code, Code::corrupt);
  EXPECT_EQ(rotate().error().code, Code::corrupt);
  EXPECT_EQ(opened(), "there is no vault key");
}

TEST_F(VaultKeysTest, AFileThatOthersCanReadIsRefused) {
  ASSERT_TRUE(keep("ada", "kb-1"));
  std::filesystem::permissions(place_.file("vault.key"), std::filesystem::perms(0644));
  EXPECT_FALSE(open_vault_keys(config_, false));
}

TEST_F(VaultKeysTest, TheConfiguredKeyComesBeforeTheCredentialAndThatBeforeTheFile) {
  ASSERT_TRUE(keep("ada", "kb-1"));
  const auto file = open_vault_keys(config_, false).value()->current_id();
  ASSERT_TRUE(write_private_file(place_.file("kubiya-vault-key"), std::string(32, 'c') + "\n"));
  ::setenv("CREDENTIALS_DIRECTORY", place_.path().c_str(), 1);
  const auto credential = open_vault_keys(config_, false).value()->current_id();
  config_.vault_key.emplace(std::string(32, 'c'));
  EXPECT_EQ(open_vault_keys(config_, false).value()->current_id(), credential)
      << "without the end of the line";
  config_.vault_key.emplace(kConfigured);
  const auto configured = open_vault_keys(config_, false).value()->current_id();
  EXPECT_NE(file, credential);
  EXPECT_NE(credential, configured);
  config_.vault_key.emplace("short");
  EXPECT_EQ(open_vault_keys(config_, false).error().code, Code::invalid);
}

TEST_F(VaultKeysTest, RotatesItsOwnFile) {
  ASSERT_TRUE(keep("ada", "kb-1"));
  const std::string before = read_file(place_.file("vault.key"), 64).value();
  const auto done = rotate();
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(done->resealed, 1u);
  EXPECT_TRUE(done->new_key);
  EXPECT_NE(read_file(place_.file("vault.key"), 64).value(), before);
  EXPECT_FALSE(is_there("vault.key.next"));
  EXPECT_EQ(opened(), "ada=kb-1;");
}

// Killed after the records were sealed and before the file took its place, or before that.
TEST_F(VaultKeysTest, ARotationThatWasBrokenOffGoesOn) {
  ASSERT_TRUE(keep("ada", "kb-1"));
  const std::string before = read_file(place_.file("vault.key"), 64).value();
  ASSERT_TRUE(rotate());
  const std::string after = read_file(place_.file("vault.key"), 64).value();
  ASSERT_TRUE(write_private_file(place_.file("vault.key.next"), after));
  ASSERT_TRUE(write_private_file(place_.file("vault.key"), before));
  EXPECT_EQ(opened(), "ada=kb-1;");
  ASSERT_TRUE(keep("bob", "kb-2"));
  EXPECT_EQ(rotate()->resealed, 0u) << "all were sealed with the next one";
  EXPECT_EQ(read_file(place_.file("vault.key"), 64).value(), after);
  EXPECT_EQ(opened(), "ada=kb-1;bob=kb-2;");
}

TEST_F(VaultKeysTest, RotatesToAConfiguredKey) {
  ASSERT_TRUE(keep("ada", "kb-1"));
  config_.vault_previous_key.emplace(read_file(place_.file("vault.key"), 64).value());
  config_.vault_key.emplace(kConfigured);
  EXPECT_EQ(opened(), "ada=kb-1;");
  const auto done = rotate();
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(done->resealed, 1u);
  EXPECT_FALSE(done->new_key);
  config_.vault_previous_key.reset();
  EXPECT_EQ(opened(), "ada=kb-1;");
}

TEST_F(VaultKeysTest, ARecordThatDoesNotOpenStopsTheRotation) {
  ASSERT_TRUE(keep("ada", "kb-1"));
  ASSERT_TRUE(database_->write_wait([](store::Connection& connection) -> Result<> {
    return connection.execute("UPDATE vault SET name = 'bob'");
  }));
  const auto done = rotate();
  ASSERT_FALSE(done);
  EXPECT_NE(done.error().message.find("vault_record_invalid"), std::string::npos);
  EXPECT_EQ(opened(), "bob=vault_record_invalid;");
}

class PersonWatchTest : public VaultKeysTest {
 protected:
  void SetUp() override {
    VaultKeysTest::SetUp();
    audit::JournalOptions options;
    options.directory = place_.file("audit");
    auto journal = audit::JournalImpl::open(options, clock_, files_);
    ASSERT_TRUE(journal) << journal.error().message;
    journal_ = std::move(*journal);
    watch_.emplace(
        *database_, *journal_, book_, [this] { return open_vault_keys(config_, false); },
        [this](const std::vector<store::CutoffRow>& in_force) {
          told_of_.clear();
          for (const store::CutoffRow& row : in_force) told_of_.push_back(row.subject);
        });
  }
  std::string kept_for(const std::string& subject) {
    const auto key = book_.key_of({"default", "https://idp.example", subject});
    if (!key) return std::string(to_string(key.error().reason));
    return *key ? std::string((*key)->reveal()) : "none";
  }
  std::vector<std::string> events() {
    EXPECT_TRUE(journal_->sync());
    std::vector<std::string> names;
    audit::RecordFilter filter;
    filter.limit = 1'000;
    const auto records = audit::list(place_.file("audit"), filter);
    EXPECT_TRUE(records) << records.error().message;
    for (const audit::Record& record : *records) {
      if (record.event.starts_with("vault_")) names.push_back(record.event + record.fields);
    }
    return names;
  }

  audit::FakeClock clock_;
  audit::FaultyFiles files_;
  std::unique_ptr<audit::Journal> journal_;
  identity::PersonBook book_;
  std::optional<PersonWatch> watch_;
  std::vector<std::string> told_of_;
};

TEST_F(PersonWatchTest, TheBookFollowsTheVault) {
  ASSERT_TRUE(watch_->look());
  EXPECT_EQ(kept_for("ada"), "none");
  ASSERT_TRUE(keep("ada", "kb-1"));
  ASSERT_TRUE(watch_->look());
  EXPECT_EQ(kept_for("ada"), "kb-1");
  EXPECT_EQ(kept_for("bob"), "none");
  ASSERT_TRUE(keep("ada", "kb-2"));
  ASSERT_TRUE(watch_->look());
  EXPECT_EQ(kept_for("ada"), "kb-2");
  ASSERT_TRUE(vault_->remove(vault_->all()->front(), {0, "vault_key_removed", "{}"}));
  ASSERT_TRUE(watch_->look());
  EXPECT_EQ(kept_for("ada"), "none");
}

TEST_F(PersonWatchTest, ARotationBesideTheServerIsFollowed) {
  ASSERT_TRUE(keep("ada", "kb-1"));
  ASSERT_TRUE(watch_->look());
  ASSERT_TRUE(rotate());
  ASSERT_TRUE(watch_->look());
  EXPECT_EQ(kept_for("ada"), "kb-1");
}

TEST_F(PersonWatchTest, WithoutTheKeyTheOwnersAreRefusedUntilItIsBack) {
  ASSERT_TRUE(keep("ada", "kb-1"));
  const std::string path = place_.file("vault.key");
  std::filesystem::rename(path, path + ".away");
  ASSERT_TRUE(watch_->look());
  EXPECT_EQ(kept_for("ada"), "vault_key_unknown");
  EXPECT_EQ(kept_for("bob"), "none");
  std::filesystem::rename(path + ".away", path);
  ASSERT_TRUE(watch_->look());
  EXPECT_EQ(kept_for("ada"), "kb-1");
}

TEST_F(PersonWatchTest, WhoIsCutOffIsInTheBookAndToldOf) {
  constexpr const char* kIssuer = "https://idp.example";
  store::Cutoffs cutoffs(*database_);
  const auto owed = [](const std::vector<std::string>&) {
    return store::OwedRecord{0, "person_cut_off", "{}"};
  };
  ASSERT_TRUE(watch_->look());
  EXPECT_TRUE(told_of_.empty());
  ASSERT_TRUE(cutoffs.cut({kIssuer, "ada", 1'000, 0, "left"}, {kIssuer}, owed));
  ASSERT_TRUE(watch_->look());
  EXPECT_EQ(told_of_, std::vector<std::string>{"ada"});
  const auto cut = book_.cutoff({"any tenant", kIssuer, "ada"});
  ASSERT_TRUE(cut);
  EXPECT_TRUE(cut->in_force);
  EXPECT_FALSE(book_.cutoff({"default", kIssuer, "bob"}));
  EXPECT_FALSE(book_.cutoff({"default", "https://other.example", "ada"}));
  const std::size_t before = book_.stamp({"default", kIssuer, "ada"});
  ASSERT_TRUE(cutoffs.lift(kIssuer, "ada", 2'000, {0, "person_let_in", "{}"}));
  EXPECT_EQ(cutoffs.lift(kIssuer, "ada", 2'000, {0, "", "{}"}).error().code, Code::not_found);
  ASSERT_TRUE(watch_->look());
  EXPECT_TRUE(told_of_.empty());
  EXPECT_EQ(book_.cutoff({"default", kIssuer, "ada"})->lifted, from_unix_ms(2'000));
  EXPECT_NE(book_.stamp({"default", kIssuer, "ada"}), before);
}

TEST_F(PersonWatchTest, EachChangeIsOnRecordOnce) {
  ASSERT_TRUE(keep("ada", "kb-1"));
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(watch_->look());
  EXPECT_EQ(events(), std::vector<std::string>{"vault_key_set{\"subject\":\"ada\"}"});
  ASSERT_TRUE(watch_->look()) << "and what was paid is forgotten";
  ASSERT_TRUE(database_->write_wait([](store::Connection&) -> Result<> { return {}; }));
  EXPECT_TRUE(store::Owed(*database_).all()->empty());
  PersonWatch next(
      *database_, *journal_, book_, [this] { return open_vault_keys(config_, false); },
      [](const std::vector<store::CutoffRow>&) {});
  ASSERT_TRUE(next.look());
  EXPECT_EQ(events().size(), 1u);
}

}  // namespace
}  // namespace kubiya::app
