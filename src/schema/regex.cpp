// SPDX-License-Identifier: Apache-2.0
#define PCRE2_CODE_UNIT_WIDTH 8
#include "schema/regex.h"

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

#include <fmt/format.h>
#include <pcre2.h>

#include "base/encoding.h"

namespace kubiya::schema {
namespace {

constexpr std::size_t kMaxPattern = 4096;  // code units, after translation
constexpr std::uint32_t kHeapKibibytes = 1024;
constexpr std::uint32_t kGroupDepth = 100;
// The match limit of PCRE2 bounds one start position, so a search goes window by
// window and pays for each: the limit in use, and scanning from there to the end.
constexpr std::size_t kWindow = 64;
constexpr std::size_t kScanBytesPerStep = 512;
constexpr std::array<std::uint32_t, 3> kMatchLimits = {1'000, 10'000, 50'000};
constexpr std::size_t kMatchCallsPerStep = 4;

constexpr std::uint32_t kOptions =
    PCRE2_UTF | PCRE2_ALT_BSUX | PCRE2_DOLLAR_ENDONLY | PCRE2_ALLOW_EMPTY_CLASS |
    PCRE2_MATCH_UNSET_BACKREF | PCRE2_NEVER_BACKSLASH_C | PCRE2_NEVER_UCP | PCRE2_USE_OFFSET_LIMIT;

struct Free {
  void operator()(pcre2_code* p) const { pcre2_code_free(p); }
  void operator()(pcre2_compile_context* p) const { pcre2_compile_context_free(p); }
  void operator()(pcre2_match_context* p) const { pcre2_match_context_free(p); }
  void operator()(pcre2_match_data* p) const { pcre2_match_data_free(p); }
};
template <class T>
using Owned = std::unique_ptr<T, Free>;

// Reused by every search of a thread: making them costs more than a short match.
struct Scratch {
  Owned<pcre2_match_context> context{pcre2_match_context_create(nullptr)};
  Owned<pcre2_match_data> data{pcre2_match_data_create(1, nullptr)};
};

PCRE2_SPTR units(std::string_view text) { return reinterpret_cast<PCRE2_SPTR>(text.data()); }

bool is_limit(int status) {
  return status == PCRE2_ERROR_MATCHLIMIT || status == PCRE2_ERROR_HEAPLIMIT ||
         status == PCRE2_ERROR_DEPTHLIMIT || status == PCRE2_ERROR_NOMEMORY;
}

std::size_t next_start(std::string_view text, std::size_t from) {
  std::size_t at = std::min(from, text.size());
  while (at < text.size() && (static_cast<unsigned char>(text[at]) & 0xc0) == 0x80) ++at;
  return at;
}

}  // namespace

struct Regex::Compiled {
  Owned<pcre2_code> pcre;
  bool anchored = false;

  int match(std::string_view text, std::size_t start, std::size_t last, std::uint32_t limit) const {
    thread_local Scratch scratch;
    if (!scratch.context || !scratch.data) return PCRE2_ERROR_NOMEMORY;
    pcre2_set_match_limit(scratch.context.get(), limit);
    pcre2_set_heap_limit(scratch.context.get(), kHeapKibibytes);
    pcre2_set_offset_limit(scratch.context.get(), last);
    return pcre2_match(pcre.get(), units(text), text.size(), start, PCRE2_NO_UTF_CHECK,
                       scratch.data.get(), scratch.context.get());
  }

  // Starts at `start`…`last` with growing limits; a limit that is reached is paid for.
  int match_paid(std::string_view text, std::size_t start, std::size_t last, Budget& budget) const {
    int status = PCRE2_ERROR_MATCHLIMIT;
    for (const auto limit : kMatchLimits) {
      status = match(text, start, last, limit);
      if (!is_limit(status) || !budget.charge(limit / kMatchCallsPerStep)) break;
    }
    return status;
  }
};

Regex::Regex(std::string source, std::unique_ptr<const Compiled> code)
    : source_(std::move(source)), code_(std::move(code)) {}
Regex::Regex(Regex&&) noexcept = default;
Regex& Regex::operator=(Regex&&) noexcept = default;
Regex::~Regex() = default;

Result<Regex> Regex::compile(std::string_view pattern) {
  const std::string translated = TRY(translate_pattern(pattern));
  if (translated.size() > kMaxPattern) return fail(Code::too_large, "the pattern is too long");
  const Owned<pcre2_compile_context> context(pcre2_compile_context_create(nullptr));
  if (!context) return fail(Code::internal, "out of memory");
  pcre2_set_compile_extra_options(context.get(), PCRE2_EXTRA_ALT_BSUX);
  pcre2_set_parens_nest_limit(context.get(), kGroupDepth);
  int fault = 0;
  PCRE2_SIZE offset = 0;
  auto code = std::make_unique<Compiled>();
  code->pcre.reset(pcre2_compile(units(translated), translated.size(), kOptions, &fault, &offset,
                                 context.get()));
  if (!code->pcre) {
    std::array<PCRE2_UCHAR, 128> text{};
    pcre2_get_error_message(fault, text.data(), text.size());
    return fail(Code::invalid, fmt::format("the pattern does not compile: {}",
                                           reinterpret_cast<const char*>(text.data())));
  }
  std::uint32_t options = 0;
  pcre2_pattern_info(code->pcre.get(), PCRE2_INFO_ALLOPTIONS, &options);
  code->anchored = (options & PCRE2_ANCHORED) != 0;
  return Regex(std::string(pattern), std::move(code));
}

std::size_t Regex::compiled_bytes() const {
  std::size_t size = 0;
  pcre2_pattern_info(code_->pcre.get(), PCRE2_INFO_SIZE, &size);
  return size;
}

bool Regex::search(std::string_view text, Budget& budget) const {
  if (!is_utf8(text)) return false;
  const std::size_t window = code_->anchored ? text.size() + 1 : kWindow;
  for (std::size_t start = 0;; start = next_start(text, start + window)) {
    const std::size_t rest = text.size() - start;
    const std::size_t starts = code_->anchored ? 1 : std::min(window, rest + 1);
    if (!budget.charge(1 + starts * rest / kScanBytesPerStep)) return false;
    const std::size_t last = std::min(text.size(), start + window - 1);
    const int status = code_->match_paid(text, start, last, budget);
    if (status >= 0) return true;
    if (status != PCRE2_ERROR_NOMATCH) {
      budget.charge(std::numeric_limits<std::size_t>::max());  // undecided: give up for good
      return false;
    }
    if (last == text.size()) return false;
  }
}

}  // namespace kubiya::schema
