// SPDX-License-Identifier: Apache-2.0
//
// URI references as far as `$id` and `$ref` need them (RFC 3986 §5.2). Text only:
// nothing here opens a connection.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace kubiya::schema {

struct UriParts {
  std::optional<std::string_view> scheme;
  std::optional<std::string_view> authority;
  std::string_view path;
  std::optional<std::string_view> query;
  std::optional<std::string_view> fragment;
};

UriParts split_uri(std::string_view text);

// `reference` taken relative to `base`, which may be empty; dot segments removed.
std::string resolve_uri(std::string_view base, std::string_view reference);

// Percent-decoded; nothing when an escape is malformed.
std::optional<std::string> percent_decoded(std::string_view text);

}  // namespace kubiya::schema
