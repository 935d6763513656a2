// SPDX-License-Identifier: Apache-2.0
#include <sys/eventfd.h>

#include "base/descriptor.h"
#include "engine/fair_queue.h"
#include "engine/scrub.h"
#include "engine/shares.h"
#include "engine/testing.h"

namespace kubiya::engine {
namespace {

TEST(FairQueue, LetsOwnersTakeTurns) {
  FairQueue<int> queue;
  for (int i = 1; i <= 3; ++i) queue.push("acme", "ada", i);
  queue.push("acme", "bob", 10);
  queue.push("acme", "eve", 20);
  EXPECT_EQ(queue.size(), 5u);
  std::vector<int> order;
  while (const auto item = queue.pop()) order.push_back(*item);
  EXPECT_EQ(order, (std::vector<int>{1, 10, 20, 2, 3}));
  EXPECT_EQ(queue.size(), 0u);
}

TEST(FairQueue, LetsTenantsTakeTurnsHoweverManyOwnersOneHas) {
  FairQueue<int> queue;
  for (int i = 1; i <= 3; ++i) queue.push("acme", "owner" + std::to_string(i), i);
  queue.push("globex", "bob", 10);
  queue.push("globex", "bob", 11);
  std::vector<int> order;
  while (const auto item = queue.pop()) order.push_back(*item);
  EXPECT_EQ(order, (std::vector<int>{1, 10, 2, 11, 3}));
}

TEST(FairQueue, PassesOverThoseWhoMayNotHaveMore) {
  FairQueue<int> queue;
  queue.push("acme", "ada", 1);
  queue.push("acme", "bob", 2);
  queue.push("globex", "eve", 3);
  const auto not_acme = [](const std::string& tenant, const std::string&) {
    return tenant != "acme";
  };
  EXPECT_EQ(queue.pop(not_acme), 3);
  EXPECT_EQ(queue.pop(not_acme), std::nullopt);
  EXPECT_EQ(queue.pop([](const std::string&, const std::string& o) { return o == "bob"; }), 2);
  EXPECT_EQ(queue.pop(), 1);
}

TEST(Shares, LeaveAPartOfThePlacesToOthers) {
  using Limit = Shares::Limit;
  Shares shares(16, 0, 0);
  for (int i = 0; i < 12; ++i) {
    EXPECT_EQ(shares.full("acme", "ada"), std::nullopt);
    shares.take("acme", "ada");
  }
  EXPECT_EQ(shares.full("acme", "ada"), Limit::owner);
  EXPECT_EQ(shares.most(Limit::owner), 12u);
  for (int i = 0; i < 2; ++i) shares.take("acme", "bob");
  EXPECT_EQ(shares.full("acme", "bob"), Limit::tenant);
  for (int i = 0; i < 2; ++i) shares.take("globex", "eve");
  EXPECT_EQ(shares.full("globex", "eve"), Limit::total);
  shares.give_back("acme", "ada");
  EXPECT_EQ(shares.full("acme", "ada"), std::nullopt);
  EXPECT_EQ(Shares(1, 0, 0).full("acme", "ada"), std::nullopt);
  EXPECT_EQ(Shares(0, 0, 0).full("acme", "ada"), Limit::total);
}

TEST(FairQueue, RemovesWithoutDisturbingTheRest) {
  FairQueue<int> queue;
  for (int i = 1; i <= 3; ++i) queue.push("acme", "ada", i);
  queue.push("acme", "bob", 2);
  queue.remove_if([](int item) { return item == 2; });
  EXPECT_EQ(queue.size(), 2u);
  EXPECT_EQ(queue.pop(), 1);
  EXPECT_EQ(queue.pop(), 3);
  EXPECT_EQ(queue.pop(), std::nullopt);
}

TEST(Scrubber, FindsSecretsAtEveryCut) {
  const std::string text = "x kb-secret-kb-secret, kb-secre\n";
  for (std::size_t cut = 0; cut <= text.size(); ++cut) {
    Scrubber scrubber({Secret("kb-secret")});
    std::string out = scrubber.feed(text.substr(0, cut));
    out += scrubber.feed(text.substr(cut));
    out += scrubber.finish();
    EXPECT_EQ(out, "x [redacted]-[redacted], kb-secre\n") << cut;
  }
}

TEST(Scrubber, FindsOverlappingSecretsAtEveryCut) {
  const std::string text = "a token-long-x token tokentoken-lon ong-xyz";
  for (std::size_t cut = 0; cut <= text.size(); ++cut) {
    Scrubber scrubber({Secret("token"), Secret("token-long"), Secret("long-x")});
    std::string out = scrubber.feed(text.substr(0, cut));
    out += scrubber.feed(text.substr(cut));
    out += scrubber.finish();
    EXPECT_EQ(out, "a [redacted] [redacted] [redacted][redacted]-lon ong-xyz") << cut;
  }
}

TEST(Scrubber, DoesNotKeepARowOfRepeatedSecrets) {
  Scrubber scrubber({Secret("aaaa")});
  EXPECT_EQ(scrubber.feed(std::string(1000, 'a')), "[redacted]");
  EXPECT_EQ(scrubber.feed(std::string(1000, 'a')), "");
  EXPECT_EQ(scrubber.finish(), "");
}

TEST(Scrubber, FindsASecretFedByteByByte) {
  Scrubber scrubber({Secret("aab"), Secret("aaaaab")});
  std::string out;
  for (const char byte : std::string("zaaaaaab!")) out += scrubber.feed(std::string(1, byte));
  EXPECT_EQ(out + scrubber.finish(), "za[redacted]!");
}

TEST(Scrubber, PrefersTheLongerSecretAndLeavesTinyOnesAlone) {
  const Scrubber scrubber({Secret("token"), Secret("token-long"), Secret("a"), Secret("")});
  EXPECT_EQ(scrubber.whole("a token-long token"), "a [redacted] [redacted]");
}

TEST(Allowance, CutsAtACharacterAndCountsTheRest) {
  Allowance left(4);
  EXPECT_EQ(left.take("abc"), "abc");
  EXPECT_EQ(left.take("\xC3\xBC"
                      "d"),
            "");
  EXPECT_EQ(left.take("e"), "");
  EXPECT_EQ(left.dropped(), 4u);
  EXPECT_EQ(left.dropped(), 0u);
}

TEST(Utf8, ReplacesEachBadByte) {
  struct Row {
    const char* name;
    std::string bytes, text;
  };
  const std::string bad = "\xEF\xBF\xBD";
  for (const Row& row :
       {Row{"plain", "aü", "aü"}, Row{"lone continuation", "\x80", bad},
        Row{"overlong", "\xC0\x80", bad + bad}, Row{"surrogate", "\xED\xA0\x80", bad + bad + bad},
        Row{"cut", "\xE2\x82", bad + bad}, Row{"after", "\xFFz", bad + "z"}}) {
    EXPECT_EQ(to_utf8(row.bytes), row.text) << row.name;
  }
}

// Children that exist on paper only: the test says when they end.
class PaperLauncher final : public Launcher {
 public:
  Result<std::unique_ptr<Child>> launch(const LaunchRequest& request) override {
    const std::lock_guard lock(mutex_);
    launched_.push_back(request.argv.back());
    auto child = std::make_unique<Paper>(static_cast<int>(launched_.size()));
    ends_.emplace_back(::dup(child->exit_event()));  // it may be closed while we write
    return child;
  }

  std::vector<std::string> launched() const {
    const std::lock_guard lock(mutex_);
    return launched_;
  }
  void end(std::size_t number) {
    const std::lock_guard lock(mutex_);
    const std::uint64_t one = 1;
    ASSERT_EQ(::write(ends_.at(number).get(), &one, sizeof one), static_cast<ssize_t>(sizeof one));
  }

 private:
  class Paper final : public Child {
   public:
    explicit Paper(int pid) : pid_(pid), exit_(::eventfd(0, EFD_CLOEXEC)) {
      for (Descriptor* end : {&out_, &err_}) {
        int ends[2];
        EXPECT_EQ(::pipe(ends), 0);
        ::close(ends[1]);
        *end = Descriptor(ends[0]);
      }
    }
    int exit_event() const { return exit_.get(); }
    int pid() const override { return pid_; }
    int pidfd() const override { return exit_.get(); }
    int stdout_fd() const override { return out_.get(); }
    int stderr_fd() const override { return err_.get(); }
    void signal_group(int) override {}
    Result<Exit> reap() override { return Exit{0, false}; }

   private:
    const int pid_;
    Descriptor exit_, out_, err_;
  };

  mutable std::mutex mutex_;
  std::vector<std::string> launched_;
  std::vector<Descriptor> ends_;
};

class SchedulingTest : public EngineTest {
 protected:
  SchedulingTest() { launcher = std::make_unique<PaperLauncher>(); }
  PaperLauncher& paper() { return static_cast<PaperLauncher&>(*launcher); }
  bool launched(std::size_t count) {
    return eventually([&] { return paper().launched().size() >= count; });
  }
};

TEST_F(SchedulingTest, GivesRunPlacesToOwnersInTurns) {
  options.active_runs = 1;
  const auto one = [](const std::string& name) {
    return start_of("steps: [{name: s, command: [x, " + name + "]}]");
  };
  std::vector<std::string> ids;
  for (const char* name : {"ada1", "ada2", "ada3"}) ids.push_back(start(one(name))->run_id);
  ids.push_back(start(one("bob1"), permit_for("bob"))->run_id);
  for (std::size_t i = 0; i < 4; ++i) {
    ASSERT_TRUE(launched(i + 1));
    EXPECT_EQ(paper().launched().size(), i + 1) << "one run at a time";
    paper().end(i);
  }
  for (const auto& id : ids) wait_for(id);
  EXPECT_EQ(paper().launched(), (std::vector<std::string>{"ada1", "ada2", "bob1", "ada3"}));
}

TEST_F(SchedulingTest, KeepsPlacesForOtherTenants) {
  options.active_runs = 3;
  options.active_runs_per_tenant = 2;
  options.active_runs_per_owner = 1;
  const auto begin = [&](const std::string& who, const std::string& tenant) {
    EXPECT_TRUE(
        start(start_of("steps: [{name: s, command: [x, " + who + "]}]"), permit_for(who, tenant)));
  };
  for (const char* who : {"ada", "ada", "bob", "cyd"}) begin(who, "acme");
  begin("eve", "globex");
  ASSERT_TRUE(launched(3));
  EXPECT_EQ(paper().launched(), (std::vector<std::string>{"ada", "bob", "eve"}));
  paper().end(1);
  ASSERT_TRUE(launched(4));
  EXPECT_EQ(paper().launched().back(), "cyd") << "ada holds her part already";
  paper().end(0);
  ASSERT_TRUE(launched(5));
  for (const std::size_t left : {2, 3, 4}) paper().end(left);
}

TEST_F(SchedulingTest, KeepsPlacesForTheStepsOfOthers) {
  options.active_steps = 3;
  options.active_steps_per_tenant = 2;
  options.active_steps_per_owner = 2;
  const std::string steps =
      "type: graph\nsteps: [{name: a, command: [x, a]}, {name: b, command: [x, b]}, "
      "{name: c, command: [x, c]}]";
  ASSERT_TRUE(start(start_of(steps)));
  ASSERT_TRUE(launched(2));
  ASSERT_TRUE(
      start(start_of("steps: [{name: s, command: [x, eve]}]"), permit_for("eve", "globex")));
  ASSERT_TRUE(launched(3));
  EXPECT_EQ(paper().launched().back(), "eve");
  paper().end(0);
  ASSERT_TRUE(launched(4));
  EXPECT_EQ(paper().launched().back(), "c");
  for (const std::size_t left : {1, 2, 3}) paper().end(left);
}

TEST_F(SchedulingTest, BoundsTheStepsOfAllRunsTogether) {
  options.active_steps = 2;
  const auto started = start(start_of(R"(
type: graph
steps:
  - {name: a, command: [x, a]}
  - {name: b, command: [x, b]}
  - {name: c, command: [x, c]}
  - {name: d, command: [x, d], depends: [a]}
)"));
  ASSERT_TRUE(launched(2));
  EXPECT_EQ(paper().launched(), (std::vector<std::string>{"a", "b"}));
  paper().end(0);
  ASSERT_TRUE(launched(3));
  paper().end(1);
  ASSERT_TRUE(launched(4));
  EXPECT_EQ(paper().launched(), (std::vector<std::string>{"a", "b", "c", "d"}));
  paper().end(2);
  paper().end(3);
  EXPECT_EQ(wait_for(started->run_id).status, "finished");
}

TEST_F(SchedulingTest, RecordsTheIntentBeforeTheProcessStarts) {
  class Checking final : public Launcher {
   public:
    explicit Checking(store::Database& db) : runs_(db) {}
    Result<std::unique_ptr<Child>> launch(const LaunchRequest& request) override {
      for (const auto& [name, value] : request.environment) {
        if (name != "KUBIYA_RUN_ID") continue;
        run_status = runs_.get(value)->status;
        const auto steps = runs_.steps(value);
        for (const auto& step : *steps) statuses += step.status + " ";
      }
      return fail(Code::invalid, "not today");
    }
    std::string run_status, statuses;

   private:
    store::Runs runs_;
  };
  auto checking = std::make_unique<Checking>(*db);
  const Checking& seen = *checking;
  launcher = std::move(checking);
  const auto done = run("steps: [{name: a, command: [x]}, {name: b, command: [x]}]");
  EXPECT_EQ(seen.run_status, "running");
  EXPECT_EQ(seen.statuses, "running not_started ");
  EXPECT_EQ(done.step("a").reason, "not today");
}

TEST_F(SchedulingTest, StartsNothingThatCannotBeRecorded) {
  options.active_runs = 1;
  const auto first = start(start_of("steps: [{name: s, command: [x, one]}]"));
  const auto second = start(start_of("steps: [{name: s, command: [x, two]}]"));
  ASSERT_TRUE(launched(1));
  EXPECT_FALSE(db->write_wait([](store::Connection& c) { return c.execute("ROLLBACK"); }));
  std::promise<std::string> told;
  const auto watch = engine().watch(second->run_id, [&](const RunEvent& event) {
    if (event.kind == RunEvent::Kind::run_finished) told.set_value(event.status);
  });
  paper().end(0);
  EXPECT_EQ(told.get_future().get(), "interrupted");
  EXPECT_EQ(paper().launched().size(), 1u);
  EXPECT_EQ(start(start_of("steps: [{name: s, command: [x]}]")).error().code, Code::unavailable);
}

}  // namespace
}  // namespace kubiya::engine
