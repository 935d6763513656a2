// SPDX-License-Identifier: Apache-2.0
#include "schema/compiler.h"

#include <algorithm>
#include <array>
#include <unordered_map>
#include <utility>

#include <fmt/format.h>

#include "base/encoding.h"
#include "schema/cycles.h"
#include "schema/registry.h"
#include "schema/uri.h"

namespace kubiya::schema {
namespace {

constexpr std::size_t kMaxPatternBytes = 4 << 20;  // compiled, all patterns of a schema together

std::optional<TypeSet> type_named(std::string_view name) {
  constexpr std::array<std::pair<std::string_view, TypeSet>, 7> kTypes = {{
      {"null", kNull},
      {"boolean", kBoolean},
      {"object", kObject},
      {"array", kArray},
      {"number", kNumber},
      {"string", kString},
      {"integer", kInteger},
  }};
  for (const auto& [known, bit] : kTypes) {
    if (name == known) return bit;
  }
  return std::nullopt;
}

class Compiler {
 public:
  explicit Compiler(const CompileOptions& options) : registry_(options) {}

  Result<Graph> run(const json::value& schema) {
    TRY_VOID(registry_.add("", schema));
    node_of(schema);
    TRY_VOID(drain());
    TRY_VOID(refuse_endless_references(graph_));
    return std::move(graph_);
  }

 private:
  // The members of the schema object in hand, and where it stands.
  struct Source {
    const json::object& schema;
    const Location& location;
    const Dialect dialect;
    const json::value* find(std::string_view keyword) const { return schema.if_contains(keyword); }
  };

  static tl::unexpected<Error> refuse(const Source& at, std::string_view keyword,
                                      std::string_view why) {
    return fail(Code::invalid, fmt::format("schema at \"{}/{}\": {}",
                                           printable(at.location.pointer, 200), keyword, why));
  }

  // The number of the node for `schema`; what is new is compiled later, by drain().
  NodeId node_of(const json::value& schema) {
    const auto [at, added] = ids_.emplace(&schema, static_cast<NodeId>(graph_.nodes.size()));
    if (added) {
      graph_.nodes.emplace_back();
      queue_.push_back(&schema);
    }
    return at->second;
  }

  Result<> drain() {
    for (std::size_t i = 0; i < queue_.size(); ++i) {
      const json::value& schema = *queue_[i];
      const Location location = registry_.location(schema);
      open_resource(location.resource);
      Node node;
      node.resource = location.resource;
      TRY_VOID(compile(schema, location, node));
      graph_.nodes[i] = std::move(node);
    }
    return {};
  }

  // A dynamic reference may lead to any dynamic anchor of a resource that is entered.
  void open_resource(std::uint32_t number) {
    if (graph_.resources.size() <= number) graph_.resources.resize(number + 1);
    if (opened_.size() <= number) opened_.resize(number + 1);
    if (opened_[number]) return;
    opened_[number] = true;
    for (const auto& [name, schema] : registry_.resource(number).dynamic_anchors) {
      graph_.resources[number].dynamic_anchors.emplace(name, node_of(*schema));
    }
  }

  Result<> compile(const json::value& schema, const Location& location, Node& node) {
    if (const auto* truth = schema.if_bool()) {
      node.never = !*truth;
      return {};
    }
    if (!schema.is_object()) {
      return fail(Code::invalid,
                  fmt::format("schema at \"{}\": a schema must be an object, true or "
                              "false",
                              printable(location.pointer, 200)));
    }
    const Source at{schema.get_object(), location, registry_.resource(location.resource).dialect};
    if (at.dialect.validation) TRY_VOID(compile_validation(at, node));
    TRY_VOID(compile_format(at, node));
    TRY_VOID(compile_references(at, node));
    if (at.dialect.applicator) TRY_VOID(compile_applicators(at, node));
    if (at.dialect.unevaluated) TRY_VOID(compile_unevaluated(at, node));
    return {};
  }

  Result<> compile_validation(const Source& at, Node& node) {
    TRY_VOID(compile_type(at, node));
    TRY_VOID(compile_values(at, node));
    TRY_VOID(compile_bounds(at, node));
    TRY_VOID(compile_counts(at, node));
    TRY_VOID(compile_pattern(at, node));
    return compile_required(at, node);
  }

  Result<> compile_type(const Source& at, Node& node) {
    const auto* value = at.find("type");
    if (value == nullptr) return {};
    TypeSet types = 0;
    const auto add = [&](const json::value& name) {
      const auto bit = name.is_string() ? type_named(view(name.get_string())) : std::nullopt;
      types |= bit.value_or(0);
      return bit.has_value();
    };
    bool known = true;
    if (const auto* list = value->if_array()) {
      known = !list->empty() && std::all_of(list->begin(), list->end(), add);
    } else {
      known = add(*value);
    }
    if (!known) return refuse(at, "type", "must name one or more JSON types");
    node.rules.emplace_back(TypeRule{types});
    return {};
  }

  Result<> compile_values(const Source& at, Node& node) {
    if (const auto* value = at.find("enum")) {
      const auto* list = value->if_array();
      if (list == nullptr) return refuse(at, "enum", "must be an array");
      node.rules.emplace_back(EnumRule{{list->begin(), list->end()}, false});
    }
    if (const auto* value = at.find("const")) {
      EnumRule rule{{}, true};
      rule.values.push_back(*value);
      node.rules.emplace_back(std::move(rule));
    }
    return {};
  }

  Result<> compile_bounds(const Source& at, Node& node) {
    constexpr std::array<std::pair<const char*, Bound>, 4> kBounds = {{
        {"maximum", Bound::maximum},
        {"exclusiveMaximum", Bound::exclusive_maximum},
        {"minimum", Bound::minimum},
        {"exclusiveMinimum", Bound::exclusive_minimum},
    }};
    for (const auto& [keyword, bound] : kBounds) {
      const auto* value = at.find(keyword);
      if (value == nullptr) continue;
      if (!value->is_number()) return refuse(at, keyword, "must be a number");
      node.rules.emplace_back(BoundRule{bound, *value});
    }
    if (const auto* value = at.find("multipleOf")) {
      const auto number = to_number(*value);
      const auto divisor = to_decimal(*value);
      if (!number || *number <= 0 || !divisor) {
        return refuse(at, "multipleOf", "must be a number above 0");
      }
      node.rules.emplace_back(MultipleRule{*divisor, *value});
    }
    return {};
  }

  static Result<std::optional<std::uint64_t>> count(const Source& at, std::string_view keyword) {
    const auto* value = at.find(keyword);
    if (value == nullptr) return std::nullopt;
    const auto number = to_number(*value);
    if (!number || !is_integer(*value) || *number < 0) {
      return refuse(at, keyword, "must be a whole number, 0 or above");
    }
    return *number > 1e18L ? std::uint64_t{1'000'000'000'000'000'000}
                           : static_cast<std::uint64_t>(*number);
  }

  static Result<bool> flag(const Source& at, std::string_view keyword) {
    const auto* value = at.find(keyword);
    if (value == nullptr) return false;
    if (!value->is_bool()) return refuse(at, keyword, "must be true or false");
    return value->get_bool();
  }

  Result<> compile_counts(const Source& at, Node& node) {
    struct Row {
      const char* keyword;
      Counted what;
      bool is_maximum;
    };
    constexpr std::array<Row, 6> kRows = {{
        {"minLength", Counted::characters, false},
        {"maxLength", Counted::characters, true},
        {"minItems", Counted::items, false},
        {"maxItems", Counted::items, true},
        {"minProperties", Counted::properties, false},
        {"maxProperties", Counted::properties, true},
    }};
    for (const Row& row : kRows) {
      const auto limit = TRY(count(at, row.keyword));
      if (limit) node.rules.emplace_back(CountRule{row.what, row.is_maximum, *limit});
    }
    if (TRY(flag(at, "uniqueItems"))) node.rules.emplace_back(UniqueRule{});
    return {};
  }

  Result<RegexPtr> regex(const Source& at, std::string_view keyword, std::string_view pattern) {
    const std::string key(pattern);
    if (const auto known = regexes_.find(key); known != regexes_.end()) return known->second;
    auto compiled = Regex::compile(pattern);
    if (!compiled) return refuse(at, keyword, compiled.error().message);
    pattern_bytes_ += compiled->compiled_bytes();
    if (pattern_bytes_ > kMaxPatternBytes) {
      return fail(Code::too_large, "the patterns of the schema are too large together");
    }
    return regexes_.emplace(key, std::make_shared<const Regex>(std::move(*compiled))).first->second;
  }

  Result<> compile_pattern(const Source& at, Node& node) {
    const auto* value = at.find("pattern");
    if (value == nullptr) return {};
    if (!value->is_string()) return refuse(at, "pattern", "must be a string");
    node.rules.emplace_back(PatternRule{TRY(regex(at, "pattern", view(value->get_string())))});
    return {};
  }

  Result<> compile_format(const Source& at, Node& node) {
    const auto* value = at.find("format");
    if (value == nullptr) return {};
    if (!value->is_string()) return refuse(at, "format", "must be a string");
    const std::string name(view(value->get_string()));
    const auto format = find_format(name);
    if (format && at.dialect.assert_format) node.rules.emplace_back(FormatRule{*format, name});
    return {};
  }

  static Result<std::vector<std::string>> names(const Source& at, std::string_view keyword,
                                                const json::value& value) {
    const auto* list = value.if_array();
    if (list == nullptr) return refuse(at, keyword, "must be an array of strings");
    std::vector<std::string> out;
    for (const auto& item : *list) {
      if (!item.is_string()) return refuse(at, keyword, "must be an array of strings");
      out.emplace_back(view(item.get_string()));
    }
    return out;
  }

  static Result<const json::object*> map(const Source& at, std::string_view keyword) {
    const auto* value = at.find(keyword);
    if (value != nullptr && !value->is_object()) return refuse(at, keyword, "must be an object");
    return value == nullptr ? nullptr : &value->get_object();
  }

  Result<> compile_required(const Source& at, Node& node) {
    if (const auto* value = at.find("required")) {
      node.rules.emplace_back(RequiredRule{TRY(names(at, "required", *value))});
    }
    if (const auto* members = TRY(map(at, "dependentRequired"))) {
      DependentRequiredRule rule;
      for (const auto& member : *members) {
        rule.names.emplace_back(std::string(std::string_view(member.key())),
                                TRY(names(at, "dependentRequired", member.value())));
      }
      node.rules.emplace_back(std::move(rule));
    }
    return {};
  }

  Result<const json::value*> target(const Source& at, std::string_view keyword,
                                    const json::value& value) {
    if (!value.is_string()) return refuse(at, keyword, "must be a string");
    auto found = registry_.resolve(at.location.resource, view(value.get_string()));
    if (!found && found.error().code == Code::invalid) {
      return refuse(at, keyword, found.error().message);
    }
    return found;
  }

  Result<> compile_references(const Source& at, Node& node) {
    if (const auto* value = at.find("$ref")) {
      node.rules.emplace_back(RefRule{node_of(*TRY(target(at, "$ref", *value)))});
    }
    const auto* value = at.find("$dynamicRef");
    if (value == nullptr) return {};
    const auto* found = TRY(target(at, "$dynamicRef", *value));
    const auto fragment = split_uri(view(value->get_string())).fragment;
    const auto* object = found->if_object();
    const auto anchor = object == nullptr ? std::nullopt : find_string(*object, "$dynamicAnchor");
    if (anchor && fragment == anchor) {
      node.rules.emplace_back(DynamicRefRule{node_of(*found), std::string(*anchor)});
    } else {
      node.rules.emplace_back(RefRule{node_of(*found)});
    }
    return {};
  }

  NodeId node_or_none(const json::value* schema) {
    return schema == nullptr ? kNoNode : node_of(*schema);
  }

  Result<> compile_applicators(const Source& at, Node& node) {
    TRY_VOID(compile_combinations(at, node));
    if (const auto* value = at.find("not")) node.rules.emplace_back(NotRule{node_of(*value)});
    if (const auto* value = at.find("if")) {
      node.rules.emplace_back(
          IfRule{node_of(*value), node_or_none(at.find("then")), node_or_none(at.find("else"))});
    }
    if (const auto* members = TRY(map(at, "dependentSchemas"))) {
      node.rules.emplace_back(DependentSchemasRule{named_nodes(*members)});
    }
    TRY_VOID(compile_items(at, node));
    return compile_properties(at, node);
  }

  std::vector<NamedNode> named_nodes(const json::object& members) {
    std::vector<NamedNode> out;
    for (const auto& member : members) {
      out.emplace_back(std::string(std::string_view(member.key())), node_of(member.value()));
    }
    std::sort(out.begin(), out.end());
    return out;
  }

  Result<std::vector<NodeId>> node_list(const Source& at, std::string_view keyword) {
    std::vector<NodeId> out;
    const auto* value = at.find(keyword);
    if (value == nullptr) return out;
    if (!value->is_array() || value->get_array().empty()) {
      return refuse(at, keyword, "must be an array of one or more schemas");
    }
    for (const auto& schema : value->get_array()) out.push_back(node_of(schema));
    return out;
  }

  Result<> compile_combinations(const Source& at, Node& node) {
    constexpr std::array<std::pair<const char*, Combination>, 3> kKeywords = {{
        {"allOf", Combination::all_of},
        {"anyOf", Combination::any_of},
        {"oneOf", Combination::one_of},
    }};
    for (const auto& [keyword, how] : kKeywords) {
      auto nodes = TRY(node_list(at, keyword));
      if (!nodes.empty()) node.rules.emplace_back(CombineRule{how, std::move(nodes)});
    }
    return {};
  }

  Result<> compile_items(const Source& at, Node& node) {
    ItemsRule items{TRY(node_list(at, "prefixItems")), node_or_none(at.find("items"))};
    if (!items.prefix.empty() || items.rest != kNoNode) node.rules.emplace_back(std::move(items));
    const auto* value = at.find("contains");
    if (value == nullptr) return {};
    ContainsRule contains{node_of(*value), 1, std::nullopt};
    if (at.dialect.validation) {
      contains.least = TRY(count(at, "minContains")).value_or(1);
      contains.most = TRY(count(at, "maxContains"));
    }
    node.rules.emplace_back(contains);
    return {};
  }

  Result<> compile_properties(const Source& at, Node& node) {
    PropertiesRule rule;
    if (const auto* members = TRY(map(at, "properties"))) rule.names = named_nodes(*members);
    if (const auto* members = TRY(map(at, "patternProperties"))) {
      for (const auto& member : *members) {
        rule.patterns.emplace_back(
            TRY(regex(at, "patternProperties", std::string_view(member.key()))),
            node_of(member.value()));
      }
    }
    rule.additional = node_or_none(at.find("additionalProperties"));
    if (!rule.names.empty() || !rule.patterns.empty() || rule.additional != kNoNode) {
      node.rules.emplace_back(std::move(rule));
    }
    if (const auto* value = at.find("propertyNames")) {
      node.rules.emplace_back(PropertyNamesRule{node_of(*value)});
    }
    return {};
  }

  Result<> compile_unevaluated(const Source& at, Node& node) {
    if (const auto* value = at.find("unevaluatedItems")) {
      node.wants_evaluated = true;
      node.rules.emplace_back(UnevaluatedItemsRule{node_of(*value)});
    }
    if (const auto* value = at.find("unevaluatedProperties")) {
      node.wants_evaluated = true;
      node.rules.emplace_back(UnevaluatedPropertiesRule{node_of(*value)});
    }
    return {};
  }

  Registry registry_;
  Graph graph_;
  std::unordered_map<const json::value*, NodeId> ids_;
  std::vector<const json::value*> queue_;
  std::vector<bool> opened_;
  std::map<std::string, RegexPtr, std::less<>> regexes_;
  std::size_t pattern_bytes_ = 0;
};

}  // namespace

Result<Graph> compile_graph(const json::value& schema, const CompileOptions& options) {
  return Compiler(options).run(schema);
}

}  // namespace kubiya::schema
