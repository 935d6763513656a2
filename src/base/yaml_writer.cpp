// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <string>

#include "base/yaml.h"

namespace kubiya {
namespace {

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

// Words that other readers of YAML take for something else than text.
bool is_spoken_for(std::string_view text) {
  constexpr std::string_view words[] = {"null", "true", "false", "yes", "no",
                                        "on",   "off",  "y",     "n"};
  std::string low(text);
  std::ranges::transform(low, low.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  return std::ranges::find(words, low) != std::end(words);
}

// Text that needs no quotes in any place: a letter first, then harmless characters.
bool is_plain(std::string_view text) {
  if (text.empty() || !is_letter(text[0]) || text.back() == ' ' || is_spoken_for(text))
    return false;
  return std::ranges::all_of(text, [](char c) {
    return is_letter(c) || (c >= '0' && c <= '9') ||
           std::string_view(" _-./+()=$;").find(c) != std::string_view::npos;
  });
}

// Text that a literal block gives back byte for byte.
bool is_block(std::string_view text) {
  const bool starts_well = !text.empty() && text[0] != ' ' && text[0] != '\n' && text[0] != '\t';
  if (!starts_well || text.find('\n') == std::string_view::npos) return false;
  return std::ranges::all_of(text, [](char c) { return c == '\n' || (c >= ' ' && c <= '~'); });
}

// The length of the character `text` starts with, if JSON leaves it as it is and YAML does not:
// not c-printable, or the end of a line in YAML 1.1. Otherwise 0.
std::size_t yaml_must_escape(std::string_view text) {
  if (text[0] == '\x7F') return 1;
  if (text[0] == '\xC2') return static_cast<unsigned char>(text[1]) < 0xA0 ? 2 : 0;
  for (const std::string_view mark :
       {"\xE2\x80\xA8", "\xE2\x80\xA9", "\xEF\xBB\xBF", "\xEF\xBF\xBE", "\xEF\xBF\xBF"}) {
    if (text.starts_with(mark)) return mark.size();
  }
  return 0;
}

// UTF-8 of one character below U+10000, and not ASCII or U+007F.
void append_escape(std::string& out, std::string_view character) {
  const auto low_bits = [&](std::size_t at) { return character[at] & 0x3F; };
  const int point = character.size() == 1 ? character[0]
                    : character.size() == 2
                        ? (character[0] & 0x1F) << 6 | low_bits(1)
                        : (character[0] & 0x0F) << 12 | low_bits(1) << 6 | low_bits(2);
  fmt::format_to(std::back_inserter(out), "\\u{:04x}", point);
}

void append_quoted(std::string& out, std::string_view text) {
  std::string quoted;
  append_json_string(quoted, text);
  for (std::string_view left = quoted; !left.empty();) {
    const std::size_t length = yaml_must_escape(left);
    if (length > 0) {
      append_escape(out, left.substr(0, length));
    } else {
      out += left[0];
    }
    left.remove_prefix(std::max<std::size_t>(length, 1));
  }
}

class Writer {
 public:
  std::string run(const json::value& value) {
    if (is_nested(value)) {
      children(value, 0);
    } else {
      leaf(value, 0);
    }
    return std::move(out_);
  }

 private:
  static bool is_nested(const json::value& value) {
    if (const auto* object = value.if_object()) return !object->empty();
    if (const auto* array = value.if_array()) return !array->empty();
    return false;
  }

  void indent(std::size_t depth) { out_.append(2 * depth, ' '); }

  void children(const json::value& value, std::size_t depth) {
    if (const auto* array = value.if_array()) {
      for (const auto& item : *array) {
        indent(depth);
        out_ += '-';
        after_marker(item, depth);
      }
      return;
    }
    for (const auto& member : value.get_object()) {
      indent(depth);
      text_on_line(member.key());
      out_ += ':';
      after_marker(member.value(), depth);
    }
  }

  void after_marker(const json::value& value, std::size_t depth) {
    if (is_nested(value)) {
      out_ += '\n';
      children(value, depth + 1);
      return;
    }
    out_ += ' ';
    leaf(value, depth + 1);
  }

  void leaf(const json::value& value, std::size_t depth) {
    if (const auto* text = value.if_string()) {
      if (is_block(view(*text))) return block(view(*text), depth);
      text_on_line(view(*text));
    } else {
      append_json(out_, value);
    }
    out_ += '\n';
  }

  void text_on_line(std::string_view text) {
    if (is_plain(text)) {
      out_ += text;
    } else {
      append_quoted(out_, text);
    }
  }

  void block(std::string_view text, std::size_t depth) {
    const bool ends = text.ends_with('\n');
    out_ += !ends ? "|-" : text.ends_with("\n\n") ? "|+" : "|";
    out_ += '\n';
    if (ends) text.remove_suffix(1);
    while (true) {
      const std::size_t end = text.find('\n');
      const std::string_view line = text.substr(0, end);
      if (!line.empty()) indent(std::max<std::size_t>(depth, 1));
      out_ += line;
      out_ += '\n';
      if (end == std::string_view::npos) return;
      text.remove_prefix(end + 1);
    }
  }

  std::string out_;
};

}  // namespace

std::string to_yaml(const json::value& value) { return Writer().run(value); }

}  // namespace kubiya
