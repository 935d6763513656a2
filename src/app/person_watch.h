// SPDX-License-Identifier: Apache-2.0
//
// Holds the book of people to what the database says, and pays the audit journal what it is owed
// for changes that were made elsewhere. Any thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "audit/journal.h"
#include "base/result.h"
#include "identity/person_book.h"
#include "store/cutoffs.h"
#include "store/owed.h"
#include "store/vault.h"

namespace kubiya::app {

// For the command line, where no server runs: writes what is owed and waits for the disk,
// `patience` at most.
Result<> pay_owed_records(store::Database& database, audit::Journal& journal,
                          std::chrono::milliseconds patience = std::chrono::seconds(8));

// All references outlive it.
class PersonWatch {
 public:
  // `open_keys` reads the vault's keys from where they are; it runs inside look().
  using OpenKeys = std::function<Result<std::shared_ptr<const identity::VaultKeys>>()>;
  // Is told who is cut off, all of them, once the book says so; runs inside look().
  using OnCut = std::function<void(const std::vector<store::CutoffRow>& in_force)>;
  PersonWatch(store::Database& database, audit::Journal& journal, identity::PersonBook& book,
              OpenKeys open_keys, OnCut on_cut);

  // One look: hands the journal each record it is owed, once, and fills the book. Who changed
  // something and looks has changed it for every event loop. Blocks on the database and the vault's
  // key file only. After an error the next look tries again.
  Result<> look();
  // For the start, while nobody else looks.
  const std::vector<store::CutoffRow>& in_force() const { return in_force_; }

 private:
  // Outlives the watch as long as the journal owes an answer.
  struct Answers {
    std::mutex mutex;
    std::vector<std::int64_t> paid;
  };
  Result<> pay();
  Result<> read_people();
  Result<> open_keys_for(const std::vector<store::VaultRow>& rows);

  store::Database& database_;
  store::Vault vault_;
  store::Cutoffs cutoffs_;
  store::Owed owed_;
  audit::Journal& journal_;
  identity::PersonBook& book_;
  OpenKeys open_keys_;
  OnCut on_cut_;
  std::mutex looking_;  // guards what follows but `answers_`
  std::vector<store::CutoffRow> in_force_;
  std::shared_ptr<Answers> answers_ = std::make_shared<Answers>();
  std::shared_ptr<const identity::VaultKeys> keys_;
  bool missing_keys_ = false;                    // a record was sealed with a key that is not here
  std::int64_t handed_in_ = 0;                   // the last record owed that the journal was given
  std::optional<std::int64_t> seen_version_;     // of the database
  std::optional<std::int64_t> seen_generation_;  // of the vault
};

}  // namespace kubiya::app
