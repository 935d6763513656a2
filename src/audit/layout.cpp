// SPDX-License-Identifier: Apache-2.0
#include "audit/layout.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <set>

#include <fmt/format.h>

#include "base/encoding.h"
#include "base/json.h"

namespace kubiya::audit {
namespace {

constexpr std::string_view kPrefix = "audit-";
constexpr std::string_view kSuffix = ".jsonl";

// 0 when `name` is not a segment's.
unsigned segment_number(std::string_view name) {
  if (name.size() != kPrefix.size() + 8 + kSuffix.size() || !name.starts_with(kPrefix) ||
      !name.ends_with(kSuffix)) {
    return 0;
  }
  unsigned number = 0;
  const std::string_view digits = name.substr(kPrefix.size(), 8);
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + 8, number);
  return error == std::errc() && end == digits.data() + 8 ? number : 0;
}

std::optional<Hash> hash_from(std::string_view text) {
  const auto bytes = unbase64(text);
  if (!bytes || bytes->size() != sizeof(Hash)) return std::nullopt;
  Hash hash;
  std::copy(bytes->begin(), bytes->end(), hash.begin());
  return hash;
}

}  // namespace

std::string segment_path(const std::string& directory, unsigned number) {
  return fmt::format("{}/{}{:08}{}", directory, kPrefix, number, kSuffix);
}

Result<unsigned> count_segments(Files& files, const std::string& directory) {
  std::set<unsigned> listed{0};
  for (const std::string& name : TRY(files.list(directory))) listed.insert(segment_number(name));
  const unsigned last = *listed.rbegin();  // of a name that is no segment's: 0
  for (unsigned number = 1;; ++number) {
    if (listed.contains(number)) continue;
    const auto there = files.size(segment_path(directory, number));
    if (there) continue;
    if (there.error().code != Code::not_found) return fail(there.error());
    if (number > last) return number - 1;
    return fail(Code::corrupt,
                fmt::format("audit segment {}{:08}{} is missing", kPrefix, number, kSuffix));
  }
}

History split_history(std::string_view text) {
  History history;
  // A note of ours is three lines, an empty one and one signature line.
  std::size_t begin = 0;
  for (;;) {
    std::size_t end = begin;
    for (int line = 0; line < 5; ++line) {
      const std::size_t newline = text.find('\n', end);
      if (newline == std::string_view::npos) return history;
      end = newline + 1;
    }
    history.notes.push_back(text.substr(begin, end - begin));
    history.good_bytes = end;
    begin = end;
  }
}

std::size_t first_note(std::string_view piece) {
  const std::size_t blank = piece.find("\n\n");
  const std::size_t end = blank == std::string_view::npos ? blank : piece.find('\n', blank + 2);
  return end == std::string_view::npos ? piece.size() : end + 1;
}

std::string state_text(const TreeState& state) {
  json::array edge;
  for (const Hash& node : state.frontier.nodes()) edge.emplace_back(base64(crypto::view(node)));
  json::object object;
  object["v"] = 1;
  object["checkpoint"] = state.note;
  object["edge"] = std::move(edge);
  object["last"] = base64(crypto::view(state.last_leaf));
  object["segment"] = state.segment;
  object["offset"] = state.offset;
  return to_json(object) + "\n";
}

Result<TreeState> parse_state(std::string_view text, const NoteVerifier& verifier) {
  const auto malformed = [] { return fail(Code::corrupt, "the tree state is malformed"); };
  const auto value = TRY(parse_json(text));
  const auto* object = value.if_object();
  if (object == nullptr || find_int(*object, "v") != 1) return malformed();
  const auto note = find_string(*object, "checkpoint");
  const auto* edge = find_array(*object, "edge");
  const auto last = hash_from(find_string(*object, "last").value_or(""));
  const auto segment = find_int(*object, "segment");
  const auto offset = find_int(*object, "offset");
  if (!note || edge == nullptr || !last || !segment || !offset) return malformed();
  if (*segment < 1 || *segment > 99'999'999 || *offset < 0) return malformed();

  std::vector<Hash> nodes;
  for (const auto& item : *edge) {
    const auto node = item.is_string() ? hash_from(view(item.get_string())) : std::nullopt;
    if (!node) return malformed();
    nodes.push_back(*node);
  }
  const Checkpoint checkpoint = TRY(verifier.open(*note));
  TreeState state;
  state.frontier = TRY(Frontier::from(checkpoint.size, std::move(nodes)));
  if (state.frontier.root() != checkpoint.root) {
    return fail(Code::corrupt, "the tree state does not fit its checkpoint");
  }
  state.note = std::string(*note);
  state.last_leaf = *last;
  state.segment = static_cast<unsigned>(*segment);
  state.offset = static_cast<std::uint64_t>(*offset);
  return state;
}

}  // namespace kubiya::audit
