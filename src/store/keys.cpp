// SPDX-License-Identifier: Apache-2.0
#include "store/sql.h"
#include "store/store.h"

namespace kubiya::store {
namespace {

constexpr std::string_view kSelect =
    "SELECT id, digest, tenant, owner, name, scopes, hint, created_ms, expires_ms, revoked_ms,"
    " last_used_ms, recorded, issuer, labels, made_by, replaces, promoted_ms, retires_ms,"
    " revoked_by FROM keys ";

KeyRow read_key(const Statement& row) {
  return {row.text(0),    row.text(1),     row.text(2),
          row.text(3),    row.text(4),     row.text(5),
          row.text(6),    row.integer(7),  row.integer(8),
          row.integer(9), row.integer(10), static_cast<KeyRow::Recorded>(row.integer(11)),
          row.text(12),   row.text(13),    row.text(14),
          row.text(15),   row.integer(16), row.integer(17),
          row.text(18)};
}

Error unknown_key() { return {Code::not_found, "There is no key of that id.", {}}; }

}  // namespace

Result<> Keys::insert(Connection& connection, const KeyRow& row) {
  TRY(change(connection,
             "INSERT INTO keys (id, digest, tenant, owner, name, scopes, hint, created_ms,"
             " expires_ms, revoked_ms, last_used_ms, issuer, labels, made_by, replaces,"
             " promoted_ms, retires_ms, revoked_by)"
             " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16,"
             " ?17, ?18)",
             row.id, row.digest, row.tenant, row.owner, row.name, row.scopes, row.hint,
             row.created_ms, row.expires_ms, row.revoked_ms, row.last_used_ms, row.issuer,
             row.labels, row.made_by, row.replaces, row.promoted_ms, row.retires_ms,
             row.revoked_by));
  return {};
}

Result<> Keys::create(const KeyRow& row) {
  return db_.write_wait([&row](Connection& connection) { return insert(connection, row); });
}

Result<std::vector<KeyRow>> Keys::list(const KeyFilter& filter) {
  static const std::string sql =
      std::string(kSelect) +
      "WHERE tenant = ?1 AND (?2 IS NULL OR issuer = ?2) AND (?3 IS NULL OR owner = ?3)"
      " ORDER BY created_ms, id";
  return read_value(db_, [&](Connection& connection) -> Result<std::vector<KeyRow>> {
    return rows(TRY(query(connection, sql, filter.tenant, filter.issuer, filter.owner)), read_key);
  });
}

Result<std::vector<KeyRow>> Keys::all() {
  static const std::string sql = std::string(kSelect) + "ORDER BY id";
  return read_value(db_, [](Connection& connection) -> Result<std::vector<KeyRow>> {
    return rows(TRY(query(connection, sql)), read_key);
  });
}

Result<KeyRow> Keys::get(std::string_view id) {
  static const std::string sql = std::string(kSelect) + "WHERE id = ?1";
  return read_value(db_, [&](Connection& connection) -> Result<KeyRow> {
    Statement statement = TRY(query(connection, sql, id));
    if (!TRY(statement.step())) return fail(unknown_key());
    return read_key(statement);
  });
}

Result<KeyRow> Keys::find(std::string_view id, const KeyFilter& filter) {
  static const std::string sql = std::string(kSelect) +
                                 "WHERE id = ?1 AND tenant = ?2 AND (?3 IS NULL OR issuer = ?3)"
                                 " AND (?4 IS NULL OR owner = ?4)";
  return read_value(db_, [&](Connection& connection) -> Result<KeyRow> {
    Statement statement =
        TRY(query(connection, sql, id, filter.tenant, filter.issuer, filter.owner));
    if (!TRY(statement.step())) return fail(unknown_key());
    return read_key(statement);
  });
}

Result<std::optional<KeyRow>> Keys::successor(std::string_view id) {
  static const std::string sql = std::string(kSelect) + "WHERE replaces = ?1 AND revoked_ms = 0";
  return read_value(db_, [&](Connection& connection) -> Result<std::optional<KeyRow>> {
    Statement statement = TRY(query(connection, sql, id));
    if (!TRY(statement.step())) return std::nullopt;
    return std::optional(read_key(statement));
  });
}

// Revoking twice keeps the first time.
Result<> Keys::revoke(std::string_view id, std::int64_t now_ms, std::string_view by) {
  return db_.write_wait([&](Connection& connection) -> Result<> {
    const auto revoked = TRY(
        change(connection,
               "UPDATE keys SET revoked_by = CASE revoked_ms WHEN 0 THEN ?3 ELSE revoked_by END,"
               " revoked_ms = CASE revoked_ms WHEN 0 THEN ?2 ELSE revoked_ms END"
               " WHERE id = ?1",
               id, now_ms, by));
    if (revoked == 0) return fail(unknown_key());
    return {};
  });
}

void Keys::set_recorded(std::string id, KeyRow::Recorded recorded) {
  db_.write(
      [id = std::move(id), recorded](Connection& connection) -> Result<> {
        TRY(change(connection, "UPDATE keys SET recorded = max(recorded, ?2) WHERE id = ?1", id,
                   static_cast<std::int64_t>(recorded)));
        return {};
      },
      {});
}

Result<std::optional<std::string>> Meta::get(std::string_view name) {
  return read_value(db_, [&](Connection& connection) -> Result<std::optional<std::string>> {
    Statement statement = TRY(query(connection, "SELECT value FROM meta WHERE name = ?1", name));
    if (!TRY(statement.step())) return std::nullopt;
    return std::optional(statement.text(0));
  });
}

Result<> Meta::set(std::string_view name, std::string_view value) {
  return db_.write_wait([&](Connection& connection) -> Result<> {
    TRY(change(connection,
               "INSERT INTO meta (name, value) VALUES (?1, ?2)"
               " ON CONFLICT (name) DO UPDATE SET value = ?2",
               name, value));
    return {};
  });
}

}  // namespace kubiya::store
