// SPDX-License-Identifier: Apache-2.0
//
// Who is found by what their environment says, and by whom the work directory is used.
#include "engine/leftovers.h"

#include <sched.h>

#include <csignal>

#include "engine/process_stat.h"
#include "engine/server_mark.h"
#include "engine/sweeper.h"
#include "engine/testing.h"

namespace kubiya::engine {
namespace {

TEST_F(EngineTest, KillsWhatTheLastServerOfThisDirectoryLeft) {
  const ServerIdentity now = this_server();
  ServerIdentity gone = now;
  gone.started += 1;  // the number was given to another process since
  ServerIdentity other_boot = gone;
  other_boot.boot = "another";
  const auto sleeper = [&](const std::string& mark) {
    return *launcher->launch(
        {{"sleep", "62"}, {{"PATH", "/usr/bin:/bin"}, {"KUBIYA_INSTALLATION", mark}}, "/tmp"});
  };
  const auto left = sleeper(child_mark("ours-1", gone));
  const auto others = sleeper(child_mark("ours-12", gone));
  const auto running = sleeper(child_mark("ours-1", now));
  EXPECT_EQ(kill_leftovers("ours-1", other_boot, now), 0u) << "another machine or start of it";
  EXPECT_EQ(kill_leftovers("ours-1", now, gone), 0u) << "a copy beside the original that runs";
  EXPECT_EQ(kill_leftovers("", gone, now), 0u);
  EXPECT_EQ(kill_leftovers("ours-1", gone, now), 1u);
  EXPECT_TRUE(eventually([&] { return left->reap().has_value(); }));
  for (const auto& child : {others.get(), running.get()}) {
    EXPECT_FALSE(child->reap()) << "still running";
    child->signal_group(SIGKILL);
    EXPECT_TRUE(eventually([&] { return child->reap().has_value(); }));
  }
}

// Just launched, a process may have our memory still, and what it says of the environment; or,
// within execve, none that says anything.
bool has_our_memory(const Child& child) {
  const auto stat = read_process_stat(std::to_string(child.pid()));
  return stat && stat->environment_end == read_process_stat("self")->environment_end;
}
bool has_begun(const Child& child) {
  const auto stat = read_process_stat(std::to_string(child.pid()));
  return stat && stat->environment_end != 0 && !has_our_memory(child);
}

TEST(Sweeper, LooksForManyAtOnceOnAThreadOfItsOwn) {
  const auto launcher = make_process_launcher();
  std::vector<std::unique_ptr<Child>> children;
  std::atomic<int> done{0};
  {
    Sweeper sweeper(*launcher);
    for (const char* mark : {"sweep-1", "sweep-2", "sweep-3"}) {
      const workflow::Pairs marks{{"SWEPT", mark + std::to_string(::getpid())}};
      workflow::Pairs environment{{"PATH", "/usr/bin:/bin"}};
      environment.push_back(marks.front());
      children.push_back(*launcher->launch({{"sleep", "62"}, environment, "/tmp"}));
      ASSERT_TRUE(eventually([&] { return has_begun(*children.back()); }));
      sweeper.kill(marks, [&done, caller = std::this_thread::get_id()] {
        EXPECT_NE(std::this_thread::get_id(), caller);
        ++done;
      });
    }
    sweeper.kill({}, [&done] { ++done; });
  }
  EXPECT_EQ(done, 4) << "what is asked is done before the end";
  for (const auto& child : children) {
    EXPECT_TRUE(eventually([&] { return child->reap().has_value(); }));
  }
}

// On one processor the launching thread, which execve wakes, goes on before the child has laid out
// its environment.
TEST(Marks, AreReadOfAProcessThatIsStillInExecve) {
  cpu_set_t all, one;
  ASSERT_EQ(::sched_getaffinity(0, sizeof all, &all), 0);
  CPU_ZERO(&one);
  CPU_SET(::sched_getcpu(), &one);
  ASSERT_EQ(::sched_setaffinity(0, sizeof one, &one), 0);
  const auto launcher = make_process_launcher();
  const workflow::Pairs marks{{"SWEPT", "at once" + std::to_string(::getpid())}};
  workflow::Pairs environment{{"PATH", "/usr/bin:/bin"}};
  environment.push_back(marks.front());
  std::size_t found = 0;
  for (int round = 0; round < 50; ++round) {
    const auto child = *launcher->launch({{"sleep", "62"}, environment, "/tmp"});
    EXPECT_TRUE(eventually([&] { return !has_our_memory(*child); }));
    found += kill_marked({&marks, 1});
    child->signal_group(SIGKILL);
    EXPECT_TRUE(eventually([&] { return child->reap().has_value(); }));
  }
  EXPECT_EQ(found, 50u);
  EXPECT_EQ(::sched_setaffinity(0, sizeof all, &all), 0);
}

TEST_F(EngineTest, NotesWhoUsesTheWorkDirectory) {
  engine();
  EXPECT_EQ(noted_server(options.work_directory), this_server());
  for (const char* text : {"", "x", "boot", "boot 5", "boot 0 7", "boot -1 7"}) {
    EXPECT_EQ(parse_server(text), std::nullopt) << text;
  }
}

TEST(ProcessStats, NameOneProcess) {
  const auto self = read_process_stat("self");
  ASSERT_TRUE(self);
  EXPECT_EQ(self->parent, ::getppid());
  EXPECT_EQ(self->group, ::getpgrp());
  EXPECT_GT(self->started, 0u);
  EXPECT_GT(self->environment_end, 0u);
  EXPECT_EQ(read_process_stat("0"), std::nullopt);
}

}  // namespace
}  // namespace kubiya::engine
