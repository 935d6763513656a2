// SPDX-License-Identifier: Apache-2.0
//
// What the audit journal is still owed: written in the transaction that made the change, taken
// away once the record is on disk. Whoever holds the journal pays: a server for what the command
// line did beside it, else the command line itself. After a crash a record may come twice, never
// not at all.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "store/database.h"

namespace kubiya::store {

struct OwedRecord {
  std::int64_t id = 0;  // grows; given by the store
  std::string event;    // "vault_key_set", …
  std::string fields;   // JSON object; holds no secret
};

// Within a write.
Result<> owe(Connection& connection, const OwedRecord& record);

class Owed {
 public:
  explicit Owed(Database& db) : db_(db) {}
  Result<std::vector<OwedRecord>> all();  // oldest first
  void paid(std::int64_t id);             // not waited for: at worst it is recorded twice

 private:
  Database& db_;
};

}  // namespace kubiya::store
