// SPDX-License-Identifier: Apache-2.0
#include "engine/leftovers.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstring>
#include <fstream>
#include <memory>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <thread>

#include "engine/descriptor.h"
#include "engine/launcher.h"

namespace kubiya::engine {
namespace {

constexpr int kRounds = 20;
constexpr auto kPause = std::chrono::milliseconds(2);

std::optional<pid_t> process_id(const char* name) {
  pid_t pid = 0;
  const char* end = name + std::strlen(name);
  const auto [rest, error] = std::from_chars(name, end, pid);
  if (error != std::errc() || rest != end || pid <= 1 || pid == ::getpid()) return std::nullopt;
  return pid;
}

// Empty for a process of another user, a kernel thread or a zombie.
std::string environment_of(int proc, const char* name) {
  struct stat info{};
  if (::fstatat(proc, name, &info, 0) != 0 || info.st_uid != ::geteuid()) return {};
  const Descriptor file(
      ::openat(proc, (std::string(name) + "/environ").c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return {};
  std::string text(1, '\0');  // so that each entry stands between two NULs
  char buffer[16 * 1024];
  for (ssize_t got = 0; (got = ::read(file.get(), buffer, sizeof buffer)) > 0;) {
    text.append(buffer, static_cast<std::size_t>(got));
  }
  return text;
}

bool has_marks(const std::string& environment, const workflow::Pairs& marks) {
  for (const auto& [name, value] : marks) {
    std::string entry(1, '\0');
    entry += name + "=" + value;
    entry.push_back('\0');
    if (environment.find(entry) == std::string::npos) return false;
  }
  return true;
}

// The descriptor names the process even if its number is given away meanwhile.
bool kill_if_marked(int proc, const char* name, pid_t pid, const workflow::Pairs& marks) {
  if (!has_marks(environment_of(proc, name), marks)) return false;
  const Descriptor pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!pidfd || !has_marks(environment_of(proc, name), marks)) return false;
  return ::syscall(SYS_pidfd_send_signal, pidfd.get(), SIGKILL, nullptr, 0) == 0;
}

std::set<pid_t> kill_round(const workflow::Pairs& marks) {
  std::set<pid_t> killed;
  const std::unique_ptr<DIR, int (*)(DIR*)> proc(::opendir("/proc"), ::closedir);
  if (!proc) return killed;
  while (const dirent* entry = ::readdir(proc.get())) {
    const auto pid = process_id(entry->d_name);
    if (pid && kill_if_marked(::dirfd(proc.get()), entry->d_name, *pid, marks)) killed.insert(*pid);
  }
  return killed;
}

}  // namespace

bool has_live_member(int process_group) {
  const std::unique_ptr<DIR, int (*)(DIR*)> proc(::opendir("/proc"), ::closedir);
  if (!proc) return false;
  while (const dirent* entry = ::readdir(proc.get())) {
    if (!process_id(entry->d_name)) continue;
    std::ifstream file(std::string("/proc/") + entry->d_name + "/stat");
    std::string line;
    std::getline(file, line);
    // The name before it may hold anything, brackets too.
    std::istringstream fields(line.substr(std::min(line.rfind(')'), line.size() - 1) + 1));
    char state = 0;
    int parent = 0, group = 0;
    fields >> state >> parent >> group;
    if (fields && group == process_group && state != 'Z' && state != 'X') return true;
  }
  return false;
}

std::size_t kill_marked(const workflow::Pairs& marks) {
  if (marks.empty()) return 0;
  std::set<pid_t> killed;
  for (int round = 0; round < kRounds; ++round) {
    const auto found = kill_round(marks);
    if (found.empty()) break;
    killed.insert(found.begin(), found.end());
    std::this_thread::sleep_for(kPause);
  }
  return killed.size();
}

std::size_t kill_leftovers(const std::string& installation_id) {
  if (installation_id.empty()) return 0;
  return kill_marked({{"KUBIYA_INSTALLATION", installation_id}});
}

}  // namespace kubiya::engine
