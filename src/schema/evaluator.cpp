// SPDX-License-Identifier: Apache-2.0
#include "schema/evaluator.h"

#include <algorithm>
#include <optional>
#include <utility>

#include <fmt/format.h>

namespace kubiya::schema {
namespace {

TypeSet types_of(const json::value& value) {
  switch (value.kind()) {
    case json::kind::null:
      return kNull;
    case json::kind::bool_:
      return kBoolean;
    case json::kind::object:
      return kObject;
    case json::kind::array:
      return kArray;
    case json::kind::string:
      return kString;
    default:
      return is_integer(value) ? kNumber | kInteger : kNumber;
  }
}

std::size_t code_points(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xc0) != 0x80;
  }));
}

template <class Describe>
bool broken(Report* report, const Path& path, std::string_view keyword, Describe&& predicate) {
  if (report != nullptr) report->add(path, keyword, predicate());
  return false;
}

void unite(std::vector<bool>& into, const std::vector<bool>& from) {
  for (std::size_t i = 0; i < from.size(); ++i) {
    if (from[i]) into[i] = true;
  }
}

}  // namespace

void Evaluated::add(const Evaluated& other) {
  unite(members, other.members);
  unite(items, other.items);
}

std::vector<Violation> Evaluator::run(const json::value& instance) {
  Report report;
  const Path root;
  const bool valid = node(0, {instance, root, nullptr, &report});
  // An abandoned evaluation proves nothing, least of all under a `not`.
  if (budget_.spent()) {
    return {{"", "limit", "the value is too large or too deep to be checked against its schema"}};
  }
  if (valid) return {};
  if (report.violations.empty()) report.add(root, "schema", "does not match its schema");
  return std::move(report.violations);
}

bool Evaluator::node(NodeId id, const Site& site) {
  if (depth_ >= kValidationDepth) give_up();
  if (!budget_.charge(1)) return false;
  const Node& node = graph_.nodes[id];
  if (node.never) return broken(site.report, site.path, "false", [] { return "is not allowed"; });
  const bool enters = scope_.empty() || scope_.back() != node.resource;
  if (enters) scope_.push_back(node.resource);
  ++depth_;
  const bool valid = judge(node, site);
  --depth_;
  if (enters) scope_.pop_back();
  return valid;
}

bool Evaluator::judge(const Node& node, const Site& site) {
  const bool tracks = site.evaluated != nullptr || node.wants_evaluated;
  if (!tracks) return rules(node, site);
  Evaluated own;
  if (const auto* object = site.value.if_object()) own.members.resize(object->size());
  if (const auto* array = site.value.if_array()) own.items.resize(array->size());
  if (!budget_.charge((own.members.size() + own.items.size()) / 8)) return false;
  const bool valid = rules(node, {site.value, site.path, &own, site.report});
  if (valid && site.evaluated != nullptr) site.evaluated->add(own);
  return valid;
}

bool Evaluator::rules(const Node& node, const Site& site) {
  bool valid = true;
  for (const Rule& rule : node.rules) {
    if (std::visit([&](const auto& r) { return apply(r, site); }, rule)) continue;
    valid = false;
    if (site.report == nullptr || site.report->full() || budget_.spent()) break;
  }
  return valid;
}

bool Evaluator::apply(const TypeRule& rule, const Site& site) {
  if (rule.types & types_of(site.value)) return true;
  return broken(site.report, site.path, "type", [&] { return describe(rule); });
}

bool Evaluator::apply(const EnumRule& rule, const Site& site) {
  for (const auto& value : rule.values) {
    if (json_equal(value, site.value, budget_)) return true;
  }
  return broken(site.report, site.path, keyword_of(rule), [&] { return describe(rule); });
}

bool Evaluator::apply(const BoundRule& rule, const Site& site) {
  const auto number = to_number(site.value);
  if (!number) return true;
  const long double limit = *to_number(rule.limit);
  bool within = false;
  switch (rule.bound) {
    case Bound::maximum:
      within = *number <= limit;
      break;
    case Bound::exclusive_maximum:
      within = *number < limit;
      break;
    case Bound::minimum:
      within = *number >= limit;
      break;
    case Bound::exclusive_minimum:
      within = *number > limit;
      break;
  }
  if (within) return true;
  return broken(site.report, site.path, keyword_of(rule), [&] { return describe(rule); });
}

bool Evaluator::apply(const MultipleRule& rule, const Site& site) {
  if (!site.value.is_number()) return true;
  const auto number = to_decimal(site.value);
  if (number && is_multiple(*number, rule.divisor)) return true;
  return broken(site.report, site.path, "multipleOf", [&] { return describe(rule); });
}

bool Evaluator::apply(const CountRule& rule, const Site& site) {
  std::optional<std::size_t> count;
  if (const auto* text = site.value.if_string(); text && rule.what == Counted::characters) {
    budget_.charge(text->size() / 64);
    count = code_points(view(*text));
  }
  if (const auto* array = site.value.if_array(); array && rule.what == Counted::items) {
    count = array->size();
  }
  if (const auto* object = site.value.if_object(); object && rule.what == Counted::properties) {
    count = object->size();
  }
  if (!count || (rule.is_maximum ? *count <= rule.limit : *count >= rule.limit)) return true;
  return broken(site.report, site.path, keyword_of(rule), [&] { return describe(rule); });
}

bool Evaluator::apply(const UniqueRule&, const Site& site) {
  const auto* array = site.value.if_array();
  if (array == nullptr || !has_repeats(*array, budget_)) return true;
  return broken(site.report, site.path, "uniqueItems", [] { return "must not repeat an item"; });
}

bool Evaluator::apply(const PatternRule& rule, const Site& site) {
  const auto* text = site.value.if_string();
  if (text == nullptr || rule.regex->search(view(*text), budget_)) return true;
  return broken(site.report, site.path, "pattern", [&] { return describe(rule); });
}

bool Evaluator::apply(const FormatRule& rule, const Site& site) {
  const auto* text = site.value.if_string();
  if (text == nullptr) return true;
  budget_.charge(text->size() / 16);
  if (has_format(view(*text), rule.format)) return true;
  return broken(site.report, site.path, "format", [&] { return describe(rule); });
}

bool Evaluator::apply(const RequiredRule& rule, const Site& site) {
  const auto* object = site.value.if_object();
  if (object == nullptr) return true;
  budget_.charge(rule.names.size() / 4);
  bool valid = true;
  for (const auto& name : rule.names) {
    if (object->contains(name)) continue;
    valid = broken(site.report, site.path.member(name), "required", [] { return "is required"; });
  }
  return valid;
}

bool Evaluator::apply(const DependentRequiredRule& rule, const Site& site) {
  const auto* object = site.value.if_object();
  if (object == nullptr) return true;
  bool valid = true;
  for (const auto& [name, needed] : rule.names) {
    budget_.charge(1 + needed.size() / 4);
    if (!object->contains(name)) continue;
    for (const auto& other : needed) {
      if (object->contains(other)) continue;
      valid = broken(site.report, site.path.member(other), "dependentRequired", [&, &given = name] {
        return fmt::format("is required when {} is given", site.path.member(given).subject());
      });
    }
  }
  return valid;
}

bool Evaluator::apply(const CombineRule& rule, const Site& site) {
  return rule.how == Combination::all_of ? all_of(rule, site) : some_of(rule, site);
}

bool Evaluator::all_of(const CombineRule& rule, const Site& site) {
  bool valid = true;
  for (const NodeId id : rule.nodes) {
    if (node(id, site)) continue;
    valid = false;
    if (site.report == nullptr) break;
  }
  return valid;
}

// anyOf and oneOf. When no branch fits, the branch that got furthest into the
// instance explains why: that is most likely the one the caller meant.
bool Evaluator::some_of(const CombineRule& rule, const Site& site) {
  const bool any = rule.how == Combination::any_of;
  std::size_t fits = 0;
  Report best;
  for (const NodeId id : rule.nodes) {
    Report report;
    if (node(id, {site.value, site.path, site.evaluated, site.report ? &report : nullptr})) {
      ++fits;
      if (any ? site.evaluated == nullptr : fits > 1) break;
    } else if (report.deepest > best.deepest) {
      best = std::move(report);
    }
  }
  if (any ? fits > 0 : fits == 1) return true;
  if (site.report == nullptr) return false;
  if (fits == 0 && best.deepest > site.path.depth()) {
    site.report->append(std::move(best));
    return false;
  }
  return broken(site.report, site.path, any ? "anyOf" : "oneOf", [&] {
    return fmt::format("must match {} one of its {} allowed forms{}", any ? "at least" : "exactly",
                       rule.nodes.size(), fits > 1 ? "; it matches more" : "");
  });
}

bool Evaluator::apply(const NotRule& rule, const Site& site) {
  if (!node(rule.node, {site.value, site.path, nullptr, nullptr})) return true;
  return broken(site.report, site.path, "not", [] { return "has a form that is not allowed"; });
}

bool Evaluator::apply(const IfRule& rule, const Site& site) {
  const bool holds = node(rule.condition, {site.value, site.path, site.evaluated, nullptr});
  const NodeId next = holds ? rule.then_node : rule.else_node;
  return next == kNoNode || node(next, site);
}

bool Evaluator::apply(const DependentSchemasRule& rule, const Site& site) {
  const auto* object = site.value.if_object();
  if (object == nullptr) return true;
  bool valid = true;
  for (const auto& [name, id] : rule.nodes) {
    budget_.charge(1);
    if (object->contains(name) && !node(id, site)) valid = false;
  }
  return valid;
}

bool Evaluator::apply(const RefRule& rule, const Site& site) { return node(rule.node, site); }

bool Evaluator::apply(const DynamicRefRule& rule, const Site& site) {
  for (const auto number : scope_) {
    budget_.charge(1);
    const auto& anchors = graph_.resources[number].dynamic_anchors;
    if (const auto at = anchors.find(rule.anchor); at != anchors.end()) {
      return node(at->second, site);
    }
  }
  return node(rule.node, site);
}

bool Evaluator::apply(const ItemsRule& rule, const Site& site) {
  const auto* array = site.value.if_array();
  if (array == nullptr) return true;
  bool valid = true;
  for (std::size_t i = 0; i < array->size() && !budget_.spent(); ++i) {
    const NodeId id = i < rule.prefix.size() ? rule.prefix[i] : rule.rest;
    if (id == kNoNode) break;
    if (site.evaluated != nullptr) site.evaluated->items[i] = true;
    if (child(id, (*array)[i], site.path.item(i), site.report)) continue;
    valid = false;
    if (site.report == nullptr || site.report->full()) break;
  }
  return valid;
}

bool Evaluator::apply(const ContainsRule& rule, const Site& site) {
  const auto* array = site.value.if_array();
  if (array == nullptr) return true;
  std::uint64_t found = 0;
  for (std::size_t i = 0; i < array->size() && !budget_.spent(); ++i) {
    if (!child(rule.node, (*array)[i], site.path.item(i), nullptr)) continue;
    ++found;
    if (site.evaluated != nullptr) site.evaluated->items[i] = true;
  }
  if (found < rule.least) {
    return broken(site.report, site.path, rule.least == 1 ? "contains" : "minContains", [&] {
      return fmt::format("must contain at least {} item{} of the required form", rule.least,
                         rule.least == 1 ? "" : "s");
    });
  }
  if (!rule.most || found <= *rule.most) return true;
  return broken(site.report, site.path, "maxContains", [&] {
    return fmt::format("must contain at most {} item{} of the described form", *rule.most,
                       *rule.most == 1 ? "" : "s");
  });
}

bool Evaluator::apply(const PropertiesRule& rule, const Site& site) {
  const auto* object = site.value.if_object();
  if (object == nullptr) return true;
  bool valid = true;
  std::size_t index = 0;
  for (const auto& pair : *object) {
    bool known = false;
    if (!member(rule, pair, site, known)) valid = false;
    if (known && site.evaluated != nullptr) site.evaluated->members[index] = true;
    ++index;
    if (budget_.spent() || (!valid && (site.report == nullptr || site.report->full()))) break;
  }
  return valid;
}

bool Evaluator::member(const PropertiesRule& rule, const json::key_value_pair& member,
                       const Site& site, bool& known) {
  budget_.charge(1);
  const std::string_view key(member.key());
  const Path path = site.path.member(key);
  bool valid = true;
  const auto named =
      std::lower_bound(rule.names.begin(), rule.names.end(), key,
                       [](const NamedNode& entry, std::string_view k) { return entry.first < k; });
  if (named != rule.names.end() && named->first == key) {
    known = true;
    valid = child(named->second, member.value(), path, site.report);
  }
  for (const auto& [regex, id] : rule.patterns) {
    if (!regex->search(key, budget_)) continue;
    known = true;
    valid = child(id, member.value(), path, site.report) && valid;
  }
  if (known || rule.additional == kNoNode) return valid;
  known = true;
  if (!graph_.nodes[rule.additional].never) {
    return child(rule.additional, member.value(), path, site.report);
  }
  return broken(site.report, path, "additionalProperties",
                [&] { return describe_unknown_member(rule); });
}

bool Evaluator::apply(const PropertyNamesRule& rule, const Site& site) {
  const auto* object = site.value.if_object();
  if (object == nullptr) return true;
  bool valid = true;
  for (const auto& member : *object) {
    const std::string_view key(member.key());
    budget_.charge(key.size() / 64);
    if (!child(rule.node, json::value(key), site.path.name(key), site.report)) valid = false;
    if (budget_.spent() || (!valid && site.report == nullptr)) break;
  }
  return valid;
}

bool Evaluator::apply(const UnevaluatedItemsRule& rule, const Site& site) {
  const auto* array = site.value.if_array();
  if (array == nullptr) return true;
  bool valid = true;
  for (std::size_t i = 0; i < array->size() && !budget_.spent(); ++i) {
    if (site.evaluated->items[i]) continue;
    site.evaluated->items[i] = true;
    if (!child(rule.node, (*array)[i], site.path.item(i), site.report)) valid = false;
  }
  return valid;
}

bool Evaluator::apply(const UnevaluatedPropertiesRule& rule, const Site& site) {
  const auto* object = site.value.if_object();
  if (object == nullptr) return true;
  bool valid = true;
  std::size_t index = 0;
  for (const auto& member : *object) {
    const std::size_t at = index++;
    if (site.evaluated->members[at]) continue;
    site.evaluated->members[at] = true;
    const Path path = site.path.member(std::string_view(member.key()));
    if (graph_.nodes[rule.node].never) {
      valid =
          broken(site.report, path, "unevaluatedProperties", [] { return "is not a known field"; });
    } else if (!child(rule.node, member.value(), path, site.report)) {
      valid = false;
    }
    if (budget_.spent()) break;
  }
  return valid;
}

}  // namespace kubiya::schema
