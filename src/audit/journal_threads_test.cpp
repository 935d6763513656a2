// SPDX-License-Identifier: Apache-2.0
// What the journal does while its disk refuses or hangs.
#include "audit/journal_fixture.h"

namespace kubiya::audit {
namespace {

using JournalDiskTest = JournalTest;

TEST_F(JournalDiskTest, RefusesMutationsWhileTheDiskIsFullAndRecoversByItself) {
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

TEST_F(JournalDiskTest, NeverTrustsASyncAfterAFailedOne) {
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

TEST_F(JournalDiskTest, AnswersInTimeWhileTheDiskHangs) {
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

TEST_F(JournalDiskTest, KeepsTheOrderOfWhatAFullDiskRefused) {
  const auto journal = open_on(options(directory_), clock_, files_);
  files_.full = true;
  for (const char* run : {"a", "b", "c"}) EXPECT_FALSE(end_run_and_wait(*journal, run));
  files_.full = false;
  ASSERT_TRUE(end_run_and_wait(*journal, "d"));
  std::string order;
  for (const Record& r : records_of(directory_, "run_finished")) order += r.run_id;
  EXPECT_EQ(order, "abcd");
}

TEST_F(JournalDiskTest, KeepsTheOrderOfWhatAHangingDiskLetWait) {
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

TEST_F(JournalDiskTest, CountsARefusedIntentOnceAndNothingElse) {
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

TEST_F(JournalDiskTest, WritesTheEndOfALateIntentEvenWhenItCloses) {
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

TEST_F(JournalDiskTest, NeverDropsAnEventThatSomethingWaitsFor) {
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

TEST_F(JournalDiskTest, SaysThatAnAwaitedEventWillNotComeWhenTheDiskIsGone) {
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

TEST_F(JournalDiskTest, RefusesMutationsWhenItCannotSignForLong) {
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

TEST_F(JournalDiskTest, WritesANoteOnceHoweverOftenItCannotPublishIt) {
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

}  // namespace
}  // namespace kubiya::audit
