// SPDX-License-Identifier: Apache-2.0
//
// Where the references are: `$NAME`, `$1`, `${NAME}`, `${NAME.path}` in any
// text, and the same in text that a shell will read, where quoting decides.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>
#include <vector>

namespace kubiya::workflow {

struct Reference {
  std::string_view name;
  std::string_view path;  // what follows the first '.', or empty
  std::size_t size = 0;   // of the whole, from the '$'
};

// The reference whose '$' stands at `at`, if one does. `${NAME:-x}` and the
// like are the shell's and not references.
std::optional<Reference> reference_at(std::string_view text, std::size_t at);

// `text` cut into plain pieces and references. Text in single quotes, after a backslash,
// in comments and in here-documents with a quoted delimiter is plain.
struct ShellPiece {
  std::string_view text;
  std::optional<Reference> reference;
};
std::vector<ShellPiece> shell_pieces(std::string_view text);

bool is_name_char(char c);

}  // namespace kubiya::workflow
