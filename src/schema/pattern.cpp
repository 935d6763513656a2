// SPDX-License-Identifier: Apache-2.0
//
// ECMA-262 patterns (with the `u` flag) in the spelling of PCRE2.
#include <array>
#include <charconv>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "base/encoding.h"
#include "schema/regex.h"

namespace kubiya::schema {
namespace {

// ECMA-262 WhiteSpace and LineTerminator, as the inside of a class; and the rest.
constexpr std::string_view kSpace =
    R"(\t\n\u{b}\f\r \u{a0}\u{1680}\u{2000}-\u{200a}\u{2028}\u{2029}\u{202f}\u{205f}\u{3000}\u{feff})";
constexpr std::string_view kNoSpace =
    R"(\u{0}-\u{8}\u{e}-\u{1f}\u{21}-\u{9f}\u{a1}-\u{167f}\u{1681}-\u{1fff}\u{200b}-\u{2027})"
    R"(\u{202a}-\u{202e}\u{2030}-\u{205e}\u{2060}-\u{2fff}\u{3001}-\u{fefe}\u{ff00}-\u{10ffff})";

constexpr std::array<std::pair<std::string_view, std::string_view>, 39> kCategories = {{
    {"Other", "C"},
    {"Control", "Cc"},
    {"cntrl", "Cc"},
    {"Format", "Cf"},
    {"Unassigned", "Cn"},
    {"Private_Use", "Co"},
    {"Surrogate", "Cs"},
    {"Letter", "L"},
    {"Cased_Letter", "L&"},
    {"Lowercase_Letter", "Ll"},
    {"Modifier_Letter", "Lm"},
    {"Other_Letter", "Lo"},
    {"Titlecase_Letter", "Lt"},
    {"Uppercase_Letter", "Lu"},
    {"Mark", "M"},
    {"Combining_Mark", "M"},
    {"Spacing_Mark", "Mc"},
    {"Enclosing_Mark", "Me"},
    {"Nonspacing_Mark", "Mn"},
    {"Number", "N"},
    {"Decimal_Number", "Nd"},
    {"digit", "Nd"},
    {"Letter_Number", "Nl"},
    {"Other_Number", "No"},
    {"Punctuation", "P"},
    {"punct", "P"},
    {"Connector_Punctuation", "Pc"},
    {"Dash_Punctuation", "Pd"},
    {"Close_Punctuation", "Pe"},
    {"Final_Punctuation", "Pf"},
    {"Initial_Punctuation", "Pi"},
    {"Other_Punctuation", "Po"},
    {"Open_Punctuation", "Ps"},
    {"Symbol", "S"},
    {"Currency_Symbol", "Sc"},
    {"Modifier_Symbol", "Sk"},
    {"Math_Symbol", "Sm"},
    {"Other_Symbol", "So"},
    {"Separator", "Z"},
}};

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

std::string property_name(std::string_view name) {
  for (const std::string_view prefix : {"General_Category=", "gc="}) {
    if (name.starts_with(prefix)) name.remove_prefix(prefix.size());
  }
  for (const auto& [lengthy, brief] : kCategories) {
    if (name == lengthy) return std::string(brief);
  }
  for (const std::string_view prefix : {"Script=", "sc="}) {
    if (name.starts_with(prefix)) return fmt::format("sc:{}", name.substr(prefix.size()));
  }
  for (const std::string_view prefix : {"Script_Extensions=", "scx="}) {
    if (name.starts_with(prefix)) return fmt::format("scx:{}", name.substr(prefix.size()));
  }
  return std::string(name);
}

class Translator {
 public:
  explicit Translator(std::string_view in) : in_(in) {}

  Result<std::string> run() {
    while (at_ < in_.size()) TRY_VOID(in_class_ ? class_char() : plain_char());
    if (in_class_) return refuse("has an unclosed class");
    return std::move(out_);
  }

 private:
  static tl::unexpected<Error> refuse(std::string_view why) {
    return fail(Code::invalid, fmt::format("the pattern {}", why));
  }

  char peek(std::size_t ahead = 0) const {
    return at_ + ahead < in_.size() ? in_[at_ + ahead] : '\0';
  }
  void copy(std::size_t count = 1) {
    out_ += in_.substr(at_, count);
    at_ += count;
  }

  Result<> plain_char() {
    const char c = peek();
    if (c == '*' || c == '+' || c == '?' || is_counted()) return quantifier();
    repeatable_ = true;
    if (c == '\\') return escape();
    if (c == '(') return group();
    if (c == '[') return open_class();
    if (c == '|') repeatable_ = false;
    if (c != '.') {
      copy();
      return {};
    }
    ++at_;
    out_ += R"([^\n\r\u{2028}\u{2029}])";
    return {};
  }

  // Whether a `{n}`, `{n,}` or `{n,m}` starts here; any other brace is a literal.
  bool is_counted() const {
    if (peek() != '{' || !is_digit(peek(1))) return false;
    std::size_t i = 1;
    while (is_digit(peek(i))) ++i;
    if (peek(i) == ',') ++i;
    while (is_digit(peek(i))) ++i;
    return peek(i) == '}';
  }

  Result<> quantifier() {
    if (!repeatable_) return refuse("repeats nothing");
    copy(peek() == '{' ? in_.find('}', at_) - at_ + 1 : 1);
    if (peek() == '?') copy();
    repeatable_ = false;  // `a++` is possessive in PCRE2 and an error in ECMA-262
    return {};
  }

  Result<> group() {
    repeatable_ = false;
    if (peek(1) == '*') return refuse("repeats nothing");
    if (peek(1) != '?') {
      copy();
      return {};
    }
    const char kind = peek(2);
    const bool look_behind = kind == '<' && (peek(3) == '=' || peek(3) == '!');
    const bool named = kind == '<' && (is_letter(peek(3)) || peek(3) == '_');
    if (kind != ':' && kind != '=' && kind != '!' && !look_behind && !named) {
      return refuse("has a group that ECMA-262 does not know");
    }
    copy(look_behind ? 4 : 3);
    return {};
  }

  Result<> open_class() {
    in_class_ = true;
    copy(peek(1) == '^' ? 2 : 1);
    return {};
  }

  Result<> class_char() {
    const char c = peek();
    if (c == '\\') return escape();
    if (c == '[') out_ += '\\';  // else PCRE2 looks for [:alpha:]
    if (c == ']') in_class_ = false;
    copy();
    return {};
  }

  Result<> escape() {
    if (at_ + 1 >= in_.size()) return refuse("ends in a backslash");
    const char c = peek(1);
    switch (c) {
      case 's':
        return space(kSpace, "[");
      case 'S':
        return space(in_class_ ? kNoSpace : kSpace, "[^");
      case 'p':
      case 'P':
        return property();
      case 'u':
        return unicode();
      case 'v':
        return literal(0x0b, 2);
      case '0':
        if (is_digit(peek(2))) return refuse("has an octal escape");
        return literal(0, 2);
      case 'x':
        return hex_byte();
      case 'c':
        if (!is_letter(peek(2))) return refuse("has an unknown escape");
        return literal(static_cast<unsigned>(peek(2)) & 0x1f, 3);
      case 'k':
        if (in_class_ || peek(2) != '<') return refuse("has an unknown escape");
        copy(2);
        return {};
      default:
        return simple_escape(c);
    }
  }

  Result<> simple_escape(char c) {
    constexpr std::string_view kAnywhere = "dDwWbfnrt";
    const bool known = kAnywhere.find(c) != std::string_view::npos || (c == 'B' && !in_class_) ||
                       (is_digit(c) && !in_class_);
    if ((is_letter(c) || is_digit(c)) && !known) return refuse("has an unknown escape");
    if (static_cast<unsigned char>(c) >= 0x80) {
      ++at_;  // an escaped character outside ASCII is itself
      return {};
    }
    if (c == 'b' && in_class_) return literal(8, 2);
    copy(2);
    return {};
  }

  Result<> space(std::string_view members, std::string_view open) {
    at_ += 2;
    if (in_class_) {
      out_ += members;
    } else {
      out_.append(open).append(members).append("]");
    }
    return {};
  }

  Result<> property() {
    const auto end = in_.find('}', at_);
    if (peek(2) != '{' || end == std::string_view::npos) return refuse("has an unknown property");
    const std::string_view name = in_.substr(at_ + 3, end - at_ - 3);
    if (name.empty() || !(is_letter(name.front()))) return refuse("has an unknown property");
    out_.append(in_.substr(at_, 3)).append(property_name(name)).append("}");
    at_ = end + 1;
    return {};
  }

  std::optional<unsigned> hex_at(std::size_t ahead, std::size_t digits) const {
    if (at_ + ahead + digits > in_.size()) return std::nullopt;
    const char* first = in_.data() + at_ + ahead;
    unsigned value = 0;
    const auto [end, status] = std::from_chars(first, first + digits, value, 16);
    if (status != std::errc() || end != first + digits) return std::nullopt;
    return value;
  }

  Result<> hex_byte() {
    const auto byte = hex_at(2, 2);
    if (!byte) return refuse("has an unknown escape");
    return literal(*byte, 4);
  }

  Result<> unicode() {
    if (peek(2) == '{') {
      const auto end = in_.find('}', at_);
      const std::size_t digits = end == std::string_view::npos ? 0 : end - at_ - 3;
      const auto point = digits >= 1 && digits <= 8 ? hex_at(3, digits) : std::nullopt;
      if (!point) return refuse("has an unknown escape");
      return literal(*point, digits + 4);
    }
    const auto high = hex_at(2, 4);
    if (!high) return refuse("has an unknown escape");
    const bool leads = *high >= 0xd800 && *high < 0xdc00;
    if (leads && peek(6) == '\\' && peek(7) == 'u') {
      const auto low = hex_at(8, 4);
      if (low && *low >= 0xdc00 && *low < 0xe000) {
        return literal(0x10000 + ((*high - 0xd800) << 10) + (*low - 0xdc00), 12);
      }
    }
    return literal(*high, 6);
  }

  Result<> literal(unsigned point, std::size_t consumed) {
    if (point > 0x10ffff || (point >= 0xd800 && point < 0xe000)) {
      return refuse("names a code point that does not exist");
    }
    out_ += fmt::format("\\u{{{:x}}}", point);
    at_ += consumed;
    return {};
  }

  std::string_view in_;
  std::size_t at_ = 0;
  std::string out_;
  bool in_class_ = false;
  bool repeatable_ = false;
};

}  // namespace

Result<std::string> translate_pattern(std::string_view pattern) {
  if (!is_utf8(pattern)) return fail(Code::invalid, "the pattern is not UTF-8");
  return Translator(pattern).run();
}

}  // namespace kubiya::schema
