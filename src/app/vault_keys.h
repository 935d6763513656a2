// SPDX-License-Identifier: Apache-2.0
//
// Where the keys that seal the key vault come from, and their rotation.
#pragma once

#include <cstddef>
#include <memory>

#include "app/config.h"
#include "base/json.h"
#include "base/result.h"
#include "identity/key_vault.h"
#include "store/vault.h"

namespace kubiya::app {

// The configured key; else the service manager's credential; else the file in the data directory,
// which is made when `create` says so. Null when there is none of these. Reads files.
Result<std::shared_ptr<const identity::VaultKeys>> open_vault_keys(const Config& config,
                                                                   bool create);

// Seals with the key that is current when it is called, as store::Vault::set wants. The file is
// made with the first record; a vault whose key is lost takes no further ones. For one write; both
// references outlive it.
store::Vault::Seal sealing(const Config& config, store::Vault& vault);

// What the journal is owed for a change of `row`; `by` says whose doing it is.
store::OwedRecord vault_record(std::string_view event, const store::VaultRow& row, json::object by);
store::Vault::Change vault_change(store::VaultRow row, Secret key, std::int64_t now_ms,
                                  json::object by);

struct Rotation {
  std::size_t resealed = 0;
  bool new_key = false;  // the file of the data directory was replaced
};
// Seals with the current key what another one sealed. Where the key is the data directory's file,
// a new one is made first, and takes its place when everything is sealed with it; a rotation that
// was broken off goes on. Beside a running server only the file can be replaced.
Result<Rotation> rotate_vault_key(const Config& config, store::Vault& vault,
                                  const store::OwedRecord& owed);

}  // namespace kubiya::app
