// SPDX-License-Identifier: Apache-2.0
#include "workflow/references.h"

#include <algorithm>
#include <string>
#include <utility>

namespace kubiya::workflow {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

std::size_t name_end(std::string_view text, std::size_t at) {
  while (at < text.size() && is_name_char(text[at])) ++at;
  return at;
}

// A variable or step id (`build-it` is an id), or a position (`1`).
bool is_braced_name(std::string_view name) {
  if (name.empty()) return false;
  if (is_digit(name[0])) return std::all_of(name.begin(), name.end(), is_digit);
  return std::all_of(name.begin(), name.end(), [](char c) { return is_name_char(c) || c == '-'; });
}

bool is_path(std::string_view path) {
  return !path.empty() && std::all_of(path.begin(), path.end(), [](char c) {
    return is_name_char(c) || c == '-' || c == '.' || c == '[' || c == ']';
  });
}

std::optional<Reference> braced(std::string_view text, std::size_t at) {
  const std::size_t close = text.find('}', at);
  if (close == std::string_view::npos) return std::nullopt;
  const std::string_view inside = text.substr(at + 2, close - at - 2);
  const std::size_t dot = inside.find('.');
  Reference reference{inside.substr(0, dot), {}, close + 1 - at};
  if (dot != std::string_view::npos) {
    reference.path = inside.substr(dot + 1);
    if (!is_path(reference.path) || !is_braced_name(reference.name)) return std::nullopt;
    return reference;
  }
  // Without a path `-` would be the shell's default operator: ${NAME-default}.
  if (inside.find('-') != std::string_view::npos || !is_braced_name(inside)) return std::nullopt;
  return reference;
}

// Reads shell text just far enough to know which '$' the shell would expand.
class ShellScanner {
 public:
  explicit ShellScanner(std::string_view text) : text_(text) {}

  std::vector<ShellPiece> run() {
    while (at_ < text_.size()) step();
    flush(at_);
    return std::move(pieces_);
  }

 private:
  struct HereDocument {
    std::string delimiter;
    bool quoted = false;
    bool strip_tabs = false;
  };

  void step() {
    const char c = text_[at_];
    if (c == '\\') {
      at_ = std::min(at_ + 2, text_.size());
    } else if (c == '$') {
      dollar();
    } else if (c == '"') {
      in_double_ = !in_double_;
      ++at_;
    } else if (in_double_) {
      ++at_;
    } else if (c == '\'') {
      skip_past(text_.find('\'', at_ + 1));
    } else if (c == '#' && at_word_start()) {
      at_ = std::min(text_.find('\n', at_), text_.size());
    } else if (text_.substr(at_).starts_with("<<")) {
      here_operator();
    } else if (c == '\n') {
      ++at_;
      for (const HereDocument& here : std::exchange(pending_, {})) here_body(here);
    } else {
      ++at_;
    }
  }

  void dollar() {
    if (text_.substr(at_).starts_with("$$")) {
      at_ += 2;
      return;
    }
    if (auto reference = reference_at(text_, at_)) {
      flush(at_);
      pieces_.push_back({text_.substr(at_, reference->size), reference});
      at_ += reference->size;
      plain_from_ = at_;
      return;
    }
    ++at_;
  }

  void flush(std::size_t end) {
    if (end > plain_from_) pieces_.push_back({text_.substr(plain_from_, end - plain_from_), {}});
    plain_from_ = end;
  }

  void skip_past(std::size_t found) {
    at_ = found == std::string_view::npos ? text_.size() : found + 1;
  }

  bool at_word_start() const {
    return at_ == 0 ||
           std::string_view(" \t\n;&|()").find(text_[at_ - 1]) != std::string_view::npos;
  }

  void here_operator() {
    at_ += 2;
    if (text_.substr(at_).starts_with('<')) {  // <<< is a here-string: an ordinary word follows
      ++at_;
      return;
    }
    HereDocument here;
    if (text_.substr(at_).starts_with('-')) {
      here.strip_tabs = true;
      ++at_;
    }
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\t')) ++at_;
    const std::size_t end = std::min(text_.find_first_of(" \t\n;&|()<>", at_), text_.size());
    for (const char c : text_.substr(at_, end - at_)) {
      const bool quote = c == '\'' || c == '"' || c == '\\';
      here.quoted |= quote;
      if (!quote) here.delimiter += c;
    }
    at_ = end;
    if (!here.delimiter.empty()) pending_.push_back(std::move(here));
  }

  void here_body(const HereDocument& here) {
    while (at_ < text_.size()) {
      const std::size_t end = std::min(text_.find('\n', at_), text_.size());
      std::string_view line = text_.substr(at_, end - at_);
      if (here.strip_tabs) line.remove_prefix(std::min(line.find_first_not_of('\t'), line.size()));
      const bool last = line == here.delimiter;
      while (!last && !here.quoted && at_ < end) {
        if (text_[at_] == '$') {
          dollar();
        } else {
          at_ += text_[at_] == '\\' ? 2 : 1;
        }
      }
      at_ = std::min(std::max(at_, end) + 1, text_.size());
      if (last) return;
    }
  }

  std::string_view text_;
  std::size_t at_ = 0;
  std::size_t plain_from_ = 0;
  bool in_double_ = false;
  std::vector<HereDocument> pending_;
  std::vector<ShellPiece> pieces_;
};

}  // namespace

bool is_name_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c) || c == '_';
}

std::optional<Reference> reference_at(std::string_view text, std::size_t at) {
  if (at + 1 >= text.size() || text[at] != '$') return std::nullopt;
  if (text[at + 1] == '{') return braced(text, at);
  // The shell reads one digit only: $12 is $1 and then a 2.
  const std::size_t end = is_digit(text[at + 1]) ? at + 2 : name_end(text, at + 1);
  if (end == at + 1) return std::nullopt;
  return Reference{text.substr(at + 1, end - at - 1), {}, end - at};
}

std::vector<ShellPiece> shell_pieces(std::string_view text) { return ShellScanner(text).run(); }

}  // namespace kubiya::workflow
