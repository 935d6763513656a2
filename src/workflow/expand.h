// SPDX-License-Identifier: Apache-2.0
//
// References to values in a definition. Text that a shell will read is never
// filled in: `$NAME` and `${NAME}` stay for the shell, which finds them in its
// environment, and `${NAME.path}` (a value inside JSON) becomes a reference to a
// generated variable. Text that no shell reads (dir, env values, argv items other than
// code_words(), conditions with `expected`) is expanded here. Back-ticks mean nothing.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "workflow/definition.h"

namespace kubiya::workflow {

using Lookup = std::function<std::optional<std::string>(std::string_view name)>;

// The longest text that filling in may give: what the kernel takes as one argument or variable.
inline constexpr std::size_t kLongestValue = 128 * 1024;
// References with a path in one text: each is a search in a JSON document.
inline constexpr std::size_t kMostPaths = 200;

// Expands $NAME, ${NAME} and ${NAME.path}. Unknown references stay as written; `$$` is `$`.
// Code::too_large beyond the two limits above; the message is without its subject.
Result<std::string> expand(std::string_view text, const Lookup& lookup);

// A command or script for a shell, and the extra variables it needs.
struct ShellText {
  std::string text;
  Pairs variables;
};
// Text inside single quotes stays as it is. `taken`: generated variables of other texts of the
// same command. Code::too_large as above, for the values of the variables together.
Result<ShellText> prepare_shell(std::string_view text, const Lookup& lookup, std::size_t taken = 0);

// The names of all references in text that no shell reads.
std::vector<std::string_view> referenced_names(std::string_view text);

// The value at a path like "a.b[0].c" inside JSON text; strings bare, the rest compact JSON.
std::optional<std::string> json_path(std::string_view json_text, std::string_view path);

// Environment names a definition or caller may not set: LD_*, PATH injection and shell start-up
// hooks (BASH_ENV, ENV, IFS, PYTHONSTARTUP, GIT_SSH_COMMAND …) as *params*; definitions may set
// PATH.
bool is_env_name(std::string_view name);
// The name of a param that has none: "1", "2", ….
bool is_position(std::string_view name);
bool is_dangerous_env_name(std::string_view name);

// One-line test of `expected` or a continueOn output pattern against a value.
bool matches(std::string_view value, std::string_view expected);

}  // namespace kubiya::workflow
