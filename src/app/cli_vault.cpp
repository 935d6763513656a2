// SPDX-License-Identifier: Apache-2.0
#include "app/cli_vault.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <optional>

#include <fmt/format.h>

#include "app/cli_data.h"
#include "app/cli_options.h"
#include "app/config_files.h"
#include "app/config_secret.h"
#include "app/vault_keys.h"
#include "app/vault_lines.h"
#include "base/encoding.h"
#include "crypto/digest.h"

namespace kubiya::app::cli {
namespace {

constexpr std::size_t kImportMax = 512 * 1024 * 1024;
constexpr std::size_t kKeyLineMax = 4 * 1024;

// What comes on stdin, whole; nothing when that is more than `max` bytes.
std::optional<Secret> read_input(std::size_t max) {
  std::string text;
  char buffer[4096];
  while (const std::size_t count = std::fread(buffer, 1, sizeof buffer, stdin)) {
    text.append(buffer, count);
    if (text.size() > max) return std::nullopt;
  }
  wipe_memory(buffer, sizeof buffer);
  return Secret::take(std::move(text));
}

Result<Secret> read_key() {
  if (::isatty(STDIN_FILENO) != 0) {
    fmt::print(stderr, "Paste the key, then Enter and Ctrl-D:\n");
  }
  const auto input = read_input(kKeyLineMax);
  std::string_view text = input ? input->reveal() : std::string_view();
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.remove_suffix(1);
  if (identity::is_key_text(text)) return Secret(text);
  return fail(Code::invalid,
              "the key comes on stdin: one line of 1 to 1024 visible ASCII characters");
}

Result<Secret> read_import(const Config& config, const std::string& file) {
  if (file != "-") {
    TRY_VOID(check_private(file, config.allow_readable_files));
    return Secret::take(TRY(read_file(file, kImportMax)));
  }
  auto input = read_input(kImportMax);
  if (!input) return fail(Code::too_large, "import less at a time: 512 MiB at most");
  return std::move(*input);
}

// Most installations have one issuer.
std::string issuer_of(const Config& config, const std::string& given) {
  if (!given.empty() || config.issuers.size() != 1) return given;
  return config.issuers.front().rules.issuer;
}

void warn_of_unknown_issuer(const Config& config, const std::string& issuer) {
  const std::vector<std::string> names = issuer_names(config);
  if (names.empty() || std::find(names.begin(), names.end(), issuer) != names.end()) return;
  fmt::print(stderr, "Note: no configured issuer is called {}.\n", printable(issuer, 256));
}

Result<store::VaultRow> row_of(const VaultPlace& command, const Config& config) {
  if (command.subject.empty() == command.reference.empty()) {
    return fail(Code::invalid, "give either --subject or --reference");
  }
  store::VaultRow row;
  row.tenant = command.tenant;
  row.issuer = issuer_of(config, command.issuer);
  row.kind = command.reference.empty() ? store::kVaultSubject : store::kVaultReference;
  row.name = command.reference.empty() ? command.subject : command.reference;
  TRY_VOID(check_vault_row(row));
  return row;
}

json::object by_this_user() { return {{"by", "command_line"}, {"user", ::geteuid()}}; }

store::Vault::Change change_for(store::VaultRow row, Secret key, std::int64_t now_ms) {
  return vault_change(std::move(row), std::move(key), now_ms, by_this_user());
}

std::string when_known(const Workbench& bench) {
  return bench.server_runs() ? "; the running server knows it within a second" : "";
}

Result<> set(const VaultPlace& command) {
  const Config config = TRY(load(command.where));
  const store::VaultRow row = TRY(row_of(command, config));
  Secret key = TRY(read_key());
  Workbench bench = TRY(Workbench::open(config));
  store::Vault vault(bench.database());
  std::vector<store::Vault::Change> changes;
  changes.push_back(change_for(row, std::move(key), unix_ms(SystemClock().wall())));
  TRY_VOID(vault.set(std::move(changes), sealing(config, vault)));
  TRY_VOID(bench.record_owed());
  warn_of_unknown_issuer(config, row.issuer);
  fmt::print("The key of {} of {} is in the vault{}.\n", row.name, row.issuer, when_known(bench));
  return {};
}

Result<> import(const VaultImport& command) {
  const Config config = TRY(load(command.where));
  store::VaultRow standard;
  standard.tenant = command.tenant;
  standard.issuer = issuer_of(config, command.issuer);
  const Secret text = TRY(read_import(config, command.file));
  auto lines = TRY(read_vault_lines(text.reveal(), standard));
  if (lines.empty()) return fail(Code::invalid, "there is nothing to import");
  Workbench bench = TRY(Workbench::open(config));
  store::Vault vault(bench.database());
  const std::int64_t now = unix_ms(SystemClock().wall());
  std::vector<store::Vault::Change> changes;
  changes.reserve(lines.size());
  for (VaultLine& line : lines) {
    changes.push_back(change_for(std::move(line.row), std::move(line.key), now));
  }
  const std::size_t count = changes.size();
  TRY_VOID(vault.set(std::move(changes), sealing(config, vault)));
  TRY_VOID(bench.record_owed());
  fmt::print("{} keys are in the vault{}.\n", count, when_known(bench));
  return {};
}

Result<> list(const VaultList& command) {
  const Config config = TRY(load(command.where));
  const auto database = TRY(open_existing(config));
  std::optional<std::string> issuer;
  if (!command.issuer.empty()) issuer = command.issuer;
  fmt::print("{:<10} {:<32} {:<8} {:<24} {:<17} {}\n", "KIND", "NAME", "VERSION", "SET",
             "SEALED WITH", "ISSUER");
  for (const auto& row : TRY(store::Vault(*database).list(command.tenant, issuer))) {
    fmt::print("{:<10} {:<32} {:<8} {:<24} {:<17} {}\n", row.kind, row.name, row.version,
               format_time(from_unix_ms(row.updated_ms)), row.key_id, row.issuer);
  }
  return {};
}

Result<> remove(const VaultPlace& command) {
  const Config config = TRY(load(command.where));
  const store::VaultRow row = TRY(row_of(command, config));
  Workbench bench = TRY(Workbench::open(config));
  store::Vault vault(bench.database());
  TRY_VOID(vault.remove(row, vault_record("vault_key_removed", row, by_this_user())));
  TRY_VOID(bench.record_owed());
  fmt::print("The key of {} of {} is removed{}.\n", row.name, row.issuer, when_known(bench));
  return {};
}

Result<> rotate(const Installation& where) {
  const Config config = TRY(load(where));
  TRY(open_existing(config));
  Workbench bench = TRY(Workbench::open(config));
  store::Vault vault(bench.database());
  const json::object fields{{"by", "command_line"}, {"user", ::geteuid()}};
  const Rotation done =
      TRY(rotate_vault_key(config, vault, {0, "vault_key_rotated", to_json(fields)}));
  TRY_VOID(bench.record_owed());
  fmt::print("{} entries are sealed anew{}.\n", done.resealed,
             done.new_key ? ", with a new key in vault.key" : " with vault.key");
  return {};
}

int status_of(const Result<>& result) { return result ? kDone : complain(result.error()); }

}  // namespace

int vault_set(const VaultPlace& command) { return status_of(set(command)); }
int vault_import(const VaultImport& command) { return status_of(import(command)); }
int vault_list(const VaultList& command) { return status_of(list(command)); }
int vault_remove(const VaultPlace& command) { return status_of(remove(command)); }
int vault_rotate_key(const Installation& where) { return status_of(rotate(where)); }

}  // namespace kubiya::app::cli
