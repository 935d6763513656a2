// SPDX-License-Identifier: Apache-2.0
#include "audit/journal.h"

#include <gtest/gtest.h>

#include "audit/journal_impl.h"
#include "audit/layout.h"
#include "audit/reader.h"
#include "audit/test_support.h"
#include "audit/verify.h"

namespace kubiya::audit {
namespace {

JournalOptions options(const TemporaryDirectory& directory) {
  JournalOptions o;
  o.directory = directory.path();
  o.begin_timeout = std::chrono::milliseconds(2'000);
  return o;
}

std::unique_ptr<Journal> open_on(const JournalOptions& o, const Clock& clock, Files& files) {
  auto journal = JournalImpl::open(o, clock, files);
  EXPECT_TRUE(journal) << journal.error().message << " " << journal.error().detail;
  return journal ? std::move(*journal) : nullptr;
}

std::vector<Record> records_of(const TemporaryDirectory& directory, std::string kind = {}) {
  RecordFilter filter;
  filter.limit = 1'000'000;
  auto all = list(directory.path(), filter);
  EXPECT_TRUE(all) << all.error().message;
  if (!all) return {};
  if (!kind.empty()) std::erase_if(*all, [&](const Record& r) { return r.kind != kind; });
  return std::move(*all);
}

VerifyReport verified(const TemporaryDirectory& directory) {
  auto report = verify_directory(directory.path(), read_all(public_key_path(directory.path())));
  EXPECT_TRUE(report) << report.error().message;
  return report ? std::move(*report) : VerifyReport{};
}

class JournalTest : public testing::Test {
 protected:
  TemporaryDirectory directory_;
  FakeClock clock_;
  FaultyFiles files_;
};

TEST_F(JournalTest, RecordsTheIntentBeforeItAnswersAndTheOutcomeAfter) {
  const auto journal = open_on(options(directory_), clock_, files_);
  const auto ticket = begin_and_wait(*journal, "req-1");
  ASSERT_TRUE(ticket) << ticket.error().message;
  EXPECT_EQ(records_of(directory_, "intent").size(), 1u);
  clock_.advance(5);
  journal->finish(*ticket, {Code::internal, true, "done", "run-1", {}}, [](Result<>) {});
  ASSERT_TRUE(journal->sync());
  const auto outcomes = records_of(directory_, "outcome");
  ASSERT_EQ(outcomes.size(), 1u);
  EXPECT_EQ(outcomes[0].intent, ticket->sequence());
  EXPECT_EQ(outcomes[0].run_id, "run-1");
  EXPECT_EQ(outcomes[0].latency_us, 5'000u);
  EXPECT_EQ(outcomes[0].request_id, "req-1");
}

TEST_F(JournalTest, TellsWhichDefinitionRanAndWhyACallFailedOnlyWhenItDid) {
  const auto journal = open_on(options(directory_), clock_, files_);
  const auto ticket = begin_and_wait(*journal, "req-1", "");
  Outcome ended_badly;
  ended_badly.reason = "failed";
  ended_badly.target = "deploy";
  ended_badly.digest = "d1";
  journal->finish(*ticket, ended_badly, [](Result<>) {});
  Journal::RunEnd end;
  end.run_id = "run-1";
  end.status = "failed";
  end.digest = "d1";
  journal->run_finished(end, [](Result<>) {});
  ASSERT_TRUE(journal->sync());
  const auto outcomes = records_of(directory_, "outcome");
  ASSERT_EQ(outcomes.size(), 1u);
  EXPECT_EQ(outcomes[0].target, "deploy");
  EXPECT_EQ(outcomes[0].digest, "d1");
  EXPECT_EQ(outcomes[0].outcome, "error");
  EXPECT_EQ(outcomes[0].code, "");
  const auto ends = records_of(directory_, "run_finished");
  ASSERT_EQ(ends.size(), 1u);
  EXPECT_EQ(ends[0].digest, "d1");
}

TEST_F(JournalTest, SharesOneSyncAmongConcurrentIntents) {
  const auto journal = open_on(options(directory_), clock_, files_);
  constexpr int kCalls = 400;
  std::atomic<int> answered{0};
  const int before = files_.syncs;
  files_.hang = true;  // everything gathers behind the first batch
  const auto allowed = permit(kRun);
  for (int i = 0; i < kCalls; ++i) {
    const std::string request_id = std::to_string(i);
    Intent intent;
    intent.request_id = request_id;
    journal->begin(allowed, intent, [&](Result<DurableTicket> r) { answered += r ? 1 : 0; });
  }
  files_.hang = false;
  ASSERT_TRUE(journal->sync());
  EXPECT_EQ(answered, kCalls);
  EXPECT_LT(files_.syncs - before, 10);
  EXPECT_EQ(records_of(directory_, "intent").size(), static_cast<std::size_t>(kCalls));
}

TEST_F(JournalTest, WritesOneRecordForAReadThatEnded) {
  const auto journal = open_on(options(directory_), clock_, files_);
  Intent intent;
  intent.request_id = "req-2";
  const Ticket ticket = journal->note(permit(kList), intent, 0);
  clock_.advance(3);
  journal->finish(ticket, {Code::not_found, false, "unknown_workflow", {}, {}}, 0);
  journal->flush_loop(0);
  ASSERT_TRUE(journal->sync());
  const auto reads = records_of(directory_, "read");
  ASSERT_EQ(reads.size(), 1u);
  EXPECT_EQ(reads[0].outcome, "error");
  EXPECT_EQ(reads[0].code, "not_found");
  EXPECT_EQ(reads[0].request_id, "req-2");
  EXPECT_FALSE(reads[0].count);
}

TEST_F(JournalTest, CountsExactlyWhatItDoesNotWriteOneByOne) {
  auto o = options(directory_);
  o.detailed_per_second = 8;
  const auto journal = open_on(o, clock_, files_);
  const auto ada = permit(kList, caller("ada"));
  const auto bob = permit(kList, caller("bob"));
  for (int i = 0; i < 1000; ++i) {
    const auto& who = i % 4 == 0 ? bob : ada;
    journal->finish(journal->note(who, {}, 0), {Code::internal, true, "done", {}, {}}, 0);
    RefusedCall call;
    call.peer = "10.0.0." + std::to_string(i % 300);
    call.reason = i % 2 == 0 ? "token_expired" : "bad_signature";
    call.status = 401;
    journal->refused(call, 0);
  }
  clock_.advance(1'000);
  journal->flush_loop(0);
  ASSERT_TRUE(journal->sync());
  std::map<std::string, std::uint64_t> by_subject;
  std::uint64_t refusals = 0;
  std::size_t lines = 0;
  for (const Record& record : records_of(directory_)) {
    ++lines;
    if (record.kind == "read") by_subject[record.subject] += record.count.value_or(1);
    if (record.kind == "refused") refusals += record.count.value_or(1);
    if (record.count) {
      EXPECT_FALSE(record.first.empty());
      EXPECT_LE(record.first, record.last);
    }
  }
  EXPECT_EQ(by_subject["ada"], 750u);
  EXPECT_EQ(by_subject["bob"], 250u);
  EXPECT_EQ(refusals, 1000u);
  EXPECT_LT(lines, 100u);
}

TEST_F(JournalTest, RefusesMutationsWhileTheDiskIsFullAndRecoversByItself) {
  const auto journal = open_on(options(directory_), clock_, files_);
  ASSERT_TRUE(begin_and_wait(*journal, "before"));
  files_.full = true;
  const auto refused = begin_and_wait(*journal, "during");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::unavailable);
  EXPECT_FALSE(journal->healthy());
  journal->event("kept_for_later", {});
  files_.full = false;
  for (int i = 0; i < 5'000 && !journal->healthy(); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  EXPECT_TRUE(journal->healthy());
  ASSERT_TRUE(begin_and_wait(*journal, "after"));
  ASSERT_TRUE(journal->sync());
  const auto report = verified(directory_);
  EXPECT_TRUE(report.ok()) << report.fault->what;
  std::vector<std::string> intents;
  for (const Record& r : records_of(directory_, "intent")) intents.push_back(r.request_id);
  EXPECT_EQ(intents, (std::vector<std::string>{"before", "after"}));
  std::vector<std::string> events;
  for (const Record& r : records_of(directory_, "event")) events.push_back(r.event);
  EXPECT_NE(std::find(events.begin(), events.end(), "kept_for_later"), events.end());
  EXPECT_NE(std::find(events.begin(), events.end(), "journal_resumed"), events.end());
}

TEST_F(JournalTest, NeverTrustsASyncAfterAFailedOne) {
  auto o = options(directory_);
  {
    const auto journal = open_on(o, clock_, files_);
    ASSERT_TRUE(begin_and_wait(*journal, "before"));
    files_.sync_fails = true;
    EXPECT_FALSE(begin_and_wait(*journal, "during"));
    EXPECT_FALSE(begin_and_wait(*journal, "after"));
    EXPECT_FALSE(journal->healthy());
    EXPECT_FALSE(journal->sync());
  }
  const auto journal = open_on(o, clock_, real_files());
  EXPECT_TRUE(journal->healthy());
  EXPECT_TRUE(begin_and_wait(*journal, "restarted"));
}

TEST_F(JournalTest, AnswersInTimeWhileTheDiskHangs) {
  auto o = options(directory_);
  o.begin_timeout = std::chrono::milliseconds(50);
  const auto journal = open_on(o, clock_, files_);
  files_.hang = true;
  const auto refused = begin_and_wait(*journal, "hung");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::unavailable);
  EXPECT_FALSE(journal->healthy());
  files_.hang = false;
  ASSERT_TRUE(journal->sync());
  // The intent got to the disk after all; the journal says that nothing came of it.
  std::string late;
  for (int i = 0; i < 100 && late.empty(); ++i) {
    ASSERT_TRUE(journal->sync());
    for (const Record& r : records_of(directory_, "outcome")) late = r.reason;
  }
  EXPECT_EQ(late, "intent_late");
  EXPECT_TRUE(begin_and_wait(*journal, "later"));
}

void end_run(Journal& journal, const std::string& run_id, std::function<void(Result<>)> recorded) {
  Journal::RunEnd end;
  end.run_id = run_id;
  end.status = "finished";
  journal.run_finished(end, std::move(recorded));
}

// Told within the journal's patience, whatever the disk does.
Result<> end_run_and_wait(Journal& journal, const std::string& run_id) {
  auto told = std::make_shared<std::promise<Result<>>>();
  end_run(journal, run_id, [told](Result<> r) { told->set_value(std::move(r)); });
  return told->get_future().get();
}

TEST_F(JournalTest, KeepsTheOrderOfWhatAFullDiskRefused) {
  const auto journal = open_on(options(directory_), clock_, files_);
  files_.full = true;
  for (const char* run : {"a", "b", "c"}) EXPECT_FALSE(end_run_and_wait(*journal, run));
  files_.full = false;
  ASSERT_TRUE(end_run_and_wait(*journal, "d"));
  std::string order;
  for (const Record& r : records_of(directory_, "run_finished")) order += r.run_id;
  EXPECT_EQ(order, "abcd");
}

TEST_F(JournalTest, KeepsTheOrderOfWhatAHangingDiskLetWait) {
  auto o = options(directory_);
  o.begin_timeout = std::chrono::milliseconds(250);
  const auto journal = open_on(o, clock_, files_);
  const int before = files_.writes;
  files_.hang = true;
  journal->event("first", {});
  while (files_.writes == before) std::this_thread::yield();
  std::atomic<int> told{0};
  for (const char* run : {"a", "b", "c"}) end_run(*journal, run, [&](Result<>) { ++told; });
  while (told < 3) std::this_thread::yield();
  files_.hang = false;
  ASSERT_TRUE(journal->sync());
  std::string order;
  for (const Record& r : records_of(directory_, "run_finished")) order += r.run_id;
  EXPECT_EQ(order, "abc");
}

TEST_F(JournalTest, CountsARefusedIntentOnceAndNothingElse) {
  auto o = options(directory_);
  o.begin_timeout = std::chrono::milliseconds(250);
  const auto journal = open_on(o, clock_, files_);
  files_.hang = true;
  EXPECT_FALSE(begin_and_wait(*journal, "hung"));     // out of time,
  EXPECT_FALSE(end_run_and_wait(*journal, "run-1"));  // which is no intent
  files_.full = true;
  files_.hang = false;  // and now its write fails too
  EXPECT_FALSE(begin_and_wait(*journal, "full"));
  files_.full = false;
  ASSERT_TRUE(journal->sync());
  std::string resumed;
  for (const Record& r : records_of(directory_, "event")) {
    if (r.event == "journal_resumed") resumed += r.fields;
  }
  EXPECT_EQ(resumed, R"({"lost_records":0,"refused_intents":2})");
}

TEST_F(JournalTest, WritesTheEndOfALateIntentEvenWhenItCloses) {
  auto o = options(directory_);
  o.begin_timeout = std::chrono::milliseconds(500);
  o.checkpoint_every = std::chrono::hours(1);
  std::promise<void> first_held, first_free, second_answered;
  int held = 0;
  std::atomic<bool> holding{false};
  files_.before_append = [&](int) {
    if (!holding || ++held > 2) return;
    if (held == 1) {
      first_held.set_value();
      first_free.get_future().wait();
    } else {
      second_answered.get_future().wait();
    }
  };
  auto journal = open_on(o, clock_, files_);
  holding = true;
  const auto allowed = permit(kRun);
  journal->begin(allowed, {}, [](Result<DurableTicket>) {});
  first_held.get_future().wait();
  journal->begin(allowed, {}, [&](Result<DurableTicket> r) {
    EXPECT_FALSE(r);
    second_answered.set_value();
  });
  std::thread closing([&] { journal.reset(); });
  // Whether the end has begun cannot be seen from here; if it has not, this proves less.
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  first_free.set_value();
  closing.join();
  std::string reasons;
  for (const Record& r : records_of(directory_, "outcome")) reasons += r.reason;
  EXPECT_EQ(reasons, "intent_late");
  EXPECT_TRUE(verified(directory_).ok());
}

TEST_F(JournalTest, NeverDropsAnEventThatSomethingWaitsFor) {
  const auto journal = open_on(options(directory_), clock_, files_);
  files_.full = true;
  const std::string filler(3'900, 'x');
  for (std::size_t i = 0; i < 2 * kMaxNoteBytes / filler.size(); ++i) {
    journal->event("filler", {{"x", filler}});
  }
  auto told = std::make_shared<std::promise<Result<>>>();
  journal->durable_event("key_created", {}, [told](Result<> r) { told->set_value(std::move(r)); });
  auto answer = told->get_future();
  EXPECT_FALSE(begin_and_wait(*journal, "during"));
  EXPECT_FALSE(journal->sync());
  EXPECT_EQ(answer.wait_for(std::chrono::seconds(0)), std::future_status::timeout);
  files_.full = false;
  EXPECT_TRUE(answer.get());
  int found = 0;
  for (const Record& r : records_of(directory_, "event")) found += r.event == "key_created";
  EXPECT_EQ(found, 1);
}

TEST_F(JournalTest, SaysThatAnAwaitedEventWillNotComeWhenTheDiskIsGone) {
  const auto journal = open_on(options(directory_), clock_, files_);
  const auto recorded = [&] {
    auto told = std::make_shared<std::promise<Result<>>>();
    journal->durable_event("key_created", {},
                           [told](Result<> r) { told->set_value(std::move(r)); });
    return told->get_future().get().has_value();
  };
  EXPECT_TRUE(recorded());
  files_.sync_fails = true;
  EXPECT_FALSE(recorded());
  EXPECT_FALSE(recorded());
}

TEST_F(JournalTest, LosesNothingAcknowledgedWhereverItCrashes) {
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

TEST_F(JournalTest, RefusesMutationsWhenItCannotSignForLong) {
  auto o = options(directory_);
  o.checkpoint_every = std::chrono::milliseconds(20);
  const auto journal = open_on(o, clock_, files_);
  EXPECT_EQ(journal->problem(), "");
  testing::internal::CaptureStderr();
  files_.replace_fails = true;
  ASSERT_TRUE(begin_and_wait(*journal, "before"));
  while (journal->healthy()) std::this_thread::yield();
  EXPECT_NE(journal->problem().find("cannot be signed"), std::string::npos);
  const auto refused = begin_and_wait(*journal, "during");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::unavailable);
  EXPECT_TRUE(end_run_and_wait(*journal, "run-1")) << "what happened is recorded all the same";
  files_.replace_fails = false;
  while (!journal->healthy()) std::this_thread::yield();
  EXPECT_EQ(journal->problem(), "");
  ASSERT_TRUE(begin_and_wait(*journal, "after"));
  ASSERT_TRUE(journal->sync());
  const std::string logged = testing::internal::GetCapturedStderr();
  const std::size_t said = logged.find("cannot sign");
  ASSERT_NE(said, std::string::npos) << logged;
  EXPECT_EQ(logged.find("cannot sign", said + 1), std::string::npos) << logged;
  std::string intents;
  for (const Record& r : records_of(directory_, "intent")) intents += r.request_id + " ";
  EXPECT_EQ(intents, "before after ");
  EXPECT_TRUE(verified(directory_).ok());
}

TEST_F(JournalTest, WritesANoteOnceHoweverOftenItCannotPublishIt) {
  const auto journal = open_on(options(directory_), clock_, files_);
  files_.replace_fails = true;
  ASSERT_TRUE(begin_and_wait(*journal, "one"));
  for (int i = 0; i < 5; ++i) EXPECT_FALSE(journal->sync());
  files_.replace_fails = false;
  ASSERT_TRUE(journal->sync());
  const std::string text = read_all(history_path(directory_.path()));
  auto notes = split_history(text).notes;
  const std::size_t all = notes.size();
  std::sort(notes.begin(), notes.end());
  notes.erase(std::unique(notes.begin(), notes.end()), notes.end());
  EXPECT_EQ(notes.size(), all);
  EXPECT_EQ(verified(directory_).unsigned_records, 0u);
}

TEST_F(JournalTest, SettlesCountsOnceASecond) {
  auto o = options(directory_);
  o.detailed_per_second = 0;
  const auto journal = open_on(o, clock_, files_);
  const auto read = permit(kList);
  const auto counted = [&] {
    journal->flush_loop(0);
    EXPECT_TRUE(journal->sync());
    std::vector<std::uint64_t> counts;
    for (const Record& r : records_of(directory_, "read")) counts.push_back(r.count.value_or(1));
    return counts;
  };
  for (int i = 0; i < 3; ++i) {
    journal->finish(journal->note(read, {}, 0), {Code::internal, true, "done", {}, {}}, 0);
    EXPECT_TRUE(counted().empty());
    clock_.advance(250);
  }
  clock_.advance(250);
  EXPECT_EQ(counted(), std::vector<std::uint64_t>{3});
}

TEST_F(JournalTest, SaysHowManyRecordsWithoutASignatureItAdopts) {
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

TEST_F(JournalTest, DoesNotBeginAnewWhereOneWasSigned) {
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

TEST_F(JournalTest, DoesNotBelieveAHistoryOlderThanItsCheckpoint) {
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

TEST_F(JournalTest, ReadsOnlyTheEndOfALongHistory) {
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

TEST_F(JournalTest, CutsATornTailAndSaysSo) {
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

TEST_F(JournalTest, RefusesToOpenADamagedOrShortenedJournal) {
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

TEST_F(JournalTest, IsOpenOnlyOnce) {
  const auto journal = open_on(options(directory_), clock_, files_);
  const auto second = JournalImpl::open(options(directory_), clock_, files_);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, Code::conflict);
}

TEST_F(JournalTest, OrdersBySequenceWhenTheClockGoesBack) {
  const auto journal = open_on(options(directory_), clock_, files_);
  ASSERT_TRUE(begin_and_wait(*journal, "first"));
  clock_.advance(-3'600'000);
  ASSERT_TRUE(begin_and_wait(*journal, "second"));
  const auto intents = records_of(directory_, "intent");
  ASSERT_EQ(intents.size(), 2u);
  EXPECT_EQ(intents[1].request_id, "second");
  EXPECT_LT(intents[1].time, intents[0].time);
}

TEST_F(JournalTest, HoldsNoSecretInAnyFile) {
  {
    const auto journal = open_on(options(directory_), clock_, files_);
    const json::object arguments{{"api_key", "kb-CANARY-argument"}, {"note", "CANARY-free-text"}};
    Intent intent;
    intent.arguments = &arguments;
    journal->finish(journal->note(permit(kList), intent, 0), {Code::internal, true, "done", {}, {}},
                    0);
    std::promise<void> done;
    journal->begin(permit(kRun), intent, [&](auto) { done.set_value(); });
    done.get_future().wait();
  }
  for (const auto& file : std::filesystem::directory_iterator(directory_.path())) {
    EXPECT_EQ(read_all(file.path()).find("CANARY"), std::string::npos) << file.path();
  }
  EXPECT_EQ(records_of(directory_, "intent")[0].args.size(), 64u);
  using std::filesystem::perms;
  for (const char* name : {"audit.key", "digest.key"}) {
    EXPECT_EQ(std::filesystem::status(directory_.file(name)).permissions(),
              perms::owner_read | perms::owner_write);
  }
}

TEST_F(JournalTest, ReadsOnlyTheTailWhenItOpens) {
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
