// SPDX-License-Identifier: Apache-2.0
//
// One SQLite file (WAL, synchronous=FULL). All writes go through one thread that
// gathers concurrent work into one transaction and one sync; `done` runs after the
// commit, so an acknowledged write survives power loss. Reads use their own
// connections and never block the writer. Nothing here runs on an event loop.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/result.h"

struct sqlite3;
struct sqlite3_stmt;

namespace kubiya::store {

class Connection;

// A prepared statement bound by position (1…) and read by column (0…). Goes back to
// its connection's cache when destroyed, so it must not outlive the connection.
class Statement {
 public:
  Statement() = default;
  Statement(Statement&& other) noexcept;
  Statement& operator=(Statement&& other) noexcept;
  ~Statement();
  Statement& bind(int index, std::int64_t value);
  Statement& bind(int index, std::string_view value);  // copied; any bytes, NUL included
  Statement& bind(int index, const std::string& value) {
    return bind(index, std::string_view(value));
  }
  Statement& bind(int index, const char* value) { return bind(index, std::string_view(value)); }
  Statement& bind_null(int index);
  Statement& bind(int index, const std::optional<std::string>& value);
  // True when there is a row. Errors: Code::busy, unavailable (disk), corrupt, conflict
  // (constraint).
  Result<bool> step();
  Result<> run();  // step to the end, reset
  std::int64_t integer(int column) const;
  std::string text(int column) const;
  bool is_null(int column) const;

 private:
  friend class Connection;
  void release() noexcept;
  Connection* connection_ = nullptr;
  sqlite3_stmt* statement_ = nullptr;
  int bind_error_ = 0;  // the first failure; told by the next step()
};

// One thread at a time.
class Connection {
 public:
  Connection() = default;
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  ~Connection();
  // Not for creating: the file exists. Applies the settings every connection shares.
  Result<> open(const std::string& path, bool read_only);
  Result<> execute(const char* sql);  // fixed text only
  Result<Statement> prepare(std::string_view sql);
  std::int64_t changes() const;
  sqlite3* handle() const { return db_; }

 private:
  friend class Statement;
  sqlite3* db_ = nullptr;
  std::unordered_map<std::string, sqlite3_stmt*> idle_;  // by SQL text
};

class Database {
 public:
  using Work = std::function<Result<>(Connection&)>;
  using Done = std::function<void(Result<>)>;

  // Opens or creates `path` (0600), checks integrity, applies migrations. A newer schema
  // than this program knows is refused (Code::unsupported).
  static Result<std::unique_ptr<Database>> open(const std::string& path);
  virtual ~Database() = default;

  // Any thread. `work` runs inside a savepoint of a shared transaction: its failure undoes
  // itself only. `done` runs on the writer's thread after the commit, in order of submission.
  // After a failed sync every later write fails with Code::unavailable.
  virtual void write(Work work, Done done) = 0;
  // The same, waiting. Not from an event loop, not from `done`.
  virtual Result<> write_wait(Work work) = 0;
  // Runs `query` on a read connection of this thread. Not from an event loop.
  virtual Result<> read(const std::function<Result<>(Connection&)>& query) = 0;
  // Grows when any process commits to the file; for noticing another process's writes.
  virtual std::int64_t data_version() = 0;
  virtual bool healthy() const = 0;
};

}  // namespace kubiya::store
