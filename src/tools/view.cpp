// SPDX-License-Identifier: Apache-2.0
#include "tools/view.h"

#include <fmt/format.h>

#include "base/clock.h"

namespace kubiya::tools {

json::value time_value(std::int64_t milliseconds) {
  if (milliseconds == 0) return nullptr;
  return json::value(format_time(from_unix_ms(milliseconds)));
}

json::object workflow_summary(const store::WorkflowRow& row) {
  return {{"name", row.name},
          {"description", row.description},
          {"version", row.version},
          {"digest", row.digest},
          {"updated_at", time_value(row.updated_ms)}};
}

json::object run_summary(const store::RunRow& run) {
  json::object view{{"execution_id", run.id},
                    {"workflow", run.workflow},
                    {"status", run.status},
                    {"subject", run.subject},
                    {"created_at", time_value(run.created_ms)},
                    {"started_at", time_value(run.started_ms)},
                    {"finished_at", time_value(run.finished_ms)}};
  if (!run.reason.empty()) view["reason"] = run.reason;
  return view;
}

json::object run_view(const store::RunRow& run, const std::vector<store::StepRow>& steps) {
  json::object view = run_summary(run);
  view["digest"] = run.digest;
  json::array list;
  for (const auto& step : steps) {
    json::object entry{{"name", step.name},
                       {"status", step.status},
                       {"attempt", step.attempt},
                       {"started_at", time_value(step.started_ms)},
                       {"finished_at", time_value(step.finished_ms)}};
    if (step.exit_code) entry["exit_code"] = *step.exit_code;
    if (!step.reason.empty()) entry["reason"] = step.reason;
    if (!step.output.empty()) entry["output"] = step.output;
    list.push_back(std::move(entry));
  }
  view["steps"] = std::move(list);
  const auto outputs =
      run.outputs.empty() ? Result<json::value>(json::object{}) : parse_json(run.outputs);
  view["outputs"] = outputs && outputs->is_object() ? *outputs : json::value(json::object{});
  return view;
}

std::string run_sentence(const store::RunRow& run, const std::vector<store::StepRow>& steps) {
  std::string text = fmt::format("Workflow {}: {}", run.workflow, run.status);
  if (run.started_ms != 0 && run.finished_ms >= run.started_ms) {
    text +=
        fmt::format(" in {:.1f} s", static_cast<double>(run.finished_ms - run.started_ms) / 1000);
  }
  if (!run.reason.empty()) text += fmt::format(" ({})", run.reason);
  text += fmt::format(". Execution {}.", run.id);
  for (const auto& step : steps) {
    text += fmt::format("\n- {}: {}", step.name, step.status);
    if (step.exit_code && *step.exit_code != 0)
      text += fmt::format(", exit code {}", *step.exit_code);
    if (!step.reason.empty()) text += fmt::format(" ({})", step.reason);
  }
  return text;
}

std::optional<ToolResult> refused_now(const policy::Policy& policy, const Call& call,
                                      std::string_view workflow, const json::object& arguments) {
  ToolResult result;
  result.denied = policy.decide_again(call.permit, {workflow, &arguments, true});
  if (!result.denied) return std::nullopt;
  result.reason = "insufficient_scope";
  result.failed = true;
  return result;
}

std::optional<std::string> visible_owner(const PrincipalPtr& principal) {
  if (principal->facts().scopes.has("admin")) return std::nullopt;
  return principal->owner();
}

}  // namespace kubiya::tools
