// SPDX-License-Identifier: Apache-2.0
//
// Steps that wait for people. A vote and what it makes of the approval are one durable write;
// the run goes on behind it. What is approved is this run, of this definition, with these
// arguments, as this question: the digest is of all of them.
#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/canonical_json.h"
#include "base/encoding.h"
#include "base/ids.h"
#include "crypto/digest.h"
#include "engine/run.h"
#include "engine/step_state.h"
#include "workflow/expand.h"

namespace kubiya::engine {
namespace {

using workflow::ApprovalStatus;
using Kind = workflow::AttemptResult::Kind;

constexpr std::size_t kMessageBytes = 4 * 1024;
constexpr std::size_t kSaidBytes = 200;

// Of secrets the run's id speaks: its arguments never change.
std::string digest_of(const store::RunRow& run, const store::ApprovalRow& approval) {
  const auto params = parse_json(run.params);
  const json::object subject{{"approval", approval.id},
                             {"run", run.id},
                             {"workflow", run.workflow},
                             {"definition", run.digest},
                             {"params", params ? *params : json::value(json::object{})},
                             {"step", approval.step},
                             {"message", approval.message}};
  return hex(crypto::view(crypto::sha256(canonical_json(json::value(subject)))));
}

std::string name_of(const PrincipalFacts& who) {
  if (who.display_name.empty() || who.display_name == who.subject) {
    return printable(who.subject, 80);
  }
  return fmt::format("{} ({})", printable(who.display_name, 80), printable(who.subject, 80));
}

store::VoteRow vote_row(const Decision& decision, std::int64_t now_ms) {
  const PrincipalFacts& who = decision.by->facts();
  return {decision.vote.approval_id,
          decision.by->owner(),
          who.issuer,
          who.subject,
          who.display_name,
          decision.vote.approves,
          decision.vote.comment,
          decision.request_id,
          now_ms};
}

}  // namespace

store::ApprovalRow Run::approval_row(std::size_t step, std::string message) const {
  const workflow::Approval& approval = *plan_.step(step).approval;
  store::ApprovalRow row;
  row.id = uuid_v7(now_ms());
  row.run_id = row_.id;
  row.tenant = row_.tenant;
  row.requester = row_.owner;
  row.workflow = row_.workflow;
  row.step = plan_.step(step).name;
  row.message = std::move(message);
  row.scopes = approval.scopes;
  row.groups = approval.groups;
  row.quorum = approval.quorum;
  row.not_requester = approval.not_requester;
  row.created_ms = now_ms();
  row.expires_ms = row.created_ms + std::chrono::milliseconds(approval.expires).count();
  row.digest = digest_of(row_, row);
  return row;
}

void Run::ask(std::size_t step) {
  StepState& state = *steps_[step];
  const workflow::Approval& approval = *plan_.step(step).approval;
  const auto filled = workflow::expand(approval.message, state.attempt->variables->lookup());
  if (!filled) return not_launched(step, "approval.message: " + filled.error().message);
  if (!host_.take_approval(*this)) {
    return not_launched(step, "too many approvals are open (engine.open_approvals)");
  }
  std::string message = Scrubber(secrets_).whole(*filled);
  if (message.empty()) message = fmt::format("May the workflow {} go on?", row_.workflow);
  if (message.size() > kMessageBytes) message = printable(message, kMessageBytes);
  state.attempt->variables.reset();
  state.waiting = std::make_unique<Waiting>();
  ++open_approvals_;
  state.waiting->approval = approval_row(step, std::move(message));
  state.row.status = to_string(workflow::StepStatus::waiting);
  host_.approvals.open(
      state.waiting->approval, state.row,
      on_loop([step, id = state.waiting->approval.id](Run& run, const Result<>& saved) {
        if (run.waiting_step(id)) run.asked(step, saved);
      }));
  leave_place(step);
}

void Run::asked(std::size_t step, const Result<>& saved) {
  Waiting& waiting = *steps_[step]->waiting;
  if (!saved) return storage_failed(saved.error());
  waiting.durable = true;
  waiting.expiry = loop_->after(plan_.step(step).approval->expires, [this, step] { expire(step); });
  record_approval("approval_requested", step, {{"quorum", waiting.approval.quorum}});
  publish(RunEvent::Kind::step_waiting, steps_[step]->row.name, steps_[step]->row.status,
          waiting.approval.message);
  host_.set_idle(*this, only_waits());
}

std::optional<std::size_t> Run::waiting_step(const std::string& approval_id) const {
  for (std::size_t i = 0; i < steps_.size(); ++i) {
    if (steps_[i]->waiting && steps_[i]->waiting->approval.id == approval_id) return i;
  }
  return std::nullopt;
}

Result<> Run::check_vote(std::size_t step, const Decision& decision) const {
  const store::ApprovalRow& open = steps_[step]->waiting->approval;
  const PrincipalFacts& who = decision.by->facts();
  const workflow::Approver approver{decision.by->owner(), who.scopes, who.groups};
  switch (standing(*plan_.step(step).approval, approver, open.requester)) {
    case workflow::Standing::not_named:
      return fail(Code::not_found, "There is no such approval for you to decide.");
    case workflow::Standing::is_requester:
      return fail(Code::forbidden, "You started this run: somebody else has to decide.");
    case workflow::Standing::may_decide:
      break;
  }
  if (!crypto::equal_constant_time(decision.vote.digest, open.digest)) {
    return fail(Code::conflict,
                "The digest is not of what waits for an approval: look at it again first.");
  }
  if (now_ms() >= open.expires_ms) return fail(Code::conflict, "This approval has expired.");
  return {};
}

void Run::decide(const Decision& decision, const Backend::Decided& done) {
  const auto step = waiting_step(decision.vote.approval_id);
  if (!step || !steps_[*step]->waiting->durable) {
    return done(fail(Code::conflict, "This approval is not open any more."));
  }
  if (auto checked = check_vote(*step, decision); !checked) {
    return done(fail(std::move(checked).error()));
  }
  host_.approvals.vote(vote_row(decision, now_ms()),
                       [loop = loop_, weak = weak_from_this(), step = *step, decision,
                        done](const Result<std::string>& status) {
                         loop->post([weak, step, decision, done, status] {
                           if (const auto run = weak.lock(); run && status)
                             run->voted(step, decision, *status);
                           done(status);
                         });
                       });
}

void Run::voted(std::size_t step, const Decision& decision, const std::string& status) {
  const PrincipalFacts& who = decision.by->facts();
  if (waiting_step(decision.vote.approval_id) != step) return;  // the run was stopped meanwhile
  record_approval("approval_decided", step,
                  {{"decision", decision.vote.approves ? "approve" : "reject"},
                   {"status", status},
                   {"issuer", who.issuer},
                   {"subject", who.subject},
                   {"request_id", decision.request_id}});
  Waiting& waiting = *steps_[step]->waiting;
  waiting.approvers.push_back(name_of(who));
  if (status == to_string(ApprovalStatus::approved)) {
    const std::string by = fmt::format("approved by {}", fmt::join(waiting.approvers, ", "));
    return conclude(step, {Kind::exited, 0, {}}, by);
  }
  if (status == to_string(ApprovalStatus::rejected)) {
    std::string by = "rejected by " + name_of(who);
    if (const auto& why = decision.vote.comment; !why.empty())
      by += ": " + printable(why, kSaidBytes);
    const std::string said = "was " + by;
    return conclude(step, {Kind::rejected, 0, {}, said}, by);
  }
  publish(RunEvent::Kind::step_waiting, steps_[step]->row.name, steps_[step]->row.status,
          fmt::format("{} of {} approvals", waiting.approvers.size(), waiting.approval.quorum));
}

// A vote on its way to the disk may come first; then it counts.
void Run::expire(std::size_t step) {
  host_.approvals.close(
      steps_[step]->waiting->approval.id, std::string(to_string(ApprovalStatus::expired)), now_ms(),
      [loop = loop_, weak = weak_from_this(), step,
       id = steps_[step]->waiting->approval.id](const Result<std::string>& status) {
        loop->post([weak, step, id, status] {
          const auto run = weak.lock();
          if (!run || run->waiting_step(id) != step) return;
          if (!status) return run->storage_failed(status.error());
          if (*status != to_string(ApprovalStatus::expired)) return;
          run->record_approval("approval_expired", step, {});
          const Waiting& waiting = *run->steps_[step]->waiting;
          const std::string said = fmt::format("was not given in time: {} of {}",
                                               waiting.approvers.size(), waiting.approval.quorum);
          run->conclude(step, {Kind::expired, 0, {}, said}, "expired");
        });
      });
}

void Run::withdraw(std::size_t step) {
  host_.approvals.close(steps_[step]->waiting->approval.id,
                        std::string(to_string(ApprovalStatus::withdrawn)), now_ms(),
                        [](const Result<std::string>&) {});
  record_approval("approval_withdrawn", step, {});
  conclude(step, {Kind::canceled, 0, {}}, "canceled");
}

void Run::stop_waiting(std::size_t step) {
  const auto waiting = std::move(steps_[step]->waiting);
  if (!waiting) return;
  --open_approvals_;
  loop_->cancel(waiting->expiry);
  host_.give_back_approval(*this);
}

bool Run::only_waits() const {
  if (open_approvals_ == 0) return false;
  for (std::size_t i = 0; i < steps_.size(); ++i) {
    if (!steps_[i]->waiting && plan_.step_status(i) == workflow::StepStatus::running) return false;
  }
  return true;
}

void Run::record_approval(std::string_view event, std::size_t step, json::object more) const {
  const store::ApprovalRow& approval = steps_[step]->waiting->approval;
  json::object fields{{"approval", approval.id}, {"run_id", row_.id},
                      {"tenant", row_.tenant},   {"workflow", row_.workflow},
                      {"step", approval.step},   {"digest", approval.digest}};
  for (auto& [name, value] : more) fields[name] = std::move(value);
  host_.journal.event(event, fields);
}

}  // namespace kubiya::engine
