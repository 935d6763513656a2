// SPDX-License-Identifier: Apache-2.0
#include "engine/process_stat.h"

#include <fstream>
#include <sstream>

namespace kubiya::engine {

std::optional<ProcessStat> read_process_stat(const std::string& process) {
  std::ifstream file("/proc/" + process + "/stat");
  std::string line;
  // The name, which stands before the last bracket, may hold anything, line ends too.
  std::getline(file, line, '\0');
  const std::size_t name_end = line.rfind(')');
  if (name_end == std::string::npos) return std::nullopt;
  std::istringstream fields(line.substr(name_end + 1));
  ProcessStat stat;
  fields >> stat.state >> stat.parent >> stat.group;
  std::string skipped;
  for (int field = 6; field < 22; ++field) fields >> skipped;
  fields >> stat.started;
  for (int field = 23; field < 51; ++field) fields >> skipped;
  fields >> stat.environment_end;
  if (!fields) return std::nullopt;
  return stat;
}

}  // namespace kubiya::engine
