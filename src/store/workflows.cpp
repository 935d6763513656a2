// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "store/sql.h"
#include "store/store.h"

namespace kubiya::store {
namespace {

constexpr int kPageMax = 1000;
constexpr std::size_t kRowBytes = 256;  // names, times and digests

// The order of read_workflow(). `text`: a column, or a word for none.
std::string select_workflows(std::string_view text, std::string_view rest) {
  return "SELECT tenant, name, description, " + std::string(text) +
         ", digest, created_by, created_ms, updated_ms, version FROM workflows WHERE tenant = ?1"
         " AND " +
         std::string(rest);
}

WorkflowRow read_workflow(const Statement& row) {
  return {row.text(0), row.text(1),    row.text(2),    row.text(3),   row.text(4),
          row.text(5), row.integer(6), row.integer(7), row.integer(8)};
}

std::size_t size_of(const WorkflowRow& row) { return kRowBytes + row.description.size(); }

Error unknown_workflow() { return {Code::not_found, "There is no workflow of that name.", {}}; }

Result<WorkflowRow> get_workflow(Connection& connection, std::string_view tenant,
                                 std::string_view name) {
  static const std::string sql = select_workflows("text", "name = ?2");
  Statement statement = TRY(query(connection, sql, tenant, name));
  if (!TRY(statement.step())) return fail(unknown_workflow());
  return read_workflow(statement);
}

}  // namespace

Result<Page<WorkflowRow>> Workflows::list(std::string_view tenant, std::string_view after,
                                          PageLimit limit) {
  static const std::string sql = select_workflows("''", "name > ?2 ORDER BY name LIMIT ?3");
  limit.rows = std::clamp(limit.rows, 1, kPageMax);
  return read_value(db_, [&](Connection& connection) -> Result<Page<WorkflowRow>> {
    return page(TRY(query(connection, sql, tenant, after, std::int64_t{limit.rows} + 1)),
                read_workflow, limit, size_of);
  });
}

Result<WorkflowRow> Workflows::get(std::string_view tenant, std::string_view name) {
  return read_value(db_, [&](Connection& c) { return get_workflow(c, tenant, name); });
}

Result<std::vector<WorkflowRow>> Workflows::mentioning(std::string_view word,
                                                       const std::optional<std::string>& tenant) {
  return read_value(db_, [&](Connection& connection) -> Result<std::vector<WorkflowRow>> {
    Statement statement =
        TRY(query(connection,
                  "SELECT tenant, name, description, text, digest, created_by, created_ms, "
                  "updated_ms, version"
                  " FROM workflows WHERE instr(text, ?1) > 0 AND (?2 IS NULL OR tenant = ?2)"
                  " ORDER BY tenant, name",
                  word, tenant));
    std::vector<WorkflowRow> rows;
    while (TRY(statement.step())) rows.push_back(read_workflow(statement));
    return rows;
  });
}

Result<> Workflows::create(const WorkflowRow& row) {
  return db_.write_wait([&row](Connection& connection) -> Result<> {
    const auto inserted = change(
        connection,
        "INSERT INTO workflows (tenant, name, description, text, digest, created_by, created_ms,"
        " updated_ms, version) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 1)",
        row.tenant, row.name, row.description, row.text, row.digest, row.created_by, row.created_ms,
        row.updated_ms);
    if (inserted) return {};
    if (inserted.error().code != Code::conflict) return fail(inserted.error());
    return fail(Code::conflict,
                "A workflow of that name exists. Update it, or choose another name.");
  });
}

Result<WorkflowRow> Workflows::update(const WorkflowRow& row, std::int64_t expected_version) {
  WorkflowRow updated;
  const auto written = db_.write_wait([&](Connection& connection) -> Result<> {
    const auto stored = TRY(get_workflow(connection, row.tenant, row.name));
    if (expected_version != 0 && stored.version != expected_version) {
      return fail(Code::conflict, "The workflow was changed meanwhile. Read it again.");
    }
    TRY(change(connection,
               "UPDATE workflows SET description = ?3, text = ?4, digest = ?5, updated_ms = ?6,"
               " version = version + 1 WHERE tenant = ?1 AND name = ?2",
               row.tenant, row.name, row.description, row.text, row.digest, row.updated_ms));
    updated = TRY(get_workflow(connection, row.tenant, row.name));
    return {};
  });
  if (!written) return fail(written.error());
  return updated;
}

Result<> Workflows::remove(std::string_view tenant, std::string_view name) {
  return db_.write_wait([&](Connection& connection) -> Result<> {
    const auto removed = TRY(
        change(connection, "DELETE FROM workflows WHERE tenant = ?1 AND name = ?2", tenant, name));
    if (removed == 0) return fail(unknown_workflow());
    return {};
  });
}

}  // namespace kubiya::store
