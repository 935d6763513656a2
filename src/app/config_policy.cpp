// SPDX-License-Identifier: Apache-2.0
//
// `policy.rules`: scopes by tool, workflow and argument.
#include <fmt/format.h>

#include "app/config_rows.h"
#include "base/encoding.h"

namespace kubiya::app::rows {
namespace {

using policy::Condition;
using policy::ToolRule;

constexpr std::size_t kRulesMax = 1'000;

tl::unexpected<Error> refuse(std::string text) { return fail(Code::invalid, std::move(text)); }

std::optional<std::string> scalar(const json::value& value) {
  if (value.is_string()) return std::string(view(value.get_string()));
  if (value.is_object() || value.is_array() || value.is_null()) return std::nullopt;
  return to_json(value);
}

// One text or a list of them.
std::optional<Values> texts(const json::value& value) {
  Values out;
  if (const json::array* list = value.if_array()) {
    for (const json::value& item : *list) {
      auto text = scalar(item);
      if (!text) return std::nullopt;
      out.push_back(std::move(*text));
    }
    return out;
  }
  auto text = scalar(value);
  if (!text) return std::nullopt;
  out.push_back(std::move(*text));
  return out;
}

Result<> read_conditions(const json::value& value, bool negated, std::vector<Condition>& out) {
  const std::string name = negated ? "unless" : "when";
  const json::object* map = value.if_object();
  if (map == nullptr) return refuse(name + ": allowed: a map of argument paths to values");
  for (const auto& [path, wanted] : *map) {
    auto values = texts(wanted);
    if (!values || values->empty() || std::string_view(path).empty()) {
      return refuse(fmt::format("{}: {}: allowed: a value or a list of values", name,
                                printable(std::string_view(path))));
    }
    out.push_back({std::string(path), std::move(*values), negated});
  }
  return {};
}

Result<Scopes> read_scopes(const json::value& value, std::string_view name) {
  const auto names = texts(value);
  if (!names || names->empty() || !check_scope_names(*names)) {
    return refuse(fmt::format("{}: allowed: scope names", name));
  }
  return Scopes(*names);
}

Result<> read_member(ToolRule& rule, std::string_view name, const json::value& value) {
  if (name == "when" || name == "unless") {
    return read_conditions(value, name == "unless", rule.conditions);
  }
  if (name == "needs") {
    rule.needs = TRY(read_scopes(value, name));
  } else if (name == "scopes") {
    rule.scopes = TRY(read_scopes(value, name));
  } else if (name == "tool" || name == "workflow") {
    if (!value.is_string() || value.get_string().empty()) {
      return refuse(fmt::format("{}: allowed: a name", name));
    }
    (name == "tool" ? rule.tool : rule.workflow) = std::string(view(value.get_string()));
  } else {
    return refuse(fmt::format(
        "unknown key {}; allowed: tool, workflow, when, unless, needs, scopes", printable(name)));
  }
  return {};
}

Result<ToolRule> read_rule(const json::value& value) {
  const json::object* map = value.if_object();
  if (map == nullptr) return refuse("allowed: a map of keys");
  ToolRule rule;
  for (const auto& [name, member] : *map) TRY_VOID(read_member(rule, name, member));
  if (rule.tool.empty()) return refuse("tool: is needed");
  if (rule.needs.empty() && !rule.scopes) return refuse("needs or scopes is needed");
  return rule;
}

Result<> read_rules(Draft& draft, std::string_view json_text) {
  const auto parsed = parse_json(json_text);
  if (!parsed || !parsed->is_array() || parsed->get_array().size() > kRulesMax) {
    return refuse(fmt::format(": allowed: a list of at most {} maps", kRulesMax));
  }
  std::vector<ToolRule> rules;
  for (std::size_t i = 0; i < parsed->get_array().size(); ++i) {
    auto rule = read_rule(parsed->get_array()[i]);
    if (!rule) return refuse(fmt::format("[{}]: {}", i, rule.error().message));
    rules.push_back(std::move(*rule));
  }
  draft.config.tool_rules = std::move(rules);
  return {};
}

json::array list_of(const Values& values) { return json::array(values.begin(), values.end()); }

json::object shown(const ToolRule& rule) {
  json::object out{{"tool", rule.tool}};
  if (!rule.workflow.empty()) out["workflow"] = rule.workflow;
  for (const Condition& condition : rule.conditions) {
    json::value& section = out[condition.negated ? "unless" : "when"];
    if (!section.is_object()) section.emplace_object();
    section.get_object()[condition.path] = list_of(condition.values);
  }
  if (!rule.needs.empty()) out["needs"] = list_of(rule.needs.names());
  if (rule.scopes) out["scopes"] = list_of(rule.scopes->names());
  return out;
}

}  // namespace

void add_policy(std::vector<Key>& t) {
  Key key = row("policy.rules", "list of maps",
                "a list of maps of tool, workflow, when, unless, "
                "needs, scopes",
                "Scopes by tool, workflow and argument; see above.");
  key.shape = Shape::items;
  key.set = [](Draft& draft, const Values& values) { return read_rules(draft, values.front()); };
  key.get = [](Draft& draft) {
    json::array items;
    for (const ToolRule& rule : draft.config.tool_rules) items.push_back(shown(rule));
    return Values{to_json(json::value(std::move(items)))};
  };
  t.push_back(std::move(key));
}

}  // namespace kubiya::app::rows
