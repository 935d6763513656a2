// SPDX-License-Identifier: Apache-2.0
//
// A JSON text that was read strictly, as parse_json reads it, but whose values stay where they
// are in the text: for messages of which a few members are looked at. What is wanted as a value
// of its own is read again by parse_json from `JsonView::text()`.
#pragma once

#include <cstddef>
#include <cstdint>
#include <forward_list>
#include <memory_resource>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"

namespace kubiya {

class JsonText;

// One value of a JsonText, which it must not outlive.
class JsonView {
 public:
  enum class Kind : std::uint8_t { null, boolean, number, string, array, object };

  Kind kind() const;
  // The value as it stands in the text.
  std::string_view text() const;
  // Of a string, without its escapes.
  std::string_view string() const;
  // Of a number written without fraction and exponent that fits 64 bits, signed or not.
  bool is_integer() const;
  // A value of its own, which outlives the text.
  json::value value() const;
  // A member of an object; nothing of anything else.
  std::optional<JsonView> find(std::string_view name) const;
  // Of an array, in order; none of anything else.
  std::vector<JsonView> elements() const;

 private:
  friend class JsonText;
  JsonView(const JsonText& whole, std::size_t index) : whole_(&whole), index_(index) {}
  const JsonText* whole_;
  std::size_t index_;
};

// Points into the text that was read, which the caller keeps.
class JsonText {
 public:
  // Values beyond what `memory` holds without asking are allocated through it; it outlives this.
  explicit JsonText(std::pmr::memory_resource* memory = std::pmr::get_default_resource())
      : nodes_(memory), unescaped_(memory) {}
  JsonText(const JsonText&) = delete;
  JsonText& operator=(const JsonText&) = delete;

  // Once. Errors as of parse_json.
  Result<> read(std::string_view text, const JsonLimits& limits = {});
  // The whole text's value, once it was read.
  JsonView root() const { return {*this, 0}; }

 private:
  friend class JsonView;
  friend class TextSink;
  // An object is followed by its names and values in turn, an array by its values.
  struct Node {
    std::string_view text;    // as it stands in the text; a name's is its string
    std::string_view string;  // of a string
    std::uint32_t end = 0;    // index behind the value and all within
    JsonView::Kind kind = JsonView::Kind::null;
  };
  std::pmr::vector<Node> nodes_;
  std::pmr::forward_list<std::pmr::string> unescaped_;
};

// As the functions of base/json.h on objects.
std::optional<std::string_view> find_string(JsonView object, std::string_view name);
std::optional<JsonView> find_object(JsonView object, std::string_view name);

}  // namespace kubiya
