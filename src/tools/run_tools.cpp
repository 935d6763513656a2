// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include <fmt/format.h>

#include "base/encoding.h"
#include "tools/families.h"
#include "tools/run_page.h"
#include "tools/spec.h"
#include "tools/view.h"
#include "workflow/definition.h"
#include "workflow/plan.h"

namespace kubiya::tools {
namespace {

using policy::Effect;

constexpr std::string_view kExecutionId =
    R"("execution_id":{"type":"string","minLength":1,"maxLength":64,"description":"As returned by execute_workflow"})";
constexpr std::string_view kAfter =
    R"("after":{"type":"string","maxLength":40,"description":"Continue there: `next` of the answer before"})";
constexpr std::string_view kSummary =
    R"("execution_id":{"type":"string"},"workflow":{"type":"string"},)"
    R"("status":{"enum":["queued","running","finished","failed","canceled","partial_success","interrupted","rejected","expired"]},)"
    R"("subject":{"type":"string"},"reason":{"type":"string"},"created_at":{"type":["string","null"]},)"
    R"("started_at":{"type":["string","null"]},"finished_at":{"type":["string","null"]})";
constexpr std::string_view kRun =
    R"("digest":{"type":"string"},"traceparent":{"type":"string"},"outputs":{"type":"object"},"steps":{"type":"array","items":{"type":"object",)"
    R"("properties":{"name":{"type":"string"},"status":{"type":"string"},"attempt":{"type":"integer"},)"
    R"("exit_code":{"type":"integer"},"reason":{"type":"string"},"output":{"type":"string"},"output_truncated":{"type":"boolean"},)"
    R"("started_at":{"type":["string","null"]},"finished_at":{"type":["string","null"]},"depends":{"type":"array","items":{"type":"string"}}},)"
    R"("required":["name","status","attempt"]}},)"
    R"("truncated":{"type":"boolean","description":"Steps or parts of outputs were left out: `after` = `next` shows further steps, get_execution_logs the whole output of a step"},)"
    R"("waits_for":{"type":"array","description":"Approvals that the run waits for; decide_approval decides them","items":)"
    R"({"type":"object","properties":{"approval_id":{"type":"string"},"step":{"type":"string"},"message":{"type":"string"},)"
    R"("expires_at":{"type":["string","null"]}},"required":["approval_id","step","message"]}},)"
    R"("truncated_outputs":{"type":"array","items":{"type":"string"}},"next":{"type":"string"})";
constexpr std::string_view kTruncated =
    R"("truncated":{"type":"boolean","description":"More can be read now, with `next`"})";

constexpr std::size_t kQuestionBytes = 300;
constexpr const char* kBadCursor = "after must be `next` of an earlier answer";
constexpr std::string_view kMore = "\nThere is more: call again with `next` of this answer.";

std::string run_schema(std::string_view more = "") {
  return object_schema(fmt::format("{},{}{}", kSummary, kRun, more),
                       R"("execution_id","workflow","status","steps","outputs","truncated")");
}

Result<store::RunRow> visible_run(const Call& call, const Services& services) {
  const std::string id(*find_string(call.arguments, "execution_id"));
  const auto& principal = call.permit.principal();
  auto run = services.runs.get_visible(id, principal->facts().tenant, visible_owner(principal));
  if (!run && run.error().code == Code::not_found) {
    return fail(Code::not_found, "There is no such execution; list_executions shows yours",
                "execution " + printable(id));
  }
  return run;
}

// The run as it stands now.
struct Shown {
  store::RunRow run;
  json::object view;
  std::string text;

  ToolResult result() && {
    ToolResult result;
    result.structured = to_json(view);
    result.text = std::move(text);
    result.run_id = run.id;
    return result;
  }
};

Result<> show_what_it_waits_for(const Services& services, const std::vector<store::StepRow>& steps,
                                Shown& shown) {
  const bool waits = std::any_of(steps.begin(), steps.end(), [](const store::StepRow& step) {
    return step.status == to_string(workflow::StepStatus::waiting);
  });
  if (!waits) return {};
  json::array open;
  const auto asked = TRY(services.approvals.of_run(shown.run.id));
  for (const store::ApprovalRow& one : asked) {
    if (one.status != to_string(workflow::ApprovalStatus::open)) continue;
    open.push_back({{"approval_id", one.id},
                    {"step", one.step},
                    {"message", one.message},
                    {"expires_at", time_value(one.expires_ms)}});
    shown.text += fmt::format("\nIt waits for an approval ({}): {}", one.id,
                              printable(one.message, kQuestionBytes));
  }
  shown.view["waits_for"] = std::move(open);
  return {};
}

Result<Shown> show(const Services& services, const std::string& run_id, std::size_t first = 0) {
  Shown shown;
  shown.run = TRY(services.runs.get(run_id));
  const auto steps = TRY(services.runs.steps(run_id));
  shown.view = run_view(shown.run, steps, first);
  shown.text = run_sentence(shown.run, steps);
  TRY_VOID(show_what_it_waits_for(services, steps, shown));
  return shown;
}

bool ended_badly(const store::RunRow& run) {
  const auto status = workflow::run_status(run.status);
  return status && workflow::is_final(*status) && *status != workflow::RunStatus::finished &&
         *status != workflow::RunStatus::partial_success;
}

void cancel(const Services& services, const std::shared_ptr<const Call>& call,
            const audit::DurableTicket& ticket, const Done& done) {
  const auto run = visible_run(*call, services);
  if (!run) return done(fail(run.error()));
  const bool own = call->permit.principal()->owner() == run->owner;
  const auto reason = find_string(call->arguments, "reason")
                          .value_or(own ? "canceled by its owner" : "canceled by an administrator");
  const auto asked = services.backend.cancel(call->permit, ticket, run->id, printable(reason, 200));
  if (!asked && asked.error().code != Code::not_found) return done(fail(asked.error()));
  auto shown = show(services, run->id);
  if (!shown) return done(fail(shown.error()));
  shown->view["cancel_requested"] = asked.has_value();
  shown->text =
      asked ? fmt::format("Execution {} is being canceled.", run->id)
            : fmt::format("Execution {} had ended already: {}.", run->id, shown->run.status);
  done(std::move(*shown).result());
}

// Which steps each step waits for, as the definition that runs has it. One that was stored under
// wider limits is shown without.
void add_graph(const Services& services, Shown& shown) {
  const auto parsed =
      workflow::parse(shown.run.definition, services.workflow_limits, shown.run.workflow);
  json::value* const steps = shown.view.if_contains("steps");
  if (!parsed.definition || steps == nullptr) return;
  for (json::value& entry : steps->get_array()) {
    const std::string_view name = find_string(entry.get_object(), "name").value_or("");
    for (const workflow::Step& step : parsed.definition->steps) {
      if (step.name != name) continue;
      entry.get_object()["depends"] = json::array(step.depends.begin(), step.depends.end());
    }
  }
}

Result<ToolResult> get(const Call& call, const Services& services) {
  const auto run = TRY(visible_run(call, services));
  const auto after = parse_cursor(find_string(call.arguments, "after").value_or("0"));
  if (!after) return fail(Code::invalid, kBadCursor);
  Shown shown = TRY(show(services, run.id, static_cast<std::size_t>(after->id)));
  if (find_bool(call.arguments, "graph").value_or(false)) add_graph(services, shown);
  return std::move(shown).result();
}

Result<ToolResult> list(const Call& call, const Services& services) {
  const auto& principal = call.permit.principal();
  store::RunFilter filter;
  filter.tenant = principal->facts().tenant;
  filter.owner = visible_owner(principal);
  if (const auto name = find_string(call.arguments, "workflow"))
    filter.workflow = std::string(*name);
  if (const auto status = find_string(call.arguments, "status"))
    filter.status = std::string(*status);
  filter.limit = page_of(find_int(call.arguments, "limit").value_or(50));
  if (const auto before = find_string(call.arguments, "before")) {
    const auto anchor = services.runs.get_visible(*before, filter.tenant, filter.owner);
    if (!anchor) return fail(Code::invalid, "before must be an execution of yours");
    filter.before_ms = anchor->created_ms;
    filter.before_id = anchor->id;
  }
  const auto [runs, more] = TRY(services.runs.list(filter));
  ToolResult result;
  json::object out{{"truncated", more}};
  if (more) out["next"] = runs.back().id;
  json::array executions;
  result.text =
      runs.empty() ? "There are no executions." : fmt::format("{} executions:", runs.size());
  for (const auto& run : runs) {
    executions.push_back(run_summary(run));
    result.text += fmt::format("\n- {} {}: {}", run.id, run.workflow, run.status);
  }
  if (more) result.text += kMore;
  out["executions"] = std::move(executions);
  result.structured = to_json(out);
  return result;
}

Result<ToolResult> logs(const Call& call, const Services& services) {
  const auto run = TRY(visible_run(call, services));
  std::optional<std::string> step;
  if (const auto name = find_string(call.arguments, "step")) step = std::string(*name);
  const auto after = parse_cursor(find_string(call.arguments, "after").value_or("0"));
  if (!after) return fail(Code::invalid, kBadCursor);
  const auto page = TRY(services.runs.logs(
      run.id, step, *after, page_of(find_int(call.arguments, "limit").value_or(500))));
  ToolResult result;
  json::array entries;
  for (const auto& row : page.rows) {
    entries.push_back({{"step", row.step},
                       {"attempt", row.attempt},
                       {"stream", row.stream},
                       {"time", time_value(row.time_ms)},
                       {"text", row.text}});
    result.text += row.text;
    if (!row.text.empty() && row.text.back() != '\n') result.text += '\n';
  }
  if (page.rows.empty()) result.text = "There is no output yet.";
  if (page.more) result.text += kMore;
  result.structured = to_json(json::object{{"execution_id", run.id},
                                           {"status", run.status},
                                           {"entries", std::move(entries)},
                                           {"truncated", page.more},
                                           {"next", cursor_text(page.next)}});
  return result;
}

ToolSpec get_spec() {
  ToolSpec tool = tool_spec(
      "execution_id", "get_execution", {"read"}, Effect::reads, "Get an execution",
      "Shows how one of your executions stands: status, steps, outputs. Long ones come in parts: "
      "`truncated` says so.",
      object_schema(
          fmt::format(
              R"({},{},"graph":{{"type":"boolean","description":"Also which steps each step waits for"}})",
              kExecutionId, kAfter),
          R"("execution_id")"),
      run_schema());
  tool.meta = shown_on_run_page();
  return tool;
}

Result<> add_read(Registry& registry, const Services& services, ToolSpec tool,
                  Result<ToolResult> (*function)(const Call&, const Services&)) {
  return registry.add(
      std::move(tool),
      Tool::ReadHandler([services, function](const Call& call, const audit::Ticket&, Done done) {
        done(function(call, services));
      }));
}

Result<> add_cancel(Registry& registry, const Services& services) {
  ToolSpec tool = tool_spec(
      "execution_id", "cancel_execution", {"execute"}, Effect::mutates, "Cancel an execution",
      "Stops one of your executions: running steps are terminated, nothing further starts.",
      object_schema(fmt::format(R"({},"reason":{{"type":"string","maxLength":200}})", kExecutionId),
                    R"("execution_id")"),
      run_schema(R"(,"cancel_requested":{"type":"boolean"})"));
  tool.annotations = {.destructive = true, .idempotent = true, .open_world = false};
  tool.always_admitted = true;
  return registry.add(
      std::move(tool),
      Tool::MutateHandler([services](std::shared_ptr<const Call> call,
                                     const audit::DurableTicket& ticket,
                                     Done done) { cancel(services, call, ticket, done); }));
}

}  // namespace

std::string execution_schema() { return run_schema(R"(,"existing":{"type":"boolean"})"); }

Result<ToolResult> execution_answer(const Services& services, const engine::Started& started) {
  Shown shown = TRY(show(services, started.run_id));
  shown.view["existing"] = started.existed;
  const std::string status = shown.run.status;
  const bool failed = ended_badly(shown.run);
  const std::string digest = shown.run.digest;
  ToolResult result = std::move(shown).result();
  result.digest = digest;
  result.failed = failed;
  result.reason = status;
  if (status == "queued" || status == "running") {
    result.text += "\nIt goes on in the background: get_execution tells how it ended.";
  }
  if (started.existed) {
    result.text += "\nThis is the execution started earlier under the same idempotency key";
    result.text += failed ? "; a new key starts another." : ".";
  }
  return result;
}

Result<> add_run_tools(Registry& registry, const Services& services) {
  TRY_VOID(add_execute_tool(registry, services));
  TRY_VOID(add_read(registry, services, get_spec(), get));
  TRY_VOID(add_read(
      registry, services,
      tool_spec(
          "execution_id", "list_executions", {"read"}, Effect::reads, "List executions",
          "Lists your executions, newest first; an admin sees the tenant's.",
          object_schema(
              R"("workflow":{"type":"string","maxLength":40},)"
              R"("status":{"enum":["queued","running","finished","failed","canceled","partial_success","interrupted","rejected","expired"]},)"
              R"("limit":{"type":"integer","minimum":1,"maximum":500,"description":"At most this many, by default 50"},)"
              R"("before":{"type":"string","maxLength":64,"description":"Continue behind this execution: `next` of the page before"})",
              ""),
          object_schema(
              fmt::format(
                  R"("executions":{{"type":"array","items":{}}},"next":{{"type":"string"}},{})",
                  object_schema(kSummary, R"("execution_id","workflow","status")"), kTruncated),
              R"("executions","truncated")")),
      list));
  TRY_VOID(add_read(
      registry, services,
      tool_spec(
          "execution_id", "get_execution_logs", {"read"}, Effect::reads,
          "Get the logs of an execution",
          "Shows what the steps of one of your executions printed, up to 64 KiB at a time. Call "
          "again with `after` = `next` to follow.",
          object_schema(
              fmt::format(
                  R"({},"step":{{"type":"string","maxLength":64}},{},)"
                  R"("limit":{{"type":"integer","minimum":1,"maximum":1000,"description":"At most this many entries, by default 500"}})",
                  kExecutionId, kAfter),
              R"("execution_id")"),
          object_schema(
              R"("execution_id":{"type":"string"},"status":{"type":"string"},"next":{"type":"string"},"truncated":{"type":"boolean","description":"More can be read now, with `next`"},)"
              R"("entries":{"type":"array","items":{"type":"object","properties":{"step":{"type":"string"},)"
              R"("attempt":{"type":"integer"},"stream":{"enum":["stdout","stderr","system"]},)"
              R"("time":{"type":["string","null"]},"text":{"type":"string"}},"required":["step","stream","text"]}})",
              R"("execution_id","entries","next","truncated")")),
      logs));
  return add_cancel(registry, services);
}

}  // namespace kubiya::tools
