// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "base/encoding.h"
#include "tools/families.h"
#include "tools/questions.h"
#include "tools/spec.h"
#include "tools/view.h"
#include "workflow/approval.h"

namespace kubiya::tools {
namespace {

using policy::Effect;

constexpr std::string_view kApproval =
    R"("approval_id":{"type":"string"},"execution_id":{"type":"string"},"workflow":{"type":"string"},"step":{"type":"string"},)"
    R"("message":{"type":"string"},"params":{"type":"object"},"requester":{"type":"string"},)"
    R"("status":{"enum":["open","approved","rejected","expired","withdrawn"]},)"
    R"("digest":{"type":"string","description":"Of what is asked: run, definition, params and message"},)"
    R"("quorum":{"type":"integer"},"scopes":{"type":"array","items":{"type":"string"}},"groups":{"type":"array","items":{"type":"string"}},)"
    R"("not_requester":{"type":"boolean"},"created_at":{"type":["string","null"]},"expires_at":{"type":["string","null"]},)"
    R"("decided_at":{"type":["string","null"]},"votes":{"type":"array","items":{"type":"object","properties":{"subject":{"type":"string"},)"
    R"("name":{"type":"string"},"decision":{"enum":["approve","reject"]},"comment":{"type":"string"},"decided_at":{"type":["string","null"]}},)"
    R"("required":["subject","decision"]}})";
constexpr std::string_view kApprovalRequired =
    R"("approval_id","execution_id","workflow","step","message","status","digest","quorum","votes")";

store::ApprovalViewer viewer_of(const Call& call) {
  const PrincipalPtr& principal = call.permit.principal();
  const PrincipalFacts& facts = principal->facts();
  store::ApprovalViewer viewer;
  viewer.tenant = facts.tenant;
  viewer.owner = principal->owner();
  viewer.scopes = facts.scopes.names();
  viewer.groups = facts.groups;
  viewer.all = !visible_owner(principal).has_value();
  return viewer;
}

json::array strings(const std::vector<std::string>& names) {
  return json::array(names.begin(), names.end());
}

json::array votes_view(const std::vector<store::VoteRow>& votes) {
  json::array list;
  for (const store::VoteRow& vote : votes) {
    json::object entry{{"subject", vote.subject},
                       {"decision", vote.approves ? "approve" : "reject"},
                       {"decided_at", time_value(vote.decided_ms)}};
    if (!vote.name.empty()) entry["name"] = vote.name;
    if (!vote.comment.empty()) entry["comment"] = vote.comment;
    list.push_back(std::move(entry));
  }
  return list;
}

Result<json::object> approval_view(const Services& services, const store::ApprovalRow& row) {
  const auto votes = TRY(services.approvals.votes(row.id));
  const auto params = parse_json(row.params);
  return json::object{
      {"approval_id", row.id},
      {"execution_id", row.run_id},
      {"workflow", row.workflow},
      {"step", row.step},
      {"message", row.message},
      {"params", params && params->is_object() ? *params : json::value(json::object{})},
      {"requester", row.requester_name},
      {"status", row.status},
      {"digest", row.digest},
      {"quorum", row.quorum},
      {"scopes", strings(row.scopes)},
      {"groups", strings(row.groups)},
      {"not_requester", row.not_requester},
      {"created_at", time_value(row.created_ms)},
      {"expires_at", time_value(row.expires_ms)},
      {"decided_at", time_value(row.decided_ms)},
      {"votes", votes_view(votes)}};
}

Result<ToolResult> list(const Call& call, const Services& services) {
  const store::ApprovalViewer viewer = viewer_of(call);
  store::ApprovalFilter filter;
  if (const auto status = find_string(call.arguments, "status"))
    filter.status = std::string(*status);
  if (const auto run = find_string(call.arguments, "execution_id"))
    filter.run_id = std::string(*run);
  filter.limit = page_of(find_int(call.arguments, "limit").value_or(50));
  if (const auto before = find_string(call.arguments, "before")) {
    const auto anchor = services.approvals.get_visible(*before, viewer);
    if (!anchor) return fail(Code::invalid, "before must be an approval that you can see");
    filter.before_ms = anchor->created_ms;
    filter.before_id = anchor->id;
  }
  const auto page = TRY(services.approvals.list(viewer, filter));
  ToolResult result;
  json::object out{{"truncated", page.more}};
  if (page.more) out["next"] = page.rows.back().id;
  json::array approvals;
  result.text = page.rows.empty() ? "There are no approvals for you to see."
                                  : fmt::format("{} approvals:", page.rows.size());
  for (const store::ApprovalRow& row : page.rows) {
    approvals.push_back(TRY(approval_view(services, row)));
    result.text += fmt::format("\n- {} ({}): {}, step {}, asked by {}: {}", row.id, row.status,
                               row.workflow, printable(row.step), printable(row.requester_name),
                               printable(row.message, 300));
  }
  out["approvals"] = std::move(approvals);
  result.structured = to_json(out);
  return result;
}

Result<ToolResult> decided(const Services& services, const store::ApprovalRow& before,
                           bool approves, const std::string& status) {
  store::ApprovalRow row = before;
  row.status = status;
  if (status != to_string(workflow::ApprovalStatus::open))
    row.decided_ms = unix_ms(services.clock.wall());
  ToolResult result;
  result.structured = to_json(TRY(approval_view(services, row)));
  result.text =
      fmt::format("You {} step {} of execution {}. The approval is {}.",
                  approves ? "approved" : "rejected", printable(row.step), row.run_id, status);
  result.run_id = row.run_id;
  result.reason = approves ? "approve" : "reject";
  return result;
}

// Whether somebody may decide is judged where the run is, once more and last.
void decide(const Services& services, const std::shared_ptr<const Call>& call,
            const audit::DurableTicket& ticket, const Done& done) {
  const std::string id(*find_string(call->arguments, "approval_id"));
  auto row = services.approvals.get_visible(id, viewer_of(*call));
  if (!row) return done(fail(row.error()));
  engine::Vote vote;
  vote.approval_id = id;
  vote.run_id = row->run_id;
  vote.digest = std::string(*find_string(call->arguments, "digest"));
  vote.approves = *find_string(call->arguments, "decision") == "approve";
  vote.comment = std::string(find_string(call->arguments, "comment").value_or(""));
  const bool approves = vote.approves;
  services.backend.decide(
      call->permit, ticket, std::move(vote),
      [services, row = std::move(*row), approves, done](Result<std::string> status) {
        services.workers.submit_always([services, row, approves, done, status = std::move(status)] {
          if (!status) return done(fail(status.error()));
          done(decided(services, row, approves, *status));
        });
      });
}

Result<> add_list(Registry& registry, const Services& services) {
  ToolSpec tool = tool_spec(
      "execution_id", "list_approvals", {"read"}, Effect::reads, "List approvals",
      "Lists what runs ask approval for, newest first: of your own runs, and what you are named "
      "for. Show it to the person before you decide anything.",
      object_schema(
          R"("status":{"enum":["open","approved","rejected","expired","withdrawn"]},)"
          R"("execution_id":{"type":"string","minLength":1,"maxLength":64},)"
          R"("limit":{"type":"integer","minimum":1,"maximum":200,"description":"At most this many, by default 50"},)"
          R"("before":{"type":"string","maxLength":64,"description":"Continue behind this approval: `next` of the page before"})",
          ""),
      object_schema(
          fmt::format(
              R"("approvals":{{"type":"array","items":{}}},"next":{{"type":"string"}},"truncated":{{"type":"boolean"}})",
              object_schema(kApproval, kApprovalRequired)),
          R"("approvals","truncated")"));
  return registry.add(std::move(tool),
                      Tool::ReadHandler([services](const Call& call, const audit::Ticket&,
                                                   Done done) { done(list(call, services)); }));
}

Result<> add_decide(Registry& registry, const Services& services) {
  ToolSpec tool = tool_spec(
      "approval_id", decide_operation().name, decide_operation().scopes, Effect::mutates,
      "Decide an approval",
      "Approves or rejects, as you and once, what a run waits for. Only for what the person has "
      "read and decided; `digest` says that this is what they saw.",
      object_schema(
          R"("approval_id":{"type":"string","minLength":1,"maxLength":64,"description":"As list_approvals shows it"},)"
          R"("decision":{"enum":["approve","reject"]},)"
          R"("digest":{"type":"string","pattern":"^[0-9a-f]{64}$","description":"As list_approvals shows it"},)"
          R"("comment":{"type":"string","maxLength":1000,"description":"Kept with the decision"})",
          R"("approval_id","decision","digest")"),
      object_schema(kApproval, kApprovalRequired));
  tool.annotations = {.destructive = true, .idempotent = true, .open_world = false};
  tool.always_admitted = true;
  return registry.add(
      std::move(tool),
      Tool::MutateHandler([services](std::shared_ptr<const Call> call,
                                     const audit::DurableTicket& ticket,
                                     Done done) { decide(services, call, ticket, done); }));
}

}  // namespace

Result<> add_approval_tools(Registry& registry, const Services& services) {
  TRY_VOID(add_list(registry, services));
  return add_decide(registry, services);
}

}  // namespace kubiya::tools
