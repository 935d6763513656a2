// SPDX-License-Identifier: Apache-2.0
#include "schema/schema.h"

#include <algorithm>
#include <utility>

#include "schema/compiler.h"
#include "schema/evaluator.h"
#include "schema/graph.h"

namespace kubiya::schema {

struct Schema::Impl {
  Graph graph;
};

Schema::Schema(std::unique_ptr<const Impl> impl) : impl_(std::move(impl)) {}
Schema::Schema(Schema&&) noexcept = default;
Schema& Schema::operator=(Schema&&) noexcept = default;
Schema::~Schema() = default;

Result<Schema> Schema::compile(const json::value& schema, const CompileOptions& options) {
  return Schema(std::make_unique<const Impl>(Impl{TRY(compile_graph(schema, options))}));
}

std::vector<Violation> Schema::validate(const json::value& instance, std::size_t max) const {
  auto violations = Evaluator(impl_->graph).run(instance);
  const auto depth = [](const Violation& v) {
    return std::count(v.field.begin(), v.field.end(), '/');
  };
  std::stable_sort(violations.begin(), violations.end(),
                   [&](const Violation& a, const Violation& b) { return depth(a) > depth(b); });
  // Never none for an instance that is not valid.
  const auto kept = std::min(violations.size(), std::max<std::size_t>(max, 1));
  violations.resize(kept);
  return violations;
}

}  // namespace kubiya::schema
