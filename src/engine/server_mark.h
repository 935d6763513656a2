// SPDX-License-Identifier: Apache-2.0
//
// Whose children are leftovers. Each server process marks its children with its own
// identity and notes that in its work directory; the next server there may kill what
// carries exactly that mark, once that process is gone. A copy of the data directory
// that is started beside the original, or on another machine, kills nobody.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace kubiya::engine {

// One process on one start of one machine.
struct ServerIdentity {
  std::string boot;  // the kernel's boot id, random for each start of each machine
  int pid = 0;
  std::uint64_t started = 0;  // clock ticks since boot

  friend bool operator==(const ServerIdentity&, const ServerIdentity&) = default;
};

ServerIdentity this_server();
std::string to_text(const ServerIdentity& server);
std::optional<ServerIdentity> parse_server(std::string_view text);

// The value of KUBIYA_INSTALLATION in the environment of the server's children.
std::string child_mark(std::string_view installation_id, const ServerIdentity& server);

// Kills what `before`, the last server on this directory, left behind. Returns how many; none when
// it was on another machine or boot, or still runs.
std::size_t kill_leftovers(std::string_view installation_id, const ServerIdentity& before,
                           const ServerIdentity& now);

// What the last server noted in the work directory, if anything readable.
std::optional<ServerIdentity> noted_server(const std::string& work_directory);
Result<> note_server(const std::string& work_directory, const ServerIdentity& server);

}  // namespace kubiya::engine
