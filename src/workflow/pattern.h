// SPDX-License-Identifier: Apache-2.0
//
// "re:" patterns of definitions, matched under limits: a pattern is its
// author's, the text may be anybody's.
#pragma once

#include <string>
#include <string_view>

namespace kubiya::workflow {

inline constexpr std::string_view kPatternPrefix = "re:";

// True when `expected` is literal text, or "re:" and a pattern that compiles.
bool is_valid_expectation(std::string_view expected);
// True when a line of `text` holds `wanted` as a substring, or matches it after "re:".
bool any_line_contains(std::string_view text, std::string_view wanted);

}  // namespace kubiya::workflow
