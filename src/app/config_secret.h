// SPDX-License-Identifier: Apache-2.0
//
// Secrets in the configuration: the value itself, or ${file:/path} to read it from there.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace kubiya::app {

bool is_file_reference(std::string_view value);

// Refuses a file that group or others can read unless `allow`; the log then says so.
Result<> check_private(const std::string& path, bool allow);

// The text behind a secret's spelling. Errors name the file.
Result<std::string> resolve_secret(const std::string& value, bool allow_readable);

}  // namespace kubiya::app
