// SPDX-License-Identifier: Apache-2.0
//
// Narrow interfaces over the database. Reads block briefly (worker threads only);
// writes answer through `done` once durable.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "store/database.h"
#include "store/records.h"

namespace kubiya::store {

class Workflows {
 public:
  explicit Workflows(Database& db) : db_(db) {}
  // By name, behind `after`; without `text`.
  Result<Page<WorkflowRow>> list(std::string_view tenant, std::string_view after, PageLimit limit);
  Result<WorkflowRow> get(std::string_view tenant, std::string_view name);  // Code::not_found
  // Every workflow whose text holds `word`, by tenant and name.
  Result<std::vector<WorkflowRow>> mentioning(std::string_view word,
                                              const std::optional<std::string>& tenant);
  Result<> create(const WorkflowRow& row);  // Code::conflict when the name is taken
  // Replaces text and description, raises version; `expected_version` 0 means any.
  Result<WorkflowRow> update(const WorkflowRow& row, std::int64_t expected_version);
  Result<> remove(std::string_view tenant, std::string_view name);

 private:
  Database& db_;
};

class Runs {
 public:
  explicit Runs(Database& db) : db_(db) {}
  struct Created {
    std::string id;
    bool existed = false;  // an earlier run under the same idempotency key
  };
  // The run this owner started under `key`. Code::conflict when that was another call: its digest
  // differs.
  Result<std::optional<std::string>> started_before(std::string_view tenant, std::string_view owner,
                                                    std::string_view key, std::string_view digest);
  // Inserts the run and its steps as queued, in one durable write. Code::conflict when the
  // idempotency key was used by this owner for other arguments.
  void create(RunRow run, std::vector<StepRow> steps, std::function<void(Result<Created>)> done);
  // Times of 0 and empty outputs leave what is stored. Code::conflict when the run is unknown
  // or final: a final status never changes.
  void set_run(std::string id, std::string status, std::string reason, std::int64_t started_ms,
               std::int64_t finished_ms, std::string outputs, Database::Done done);
  void set_step(StepRow step, Database::Done done);
  // Durable with the next commit. `done` may be empty: nobody waits.
  void append_log(std::string run_id, LogRow row, Database::Done done = {});
  Result<RunRow> get(std::string_view id);
  // Only what `tenant` and, when given, `owner` may see; otherwise Code::not_found.
  Result<RunRow> get_visible(std::string_view id, std::string_view tenant,
                             const std::optional<std::string>& owner);
  Result<std::vector<StepRow>> steps(std::string_view run_id);
  // Newest first; without `definition`, `params` and `outputs`.
  Result<Page<RunRow>> list(const RunFilter& filter);
  // Oldest first, behind `after`. The text of a row that is longer than the page is cut at a
  // character; the next page goes on there.
  Result<LogPage> logs(std::string_view run_id, const std::optional<std::string>& step,
                       LogCursor after, PageLimit limit);
  Result<std::vector<RunRow>> unfinished();
  // Ended runs whose end is not known to be in the audit journal, oldest first.
  Result<std::vector<RunRow>> unaudited();
  void set_audited(std::string id);  // not waited for: at worst the end is recorded twice
  // After a crash: marks the run and its running steps interrupted, the rest canceled.
  Result<> interrupt(std::string_view run_id, std::int64_t now_ms, std::string_view reason);

 private:
  Database& db_;
};

class Keys {
 public:
  explicit Keys(Database& db) : db_(db) {}
  Result<> create(const KeyRow& row);
  // Oldest first.
  Result<std::vector<KeyRow>> list(const KeyFilter& filter);
  Result<std::vector<KeyRow>> all();  // every tenant; for the in-memory book
  Result<KeyRow> get(std::string_view id);
  // `by` is who did it, in display form.
  Result<> revoke(std::string_view id, std::int64_t now_ms, std::string_view by = "command_line");
  // One that the filter leaves out is Code::not_found, as one that is not there.
  Result<KeyRow> find(std::string_view id, const KeyFilter& filter);
  // The key that is to take the place of this one, or has; nothing when there is none.
  Result<std::optional<KeyRow>> successor(std::string_view id);

  // The life of a key. `by` is who does it, in display form.
  // Makes `row`, the successor of the key that it `replaces`; both are good. Code::conflict when
  // that key has one already, or ends anyway.
  Result<> stage(const KeyRow& row);
  // From now on it stands for the key that it replaces, which ends at `retires_ms`.
  Result<> promote(std::string_view id, std::int64_t now_ms, std::int64_t retires_ms,
                   std::string_view by = "command_line");
  Result<> retire(std::string_view id, std::int64_t at_ms, std::string_view by = "command_line");
  Result<> set_labels(std::string_view id, std::string_view labels,
                      std::string_view by = "command_line");
  // Changes by these three that are not known to be in the audit journal, oldest first.
  Result<std::vector<KeyChange>> changes();
  void forget_change(std::int64_t id);  // not waited for: at worst it is recorded twice

  void count(std::vector<KeyUse> uses);  // adds them; not waited for
  // Latest day first.
  Result<std::vector<KeyUse>> usage(const KeyFilter& filter, const std::optional<std::string>& id,
                                    std::int64_t since_day);
  // Not waited for: at worst a change is recorded twice.
  void set_recorded(std::string id, KeyRow::Recorded recorded);

 private:
  static Result<> insert(Connection& connection, const KeyRow& row);
  Database& db_;
};

// Small durable settings of this installation: its id, the key-digest check value.
class Meta {
 public:
  explicit Meta(Database& db) : db_(db) {}
  Result<std::optional<std::string>> get(std::string_view name);
  Result<> set(std::string_view name, std::string_view value);

 private:
  Database& db_;
};

}  // namespace kubiya::store
