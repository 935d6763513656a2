// SPDX-License-Identifier: Apache-2.0
//
// What an issuer keeps on disk: its last good documents, so that a restart while the
// identity provider is down serves the tokens it served before.
#pragma once

#include <chrono>
#include <cstddef>
#include <string>

#include "base/clock.h"
#include "base/result.h"

namespace kubiya::identity {

struct Documents {
  Wall saved{};
  std::string metadata;  // as published; may be empty
  std::string jwks_uri;  // this and the next of the metadata
  std::string token_endpoint;
  std::string key_set;  // as published
};

// Refused (Code::corrupt, Code::invalid): a file that others may write, of another issuer, from the
// future, or saved `age_max` ago or earlier. Code::not_found when there is none. The key set is
// not parsed here. Blocks.
Result<Documents> load_documents(const std::string& path, const std::string& issuer, Wall now,
                                 std::chrono::seconds age_max);
// Replaces the file as a whole, mode 0600. Blocks.
Result<> save_documents(const std::string& path, const std::string& issuer,
                        const Documents& documents);
// A regular file of at most `bytes_max`. Blocks.
Result<std::string> read_text_file(const std::string& path, std::size_t bytes_max);

}  // namespace kubiya::identity
