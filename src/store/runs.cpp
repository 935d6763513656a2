// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <limits>
#include <memory>

#include <fmt/format.h>

#include "store/sql.h"
#include "store/step_write.h"
#include "store/store.h"

namespace kubiya::store {
namespace {

constexpr int kPageMax = 1000;
// What a row has beside its free text: names, times and digests.
constexpr std::size_t kRunBytes = 512, kLogBytes = 128;
constexpr std::size_t kSmallestPage = 1024;

// The order of read_run().
constexpr std::string_view kRunColumns =
    "id, tenant, owner, issuer, subject, display_name, client, key_fingerprint, workflow, digest,"
    " {}, status, reason, request_id, idempotency_key, idempotency_digest, created_ms,"
    " started_ms, finished_ms, {}, traceparent, tracestate";

RunRow read_run(const Statement& row) {
  RunRow run;
  run.id = row.text(0);
  run.tenant = row.text(1);
  run.owner = row.text(2);
  run.issuer = row.text(3);
  run.subject = row.text(4);
  run.display_name = row.text(5);
  run.client = row.text(6);
  run.key_fingerprint = row.text(7);
  run.workflow = row.text(8);
  run.digest = row.text(9);
  run.params = row.text(10);
  run.status = row.text(11);
  run.reason = row.text(12);
  run.request_id = row.text(13);
  if (!row.is_null(14)) run.idempotency_key = row.text(14);
  run.idempotency_digest = row.text(15);
  run.created_ms = row.integer(16);
  run.started_ms = row.integer(17);
  run.finished_ms = row.integer(18);
  run.outputs = row.text(19);
  run.traceparent = row.text(20);
  run.tracestate = row.text(21);
  return run;
}

RunRow read_whole_run(const Statement& row) {
  RunRow run = read_run(row);
  run.definition = row.text(22);
  return run;
}

StepRow read_step(const Statement& row) {
  StepRow step;
  step.run_id = row.text(0);
  step.position = static_cast<int>(row.integer(1));
  step.name = row.text(2);
  step.status = row.text(3);
  step.attempt = static_cast<int>(row.integer(4));
  if (!row.is_null(5)) step.exit_code = static_cast<int>(row.integer(5));
  step.reason = row.text(6);
  step.started_ms = row.integer(7);
  step.finished_ms = row.integer(8);
  step.output = row.text(9);
  step.pid = row.integer(10);
  return step;
}

LogRow read_log(const Statement& row) {
  return {row.integer(0), row.text(1),    static_cast<int>(row.integer(2)),
          row.text(3),    row.integer(4), row.text(5)};
}

std::string select_runs(std::string_view extra, std::string_view rest) {
  return fmt::format("SELECT {}{} FROM runs {}", fmt::format(kRunColumns, "params", "outputs"),
                     extra, rest);
}

std::string select_summaries(std::string_view rest) {
  return fmt::format("SELECT {} FROM runs {}", fmt::format(kRunColumns, "''", "''"), rest);
}

std::size_t size_of(const RunRow& run) {
  return kRunBytes + run.reason.size() + run.subject.size() + run.display_name.size();
}

// Empty when the key is new to this owner.
Result<std::optional<std::string>> find_same_call(Connection& connection, std::string_view tenant,
                                                  std::string_view owner, std::string_view key,
                                                  std::string_view digest) {
  Statement statement = TRY(query(connection,
                                  "SELECT id, idempotency_digest FROM runs"
                                  " WHERE tenant = ?1 AND owner = ?2 AND idempotency_key = ?3",
                                  tenant, owner, key));
  if (!TRY(statement.step())) return std::nullopt;
  if (statement.text(1) == digest) return std::optional(statement.text(0));
  return fail(Code::conflict,
              fmt::format("This idempotency key was used for another call, with other arguments "
                          "(execution {}). Use a new key for a new call.",
                          statement.text(0)));
}

Result<> insert_run(Connection& connection, const RunRow& run) {
  TRY(change(
      connection,
      "INSERT INTO runs (id, tenant, owner, issuer, subject, display_name, client,"
      " key_fingerprint, workflow, digest, params, status, reason, request_id,"
      " idempotency_key, idempotency_digest, created_ms, started_ms, finished_ms, outputs,"
      " definition, traceparent, tracestate) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10,"
      " ?11, 'queued', ?12, ?13, ?14, ?15, ?16, 0, 0, '', ?17, ?18, ?19)",
      run.id, run.tenant, run.owner, run.issuer, run.subject, run.display_name, run.client,
      run.key_fingerprint, run.workflow, run.digest, run.params, run.reason, run.request_id,
      run.idempotency_key, run.idempotency_digest, run.created_ms, run.definition, run.traceparent,
      run.tracestate));
  return {};
}

Result<> insert_step(Connection& connection, const std::string& run_id, const StepRow& step) {
  TRY(change(connection,
             "INSERT INTO steps (run_id, position, name, status, attempt, exit_code, reason,"
             " started_ms, finished_ms, output, pid)"
             " VALUES (?1, ?2, ?3, 'not_started', 0, NULL, '', 0, 0, '', 0)",
             run_id, std::int64_t{step.position}, step.name));
  return {};
}

Result<Runs::Created> create_run(Connection& connection, const RunRow& run,
                                 const std::vector<StepRow>& steps) {
  if (run.idempotency_key) {
    const auto earlier = TRY(find_same_call(connection, run.tenant, run.owner, *run.idempotency_key,
                                            run.idempotency_digest));
    if (earlier) return Runs::Created{*earlier, true};
  }
  TRY_VOID(insert_run(connection, run));
  for (const StepRow& step : steps) TRY_VOID(insert_step(connection, run.id, step));
  return Runs::Created{run.id, false};
}

// At most `size` bytes of `text`, without half a character at the end.
std::size_t whole_characters(std::string_view text, std::size_t size) {
  if (size >= text.size()) return text.size();
  for (int back = 0; back < 3 && (text[size] & 0xC0) == 0x80; ++back) --size;
  return size;
}

Result<LogPage> log_page(Statement statement, LogCursor after, PageLimit limit) {
  LogPage page{{}, after, false};
  std::size_t left = std::max(limit.bytes, kSmallestPage);
  while (!page.more && TRY(statement.step())) {
    LogRow row = read_log(statement);
    const std::size_t from = row.id == after.id ? std::min(after.offset, row.text.size()) : 0;
    row.text.erase(0, from);
    const std::size_t size = row.text.size() + kLogBytes;
    page.more = page.rows.size() == static_cast<std::size_t>(limit.rows) ||
                (size > left && !page.rows.empty());
    if (page.more) break;
    const std::size_t taken = whole_characters(row.text, left);
    page.more = taken < row.text.size();
    page.next = {row.id, page.more ? from + taken : 0};
    left -= std::min(left, size);
    row.text.resize(taken);
    page.rows.push_back(std::move(row));
  }
  return page;
}

Error unknown_run() { return {Code::not_found, "There is no run of that id.", {}}; }

Result<RunRow> only_run(Statement statement) {
  if (!TRY(statement.step())) return fail(unknown_run());
  return read_whole_run(statement);
}

}  // namespace

Result<> update_step(Connection& connection, const StepRow& step) {
  Statement statement = TRY(connection.prepare(
      "UPDATE steps SET status = ?3, attempt = ?4, exit_code = ?5, reason = ?6, started_ms = ?7,"
      " finished_ms = ?8, output = ?9, pid = ?10 WHERE run_id = ?1 AND position = ?2"));
  statement.bind(1, step.run_id).bind(2, std::int64_t{step.position}).bind(3, step.status);
  statement.bind(4, std::int64_t{step.attempt}).bind(6, step.reason).bind(7, step.started_ms);
  statement.bind(8, step.finished_ms).bind(9, step.output).bind(10, step.pid);
  if (step.exit_code) {
    statement.bind(5, std::int64_t{*step.exit_code});
  } else {
    statement.bind_null(5);
  }
  TRY_VOID(statement.run());
  if (connection.changes() == 0) return fail(Code::not_found, "There is no such step.");
  return {};
}

Result<std::optional<std::string>> Runs::started_before(std::string_view tenant,
                                                        std::string_view owner,
                                                        std::string_view key,
                                                        std::string_view digest) {
  return read_value(db_, [&](Connection& connection) {
    return find_same_call(connection, tenant, owner, key, digest);
  });
}

void Runs::create(RunRow run, std::vector<StepRow> steps,
                  std::function<void(Result<Created>)> done) {
  auto created = std::make_shared<Created>();
  db_.write(
      [run = std::move(run), steps = std::move(steps), created](Connection& c) -> Result<> {
        *created = TRY(create_run(c, run, steps));
        return {};
      },
      [created, done = std::move(done)](Result<> written) {
        if (!written) return done(fail(std::move(written).error()));
        done(std::move(*created));
      });
}

void Runs::set_run(std::string id, std::string status, std::string reason, std::int64_t started_ms,
                   std::int64_t finished_ms, std::string outputs, Database::Done done) {
  auto work = [id = std::move(id), status = std::move(status), reason = std::move(reason),
               started_ms, finished_ms, outputs = std::move(outputs)](Connection& c) -> Result<> {
    const auto changed =
        TRY(change(c,
                   "UPDATE runs SET status = ?2, reason = ?3, started_ms = max(started_ms, ?4),"
                   " finished_ms = max(finished_ms, ?5),"
                   " outputs = CASE ?6 WHEN '' THEN outputs ELSE ?6 END"
                   " WHERE id = ?1 AND status IN ('queued', 'running')",
                   id, status, reason, started_ms, finished_ms, outputs));
    if (changed == 0) return fail(Code::conflict, "The run is unknown or has ended.", id);
    return {};
  };
  db_.write(std::move(work), std::move(done));
}

void Runs::set_step(StepRow step, Database::Done done) {
  db_.write([step = std::move(step)](Connection& c) { return update_step(c, step); },
            std::move(done));
}

void Runs::append_log(std::string run_id, LogRow row, Database::Done done) {
  auto work = [run_id = std::move(run_id), row = std::move(row)](Connection& c) -> Result<> {
    TRY(change(c,
               "INSERT INTO logs (run_id, step, attempt, stream, time_ms, text)"
               " VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
               run_id, row.step, std::int64_t{row.attempt}, row.stream, row.time_ms, row.text));
    return {};
  };
  db_.write(std::move(work), std::move(done));
}

Result<RunRow> Runs::get(std::string_view id) {
  static const std::string sql = select_runs(", definition", "WHERE id = ?1");
  return read_value(db_, [&](Connection& connection) -> Result<RunRow> {
    return only_run(TRY(query(connection, sql, id)));
  });
}

Result<RunRow> Runs::get_visible(std::string_view id, std::string_view tenant,
                                 const std::optional<std::string>& owner) {
  static const std::string sql =
      select_runs(", definition", "WHERE id = ?1 AND tenant = ?2 AND (?3 IS NULL OR owner = ?3)");
  return read_value(db_, [&](Connection& connection) -> Result<RunRow> {
    return only_run(TRY(query(connection, sql, id, tenant, owner)));
  });
}

Result<std::vector<StepRow>> Runs::steps(std::string_view run_id) {
  return read_value(db_, [&](Connection& connection) -> Result<std::vector<StepRow>> {
    return rows(TRY(query(connection,
                          "SELECT run_id, position, name, status, attempt, exit_code, reason,"
                          " started_ms, finished_ms, output, pid FROM steps WHERE run_id = ?1"
                          " ORDER BY position",
                          run_id)),
                read_step);
  });
}

// One of eight fixed texts, so that each filter has its index and its cached statement.
Result<Page<RunRow>> Runs::list(const RunFilter& filter) {
  std::string where = "WHERE tenant = ?1 AND (created_ms, id) < (?5, ?6)";
  if (filter.owner) where += " AND owner = ?2";
  if (filter.workflow) where += " AND workflow = ?3";
  if (filter.status) where += " AND status = ?4";
  where += " ORDER BY created_ms DESC, id DESC LIMIT ?7";
  const std::string sql = select_summaries(where);
  const std::int64_t before =
      filter.before_ms == 0 ? std::numeric_limits<std::int64_t>::max() : filter.before_ms;
  PageLimit limit = filter.limit;
  limit.rows = std::clamp(limit.rows, 1, kPageMax);
  return read_value(db_, [&](Connection& connection) -> Result<Page<RunRow>> {
    return page(TRY(query(connection, sql, filter.tenant, filter.owner, filter.workflow,
                          filter.status, before, filter.before_id, std::int64_t{limit.rows} + 1)),
                read_run, limit, size_of);
  });
}

Result<LogPage> Runs::logs(std::string_view run_id, const std::optional<std::string>& step,
                           LogCursor after, PageLimit limit) {
  limit.rows = std::clamp(limit.rows, 1, kPageMax);
  const std::int64_t behind = after.offset == 0 ? after.id : after.id - 1;
  return read_value(db_, [&](Connection& connection) -> Result<LogPage> {
    return log_page(TRY(query(connection,
                              "SELECT id, step, attempt, stream, time_ms, text FROM logs"
                              " WHERE run_id = ?1 AND (?2 IS NULL OR step = ?2) AND id > ?3"
                              " ORDER BY id LIMIT ?4",
                              run_id, step, behind, std::int64_t{limit.rows} + 1)),
                    after, limit);
  });
}

Result<std::vector<RunRow>> Runs::unfinished() {
  static const std::string sql =
      select_runs(", definition", "WHERE status IN ('queued', 'running') ORDER BY created_ms, id");
  return read_value(db_, [](Connection& connection) -> Result<std::vector<RunRow>> {
    return rows(TRY(query(connection, sql)), read_whole_run);
  });
}

Result<std::vector<RunRow>> Runs::unaudited() {
  static const std::string sql = select_runs(
      "", "WHERE audited = 0 AND status NOT IN ('queued', 'running') ORDER BY created_ms, id");
  return read_value(db_, [](Connection& connection) -> Result<std::vector<RunRow>> {
    return rows(TRY(query(connection, sql)), read_run);
  });
}

void Runs::set_audited(std::string id) {
  db_.write(
      [id = std::move(id)](Connection& connection) -> Result<> {
        TRY(change(connection, "UPDATE runs SET audited = 1 WHERE id = ?1", id));
        return {};
      },
      [](const Result<>&) {});
}

Result<> Runs::interrupt(std::string_view run_id, std::int64_t now_ms, std::string_view reason) {
  return db_.write_wait([&](Connection& connection) -> Result<> {
    const auto changed =
        TRY(change(connection,
                   "UPDATE runs SET status = 'interrupted', reason = ?3, finished_ms = ?2"
                   " WHERE id = ?1 AND status IN ('queued', 'running')",
                   run_id, now_ms, reason));
    if (changed == 0) return fail(Code::conflict, "The run is unknown or has ended.");
    TRY(change(connection,
               "UPDATE steps SET finished_ms = ?2, reason = ?3,"
               " status = CASE status WHEN 'not_started' THEN 'canceled' ELSE 'interrupted' END"
               " WHERE run_id = ?1 AND status IN ('not_started', 'running', 'waiting')",
               run_id, now_ms, reason));
    TRY(change(connection,
               "UPDATE approvals SET status = 'withdrawn', decided_ms = ?2"
               " WHERE run_id = ?1 AND status = 'open'",
               run_id, now_ms));
    return {};
  });
}

}  // namespace kubiya::store
