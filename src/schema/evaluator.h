// SPDX-License-Identifier: Apache-2.0
//
// Judges one instance by a compiled schema, within fixed limits of steps and depth.
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "schema/equality.h"
#include "schema/graph.h"
#include "schema/report.h"

namespace kubiya::schema {

// Some 50 ns each in an optimised build, so that any validation ends after about 10 ms.
// The largest JSON text that base/json.h accepts has 100,000 values.
inline constexpr std::size_t kValidationSteps = 150'000;
inline constexpr std::size_t kValidationDepth = 400;

// The members and items that the keywords seen so far have looked at (core 11).
struct Evaluated {
  std::vector<bool> members;  // in the order of the object
  std::vector<bool> items;
  void add(const Evaluated& other);
};

class Evaluator {
 public:
  explicit Evaluator(const Graph& graph) : graph_(graph) {}

  // Nothing when valid. Once.
  std::vector<Violation> run(const json::value& instance);

 private:
  // What a rule is applied to. `report` is null where failure needs no explanation.
  struct Site {
    const json::value& value;
    const Path& path;
    Evaluated* evaluated;
    Report* report;
  };

  bool node(NodeId id, const Site& site);
  bool judge(const Node& node, const Site& site);
  bool rules(const Node& node, const Site& site);
  bool child(NodeId id, const json::value& value, const Path& path, Report* report) {
    return node(id, {value, path, nullptr, report});
  }

  bool apply(const TypeRule& rule, const Site& site);
  bool apply(const EnumRule& rule, const Site& site);
  bool apply(const BoundRule& rule, const Site& site);
  bool apply(const MultipleRule& rule, const Site& site);
  bool apply(const CountRule& rule, const Site& site);
  bool apply(const UniqueRule& rule, const Site& site);
  bool apply(const PatternRule& rule, const Site& site);
  bool apply(const FormatRule& rule, const Site& site);
  bool apply(const RequiredRule& rule, const Site& site);
  bool apply(const DependentRequiredRule& rule, const Site& site);
  bool apply(const CombineRule& rule, const Site& site);
  bool apply(const NotRule& rule, const Site& site);
  bool apply(const IfRule& rule, const Site& site);
  bool apply(const DependentSchemasRule& rule, const Site& site);
  bool apply(const RefRule& rule, const Site& site);
  bool apply(const DynamicRefRule& rule, const Site& site);
  bool apply(const ItemsRule& rule, const Site& site);
  bool apply(const ContainsRule& rule, const Site& site);
  bool apply(const PropertiesRule& rule, const Site& site);
  bool apply(const PropertyNamesRule& rule, const Site& site);
  bool apply(const UnevaluatedItemsRule& rule, const Site& site);
  bool apply(const UnevaluatedPropertiesRule& rule, const Site& site);

  bool all_of(const CombineRule& rule, const Site& site);
  bool some_of(const CombineRule& rule, const Site& site);
  bool member(const PropertiesRule& rule, const json::key_value_pair& member, const Site& site,
              bool& known);
  void give_up() { budget_.charge(~std::size_t{0}); }

  const Graph& graph_;
  Budget budget_{kValidationSteps};
  std::size_t depth_ = 0;
  std::vector<std::uint32_t> scope_;  // resources entered, outermost first
};

}  // namespace kubiya::schema
