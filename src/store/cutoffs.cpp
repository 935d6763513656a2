// SPDX-License-Identifier: Apache-2.0
#include "store/cutoffs.h"

#include "store/sql.h"
#include "store/vault.h"

namespace kubiya::store {
namespace {

Result<std::vector<std::string>> revoke_keys(Connection& connection, const CutoffRow& row,
                                             const std::vector<std::string>& issuers) {
  std::vector<std::string> ids;
  for (const std::string& issuer : issuers) {
    Statement found = TRY(query(
        connection,
        "UPDATE keys SET revoked_ms = ?1, revoked_by = 'cut_off' WHERE issuer = ?2 AND owner = ?3"
        " AND revoked_ms = 0 RETURNING id",
        row.since_ms, issuer, row.subject));
    for (std::string& id :
         TRY(rows<std::string>(std::move(found), [](const Statement& at) { return at.text(0); }))) {
      ids.push_back(std::move(id));
    }
  }
  return ids;
}

}  // namespace

Result<std::vector<std::string>> Cutoffs::cut(const CutoffRow& row,
                                              const std::vector<std::string>& key_issuers,
                                              const MakeOwed& owed) {
  std::vector<std::string> ids;
  const Result<> written = db_.write_wait([&](Connection& connection) -> Result<> {
    TRY(change(connection,
               "INSERT INTO cutoffs (issuer, subject, since_ms, lifted_ms, reason)"
               " VALUES (?1, ?2, ?3, 0, ?4)"
               " ON CONFLICT (issuer, subject) DO UPDATE SET since_ms = ?3, lifted_ms = 0,"
               " reason = ?4",
               row.issuer, row.subject, row.since_ms, row.reason));
    ids = TRY(revoke_keys(connection, row, key_issuers));
    TRY_VOID(grow_people(connection));
    return owe(connection, owed(ids));
  });
  if (!written) return fail(written.error());
  return ids;
}

Result<> Cutoffs::lift(std::string_view issuer, std::string_view subject, std::int64_t now_ms,
                       const OwedRecord& owed) {
  return db_.write_wait([&](Connection& connection) -> Result<> {
    const auto lifted =
        TRY(change(connection,
                   "UPDATE cutoffs SET lifted_ms = ?3 WHERE issuer = ?1 AND subject = ?2 AND"
                   " lifted_ms = 0",
                   issuer, subject, now_ms));
    if (lifted == 0) return fail(Code::not_found, "This person is not cut off.");
    TRY_VOID(grow_people(connection));
    return owe(connection, owed);
  });
}

Result<std::vector<CutoffRow>> Cutoffs::all() {
  return read_value(db_, [](Connection& connection) -> Result<std::vector<CutoffRow>> {
    return rows<CutoffRow>(
        TRY(query(connection,
                  "SELECT issuer, subject, since_ms, lifted_ms, reason FROM cutoffs"
                  " ORDER BY issuer, subject")),
        [](const Statement& row) {
          return CutoffRow{row.text(0), row.text(1), row.integer(2), row.integer(3), row.text(4)};
        });
  });
}

}  // namespace kubiya::store
