// SPDX-License-Identifier: Apache-2.0
//
// The names of the files of a journal and the pieces every reader of them shares.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "audit/checkpoint.h"
#include "audit/files.h"
#include "audit/tree.h"
#include "base/result.h"

namespace kubiya::audit {

std::string segment_path(const std::string& directory, unsigned number);  // from 1
inline std::string checkpoint_path(const std::string& d) { return d + "/checkpoint"; }
inline std::string history_path(const std::string& d) { return d + "/checkpoints.log"; }
inline std::string state_path(const std::string& d) { return d + "/state"; }
inline std::string public_key_path(const std::string& d) { return d + "/audit.pub"; }

// How many segments there are. Code::corrupt, naming it, when one is missing in between. A listing
// made while a server adds a segment may leave any out, so absence is asked for by name.
Result<unsigned> count_segments(Files& files, const std::string& directory);

// The notes of a checkpoints.log. A note cut off at the end is left out: `good_bytes`
// tells where the last complete one ends.
struct History {
  std::vector<std::string_view> notes;  // into the text given
  std::uint64_t good_bytes = 0;
};
History split_history(std::string_view text);
// Where the first note begins that is whole in a piece from the middle; its size when none does.
std::size_t first_note(std::string_view piece);

// Where the writer stood when it signed a checkpoint, so that opening need not read
// every segment. Believed only as far as its own note vouches: a hint, never evidence.
struct TreeState {
  std::string note;
  Frontier frontier;
  Hash last_leaf{};          // of record size - 1
  unsigned segment = 1;      // where record `size` will be
  std::uint64_t offset = 0;  // and its first byte there
};
std::string state_text(const TreeState& state);
// Code::corrupt when malformed, not signed by `verifier`, or its edge has another root.
Result<TreeState> parse_state(std::string_view text, const NoteVerifier& verifier);

}  // namespace kubiya::audit
