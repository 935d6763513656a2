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
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>

#include "base/descriptor.h"
#include "engine/process_stat.h"

namespace kubiya::engine {
namespace {

constexpr int kRounds = 200;
constexpr auto kPause = std::chrono::milliseconds(2);
constexpr int kGenerations = 64;

std::optional<pid_t> process_id(const char* name) {
  pid_t pid = 0;
  const char* end = name + std::strlen(name);
  const auto [rest, error] = std::from_chars(name, end, pid);
  if (error != std::errc() || rest != end || pid <= 1 || pid == ::getpid()) return std::nullopt;
  return pid;
}

// Nothing for a process of another user; empty for a kernel thread, a zombie, one within execve.
std::optional<std::string> environment_of(int proc, const char* name) {
  struct stat info{};
  if (::fstatat(proc, name, &info, 0) != 0 || info.st_uid != ::geteuid()) {
    return std::nullopt;
  }
  const Descriptor file(
      ::openat(proc, (std::string(name) + "/environ").c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return std::nullopt;
  std::string text(1, '\0');  // so that each entry stands between two NULs
  char buffer[16 * 1024];
  for (ssize_t got = 0; (got = ::read(file.get(), buffer, sizeof buffer)) > 0;) {
    text.append(buffer, static_cast<std::size_t>(got));
  }
  return text;
}

bool has_marks(const std::string& environment, const workflow::Pairs& marks) {
  if (environment.empty() || marks.empty()) return false;
  for (const auto& [name, value] : marks) {
    std::string entry(1, '\0');
    entry.append(name).append(1, '=').append(value);
    entry.push_back('\0');
    if (environment.find(entry) == std::string::npos) return false;
  }
  return true;
}

bool has_any(const std::string& environment, std::span<const workflow::Pairs> marks) {
  return std::ranges::any_of(marks, [&](const auto& one) { return has_marks(environment, one); });
}

// The descriptor names the process even if its number is given away meanwhile.
bool kill_if_marked(int proc, const char* name, pid_t pid, std::span<const workflow::Pairs> marks) {
  const Descriptor pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!pidfd || !has_any(environment_of(proc, name).value_or(""), marks)) return false;
  return ::syscall(SYS_pidfd_send_signal, pidfd.get(), SIGKILL, nullptr, 0) == 0;
}

bool descends_from_us(const ProcessStat& process) {
  int parent = process.parent;
  for (int generation = 0; generation < kGenerations; ++generation) {
    if (parent == ::getpid()) return true;
    if (parent <= 1) return false;
    const auto next = read_process_stat(std::to_string(parent));
    if (!next) return true;  // it has just ended; its child has another parent the next time
    parent = next->parent;
  }
  return false;
}

struct Round {
  std::set<pid_t> killed;
  std::set<pid_t> unclear;  // within execve, so that it has to be looked at again
};

Round kill_round(std::span<const workflow::Pairs> marks) {
  Round round;
  const std::unique_ptr<DIR, int (*)(DIR*)> proc(::opendir("/proc"), ::closedir);
  if (!proc) return round;
  const int at = ::dirfd(proc.get());
  while (const dirent* entry = ::readdir(proc.get())) {
    const auto pid = process_id(entry->d_name);
    if (!pid) continue;
    auto environment = environment_of(at, entry->d_name);
    if (environment && environment->size() <= 1) {
      const auto stat = read_process_stat(entry->d_name);
      if (!stat || stat->state == 'Z' || stat->state == 'X') continue;
      if (stat->environment_end == 0) {
        if (descends_from_us(*stat)) round.unclear.insert(*pid);
        continue;
      }
      environment = environment_of(at, entry->d_name);  // it has come out of execve meanwhile
    }
    if (!environment || !has_any(*environment, marks)) continue;
    const bool killed = kill_if_marked(at, entry->d_name, *pid, marks);
    (killed ? round.killed : round.unclear).insert(*pid);
  }
  return round;
}

bool have_common(const std::set<pid_t>& one, const std::set<pid_t>& other) {
  return std::ranges::any_of(one, [&](pid_t pid) { return other.contains(pid); });
}

template <class Predicate>
std::vector<int> processes(Predicate wanted) {
  std::vector<int> found;
  const std::unique_ptr<DIR, int (*)(DIR*)> proc(::opendir("/proc"), ::closedir);
  if (!proc) return found;
  while (const dirent* entry = ::readdir(proc.get())) {
    const auto pid = process_id(entry->d_name);
    if (!pid) continue;
    const auto stat = read_process_stat(entry->d_name);
    if (stat && wanted(*stat)) found.push_back(*pid);
  }
  return found;
}

}  // namespace

bool has_live_member(int process_group) {
  return !processes([process_group](const ProcessStat& stat) {
            return stat.group == process_group && stat.state != 'Z' && stat.state != 'X';
          }).empty();
}

std::vector<int> zombie_children() {
  return processes(
      [](const ProcessStat& stat) { return stat.parent == ::getpid() && stat.state == 'Z'; });
}

std::size_t kill_marked(std::span<const workflow::Pairs> marks) {
  std::set<pid_t> killed;
  std::set<pid_t> awaited;
  for (int count = 0; count < kRounds; ++count) {
    const Round round = kill_round(marks);
    killed.insert(round.killed.begin(), round.killed.end());
    // What enters execve later, without one that was killed meanwhile, is not of these marks.
    if (count == 0 || !round.killed.empty()) awaited = round.unclear;
    if (round.killed.empty() && !have_common(awaited, round.unclear)) break;
    std::this_thread::sleep_for(kPause);
  }
  return killed.size();
}

}  // namespace kubiya::engine
