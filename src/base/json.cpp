// SPDX-License-Identifier: Apache-2.0
#include "base/json.h"

#include <array>
#include <charconv>
#include <cmath>

#include "base/eight_bytes.h"

namespace kubiya {
namespace {

constexpr bool stands_for_itself(unsigned char c) {
  return c >= 0x20 && c != '"' && c != '\\' && c != 0x7F;
}

bool is_plain(std::string_view text) {
  return !has_byte(
      text,
      [](std::uint64_t word) {
        return control_bytes(word) | bytes_equal(word, '"') | bytes_equal(word, '\\');
      },
      [](std::uint8_t c) { return (c < 0x20) | (c == '"') | (c == '\\') | (c == 0x7F); });
}

void append_escaped(std::string& out, unsigned char c) {
  constexpr std::string_view digits = "0123456789abcdef";
  switch (c) {
    case '"':
      out += "\\\"";
      return;
    case '\\':
      out += "\\\\";
      return;
    case '\n':
      out += "\\n";
      return;
    case '\r':
      out += "\\r";
      return;
    case '\t':
      out += "\\t";
      return;
    default:
      out += "\\u00";
      out += digits[c >> 4];
      out += digits[c & 15];
  }
}

}  // namespace

void append_json_string(std::string& out, std::string_view text) {
  out += '"';
  if (!is_plain(text)) {
    std::size_t begin = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
      const auto c = static_cast<unsigned char>(text[i]);
      if (stands_for_itself(c)) continue;
      out.append(text.substr(begin, i - begin));
      append_escaped(out, c);
      begin = i + 1;
    }
    text.remove_prefix(begin);
  }
  out.append(text);
  out += '"';
}

void append_json(std::string& out, const json::value& value) {
  std::array<char, 32> buffer;
  const std::size_t number_start = out.size();
  auto number = [&](auto n) {
    const auto result = std::to_chars(buffer.data(), buffer.data() + buffer.size(), n);
    out.append(buffer.data(), result.ptr);
  };
  switch (value.kind()) {
    case json::kind::null:
      out += "null";
      break;
    case json::kind::bool_:
      out += value.get_bool() ? "true" : "false";
      break;
    case json::kind::int64:
      number(value.get_int64());
      break;
    case json::kind::uint64:
      number(value.get_uint64());
      break;
    case json::kind::double_:
      ASSERT(std::isfinite(value.get_double()), "JSON has no NaN and no infinity");
      number(value.get_double());
      // A double stays one when it is read back.
      if (out.find_first_of(".e", number_start) == std::string::npos) out += ".0";
      break;
    case json::kind::string:
      append_json_string(out, view(value.get_string()));
      break;
    case json::kind::array: {
      out += '[';
      bool first = true;
      for (const auto& item : value.get_array()) {
        if (!first) out += ',';
        first = false;
        append_json(out, item);
      }
      out += ']';
      break;
    }
    case json::kind::object:
      append_json(out, value.get_object());
      break;
  }
}

void append_json(std::string& out, const json::object& object) {
  out += '{';
  bool first = true;
  for (const auto& member : object) {
    if (!first) out += ',';
    first = false;
    append_json_string(out, member.key());
    out += ':';
    append_json(out, member.value());
  }
  out += '}';
}

std::string to_json(const json::value& value) {
  std::string out;
  append_json(out, value);
  return out;
}

std::string to_json(const json::object& object) {
  std::string out;
  append_json(out, object);
  return out;
}

JsonObjectWriter::JsonObjectWriter(std::size_t expected_bytes) {
  out_.reserve(expected_bytes);
  out_ += '{';
}

std::string& JsonObjectWriter::member(std::string_view name) {
  if (out_.size() > 1) out_ += ',';
  out_ += '"';
  out_.append(name);
  return out_.append("\":", 2);
}

JsonObjectWriter& JsonObjectWriter::add(std::string_view name, std::string_view text) {
  append_json_string(member(name), text);
  return *this;
}

JsonObjectWriter& JsonObjectWriter::add_json(std::string_view name, std::string_view json_text) {
  member(name).append(json_text);
  return *this;
}

std::string JsonObjectWriter::take() {
  out_ += '}';
  return std::move(out_);
}

const json::value* find(const json::object& object, std::string_view name) {
  constexpr std::size_t kFewMembers = 16;  // of so many Boost.JSON keeps no table
  if (object.size() > kFewMembers || name.empty()) return object.if_contains(name);
  // Names of one length are common; their first and last bytes mostly tell them apart.
  for (const auto& member : object) {
    const std::string_view key = member.key();
    if (key.size() == name.size() && key.front() == name.front() && key.back() == name.back() &&
        key == name) {
      return &member.value();
    }
  }
  return nullptr;
}

std::optional<std::string_view> find_string(const json::object& object, std::string_view name) {
  const json::value* v = find(object, name);
  if (v == nullptr || !v->is_string()) return std::nullopt;
  return view(v->get_string());
}

std::optional<std::int64_t> find_int(const json::object& object, std::string_view name) {
  constexpr double kExact = 9007199254740992.0;  // 2^53
  const json::value* v = find(object, name);
  if (v == nullptr) return std::nullopt;
  if (v->is_int64()) return v->get_int64();
  if (!v->is_double()) return std::nullopt;
  const double number = v->get_double();
  if (std::trunc(number) != number || std::abs(number) > kExact) return std::nullopt;
  return static_cast<std::int64_t>(number);
}

std::optional<bool> find_bool(const json::object& object, std::string_view name) {
  const json::value* v = find(object, name);
  if (v == nullptr || !v->is_bool()) return std::nullopt;
  return v->get_bool();
}

const json::object* find_object(const json::object& object, std::string_view name) {
  const json::value* v = find(object, name);
  return v == nullptr ? nullptr : v->if_object();
}

const json::array* find_array(const json::object& object, std::string_view name) {
  const json::value* v = find(object, name);
  return v == nullptr ? nullptr : v->if_array();
}

}  // namespace kubiya
