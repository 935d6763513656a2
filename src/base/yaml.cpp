// SPDX-License-Identifier: Apache-2.0
#include "base/yaml.h"

#include <fmt/format.h>
#include <libfyaml.h>

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

// Receives parse events and builds the value. Working on events instead of libfyaml's documents
// leaves every copy an alias makes to us, counted before it is made.
class Builder {
 public:
  explicit Builder(const JsonLimits& limits) : limits_(limits) {}

  Result<void> on_event(fy_event* event) {
    const Mark mark = mark_of(event);
    switch (event->type) {
      case FYET_DOCUMENT_START:
        if (++documents_ > 1) return fault("several documents in one text", mark);
        return {};
      case FYET_MAPPING_START:
        return open(json::object(), event, mark);
      case FYET_SEQUENCE_START:
        return open(json::array(), event, mark);
      case FYET_MAPPING_END:
      case FYET_SEQUENCE_END:
        return close();
      case FYET_SCALAR:
        return scalar(event, mark);
      case FYET_ALIAS:
        return alias(event, mark);
      default:
        return {};
    }
  }

  Mark last_mark() const { return last_mark_; }
  bool complete() const { return frames_.empty(); }
  json::value take() { return std::move(root_); }

 private:
  struct Frame {
    json::value container;
    std::string anchor;
    std::optional<std::string> key;
  };

  Mark mark_of(fy_event* event) {
    if (const fy_mark* mark = fy_event_start_mark(event)) {
      last_mark_ = {mark->line + 1, mark->column + 1};
    }
    return last_mark_;
  }

  static std::string text_of(fy_token* token) {
    std::size_t size = 0;
    const char* data = token == nullptr ? nullptr : fy_token_get_text(token, &size);
    return data == nullptr ? std::string() : std::string(data, size);
  }

  bool expects_key() const {
    return !frames_.empty() && frames_.back().container.is_object() && !frames_.back().key;
  }

  Result<void> count(std::size_t nodes, Mark mark) {
    nodes_ += nodes;
    if (nodes_ > limits_.nodes) return fault("too many values", mark);
    return {};
  }

  Result<void> refuse_tag(fy_event* event, Mark mark) {
    if (fy_event_get_tag_token(event) != nullptr) return fault("tags are not supported", mark);
    return {};
  }

  Result<void> open(json::value container, fy_event* event, Mark mark) {
    TRY_VOID(refuse_tag(event, mark));
    if (expects_key()) return fault("a key must be plain text", mark);
    if (frames_.size() >= limits_.depth) return fault("nested too deeply", mark);
    TRY_VOID(count(1, mark));
    frames_.push_back({std::move(container), text_of(fy_event_get_anchor_token(event)), {}});
    return {};
  }

  Result<void> close() {
    Frame done = std::move(frames_.back());
    frames_.pop_back();
    return put(std::move(done.container), done.anchor);
  }

  Result<void> scalar(fy_event* event, Mark mark) {
    TRY_VOID(refuse_tag(event, mark));
    fy_token* token = event->scalar.value;
    std::string text = text_of(token);
    if (!is_utf8(text)) return fault("an escape that is not a character", mark);
    const bool plain = token == nullptr || fy_token_scalar_style(token) == FYSS_PLAIN;
    if (expects_key()) {
      if (fy_event_get_anchor_token(event) != nullptr) return fault("an anchor on a key", mark);
      return key(std::move(text), plain, mark);
    }
    TRY_VOID(count(1, mark));
    json::value value = plain ? TRY(typed(text, limits_, mark)) : json::value(json::string(text));
    return put(std::move(value), text_of(fy_event_get_anchor_token(event)));
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

  Result<void> alias(fy_event* event, Mark mark) {
    if (expects_key()) return fault("an alias as a key", mark);
    const auto found = anchors_.find(text_of(event->alias.anchor));
    if (found == anchors_.end()) return fault("an alias without an anchor before it", mark);
    const Size& size = found->second.size;
    TRY_VOID(count(size.nodes, mark));
    if (frames_.size() + size.depth > limits_.depth) return fault("nested too deeply", mark);
    TRY_VOID(count_copy(size));
    return put(found->second.value, {});
  }

  Result<void> count_copy(const Size& size) {
    copied_ += size.bytes + size.nodes * sizeof(json::value);
    if (copied_ > kCopiedBytes) return fault("aliases expand to too much text", last_mark_);
    return {};
  }

  Result<void> put(json::value value, const std::string& anchor) {
    if (!anchor.empty()) {
      const Size size = measure(value);
      TRY_VOID(count_copy(size));
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
  Mark last_mark_{1, 1};
};

// Deleters for the C library's handles.
struct Release {
  void operator()(fy_parser* parser) const { fy_parser_destroy(parser); }
  void operator()(fy_diag* diag) const { fy_diag_destroy(diag); }
};

tl::unexpected<Error> first_diagnostic(fy_diag* diag, Mark last) {
  void* previous = nullptr;
  if (const fy_diag_error* error = fy_diag_errors_iterate(diag, &previous)) {
    const Mark mark = error->line > 0 ? Mark{error->line, error->column} : last;
    return fault(fmt::format("not valid YAML: {}", printable(error->msg ? error->msg : "", 120)),
                 mark);
  }
  return fault("not valid YAML", last);
}

Result<json::value> drive(fy_parser* parser, fy_diag* diag, const JsonLimits& limits) {
  Builder builder(limits);
  while (fy_event* event = fy_parser_parse(parser)) {
    const bool last = event->type == FYET_STREAM_END;
    const auto taken = builder.on_event(event);
    fy_parser_event_free(parser, event);
    if (!taken) return fail(taken.error());
    if (last) break;
  }
  if (fy_parser_get_stream_error(parser) || fy_diag_got_error(diag) || !builder.complete()) {
    return first_diagnostic(diag, builder.last_mark());
  }
  return builder.take();
}

}  // namespace

Result<json::value> parse_yaml(std::string_view text, const JsonLimits& limits) {
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  if (!is_utf8(text)) return fail(Code::invalid, "not valid UTF-8");
  if (text.find('\0') != std::string_view::npos) return fail(Code::invalid, "a NUL byte");

  fy_diag_cfg diag_config;
  fy_diag_cfg_default(&diag_config);
  diag_config.fp = nullptr;
  diag_config.output_fn = [](fy_diag*, void*, const char*, std::size_t) {};
  const std::unique_ptr<fy_diag, Release> diag(fy_diag_create(&diag_config));
  if (!diag) return fail(Code::internal, "out of memory");
  fy_diag_set_collect_errors(diag.get(), true);

  fy_parse_cfg config{};
  config.flags =
      static_cast<fy_parse_cfg_flags>(FYPCF_QUIET | FYPCF_COLLECT_DIAG | FYPCF_JSON_NONE);
  config.diag = diag.get();
  const std::unique_ptr<fy_parser, Release> parser(fy_parser_create(&config));
  if (!parser || fy_parser_set_string(parser.get(), text.data(), text.size()) != 0) {
    return fail(Code::internal, "out of memory");
  }
  return drive(parser.get(), diag.get(), limits);
}

}  // namespace kubiya
