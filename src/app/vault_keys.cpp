// SPDX-License-Identifier: Apache-2.0
#include "app/vault_keys.h"

#include <cstdio>
#include <filesystem>
#include <optional>
#include <string>

#include <fmt/format.h>

#include "app/config_secret.h"
#include "crypto/digest.h"
#include "identity/api_key.h"

namespace kubiya::app {
namespace {

using identity::VaultKeys;
using KeysPtr = std::shared_ptr<const VaultKeys>;

constexpr const char* kCredential = "kubiya-vault-key";

std::string key_file(const Config& config) { return config.data_dir + "/vault.key"; }
std::string next_file(const Config& config) { return key_file(config) + ".next"; }

Result<std::optional<Secret>> configured_key(const Config& config) {
  if (config.vault_key) return config.vault_key;
  const auto path = credential_path(kCredential);
  std::error_code error;
  if (!path || !std::filesystem::exists(*path, error)) return std::nullopt;
  return Secret::take(TRY(resolve_secret(fmt::format("${{credential:{}}}", kCredential), true)));
}

Result<std::optional<Secret>> read_file_key(const std::string& path, bool create) {
  auto key = identity::open_pepper(path, create);
  if (!key && key.error().code == Code::not_found) return std::nullopt;
  if (!key) return fail(key.error());
  return std::move(*key);
}

Result<KeysPtr> make(const Secret& current, const std::optional<Secret>& previous) {
  return std::make_shared<const VaultKeys>(TRY(VaultKeys::make(current, previous)));
}

Error lost_key() {
  return {Code::corrupt,
          "the key that the vault was sealed with is gone: restore vault.key, or set vault.key to "
          "it, or remove the vault's entries with `vault remove`",
          {}};
}

Result<std::size_t> reseal(const VaultKeys& keys, store::Vault& vault,
                           const store::OwedRecord& owed) {
  return vault.reseal(
      keys.current_id(),
      [&keys](store::VaultRow& row) -> Result<> {
        const auto key = keys.open(row);
        if (!key) {
          return fail(
              Code::corrupt,
              fmt::format("the entry of {} of {} cannot be opened ({}): nothing was changed; "
                          "remove it with `vault remove`, or give the key it was sealed "
                          "with as vault.previous_key",
                          row.name, row.issuer, identity::to_string(key.error().reason)));
        }
        keys.seal(row, *key);
        return {};
      },
      owed);
}

}  // namespace

Result<KeysPtr> open_vault_keys(const Config& config, bool create) {
  if (const auto key = TRY(configured_key(config))) return make(*key, config.vault_previous_key);
  // The one that takes over is read first: between two readings it may take its place.
  const auto next = TRY(read_file_key(next_file(config), false));
  const auto current = TRY(read_file_key(key_file(config), create));
  if (!current) return KeysPtr();
  return next ? make(*next, current) : make(*current, config.vault_previous_key);
}

store::OwedRecord vault_record(std::string_view event, const store::VaultRow& row,
                               json::object by) {
  json::object fields{{"tenant", row.tenant}, {"issuer", row.issuer}, {row.kind, row.name}};
  for (auto& member : by) fields[member.key()] = std::move(member.value());
  return {0, std::string(event), to_json(fields)};
}

store::Vault::Change vault_change(store::VaultRow row, Secret key, std::int64_t now_ms,
                                  json::object by) {
  row.updated_ms = now_ms;
  by["key"] = crypto::fingerprint(key.reveal());
  store::OwedRecord owed = vault_record("vault_key_set", row, std::move(by));
  return {std::move(row), std::move(key), std::move(owed)};
}

store::Vault::Seal sealing(const Config& config, store::Vault& vault) {
  // Read once for all records of one write.
  return [&config, &vault, keys = KeysPtr()](store::VaultRow& row,
                                             const Secret& key) mutable -> Result<> {
    if (!keys) {
      const bool first = TRY(vault.all()).empty();
      keys = TRY(open_vault_keys(config, first));
      if (!keys) return fail(lost_key());
    }
    keys->seal(row, key);
    return {};
  };
}

Result<Rotation> rotate_vault_key(const Config& config, store::Vault& vault,
                                  const store::OwedRecord& owed) {
  Rotation done;
  if (TRY(configured_key(config))) {
    const KeysPtr keys = TRY(open_vault_keys(config, false));
    done.resealed = TRY(reseal(*keys, vault, owed));
    return done;
  }
  const bool first = TRY(vault.all()).empty();
  const auto current = TRY(read_file_key(key_file(config), first));
  if (!current) return fail(lost_key());
  const auto next = TRY(read_file_key(next_file(config), true));
  ASSERT(next, "it was made");
  const KeysPtr keys = TRY(make(*next, current));
  done.resealed = TRY(reseal(*keys, vault, owed));
  if (std::rename(next_file(config).c_str(), key_file(config).c_str()) != 0) {
    return fail(Code::unavailable,
                fmt::format("cannot rename {} to {}: run `vault rotate-key` again",
                            next_file(config), key_file(config)));
  }
  done.new_key = true;
  return done;
}

}  // namespace kubiya::app
