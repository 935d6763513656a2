// SPDX-License-Identifier: Apache-2.0
//
// A compiled schema: nodes that name each other by number, nothing left to parse.
// Immutable after compilation, so any number of threads may read it.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/json.h"
#include "schema/equality.h"
#include "schema/format.h"
#include "schema/regex.h"

namespace kubiya::schema {

using NodeId = std::uint32_t;
inline constexpr NodeId kNoNode = ~NodeId{0};

using TypeSet = std::uint8_t;
enum TypeBit : TypeSet {
  kNull = 1,
  kBoolean = 2,
  kObject = 4,
  kArray = 8,
  kNumber = 16,
  kString = 32,
  kInteger = 64,
};

enum class Bound { maximum, exclusive_maximum, minimum, exclusive_minimum };
enum class Counted { items, properties, characters };
enum class Combination { all_of, any_of, one_of };

using RegexPtr = std::shared_ptr<const Regex>;
using NamedNode = std::pair<std::string, NodeId>;

struct TypeRule {
  TypeSet types;
};
struct EnumRule {  // `const` is an enum of one
  std::vector<json::value> values;
  bool is_const;
};
struct BoundRule {
  Bound bound;
  json::value limit;
};
struct MultipleRule {
  Decimal divisor;
  json::value shown;
};
struct CountRule {
  Counted what;
  bool is_maximum;
  std::uint64_t limit;
};
struct UniqueRule {};
struct PatternRule {
  RegexPtr regex;
};
struct FormatRule {
  Format format;
  std::string name;
};
struct RequiredRule {
  std::vector<std::string> names;
};
struct DependentRequiredRule {
  std::vector<std::pair<std::string, std::vector<std::string>>> names;
};
struct CombineRule {
  Combination how;
  std::vector<NodeId> nodes;
};
struct NotRule {
  NodeId node;
};
struct IfRule {
  NodeId condition;
  NodeId then_node = kNoNode;
  NodeId else_node = kNoNode;
};
struct DependentSchemasRule {
  std::vector<NamedNode> nodes;
};
struct RefRule {
  NodeId node;
};
struct DynamicRefRule {
  NodeId node;         // where the reference leads without dynamic scope
  std::string anchor;  // looked up in the dynamic scope, outermost first
};
struct ItemsRule {
  std::vector<NodeId> prefix;
  NodeId rest = kNoNode;
};
struct ContainsRule {
  NodeId node;
  std::uint64_t least = 1;
  std::optional<std::uint64_t> most;
};
struct PropertiesRule {
  std::vector<NamedNode> names;  // sorted by name
  std::vector<std::pair<RegexPtr, NodeId>> patterns;
  NodeId additional = kNoNode;
};
struct PropertyNamesRule {
  NodeId node;
};
struct UnevaluatedItemsRule {
  NodeId node;
};
struct UnevaluatedPropertiesRule {
  NodeId node;
};

using Rule = std::variant<TypeRule, EnumRule, BoundRule, MultipleRule, CountRule, UniqueRule,
                          PatternRule, FormatRule, RequiredRule, DependentRequiredRule, CombineRule,
                          NotRule, IfRule, DependentSchemasRule, RefRule, DynamicRefRule, ItemsRule,
                          ContainsRule, PropertiesRule, PropertyNamesRule, UnevaluatedItemsRule,
                          UnevaluatedPropertiesRule>;

struct Node {
  std::uint32_t resource = 0;
  bool never = false;            // the schema `false`
  bool wants_evaluated = false;  // has an unevaluated… rule, which comes last
  std::vector<Rule> rules;
};

// A schema resource (core 4.3.5), reduced to what $dynamicRef asks of it.
struct Resource {
  std::map<std::string, NodeId, std::less<>> dynamic_anchors;
};

struct Graph {
  std::vector<Node> nodes;  // the root is node 0
  std::vector<Resource> resources;
};

}  // namespace kubiya::schema
