// SPDX-License-Identifier: Apache-2.0
#include "policy/tool_rule.h"

#include <algorithm>

namespace kubiya::policy {
namespace {

const json::value* find_path(const json::object& object, std::string_view path) {
  if (const json::value* whole = find(object, path)) return whole;
  const std::size_t dot = path.find('.');
  if (dot == path.npos) return nullptr;
  const json::object* inner = find_object(object, path.substr(0, dot));
  return inner == nullptr ? nullptr : find_path(*inner, path.substr(dot + 1));
}

std::string text_of(const json::value& value) {
  return value.is_string() ? std::string(view(value.get_string())) : to_json(value);
}

bool holds(const Condition& condition, const Asked& asked) {
  const json::value* value =
      asked.arguments == nullptr ? nullptr : find_path(*asked.arguments, condition.path);
  // An absent argument is none of the values, once it is known to stay absent.
  if (value == nullptr) return condition.negated && asked.complete;
  const auto& values = condition.values;
  const bool listed = std::find(values.begin(), values.end(), text_of(*value)) != values.end();
  return listed != condition.negated;
}

// With * for any characters; linear but for going back to the last one.
bool matches(std::string_view pattern, std::string_view text) {
  std::size_t p = 0;
  std::size_t t = 0;
  std::size_t star = pattern.npos;
  std::size_t resume = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      resume = t;
    } else if (p < pattern.size() && pattern[p] == text[t]) {
      ++p;
      ++t;
    } else if (star != pattern.npos) {
      p = star + 1;
      t = ++resume;
    } else {
      return false;
    }
  }
  return pattern.find_first_not_of('*', p) == pattern.npos;
}

}  // namespace

bool applies(const ToolRule& rule, const Asked& asked) {
  if (!rule.workflow.empty() &&
      (asked.workflow.empty() || !matches(rule.workflow, asked.workflow))) {
    return false;
  }
  return std::all_of(rule.conditions.begin(), rule.conditions.end(),
                     [&](const Condition& condition) { return holds(condition, asked); });
}

bool is_unconditional(const ToolRule& rule) {
  return rule.workflow.empty() && rule.conditions.empty();
}

}  // namespace kubiya::policy
