// SPDX-License-Identifier: Apache-2.0
//
// An installation's files, opened from the command line beside a server that may be running.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "app/application.h"
#include "app/config.h"
#include "audit/journal.h"
#include "base/clock.h"
#include "base/json.h"
#include "store/database.h"

namespace kubiya::app::cli {

// For looking only: an installation that does not exist is Code::not_found, not created.
Result<std::unique_ptr<store::Database>> open_existing(const Config& config);

// What the issuers of callers may be called under this configuration, each once; empty where it has
// none and callers use API keys.
std::vector<std::string> issuer_names(const Config& config);

// For changing. The journal has one writer: without a running server this program takes the
// data directory's lock and writes the record itself; otherwise the server notices the change
// in the database and records it.
class Workbench {
 public:
  static Result<Workbench> open(const Config& config);
  store::Database& database() { return *database_; }
  bool server_runs() const { return !journal_; }
  // Durable on return. Only without a running server.
  Result<> record(std::string_view event, const json::object& fields);
  // Records what was done to keys. Durable on return; does nothing while a server runs.
  Result<> record_keys();
  // The same for what the store says is owed to the journal.
  Result<> record_owed();

 private:
  Workbench() = default;
  std::optional<DataLock> lock_;
  std::unique_ptr<SystemClock> clock_ = std::make_unique<SystemClock>();
  std::unique_ptr<store::Database> database_;
  std::unique_ptr<audit::Journal> journal_;
};

}  // namespace kubiya::app::cli
