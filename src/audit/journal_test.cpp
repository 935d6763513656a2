// SPDX-License-Identifier: Apache-2.0
#include "audit/journal.h"

#include "audit/journal_fixture.h"

namespace kubiya::audit {
namespace {

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

}  // namespace
}  // namespace kubiya::audit
