// SPDX-License-Identifier: Apache-2.0
#include "store/database.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <future>
#include <mutex>

#include "store/schema.h"
#include "store/sql.h"
#include "store/writer.h"

namespace kubiya::store {
namespace {

constexpr std::size_t kIdleReaders = 8;

Result<> refuse_file(const std::string& path, const char* why) {
  return fail(Code::unavailable, std::string("The database file ") + why + ".", path);
}

// SQLite would create it with the process's umask; ours is private from its first moment. An
// existing file is not opened here: closing any descriptor of it would drop the locks of other
// connections of this process (POSIX advisory locks).
Result<> make_private_file(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd >= 0) {
    ::close(fd);
    return {};
  }
  if (errno != EEXIST) return refuse_file(path, std::strerror(errno));
  struct stat info{};
  if (::lstat(path.c_str(), &info) != 0) return refuse_file(path, std::strerror(errno));
  if (!S_ISREG(info.st_mode)) return refuse_file(path, "is not a regular file");
  if ((info.st_mode & 0777) != 0600 && ::chmod(path.c_str(), 0600) != 0) {
    return refuse_file(path, "cannot be made private");
  }
  return {};
}

Result<> check_integrity(Connection& connection) {
  Statement statement = TRY(query(connection, "PRAGMA quick_check(1)"));
  TRY(statement.step());
  const std::string verdict = statement.text(0);
  if (verdict == "ok") return {};
  return fail(Code::corrupt, "The database file is damaged. Restore it from a backup.", verdict);
}

Result<> prepare_file(const std::string& path, Connection& writer) {
  TRY_VOID(make_private_file(path));
  TRY_VOID(writer.open(path, false));
  Statement mode = TRY(query(writer, "PRAGMA journal_mode = WAL"));
  TRY(mode.step());
  if (mode.text(0) != "wal") return refuse_file(path, "lies where SQLite's WAL does not work");
  mode = Statement();
  TRY_VOID(check_integrity(writer));
  return migrate(writer);
}

class DatabaseImpl final : public Database {
 public:
  DatabaseImpl(std::string path, std::unique_ptr<Connection> writer)
      : path_(std::move(path)), writer_(std::move(writer)) {}

  // `done` callbacks may read, so the writer's thread ends before the readers go; its connection
  // closes last, because only a connection that may write can fold the WAL into the file.
  ~DatabaseImpl() override { writer_.stop(); }

  Result<> open_watch() { return watch_.open(path_, true); }

  void write(Work work, Done done) override { writer_.add(std::move(work), std::move(done)); }

  Result<> write_wait(Work work) override {
    ASSERT(!writer_.is_current_thread(), "the writer cannot wait for itself");
    std::promise<Result<>> promise;
    writer_.add(std::move(work),
                [&promise](Result<> result) { promise.set_value(std::move(result)); });
    return promise.get_future().get();
  }

  Result<> read(const std::function<Result<>(Connection&)>& query) override {
    std::unique_ptr<Connection> connection = TRY(take_reader());
    // One snapshot for all statements of the query.
    Result<> result = connection->execute("BEGIN");
    if (!result) return result;
    result = query(*connection);
    if (const auto end = connection->execute("COMMIT"); !end) return result ? end : result;
    give_back(std::move(connection));
    return result;
  }

  std::int64_t data_version() override {
    const std::lock_guard lock(watch_mutex_);
    auto statement = query(watch_, "PRAGMA data_version");
    if (statement && statement->step().value_or(false)) data_version_ = statement->integer(0);
    return data_version_;
  }

  bool healthy() const override { return writer_.healthy(); }

 private:
  Result<std::unique_ptr<Connection>> take_reader() {
    {
      const std::lock_guard lock(readers_mutex_);
      if (!readers_.empty()) {
        auto reader = std::move(readers_.back());
        readers_.pop_back();
        return reader;
      }
    }
    auto reader = std::make_unique<Connection>();
    TRY_VOID(reader->open(path_, true));
    return reader;
  }

  void give_back(std::unique_ptr<Connection> reader) {
    const std::lock_guard lock(readers_mutex_);
    if (readers_.size() < kIdleReaders) readers_.push_back(std::move(reader));
  }

  const std::string path_;
  Writer writer_;
  std::mutex readers_mutex_;
  std::vector<std::unique_ptr<Connection>> readers_;
  std::mutex watch_mutex_;
  Connection watch_;
  std::int64_t data_version_ = 0;
};

}  // namespace

Result<std::unique_ptr<Database>> Database::open(const std::string& path) {
  auto writer = std::make_unique<Connection>();
  TRY_VOID(prepare_file(path, *writer));
  auto database = std::make_unique<DatabaseImpl>(path, std::move(writer));
  TRY_VOID(database->open_watch());
  return database;
}

}  // namespace kubiya::store
