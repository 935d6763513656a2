// SPDX-License-Identifier: Apache-2.0
#include "workflow/fields.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/encoding.h"
#include "workflow/expand.h"
#include "workflow/names.h"

namespace kubiya::workflow {
namespace {

constexpr int kLongestSeconds = 30 * 24 * 3600;

// YAML reads plain words as other things than text: the remedy is said with the fault.
std::string text_fault(const json::value& value) {
  if (value.is_object() || value.is_array()) return "must be text";
  const std::string shown = to_json(value);
  return fmt::format("must be text, and {} is read as {}: write \"{}\"", shown,
                     value.is_null()   ? "nothing"
                     : value.is_bool() ? "a truth value"
                                       : "a number",
                     shown);
}

std::string plural_bytes(std::size_t bytes) { return fmt::format("longer than {} bytes", bytes); }

}  // namespace

Reader::Reader(const Limits& limits) : limits_(limits) {
  limits_.steps = std::min(limits_.steps, kMostSteps);
  limits_.params = std::min(limits_.params, kMostParams);
  limits_.env = std::min(limits_.env, kMostEnv);
}

Field Reader::root(const json::value& value) { return {"", fields_++, &value}; }

Field Reader::member(const Field& parent, std::string_view name, const json::value& value) {
  const std::string shown = printable(name);
  return {parent.path.empty() ? shown : parent.path + "." + shown, fields_++, &value};
}

Field Reader::item(const Field& parent, std::size_t index, const json::value& value) {
  return {fmt::format("{}[{}]", parent.path, index), fields_++, &value};
}

void Reader::problem(const Field& field, std::string message) {
  found_.push_back({field.order, {field.path, std::move(message)}});
}

void Reader::unsupported(const Field& field) {
  problem(field, field.path + " is not supported yet by the embedded engine");
}

std::vector<Problem> Reader::problems() const {
  std::vector<const Found*> sorted;
  sorted.reserve(found_.size());
  for (const Found& found : found_) sorted.push_back(&found);
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const Found* a, const Found* b) { return a->order < b->order; });
  std::vector<Problem> problems;
  problems.reserve(sorted.size());
  for (const Found* found : sorted) problems.push_back(found->problem);
  return problems;
}

const json::object* Reader::object(const Field& field) {
  const json::object* object = field.value->if_object();
  if (object == nullptr) problem(field, "must be a map");
  return object;
}

const json::array* Reader::array(const Field& field) {
  const json::array* array = field.value->if_array();
  if (array == nullptr) problem(field, "must be a list");
  return array;
}

std::string Reader::text(const Field& field) {
  if (!field.value->is_string()) {
    problem(field, text_fault(*field.value));
    return {};
  }
  return scalar_text(field);
}

std::string Reader::scalar_text(const Field& field) {
  if (field.value->is_object() || field.value->is_array()) {
    problem(field, "must be a single value");
    return {};
  }
  if (field.value->is_null()) return {};
  if (!field.value->is_string()) return to_json(*field.value);
  const std::string_view text = view(field.value->get_string());
  if (text.size() > limits_.value_bytes) {
    problem(field, plural_bytes(limits_.value_bytes));
    return {};
  }
  if (text.find('\0') != std::string_view::npos) {
    problem(field, "holds a NUL character");
    return {};
  }
  return std::string(text);
}

bool Reader::flag(const Field& field) {
  if (const bool* flag = field.value->if_bool()) return *flag;
  problem(field, "must be true or false");
  return false;
}

int Reader::integer(const Field& field, int low, int high) {
  if (const std::int64_t* number = field.value->if_int64()) {
    if (*number >= low && *number <= high) return static_cast<int>(*number);
  }
  problem(field, fmt::format("must be a whole number from {} to {}", low, high));
  return low;
}

std::chrono::seconds Reader::seconds(const Field& field) {
  return std::chrono::seconds(integer(field, 0, kLongestSeconds));
}

std::vector<Field> Reader::one_or_many(const Field& field) {
  const json::array* array = field.value->if_array();
  if (array == nullptr) return {field};
  std::vector<Field> fields;
  if (array->size() > kMostItems) {
    problem(field, fmt::format("more than {} items", kMostItems));
    return fields;
  }
  for (std::size_t i = 0; i < array->size(); ++i) fields.push_back(item(field, i, (*array)[i]));
  return fields;
}

std::vector<std::string> Reader::texts(const Field& field) {
  std::vector<std::string> texts;
  for (const Field& one : one_or_many(field)) texts.push_back(text(one));
  return texts;
}

std::vector<int> Reader::exit_codes(const Field& field) {
  std::vector<int> codes;
  for (const Field& one : one_or_many(field)) codes.push_back(integer(one, 0, 255));
  return codes;
}

std::vector<std::pair<std::string, Field>> Reader::pairs(const Field& field) {
  std::vector<std::pair<std::string, Field>> pairs;
  const bool listed = field.value->is_array();
  for (const Field& one : one_or_many(field)) {
    const json::object* object = one.value->if_object();
    if (object == nullptr) {
      problem(one, listed ? "must be a map with one name" : "must be a map, or a list of maps");
      continue;
    }
    for (const auto& member : *object) {
      pairs.emplace_back(member.key(), this->member(one, member.key(), member.value()));
    }
  }
  return pairs;
}

Pairs Reader::environment(const Field& field) {
  Pairs environment;
  for (const auto& [name, value] : pairs(field)) {
    if (const auto fault = environment_name_fault(name, NameUse::definition_env)) {
      problem(value, *fault);
    }
    environment.emplace_back(name, scalar_text(value));
  }
  if (environment.size() > limits_.env) {
    problem(field, fmt::format("more than {} variables", limits_.env));
  }
  return environment;
}

}  // namespace kubiya::workflow
