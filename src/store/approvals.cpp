// SPDX-License-Identifier: Apache-2.0
#include "store/approvals.h"

#include <algorithm>
#include <limits>
#include <memory>

#include <fmt/format.h>

#include "base/json.h"
#include "store/sql.h"
#include "store/step_write.h"

namespace kubiya::store {
namespace {

constexpr int kPageMax = 200;
constexpr std::size_t kRowBytes = 512;  // names, times and digests

// The order of read_approval().
constexpr std::string_view kSelect =
    "SELECT a.id, a.run_id, a.tenant, a.requester, a.workflow, a.step, a.message, a.digest,"
    " a.scopes, a.groups, a.quorum, a.not_requester, a.created_ms, a.expires_ms, a.decided_ms,"
    " a.status, r.display_name, r.subject, r.digest, r.params"
    " FROM approvals a JOIN runs r ON r.id = a.run_id ";

// workflow::standing() in SQL, without the rule on the requester, who may see what they may not
// decide. ?1 tenant, ?2 owner, ?3 all of the tenant, ?4 and ?5 the viewer's scopes and groups.
constexpr std::string_view kVisible =
    "a.tenant = ?1 AND (?3 OR a.requester = ?2"
    " OR (a.scopes <> '[]' AND NOT EXISTS (SELECT 1 FROM json_each(a.scopes)"
    "  WHERE value NOT IN (SELECT value FROM json_each(?4))))"
    " OR EXISTS (SELECT 1 FROM json_each(a.groups)"
    "  WHERE value IN (SELECT value FROM json_each(?5))))";

std::string list_text(const std::vector<std::string>& names) {
  return to_json(json::value(json::array(names.begin(), names.end())));
}

std::vector<std::string> read_list(const std::string& text) {
  std::vector<std::string> names;
  const auto parsed = parse_json(text);
  if (!parsed || !parsed->is_array()) return names;
  for (const auto& item : parsed->get_array()) {
    if (item.is_string()) names.emplace_back(view(item.get_string()));
  }
  return names;
}

ApprovalRow read_approval(const Statement& row) {
  ApprovalRow approval;
  approval.id = row.text(0);
  approval.run_id = row.text(1);
  approval.tenant = row.text(2);
  approval.requester = row.text(3);
  approval.workflow = row.text(4);
  approval.step = row.text(5);
  approval.message = row.text(6);
  approval.digest = row.text(7);
  approval.scopes = read_list(row.text(8));
  approval.groups = read_list(row.text(9));
  approval.quorum = row.integer(10);
  approval.not_requester = row.integer(11) != 0;
  approval.created_ms = row.integer(12);
  approval.expires_ms = row.integer(13);
  approval.decided_ms = row.integer(14);
  approval.status = row.text(15);
  approval.requester_name = row.text(16).empty() ? row.text(17) : row.text(16);
  approval.definition_digest = row.text(18);
  approval.params = row.text(19);
  return approval;
}

VoteRow read_vote(const Statement& row) {
  return {row.text(0), row.text(1), row.text(2),
          row.text(3), row.text(4), row.text(5) == "approve",
          row.text(6), row.text(7), row.integer(8)};
}

std::size_t size_of(const ApprovalRow& row) {
  return kRowBytes + row.message.size() + row.params.size();
}

Error unknown_approval() { return {Code::not_found, "There is no such approval.", {}}; }

Result<> insert_approval(Connection& c, const ApprovalRow& a) {
  TRY(change(
      c,
      "INSERT INTO approvals (id, run_id, tenant, requester, workflow, step, message, digest,"
      " scopes, groups, quorum, not_requester, created_ms, expires_ms, decided_ms, status)"
      " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, 0, 'open')",
      a.id, a.run_id, a.tenant, a.requester, a.workflow, a.step, a.message, a.digest,
      list_text(a.scopes), list_text(a.groups), a.quorum, std::int64_t{a.not_requester},
      a.created_ms, a.expires_ms));
  return {};
}

Result<> insert_vote(Connection& c, const VoteRow& vote) {
  const auto inserted = change(
      c,
      "INSERT INTO approval_votes (approval_id, approver, issuer, subject, name, decision, comment,"
      " request_id, decided_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
      vote.approval_id, vote.approver, vote.issuer, vote.subject, vote.name,
      vote.approves ? "approve" : "reject", vote.comment, vote.request_id, vote.decided_ms);
  if (inserted) return {};
  if (inserted.error().code != Code::conflict) return fail(inserted.error());
  return fail(Code::conflict, "You have decided this approval already.");
}

Result<std::string> status_of(Connection& c, const std::string& id) {
  Statement statement = TRY(query(c, "SELECT status FROM approvals WHERE id = ?1", id));
  if (!TRY(statement.step())) return fail(unknown_approval());
  return statement.text(0);
}

// Counted in the write itself, where no other vote can come between.
Result<std::string> settle_approval(Connection& c, const VoteRow& vote) {
  TRY(change(c,
             "UPDATE approvals SET decided_ms = ?2, status = ?3"
             " WHERE id = ?1 AND status = 'open' AND ("
             "  (?3 = 'rejected') OR quorum <= (SELECT count(*) FROM approval_votes"
             "   WHERE approval_id = ?1 AND decision = 'approve'))",
             vote.approval_id, vote.decided_ms, vote.approves ? "approved" : "rejected"));
  return status_of(c, vote.approval_id);
}

Result<std::string> take_vote(Connection& c, const VoteRow& vote) {
  Statement statement =
      TRY(query(c, "SELECT status, expires_ms FROM approvals WHERE id = ?1", vote.approval_id));
  if (!TRY(statement.step())) return fail(unknown_approval());
  const std::string status = statement.text(0);
  if (status != "open")
    return fail(Code::conflict, fmt::format("This approval is {} already.", status));
  if (statement.integer(1) <= vote.decided_ms)
    return fail(Code::conflict, "This approval has expired.");
  TRY_VOID(insert_vote(c, vote));
  return settle_approval(c, vote);
}

Result<std::string> close_approval(Connection& c, const std::string& id, const std::string& status,
                                   std::int64_t now_ms) {
  TRY(change(c,
             "UPDATE approvals SET status = ?2, decided_ms = ?3 WHERE id = ?1 AND status = 'open'",
             id, status, now_ms));
  return status_of(c, id);
}

}  // namespace

void Approvals::open(ApprovalRow approval, StepRow step, Database::Done done) {
  db_.write(
      [approval = std::move(approval), step = std::move(step)](Connection& c) -> Result<> {
        TRY_VOID(insert_approval(c, approval));
        return update_step(c, step);
      },
      std::move(done));
}

void Approvals::vote(VoteRow vote, std::function<void(Result<std::string>)> done) {
  auto status = std::make_shared<std::string>();
  db_.write(
      [vote = std::move(vote), status](Connection& c) -> Result<> {
        *status = TRY(take_vote(c, vote));
        return {};
      },
      [status, done = std::move(done)](Result<> written) {
        if (!written) return done(fail(std::move(written).error()));
        done(std::move(*status));
      });
}

void Approvals::close(std::string id, std::string status, std::int64_t now_ms,
                      std::function<void(Result<std::string>)> done) {
  auto after = std::make_shared<std::string>();
  db_.write(
      [id = std::move(id), status = std::move(status), now_ms, after](Connection& c) -> Result<> {
        *after = TRY(close_approval(c, id, status, now_ms));
        return {};
      },
      [after, done = std::move(done)](Result<> written) {
        if (!written) return done(fail(std::move(written).error()));
        done(std::move(*after));
      });
}

Result<ApprovalRow> Approvals::get_visible(std::string_view id, const ApprovalViewer& viewer) {
  static const std::string sql = fmt::format("{} WHERE a.id = ?6 AND {}", kSelect, kVisible);
  return read_value(db_, [&](Connection& connection) -> Result<ApprovalRow> {
    Statement statement =
        TRY(query(connection, sql, viewer.tenant, viewer.owner, std::int64_t{viewer.all},
                  list_text(viewer.scopes), list_text(viewer.groups), id));
    if (!TRY(statement.step())) return fail(unknown_approval());
    return read_approval(statement);
  });
}

Result<Page<ApprovalRow>> Approvals::list(const ApprovalViewer& viewer,
                                          const ApprovalFilter& filter) {
  static const std::string sql = fmt::format(
      "{} WHERE {} AND (a.created_ms, a.id) < (?6, ?7) AND (?8 IS NULL OR a.status = ?8)"
      " AND (?9 IS NULL OR a.run_id = ?9) ORDER BY a.created_ms DESC, a.id DESC LIMIT ?10",
      kSelect, kVisible);
  const std::int64_t before =
      filter.before_ms == 0 ? std::numeric_limits<std::int64_t>::max() : filter.before_ms;
  PageLimit limit = filter.limit;
  limit.rows = std::clamp(limit.rows, 1, kPageMax);
  return read_value(db_, [&](Connection& connection) -> Result<Page<ApprovalRow>> {
    return page(
        TRY(query(connection, sql, viewer.tenant, viewer.owner, std::int64_t{viewer.all},
                  list_text(viewer.scopes), list_text(viewer.groups), before, filter.before_id,
                  filter.status, filter.run_id, std::int64_t{limit.rows} + 1)),
        read_approval, limit, size_of);
  });
}

Result<std::vector<ApprovalRow>> Approvals::of_run(std::string_view run_id) {
  static const std::string sql =
      fmt::format("{} WHERE a.run_id = ?1 ORDER BY a.created_ms, a.id", kSelect);
  return read_value(db_, [&](Connection& connection) -> Result<std::vector<ApprovalRow>> {
    return rows(TRY(query(connection, sql, run_id)), read_approval);
  });
}

Result<std::vector<VoteRow>> Approvals::votes(std::string_view approval_id) {
  return read_value(db_, [&](Connection& connection) -> Result<std::vector<VoteRow>> {
    return rows(TRY(query(connection,
                          "SELECT approval_id, approver, issuer, subject, name, decision, comment,"
                          " request_id, decided_ms FROM approval_votes WHERE approval_id = ?1"
                          " ORDER BY decided_ms, approver",
                          approval_id)),
                read_vote);
  });
}

}  // namespace kubiya::store
