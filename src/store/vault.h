// SPDX-License-Identifier: Apache-2.0
//
// The key vault's records. The store sees sealed texts only; identity::VaultKeys seals and opens.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/secret.h"
#include "store/database.h"
#include "store/owed.h"

namespace kubiya::store {

// A key is kept for a person, or under a name that tokens of the issuer refer to.
inline constexpr std::string_view kVaultSubject = "subject";
inline constexpr std::string_view kVaultReference = "reference";

struct VaultRow {
  std::string tenant;
  std::string issuer;
  std::string kind{kVaultSubject};
  std::string name;          // the subject, or the reference's name
  std::int64_t version = 0;  // grows with each key that is set under this name
  std::string key_id;        // of the vault key that sealed it
  std::string sealed;        // base64
  std::int64_t created_ms = 0;
  std::int64_t updated_ms = 0;
};

// Within a write: what is known of people is another than before; see Vault::generation().
Result<> grow_people(Connection& connection);

class Vault {
 public:
  explicit Vault(Database& db) : db_(db) {}

  struct Change {
    VaultRow row;  // key_id and sealed are filled in by `seal`
    Secret key;
    OwedRecord owed;
  };
  // All of them or none. `seal` runs within the write: what it seals with is not yet replaced by a
  // rotation, or is what replaced it.
  using Seal = std::function<Result<>(VaultRow&, const Secret&)>;
  Result<> set(std::vector<Change> changes, const Seal& seal);
  // Code::not_found when there is none.
  Result<> remove(const VaultRow& row, const OwedRecord& owed);
  Result<std::vector<VaultRow>> all();
  // Another one than before when a record was set, removed or sealed anew, or a person was cut off
  // or let in again.
  Result<std::int64_t> generation();
  // By tenant, issuer, kind and name, of one tenant.
  Result<std::vector<VaultRow>> list(std::string_view tenant,
                                     const std::optional<std::string>& issuer);
  // Every record that another key than `key_id` sealed, through `seal`; all of them or none.
  // Returns how many.
  Result<std::size_t> reseal(std::string_view key_id,
                             const std::function<Result<>(VaultRow&)>& seal,
                             const OwedRecord& owed);

 private:
  Database& db_;
};

}  // namespace kubiya::store
