// SPDX-License-Identifier: Apache-2.0
#include "workflow/definition.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <functional>

#include "base/encoding.h"
#include "base/yaml.h"
#include "workflow/code_words.h"
#include "workflow/expand.h"
#include "workflow/graph.h"
#include "workflow/names.h"
#include "workflow/params.h"
#include "workflow/step_reader.h"

namespace kubiya::workflow {
namespace {

constexpr std::array<std::string_view, 13> kReadable = {
    "name",    "description",   "type",        "params",  "env",
    "steps",   "handlerOn",     "timeoutSec",  "timeout", "maxActiveSteps",
    "publish", "preconditions", "precondition"};
constexpr std::array<std::string_view, 6> kPublicationFields = {
    "tool", "title", "scopes", "readOnly", "destructive", "idempotent"};
constexpr std::array<std::string_view, 33> kUnsupported = {"group",
                                                           "runner",
                                                           "dotenv",
                                                           "secrets",
                                                           "files",
                                                           "schedule",
                                                           "skipIfSuccessful",
                                                           "restartWaitSec",
                                                           "queue",
                                                           "maxActiveRuns",
                                                           "delaySec",
                                                           "maxCleanUpTimeSec",
                                                           "maxOutputSize",
                                                           "tags",
                                                           "mailOn",
                                                           "errorMail",
                                                           "infoMail",
                                                           "smtp",
                                                           "otel",
                                                           "logDir",
                                                           "histRetentionDays",
                                                           "version",
                                                           "author",
                                                           "variables",
                                                           "triggers",
                                                           "conditions",
                                                           "outputs",
                                                           "retries",
                                                           "parallelism",
                                                           "dependencies",
                                                           "run",
                                                           "stdout",
                                                           "stderr"};

class DefinitionReader {
 public:
  DefinitionReader(const Limits& limits, std::string_view name) : reader_(limits) {
    definition_.name = name;
  }

  Parsed run(const json::value& value) {
    const Field root = reader_.root(value);
    if (to_json(value).size() > reader_.limits().text_bytes) {
      reader_.problem(root, fmt::format("longer than {} bytes", reader_.limits().text_bytes));
    } else if (const json::object* object = reader_.object(root)) {
      members(root, *object);
    }
    if (!reader_.clean()) return {std::nullopt, reader_.problems()};
    return {std::move(definition_), {}};
  }

 private:
  void members(const Field& root, const json::object& object) {
    for (const auto& member : object) {
      this->member(member.key(), reader_.member(root, member.key(), member.value()));
    }
    if (definition_.name.empty() && !object.contains("name")) {
      reader_.problem(root, "name is missing");
    }
    if (!object.contains("steps")) reader_.problem(root, "steps is missing");
    resolve_steps(reader_, steps_, definition_.type);
    for (const auto& reads : {std::cref(steps_), std::cref(handlers_)}) {
      for (const ReadStep& read : reads.get()) check_code(read);
    }
    for (ReadStep& read : steps_) definition_.steps.push_back(std::move(read.step));
  }

  void member(std::string_view key, const Field& field) {
    Definition& to = definition_;
    if (key == "name")
      name(field);
    else if (key == "description")
      to.description = reader_.text(field);
    else if (key == "type")
      type(field);
    else if (key == "params")
      to.params = read_params(reader_, field);
    else if (key == "env")
      to.env = reader_.environment(field);
    else if (key == "steps")
      steps(field);
    else if (key == "handlerOn")
      handlers(field);
    else if (key == "timeoutSec" || key == "timeout")
      timeout(field);
    else if (key == "maxActiveSteps")
      to.max_active_steps = reader_.integer(field, 0, kMostActive);
    else if (key == "preconditions" || key == "precondition")
      preconditions(field);
    else if (key == "publish")
      publish(field);
    else
      refuse_member(reader_, field, key, "a workflow", kReadable, kUnsupported);
  }

  // true, or how.
  void publish(const Field& field) {
    if (field.value->is_bool()) {
      if (reader_.flag(field)) definition_.publish.emplace();
      return;
    }
    const json::object* object = reader_.object(field);
    if (object == nullptr) return;
    Publication& to = definition_.publish.emplace();
    for (const auto& member : *object) {
      const std::string_view key = member.key();
      const Field detail = reader_.member(field, key, member.value());
      if (key == "tool")
        tool_name(detail);
      else if (key == "title")
        to.title = reader_.text(detail);
      else if (key == "scopes")
        to.scopes = reader_.texts(detail);
      else if (key == "readOnly")
        to.read_only = reader_.flag(detail);
      else if (key == "destructive")
        to.destructive = reader_.flag(detail);
      else if (key == "idempotent")
        to.idempotent = reader_.flag(detail);
      else
        refuse_member(reader_, detail, key, "publish", kPublicationFields, {});
    }
    // What changes nothing destroys nothing.
    if (to.read_only) to.destructive = false;
  }

  void tool_name(const Field& field) {
    std::string& name = definition_.publish->tool;
    name = reader_.text(field);
    const bool good =
        !name.empty() && name.size() <= 64 && std::all_of(name.begin(), name.end(), [](char c) {
          return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                 c == '_' || c == '-' || c == '.';
        });
    if (!good) reader_.problem(field, "must be 1 to 64 of A-Z a-z 0-9 _ . -");
  }

  void name(const Field& field) {
    definition_.name = reader_.text(field);
    if (!is_workflow_name(definition_.name)) {
      reader_.problem(field, "must be 1 to 40 of A-Z a-z 0-9 _ . -");
    }
  }

  void type(const Field& field) {
    const std::string type = reader_.text(field);
    if (type == "graph")
      definition_.type = Definition::Type::graph;
    else if (type != "chain")
      reader_.problem(field, "must be chain or graph");
  }

  void timeout(const Field& field) {
    if (!given_twice(reader_, field, seen_, "timeoutSec")) {
      definition_.timeout = reader_.seconds(field);
    }
  }

  void preconditions(const Field& field) {
    if (!given_twice(reader_, field, seen_, "preconditions")) {
      definition_.preconditions = read_preconditions(reader_, field);
    }
  }

  void steps(const Field& field) {
    const json::object* map = field.value->if_object();
    const json::array* list = map == nullptr ? reader_.array(field) : nullptr;
    const std::size_t count = map != nullptr ? map->size() : list != nullptr ? list->size() : 1;
    if (count == 0) return reader_.problem(field, "has no step");
    if (count > reader_.limits().steps) {
      return reader_.problem(field, fmt::format("more than {} steps", reader_.limits().steps));
    }
    if (map != nullptr) {
      for (const auto& [name, value] : reader_.pairs(field)) {
        steps_.push_back(read_step(reader_, value, StepPlace::map, name));
      }
    }
    for (std::size_t i = 0; list != nullptr && i < list->size(); ++i) {
      steps_.push_back(read_step(reader_, reader_.item(field, i, (*list)[i]), StepPlace::list, {}));
    }
  }

  void handlers(const Field& field) {
    static constexpr std::array<std::string_view, 4> readable = {"success", "failure", "cancel",
                                                                 "exit"};
    const json::object* object = reader_.object(field);
    if (object == nullptr) return;
    for (const auto& member : *object) {
      const std::string_view key = member.key();
      const Field value = reader_.member(field, key, member.value());
      if (key == "success")
        definition_.on_success = handler(value, "onSuccess");
      else if (key == "failure")
        definition_.on_failure = handler(value, "onFailure");
      else if (key == "cancel")
        definition_.on_cancel = handler(value, "onCancel");
      else if (key == "exit")
        definition_.on_exit = handler(value, "onExit");
      else
        refuse_member(reader_, value, key, "handlerOn", readable, {});
    }
  }

  Step handler(const Field& field, std::string name) {
    return handlers_.emplace_back(read_step(reader_, field, StepPlace::handler, std::move(name)))
        .step;
  }

  // Names this definition or the engine gives a value. Others, like a variable of the code's own
  // language, mean nothing to us.
  bool has_value(const Step& step, std::string_view name) const {
    const auto in = [&](const Pairs& env) {
      return std::ranges::any_of(env, [&](const auto& entry) { return entry.first == name; });
    };
    const auto makes = [&](const ReadStep& read) {
      return read.step.output == name || read.step.id == name;
    };
    const bool engines = name.starts_with("KUBIYA_") || name.starts_with("DAG_") ||
                         name == "PATH" || name == "HOME" || name == "TMPDIR" || name == "LANG";
    const bool token = step.token && step.token->env == name;
    return engines || token || in(definition_.env) || in(step.env) ||
           std::ranges::any_of(definition_.params, [&](const auto& p) { return p.name == name; }) ||
           std::ranges::any_of(steps_, makes) || std::ranges::any_of(handlers_, makes);
  }

  void check_code(const ReadStep& read) {
    const auto& argv = read.step.argv;
    for (const CodeWord& code : code_words(argv)) {
      if (code.is_shell) continue;
      for (const std::string_view name : referenced_names(argv[code.index])) {
        if (!has_value(read.step, name)) continue;
        Field field = read.field;
        field.path += fmt::format(".command[{}]", code.index);
        reader_.problem(
            field, fmt::format("is code for {}, where the value of {} could become code: read the "
                               "environment variable {} there, or pass ${{{}}} as a further item",
                               printable(code.program), name, name, name));
      }
    }
  }

  static constexpr int kMostActive = 1000;
  Reader reader_;
  Definition definition_;
  std::vector<ReadStep> steps_, handlers_;
  std::vector<std::string_view> seen_;
};

Parsed unreadable(std::string message) { return {std::nullopt, {{"", std::move(message)}}}; }

}  // namespace

Parsed parse(std::string_view text, const Limits& limits, std::string_view name) {
  if (text.size() > limits.text_bytes) {
    return unreadable(fmt::format("longer than {} bytes", limits.text_bytes));
  }
  const std::size_t start = text.find_first_not_of(" \t\r\n");
  const bool is_json = start != std::string_view::npos && text[start] == '{';
  const auto value = is_json ? parse_json(text) : parse_yaml(text);
  if (value) return parse(*value, limits, name);
  const Error& error = value.error();
  return unreadable(is_json ? fmt::format("{} ({})", error.message, error.detail) : error.message);
}

Parsed parse(const json::value& value, const Limits& limits, std::string_view name) {
  return DefinitionReader(limits, name).run(value);
}

std::string describe(const std::vector<Problem>& problems) {
  std::string text;
  for (const Problem& problem : problems) {
    if (!text.empty()) text += "; ";
    const bool says_field = problem.field.empty() || problem.message.starts_with(problem.field);
    text += says_field ? problem.message : problem.field + ": " + problem.message;
  }
  return text;
}

}  // namespace kubiya::workflow
