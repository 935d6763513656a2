// SPDX-License-Identifier: Apache-2.0
#include "store/vault.h"

#include "store/sql.h"

namespace kubiya::store {
namespace {

constexpr std::string_view kSelect =
    "SELECT tenant, issuer, kind, name, version, key_id, sealed, created_ms, updated_ms FROM "
    "vault ";
constexpr std::string_view kOrder = "ORDER BY tenant, issuer, kind, name";

VaultRow read_row(const Statement& row) {
  return {row.text(0), row.text(1), row.text(2),    row.text(3),   row.integer(4),
          row.text(5), row.text(6), row.integer(7), row.integer(8)};
}

Result<std::vector<VaultRow>> read_all(Connection& connection) {
  static const std::string sql = std::string(kSelect) + std::string(kOrder);
  return rows(TRY(query(connection, sql)), read_row);
}

constexpr std::string_view kGeneration = "vault_generation";

Result<> set_one(Connection& connection, Vault::Change& wanted, const Vault::Seal& seal) {
  VaultRow& row = wanted.row;
  Statement known = TRY(query(
      connection,
      "SELECT version FROM vault WHERE tenant = ?1 AND issuer = ?2 AND kind = ?3 AND name = ?4",
      row.tenant, row.issuer, row.kind, row.name));
  row.version = (TRY(known.step()) ? known.integer(0) : 0) + 1;
  TRY_VOID(seal(row, wanted.key));
  TRY(change(connection,
             "INSERT INTO vault (tenant, issuer, kind, name, version, key_id, sealed, created_ms,"
             " updated_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8)"
             " ON CONFLICT (tenant, issuer, kind, name) DO UPDATE SET version = ?5, key_id = ?6,"
             " sealed = ?7, updated_ms = ?8",
             row.tenant, row.issuer, row.kind, row.name, row.version, row.key_id, row.sealed,
             row.updated_ms));
  return owe(connection, wanted.owed);
}

}  // namespace

Result<> grow_people(Connection& connection) {
  TRY(change(connection,
             "INSERT INTO meta (name, value) VALUES (?1, '1')"
             " ON CONFLICT (name) DO UPDATE SET value = CAST(value AS INTEGER) + 1",
             kGeneration));
  return {};
}

Result<> Vault::set(std::vector<Change> changes, const Seal& seal) {
  return db_.write_wait([&](Connection& connection) -> Result<> {
    for (Change& one : changes) TRY_VOID(set_one(connection, one, seal));
    return grow_people(connection);
  });
}

Result<> Vault::remove(const VaultRow& row, const OwedRecord& owed) {
  return db_.write_wait([&](Connection& connection) -> Result<> {
    const auto removed = TRY(
        change(connection,
               "DELETE FROM vault WHERE tenant = ?1 AND issuer = ?2 AND kind = ?3 AND name = ?4",
               row.tenant, row.issuer, row.kind, row.name));
    if (removed == 0) return fail(Code::not_found, "The vault keeps no such key.");
    TRY_VOID(grow_people(connection));
    return owe(connection, owed);
  });
}

Result<std::vector<VaultRow>> Vault::all() { return read_value(db_, read_all); }

Result<std::int64_t> Vault::generation() {
  return read_value(db_, [](Connection& connection) -> Result<std::int64_t> {
    Statement statement = TRY(
        query(connection, "SELECT CAST(value AS INTEGER) FROM meta WHERE name = ?1", kGeneration));
    return TRY(statement.step()) ? statement.integer(0) : 0;
  });
}

Result<std::vector<VaultRow>> Vault::list(std::string_view tenant,
                                          const std::optional<std::string>& issuer) {
  static const std::string sql = std::string(kSelect) +
                                 "WHERE tenant = ?1 AND (?2 IS NULL OR issuer = ?2) " +
                                 std::string(kOrder);
  return read_value(db_, [&](Connection& connection) -> Result<std::vector<VaultRow>> {
    return rows(TRY(query(connection, sql, tenant, issuer)), read_row);
  });
}

Result<std::size_t> Vault::reseal(std::string_view key_id,
                                  const std::function<Result<>(VaultRow&)>& seal,
                                  const OwedRecord& owed) {
  std::size_t count = 0;
  const Result<> written = db_.write_wait([&](Connection& connection) -> Result<> {
    for (VaultRow& row : TRY(read_all(connection))) {
      if (row.key_id == key_id) continue;
      TRY_VOID(seal(row));
      TRY(change(connection,
                 "UPDATE vault SET key_id = ?5, sealed = ?6"
                 " WHERE tenant = ?1 AND issuer = ?2 AND kind = ?3 AND name = ?4",
                 row.tenant, row.issuer, row.kind, row.name, row.key_id, row.sealed));
      ++count;
    }
    TRY_VOID(grow_people(connection));
    return owe(connection, owed);
  });
  if (!written) return fail(written.error());
  return count;
}

}  // namespace kubiya::store
