// SPDX-License-Identifier: Apache-2.0
//
// One strict pass over a JSON text, for parse_json and for JsonText: what Boost.JSON's own parser
// lets through is refused here.
#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <forward_list>
#include <limits>
#include <utility>

#include <fmt/format.h>
#include <boost/container/small_vector.hpp>
#include <boost/json/value_stack.hpp>

#include "base/eight_bytes.h"
#include "base/encoding.h"
#include "base/json.h"
#include "base/json_text.h"

namespace kubiya {
namespace {

// So many members are compared one with another; more are sorted first.
constexpr std::size_t kFewMembers = 16;

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// Whether two names are alike. Reorders them.
bool has_twins(std::string_view* begin, std::string_view* end) {
  const auto count = static_cast<std::size_t>(end - begin);
  if (count > kFewMembers) {
    std::sort(begin, end);
    return std::adjacent_find(begin, end) != end;
  }
  for (auto* name = begin; name != end; ++name) {
    if (std::find(name + 1, end, *name) != end) return true;
  }
  return false;
}

// Values gather on Boost.JSON's value_stack, which makes each container once, at its final size.
class ValueSink {
 public:
  explicit ValueSink(json::storage_ptr storage) : stack_({}, memory_, sizeof memory_) {
    stack_.reset(std::move(storage));
  }
  json::value take() { return stack_.release(); }

  std::size_t begin_container() { return 0; }
  void end_object(std::size_t, std::size_t members, std::string_view) {
    stack_.push_object(members);
  }
  void end_array(std::size_t, std::size_t values, std::string_view) { stack_.push_array(values); }
  // Where the name lives until its object ends.
  std::string_view name(std::string_view text) {
    stack_.push_key(text);
    return text;
  }
  std::string_view escaped_name(std::string text) {
    return name(escaped_names_.emplace_front(std::move(text)));
  }
  void string(std::string_view text, std::string_view) { stack_.push_string(text); }
  void escaped_string(std::string text, std::string_view) { stack_.push_string(text); }
  void null(std::string_view) { stack_.push_null(); }
  void boolean(bool value, std::string_view) { stack_.push_bool(value); }
  void integer(std::int64_t value, std::string_view) { stack_.push_int64(value); }
  void integer(std::uint64_t value, std::string_view) { stack_.push_uint64(value); }
  void real(double value, std::string_view) { stack_.push_double(value); }

 private:
  unsigned char memory_[2048];
  json::value_stack stack_;
  std::forward_list<std::string> escaped_names_;
};

}  // namespace

// Writes down where each value is.
class TextSink {
 public:
  explicit TextSink(JsonText& out) : out_(out) {}

  std::size_t begin_container() {
    out_.nodes_.emplace_back();
    return out_.nodes_.size() - 1;
  }
  void end_object(std::size_t node, std::size_t, std::string_view text) {
    end(node, Kind::object, text);
  }
  void end_array(std::size_t node, std::size_t, std::string_view text) {
    end(node, Kind::array, text);
  }
  std::string_view name(std::string_view text) {
    add(Kind::string, text, text);
    return text;
  }
  std::string_view escaped_name(std::string text) { return name(keep(text)); }
  void string(std::string_view value, std::string_view text) { add(Kind::string, text, value); }
  void escaped_string(const std::string& value, std::string_view text) {
    add(Kind::string, text, keep(value));
  }
  void null(std::string_view text) { add(Kind::null, text); }
  void boolean(bool, std::string_view text) { add(Kind::boolean, text); }
  void integer(std::int64_t, std::string_view text) { add(Kind::number, text); }
  void integer(std::uint64_t, std::string_view text) { add(Kind::number, text); }
  void real(double, std::string_view text) { add(Kind::number, text); }

 private:
  using Kind = JsonView::Kind;

  void add(Kind kind, std::string_view text, std::string_view string = {}) {
    const auto end = static_cast<std::uint32_t>(out_.nodes_.size() + 1);
    out_.nodes_.push_back({text, string, end, kind});
  }
  void end(std::size_t node, Kind kind, std::string_view text) {
    const auto end = static_cast<std::uint32_t>(out_.nodes_.size());
    out_.nodes_[node] = {text, {}, end, kind};
  }
  std::string_view keep(std::string_view text) { return out_.unescaped_.emplace_front(text); }

  JsonText& out_;
};

namespace {

template <class Sink>
class Reader {
 public:
  Reader(std::string_view text, const JsonLimits& limits, Sink& sink)
      : text_(text), limits_(limits), sink_(sink) {}

  // The whole text is one value.
  bool document() {
    skip_space();
    if (!value()) return false;
    skip_space();
    return at_ == text_.size() || refuse();
  }

  const char* fault() const { return fault_; }
  std::size_t at() const { return at_; }

 private:
  enum class Role { name, value };

  bool refuse(const char* fault = "not valid JSON") {
    fault_ = fault;
    return false;
  }

  bool have() const { return at_ < text_.size(); }
  // Steps over `c` if it is next.
  bool take(char c) {
    if (!have() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  void skip_space() {
    for (; have(); ++at_) {
      const char c = text_[at_];
      if (c > ' ' || !(c == ' ' || c == '\n' || c == '\r' || c == '\t')) return;
    }
  }

  bool value() {
    if (!have()) return refuse();
    if (++nodes_ > limits_.nodes) return refuse("too many values");
    switch (text_[at_]) {
      case '{':
        return nested(&Reader::object);
      case '[':
        return nested(&Reader::array);
      case '"':
        ++at_;
        return string(Role::value);
      case 't':
        return word("true", [this](std::string_view text) { sink_.boolean(true, text); });
      case 'f':
        return word("false", [this](std::string_view text) { sink_.boolean(false, text); });
      case 'n':
        return word("null", [this](std::string_view text) { sink_.null(text); });
      default:
        return number();
    }
  }

  bool nested(bool (Reader::*container)()) {
    if (depth_ == limits_.depth) return refuse("nested too deeply");
    ++depth_;
    ++at_;
    const bool ok = (this->*container)();
    --depth_;
    return ok;
  }

  template <class Accept>
  bool word(std::string_view word, Accept accept) {
    const std::string_view text = text_.substr(at_, word.size());
    if (text != word) return refuse();
    at_ += word.size();
    accept(text);
    return true;
  }

  // Behind the opening brace.
  bool object() {
    const std::size_t begin = at_ - 1;
    const std::size_t container = sink_.begin_container();
    const std::size_t first = names_.size();
    skip_space();
    if (!take('}')) {
      do {
        skip_space();
        if (!take('"')) return refuse();
        if (!string(Role::name)) return false;
        skip_space();
        if (!take(':')) return refuse();
        skip_space();
        if (!value()) return false;
        skip_space();
      } while (take(','));
      if (!take('}')) return refuse();
    }
    const std::size_t count = names_.size() - first;
    if (has_twins(names_.data() + first, names_.data() + names_.size())) {
      return refuse("duplicate member");
    }
    names_.resize(first);
    sink_.end_object(container, count, from(begin));
    return true;
  }

  // Behind the opening bracket.
  bool array() {
    const std::size_t begin = at_ - 1;
    const std::size_t container = sink_.begin_container();
    std::size_t count = 0;
    skip_space();
    if (!take(']')) {
      do {
        skip_space();
        if (!value()) return false;
        ++count;
        skip_space();
      } while (take(','));
      if (!take(']')) return refuse();
    }
    sink_.end_array(container, count, from(begin));
    return true;
  }

  // Behind the opening quote.
  bool string(Role role) {
    const std::size_t begin = at_;
    if (!plain_run()) return false;
    if (text_[at_] == '\\') return escaped_string(role, begin);
    const std::string_view content = from(begin);
    ++at_;
    if (role == Role::name) {
      names_.push_back(sink_.name(content));
    } else {
      sink_.string(content, from(begin - 1));
    }
    return true;
  }

  // What was read since `begin`.
  std::string_view from(std::size_t begin) const { return text_.substr(begin, at_ - begin); }

  // To the next quote or backslash.
  bool plain_run() {
    const std::size_t begin = at_;
    bool ascii = true;
    if (!find_end(ascii)) return refuse();
    // A character never ends at a quote or a backslash halfway.
    return ascii || is_utf8(from(begin)) || refuse();
  }

  // Eight bytes at a time. False when the text ends first, or at a control byte.
  bool find_end(bool& ascii) {
    for (; at_ + 8 <= text_.size(); at_ += 8) {
      const std::uint64_t word = eight_bytes(text_.data() + at_);
      const std::uint64_t found =
          bytes_equal(word, '"') | bytes_equal(word, '\\') | bytes_below(word, 0x20);
      const std::uint64_t before = found == 0 ? ~std::uint64_t{0} : (found & -found) - 1;
      ascii = ascii && (word & before & kTopBits) == 0;
      if (found == 0) continue;
      at_ += static_cast<std::size_t>(std::countr_zero(found)) / 8;
      return static_cast<unsigned char>(text_[at_]) >= 0x20;
    }
    for (; have(); ++at_) {
      const auto c = static_cast<unsigned char>(text_[at_]);
      if (c == '"' || c == '\\') return true;
      if (c < 0x20) return false;
      ascii = ascii && c < 0x80;
    }
    return false;
  }

  bool escaped_string(Role role, std::size_t begin) {
    std::string out(from(begin));
    while (take('\\')) {
      if (!escape(out)) return false;
      const std::size_t run = at_;
      if (!plain_run()) return false;
      out.append(from(run));
    }
    ++at_;
    if (role == Role::name) {
      names_.push_back(sink_.escaped_name(std::move(out)));
    } else {
      sink_.escaped_string(std::move(out), from(begin - 1));
    }
    return true;
  }

  // Behind the backslash.
  bool escape(std::string& out) {
    constexpr std::string_view kLetters = "\"\\/bfnrt";
    constexpr std::string_view kMeanings = "\"\\/\b\f\n\r\t";
    if (!have()) return refuse();
    const char letter = text_[at_++];
    if (letter == 'u') return unicode_escape(out);
    const auto index = kLetters.find(letter);
    if (index == std::string_view::npos) return refuse();
    out += kMeanings[index];
    return true;
  }

  bool unicode_escape(std::string& out) {
    char32_t point = 0;
    if (!four_digits(point)) return refuse();
    if (point >= 0xDC00 && point < 0xE000) return refuse();
    if (point >= 0xD800 && point < 0xDC00) {
      char32_t low = 0;
      if (!take('\\') || !take('u') || !four_digits(low)) return refuse();
      if (low < 0xDC00 || low >= 0xE000) return refuse();
      point = 0x10000 + ((point - 0xD800) << 10) + (low - 0xDC00);
    }
    append_utf8(out, point);
    return true;
  }

  bool four_digits(char32_t& point) {
    if (text_.size() - at_ < 4) return false;
    std::uint32_t number = 0;
    const char* begin = text_.data() + at_;
    const auto [end, error] = std::from_chars(begin, begin + 4, number, 16);
    if (error != std::errc() || end != begin + 4) return false;
    at_ += 4;
    point = number;
    return true;
  }

  std::size_t digits() {
    const std::size_t begin = at_;
    while (have() && is_digit(text_[at_])) ++at_;
    return at_ - begin;
  }

  bool number() {
    const std::size_t begin = at_;
    const bool negative = take('-');
    if (take('0')) {
      if (have() && is_digit(text_[at_])) return refuse();
    } else if (digits() == 0) {
      return refuse();
    }
    bool whole = true;
    if (take('.')) {
      whole = false;
      if (digits() == 0) return refuse();
    }
    if (take('e') || take('E')) {
      whole = false;
      if (!take('-')) take('+');
      if (digits() == 0) return refuse();
    }
    const std::string_view literal = from(begin);
    if (literal.size() > limits_.number_chars) return refuse("number too long");
    return (whole && integer(literal, negative)) || real(literal);
  }

  // False when it does not fit.
  bool integer(std::string_view literal, bool negative) {
    std::int64_t small = 0;
    const char* end = literal.data() + literal.size();
    if (std::from_chars(literal.data(), end, small).ec == std::errc()) {
      sink_.integer(small, literal);
      return true;
    }
    std::uint64_t large = 0;
    if (negative || std::from_chars(literal.data(), end, large).ec != std::errc()) return false;
    sink_.integer(large, literal);
    return true;
  }

  bool real(std::string_view literal) {
    double exact = 0;
    const auto status = std::from_chars(literal.data(), literal.data() + literal.size(), exact).ec;
    if (status == std::errc::result_out_of_range && is_tiny(literal)) {
      // An underflow to zero is a faithful reading; an overflow is not.
      exact = 0;
    } else if (status != std::errc() || !std::isfinite(exact)) {
      return refuse("number out of range");
    }
    sink_.real(exact, literal);
    return true;
  }

  static bool is_tiny(std::string_view literal) {
    const auto e = literal.find_first_of("eE");
    return e != std::string_view::npos && literal[e + 1] == '-';
  }

  std::string_view text_;
  const JsonLimits& limits_;
  Sink& sink_;
  // Of the objects that are open, the innermost last.
  boost::container::small_vector<std::string_view, 32> names_;
  std::size_t at_ = 0;
  std::size_t depth_ = 0;
  std::size_t nodes_ = 0;
  const char* fault_ = nullptr;
};

template <class Sink>
Result<> read(std::string_view text, const JsonLimits& limits, Sink& sink) {
  Reader reader(text, limits, sink);
  if (reader.document()) return {};
  return fail(Code::invalid, reader.fault(), fmt::format("at byte {}", reader.at()));
}

}  // namespace

Result<json::value> parse_json(std::string_view text, const JsonLimits& limits,
                               json::storage_ptr storage) {
  ValueSink sink(std::move(storage));
  TRY_VOID(read(text, limits, sink));
  return sink.take();
}

Result<> JsonText::read(std::string_view text, const JsonLimits& limits) {
  ASSERT(nodes_.empty(), "a text is read once");
  // Of an ordinary message; to grow there step by step would cost more than to read it.
  constexpr std::size_t kNodesExpected = 64;
  nodes_.reserve(kNodesExpected);
  TextSink sink(*this);
  return kubiya::read(text, limits, sink);
}

JsonView::Kind JsonView::kind() const { return whole_->nodes_[index_].kind; }
std::string_view JsonView::text() const { return whole_->nodes_[index_].text; }
std::string_view JsonView::string() const { return whole_->nodes_[index_].string; }

json::value JsonView::value() const {
  constexpr auto kAny = std::numeric_limits<std::size_t>::max();
  auto value = parse_json(text(), {.depth = kAny, .nodes = kAny, .number_chars = kAny});
  ASSERT(value, "the whole text was read before, within limits");
  return std::move(*value);
}

bool JsonView::is_integer() const {
  if (kind() != Kind::number) return false;
  const std::string_view literal = text();
  const char* end = literal.data() + literal.size();
  std::int64_t small = 0;
  std::uint64_t large = 0;
  const auto fits = [&](auto& number) {
    const auto result = std::from_chars(literal.data(), end, number);
    return result.ec == std::errc() && result.ptr == end;
  };
  return fits(small) || fits(large);
}

std::optional<JsonView> JsonView::find(std::string_view name) const {
  if (kind() != Kind::object) return std::nullopt;
  const auto& nodes = whole_->nodes_;
  const std::size_t end = nodes[index_].end;
  for (std::size_t at = index_ + 1; at < end; at = nodes[at + 1].end) {
    if (nodes[at].string == name) return JsonView(*whole_, at + 1);
  }
  return std::nullopt;
}

std::vector<JsonView> JsonView::elements() const {
  std::vector<JsonView> found;
  if (kind() != Kind::array) return found;
  const auto& nodes = whole_->nodes_;
  const std::size_t end = nodes[index_].end;
  for (std::size_t at = index_ + 1; at < end; at = nodes[at].end) {
    found.push_back(JsonView(*whole_, at));
  }
  return found;
}

std::optional<std::string_view> find_string(JsonView object, std::string_view name) {
  const auto value = object.find(name);
  if (!value || value->kind() != JsonView::Kind::string) return std::nullopt;
  return value->string();
}

std::optional<JsonView> find_object(JsonView object, std::string_view name) {
  const auto value = object.find(name);
  if (!value || value->kind() != JsonView::Kind::object) return std::nullopt;
  return value;
}

}  // namespace kubiya
