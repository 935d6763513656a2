// SPDX-License-Identifier: Apache-2.0
#include "app/key_evidence.h"

#include <algorithm>

namespace kubiya::app {
namespace {

using store::KeyRow;

KeyRow::Recorded state_of(const KeyRow& row) {
  return row.revoked_ms == 0 ? KeyRow::Recorded::made : KeyRow::Recorded::revoked;
}

void record(audit::Journal& journal, const KeyRow& row) {
  const json::object fields{{"key", row.id},
                            {"tenant", row.tenant},
                            {"owner", row.owner},
                            {"name", row.name},
                            {"scopes", row.scopes}};
  if (row.recorded < KeyRow::Recorded::made) journal.event("key_created", fields);
  if (state_of(row) == KeyRow::Recorded::revoked) journal.event("key_revoked", fields);
}

}  // namespace

Result<AdmittedKeys> record_key_changes(store::Keys& keys, audit::Journal& journal) {
  AdmittedKeys admitted{TRY(keys.all()), {}};
  std::vector<KeyRow*> changed;
  for (KeyRow& row : admitted.rows) {
    if (row.recorded >= state_of(row)) continue;
    record(journal, row);
    changed.push_back(&row);
  }
  if (changed.empty()) return admitted;
  admitted.recorded = journal.sync();
  if (admitted.recorded) {
    for (KeyRow* row : changed) {
      row->recorded = state_of(*row);
      keys.set_recorded(row->id, row->recorded);
    }
  }
  std::erase_if(admitted.rows,
                [](const KeyRow& row) { return row.recorded == KeyRow::Recorded::nothing; });
  return admitted;
}

}  // namespace kubiya::app
