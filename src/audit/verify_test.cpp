// SPDX-License-Identifier: Apache-2.0
#include "audit/verify.h"

#include <gtest/gtest.h>

#include <random>

#include "audit/journal_impl.h"
#include "audit/layout.h"
#include "audit/reader.h"
#include "audit/test_support.h"

namespace kubiya::audit {
namespace {

constexpr std::uint64_t kRecords = 21;  // the first says that the journal was created

// A journal of several segments, closed, so that a checkpoint covers every record.
class VerifyTest : public testing::Test {
 protected:
  void SetUp() override {
    options_.directory = directory_.path();
    options_.segment_bytes = 2'000;
    auto journal = JournalImpl::open(options_, clock_, real_files());
    ASSERT_TRUE(journal) << journal.error().message;
    for (int i = 0; i < 10; ++i) {
      const auto ticket = begin_and_wait(**journal, "req-" + std::to_string(i));
      ASSERT_TRUE(ticket);
      (*journal)->finish(*ticket, {Code::internal, true, "done", "run-" + std::to_string(i), {}},
                         [](Result<>) {});
      ASSERT_TRUE((*journal)->sync());
    }
    journal->reset();
    key_ = read_all(public_key_path(directory_.path()));
    ASSERT_TRUE(for_each_line(directory_.path(), [&](const Line& line) {
      lines_.emplace_back(line.text);
      where_.push_back(line.segment);
      return true;
    }));
    ASSERT_EQ(lines_.size(), kRecords);
    ASSERT_GT(where_.back(), 3u);
  }

  VerifyReport verify(std::optional<std::string_view> anchor = std::nullopt) {
    auto report = verify_directory(directory_.path(), key_, anchor);
    EXPECT_TRUE(report) << report.error().message;
    return std::move(*report);
  }
  // Writes `lines` over the segments, each line into the segment it says.
  void store(const std::vector<std::pair<unsigned, std::string>>& lines) {
    std::map<unsigned, std::string> segments;
    for (unsigned s = 1; s <= where_.back(); ++s) segments[s];
    for (const auto& [segment, line] : lines) segments[segment] += line + "\n";
    for (const auto& [segment, text] : segments)
      write_all(segment_path(directory_.path(), segment), text);
  }
  std::vector<std::pair<unsigned, std::string>> all() const {
    std::vector<std::pair<unsigned, std::string>> out;
    for (std::size_t i = 0; i < lines_.size(); ++i) out.emplace_back(where_[i], lines_[i]);
    return out;
  }

  TemporaryDirectory directory_;
  FakeClock clock_;
  JournalOptions options_;
  std::string key_;
  std::vector<std::string> lines_;
  std::vector<unsigned> where_;
};

TEST_F(VerifyTest, FindsNothingWrongWithAnUntouchedJournal) {
  const auto report = verify();
  EXPECT_TRUE(report.ok()) << report.fault->what;
  EXPECT_EQ(report.records, kRecords);
  EXPECT_EQ(report.signed_records, kRecords);
  EXPECT_EQ(report.unsigned_records, 0u);
  EXPECT_GE(report.checkpoints, 10u);
}

// A disk on which a running server gets a record and its checkpoint in between any two reads.
class MovingFiles final : public FaultyFiles {
 public:
  explicit MovingFiles(Journal& journal) : journal_(journal) {}
  Result<std::string> read(const std::string& path, std::uint64_t offset) override {
    auto text = FaultyFiles::read(path, offset);
    EXPECT_TRUE(begin_and_wait(journal_, "meanwhile"));
    EXPECT_TRUE(journal_.sync());
    return text;
  }

 private:
  Journal& journal_;
};

TEST_F(VerifyTest, FindsNothingWrongWhileAServerWrites) {
  const auto journal = JournalImpl::open(options_, clock_, real_files());
  ASSERT_TRUE(journal) << journal.error().message;
  MovingFiles files(**journal);
  for (int round = 0; round < 5; ++round) {
    const auto report = verify_directory(directory_.path(), key_, std::nullopt, files);
    ASSERT_TRUE(report) << report.error().message;
    EXPECT_TRUE(report->ok()) << round << ": " << report->fault->what;
  }
}

// A directory listing made while files are added need not name any of those.
class ForgetfulFiles final : public FaultyFiles {
 public:
  Result<std::vector<std::string>> list(const std::string& directory) override {
    auto names = FaultyFiles::list(directory);
    std::erase(*names, "audit-00000002.jsonl");
    std::erase_if(*names, [](const std::string& name) { return name > "audit-00000004"; });
    return names;
  }
};

TEST_F(VerifyTest, AsksForASegmentThatTheListingLeftOut) {
  ForgetfulFiles files;
  const auto report = verify_directory(directory_.path(), key_, std::nullopt, files);
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_TRUE(report->ok()) << report->fault->what;
  EXPECT_EQ(report->records, kRecords);
}

TEST_F(VerifyTest, NamesTheRecordInWhichOneByteWasFlipped) {
  std::mt19937 random(1);
  for (std::uint64_t n = 0; n < kRecords; ++n) {
    for (int round = 0; round < 8; ++round) {
      auto lines = all();
      std::string& line = lines[n].second;
      line[random() % line.size()] ^= static_cast<char>(1 << random() % 7);
      store(lines);
      const auto report = verify();
      ASSERT_FALSE(report.ok()) << n;
      ASSERT_TRUE(report.fault->sequence);
      EXPECT_EQ(*report.fault->sequence, n) << report.fault->what;
      EXPECT_EQ(report.fault->segment, segment_path("", where_[n]).substr(1));
    }
  }
}

TEST_F(VerifyTest, FindsDeletedSwappedRepeatedAndForgedRecords) {
  struct Row {
    const char* name;
    std::uint64_t first_bad;
    std::function<void(std::vector<std::pair<unsigned, std::string>>&)> change;
  };
  const std::vector<Row> rows = {
      {"first deleted", 0, [](auto& l) { l.erase(l.begin()); }},
      {"one deleted", 7, [](auto& l) { l.erase(l.begin() + 7); }},
      {"last deleted", 20, [](auto& l) { l.pop_back(); }},
      {"five last deleted", 16, [](auto& l) { l.resize(16); }},
      {"two swapped", 4, [](auto& l) { std::swap(l[4].second, l[9].second); }},
      {"neighbours swapped", 4, [](auto& l) { std::swap(l[4].second, l[5].second); }},
      {"one repeated", 6, [](auto& l) { l.insert(l.begin() + 6, l[5]); }},
      {"last repeated", 21, [](auto& l) { l.push_back(l.back()); }},
      {"one forged", 6,
       [](auto& l) {
         Record forged = *parse_record(l[6].second);
         forged.subject = "mallory";
         l[6].second = record_line(6, forged.batch, forged.previous, record_body(forged));
       }},
  };
  for (const Row& row : rows) {
    auto lines = all();
    row.change(lines);
    store(lines);
    const auto report = verify();
    ASSERT_FALSE(report.ok()) << row.name;
    EXPECT_EQ(report.fault->sequence, row.first_bad) << row.name << ": " << report.fault->what;
  }
}

TEST_F(VerifyTest, FindsAMissingSegment) {
  std::filesystem::remove(segment_path(directory_.path(), 2));
  const auto report = verify();
  ASSERT_FALSE(report.ok());
  EXPECT_NE(report.fault->what.find("audit-00000002.jsonl is missing"), std::string::npos);
  std::filesystem::remove(segment_path(directory_.path(), where_.back()));
  EXPECT_FALSE(verify().ok());
}

TEST_F(VerifyTest, FindsAChainRewrittenConsistently) {
  std::vector<std::pair<unsigned, std::string>> lines;
  Hash previous{};
  for (std::size_t i = 0; i < lines_.size(); ++i) {
    Record record = *parse_record(lines_[i]);
    if (i == 8) record.subject = "mallory";
    lines.emplace_back(where_[i], record_line(i, record.batch, previous, record_body(record)));
    previous = leaf_hash(lines.back().second);
  }
  store(lines);
  const auto report = verify();
  ASSERT_FALSE(report.ok());
  EXPECT_LE(*report.fault->sequence, 8u);
  EXPECT_GE(*report.fault->last_sequence, 8u);
}

TEST_F(VerifyTest, FindsAJournalSignedWithAnotherKey) {
  TemporaryDirectory other;
  JournalOptions o;
  o.directory = other.path();
  {
    ASSERT_TRUE(JournalImpl::open(o, clock_, real_files()));
  }
  const auto report = verify_directory(other.path(), key_);
  ASSERT_TRUE(report);
  EXPECT_FALSE(report->ok());
}

TEST_F(VerifyTest, FindsARollbackOfEverythingThroughTheAnchor) {
  const std::string anchor = read_all(checkpoint_path(directory_.path()));
  TemporaryDirectory older;
  std::filesystem::copy(directory_.path(), older.path());
  {
    auto journal = JournalImpl::open(options_, clock_, real_files());
    ASSERT_TRUE(begin_and_wait(**journal, "one more"));
  }
  const std::string newer = read_all(checkpoint_path(directory_.path()));
  EXPECT_TRUE(verify(anchor).ok());
  EXPECT_TRUE(verify(newer).ok());
  const auto rolled_back = verify_directory(older.path(), key_, newer);
  ASSERT_TRUE(rolled_back);
  ASSERT_FALSE(rolled_back->ok());
  EXPECT_EQ(rolled_back->fault->sequence, kRecords);
  EXPECT_TRUE(verify_directory(older.path(), key_)->ok());  // which is why anchors are kept
}

TEST_F(VerifyTest, FindsAFork) {
  TemporaryDirectory fork;
  std::filesystem::copy(directory_.path(), fork.path());
  JournalOptions forked = options_;
  forked.directory = fork.path();
  for (const auto& o : {options_, forked}) {
    auto journal = JournalImpl::open(o, clock_, real_files());
    ASSERT_TRUE(journal);
    ASSERT_TRUE(begin_and_wait(**journal, o.directory));
  }
  EXPECT_FALSE(verify(read_all(checkpoint_path(fork.path()))).ok());
}

TEST_F(VerifyTest, DetectsAThousandRandomMutations) {
  std::mt19937 random(7);
  std::vector<std::string> names = {"checkpoint", "checkpoints.log"};
  for (unsigned s = 1; s <= where_.back(); ++s) names.push_back(segment_path("", s).substr(1));
  for (int round = 0; round < 1000; ++round) {
    const std::string path = directory_.file(names[random() % names.size()]);
    const std::string good = read_all(path);
    std::string bad = good;
    const std::size_t at = random() % good.size();
    switch (random() % 4) {
      case 0:
        bad[at] ^= static_cast<char>(1 + random() % 255);
        break;
      case 1:
        bad.erase(at, 1 + random() % 40);
        break;
      case 2:
        bad.insert(at, good.substr(random() % good.size(), 1 + random() % 40));
        break;
      default:
        bad.resize(at);
        break;
    }
    if (bad == good) continue;
    write_all(path, bad);
    const auto report = verify();
    const bool noticed = !report.ok() || report.torn_bytes > 0;
    EXPECT_TRUE(noticed) << round << " " << path;
    write_all(path, good);
  }
  EXPECT_TRUE(verify().ok());
}

TEST_F(VerifyTest, ProvesARunToAStrangerWithTheKeyOnly) {
  const auto bundle = prove(directory_.path(), "run-3");
  ASSERT_TRUE(bundle) << bundle.error().message;
  const auto report = verify_proof(*bundle, key_);
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->run_id, "run-3");
  EXPECT_EQ(report->checkpoint.size, kRecords);
  ASSERT_EQ(report->records.size(), 2u);
  EXPECT_EQ(parse_record(report->records[0])->kind, "intent");
  EXPECT_EQ(parse_record(report->records[1])->kind, "outcome");
  EXPECT_EQ(prove(directory_.path(), "run-99").error().code, Code::not_found);
  for (const char* part : {"req-3", "\"index\":7", "run-3", "acme"}) {
    std::string bad = *bundle;
    const std::size_t at = bad.find(part);
    ASSERT_NE(at, std::string::npos) << part;
    bad[at + std::string_view(part).size() - 1] ^= 1;
    EXPECT_FALSE(verify_proof(bad, key_)) << part;
  }
}

// One asks about a run that is another tenant's and gets told that there is none.
TEST_F(VerifyTest, ProvesAndListsNothingOfAnotherTenantsCalls) {
  PrincipalFacts facts;
  facts.tenant = "rival";
  facts.subject = "eve";
  facts.scopes = {"read"};
  const auto eve = identity::Minter::mint(std::move(facts));
  {
    const auto journal = JournalImpl::open(options_, clock_, real_files());
    ASSERT_TRUE(journal) << journal.error().message;
    for (const auto& who : {eve, caller()}) {
      Intent intent;
      intent.request_id = (*who)->subject;
      intent.target = "run-3";
      const Ticket ticket = (*journal)->note(permit(kList, who), intent, 0);
      (*journal)->finish(ticket, {Code::not_found, false, "unknown_run", {}, {}}, 0);
    }
  }
  const auto bundle = prove(directory_.path(), "run-3");
  ASSERT_TRUE(bundle) << bundle.error().message;
  EXPECT_EQ(bundle->find("rival"), std::string::npos);
  EXPECT_EQ(verify_proof(*bundle, key_)->records.size(), 3u);
  RecordFilter filter;
  filter.run_id = "run-3";
  EXPECT_EQ(list(directory_.path(), filter)->size(), 3u);
}

TEST_F(VerifyTest, ListsWhatWasAskedFor) {
  RecordFilter filter;
  filter.run_id = "run-3";
  const auto of_run = list(directory_.path(), filter);
  ASSERT_EQ(of_run->size(), 2u);
  EXPECT_EQ(of_run->front().kind, "intent");
  EXPECT_EQ(of_run->back().kind, "outcome");
  filter.subject = "bob";
  EXPECT_TRUE(list(directory_.path(), filter)->empty());
  filter = {};
  filter.run_id = "run-99";
  EXPECT_TRUE(list(directory_.path(), filter)->empty());
  filter = {};
  filter.subject = "ada";
  filter.limit = 4;
  const auto last = list(directory_.path(), filter);
  ASSERT_EQ(last->size(), 4u);
  EXPECT_EQ(last->back().sequence, kRecords - 1);
  filter.subject = "bob";
  EXPECT_TRUE(list(directory_.path(), filter)->empty());
  filter = {};
  filter.since = clock_.wall() + std::chrono::hours(1);
  EXPECT_TRUE(list(directory_.path(), filter)->empty());
}

}  // namespace
}  // namespace kubiya::audit
