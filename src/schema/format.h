// SPDX-License-Identifier: Apache-2.0
//
// The values of `format` that can be asserted (validation 7.3). Pure functions of
// the text; anything else named by `format` stays an annotation.
#pragma once

#include <optional>
#include <string_view>

namespace kubiya::schema {

enum class Format {
  date_time,
  date,
  time,
  duration,
  email,
  hostname,
  ipv4,
  ipv6,
  uri,
  uri_reference,
  uuid,
  regex,
  json_pointer,
  relative_json_pointer,
};

std::optional<Format> find_format(std::string_view name);
bool has_format(std::string_view text, Format format);

}  // namespace kubiya::schema
