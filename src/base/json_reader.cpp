// SPDX-License-Identifier: Apache-2.0
//
// parse_json: one pass over the text. Values gather on Boost.JSON's value_stack, which makes each
// container once, at its final size; what that library lets through is refused here.
#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <forward_list>
#include <utility>

#include <fmt/format.h>
#include <boost/container/small_vector.hpp>
#include <boost/json/value_stack.hpp>

#include "base/eight_bytes.h"
#include "base/encoding.h"
#include "base/json.h"

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

class Reader {
 public:
  Reader(std::string_view text, const JsonLimits& limits, json::storage_ptr storage)
      : text_(text), limits_(limits), stack_({}, stack_memory_, sizeof stack_memory_) {
    stack_.reset(std::move(storage));
  }

  // The whole text is one value.
  bool document() {
    skip_space();
    if (!value()) return false;
    skip_space();
    return at_ == text_.size() || refuse();
  }

  json::value take() { return stack_.release(); }
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
        return word("true", [this] { stack_.push_bool(true); });
      case 'f':
        return word("false", [this] { stack_.push_bool(false); });
      case 'n':
        return word("null", [this] { stack_.push_null(); });
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

  template <class Push>
  bool word(std::string_view word, Push push) {
    if (text_.substr(at_, word.size()) != word) return refuse();
    at_ += word.size();
    push();
    return true;
  }

  bool object() {
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
    stack_.push_object(count);
    return true;
  }

  bool array() {
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
    stack_.push_array(count);
    return true;
  }

  // Behind the opening quote.
  bool string(Role role) {
    const std::size_t begin = at_;
    if (!plain_run()) return false;
    if (text_[at_] == '\\') return escaped_string(role, begin);
    accept(role, text_.substr(begin, at_ - begin));
    ++at_;
    return true;
  }

  void accept(Role role, std::string_view text) {
    if (role == Role::name) {
      names_.push_back(text);
      stack_.push_key(text);
    } else {
      stack_.push_string(text);
    }
  }

  // To the next quote or backslash.
  bool plain_run() {
    const std::size_t begin = at_;
    bool ascii = true;
    if (!find_end(ascii)) return refuse();
    // A character never ends at a quote or a backslash halfway.
    return ascii || is_utf8(text_.substr(begin, at_ - begin)) || refuse();
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
    std::string out(text_.substr(begin, at_ - begin));
    while (take('\\')) {
      if (!escape(out)) return false;
      const std::size_t run = at_;
      if (!plain_run()) return false;
      out.append(text_.substr(run, at_ - run));
    }
    ++at_;
    if (role == Role::name) {
      accept(role, escaped_names_.emplace_front(std::move(out)));
    } else {
      accept(role, out);
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
    const std::string_view literal = text_.substr(begin, at_ - begin);
    if (literal.size() > limits_.number_chars) return refuse("number too long");
    return (whole && push_integer(literal, negative)) || push_double(literal);
  }

  // False when it does not fit.
  bool push_integer(std::string_view literal, bool negative) {
    std::int64_t small = 0;
    const char* end = literal.data() + literal.size();
    if (std::from_chars(literal.data(), end, small).ec == std::errc()) {
      stack_.push_int64(small);
      return true;
    }
    std::uint64_t large = 0;
    if (negative || std::from_chars(literal.data(), end, large).ec != std::errc()) return false;
    stack_.push_uint64(large);
    return true;
  }

  bool push_double(std::string_view literal) {
    double exact = 0;
    const auto status = std::from_chars(literal.data(), literal.data() + literal.size(), exact).ec;
    if (status == std::errc::result_out_of_range && is_tiny(literal)) {
      // An underflow to zero is a faithful reading; an overflow is not.
      exact = 0;
    } else if (status != std::errc() || !std::isfinite(exact)) {
      return refuse("number out of range");
    }
    stack_.push_double(exact);
    return true;
  }

  static bool is_tiny(std::string_view literal) {
    const auto e = literal.find_first_of("eE");
    return e != std::string_view::npos && literal[e + 1] == '-';
  }

  std::string_view text_;
  const JsonLimits& limits_;
  unsigned char stack_memory_[2048];
  json::value_stack stack_;
  // Of the objects that are open, the innermost last. They point into the text, but for those
  // with escapes.
  boost::container::small_vector<std::string_view, 32> names_;
  std::forward_list<std::string> escaped_names_;
  std::size_t at_ = 0;
  std::size_t depth_ = 0;
  std::size_t nodes_ = 0;
  const char* fault_ = nullptr;
};

}  // namespace

Result<json::value> parse_json(std::string_view text, const JsonLimits& limits,
                               json::storage_ptr storage) {
  Reader reader(text, limits, std::move(storage));
  if (!reader.document()) {
    return fail(Code::invalid, reader.fault(), fmt::format("at byte {}", reader.at()));
  }
  return reader.take();
}

}  // namespace kubiya
