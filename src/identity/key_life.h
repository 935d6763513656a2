// SPDX-License-Identifier: Apache-2.0
//
// Where a stored key stands in its life, and how it is shown. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/json.h"
#include "base/result.h"
#include "base/scopes.h"
#include "store/records.h"

namespace kubiya::identity {

enum class KeyState {
  staged,    // good, made to take another's place and not there yet
  active,    // good
  retiring,  // good until its successor has its place alone
  retired,
  expired,
  revoked,
};
std::string_view to_string(KeyState state);
KeyState state_of(const store::KeyRow& key, std::int64_t now_ms);
inline bool is_good(KeyState state) { return state <= KeyState::retiring; }

// When it ends by itself, 0: never.
std::int64_t ends_ms(const store::KeyRow& key);

Scopes scopes_of(const store::KeyRow& key);

// For programs; no secret and no digest is in it.
json::object describe(const store::KeyRow& key, std::int64_t now_ms);

// A successor of `old` with the same owner, scopes, name and labels; id, digest and hint are the
// caller's to fill in. `expires_ms` nothing: it lives as long as the old one was made for.
store::KeyRow successor_of(const store::KeyRow& old, std::int64_t now_ms,
                           std::optional<std::int64_t> expires_ms);

// Labels: at most 16, of 1 to 63 bytes of A-Za-z0-9 . _ / - each, with values of up to 128 bytes
// of printable text. Code::invalid says which is wrong.
Result<> check_labels(const json::object& labels);
// Of a stored row; empty when it is none.
json::object labels_of(const store::KeyRow& key);

}  // namespace kubiya::identity
