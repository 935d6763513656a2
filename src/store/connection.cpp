// SPDX-License-Identifier: Apache-2.0
#include <sqlite3.h>

#include "store/database.h"
#include "store/sql.h"

namespace kubiya::store {
namespace {

// Settings of every connection. trusted_schema and the defensive flag keep a tampered file
// from running functions of ours; cell_size_check finds damage before it is followed.
constexpr const char* kSettings =
    "PRAGMA busy_timeout = 2000;"
    "PRAGMA foreign_keys = ON;"
    "PRAGMA trusted_schema = OFF;"
    "PRAGMA cell_size_check = ON;"
    "PRAGMA synchronous = FULL;";

Code code_of(int result) {
  switch (result & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return Code::busy;
    case SQLITE_CONSTRAINT:
      return Code::conflict;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return Code::corrupt;
    case SQLITE_TOOBIG:
      return Code::too_large;
    case SQLITE_FULL:
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
    case SQLITE_PERM:
      return Code::unavailable;
    default:
      return Code::internal;
  }
}

const char* message_of(Code code) {
  switch (code) {
    case Code::busy:
      return "The database is busy. Try again.";
    case Code::conflict:
      return "This clashes with what is already stored.";
    case Code::corrupt:
      return "The database file is damaged. Restore it from a backup.";
    case Code::too_large:
      return "The value is too large to be stored.";
    case Code::unavailable:
      return "The database cannot be read or written. Check its disk.";
    default:
      return "The database refused the statement.";
  }
}

}  // namespace

tl::unexpected<Error> sqlite_failure(sqlite3* db, int result) {
  const Code code = code_of(result);
  std::string detail = sqlite3_errstr(result);
  if (db != nullptr) detail += std::string(": ") + sqlite3_errmsg(db);
  return fail(code, message_of(code), std::move(detail));
}

Statement::Statement(Statement&& other) noexcept { *this = std::move(other); }

Statement& Statement::operator=(Statement&& other) noexcept {
  if (this == &other) return *this;
  release();
  connection_ = std::exchange(other.connection_, nullptr);
  statement_ = std::exchange(other.statement_, nullptr);
  bind_error_ = std::exchange(other.bind_error_, 0);
  return *this;
}

Statement::~Statement() { release(); }

void Statement::release() noexcept {
  if (statement_ == nullptr) return;
  sqlite3_reset(statement_);
  sqlite3_clear_bindings(statement_);
  const auto [place, stored] = connection_->idle_.try_emplace(sqlite3_sql(statement_), statement_);
  if (!stored) sqlite3_finalize(statement_);
  statement_ = nullptr;
}

Statement& Statement::bind(int index, std::int64_t value) {
  const int result = sqlite3_bind_int64(statement_, index, value);
  if (bind_error_ == SQLITE_OK) bind_error_ = result;
  return *this;
}

Statement& Statement::bind(int index, std::string_view value) {
  const char* data = value.data() == nullptr ? "" : value.data();
  const int result =
      sqlite3_bind_text64(statement_, index, data, value.size(), SQLITE_TRANSIENT, SQLITE_UTF8);
  if (bind_error_ == SQLITE_OK) bind_error_ = result;
  return *this;
}

Statement& Statement::bind_null(int index) {
  const int result = sqlite3_bind_null(statement_, index);
  if (bind_error_ == SQLITE_OK) bind_error_ = result;
  return *this;
}

Statement& Statement::bind(int index, const std::optional<std::string>& value) {
  return value ? bind(index, std::string_view(*value)) : bind_null(index);
}

Result<bool> Statement::step() {
  if (bind_error_ != SQLITE_OK) return sqlite_failure(connection_->handle(), bind_error_);
  const int result = sqlite3_step(statement_);
  if (result == SQLITE_ROW) return true;
  if (result == SQLITE_DONE) return false;
  return sqlite_failure(connection_->handle(), result);
}

Result<> Statement::run() {
  while (TRY(step())) {
  }
  sqlite3_reset(statement_);
  return {};
}

std::int64_t Statement::integer(int column) const {
  return sqlite3_column_int64(statement_, column);
}

std::string Statement::text(int column) const {
  const auto* data = reinterpret_cast<const char*>(sqlite3_column_text(statement_, column));
  if (data == nullptr) return {};
  return {data, static_cast<std::size_t>(sqlite3_column_bytes(statement_, column))};
}

bool Statement::is_null(int column) const {
  return sqlite3_column_type(statement_, column) == SQLITE_NULL;
}

Connection::~Connection() {
  for (const auto& [sql, statement] : idle_) sqlite3_finalize(statement);
  const int result = sqlite3_close(db_);
  ASSERT(result == SQLITE_OK, "a statement outlives its connection");
}

Result<> Connection::open(const std::string& path, bool read_only) {
  ASSERT(db_ == nullptr, "opened once");
  const int access = read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE;
  const int result = sqlite3_open_v2(path.c_str(), &db_,
                                     access | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, nullptr);
  if (result != SQLITE_OK) return sqlite_failure(db_, result);
  sqlite3_db_config(db_, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  return execute(kSettings);
}

Result<> Connection::execute(const char* sql) {
  const int result = sqlite3_exec(db_, sql, nullptr, nullptr, nullptr);
  if (result != SQLITE_OK) return sqlite_failure(db_, result);
  return {};
}

Result<Statement> Connection::prepare(std::string_view sql) {
  Statement statement;
  statement.connection_ = this;
  if (auto idle = idle_.extract(std::string(sql))) {
    statement.statement_ = idle.mapped();
    return statement;
  }
  const int result = sqlite3_prepare_v3(db_, sql.data(), static_cast<int>(sql.size()),
                                        SQLITE_PREPARE_PERSISTENT, &statement.statement_, nullptr);
  if (result != SQLITE_OK) return sqlite_failure(db_, result);
  return statement;
}

std::int64_t Connection::changes() const { return sqlite3_changes64(db_); }

}  // namespace kubiya::store
