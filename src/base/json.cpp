// SPDX-License-Identifier: Apache-2.0
#include "base/json.h"

#include <array>
#include <charconv>
#include <cmath>
#include <vector>

#include <fmt/format.h>
#include <boost/json/basic_parser_impl.hpp>

namespace kubiya {
namespace {

using boost::json::error_code;

// Receives parse events and builds the value, refusing what the standard parser lets through.
class StrictBuilder {
 public:
  static constexpr std::size_t max_object_size = std::size_t(-1);
  static constexpr std::size_t max_array_size = std::size_t(-1);
  static constexpr std::size_t max_key_size = std::size_t(-1);
  static constexpr std::size_t max_string_size = std::size_t(-1);

  StrictBuilder(const JsonLimits& limits, json::storage_ptr storage)
      : limits_(limits), storage_(std::move(storage)), root_(storage_) {}

  json::value take() { return std::move(root_); }
  const char* fault() const { return fault_; }

  bool on_document_begin(error_code&) { return true; }
  bool on_document_end(error_code&) { return true; }
  bool on_object_begin(error_code& ec) { return open(json::object(storage_), ec); }
  bool on_object_end(std::size_t, error_code& ec) { return close(ec); }
  bool on_array_begin(error_code& ec) { return open(json::array(storage_), ec); }
  bool on_array_end(std::size_t, error_code& ec) { return close(ec); }

  bool on_key_part(std::string_view s, std::size_t, error_code&) {
    text_.append(s);
    return true;
  }
  bool on_key(std::string_view s, std::size_t, error_code& ec) {
    Frame& top = frames_.back();
    if (text_.empty()) {
      top.key.assign(s);
    } else {
      text_.append(s);
      top.key.swap(text_);
      text_.clear();
    }
    if (top.container.get_object().contains(top.key)) return refuse("duplicate member", ec);
    return true;
  }
  bool on_string_part(std::string_view s, std::size_t, error_code&) {
    text_.append(s);
    return true;
  }
  bool on_string(std::string_view s, std::size_t, error_code& ec) {
    if (text_.empty()) return add(json::value(json::string(s, storage_)), ec);
    text_.append(s);
    json::value value(json::string(text_, storage_));
    text_.clear();
    return add(std::move(value), ec);
  }
  bool on_number_part(std::string_view s, error_code& ec) { return more_number(s, ec); }
  bool on_int64(std::int64_t i, std::string_view s, error_code& ec) {
    if (!more_number(s, ec)) return false;
    text_.clear();
    return add(json::value(i, storage_), ec);
  }
  bool on_uint64(std::uint64_t u, std::string_view s, error_code& ec) {
    if (!more_number(s, ec)) return false;
    text_.clear();
    return add(json::value(u, storage_), ec);
  }
  bool on_double(double, std::string_view s, error_code& ec) {
    if (!more_number(s, ec)) return false;
    double exact = 0;
    const auto [end, status] = std::from_chars(text_.data(), text_.data() + text_.size(), exact);
    const bool whole = end == text_.data() + text_.size();
    // An underflow to zero is a faithful reading; an overflow is not.
    const bool underflow = status == std::errc::result_out_of_range && looks_tiny(text_);
    text_.clear();
    if (underflow) return add(json::value(0.0, storage_), ec);
    if (status != std::errc() || !whole || !std::isfinite(exact)) {
      return refuse("number out of range", ec);
    }
    return add(json::value(exact, storage_), ec);
  }
  bool on_bool(bool b, error_code& ec) { return add(json::value(b, storage_), ec); }
  bool on_null(error_code& ec) { return add(json::value(nullptr, storage_), ec); }
  bool on_comment_part(std::string_view, error_code& ec) { return refuse("comment", ec); }
  bool on_comment(std::string_view, error_code& ec) { return refuse("comment", ec); }

 private:
  struct Frame {
    json::value container;
    std::string key;
  };

  static bool looks_tiny(std::string_view literal) {
    const auto e = literal.find_first_of("eE");
    return e != std::string_view::npos && e + 1 < literal.size() && literal[e + 1] == '-';
  }

  bool refuse(const char* fault, error_code& ec) {
    fault_ = fault;
    ec = boost::json::error::syntax;
    return false;
  }
  bool more_number(std::string_view s, error_code& ec) {
    if (text_.size() + s.size() > limits_.number_chars) return refuse("number too long", ec);
    text_.append(s);
    return true;
  }
  bool count(error_code& ec) { return ++nodes_ <= limits_.nodes || refuse("too many values", ec); }
  template <class Container>
  bool open(Container container, error_code& ec) {
    if (!count(ec)) return false;
    frames_.push_back({json::value(std::move(container)), {}});
    return true;
  }
  bool close(error_code&) {
    json::value done = std::move(frames_.back().container);
    frames_.pop_back();
    put(std::move(done));
    return true;
  }
  bool add(json::value&& value, error_code& ec) {
    if (!count(ec)) return false;
    put(std::move(value));
    return true;
  }
  void put(json::value&& value) {
    if (frames_.empty()) {
      root_ = std::move(value);
      return;
    }
    Frame& top = frames_.back();
    if (auto* object = top.container.if_object()) {
      object->emplace(top.key, std::move(value));
    } else {
      top.container.get_array().push_back(std::move(value));
    }
  }

  const JsonLimits& limits_;
  json::storage_ptr storage_;
  json::value root_;
  std::vector<Frame> frames_;
  std::string text_;
  std::size_t nodes_ = 0;
  const char* fault_ = nullptr;
};

}  // namespace

Result<json::value> parse_json(std::string_view text, const JsonLimits& limits,
                               json::storage_ptr storage) {
  boost::json::parse_options options;
  options.max_depth = limits.depth;
  boost::json::basic_parser<StrictBuilder> parser(options, limits, std::move(storage));
  error_code ec;
  const std::size_t used = parser.write_some(false, text.data(), text.size(), ec);
  const char* fault = parser.handler().fault();
  if (fault == nullptr && ec == boost::json::error::too_deep) fault = "nested too deeply";
  if (fault == nullptr && (ec || used != text.size() || !parser.done())) fault = "not valid JSON";
  if (fault != nullptr) return fail(Code::invalid, fault, fmt::format("at byte {}", used));
  return parser.handler().take();
}

void append_json_string(std::string& out, std::string_view text) {
  constexpr std::string_view digits = "0123456789abcdef";
  out += '"';
  std::size_t plain = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const unsigned char c = static_cast<unsigned char>(text[i]);
    if (c >= 0x20 && c != '"' && c != '\\' && c != 0x7F) continue;
    out.append(text.substr(plain, i - plain));
    plain = i + 1;
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      default:
        out += "\\u00";
        out += digits[c >> 4];
        out += digits[c & 15];
    }
  }
  out.append(text.substr(plain));
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
    case json::kind::object: {
      out += '{';
      bool first = true;
      for (const auto& member : value.get_object()) {
        if (!first) out += ',';
        first = false;
        append_json_string(out, member.key());
        out += ':';
        append_json(out, member.value());
      }
      out += '}';
      break;
    }
  }
}

std::string to_json(const json::value& value) {
  std::string out;
  append_json(out, value);
  return out;
}

const json::value* find(const json::object& object, std::string_view name) {
  return object.if_contains(name);
}

std::optional<std::string_view> find_string(const json::object& object, std::string_view name) {
  const json::value* v = object.if_contains(name);
  if (v == nullptr || !v->is_string()) return std::nullopt;
  return view(v->get_string());
}

std::optional<std::int64_t> find_int(const json::object& object, std::string_view name) {
  const json::value* v = object.if_contains(name);
  if (v == nullptr || !v->is_int64()) return std::nullopt;
  return v->get_int64();
}

std::optional<bool> find_bool(const json::object& object, std::string_view name) {
  const json::value* v = object.if_contains(name);
  if (v == nullptr || !v->is_bool()) return std::nullopt;
  return v->get_bool();
}

const json::object* find_object(const json::object& object, std::string_view name) {
  const json::value* v = object.if_contains(name);
  return v == nullptr ? nullptr : v->if_object();
}

const json::array* find_array(const json::object& object, std::string_view name) {
  const json::value* v = object.if_contains(name);
  return v == nullptr ? nullptr : v->if_array();
}

}  // namespace kubiya
