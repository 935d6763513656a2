// SPDX-License-Identifier: Apache-2.0
//
// The tables, as a list of migrations. A released migration is never edited.
#pragma once

#include "base/result.h"
#include "store/database.h"

namespace kubiya::store {

// Marks the file as ours ("KMCP"), so that another program's database is not migrated.
inline constexpr std::int64_t kApplicationId = 0x4B4D4350;

// Brings the file to this program's schema in one transaction. Code::unsupported for a newer
// schema or another program's file.
Result<> migrate(Connection& connection);
// The same, up to the schema of an earlier program. For tests of what comes after.
Result<> migrate(Connection& connection, std::int64_t version);

}  // namespace kubiya::store
