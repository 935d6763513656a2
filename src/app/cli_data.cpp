// SPDX-License-Identifier: Apache-2.0
#include "app/cli_data.h"

#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "app/key_evidence.h"
#include "app/person_watch.h"

namespace kubiya::app::cli {
namespace {

std::string database_path(const Config& config) { return config.data_dir + "/kubiya.db"; }

}  // namespace

Result<std::unique_ptr<store::Database>> open_existing(const Config& config) {
  std::error_code error;
  if (!std::filesystem::exists(database_path(config), error)) {
    return fail(Code::not_found, "there is no installation in " + config.data_dir +
                                     "; give --data-dir, or start a server there first");
  }
  return store::Database::open(database_path(config));
}

std::vector<std::string> issuer_names(const Config& config) {
  std::vector<std::string> names;
  const auto add = [&names](const std::string& name) {
    if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
  };
  for (const identity::IssuerOptions& one : config.issuers) {
    add(one.rules.issuer);
    for (const identity::IssuerForm& form : one.rules.forms) add(form.issuer);
  }
  return names;
}

Result<Workbench> Workbench::open(const Config& config) {
  Workbench bench;
  Result<DataLock> lock = DataLock::take(config.data_dir);
  if (!lock && lock.error().code != Code::conflict) return fail(lock.error());
  bench.database_ = TRY(store::Database::open(database_path(config)));
  if (lock) {
    bench.lock_.emplace(std::move(*lock));
    store::Meta meta(*bench.database_);
    TRY(installation_id(meta, config.data_dir, config.audit.directory));
    bench.journal_ = TRY(audit::Journal::open(config.audit, *bench.clock_));
  }
  return bench;
}

Result<> Workbench::record(std::string_view event, const json::object& fields) {
  ASSERT(journal_, "beside a server there is nothing to write to");
  journal_->event(event, fields);
  return journal_->sync();
}

Result<> Workbench::record_keys() {
  if (!journal_) return {};
  return record_key_changes(*database_, *journal_, ::geteuid());
}

Result<> Workbench::record_owed() {
  if (!journal_) return {};
  return pay_owed_records(*database_, *journal_);
}

}  // namespace kubiya::app::cli
