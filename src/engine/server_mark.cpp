// SPDX-License-Identifier: Apache-2.0
#include "engine/server_mark.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <sstream>

#include <fmt/format.h>

#include "base/descriptor.h"
#include "base/log.h"
#include "engine/leftovers.h"
#include "engine/process_stat.h"

namespace kubiya::engine {
namespace {

constexpr std::size_t kLongestNote = 256;

std::string read_start(const std::string& path) {
  std::ifstream file(path);
  std::string text(kLongestNote, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(file.gcount()));
  return text;
}

bool is_alive(const ServerIdentity& server) {
  const auto stat = read_process_stat(std::to_string(server.pid));
  return stat && stat->started == server.started && stat->state != 'Z' && stat->state != 'X';
}

std::string note_path(const std::string& work_directory) { return work_directory + "/server"; }

}  // namespace

ServerIdentity this_server() {
  std::string boot = read_start("/proc/sys/kernel/random/boot_id");
  boot.resize(std::min(boot.find('\n'), boot.size()));
  const auto stat = read_process_stat("self");
  return {std::move(boot), ::getpid(), stat ? stat->started : 0};
}

std::string to_text(const ServerIdentity& server) {
  return fmt::format("{} {} {}\n", server.boot, server.pid, server.started);
}

std::optional<ServerIdentity> parse_server(std::string_view text) {
  std::istringstream fields{std::string(text)};
  ServerIdentity server;
  fields >> server.boot >> server.pid >> server.started;
  if (!fields || server.pid <= 0) return std::nullopt;
  return server;
}

std::string child_mark(std::string_view installation_id, const ServerIdentity& server) {
  return fmt::format("{}.{}.{}", installation_id, server.pid, server.started);
}

std::size_t kill_leftovers(std::string_view installation_id, const ServerIdentity& before,
                           const ServerIdentity& now) {
  if (installation_id.empty() || before.boot.empty() || before.boot != now.boot || before == now) {
    return 0;
  }
  if (is_alive(before)) {
    log::warn("the data directory is a copy of one that another server uses",
              {{"pid", before.pid}});
    return 0;
  }
  const std::array marks = {
      workflow::Pairs{{"KUBIYA_INSTALLATION", child_mark(installation_id, before)}}};
  return kill_marked(marks);
}

std::optional<ServerIdentity> noted_server(const std::string& work_directory) {
  return parse_server(read_start(note_path(work_directory)));
}

Result<> note_server(const std::string& work_directory, const ServerIdentity& server) {
  const std::string path = note_path(work_directory);
  const std::string fresh = path + ".new";
  const std::string text = to_text(server);
  const auto failed = [] {
    return fail(Code::unavailable, "The work directory cannot be written.", std::strerror(errno));
  };
  ::unlink(fresh.c_str());
  const Descriptor file(
      ::open(fresh.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!file) return failed();
  const ssize_t put = ::write(file.get(), text.data(), text.size());
  if (put != static_cast<ssize_t>(text.size())) return failed();
  if (std::rename(fresh.c_str(), path.c_str()) != 0) return failed();
  return {};
}

}  // namespace kubiya::engine
