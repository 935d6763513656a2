// SPDX-License-Identifier: Apache-2.0
#define PCRE2_CODE_UNIT_WIDTH 8
#include "workflow/pattern.h"

#include <pcre2.h>

#include <memory>
#include <optional>

#include "workflow/expand.h"

namespace kubiya::workflow {
namespace {

constexpr std::uint32_t kMatchLimit = 100'000;
constexpr std::uint32_t kHeapKibibytes = 4096;

struct Release {
  void operator()(pcre2_code* code) const { pcre2_code_free(code); }
  void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
  void operator()(pcre2_match_context* context) const { pcre2_match_context_free(context); }
};

class Pattern {
 public:
  explicit Pattern(std::string_view source) {
    int error = 0;
    PCRE2_SIZE offset = 0;
    // No \C: it would match half a character.
    code_.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(source.data()), source.size(),
                              PCRE2_NEVER_BACKSLASH_C, &error, &offset, nullptr));
    if (!code_) return;
    data_.reset(pcre2_match_data_create(1, nullptr));
    context_.reset(pcre2_match_context_create(nullptr));
    if (!context_) return;
    pcre2_set_match_limit(context_.get(), kMatchLimit);
    pcre2_set_heap_limit(context_.get(), kHeapKibibytes);
  }

  bool usable() const { return code_ && data_ && context_; }

  // A match that runs into the limits counts as no match, and so does everything after it:
  // otherwise each of a million lines could cost the whole limit.
  bool found_in(std::string_view line) {
    if (!usable() || exhausted_) return false;
    const int result = pcre2_match(code_.get(), reinterpret_cast<PCRE2_SPTR>(line.data()),
                                   line.size(), 0, 0, data_.get(), context_.get());
    exhausted_ = result < PCRE2_ERROR_NOMATCH;
    return result >= 0;
  }

 private:
  std::unique_ptr<pcre2_code, Release> code_;
  std::unique_ptr<pcre2_match_data, Release> data_;
  std::unique_ptr<pcre2_match_context, Release> context_;
  bool exhausted_ = false;
};

template <class Test>
bool any_line(std::string_view text, Test&& test) {
  while (true) {
    const std::size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (test(line)) return true;
    if (end == std::string_view::npos) return false;
    text.remove_prefix(end + 1);
  }
}

enum class Literal { whole_line, substring };

bool matches_as(std::string_view text, std::string_view wanted, Literal literal) {
  if (wanted.starts_with(kPatternPrefix)) {
    Pattern pattern(wanted.substr(kPatternPrefix.size()));
    return any_line(text, [&](std::string_view line) { return pattern.found_in(line); });
  }
  return any_line(text, [&](std::string_view line) {
    return literal == Literal::whole_line ? line == wanted
                                          : line.find(wanted) != std::string_view::npos;
  });
}

}  // namespace

bool is_valid_expectation(std::string_view expected) {
  return !expected.starts_with(kPatternPrefix) ||
         Pattern(expected.substr(kPatternPrefix.size())).usable();
}

bool any_line_contains(std::string_view text, std::string_view wanted) {
  return matches_as(text, wanted, Literal::substring);
}

bool matches(std::string_view value, std::string_view expected) {
  return value == expected || matches_as(value, expected, Literal::whole_line);
}

}  // namespace kubiya::workflow
