// SPDX-License-Identifier: Apache-2.0
//
// Small files that configuration and commands read and write.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace kubiya::app {

// At most `bytes_max`; Code::not_found, unavailable or too_large name the path.
Result<std::string> read_file(const std::string& path, std::size_t bytes_max);

// Replaces `path` in one step with a file only its owner can read (0600).
Result<> write_private_file(const std::string& path, std::string_view content);

// Creates the directory (0700) and its parents when absent.
Result<> make_private_directory(const std::string& path);

// True when group or others may read or write the file.
Result<bool> open_to_others(const std::string& path);
Result<bool> writable_by_all(const std::string& path);

}  // namespace kubiya::app
