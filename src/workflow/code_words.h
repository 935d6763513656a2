// SPDX-License-Identifier: Apache-2.0
//
// Words of a command list that are programs themselves: what follows `sh -c`, `python3 -c`,
// `perl -e`. A value filled into such a word would become code. Found behind `env`, `nice`,
// `find -exec` and the like, too.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace kubiya::workflow {

struct CodeWord {
  std::size_t index;
  bool is_shell = false;     // it finds values in its environment by `$NAME`
  std::string_view program;  // whose code it is; refers to `argv`
};
// In order. Rather one word too many than one too few.
std::vector<CodeWord> code_words(std::span<const std::string> argv);

bool is_shell(std::string_view program);

}  // namespace kubiya::workflow
