// SPDX-License-Identifier: Apache-2.0
//
// Small helpers of this module's own sources.
#pragma once

#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "store/database.h"
#include "store/records.h"

namespace kubiya::store {

// What SQLite's `result` means to us. `db` may be null.
tl::unexpected<Error> sqlite_failure(sqlite3* db, int result);

// Prepares `sql` and binds `values` from position 1 on.
template <class... Values>
Result<Statement> query(Connection& connection, std::string_view sql, const Values&... values) {
  Statement statement = TRY(connection.prepare(sql));
  int index = 0;
  (statement.bind(++index, values), ...);
  return statement;
}

// The same for a statement without rows. Returns how many rows it changed.
template <class... Values>
Result<std::int64_t> change(Connection& connection, std::string_view sql, const Values&... values) {
  Statement statement = TRY(query(connection, sql, values...));
  TRY_VOID(statement.run());
  return connection.changes();
}

// Every row of `statement` through `read`.
template <class Row>
Result<std::vector<Row>> rows(Statement statement, Row (*read)(const Statement&)) {
  std::vector<Row> all;
  while (TRY(statement.step())) all.push_back(read(statement));
  return all;
}

// The rows that fit, and whether the statement, which must ask for one row more, had another.
template <class Row>
Result<Page<Row>> page(Statement statement, Row (*read)(const Statement&), PageLimit limit,
                       std::size_t (*size)(const Row&)) {
  Page<Row> page;
  std::size_t left = limit.bytes;
  while (TRY(statement.step())) {
    Row row = read(statement);
    const std::size_t bytes = size(row);
    page.more = page.rows.size() == static_cast<std::size_t>(limit.rows) ||
                (bytes > left && !page.rows.empty());
    if (page.more) break;
    left -= std::min(bytes, left);
    page.rows.push_back(std::move(row));
  }
  return page;
}

// The value of a read, out of the callback that `Database::read` wants.
template <class Query>
auto read_value(Database& db, Query&& ask) -> decltype(ask(std::declval<Connection&>())) {
  using Answer = decltype(ask(std::declval<Connection&>()));
  std::optional<Answer> answer;
  const Result<> read = db.read([&](Connection& connection) -> Result<> {
    answer.emplace(ask(connection));
    if (!*answer) return fail(answer->error());
    return {};
  });
  if (!read) return fail(read.error());
  return std::move(*answer);
}

}  // namespace kubiya::store
