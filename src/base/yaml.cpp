// SPDX-License-Identifier: Apache-2.0
#include "base/yaml.h"

#include <fmt/format.h>
#include <yaml.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "base/encoding.h"

namespace kubiya {
namespace {

struct Mark {
  int line = 0;
  int column = 0;
};

tl::unexpected<Error> fault(std::string_view what, Mark mark) {
  return fail(Code::invalid, fmt::format("{} (line {}, column {})", what, mark.line, mark.column));
}

Mark mark_of(const yaml_mark_t& mark) {
  return {static_cast<int>(mark.line) + 1, static_cast<int>(mark.column) + 1};
}

const char* to_text(const yaml_char_t* text) { return reinterpret_cast<const char*>(text); }

std::string text_of(const yaml_char_t* text) { return text == nullptr ? "" : to_text(text); }

bool one_of(std::string_view text, std::initializer_list<std::string_view> words) {
  for (const auto word : words) {
    if (text == word) return true;
  }
  return false;
}

std::size_t digits_from(std::string_view text, std::size_t at) {
  std::size_t end = at;
  while (end < text.size() && text[end] >= '0' && text[end] <= '9') ++end;
  return end - at;
}

// [-+]? ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )?
bool is_decimal(std::string_view text, bool& whole) {
  std::size_t at = !text.empty() && (text[0] == '-' || text[0] == '+') ? 1 : 0;
  const std::size_t before = digits_from(text, at);
  at += before;
  whole = true;
  std::size_t after = 0;
  if (at < text.size() && text[at] == '.') {
    whole = false;
    after = digits_from(text, at + 1);
    at += 1 + after;
  }
  if (before + after == 0) return false;
  if (at < text.size() && (text[at] == 'e' || text[at] == 'E')) {
    whole = false;
    ++at;
    if (at < text.size() && (text[at] == '-' || text[at] == '+')) ++at;
    const std::size_t exponent = digits_from(text, at);
    if (exponent == 0) return false;
    at += exponent;
  }
  return at == text.size();
}

template <class T>
std::optional<T> read_whole(std::string_view digits, int base) {
  T value{};
  const auto [end, status] =
      std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
  if (status != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  return value;
}

constexpr std::string_view kQuoteIt = "; quote it if it is text";

Result<json::value> typed_integer(std::string_view text, int base, Mark mark) {
  if (const auto small = read_whole<std::int64_t>(text, base)) return json::value(*small);
  if (const auto large = read_whole<std::uint64_t>(text, base)) return json::value(*large);
  return fault(fmt::format("number out of range{}", kQuoteIt), mark);
}

Result<json::value> typed_decimal(std::string_view text, bool whole, Mark mark) {
  const std::string_view unsigned_text = text.substr(text[0] == '-' || text[0] == '+' ? 1 : 0);
  const std::string_view number = text[0] == '+' ? unsigned_text : text;
  if (whole) {
    if (unsigned_text.size() > 1 && unsigned_text[0] == '0') {
      return fault(fmt::format("number with a leading zero{}", kQuoteIt), mark);
    }
    return typed_integer(number, 10, mark);
  }
  double value = 0;
  const auto [end, status] = std::from_chars(number.data(), number.data() + number.size(), value);
  if (status != std::errc() || end != number.data() + number.size() || !std::isfinite(value)) {
    return fault(fmt::format("number out of range{}", kQuoteIt), mark);
  }
  return json::value(value);
}

// YAML 1.2 core schema, for plain scalars.
Result<json::value> typed(std::string_view text, const JsonLimits& limits, Mark mark) {
  if (text.empty() || one_of(text, {"null", "Null", "NULL", "~"})) return json::value(nullptr);
  if (one_of(text, {"true", "True", "TRUE"})) return json::value(true);
  if (one_of(text, {"false", "False", "FALSE"})) return json::value(false);
  if (one_of(text, {".nan", ".NaN", ".NAN", ".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF",
                    "-.inf", "-.Inf", "-.INF"})) {
    return fault(fmt::format("infinity and NaN are not supported{}", kQuoteIt), mark);
  }
  const auto prefixed = [&](std::string_view prefix, std::string_view digits) {
    return text.size() > 2 && text.starts_with(prefix) &&
           text.find_first_not_of(digits, 2) == std::string_view::npos;
  };
  const bool hex = prefixed("0x", "0123456789abcdefABCDEF");
  const bool octal = prefixed("0o", "01234567");
  bool whole = false;
  const bool decimal = !hex && !octal && is_decimal(text, whole);
  if (!hex && !octal && !decimal) return json::value(json::string(text));
  if (text.size() > limits.number_chars) return fault("number too long", mark);
  if (decimal) return typed_decimal(text, whole, mark);
  return typed_integer(text.substr(2), hex ? 16 : 8, mark);
}

struct Size {
  std::size_t nodes = 1;
  std::size_t depth = 0;
  std::size_t bytes = 0;
};

Size measure(const json::value& value) {
  Size size;
  const auto include = [&](const json::value& child) {
    const Size inner = measure(child);
    size.nodes += inner.nodes;
    size.bytes += inner.bytes;
    size.depth = std::max(size.depth, inner.depth);
  };
  if (const auto* text = value.if_string()) size.bytes = text->size();
  if (const auto* object = value.if_object()) {
    for (const auto& member : *object) {
      size.bytes += member.key().size();
      include(member.value());
    }
    ++size.depth;
  }
  if (const auto* array = value.if_array()) {
    for (const auto& item : *array) include(item);
    ++size.depth;
  }
  return size;
}

// What aliases and the anchors they point to may copy in all, on top of the node budget: nodes
// alone would let one long string be copied a hundred thousand times.
constexpr std::size_t kCopiedBytes = 4 * 1024 * 1024;

struct Anchored {
  json::value value;
  Size size;
};

// Receives parse events and builds the value. Working on events instead of libyaml's documents
// leaves every copy an alias makes to us, counted before it is made.
class Builder {
 public:
  explicit Builder(const JsonLimits& limits) : limits_(limits) {}

  Result<void> on_event(const yaml_event_t& event) {
    const Mark mark = mark_of(event.start_mark);
    switch (event.type) {
      case YAML_DOCUMENT_START_EVENT:
        if (++documents_ > 1) return fault("several documents in one text", mark);
        return {};
      case YAML_MAPPING_START_EVENT:
        return open(json::object(), text_of(event.data.mapping_start.anchor), mark);
      case YAML_SEQUENCE_START_EVENT:
        return open(json::array(), text_of(event.data.sequence_start.anchor), mark);
      case YAML_MAPPING_END_EVENT:
      case YAML_SEQUENCE_END_EVENT:
        return close(mark);
      case YAML_SCALAR_EVENT:
        return scalar(event, mark);
      case YAML_ALIAS_EVENT:
        return alias(text_of(event.data.alias.anchor), mark);
      default:
        return {};
    }
  }

  json::value take() { return std::move(root_); }

 private:
  struct Frame {
    json::value container;
    std::string anchor;
    std::optional<std::string> key;
  };

  bool expects_key() const {
    return !frames_.empty() && frames_.back().container.is_object() && !frames_.back().key;
  }

  Result<void> count(std::size_t nodes, Mark mark) {
    nodes_ += nodes;
    if (nodes_ > limits_.nodes) return fault("too many values", mark);
    return {};
  }

  Result<void> open(json::value container, std::string anchor, Mark mark) {
    if (expects_key()) return fault("a key must be plain text", mark);
    if (frames_.size() >= limits_.depth) return fault("nested too deeply", mark);
    TRY_VOID(count(1, mark));
    frames_.push_back({std::move(container), std::move(anchor), {}});
    return {};
  }

  Result<void> close(Mark mark) {
    Frame done = std::move(frames_.back());
    frames_.pop_back();
    return put(std::move(done.container), done.anchor, mark);
  }

  Result<void> scalar(const yaml_event_t& event, Mark mark) {
    const auto& scalar = event.data.scalar;
    std::string text(to_text(scalar.value), scalar.length);
    const bool plain = scalar.style == YAML_PLAIN_SCALAR_STYLE;
    if (expects_key()) {
      if (scalar.anchor != nullptr) return fault("an anchor on a key", mark);
      return key(std::move(text), plain, mark);
    }
    TRY_VOID(count(1, mark));
    json::value value = plain ? TRY(typed(text, limits_, mark)) : json::value(json::string(text));
    return put(std::move(value), text_of(scalar.anchor), mark);
  }

  Result<void> key(std::string text, bool plain, Mark mark) {
    if (plain && text == "<<") {
      return fault("merge keys (<<) are not supported; write the members out", mark);
    }
    if (plain && text.empty()) return fault("a key is missing", mark);
    if (frames_.back().container.get_object().contains(text)) {
      return fault(fmt::format("duplicate key \"{}\"", printable(text)), mark);
    }
    frames_.back().key = std::move(text);
    return {};
  }

  Result<void> alias(const std::string& anchor, Mark mark) {
    if (expects_key()) return fault("an alias as a key", mark);
    const auto found = anchors_.find(anchor);
    if (found == anchors_.end()) return fault("an alias without an anchor before it", mark);
    const Size& size = found->second.size;
    TRY_VOID(count(size.nodes, mark));
    if (frames_.size() + size.depth > limits_.depth) return fault("nested too deeply", mark);
    TRY_VOID(count_copy(size, mark));
    return put(found->second.value, {}, mark);
  }

  Result<void> count_copy(const Size& size, Mark mark) {
    copied_ += size.bytes + size.nodes * sizeof(json::value);
    if (copied_ > kCopiedBytes) return fault("aliases expand to too much text", mark);
    return {};
  }

  Result<void> put(json::value value, const std::string& anchor, Mark mark) {
    if (!anchor.empty()) {
      const Size size = measure(value);
      TRY_VOID(count_copy(size, mark));
      anchors_.insert_or_assign(anchor, Anchored{value, size});
    }
    if (frames_.empty()) {
      root_ = std::move(value);
      return {};
    }
    Frame& top = frames_.back();
    if (auto* object = top.container.if_object()) {
      object->emplace(*top.key, std::move(value));
      top.key.reset();
    } else {
      top.container.get_array().push_back(std::move(value));
    }
    return {};
  }

  const JsonLimits& limits_;
  json::value root_;
  std::vector<Frame> frames_;
  std::map<std::string, Anchored, std::less<>> anchors_;
  std::size_t nodes_ = 0;
  std::size_t copied_ = 0;
  int documents_ = 0;
};

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text), ready_(yaml_parser_initialize(&raw_) != 0) {
    if (!ready_) return;
    yaml_parser_set_encoding(&raw_, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&raw_, reinterpret_cast<const unsigned char*>(text.data()),
                                 text.size());
  }
  Parser(const Parser&) = delete;
  Parser& operator=(const Parser&) = delete;
  ~Parser() {
    if (ready_) yaml_parser_delete(&raw_);
  }

  // Calls `take` with each event until it fails or the stream ends.
  template <class Take>
  Result<void> each_event(Take take) {
    return each<yaml_event_t, yaml_parser_parse, yaml_event_delete>(YAML_STREAM_END_EVENT, take);
  }
  template <class Take>
  Result<void> each_token(Take take) {
    return each<yaml_token_t, yaml_parser_scan, yaml_token_delete>(YAML_STREAM_END_TOKEN, take);
  }

 private:
  template <class Item, auto kNext, auto kDelete, class End, class Take>
  Result<void> each(End end, Take take) {
    for (bool last = false; !last;) {
      Item item;
      if (!ready_ || kNext(&raw_, &item) == 0) return problem();
      const std::unique_ptr<Item, decltype(kDelete)> release(&item, kDelete);
      last = item.type == end;
      TRY_VOID(take(item));
    }
    return {};
  }

  tl::unexpected<Error> problem() const {
    if (!ready_ || raw_.error == YAML_MEMORY_ERROR) return fail(Code::internal, "out of memory");
    const std::string_view what = raw_.problem == nullptr ? "" : raw_.problem;
    return fault(fmt::format("not valid YAML: {}", what), raw_.error == YAML_READER_ERROR
                                                              ? mark_at(raw_.problem_offset)
                                                              : mark_of(raw_.problem_mark));
  }

  // The reader counts octets, everything behind it lines.
  Mark mark_at(std::size_t offset) const {
    const std::string_view before = text_.substr(0, offset);
    const std::size_t line = before.rfind('\n');
    return {static_cast<int>(1 + std::ranges::count(before, '\n')),
            static_cast<int>(line == std::string_view::npos ? offset + 1 : offset - line)};
  }

  std::string_view text_;
  yaml_parser_t raw_;
  bool ready_;
};

// In tokens, because events do not tell the tag "!" from none. For each token libyaml looks at
// every open flow collection, hence the bound on these.
Result<void> refuse_tags(std::string_view text, const JsonLimits& limits) {
  if (text.find('!') == std::string_view::npos) return {};
  std::size_t depth = 0;
  return Parser(text).each_token([&](const yaml_token_t& token) -> Result<void> {
    const Mark mark = mark_of(token.start_mark);
    switch (token.type) {
      case YAML_TAG_TOKEN:
        return fault("tags are not supported", mark);
      case YAML_FLOW_SEQUENCE_START_TOKEN:
      case YAML_FLOW_MAPPING_START_TOKEN:
        if (++depth > limits.depth) return fault("nested too deeply", mark);
        return {};
      case YAML_FLOW_SEQUENCE_END_TOKEN:
      case YAML_FLOW_MAPPING_END_TOKEN:
        if (depth > 0) --depth;
        return {};
      default:
        return {};
    }
  });
}

// U+0085, U+2028 and U+2029 end a line in YAML 1.1 and are text in 1.2.
bool has_disputed_line_end(std::string_view text) {
  return std::ranges::any_of(
      std::array{"\xC2\x85", "\xE2\x80\xA8", "\xE2\x80\xA9"},
      [text](std::string_view end) { return text.find(end) != std::string_view::npos; });
}

}  // namespace

Result<json::value> parse_yaml(std::string_view text, const JsonLimits& limits) {
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  if (!is_utf8(text)) return fail(Code::invalid, "not valid UTF-8");
  if (text.find('\0') != std::string_view::npos) return fail(Code::invalid, "a NUL byte");
  if (has_disputed_line_end(text)) {
    return fail(Code::invalid,
                "U+0085, U+2028 and U+2029 must be written as escapes in double quotes");
  }
  TRY_VOID(refuse_tags(text, limits));
  Builder builder(limits);
  TRY_VOID(Parser(text).each_event([&](const auto& event) { return builder.on_event(event); }));
  return builder.take();
}

}  // namespace kubiya
