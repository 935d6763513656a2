// SPDX-License-Identifier: Apache-2.0
#include "mcp/handles.h"

#include <charconv>
#include <initializer_list>

#include <fmt/format.h>

#include "base/encoding.h"

namespace kubiya::mcp {
namespace {

// No two lists of parts give the same text.
std::string joined(std::initializer_list<std::string_view> parts) {
  std::string out;
  for (const auto part : parts) out += fmt::format("{}:{}", part.size(), part);
  return out;
}

std::string context_of(const Handles::Call& call) {
  return joined({call.owner, call.method, call.name, call.arguments});
}

}  // namespace

std::string Handles::cursor(std::string_view owner, std::string_view list,
                            std::string_view position) const {
  return base64url(cursors_.seal(position, joined({owner, list})));
}

std::optional<std::string> Handles::position(std::string_view owner, std::string_view list,
                                             std::string_view cursor) const {
  const auto sealed = unbase64url(cursor);
  if (!sealed) return std::nullopt;
  return cursors_.open(*sealed, joined({owner, list}));
}

std::string Handles::state(const Call& call, std::string_view state, Wall expires) const {
  const std::string text = fmt::format("{} {}", unix_ms(expires), state);
  return base64url(states_.seal(text, context_of(call)));
}

std::optional<std::string> Handles::open_state(const Call& call, std::string_view text,
                                               Wall now) const {
  const auto sealed = unbase64url(text);
  if (!sealed) return std::nullopt;
  const auto opened = states_.open(*sealed, context_of(call));
  if (!opened) return std::nullopt;
  std::int64_t expires = 0;
  const auto read = std::from_chars(opened->data(), opened->data() + opened->size(), expires);
  if (read.ec != std::errc() || from_unix_ms(expires) <= now) return std::nullopt;
  return std::string(read.ptr + 1, opened->data() + opened->size());
}

}  // namespace kubiya::mcp
