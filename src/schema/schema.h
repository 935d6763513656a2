// SPDX-License-Identifier: Apache-2.0
//
// JSON Schema 2020-12: tool arguments, workflow parameters, configuration. A schema is
// compiled once and then immutable; validation is bounded and never fetches anything.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"

namespace kubiya::schema {

struct Violation {
  std::string field;    // JSON Pointer into the instance, "" for the whole
  std::string keyword;  // "required", "type", …
  std::string
      message;  // a sentence that names the field and what is allowed, without quoting secrets
};

struct CompileOptions {
  std::size_t subschemas = 10'000;
  std::size_t depth = 64;
  bool assert_format = false;
  // Documents that `$ref` may name, by absolute URI. Nothing else is resolved.
  std::vector<std::pair<std::string, json::value>> documents;
};

class Schema {
 public:
  static Result<Schema> compile(const json::value& schema, const CompileOptions& options = {});
  // Nothing when valid; otherwise up to `max` violations, the most specific first.
  std::vector<Violation> validate(const json::value& instance, std::size_t max = 8) const;
  bool accepts(const json::value& instance) const { return validate(instance, 1).empty(); }

  Schema(Schema&&) noexcept;
  Schema& operator=(Schema&&) noexcept;
  ~Schema();

 private:
  struct Impl;
  explicit Schema(std::unique_ptr<const Impl> impl);
  std::unique_ptr<const Impl> impl_;
};

}  // namespace kubiya::schema
