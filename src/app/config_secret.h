// SPDX-License-Identifier: Apache-2.0
//
// Secrets in the configuration: the value itself, ${file:/path} to read it from there, or
// ${credential:NAME} for a credential of the service manager (systemd.exec(5), LoadCredential=).
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace kubiya::app {

bool is_file_reference(std::string_view value);

// Where the service manager put the credential; nothing when it gave this process none.
std::optional<std::string> credential_path(std::string_view name);

// Refuses a file that group or others can read unless `allow`; the log then says so.
Result<> check_private(const std::string& path, bool allow);

// The text behind a secret's spelling. Errors name the file.
Result<std::string> resolve_secret(const std::string& value, bool allow_readable);

}  // namespace kubiya::app
