// SPDX-License-Identifier: Apache-2.0
#include "audit/opening.h"

#include "audit/journal_fixture.h"

namespace kubiya::audit {
namespace {

using OpeningTest = JournalTest;

TEST_F(OpeningTest, LosesNothingAcknowledgedWhereverItCrashes) {
  for (const bool power_loss : {false, true}) {
    int crashes = 0;
    for (int at = 0; at < 200; ++at) {
      SCOPED_TRACE(at);
      TemporaryDirectory directory;
      auto o = options(directory);
      o.segment_bytes = 1'500;
      FaultyFiles files;
      files.operations_left = at;
      files.lose_unsynced = power_loss;
      std::vector<std::string> acknowledged;
      if (auto journal = JournalImpl::open(o, clock_, files)) {
        for (int i = 0; i < 6; ++i) {
          const auto id = std::to_string(i);
          if (begin_and_wait(**journal, id)) acknowledged.push_back(id);
        }
        (void)(*journal)->sync();
      }
      crashes += files.crashed() ? 1 : 0;
      {
        const auto journal = open_on(o, clock_, real_files());
        ASSERT_TRUE(journal);
        ASSERT_TRUE(begin_and_wait(*journal, "again"));
      }
      const auto report = verified(directory);
      ASSERT_TRUE(report.ok()) << report.fault->what;
      std::vector<std::string> found;
      for (const Record& r : records_of(directory, "intent")) found.push_back(r.request_id);
      for (const auto& id : acknowledged) {
        EXPECT_EQ(std::count(found.begin(), found.end(), id), 1) << id;
      }
      if (!files.crashed()) break;
    }
    EXPECT_GT(crashes, 15);
  }
}

TEST_F(OpeningTest, SaysHowManyRecordsWithoutASignatureItAdopts) {
  auto o = options(directory_);
  TemporaryDirectory killed;
  {
    const auto journal = open_on(o, clock_, files_);
    files_.replace_fails = true;  // no checkpoint any more
    for (int i = 0; i < 3; ++i) ASSERT_TRUE(begin_and_wait(*journal, std::to_string(i)));
    std::filesystem::copy(directory_.path(), killed.path());
    files_.replace_fails = false;
  }
  o.directory = killed.path();
  testing::internal::CaptureStderr();
  for (int i = 0; i < 2; ++i) {
    const auto journal = open_on(o, clock_, files_);
  }
  EXPECT_NE(testing::internal::GetCapturedStderr().find("were adopted"), std::string::npos);
  std::string adopted;
  for (const Record& r : records_of(killed, "event")) {
    if (r.event == "tail_adopted") adopted += r.fields;
  }
  EXPECT_EQ(adopted, R"({"first":1,"records":3})");
  EXPECT_EQ(verified(killed).unsigned_records, 0u);
}

TEST_F(OpeningTest, DoesNotBeginAnewWhereOneWasSigned) {
  const auto made = [&] { return open_on(options(directory_), clock_, files_) != nullptr; };
  ASSERT_TRUE(made());
  TemporaryDirectory kept;
  std::filesystem::copy(directory_.path(), kept.path());
  const auto refusal = [&](std::initializer_list<const char*> removed) {
    std::filesystem::remove_all(directory_.path());
    std::filesystem::copy(kept.path(), directory_.path());
    for (const char* name : removed) std::filesystem::remove(directory_.file(name));
    const auto journal = JournalImpl::open(options(directory_), clock_, files_);
    return journal ? "opened" : journal.error().message;
  };
  const char* segment = "audit-00000001.jsonl";
  EXPECT_EQ(refusal({}), "opened");
  EXPECT_NE(
      refusal({segment, "checkpoint", "checkpoints.log", "state"}).find("checkpoints are gone"),
      std::string::npos);
  EXPECT_NE(refusal({"checkpoint", "checkpoints.log"}).find("checkpoints are gone"),
            std::string::npos);
  EXPECT_NE(refusal({segment, "state"}).find("covers 1 records"), std::string::npos);
  EXPECT_NE(refusal({segment, "checkpoint", "state"}).find("covers 1 records"), std::string::npos);
  EXPECT_NE(refusal({"checkpoints.log"}).find("checkpoints.log is missing"), std::string::npos);
  // What follows from the rest is made again.
  EXPECT_EQ(refusal({"checkpoint", "audit.pub", "state"}), "opened");
  EXPECT_TRUE(verified(directory_).ok());
}

TEST_F(OpeningTest, DoesNotBelieveAHistoryOlderThanItsCheckpoint) {
  std::string older;
  {
    const auto journal = open_on(options(directory_), clock_, files_);
    ASSERT_TRUE(journal->sync());
    older = read_all(history_path(directory_.path()));
    ASSERT_TRUE(begin_and_wait(*journal, "one"));
  }
  write_all(history_path(directory_.path()), older);
  const auto journal = JournalImpl::open(options(directory_), clock_, files_);
  ASSERT_FALSE(journal);
  EXPECT_NE(journal.error().message.find("does not hold the file checkpoint"), std::string::npos);
}

TEST_F(OpeningTest, ReadsOnlyTheEndOfALongHistory) {
  auto o = options(directory_);
  o.origin = std::string(250, 'k');  // so that few notes are long
  {
    const auto journal = open_on(o, clock_, files_);
    for (int i = 0; i < 120; ++i) {
      journal->event("tick", {});
      ASSERT_TRUE(journal->sync());
    }
  }
  const std::string history = history_path(directory_.path());
  const std::string whole = read_all(history);
  ASSERT_GT(whole.size(), 70'000u);
  for (const std::string& torn : {std::string(), std::string("kkk\n12"), whole.substr(0, 120)}) {
    write_all(history, whole + torn);
    std::filesystem::remove(segment_path(directory_.path(), 2));
    FaultyFiles files;
    const auto opened = open_log(files, directory_.path(), o.origin, 64 << 20);
    ASSERT_TRUE(opened) << opened.error().message;
    EXPECT_LE(files.longest_read, 64u * 1024);
    EXPECT_EQ(opened->writer->size(), 121u);
    EXPECT_EQ(read_all(history), whole);
  }
  write_all(history, std::string(70'000, 'x'));
  EXPECT_FALSE(JournalImpl::open(o, clock_, files_));
}

TEST_F(OpeningTest, CutsATornTailAndSaysSo) {
  {
    const auto journal = open_on(options(directory_), clock_, files_);
  }
  const std::string segment = segment_path(directory_.path(), 1);
  const std::string whole = read_all(segment);
  write_all(segment, whole + "{\"v\":1,\"seq\":1,\"ba");
  {
    const auto journal = open_on(options(directory_), clock_, files_);
  }
  EXPECT_TRUE(read_all(segment).starts_with(whole));
  const auto recovered = records_of(directory_, "recovered");
  ASSERT_EQ(recovered.size(), 1u);
  EXPECT_NE(recovered[0].fields.find("\"bytes\":18"), std::string::npos) << recovered[0].fields;
  EXPECT_TRUE(verified(directory_).ok());
}

TEST_F(OpeningTest, RefusesToOpenADamagedOrShortenedJournal) {
  {
    const auto journal = open_on(options(directory_), clock_, files_);
    for (int i = 0; i < 5; ++i) ASSERT_TRUE(begin_and_wait(*journal, std::to_string(i)));
  }
  const std::string segment = segment_path(directory_.path(), 1);
  const std::string good = read_all(segment);
  const auto refusal = [&](const std::string& bytes) {
    write_all(segment, bytes);
    std::filesystem::remove(state_path(directory_.path()));
    const auto journal = JournalImpl::open(options(directory_), clock_, files_);
    EXPECT_EQ(read_all(segment), bytes);
    return journal ? std::string("opened")
                   : std::string(to_string(journal.error().code)) + ": " + journal.error().message;
  };
  EXPECT_TRUE(refusal(good.substr(0, good.size() / 2)).starts_with("corrupt: audit record"));
  std::string flipped = good;
  flipped[good.find("\"request_id\":\"2\"") + 14] = '7';
  EXPECT_TRUE(refusal(flipped).starts_with("corrupt: audit record"));
  EXPECT_TRUE(refusal("").starts_with("corrupt: audit record 0 is missing"));
  write_all(segment, good);
  EXPECT_TRUE(JournalImpl::open(options(directory_), clock_, files_));
  std::filesystem::remove(directory_.file("audit.key"));
  EXPECT_FALSE(JournalImpl::open(options(directory_), clock_, files_));
}

TEST_F(OpeningTest, IsOpenOnlyOnce) {
  const auto journal = open_on(options(directory_), clock_, files_);
  const auto second = JournalImpl::open(options(directory_), clock_, files_);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, Code::conflict);
}

TEST_F(OpeningTest, ReadsOnlyTheTailWhenItOpens) {
  {
    const auto journal = open_on(options(directory_), clock_, files_);
    for (int i = 0; i < 20; ++i) ASSERT_TRUE(begin_and_wait(*journal, std::to_string(i)));
  }
  const auto opened = open_log(files_, directory_.path(), "kubiya-mcp", 1 << 20);
  ASSERT_TRUE(opened) << opened.error().message;
  EXPECT_EQ(opened->reread, 0u);
  EXPECT_EQ(opened->writer->size(), 21u);
}

}  // namespace
}  // namespace kubiya::audit
