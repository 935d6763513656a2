// SPDX-License-Identifier: Apache-2.0
//
// One line of /proc/PID/stat (proc(5)).
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace kubiya::engine {

struct ProcessStat {
  char state = 0;  // 'Z' and 'X' have ended
  int parent = 0;
  int group = 0;
  std::uint64_t started = 0;  // clock ticks since boot; with the number it names one process
  // Where its environment ends in its memory: 0 when it has no memory, as a zombie; when we may not
  // know; and within execve, which has taken the old environment and not laid out the new one.
  std::uint64_t environment_end = 0;
};

// `process`: a number, or "self". Nothing when there is no such process.
std::optional<ProcessStat> read_process_stat(const std::string& process);

}  // namespace kubiya::engine
