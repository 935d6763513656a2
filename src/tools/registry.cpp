// SPDX-License-Identifier: Apache-2.0
#include "tools/registry.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/encoding.h"

namespace kubiya::tools {
namespace {

bool is_tool_name(std::string_view name) {
  return !name.empty() && name.size() <= 64 && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.';
  });
}

// Parses and compiles one schema of a tool; its root must describe an object.
Result<schema::Schema> compile(std::string_view tool, std::string_view which, std::string_view text,
                               json::value& parsed) {
  auto value = parse_json(text);
  if (!value) {
    return fail(value.error().code, fmt::format("{}: the {} schema is not JSON", tool, which),
                value.error().detail);
  }
  const auto* object = value->if_object();
  if (object == nullptr || find_string(*object, "type") != "object") {
    return fail(Code::invalid,
                fmt::format("{}: the {} schema must have type \"object\"", tool, which));
  }
  parsed = std::move(*value);
  return schema::Schema::compile(parsed);
}

json::object listing(const ToolSpec& spec, const json::value& input, const json::value& output) {
  json::object tool;
  tool["name"] = spec.operation.name;
  tool["title"] = spec.title;
  tool["description"] = spec.description;
  tool["inputSchema"] = input;
  if (output.is_object()) tool["outputSchema"] = output;
  const bool reads = spec.operation.effect == policy::Effect::reads;
  tool["annotations"] = json::object{{"title", spec.title},
                                     {"readOnlyHint", reads},
                                     {"destructiveHint", spec.annotations.destructive},
                                     {"idempotentHint", reads || spec.annotations.idempotent},
                                     {"openWorldHint", spec.annotations.open_world}};
  return tool;
}

}  // namespace

std::optional<std::string> Tool::check(const json::value& arguments) const {
  const auto violations = input_->validate(arguments);
  if (violations.empty()) return std::nullopt;
  std::string text;
  for (const auto& violation : violations) {
    if (!text.empty()) text += "; ";
    text += violation.message;
  }
  return text;
}

void Tool::read(const Call& call, const audit::Ticket& ticket, Done done) const {
  ASSERT(read_, "only reading tools are called with a plain ticket");
  read_(call, ticket, std::move(done));
}

void Tool::mutate(std::shared_ptr<const Call> call, const audit::DurableTicket& ticket,
                  Done done) const {
  ASSERT(mutate_, "only mutating tools are called with a durable ticket");
  mutate_(std::move(call), ticket, std::move(done));
}

Result<std::unique_ptr<Tool>> Registry::make(ToolSpec spec) const {
  const std::string& name = spec.operation.name;
  if (!is_tool_name(name)) {
    return fail(
        Code::invalid,
        fmt::format("{} is not a tool name: use 1 to 64 of A-Z a-z 0-9 _ - .", printable(name)));
  }
  if (by_name_.contains(name)) {
    return fail(Code::conflict, fmt::format("there is a tool named {} already", name));
  }
  json::value input, output;
  auto tool = std::make_unique<Tool>();
  tool->input_ = TRY(compile(name, "input", spec.input_schema, input));
  if (!spec.output_schema.empty()) {
    TRY(compile(name, "output", spec.output_schema, output));
  }
  tool->listing_ = to_json(listing(spec, input, output));
  tool->spec_ = std::move(spec);
  return tool;
}

Result<> Registry::add(ToolSpec spec, Tool::ReadHandler handler) {
  ASSERT(spec.operation.effect == policy::Effect::reads, "a reading handler needs a reading tool");
  auto tool = TRY(make(std::move(spec)));
  tool->read_ = std::move(handler);
  by_name_.emplace(tool->operation().name, tool.get());
  tools_.push_back(std::move(tool));
  return {};
}

Result<> Registry::add(ToolSpec spec, Tool::MutateHandler handler) {
  ASSERT(spec.operation.effect == policy::Effect::mutates,
         "a mutating handler needs a mutating tool");
  auto tool = TRY(make(std::move(spec)));
  tool->mutate_ = std::move(handler);
  by_name_.emplace(tool->operation().name, tool.get());
  tools_.push_back(std::move(tool));
  return {};
}

const Tool* Registry::find(std::string_view name) const {
  const auto at = by_name_.find(name);
  return at == by_name_.end() ? nullptr : at->second;
}

Scopes Registry::scopes() const {
  Scopes all;
  for (const auto& tool : tools_) all = all.unite(tool->operation().scopes);
  return all;
}

}  // namespace kubiya::tools
