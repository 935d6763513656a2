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
  tool["name"] = spec.name;
  if (!spec.title.empty()) tool["title"] = spec.title;
  tool["description"] = spec.description;
  tool["inputSchema"] = input;
  if (output.is_object()) tool["outputSchema"] = output;
  const bool reads = spec.read_only || spec.operation.effect == policy::Effect::reads;
  tool["annotations"] = json::object{{"title", spec.title},
                                     {"readOnlyHint", reads},
                                     {"destructiveHint", spec.annotations.destructive},
                                     {"idempotentHint", reads || spec.annotations.idempotent},
                                     {"openWorldHint", spec.annotations.open_world}};
  if (!spec.meta.empty()) tool["_meta"] = spec.meta;
  return tool;
}

bool is_token(std::string_view text) {
  constexpr std::string_view kOther = "!#$%&'*+-.^_`|~";  // RFC 9110, 5.6.2
  return !text.empty() && std::all_of(text.begin(), text.end(), [kOther](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           kOther.find(c) != kOther.npos;
  });
}

bool names_header(const json::value& schema) {
  if (const auto* list = schema.if_array())
    return std::any_of(list->begin(), list->end(), names_header);
  const auto* object = schema.if_object();
  if (object == nullptr) return false;
  if (object->contains("x-mcp-header")) return true;
  return std::any_of(object->begin(), object->end(),
                     [](const auto& member) { return names_header(member.value()); });
}

// Collects what `properties` alone lead to; an annotation anywhere else has no place in the
// arguments that could be named.
Result<> collect_headers(std::string_view tool, const json::object& schema,
                         std::vector<std::string> path, std::vector<Tool::HeaderParam>& found) {
  for (const auto& [keyword, value] : schema) {
    if (keyword == "properties" || keyword == "x-mcp-header") continue;
    if (names_header(value)) {
      return fail(Code::invalid,
                  fmt::format("{}: x-mcp-header is allowed under properties only", tool));
    }
  }
  const json::object* properties = find_object(schema, "properties");
  if (properties == nullptr) return {};
  for (const auto& [name, value] : *properties) {
    const auto* object = value.if_object();
    if (object == nullptr) continue;
    std::vector<std::string> here = path;
    here.emplace_back(name);
    if (object->contains("x-mcp-header")) {
      const std::string_view header = find_string(*object, "x-mcp-header").value_or("");
      const std::string_view type = find_string(*object, "type").value_or("");
      if (!is_token(header) || (type != "string" && type != "integer" && type != "boolean")) {
        return fail(Code::invalid,
                    fmt::format("{}: x-mcp-header must be a header name on a string, an integer or "
                                "a boolean",
                                tool));
      }
      std::string full = "Mcp-Param-" + std::string(header);
      for (const auto& other : found) {
        if (iequals(other.header, full)) {
          return fail(Code::invalid,
                      fmt::format("{}: the header {} is named twice", tool, printable(full)));
        }
      }
      found.push_back({std::move(full), here});
    }
    TRY_VOID(collect_headers(tool, *object, std::move(here), found));
  }
  return {};
}

Result<std::vector<Tool::HeaderParam>> header_params(std::string_view tool,
                                                     const json::object& schema) {
  std::vector<Tool::HeaderParam> found;
  TRY_VOID(collect_headers(tool, schema, {}, found));
  return found;
}

}  // namespace

ToolResult ToolResult::asking(std::vector<InputRequest> asks, std::string state) {
  ToolResult result;
  result.unfinished =
      std::make_shared<const Unfinished>(Unfinished{std::move(asks), std::move(state), false, {}});
  return result;
}

ToolResult ToolResult::goes_on_as(std::string task) {
  ToolResult result;
  result.unfinished =
      std::make_shared<const Unfinished>(Unfinished{{}, {}, false, std::move(task)});
  return result;
}

std::optional<std::string> Tool::check(const json::value& arguments, bool may_ask) const {
  const schema::Schema& input = may_ask && partial_input_ ? *partial_input_ : *input_;
  const auto violations = input.validate(arguments);
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

Result<std::unique_ptr<Tool>> Registry::compile(ToolSpec spec) {
  if (spec.name.empty()) spec.name = spec.operation.name;
  const std::string& name = spec.name;
  if (!is_tool_name(name)) {
    return fail(
        Code::invalid,
        fmt::format("{} is not a tool name: use 1 to 64 of A-Z a-z 0-9 _ - .", printable(name)));
  }
  json::value input, output;
  auto tool = std::make_unique<Tool>();
  tool->input_ = TRY(tools::compile(name, "input", spec.input_schema, input));
  if (spec.asks_for_missing) {
    json::object partial = input.get_object();
    partial.erase("required");
    json::value whole;
    tool->partial_input_ = TRY(tools::compile(name, "input", to_json(partial), whole));
  }
  if (!spec.output_schema.empty()) {
    TRY(tools::compile(name, "output", spec.output_schema, output));
  }
  tool->header_params_ = TRY(header_params(name, input.get_object()));
  tool->listing_ = to_json(listing(spec, input, output));
  tool->spec_ = std::move(spec);
  return tool;
}

Result<> Registry::insert(std::unique_ptr<Tool> tool) {
  if (by_name_.contains(tool->name())) {
    return fail(Code::conflict,
                fmt::format("there is a tool named {} already", printable(tool->name())));
  }
  by_name_.emplace(tool->name(), tool.get());
  tools_.push_back(std::move(tool));
  return {};
}

Result<> Registry::add(ToolSpec spec, Tool::ReadHandler handler) {
  ASSERT(spec.operation.effect == policy::Effect::reads, "a reading handler needs a reading tool");
  auto tool = TRY(compile(std::move(spec)));
  tool->read_ = std::move(handler);
  return insert(std::move(tool));
}

Result<> Registry::add(ToolSpec spec, Tool::MutateHandler handler) {
  ASSERT(spec.operation.effect == policy::Effect::mutates,
         "a mutating handler needs a mutating tool");
  auto tool = TRY(compile(std::move(spec)));
  tool->mutate_ = std::move(handler);
  return insert(std::move(tool));
}

Result<std::shared_ptr<const Tool>> Registry::make(ToolSpec spec, Tool::ReadHandler handler) {
  ASSERT(spec.operation.effect == policy::Effect::reads, "a reading handler needs a reading tool");
  auto tool = TRY(compile(std::move(spec)));
  tool->read_ = std::move(handler);
  return std::shared_ptr<const Tool>(std::move(tool));
}

Result<std::shared_ptr<const Tool>> Registry::make(ToolSpec spec, Tool::MutateHandler handler) {
  ASSERT(spec.operation.effect == policy::Effect::mutates,
         "a mutating handler needs a mutating tool");
  auto tool = TRY(compile(std::move(spec)));
  tool->mutate_ = std::move(handler);
  return std::shared_ptr<const Tool>(std::move(tool));
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
