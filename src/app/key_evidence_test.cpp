// SPDX-License-Identifier: Apache-2.0
#include "app/key_evidence.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <stdexcept>

#include "audit/journal_impl.h"
#include "audit/reader.h"
#include "audit/test_support.h"

namespace kubiya::app {
namespace {

using namespace std::chrono_literals;
using Recorded = store::KeyRow::Recorded;

// A database whose reads fail or throw as told.
class FlakyDatabase final : public store::Database {
 public:
  explicit FlakyDatabase(store::Database& real) : real_(real) {}
  std::atomic<bool> reads_fail{false};
  std::atomic<int> reads_throw{0};

  void write(Work work, Done done) override { real_.write(std::move(work), std::move(done)); }
  Result<> write_wait(Work work) override { return real_.write_wait(std::move(work)); }
  Result<> read(const std::function<Result<>(store::Connection&)>& query) override {
    if (reads_fail) return fail(Code::busy, "injected");
    if (reads_throw > 0 && reads_throw-- > 0) throw std::runtime_error("injected");
    return real_.read(query);
  }
  std::int64_t data_version() override { return real_.data_version(); }
  bool healthy() const override { return real_.healthy(); }

 private:
  store::Database& real_;
};

class KeyEvidence : public testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::create_directories(place_.path());
    auto database = store::Database::open(place_.file("kubiya.db"));
    ASSERT_TRUE(database) << database.error().message;
    real_ = std::move(*database);
    database_.emplace(*real_);
    open_journal();
  }

  void open_journal() {
    audit::JournalOptions options;
    options.directory = place_.file("audit");
    auto journal = audit::JournalImpl::open(options, clock_, files_);
    ASSERT_TRUE(journal) << journal.error().message;
    journal_ = std::move(*journal);
  }

  // What the command line does beside a server. The key's text.
  std::string make(const std::string& owner, std::int64_t expires_ms = 0) {
    const identity::NewKey key = identity::make_key(pepper_);
    store::KeyRow row;
    row.id = key.id;
    row.digest = key.digest;
    row.tenant = "default";
    row.owner = owner;
    row.name = "laptop";
    row.scopes = "read";
    row.created_ms = 1'790'000'000'000;
    row.expires_ms = expires_ms;
    EXPECT_TRUE(store::Keys(*real_).create(row));
    return std::string(key.key.reveal());
  }
  static std::string id_of(const std::string& key) {
    return std::string(identity::parse_key(key)->id);
  }
  void revoke(const std::string& key) {
    EXPECT_TRUE(store::Keys(*real_).revoke(id_of(key), 1'790'000'060'000));
  }

  // That a change is on record is marked behind the back.
  void await_writes() {
    ASSERT_TRUE(real_->write_wait([](store::Connection&) -> Result<> { return {}; }));
  }

  // "good" or the reason against it.
  std::string verdict(const std::string& key) {
    const auto row = book_.check(key, from_unix_ms(1'790'000'100'000));
    return row ? "good" : std::string(to_string(row.error().reason));
  }

  std::vector<std::string> events(const std::string& name) {
    EXPECT_TRUE(journal_->sync());
    audit::RecordFilter filter;
    filter.limit = 10'000;
    std::vector<std::string> found;
    const auto records = audit::list(place_.file("audit"), filter);
    EXPECT_TRUE(records) << records.error().message;
    for (const audit::Record& record : *records) {
      if (record.event == name) found.push_back(record.fields);
    }
    return found;
  }

  template <class Condition>
  static bool eventually(Condition condition) {
    for (int i = 0; i < 2'000; ++i) {
      if (condition()) return true;
      std::this_thread::sleep_for(10ms);
    }
    return false;
  }

  audit::TemporaryDirectory place_;
  audit::FakeClock clock_;
  audit::FaultyFiles files_;
  std::unique_ptr<store::Database> real_;
  std::optional<FlakyDatabase> database_;
  std::unique_ptr<audit::Journal> journal_;
  Secret pepper_{"0123456789abcdef0123456789abcdef"};
  identity::KeyBook book_{Secret("0123456789abcdef0123456789abcdef")};
};

TEST_F(KeyEvidence, AKeyCountsOnceItsMakingIsOnRecord) {
  KeyWatch watch(*database_, *journal_, book_);
  files_.hang = true;
  const std::string key = make("ada", 1'797'776'000'000);
  ASSERT_TRUE(watch.look());
  EXPECT_EQ(verdict(key), "unknown_api_key");
  files_.hang = false;
  ASSERT_TRUE(watch.settle());
  EXPECT_EQ(verdict(key), "good");
  const auto made = events("key_created");
  ASSERT_EQ(made.size(), 1u);
  for (const std::string& part :
       {std::string(R"("by":"command_line")"), R"("key":")" + id_of(key) + '"',
        std::string(R"("owner":"ada")"), std::string(R"("name":"laptop")"),
        std::string(R"("scopes":"read")"), std::string(R"("tenant":"default")"),
        R"("created":")" + format_time(from_unix_ms(1'790'000'000'000)) + '"',
        R"("expires":")" + format_time(from_unix_ms(1'797'776'000'000)) + '"'}) {
    EXPECT_NE(made[0].find(part), std::string::npos) << part << " in " << made[0];
  }
}

TEST_F(KeyEvidence, ChangesOfAKeyAreOnRecordOnce) {
  KeyWatch watch(*database_, *journal_, book_);
  store::Keys keys(*real_);
  const std::string old = make("ada"), next = make("ada");
  ASSERT_TRUE(keys.set_labels(id_of(old), R"({"team":"x"})", "bob"));
  ASSERT_TRUE(watch.settle());
  ASSERT_TRUE(keys.retire(id_of(old), 1, "bob"));
  ASSERT_TRUE(watch.settle());
  ASSERT_TRUE(watch.settle());
  const auto labelled = events("key_labelled"), retired = events("key_retired");
  ASSERT_EQ(labelled.size(), 1u);
  ASSERT_EQ(retired.size(), 1u);
  EXPECT_NE(retired[0].find(R"("by":"bob")"), std::string::npos) << retired[0];
  EXPECT_NE(retired[0].find(id_of(old)), std::string::npos) << retired[0];
  EXPECT_EQ(verdict(old), "expired_api_key");
  EXPECT_EQ(verdict(next), "good");
  ASSERT_TRUE(store::Meta(*real_).set("a", "later write"));
  EXPECT_TRUE(keys.changes()->empty());
}

TEST_F(KeyEvidence, TheUseOfKeysIsWrittenDown) {
  const std::string key = make("ada");
  {
    KeyWatch watch(*database_, *journal_, book_);
    ASSERT_TRUE(watch.settle());
    book_.uses().counter(0, id_of(key), "agent")->add();
  }
  ASSERT_TRUE(store::Meta(*real_).set("a", "later write"));
  const auto uses = store::Keys(*real_).usage({"default"}, id_of(key), 0);
  ASSERT_EQ(uses->size(), 1u);
  EXPECT_EQ((*uses)[0].calls, 1);
  EXPECT_GT(store::Keys(*real_).get(id_of(key))->last_used_ms, 0);
}

TEST_F(KeyEvidence, ARevocationIsNotMissedWhenAReadFails) {
  KeyWatch watch(*database_, *journal_, book_);
  const std::string key = make("ada");
  ASSERT_TRUE(watch.settle());
  ASSERT_EQ(verdict(key), "good");
  ASSERT_TRUE(watch.look());  // the mark that it is on record is another commit
  revoke(key);
  database_->reads_fail = true;
  EXPECT_FALSE(watch.look());
  database_->reads_fail = false;
  ASSERT_TRUE(watch.look());
  EXPECT_EQ(verdict(key), "revoked_api_key");
}

TEST_F(KeyEvidence, ARevocationCountsWhileTheAuditDiskHangs) {
  KeyWatch watch(*database_, *journal_, book_);
  const std::string key = make("ada");
  ASSERT_TRUE(watch.settle());
  files_.hang = true;
  revoke(key);
  ASSERT_TRUE(watch.look());
  EXPECT_EQ(verdict(key), "revoked_api_key");
  files_.hang = false;
  ASSERT_TRUE(watch.settle());
  const auto revoked = events("key_revoked");
  ASSERT_EQ(revoked.size(), 1u);
  EXPECT_NE(revoked[0].find(R"("revoked":")" + format_time(from_unix_ms(1'790'000'060'000))),
            std::string::npos)
      << revoked[0];
  EXPECT_NE(revoked[0].find(R"("expires":"never")"), std::string::npos) << revoked[0];
}

TEST_F(KeyEvidence, HandsEachChangeInOnceHoweverOftenItLooks) {
  KeyWatch watch(*database_, *journal_, book_);
  files_.full = true;
  const std::string key = make("ada");
  for (int i = 0; i < 5; ++i) {
    ASSERT_TRUE(store::Meta(*real_).set("turn", std::to_string(i)));  // another commit
    ASSERT_TRUE(watch.look());
    EXPECT_FALSE(journal_->sync());
  }
  EXPECT_EQ(verdict(key), "unknown_api_key");
  revoke(key);
  ASSERT_TRUE(watch.look());
  files_.full = false;
  ASSERT_TRUE(watch.settle());
  EXPECT_EQ(events("key_created").size(), 1u);
  EXPECT_EQ(events("key_revoked").size(), 1u);
  // And a later process finds them marked.
  await_writes();
  EXPECT_EQ(store::Keys(*real_).get(id_of(key))->recorded, Recorded::revoked);
  KeyWatch later(*database_, *journal_, book_);
  ASSERT_TRUE(later.settle());
  EXPECT_EQ(events("key_created").size(), 1u);
  EXPECT_EQ(events("key_revoked").size(), 1u);
}

TEST_F(KeyEvidence, WatchesByItselfWhateverALookThrows) {
  KeyWatch watch(*database_, *journal_, book_);
  ASSERT_TRUE(watch.settle());
  database_->reads_throw = 2;
  watch.start();
  const std::string key = make("ada");
  EXPECT_TRUE(eventually([&] { return verdict(key) == "good"; }));
  EXPECT_LE(database_->reads_throw, 0);
  revoke(key);
  EXPECT_TRUE(eventually([&] { return verdict(key) == "revoked_api_key"; }));
}

TEST_F(KeyEvidence, TheCommandLineWaitsForTheDisk) {
  const std::string key = make("ada");
  ASSERT_TRUE(record_key_changes(*database_, *journal_, 1'000));
  await_writes();
  ASSERT_TRUE(record_key_changes(*database_, *journal_, 1'000));
  const auto made = events("key_created");
  ASSERT_EQ(made.size(), 1u);
  EXPECT_NE(made[0].find(R"("user":1000)"), std::string::npos) << made[0];
  files_.full = true;
  revoke(key);
  EXPECT_FALSE(record_key_changes(*database_, *journal_, 1'000, 50ms));
  EXPECT_EQ(store::Keys(*real_).get(id_of(key))->recorded, Recorded::made);
  files_.full = false;
}

TEST_F(KeyEvidence, AJournalThatDiedMarksNothing) {
  const std::string key = make("ada");
  files_.sync_fails = true;
  EXPECT_FALSE(record_key_changes(*database_, *journal_, 1'000));
  EXPECT_EQ(store::Keys(*real_).get(id_of(key))->recorded, Recorded::nothing);
  KeyWatch watch(*database_, *journal_, book_);
  ASSERT_TRUE(watch.settle());
  EXPECT_EQ(verdict(key), "unknown_api_key");
  journal_.reset();
  open_journal();
  KeyWatch restarted(*database_, *journal_, book_);
  ASSERT_TRUE(restarted.settle());
  EXPECT_EQ(verdict(key), "good");
}

}  // namespace
}  // namespace kubiya::app
