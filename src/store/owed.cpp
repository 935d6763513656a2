// SPDX-License-Identifier: Apache-2.0
#include "store/owed.h"

#include "store/sql.h"

namespace kubiya::store {

Result<> owe(Connection& connection, const OwedRecord& record) {
  TRY(change(connection, "INSERT INTO owed_records (event, fields) VALUES (?1, ?2)", record.event,
             record.fields));
  return {};
}

Result<std::vector<OwedRecord>> Owed::all() {
  return read_value(db_, [](Connection& connection) -> Result<std::vector<OwedRecord>> {
    return rows<OwedRecord>(
        TRY(query(connection, "SELECT id, event, fields FROM owed_records ORDER BY id")),
        [](const Statement& row) { return OwedRecord{row.integer(0), row.text(1), row.text(2)}; });
  });
}

void Owed::paid(std::int64_t id) {
  db_.write(
      [id](Connection& connection) -> Result<> {
        TRY(change(connection, "DELETE FROM owed_records WHERE id = ?1", id));
        return {};
      },
      {});
}

}  // namespace kubiya::store
