// SPDX-License-Identifier: Apache-2.0
//
// Reading a definition member by member, collecting every problem instead of
// stopping at the first. A Field knows its path for people and its place in the
// document for sorting.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "workflow/definition.h"

namespace kubiya::workflow {

// A value of the document. Refers to it, so the document must stay.
struct Field {
  std::string path;
  std::size_t order = 0;
  const json::value* value = nullptr;
};

class Reader {
 public:
  explicit Reader(const Limits& limits);

  const Limits& limits() const { return limits_; }

  // Fields are made in the order they are read, which is document order.
  Field root(const json::value& value);
  Field member(const Field& parent, std::string_view name, const json::value& value);
  Field item(const Field& parent, std::size_t index, const json::value& value);

  void problem(const Field& field, std::string message);
  void unsupported(const Field& field);
  bool clean() const { return found_.empty(); }
  std::vector<Problem> problems() const;

  // Each returns nothing (or a neutral value) after recording a problem.
  const json::object* object(const Field& field);
  const json::array* array(const Field& field);
  // A string without NUL and within value_bytes.
  std::string text(const Field& field);
  // The same, where numbers and booleans stand for their text and null for none.
  std::string scalar_text(const Field& field);
  bool flag(const Field& field);
  int integer(const Field& field, int low, int high);
  std::chrono::seconds seconds(const Field& field);
  // One value or a list of them.
  std::vector<Field> one_or_many(const Field& field);
  std::vector<std::string> texts(const Field& field);
  std::vector<int> exit_codes(const Field& field);
  // A map, or a list of maps: every member in order.
  std::vector<std::pair<std::string, Field>> pairs(const Field& field);
  Pairs environment(const Field& field);

 private:
  struct Found {
    std::size_t order;
    Problem problem;
  };
  Limits limits_;
  std::size_t fields_ = 0;
  std::vector<Found> found_;
};

}  // namespace kubiya::workflow
