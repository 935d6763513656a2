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

// What the policy says of the call of decide_approval that the vote stands for.
tl::expected<policy::Permit, policy::Denied> permit_of(const Services& services,
                                                       const PrincipalPtr& principal,
                                                       const engine::Vote& vote) {
  json::object arguments{{"approval_id", vote.approval_id},
                         {"decision", vote.approves ? kApprove : kReject},
                         {"digest", vote.digest}};
  if (!vote.comment.empty()) arguments["comment"] = vote.comment;
  return services.policy.decide(principal, decide_operation(), {{}, &arguments, true});
}

// Whoever is asked must be able to say yes as well as no.
bool may_say(const Services& services, const PrincipalPtr& principal,
             const store::ApprovalRow& row) {
  engine::Vote vote;
  vote.approval_id = row.id;
  vote.digest = row.digest;
  const bool no = permit_of(services, principal, vote).has_value();
  vote.approves = true;
  return no && permit_of(services, principal, vote).has_value();
}

}  // namespace

const policy::Operation& decide_operation() {
  static const policy::Operation operation{
      "decide_approval", {"execute"}, policy::Effect::mutates, false};
  return operation;
}

Result<std::vector<store::ApprovalRow>> open_to(const Services& services,
                                                const PrincipalPtr& principal,
                                                std::vector<store::ApprovalRow> approvals) {
  std::vector<store::ApprovalRow> out;
  for (store::ApprovalRow& row : approvals) {
    if (row.status != to_string(workflow::ApprovalStatus::open)) continue;
    if (!may_decide(row, principal) || !may_say(services, principal, row)) continue;
    const auto votes = TRY(services.approvals.votes(row.id));
    const bool voted = std::any_of(votes.begin(), votes.end(), [&](const store::VoteRow& vote) {
      return vote.approver == principal->owner();
    });
    if (!voted) out.push_back(std::move(row));
  }
  return out;
}

Result<std::vector<store::ApprovalRow>> open_to(const Services& services,
                                                const PrincipalPtr& principal,
                                                const std::string& run_id) {
  return open_to(services, principal, TRY(services.approvals.of_run(run_id)));
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

void cast(const Services& services, const PrincipalPtr& principal,
          const audit::DurableTicket& ticket, std::vector<engine::Vote> votes,
          const std::function<void(Result<>)>& done) {
  if (votes.empty()) return done({});
  std::vector<policy::Permit> permits;
  permits.reserve(votes.size());
  for (const engine::Vote& vote : votes) {
    auto permit = permit_of(services, principal, vote);
    if (!permit) {
      return done(fail(Code::forbidden, "You may not decide this approval so.",
                       "decide_approval needs " + permit.error().needed.text()));
    }
    permits.push_back(std::move(*permit));
  }
  struct Count {
    std::mutex mutex;
    std::size_t open = 0;
    Result<> result;
  };
  const auto count = std::make_shared<Count>();
  count->open = votes.size();
  for (std::size_t i = 0; i < votes.size(); ++i) {
    services.backend.decide(permits[i], ticket, std::move(votes[i]),
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
