// SPDX-License-Identifier: Apache-2.0
#include "schema/registry.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include <fmt/format.h>

#include "base/encoding.h"
#include "schema/metaschema.h"
#include "schema/uri.h"

namespace kubiya::schema {
namespace {

constexpr std::string_view kVocabulary = "https://json-schema.org/draft/2020-12/vocab/";
constexpr std::array<std::string_view, 11> kSchemaKeywords = {"additionalProperties",
                                                              "contains",
                                                              "contentSchema",
                                                              "else",
                                                              "if",
                                                              "items",
                                                              "not",
                                                              "propertyNames",
                                                              "then",
                                                              "unevaluatedItems",
                                                              "unevaluatedProperties"};
constexpr std::array<std::string_view, 4> kListKeywords = {"allOf", "anyOf", "oneOf",
                                                           "prefixItems"};
constexpr std::array<std::string_view, 6> kMapKeywords = {
    "$defs", "definitions", "dependentSchemas", "patternProperties", "properties", "dependencies"};

template <std::size_t N>
bool contains(const std::array<std::string_view, N>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

std::string escaped(std::string_view token) {
  std::string out;
  for (const char c : token) {
    if (c == '~') {
      out += "~0";
    } else if (c == '/') {
      out += "~1";
    } else {
      out += c;
    }
  }
  return out;
}

std::optional<std::string> unescaped(std::string_view token) {
  std::string out;
  for (std::size_t i = 0; i < token.size(); ++i) {
    if (token[i] != '~') {
      out += token[i];
      continue;
    }
    if (++i >= token.size() || (token[i] != '0' && token[i] != '1')) return std::nullopt;
    out += token[i] == '0' ? '~' : '/';
  }
  return out;
}

std::optional<std::size_t> array_index(std::string_view token) {
  std::size_t index = 0;
  if (token.empty() || (token.size() > 1 && token.front() == '0')) return std::nullopt;
  const auto [end, status] = std::from_chars(token.data(), token.data() + token.size(), index);
  if (status != std::errc() || end != token.data() + token.size()) return std::nullopt;
  return index;
}

const json::value* child(const json::value& parent, std::string_view token) {
  if (const auto* object = parent.if_object()) return object->if_contains(token);
  const auto* array = parent.if_array();
  const auto index = array == nullptr ? std::nullopt : array_index(token);
  return index && *index < array->size() ? &(*array)[*index] : nullptr;
}

bool is_anchor_name(std::string_view name) {
  const auto first = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
  };
  if (name.empty() || !first(name.front())) return false;
  return std::all_of(name.begin(), name.end(), [&](char c) {
    return first(c) || (c >= '0' && c <= '9') || c == '-' || c == '.';
  });
}

tl::unexpected<Error> invalid(std::string_view pointer, std::string_view why) {
  return fail(Code::invalid, fmt::format("schema at \"{}\": {}", printable(pointer, 200), why));
}

Result<std::optional<std::string_view>> text_member(const json::object& schema,
                                                    std::string_view name,
                                                    const Location& location) {
  const json::value* value = schema.if_contains(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_string())
    return invalid(location.pointer, fmt::format("{} must be a string", name));
  return view(value->get_string());
}

std::string_view without_empty_fragment(std::string_view uri) {
  if (uri.ends_with('#')) uri.remove_suffix(1);
  return uri;
}

}  // namespace

Result<> Registry::add(const std::string& uri, const json::value& document) {
  const auto number = static_cast<std::uint32_t>(resources_.size());
  resources_.push_back({uri, &document, {}, {}, {}});
  by_uri_.emplace(uri, number);
  if (const auto* object = document.if_object()) {
    const auto named = TRY(text_member(*object, "$schema", {}));
    if (named) resources_[number].dialect = TRY(dialect_of(without_empty_fragment(*named)));
  }
  if (options_.assert_format) resources_[number].dialect.assert_format = true;
  return index(document, {number, ""}, 0);
}

Result<> Registry::index(const json::value& schema, Location location, std::size_t depth) {
  if (locations_.contains(&schema)) return {};
  if (depth > options_.depth) {
    return fail(Code::too_large,
                fmt::format("the schema is nested deeper than {} levels", options_.depth));
  }
  if (locations_.size() >= options_.subschemas) {
    return fail(Code::too_large,
                fmt::format("the schema has more than {} subschemas", options_.subschemas));
  }
  const auto* object = schema.if_object();
  if (object != nullptr) {
    TRY_VOID(open_resource(*object, location));
    if (object->contains("$id")) resources_[location.resource].root = &schema;
    TRY_VOID(add_anchors(*object, location, schema));
  }
  locations_.emplace(&schema, location);
  return object == nullptr ? Result<>{} : index_members(*object, location, depth);
}

// `$id` starts a new resource, whose base URI everything below it has.
Result<> Registry::open_resource(const json::object& schema, Location& location) {
  const auto id = TRY(text_member(schema, "$id", location));
  if (!id) return {};
  const std::string uri(
      without_empty_fragment(resolve_uri(resources_[location.resource].uri, *id)));
  if (split_uri(uri).fragment) return invalid(location.pointer, "$id must not have a fragment");
  if (const auto known = by_uri_.find(uri); known != by_uri_.end()) {
    if (location.pointer.empty() && known->second == location.resource) return {};
    return invalid(location.pointer, "$id names a resource that exists already");
  }
  if (location.pointer.empty()) {  // the same document under its own name
    resources_[location.resource].uri = uri;
    by_uri_.emplace(uri, location.resource);
    return {};
  }
  Dialect dialect = resources_[location.resource].dialect;
  if (const auto named = TRY(text_member(schema, "$schema", location))) {
    dialect = TRY(dialect_of(without_empty_fragment(*named)));
    dialect.assert_format = dialect.assert_format || options_.assert_format;
  }
  location.resource = static_cast<std::uint32_t>(resources_.size());
  resources_.push_back({uri, nullptr, dialect, {}, {}});
  by_uri_.emplace(uri, location.resource);
  return {};
}

Result<> Registry::add_anchors(const json::object& schema, const Location& location,
                               const json::value& value) {
  IndexedResource& resource = resources_[location.resource];
  for (const std::string_view keyword : {"$anchor", "$dynamicAnchor"}) {
    const auto name = TRY(text_member(schema, keyword, location));
    if (!name) continue;
    if (!is_anchor_name(*name)) return invalid(location.pointer, "an anchor has an invalid name");
    const auto [at, added] = resource.anchors.emplace(*name, &value);
    if (!added && at->second != &value) return invalid(location.pointer, "an anchor is not unique");
    if (keyword == "$dynamicAnchor") resource.dynamic_anchors.emplace(*name, &value);
  }
  return {};
}

Result<> Registry::index_members(const json::object& schema, const Location& location,
                                 std::size_t depth) {
  for (const auto& member : schema) {
    const std::string_view keyword(member.key());
    const Location below{location.resource,
                         fmt::format("{}/{}", location.pointer, escaped(keyword))};
    TRY_VOID(index_keyword(keyword, member.value(), below, depth + 1));
  }
  return {};
}

Result<> Registry::index_keyword(std::string_view keyword, const json::value& value,
                                 const Location& location, std::size_t depth) {
  if (contains(kSchemaKeywords, keyword)) return index(value, location, depth);
  if (const auto* list = value.if_array(); list != nullptr && contains(kListKeywords, keyword)) {
    for (std::size_t i = 0; i < list->size(); ++i) {
      TRY_VOID(
          index((*list)[i], {location.resource, fmt::format("{}/{}", location.pointer, i)}, depth));
    }
  }
  if (const auto* map = value.if_object(); map != nullptr && contains(kMapKeywords, keyword)) {
    for (const auto& member : *map) {
      TRY_VOID(index(member.value(),
                     {location.resource, fmt::format("{}/{}", location.pointer,
                                                     escaped(std::string_view(member.key())))},
                     depth));
    }
  }
  return {};
}

const json::value* Registry::find_document(std::string_view uri) const {
  for (const auto& [name, document] : options_.documents) {
    if (without_empty_fragment(name) == uri) return &document;
  }
  return find_metaschema(uri);
}

Result<Dialect> Registry::dialect_of(std::string_view uri) {
  if (uri == kDialect) return Dialect{};
  const json::value* metaschema = find_document(uri);
  if (metaschema == nullptr) {
    return fail(Code::unsupported, fmt::format("$schema \"{}\" is not supported; use {}",
                                               printable(uri, 200), kDialect));
  }
  return read_vocabulary(*metaschema);
}

Result<Dialect> Registry::read_vocabulary(const json::value& metaschema) const {
  const auto* object = metaschema.if_object();
  const auto* vocabulary = object == nullptr ? nullptr : find_object(*object, "$vocabulary");
  const auto parent = object == nullptr ? std::nullopt : find_string(*object, "$schema");
  if (!parent || without_empty_fragment(*parent) != kDialect) {
    return fail(Code::unsupported, "$schema names a dialect other than JSON Schema 2020-12");
  }
  if (vocabulary == nullptr) return Dialect{};
  Dialect dialect{false, false, false, false};
  for (const auto& member : *vocabulary) {
    std::string_view name(member.key());
    const bool required = member.value().is_bool() && member.value().get_bool();
    const bool ours = name.starts_with(kVocabulary);
    if (ours) name.remove_prefix(kVocabulary.size());
    if (ours && name == "applicator") {
      dialect.applicator = true;
    } else if (ours && name == "unevaluated") {
      dialect.unevaluated = true;
    } else if (ours && name == "validation") {
      dialect.validation = true;
    } else if (ours && name == "format-assertion") {
      dialect.assert_format = true;
    } else if (required && !(ours && (name == "core" || name == "meta-data" || name == "content" ||
                                      name == "format-annotation"))) {
      return fail(Code::unsupported,
                  fmt::format("the vocabulary \"{}\" is not supported", printable(name, 200)));
    }
  }
  return dialect;
}

Result<std::uint32_t> Registry::find_resource(const std::string& uri) {
  if (const auto known = by_uri_.find(uri); known != by_uri_.end()) return known->second;
  const json::value* document = find_document(uri);
  if (document == nullptr) {
    return fail(Code::invalid,
                fmt::format("$ref leads to \"{}\", which is not among the known documents; nothing "
                            "is ever fetched",
                            printable(uri, 200)));
  }
  TRY_VOID(add(uri, *document));
  return by_uri_.find(uri)->second;
}

Result<const json::value*> Registry::resolve(std::uint32_t number, std::string_view reference) {
  const std::string target = resolve_uri(resources_[number].uri, reference);
  const auto hash = target.find('#');
  const std::uint32_t found = TRY(find_resource(target.substr(0, hash)));
  const auto fragment =
      hash == std::string::npos ? std::string() : percent_decoded(target.substr(hash + 1));
  if (!fragment) return fail(Code::invalid, "$ref has a malformed percent escape");
  if (fragment->empty() || fragment->front() == '/') return follow(found, *fragment);
  const auto& anchors = resources_[found].anchors;
  const auto at = anchors.find(*fragment);
  if (at == anchors.end()) {
    return fail(Code::invalid, fmt::format("$ref leads to the anchor \"{}\", which does not exist",
                                           printable(*fragment, 100)));
  }
  return at->second;
}

Result<const json::value*> Registry::follow(std::uint32_t number, std::string_view pointer) {
  const json::value* at = resources_[number].root;
  Location location = locations_.contains(at) ? locations_.at(at) : Location{number, ""};
  while (!pointer.empty()) {
    const auto end = pointer.find('/', 1);
    const auto token = unescaped(pointer.substr(1, end == std::string_view::npos ? end : end - 1));
    at = token ? child(*at, *token) : nullptr;
    if (at == nullptr) return fail(Code::invalid, "$ref leads to a place that does not exist");
    if (const auto known = locations_.find(at); known != locations_.end()) {
      location = known->second;
    } else {
      location.pointer += "/" + escaped(*token);
    }
    pointer = end == std::string_view::npos ? std::string_view{} : pointer.substr(end);
  }
  // A place that no keyword makes a schema becomes one by being referred to.
  if (!locations_.contains(at)) TRY_VOID(index(*at, location, 0));
  return at;
}

const Location& Registry::location(const json::value& schema) const {
  const auto at = locations_.find(&schema);
  ASSERT(at != locations_.end(), "a schema was compiled before it was indexed");
  return at->second;
}

}  // namespace kubiya::schema
