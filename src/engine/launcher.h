// SPDX-License-Identifier: Apache-2.0
//
// Child processes. Each runs in its own session and process group, with exactly the
// given environment, stdin from /dev/null, no inherited descriptors, default signals,
// umask 077, no core dump, no_new_privs, with limits, and dies with the server.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "workflow/definition.h"

namespace kubiya::engine {

struct LaunchRequest {
  std::vector<std::string> argv;  // argv[0] is looked up in the child's PATH
  workflow::Pairs environment;    // complete
  std::string directory;
};

// Owns the descriptors; closing does not kill.
class Child {
 public:
  virtual ~Child() = default;
  virtual int pid() const = 0;
  virtual int pidfd() const = 0;      // readable when it has exited
  virtual int stdout_fd() const = 0;  // non-blocking
  virtual int stderr_fd() const = 0;
  virtual void signal_group(int signal) = 0;
  // Somebody of the group still runs, its exited leader aside.
  virtual bool is_group_alive() const { return false; }
  // After pidfd is readable: reaps. exit code, or 128 + signal with `signaled` set.
  struct Exit {
    int code = 0;
    bool signaled = false;
  };
  virtual Result<Exit> reap() = 0;
};

class Launcher {
 public:
  virtual ~Launcher() = default;
  virtual Result<std::unique_ptr<Child>> launch(const LaunchRequest& request) = 0;
  // Takes notice of descendants that were left to this process and have ended. Any thread; reads
  // /proc.
  virtual void reap_orphans() {}
};

// What a step's processes may use, each by itself. 0: as much as the server's own.
struct StepLimits {
  std::uint64_t open_files = 0;
  std::uint64_t file_bytes = 0;  // of a file they write
  std::uint64_t processes = 0;   // of the server's user, all together
};

struct LauncherOptions {
  StepLimits limits;
  // The soft limit of open files in a child, because programs that use select() break above 1024.
  // 0: ours.
  std::uint64_t soft_open_files = 0;
  // This process belongs to the server alone: what steps leave behind comes to it (as it does to
  // process 1 of a container) and is reaped. An application that has children of its own must not
  // ask for this.
  bool adopts_orphans = false;
};

// vfork and execve; no copy of a large parent's page tables.
std::unique_ptr<Launcher> make_process_launcher(const LauncherOptions& options = {});

}  // namespace kubiya::engine
