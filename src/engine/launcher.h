// SPDX-License-Identifier: Apache-2.0
//
// Child processes. Each runs in its own session and process group, with exactly the
// given environment, stdin from /dev/null, no inherited descriptors, default signals,
// umask 077, no core dump, no_new_privs, and dies with the server.
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
};

// vfork and execve; no copy of a large parent's page tables. `open_files` is the soft limit of
// descriptors in a child, because programs that use select() break above 1024; 0 leaves ours.
std::unique_ptr<Launcher> make_process_launcher(std::uint64_t open_files = 0);

// Kills every process of this user whose environment has KUBIYA_INSTALLATION=id. Returns how many.
std::size_t kill_leftovers(const std::string& installation_id);

}  // namespace kubiya::engine
