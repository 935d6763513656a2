// SPDX-License-Identifier: Apache-2.0
#include "store/database.h"

#include <gtest/gtest.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <future>

#include "store/sql.h"
#include "store/store.h"
#include "store/testing.h"

namespace kubiya::store {
namespace {

class DatabaseTest : public testing::Test {
 protected:
  static Database::Work put(std::string name) {
    return [name](Connection& connection) -> Result<> {
      TRY(change(connection, "INSERT INTO meta (name, value) VALUES (?1, 'v')", name));
      return {};
    };
  }

  bool holds(const std::string& name) { return Meta(*db).get(name)->has_value(); }

  TemporaryDirectory directory;
  std::string path = directory.file("state.db");
  std::unique_ptr<Database> db = *Database::open(path);
};

// Holds the writer inside one item until released, so that later items share a commit.
struct Gate {
  std::promise<void> entered, open;
  Database::Work work() {
    return [this](Connection&) -> Result<> {
      entered.set_value();
      open.get_future().wait();
      return {};
    };
  }
};

TEST_F(DatabaseTest, CreatesAPrivateFile) {
  for (const char* suffix : {"", "-wal", "-shm"}) {
    struct stat info{};
    ASSERT_EQ(stat((path + suffix).c_str(), &info), 0) << suffix;
    EXPECT_EQ(info.st_mode & 0777, 0600u) << suffix;
  }
}

TEST_F(DatabaseTest, MakesAnExistingFilePrivate) {
  db.reset();
  ASSERT_EQ(chmod(path.c_str(), 0644), 0);
  ASSERT_TRUE(Database::open(path));
  struct stat info{};
  stat(path.c_str(), &info);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
}

TEST_F(DatabaseTest, RefusesASymbolicLink) {
  const std::string link = directory.file("link.db");
  ASSERT_EQ(symlink(path.c_str(), link.c_str()), 0);
  EXPECT_EQ(Database::open(link).error().code, Code::unavailable);
}

TEST_F(DatabaseTest, IsDurableAndOrderedWithinACommit) {
  Gate gate;
  db->write(gate.work(), {});
  gate.entered.get_future().wait();
  std::vector<int> order;
  std::promise<void> last;
  for (int i = 0; i < 100; ++i) {
    db->write(put("k" + std::to_string(i)), [&, i](Result<> result) {
      EXPECT_TRUE(result);
      order.push_back(i);
      if (i == 0) {
        EXPECT_TRUE(holds("k99")) << "one commit for all, before the first answer";
      }
      if (i == 99) last.set_value();
    });
  }
  EXPECT_FALSE(holds("k0"));
  gate.open.set_value();
  last.get_future().wait();
  std::vector<int> expected(100);
  for (int i = 0; i < 100; ++i) expected[static_cast<std::size_t>(i)] = i;
  EXPECT_EQ(order, expected);
}

TEST_F(DatabaseTest, LetsGoOfACallbackWithoutAnotherWrite) {
  auto held = std::make_shared<std::promise<void>>();
  const std::weak_ptr<std::promise<void>> watched = held;
  auto called = held->get_future();
  db->write(put("a"), [held = std::move(held)](Result<>) { held->set_value(); });
  called.wait();
  for (int i = 0; i < 1000 && !watched.expired(); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  EXPECT_TRUE(watched.expired());
}

TEST_F(DatabaseTest, UndoesAFailedItemAlone) {
  Gate gate;
  db->write(gate.work(), {});
  gate.entered.get_future().wait();
  std::promise<Result<>> twice, own_error, fine;
  db->write(put("a"), {});
  db->write(
      [](Connection& c) -> Result<> {
        TRY_VOID(put("undone")(c));
        return put("a")(c);
      },
      [&](Result<> result) { twice.set_value(result); });
  db->write(
      [](Connection& c) -> Result<> {
        TRY_VOID(put("undone too")(c));
        return fail(Code::forbidden, "no");
      },
      [&](Result<> result) { own_error.set_value(result); });
  db->write(put("b"), [&](Result<> result) { fine.set_value(result); });
  gate.open.set_value();
  EXPECT_EQ(twice.get_future().get().error().code, Code::conflict);
  EXPECT_EQ(own_error.get_future().get().error().code, Code::forbidden);
  EXPECT_TRUE(fine.get_future().get());
  EXPECT_TRUE(holds("a"));
  EXPECT_TRUE(holds("b"));
  EXPECT_FALSE(holds("undone"));
  EXPECT_FALSE(holds("undone too"));
  EXPECT_TRUE(db->healthy());
}

TEST_F(DatabaseTest, StopsForGoodWhenATransactionIsLost) {
  const auto lost = db->write_wait([](Connection& c) { return c.execute("ROLLBACK"); });
  EXPECT_EQ(lost.error().code, Code::unavailable);
  EXPECT_FALSE(db->healthy());
  EXPECT_EQ(db->write_wait(put("a")).error().code, Code::unavailable);
  EXPECT_FALSE(holds("a")) << "reading goes on";
}

TEST_F(DatabaseTest, StopsForGoodWhenTheCommitFails) {
  ASSERT_TRUE(db->write_wait(put("before")));
  // A deferred foreign key violation is found by COMMIT only.
  const auto failed = db->write_wait([](Connection& c) -> Result<> {
    TRY_VOID(c.execute("PRAGMA defer_foreign_keys = ON"));
    return c.execute(
        "INSERT INTO logs (run_id, step, attempt, stream, time_ms, text)"
        " VALUES ('none', '', 1, 'stdout', 0, '')");
  });
  EXPECT_EQ(failed.error().code, Code::unavailable);
  EXPECT_FALSE(db->healthy());
  EXPECT_EQ(db->write_wait(put("after")).error().code, Code::unavailable);
  EXPECT_TRUE(holds("before"));
  EXPECT_FALSE(holds("after"));
}

// No file of this process may grow beyond this while one exists.
class FileLimit {
 public:
  explicit FileLimit(rlim_t bytes) : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    struct rlimit limit = before_;
    limit.rlim_cur = bytes;
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileLimit() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }

 private:
  void (*handler_)(int);
  struct rlimit before_{};
};

TEST_F(DatabaseTest, SaysWhenTheLogCannotBeFoldedIn) {
  constexpr std::int64_t kMiB = 1024 * 1024;
  const auto fill = [](std::int64_t bytes) {
    return [bytes](Connection& c) -> Result<> {
      Statement insert =
          TRY(c.prepare("INSERT INTO meta VALUES (hex(randomblob(8)), hex(zeroblob(?1)))"));
      insert.bind(1, bytes / 2);
      return insert.run();
    };
  };
  const auto log_size = [&] { return std::filesystem::file_size(path + "-wal"); };
  ASSERT_TRUE(db->write_wait(fill(12 * kMiB)));
  ASSERT_TRUE(db->write_wait(put("folded in by now")));
  std::string said;
  {
    const FileLimit limit(std::filesystem::file_size(path));
    testing::internal::CaptureStderr();
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(db->write_wait(fill(3 * kMiB)));
    EXPECT_TRUE(db->write_wait(put("acknowledged")));
    said = testing::internal::GetCapturedStderr();
  }
  EXPECT_NE(said.find("could not be folded"), said.npos) << said;
  EXPECT_TRUE(db->healthy());
  EXPECT_TRUE(holds("acknowledged"));
  const auto before = log_size();
  for (int i = 0; i < 8; ++i) EXPECT_TRUE(db->write_wait(fill(3 * kMiB)));
  EXPECT_LT(log_size(), before + 16 * kMiB) << "it is folded in when that works again";
}

TEST_F(DatabaseTest, EnforcesForeignKeysAndTypes) {
  EXPECT_EQ(db->write_wait([](Connection& c) {
                return c.execute(
                    "INSERT INTO logs (run_id, step, attempt, stream, time_ms, text)"
                    " VALUES ('none', '', 1, 'stdout', 0, '')");
              })
                .error()
                .code,
            Code::conflict);
  EXPECT_EQ(db->write_wait([](Connection& c) {
                return c.execute("INSERT INTO meta (name, value) VALUES ('n', x'00')");
              })
                .error()
                .code,
            Code::conflict);
}

TEST_F(DatabaseTest, ReadsCannotWrite) {
  const auto result =
      db->read([](Connection& c) { return c.execute("INSERT INTO meta VALUES ('a', 'b')"); });
  EXPECT_EQ(result.error().code, Code::unavailable);
}

TEST_F(DatabaseTest, ReadsSeeOneSnapshot) {
  const auto result = db->read([&](Connection& c) -> Result<> {
    const auto count = [&c]() -> Result<std::int64_t> {
      auto statement = TRY(query(c, "SELECT count(*) FROM meta"));
      TRY(statement.step());
      return statement.integer(0);
    };
    const auto before = TRY(count());
    EXPECT_TRUE(db->write_wait(put("meanwhile")));
    EXPECT_EQ(TRY(count()), before);
    return {};
  });
  EXPECT_TRUE(result);
  EXPECT_TRUE(holds("meanwhile"));
}

TEST_F(DatabaseTest, SurvivesReopening) {
  ASSERT_TRUE(db->write_wait(put("kept")));
  db.reset();
  db = *Database::open(path);
  EXPECT_TRUE(holds("kept"));
}

TEST_F(DatabaseTest, FinishesQueuedWritesWhenClosed) {
  int done = 0;
  for (int i = 0; i < 50; ++i) {
    db->write(put("k" + std::to_string(i)), [&](Result<> result) { done += result ? 1 : 0; });
  }
  db.reset();
  EXPECT_EQ(done, 50);
}

TEST_F(DatabaseTest, RefusesANewerSchema) {
  ASSERT_TRUE(db->write_wait([](Connection& c) { return c.execute("PRAGMA user_version = 99"); }));
  db.reset();
  const auto opened = Database::open(path);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, Code::unsupported);
  EXPECT_NE(opened.error().message.find("99"), std::string::npos);
}

TEST_F(DatabaseTest, RefusesAnotherProgramsFile) {
  ASSERT_TRUE(db->write_wait([](Connection& c) { return c.execute("PRAGMA application_id = 1"); }));
  db.reset();
  EXPECT_EQ(Database::open(path).error().code, Code::unsupported);
}

TEST_F(DatabaseTest, RefusesADamagedFile) {
  for (int i = 0; i < 500; ++i) {
    db->write(put("some longer name to fill pages " + std::to_string(i)), {});
  }
  db.reset();
  const std::string good = [&] {
    std::ifstream in(path, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(in), {});
  }();
  ASSERT_GT(good.size(), 3 * 4096u);
  struct Row {
    const char* name;
    std::function<void(std::string&)> damage;
  };
  for (const Row& row :
       {Row{"header", [](std::string& bytes) { bytes.replace(0, 16, 16, 'x'); }},
        Row{"every page but the first",
            [](std::string& bytes) {
              bytes.replace(4096, bytes.size() - 4096, bytes.size() - 4096, '\xA5');
            }},
        Row{"truncated", [](std::string& bytes) { bytes.resize(bytes.size() - 4096); }},
        Row{"not a database", [](std::string& bytes) { bytes.assign(10000, 'z'); }}}) {
    std::string bytes = good;
    row.damage(bytes);
    const std::string damaged = directory.file("damaged.db");
    std::ofstream(damaged, std::ios::binary | std::ios::trunc) << bytes;
    const auto opened = Database::open(damaged);
    ASSERT_FALSE(opened) << row.name;
    EXPECT_EQ(opened.error().code, Code::corrupt) << row.name;
  }
}

TEST_F(DatabaseTest, ReportsAnUnusablePath) {
  EXPECT_EQ(Database::open(directory.file("no/such/directory.db")).error().code, Code::unavailable);
  EXPECT_EQ(Database::open(directory.path()).error().code, Code::unavailable);
}

// The part of another process: this program started anew, because a forked child may not touch
// the locks that the parent's threads held, nor SQLite's connections.
constexpr const char* kOtherProcessFile = "KUBIYA_TEST_DATABASE";

TEST(OtherProcess, DISABLED_Writes) {
  const char* file = std::getenv(kOtherProcessFile);
  if (file == nullptr) GTEST_SKIP() << "started by NoticesWritesOfAnotherProcess only";
  ASSERT_TRUE((*Database::open(file))->write_wait([](Connection& connection) {
    return connection.execute("INSERT INTO meta (name, value) VALUES ('from the child', 'v')");
  }));
}

int run_other_process(const std::string& file) {
  std::string setting = std::string(kOtherProcessFile) + "=" + file;
  std::string name = "store_test", filter = "--gtest_filter=OtherProcess.*",
              disabled = "--gtest_also_run_disabled_tests";
  char* const arguments[] = {name.data(), filter.data(), disabled.data(), nullptr};
  char* const environment[] = {setting.data(), nullptr};
  pid_t child = 0;
  int status = posix_spawn(&child, "/proc/self/exe", nullptr, nullptr, arguments, environment);
  if (status == 0 && waitpid(child, &status, 0) != child) status = -1;
  return status;
}

TEST_F(DatabaseTest, NoticesWritesOfAnotherProcess) {
  const auto before = db->data_version();
  EXPECT_EQ(db->data_version(), before);
  ASSERT_EQ(run_other_process(path), 0);
  EXPECT_GT(db->data_version(), before);
  EXPECT_TRUE(holds("from the child"));
  ASSERT_TRUE(db->write_wait(put("from the parent")));
}

TEST_F(DatabaseTest, WaitsForAnotherProcessThatHoldsTheLock) {
  Connection other;
  ASSERT_TRUE(other.open(path, false));
  ASSERT_TRUE(other.execute("BEGIN IMMEDIATE"));
  std::promise<Result<>> promise;
  auto written = promise.get_future();
  db->write(put("a"), [&](Result<> result) { promise.set_value(std::move(result)); });
  // Longer than SQLite itself waits.
  EXPECT_EQ(written.wait_for(std::chrono::milliseconds(2'500)), std::future_status::timeout);
  ASSERT_TRUE(other.execute("COMMIT"));
  EXPECT_TRUE(written.get());
  EXPECT_TRUE(db->healthy());
}

TEST_F(DatabaseTest, SaysBusyWhenTheLockIsStillHeldAtTheEnd) {
  Connection other;
  ASSERT_TRUE(other.open(path, false));
  ASSERT_TRUE(other.execute("BEGIN IMMEDIATE"));
  std::promise<Result<>> promise;
  db->write(put("a"), [&](Result<> result) { promise.set_value(std::move(result)); });
  db.reset();
  EXPECT_EQ(promise.get_future().get().error().code, Code::busy);
}

TEST_F(DatabaseTest, ServesManyThreads) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 20; ++i) {
        const auto name = std::to_string(t) + "/" + std::to_string(i);
        EXPECT_TRUE(db->write_wait(put(name)));
        EXPECT_TRUE(holds(name));
      }
    });
  }
  for (auto& thread : threads) thread.join();
}

}  // namespace
}  // namespace kubiya::store
