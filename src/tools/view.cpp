// SPDX-License-Identifier: Apache-2.0
#include "tools/view.h"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

#include "base/clock.h"
#include "base/encoding.h"
#include "workflow/definition.h"

namespace kubiya::tools {
namespace {

// One answer holds about this much text of each kind; a value and a reason as much as is useful
// in one place.
constexpr std::size_t kPageBytes = 64 * 1024;
constexpr std::size_t kValueBytes = 16 * 1024;
constexpr std::size_t kStepValueBytes = 4 * 1024;
constexpr std::size_t kReasonBytes = 1024;
// What the text for people shows of a run.
constexpr std::size_t kShownSteps = 100;
constexpr std::size_t kShownOutputs = 20;
constexpr std::size_t kShownBytes = 200;
constexpr std::size_t kStepBytes = 256;  // of an entry, beside its texts

bool is_continuation(char byte) { return (byte & 0xC0) == 0x80; }

// The start of `text`, cut at a character.
std::string_view start_of(std::string_view text, std::size_t bytes) {
  if (text.size() <= bytes) return text;
  while (bytes > 0 && is_continuation(text[bytes])) --bytes;
  return text.substr(0, bytes);
}

std::string shortened(std::string_view text, std::size_t bytes) {
  const std::string_view start = start_of(text, bytes);
  return std::string(start) + (start.size() < text.size() ? "…" : "");
}

// Names of handlers are refused for steps, so the name tells.
bool is_idle_handler(const store::StepRow& step) {
  return step.status == "not_started" && workflow::is_handler_name(step.name);
}

json::object step_view(const store::StepRow& step) {
  json::object entry{{"name", step.name},
                     {"status", step.status},
                     {"attempt", step.attempt},
                     {"started_at", time_value(step.started_ms)},
                     {"finished_at", time_value(step.finished_ms)}};
  if (step.exit_code) entry["exit_code"] = *step.exit_code;
  if (!step.reason.empty()) entry["reason"] = shortened(step.reason, kReasonBytes);
  if (step.output.empty()) return entry;
  const std::string_view output = start_of(step.output, kStepValueBytes);
  entry["output"] = output;
  if (output.size() < step.output.size()) entry["output_truncated"] = true;
  return entry;
}

void add_steps(json::object& view, const std::vector<store::StepRow>& steps, std::size_t first) {
  json::array list;
  std::size_t used = 0;
  for (std::size_t i = first; i < steps.size(); ++i) {
    if (is_idle_handler(steps[i])) continue;
    if (used >= kPageBytes) {
      view["next"] = std::to_string(i);
      view["truncated"] = true;
      break;
    }
    json::object entry = step_view(steps[i]);
    if (entry.contains("output_truncated")) view["truncated"] = true;
    used += kStepBytes + steps[i].name.size() + std::min(steps[i].reason.size(), kReasonBytes) +
            std::min(steps[i].output.size(), kStepValueBytes);
    list.push_back(std::move(entry));
  }
  view["steps"] = std::move(list);
}

void add_outputs(json::object& view, const std::string& stored) {
  const auto parsed = stored.empty() ? Result<json::value>(json::object{}) : parse_json(stored);
  json::object outputs;
  json::array cut;
  std::size_t left = kPageBytes;
  if (!parsed || !parsed->is_object()) {
    view["outputs"] = std::move(outputs);
    return;
  }
  for (const auto& member : parsed->get_object()) {
    const std::string_view whole = find_string(parsed->get_object(), member.key()).value_or("");
    const std::string_view start = start_of(whole, std::min(kValueBytes, left));
    left -= start.size();
    outputs[member.key()] = start;
    if (start.size() < whole.size()) cut.emplace_back(member.key());
  }
  view["outputs"] = std::move(outputs);
  if (cut.empty()) return;
  view["truncated_outputs"] = std::move(cut);
  view["truncated"] = true;
}

// For people: on one line, without control codes, and short.
void append_value(std::string& text, std::string_view name, std::string_view value) {
  const std::string shown = printable(value, kShownBytes);
  text += fmt::format("\n  {} = {}", name, shown);
  if (value.size() > kShownBytes) {
    text += fmt::format(" ({} bytes; get_execution_logs shows all)", value.size());
  }
}

void append_step(std::string& text, const store::StepRow& step) {
  text += fmt::format("\n- {}: {}", step.name, step.status);
  if (!step.reason.empty()) {
    text += fmt::format(" ({})", shortened(step.reason, kReasonBytes));
  } else if (step.exit_code && *step.exit_code != 0) {
    text += fmt::format(" (exit code {})", *step.exit_code);
  }
}

void append_steps(std::string& text, const std::vector<store::StepRow>& steps) {
  std::size_t shown = 0;
  for (const auto& step : steps) {
    if (is_idle_handler(step)) continue;
    if (++shown <= kShownSteps) append_step(text, step);
  }
  if (shown > kShownSteps) {
    text += fmt::format("\n… and {} further steps: get_execution shows them", shown - kShownSteps);
  }
}

void append_outputs(std::string& text, const std::string& stored) {
  const auto parsed = stored.empty() ? Result<json::value>(json::object{}) : parse_json(stored);
  if (!parsed || !parsed->is_object() || parsed->get_object().empty()) return;
  const json::object& outputs = parsed->get_object();
  text += "\nOutputs:";
  std::size_t shown = 0;
  for (const auto& member : outputs) {
    if (++shown > kShownOutputs) break;
    append_value(text, member.key(), find_string(outputs, member.key()).value_or(""));
  }
  if (outputs.size() > kShownOutputs) {
    text +=
        fmt::format("\n  … and {} more: get_execution shows them", outputs.size() - kShownOutputs);
  }
}

template <class Number>
bool read_number(std::string_view text, Number& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size() && number >= 0;
}

}  // namespace

store::PageLimit page_of(std::int64_t rows) { return {static_cast<int>(rows), kPageBytes}; }

std::string cursor_text(const store::LogCursor& cursor) {
  if (cursor.offset == 0) return std::to_string(cursor.id);
  return fmt::format("{}.{}", cursor.id, cursor.offset);
}

std::optional<store::LogCursor> parse_cursor(std::string_view text) {
  store::LogCursor cursor;
  const std::size_t dot = text.find('.');
  if (!read_number(text.substr(0, dot), cursor.id)) return std::nullopt;
  if (dot != text.npos && !read_number(text.substr(dot + 1), cursor.offset)) return std::nullopt;
  return cursor;
}

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
  if (!run.reason.empty()) view["reason"] = shortened(run.reason, kReasonBytes);
  return view;
}

json::object run_view(const store::RunRow& run, const std::vector<store::StepRow>& steps,
                      std::size_t first) {
  json::object view = run_summary(run);
  view["digest"] = run.digest;
  if (!run.traceparent.empty()) view["traceparent"] = run.traceparent;
  view["truncated"] = false;
  add_steps(view, steps, first);
  add_outputs(view, run.outputs);
  return view;
}

std::string run_sentence(const store::RunRow& run, const std::vector<store::StepRow>& steps) {
  std::string text = fmt::format("Workflow {}: {}", run.workflow, run.status);
  if (run.started_ms != 0 && run.finished_ms >= run.started_ms) {
    text +=
        fmt::format(" in {:.1f} s", static_cast<double>(run.finished_ms - run.started_ms) / 1000);
  }
  if (!run.reason.empty()) text += fmt::format(" ({})", shortened(run.reason, kReasonBytes));
  text += fmt::format(". Execution {}.", run.id);
  append_steps(text, steps);
  append_outputs(text, run.outputs);
  return text;
}

std::optional<ToolResult> refused_now(const policy::Policy& policy, const Call& call,
                                      std::string_view workflow, const json::object& arguments) {
  ToolResult result;
  auto denied = policy.decide_again(call.permit, {workflow, &arguments, true});
  if (!denied) return std::nullopt;
  result.denied = std::make_shared<const policy::Denied>(std::move(*denied));
  result.reason = "insufficient_scope";
  result.failed = true;
  return result;
}

std::optional<std::string> visible_owner(const PrincipalPtr& principal) {
  if (principal->facts().scopes.has("admin")) return std::nullopt;
  return principal->owner();
}

}  // namespace kubiya::tools
