// SPDX-License-Identifier: Apache-2.0
//
// The making and the revocation of an API key are in the audit journal before the key counts.
// Whoever holds the journal writes the records: the server for keys that the command line made
// beside it, else the command line itself.
#pragma once

#include <vector>

#include "audit/journal.h"
#include "base/result.h"
#include "store/store.h"

namespace kubiya::app {

struct AdmittedKeys {
  std::vector<store::KeyRow> rows;  // those whose making is on record; a revoked one stays revoked
  Result<> recorded;                // what kept the others out
};

// Records what is not on record yet and waits for the disk. A crash in between repeats a record.
Result<AdmittedKeys> record_key_changes(store::Keys& keys, audit::Journal& journal);

}  // namespace kubiya::app
