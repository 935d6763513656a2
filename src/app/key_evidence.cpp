// SPDX-License-Identifier: Apache-2.0
#include "app/key_evidence.h"

#include <algorithm>
#include <exception>
#include <utility>

#include "base/clock.h"
#include "base/log.h"

namespace kubiya::app {
namespace {

using store::KeyRow;
using Recorded = KeyRow::Recorded;

constexpr std::chrono::milliseconds kLookEvery{500};
constexpr std::chrono::seconds kCountEvery{5};

Recorded state_of(const KeyRow& row) {
  return row.revoked_ms == 0 ? Recorded::made : Recorded::revoked;
}

std::string time_of(std::int64_t ms) { return format_time(from_unix_ms(ms)); }

// Beside a server, the user of the command line is not known.
json::object fields_of(const KeyRow& row, std::optional<unsigned> user) {
  json::object fields{{"key", row.id},
                      {"tenant", row.tenant},
                      {"issuer", row.issuer},
                      {"owner", row.owner},
                      {"name", row.name},
                      {"scopes", row.scopes},
                      {"created", time_of(row.created_ms)},
                      {"by", row.made_by}};
  fields["expires"] = row.expires_ms == 0 ? "never" : time_of(row.expires_ms);
  if (!row.replaces.empty()) fields["replaces"] = row.replaces;
  if (user) fields["user"] = *user;
  return fields;
}

// Written by this program, so a text that is no object is a damaged database; the name of the
// event and the key are on record all the same.
json::object fields_of(const store::KeyChange& change) {
  auto parsed = parse_json(change.fields);
  if (parsed && parsed->is_object()) return std::move(parsed->get_object());
  return {{"key", change.key}};
}

struct Event {
  Recorded state;
  std::string_view name;
  json::object fields;
};

// What happened to the key beyond `known`, in its order.
std::vector<Event> events_of(const KeyRow& row, Recorded known, std::optional<unsigned> user) {
  std::vector<Event> events;
  json::object fields = fields_of(row, user);
  if (known < Recorded::made) events.push_back({Recorded::made, "key_created", fields});
  if (known < Recorded::revoked && row.revoked_ms != 0) {
    fields["revoked"] = time_of(row.revoked_ms);
    fields["by"] = row.revoked_by;
    events.push_back({Recorded::revoked, "key_revoked", std::move(fields)});
  }
  return events;
}

}  // namespace

namespace {

// Of what the journal owes an answer, and the first failure.
struct Waiting {
  std::mutex mutex;
  std::condition_variable changed;
  std::size_t owed = 0;
  Result<> result;
};

void hand_in(audit::Journal& journal, const std::shared_ptr<Waiting>& waiting,
             std::string_view event, const json::object& fields) {
  {
    const std::lock_guard lock(waiting->mutex);
    ++waiting->owed;
  }
  journal.durable_event(event, fields, [waiting](Result<> recorded) {
    const std::lock_guard lock(waiting->mutex);
    --waiting->owed;
    if (!recorded) waiting->result = std::move(recorded);
    waiting->changed.notify_all();
  });
}

}  // namespace

Result<> record_key_changes(store::Database& database, audit::Journal& journal, unsigned user,
                            std::chrono::milliseconds patience) {
  const auto waiting = std::make_shared<Waiting>();
  store::Keys keys(database);
  std::vector<KeyRow> rows = TRY(keys.all());
  std::erase_if(rows, [](const KeyRow& row) { return row.recorded >= state_of(row); });
  for (const KeyRow& row : rows) {
    for (const Event& event : events_of(row, row.recorded, user)) {
      hand_in(journal, waiting, event.name, event.fields);
    }
  }
  const std::vector<store::KeyChange> changes = TRY(keys.changes());
  for (const store::KeyChange& change : changes) {
    json::object fields = fields_of(change);
    fields["user"] = user;
    hand_in(journal, waiting, change.name, fields);
  }
  std::unique_lock lock(waiting->mutex);
  if (!waiting->changed.wait_for(lock, patience, [&] { return waiting->owed == 0; })) {
    return fail(Code::unavailable, "the audit journal does not take the record of the key");
  }
  TRY_VOID(waiting->result);
  for (const KeyRow& row : rows) keys.set_recorded(row.id, state_of(row));
  for (const store::KeyChange& change : changes) keys.forget_change(change.id);
  return {};
}

KeyWatch::KeyWatch(store::Database& database, audit::Journal& journal, identity::KeyBook& book)
    : database_(database), keys_(database), journal_(journal), book_(book) {}

KeyWatch::~KeyWatch() {
  {
    const std::lock_guard lock(answers_->mutex);
    answers_->stopping = true;
    answers_->changed.notify_all();
  }
  if (thread_.joinable()) thread_.join();
  write_uses();
}

void KeyWatch::start(std::function<Result<>()> also) {
  also_ = std::move(also);
  thread_ = std::thread([this] { run(); });
}

void KeyWatch::run() {
  const SystemClock clock;
  Mono next_count = clock.mono() + kCountEvery;
  for (;;) {
    {
      std::unique_lock lock(answers_->mutex);
      answers_->changed.wait_for(lock, kLookEvery,
                                 [&] { return answers_->stopping || !answers_->told.empty(); });
      if (answers_->stopping) return;
    }
    // A library may throw (bad_alloc); revocations must be noticed all the same, later.
    try {
      report(look_around());
      if (clock.mono() >= next_count) {
        next_count = clock.mono() + kCountEvery;
        write_uses();
      }
    } catch (const std::exception& e) {
      report(fail(Code::internal, "an exception", e.what()));
    }
  }
}

// Neither waits for the other to succeed.
Result<> KeyWatch::look_around() {
  Result<> looked = look();
  if (also_) TRY_VOID(also_());
  return looked;
}

void KeyWatch::report(const Result<>& looked) {
  if (!looked && !failing_) {
    log::error("the API keys cannot be read; those known stay in use, revocations wait",
               {{"reason", looked.error().message}, {"detail", looked.error().detail}});
  }
  if (looked && failing_) log::info("the API keys are read again");
  failing_ = !looked;
}

void KeyWatch::write_uses() {
  std::vector<store::KeyUse> uses = book_.uses().take(unix_ms(SystemClock().wall()));
  if (!uses.empty()) keys_.count(std::move(uses));
}

Result<> KeyWatch::look() {
  const std::lock_guard lock(looking_);
  take_answers();
  // Asked before the rows are read: what is committed in between is noticed by the next look.
  const std::int64_t version = database_.data_version();
  stale_ = stale_ || version != seen_version_;
  if (!stale_) return {};
  std::vector<KeyRow> rows = TRY(keys_.all());
  for (const KeyRow& row : rows) hand_in(row);
  const std::vector<store::KeyChange> changes = TRY(keys_.changes());
  for (const store::KeyChange& change : changes) hand_in(change);
  std::erase_if(rows, [&](const KeyRow& row) {
    const auto known = progress_.find(row.id);
    return row.recorded == Recorded::nothing &&
           (known == progress_.end() || known->second.recorded == Recorded::nothing);
  });
  book_.replace(std::move(rows));
  seen_version_ = version;
  stale_ = false;
  return {};
}

void KeyWatch::take_answers() {
  std::vector<Told> told;
  {
    const std::lock_guard lock(answers_->mutex);
    told.swap(answers_->told);
  }
  for (const Told& answer : told) {
    if (!answer.result) {
      // Only a journal at its end says so; the next start records the change.
      log::error("a change of an API key could not be recorded",
                 {{"key", answer.key}, {"detail", answer.result.error().detail}});
      continue;
    }
    if (answer.change != 0) {
      keys_.forget_change(answer.change);
      continue;
    }
    Progress& progress = progress_[answer.key];
    progress.recorded = std::max(progress.recorded, answer.state);
    keys_.set_recorded(answer.key, answer.state);
    stale_ = true;
  }
}

void KeyWatch::hand_in(const KeyRow& row) {
  const auto known = progress_.find(row.id);
  const Recorded done = std::max(
      row.recorded, known == progress_.end() ? Recorded::nothing : known->second.handed_in);
  if (done >= state_of(row)) {
    // Nothing more can happen to a revoked key whose row says all there is.
    if (known != progress_.end() && row.recorded == Recorded::revoked) progress_.erase(known);
    return;
  }
  progress_[row.id].handed_in = state_of(row);
  for (const Event& event : events_of(row, done, std::nullopt)) {
    tell(event.name, event.fields, {row.id, event.state, 0, {}});
  }
}

void KeyWatch::hand_in(const store::KeyChange& change) {
  if (change.id <= changes_told_) return;
  changes_told_ = change.id;
  tell(change.name, fields_of(change), {change.key, Recorded::nothing, change.id, {}});
}

void KeyWatch::tell(std::string_view event, const json::object& fields, Told answer) {
  {
    const std::lock_guard lock(answers_->mutex);
    ++answers_->owed;
  }
  journal_.durable_event(
      event, fields, [answers = answers_, answer = std::move(answer)](Result<> recorded) mutable {
        const std::lock_guard lock(answers->mutex);
        --answers->owed;
        answer.result = std::move(recorded);
        answers->told.push_back(std::move(answer));
        answers->changed.notify_all();
      });
}

Result<> KeyWatch::settle(std::chrono::milliseconds patience) {
  TRY_VOID(look());
  {
    std::unique_lock lock(answers_->mutex);
    answers_->changed.wait_for(lock, patience, [&] { return answers_->owed == 0; });
  }
  return look();
}

}  // namespace kubiya::app
