// SPDX-License-Identifier: Apache-2.0
#include "tools/questions.h"

#include <algorithm>
#include <mutex>

#include <fmt/format.h>

#include "base/encoding.h"
#include "tools/asking.h"
#include "workflow/approval.h"

namespace kubiya::tools {
namespace {

constexpr std::string_view kApprove = "approve";
constexpr std::string_view kReject = "reject";
constexpr std::size_t kCommentMax = 1'000;
constexpr std::size_t kShownParams = 500;

bool may_decide(const store::ApprovalRow& row, const PrincipalPtr& who) {
  workflow::Approval approval;
  approval.scopes = row.scopes;
  approval.groups = row.groups;
  approval.not_requester = row.not_requester;
  const workflow::Approver approver{who->owner(), who->facts().scopes, who->facts().groups};
  return standing(approval, approver, row.requester) == workflow::Standing::may_decide;
}

std::string key_of(const store::ApprovalRow& approval) { return "approval-" + approval.id; }

Result<engine::Vote> vote_of(const store::ApprovalRow& approval, const json::object& content) {
  const auto decision = find_string(content, "decision");
  if (!decision || (*decision != kApprove && *decision != kReject)) {
    return fail(Code::invalid, fmt::format("The answer to {} must have a decision: {} or {}.",
                                           key_of(approval), kApprove, kReject));
  }
  engine::Vote vote;
  vote.approval_id = approval.id;
  vote.run_id = approval.run_id;
  vote.digest = approval.digest;
  vote.approves = *decision == kApprove;
  vote.comment = std::string(find_string(content, "comment").value_or(""));
  if (vote.comment.size() > kCommentMax) {
    return fail(Code::invalid, fmt::format("The comment has more than {} bytes.", kCommentMax));
  }
  return vote;
}

}  // namespace

Result<std::vector<store::ApprovalRow>> open_to(const Services& services,
                                                const PrincipalPtr& principal,
                                                const std::string& run_id) {
  std::vector<store::ApprovalRow> out;
  for (store::ApprovalRow& row : TRY(services.approvals.of_run(run_id))) {
    if (row.status != to_string(workflow::ApprovalStatus::open)) continue;
    if (!may_decide(row, principal)) continue;
    const auto votes = TRY(services.approvals.votes(row.id));
    const bool voted = std::any_of(votes.begin(), votes.end(), [&](const store::VoteRow& vote) {
      return vote.approver == principal->owner();
    });
    if (!voted) out.push_back(std::move(row));
  }
  return out;
}

InputRequest question_of(const store::ApprovalRow& approval) {
  std::string message = fmt::format("The workflow {} waits for your approval at {}: {}",
                                    approval.workflow, approval.step, approval.message);
  if (!approval.params.empty() && approval.params != "{}") {
    message += "\nparams: " + printable(approval.params, kShownParams);
  }
  return {key_of(approval),
          "elicitation/create",
          {{"message", std::move(message)},
           {"requestedSchema",
            json::object{
                {"type", "object"},
                {"properties",
                 json::object{{"decision", json::object{{"type", "string"},
                                                        {"title", "Your decision"},
                                                        {"enum", json::array{kApprove, kReject}}}},
                              {"comment", json::object{{"type", "string"},
                                                       {"title", "Why; kept with the decision"},
                                                       {"maxLength", kCommentMax}}}}},
                {"required", json::array{"decision"}}}}}};
}

Result<Said> said_to(const std::vector<store::ApprovalRow>& asked, const json::object& answers) {
  Said out;
  for (const store::ApprovalRow& approval : asked) {
    const FormAnswer answer = TRY(form_answer(answers, key_of(approval)));
    if (answer.kind == FormAnswer::Kind::accepted) {
      out.votes.push_back(TRY(vote_of(approval, *answer.content)));
    } else if (answer.kind != FormAnswer::Kind::none) {
      out.declined.push_back(approval.id);
    }
  }
  return out;
}

void cast(const Services& services, const policy::Permit& permit,
          const audit::DurableTicket& ticket, std::vector<engine::Vote> votes,
          const std::function<void(Result<>)>& done) {
  if (votes.empty()) return done({});
  struct Count {
    std::mutex mutex;
    std::size_t open = 0;
    Result<> result;
  };
  const auto count = std::make_shared<Count>();
  count->open = votes.size();
  for (engine::Vote& vote : votes) {
    services.backend.decide(permit, ticket, std::move(vote),
                            [count, done](const Result<std::string>& status) {
                              const bool late = !status && (status.error().code == Code::conflict ||
                                                            status.error().code == Code::not_found);
                              {
                                const std::lock_guard lock(count->mutex);
                                if (!status && !late) count->result = fail(status.error());
                                if (--count->open != 0) return;
                              }
                              done(count->result);
                            });
  }
}

}  // namespace kubiya::tools
