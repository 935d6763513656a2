// SPDX-License-Identifier: Apache-2.0
//
// The regular expressions of `pattern` and `patternProperties`: ECMA-262 with
// Unicode semantics, run by PCRE2 under limits. A search that is too dear ends the
// whole validation instead of deciding anything.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "schema/equality.h"

namespace kubiya::schema {

// The PCRE2 spelling of an ECMA-262 pattern. Refuses what ECMA-262 does not know,
// above all the inline options and verbs of PCRE2. Pure.
Result<std::string> translate_pattern(std::string_view pattern);

class Regex {
 public:
  static Result<Regex> compile(std::string_view pattern);

  // True when the pattern matches anywhere in `text` (UTF-8). Work is charged to
  // `budget`; once it is spent the answer means nothing. Any thread.
  bool search(std::string_view text, Budget& budget) const;

  const std::string& source() const { return source_; }
  std::size_t compiled_bytes() const;

  Regex(Regex&&) noexcept;
  Regex& operator=(Regex&&) noexcept;
  ~Regex();

 private:
  struct Compiled;
  Regex(std::string source, std::unique_ptr<const Compiled> code);
  std::string source_;
  std::unique_ptr<const Compiled> code_;
};

}  // namespace kubiya::schema
