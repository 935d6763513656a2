// SPDX-License-Identifier: Apache-2.0
//
// Single claims out of a claim set, each by its own rules. Private to check_claims(). Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "identity/jwt.h"

namespace kubiya::identity {

// By a path of TokenRules; null when there is no such member.
const json::value* find_claim(const json::object& claims, std::string_view path);

// One to `max` bytes without control, bidirectional or invisible characters.
bool is_plain(std::string_view text, std::size_t max);

// Names to show: the first of `paths` that is a string, escaped and cut; may be empty.
std::string shown_claim(const json::object& claims, const std::vector<std::string>& paths);

// The NumericDate of RFC 7519 §2 in seconds, fractions allowed. Nothing when absent;
// bad_claim when present and not a number.
Checked<std::optional<double>> read_time(const json::object& claims, std::string_view name);

// Exactly one @: of "a@evil.example@corp.example" two readers would take two different domains.
std::string shown_email(const json::object& claims);

Checked<Scopes> read_scopes(const json::object& claims, const TokenRules& rules);
// What the caller's roles and groups grant by `rules.roles`.
Checked<Scopes> read_role_grants(const json::object& claims, const TokenRules& rules);
// The names in `rules.role_claims`, at most 512.
std::vector<std::string> read_groups(const json::object& claims, const TokenRules& rules);

// `cnf`, of which every member must be one that a request can be held against: what is not
// understood is refused here, where RFC 7800 §3.1 would have it ignored.
Checked<ConfirmationPtr> read_confirmation(const json::object& claims);

struct FoundKey {
  std::optional<Secret> key;
  std::string source;
};
Checked<FoundKey> read_api_key(const json::object& claims, const TokenRules& rules);
// The first of `rules.key_reference_claims` that is present; empty when none is.
Checked<std::string> read_key_reference(const json::object& claims, const TokenRules& rules);

}  // namespace kubiya::identity
