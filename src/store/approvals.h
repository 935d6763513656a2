// SPDX-License-Identifier: Apache-2.0
//
// Approvals that runs wait for, and who said what. Blocking and waiting as in store.h; every
// query by a caller is by what that caller may see, in SQL.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "store/database.h"
#include "store/records.h"

namespace kubiya::store {

struct ApprovalRow {
  std::string id;
  std::string run_id;
  std::string tenant;
  std::string requester;  // owner of the run
  std::string workflow;
  std::string step;
  std::string message;              // as it is shown
  std::string digest;               // of what is approved, hex
  std::vector<std::string> scopes;  // who holds all of them may decide
  std::vector<std::string> groups;  // and so may the members of each of these
  std::int64_t quorum = 1;
  bool not_requester = false;
  std::int64_t created_ms = 0;
  std::int64_t expires_ms = 0;
  std::int64_t decided_ms = 0;  // 0: open
  std::string status;           // workflow::ApprovalStatus
  // Of the run, filled in by reads.
  std::string requester_name;
  std::string definition_digest;
  std::string params;  // JSON object, secrets redacted
};

struct VoteRow {
  std::string approval_id;
  std::string approver;  // Principal::owner()
  std::string issuer;
  std::string subject;
  std::string name;  // for people
  bool approves = false;
  std::string comment;
  std::string request_id;
  std::int64_t decided_ms = 0;
};

// Who asks to see approvals: those of their own runs, and those that they are named for.
struct ApprovalViewer {
  std::string tenant;
  std::string owner;
  std::vector<std::string> scopes;
  std::vector<std::string> groups;
  bool all = false;  // every one of the tenant
};

struct ApprovalFilter {
  std::optional<std::string> status;
  std::optional<std::string> run_id;
  std::int64_t before_ms = 0;  // page: created before; 0: newest
  std::string before_id;
  PageLimit limit;
};

class Approvals {
 public:
  explicit Approvals(Database& db) : db_(db) {}

  // The approval and the step that waits for it, in one durable write.
  void open(ApprovalRow approval, StepRow step, Database::Done done);
  // Code::conflict when the approval is not open any more, or this person has voted already. The
  // status is what the vote made of it: one rejection ends it, `quorum` approvals give it.
  void vote(VoteRow vote, std::function<void(Result<std::string>)> done);
  // Ends one that is open; the status is what it has afterwards.
  void close(std::string id, std::string status, std::int64_t now_ms,
             std::function<void(Result<std::string>)> done);

  // Code::not_found for what the viewer may not see.
  Result<ApprovalRow> get_visible(std::string_view id, const ApprovalViewer& viewer);
  // Newest first.
  Result<Page<ApprovalRow>> list(const ApprovalViewer& viewer, const ApprovalFilter& filter);
  // Of one run, in the order they were asked for; whoever asks may see the run.
  Result<std::vector<ApprovalRow>> of_run(std::string_view run_id);
  Result<std::vector<VoteRow>> votes(std::string_view approval_id);

 private:
  Database& db_;
};

}  // namespace kubiya::store
