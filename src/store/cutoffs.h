// SPDX-License-Identifier: Apache-2.0
//
// People whose credentials are not taken any more. A person is an issuer and a subject here, in
// whichever tenant their tokens say. Blocking and waiting as in store.h.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "store/database.h"
#include "store/owed.h"

namespace kubiya::store {

struct CutoffRow {
  std::string issuer;
  std::string subject;
  std::int64_t since_ms = 0;
  std::int64_t lifted_ms = 0;  // 0: in force
  std::string reason;          // for people
};

class Cutoffs {
 public:
  explicit Cutoffs(Database& db) : db_(db) {}

  // One durable write: the person is cut off from row.since_ms on, and every API key of this server
  // that belongs to the subject at one of `key_issuers` is revoked. `owed` makes the record that
  // the journal is owed for it, from the ids of these keys. Returns the ids.
  using MakeOwed = std::function<OwedRecord(const std::vector<std::string>& keys)>;
  Result<std::vector<std::string>> cut(const CutoffRow& row,
                                       const std::vector<std::string>& key_issuers,
                                       const MakeOwed& owed);
  // Ends one that is in force; Code::not_found when there is none. Revoked keys stay so.
  Result<> lift(std::string_view issuer, std::string_view subject, std::int64_t now_ms,
                const OwedRecord& owed);
  // By issuer and subject; with those that were lifted.
  Result<std::vector<CutoffRow>> all();

 private:
  Database& db_;
};

}  // namespace kubiya::store
