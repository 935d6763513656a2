// SPDX-License-Identifier: Apache-2.0
#include "app/person_watch.h"

#include <algorithm>
#include <condition_variable>

#include "base/json.h"
#include "base/log.h"

namespace kubiya::app {
namespace {

Result<json::object> fields_of(const store::OwedRecord& record) {
  const json::value fields = TRY(parse_json(record.fields));
  if (!fields.is_object()) return fail(Code::corrupt, "a record owed to the journal is no object");
  return fields.get_object();
}

}  // namespace

Result<> pay_owed_records(store::Database& database, audit::Journal& journal,
                          std::chrono::milliseconds patience) {
  struct Waiting {
    std::mutex mutex;
    std::condition_variable changed;
    std::size_t owed = 0;
    Result<> result;
  };
  const auto waiting = std::make_shared<Waiting>();
  store::Owed owed(database);
  const auto records = TRY(owed.all());
  waiting->owed = records.size();
  for (const auto& record : records) {
    journal.durable_event(record.event, TRY(fields_of(record)), [waiting](Result<> recorded) {
      const std::lock_guard lock(waiting->mutex);
      --waiting->owed;
      if (!recorded) waiting->result = std::move(recorded);
      waiting->changed.notify_all();
    });
  }
  std::unique_lock lock(waiting->mutex);
  if (!waiting->changed.wait_for(lock, patience, [&] { return waiting->owed == 0; })) {
    return fail(Code::unavailable, "the audit journal does not take the record of the change");
  }
  TRY_VOID(waiting->result);
  for (const auto& record : records) owed.paid(record.id);
  return {};
}

PersonWatch::PersonWatch(store::Database& database, audit::Journal& journal,
                         identity::PersonBook& book, OpenKeys open_keys, OnCut on_cut)
    : database_(database),
      vault_(database),
      cutoffs_(database),
      owed_(database),
      journal_(journal),
      book_(book),
      open_keys_(std::move(open_keys)),
      on_cut_(std::move(on_cut)) {}

Result<> PersonWatch::look() {
  const std::lock_guard looking(looking_);
  std::vector<std::int64_t> paid;
  {
    const std::lock_guard lock(answers_->mutex);
    paid.swap(answers_->paid);
  }
  for (const std::int64_t id : paid) owed_.paid(id);
  // Asked before the rows are read: what is committed in between is noticed by the next look.
  const std::int64_t version = database_.data_version();
  if (version == seen_version_ && !missing_keys_) return {};
  TRY_VOID(read_people());
  TRY_VOID(pay());
  seen_version_ = version;
  return {};
}

Result<> PersonWatch::pay() {
  for (const store::OwedRecord& record : TRY(owed_.all())) {
    if (record.id <= handed_in_) continue;
    journal_.durable_event(record.event, TRY(fields_of(record)),
                           [answers = answers_, id = record.id](const Result<>& recorded) {
                             if (!recorded) return;  // the next start pays
                             const std::lock_guard lock(answers->mutex);
                             answers->paid.push_back(id);
                           });
    handed_in_ = record.id;
  }
  return {};
}

Result<> PersonWatch::read_people() {
  const std::int64_t generation = TRY(vault_.generation());
  if (generation == seen_generation_ && !missing_keys_) return {};
  std::vector<store::VaultRow> rows = TRY(vault_.all());
  const bool missed = missing_keys_;
  TRY_VOID(open_keys_for(rows));
  if (generation == seen_generation_ && missed && missing_keys_) return {};
  std::vector<store::CutoffRow> cutoffs = TRY(cutoffs_.all());
  book_.replace(std::move(rows), keys_, cutoffs);
  seen_generation_ = generation;
  std::erase_if(cutoffs, [](const store::CutoffRow& row) { return row.lifted_ms != 0; });
  in_force_ = std::move(cutoffs);
  on_cut_(in_force_);
  return {};
}

// A rotation changes the key under a running server: it shows as a record that no key here opens.
Result<> PersonWatch::open_keys_for(const std::vector<store::VaultRow>& rows) {
  const auto unknown = [this](const store::VaultRow& row) {
    return !keys_ || !keys_->knows(row.key_id);
  };
  const auto missing = [&] { return std::any_of(rows.begin(), rows.end(), unknown); };
  if (missing()) keys_ = TRY(open_keys_());
  const bool before = std::exchange(missing_keys_, missing());
  if (missing_keys_ && !before) {
    log::error("the vault keeps keys that no vault key here opens; their owners are refused",
               {{"reason", "vault_key_unknown"}});
  }
  return {};
}

}  // namespace kubiya::app
