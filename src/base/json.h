// SPDX-License-Identifier: Apache-2.0
//
// The one JSON reader and writer of the program. Boost.JSON holds the values;
// its own parser is not used, because it keeps the last of duplicate members,
// misrounds doubles and turns 1e400 into infinity. Here duplicates, numbers out
// of range, invalid UTF-8, lone surrogates and a byte order mark are refused.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/storage_ptr.hpp>
#include <boost/json/string.hpp>
#include <boost/json/value.hpp>

#include "base/result.h"

namespace kubiya {

namespace json = boost::json;

struct JsonLimits {
  std::size_t depth = 64;
  std::size_t nodes = 100'000;  // values, counting containers and members
  std::size_t number_chars = 128;
};

// Parses exactly one JSON text (RFC 8259). Errors are Code::invalid; `message`
// names the fault without quoting input, `detail` has the byte offset.
// With `storage` the caller chooses the arena; the value must not outlive it.
Result<json::value> parse_json(std::string_view text, const JsonLimits& limits = {},
                               json::storage_ptr storage = {});

// Appends compact JSON. Doubles take their shortest form that reads back equal;
// a value that holds NaN or infinity is a bug of ours.
void append_json(std::string& out, const json::value& value);
void append_json(std::string& out, const json::object& object);
std::string to_json(const json::value& value);
std::string to_json(const json::object& object);
// Appends `text` quoted and escaped. `text` must be UTF-8.
void append_json_string(std::string& out, std::string_view text);

// Writes one object member by member, without values in between. Names are
// literals: plain, and no two alike.
class JsonObjectWriter {
 public:
  explicit JsonObjectWriter(std::size_t expected_bytes = 256);
  JsonObjectWriter& add(std::string_view name, std::string_view text);
  JsonObjectWriter& add_json(std::string_view name, std::string_view json_text);
  // Where the caller appends the member's value itself: exactly one JSON text.
  std::string& member(std::string_view name);
  std::string take();  // once

 private:
  std::string out_;
};

// Typed look-ups: null when the member is absent or of another type.
const json::value* find(const json::object& object, std::string_view name);
std::optional<std::string_view> find_string(const json::object& object, std::string_view name);
// A whole number however it is written: 1, 1.0, 1e0.
std::optional<std::int64_t> find_int(const json::object& object, std::string_view name);
std::optional<bool> find_bool(const json::object& object, std::string_view name);
const json::object* find_object(const json::object& object, std::string_view name);
const json::array* find_array(const json::object& object, std::string_view name);

inline std::string_view view(const json::string& s) { return {s.data(), s.size()}; }

}  // namespace kubiya
