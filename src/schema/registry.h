// SPDX-License-Identifier: Apache-2.0
//
// The documents a compilation may look at: where each schema lies, which base URI
// it has, and what `$id`, `$anchor` and JSON Pointers lead to.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "schema/schema.h"

namespace kubiya::schema {

// Which vocabularies the dialect of a schema resource switches on.
struct Dialect {
  bool applicator = true;
  bool unevaluated = true;
  bool validation = true;
  bool assert_format = false;
};

struct IndexedResource {
  std::string uri;  // absolute where the schema says so, no fragment
  const json::value* root = nullptr;
  Dialect dialect;
  std::map<std::string, const json::value*, std::less<>> anchors;  // dynamic ones included
  std::map<std::string, const json::value*, std::less<>> dynamic_anchors;
};

struct Location {
  std::uint32_t resource = 0;
  std::string pointer;  // from the root of the document, for error messages
};

class Registry {
 public:
  explicit Registry(const CompileOptions& options) : options_(options) {}

  // Indexes a document known under `uri`. Both must outlive the registry.
  Result<> add(const std::string& uri, const json::value& document);

  // What `reference` in a schema of `resource` leads to, indexed.
  Result<const json::value*> resolve(std::uint32_t resource, std::string_view reference);

  const Location& location(const json::value& schema) const;
  const IndexedResource& resource(std::uint32_t number) const { return resources_[number]; }

 private:
  Result<> index(const json::value& schema, Location location, std::size_t depth);
  Result<> index_members(const json::object& schema, const Location& location, std::size_t depth);
  Result<> index_keyword(std::string_view keyword, const json::value& value,
                         const Location& location, std::size_t depth);
  Result<> open_resource(const json::object& schema, Location& location);
  Result<> add_anchors(const json::object& schema, const Location& location,
                       const json::value& value);
  Result<Dialect> dialect_of(std::string_view uri);
  Result<Dialect> read_vocabulary(const json::value& metaschema) const;
  const json::value* find_document(std::string_view uri) const;
  Result<std::uint32_t> find_resource(const std::string& uri);
  Result<const json::value*> follow(std::uint32_t resource, std::string_view pointer);

  const CompileOptions& options_;
  std::vector<IndexedResource> resources_;
  std::map<std::string, std::uint32_t, std::less<>> by_uri_;
  std::unordered_map<const json::value*, Location> locations_;
};

}  // namespace kubiya::schema
