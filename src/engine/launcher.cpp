// SPDX-License-Identifier: Apache-2.0
#include "engine/launcher.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <mutex>
#include <set>
#include <span>

#include <fmt/format.h>

#include "base/descriptor.h"
#include "engine/leftovers.h"

namespace kubiya::engine {
namespace {

// glibc 2.36 declares P_PIDFD in an enum that older headers lack; the kernel's number is fixed.
constexpr auto kByPidfd = static_cast<idtype_t>(3);

int open_pidfd(pid_t pid) { return static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)); }

// The children that somebody here waits for.
struct Owned {
  std::mutex mutex;
  std::set<pid_t> pids;
};

class ProcessChild final : public Child {
 public:
  ProcessChild(std::shared_ptr<Owned> owned, int pid, Descriptor pidfd, Descriptor out,
               Descriptor err)
      : owned_(std::move(owned)),
        pid_(pid),
        pidfd_(std::move(pidfd)),
        out_(std::move(out)),
        err_(std::move(err)) {}
  ~ProcessChild() override {
    const std::lock_guard lock(owned_->mutex);
    if (!reaped_) owned_->pids.erase(pid_);
  }

  int pid() const override { return pid_; }
  int pidfd() const override { return pidfd_.get(); }
  int stdout_fd() const override { return out_.get(); }
  int stderr_fd() const override { return err_.get(); }

  // Once reaped the number may belong to somebody else.
  void signal_group(int signal) override {
    if (!reaped_) ::kill(-pid_, signal);
  }

  bool is_group_alive() const override { return !reaped_ && has_live_member(pid_); }

  Result<Exit> reap() override {
    const std::lock_guard lock(owned_->mutex);  // the number is free for a new child afterwards
    siginfo_t info{};
    if (::waitid(kByPidfd, static_cast<id_t>(pidfd_.get()), &info, WEXITED | WNOHANG) != 0) {
      return fail(Code::internal, "The process was lost.", std::strerror(errno));
    }
    if (info.si_pid == 0) return fail(Code::internal, "The process is still running.");
    reaped_ = true;
    owned_->pids.erase(pid_);
    if (info.si_code == CLD_EXITED) return Exit{info.si_status, false};
    return Exit{128 + info.si_status, true};
  }

 private:
  const std::shared_ptr<Owned> owned_;
  const int pid_;
  std::atomic<bool> reaped_ = false;
  Descriptor pidfd_, out_, err_;
};

struct Pipe {
  Descriptor read, write;
};

// Above stdio, so that dup2 in the child never overwrites what it is about to copy, even when
// the server was started with 0, 1 or 2 closed.
Result<Descriptor> above_stdio(Descriptor descriptor) {
  if (descriptor.get() > STDERR_FILENO) return descriptor;
  Descriptor moved(::fcntl(descriptor.get(), F_DUPFD_CLOEXEC, STDERR_FILENO + 1));
  if (!moved) return fail(Code::unavailable, "No file descriptor is left.", std::strerror(errno));
  return moved;
}

Result<Pipe> make_pipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
    return fail(Code::unavailable, "No file descriptor is left.", std::strerror(errno));
  }
  Descriptor read(ends[0]);
  Descriptor write(ends[1]);
  Pipe pipe{TRY(above_stdio(std::move(read))), TRY(above_stdio(std::move(write)))};
  ::fcntl(pipe.read.get(), F_SETFL, O_NONBLOCK);
  return pipe;
}

bool is_program(const std::string& path) {
  struct stat info{};
  return ::stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode);
}

std::string_view path_of(const workflow::Pairs& environment) {
  std::string_view path;
  for (const auto& [name, value] : environment) {
    if (name == "PATH") path = value;
  }
  return path;
}

// Relative entries are skipped: they would let a file in the working directory take the place of
// a command.
Result<std::string> find_program(const std::string& name, std::string_view path) {
  if (name.empty()) return fail(Code::invalid, "The command is empty.");
  if (name.find('/') != std::string::npos) return name;
  bool forbidden = false;
  while (!path.empty()) {
    const auto end = path.find(':');
    const std::string_view folder = path.substr(0, end);
    path = end == std::string_view::npos ? std::string_view() : path.substr(end + 1);
    if (folder.empty() || folder.front() != '/') continue;
    std::string candidate = std::string(folder) + "/" + name;
    if (!is_program(candidate)) continue;
    if (::access(candidate.c_str(), X_OK) == 0) return candidate;
    forbidden = true;
  }
  if (forbidden) return fail(Code::invalid, "permission denied: " + name);
  return fail(Code::invalid, "command not found: " + name);
}

struct Limit {
  __rlimit_resource resource;
  struct rlimit most;
};

struct rlimit own_limit(__rlimit_resource resource) {
  struct rlimit own{RLIM_INFINITY, RLIM_INFINITY};
  ::getrlimit(resource, &own);
  return own;
}

// Not above what this process may have itself: asking for more would fail.
std::vector<Limit> limits_of(const LauncherOptions& options) {
  const auto bounded = [](__rlimit_resource resource, std::uint64_t most) {
    struct rlimit limit = own_limit(resource);
    if (most != 0) limit.rlim_max = std::min<rlim_t>(most, limit.rlim_max);
    limit.rlim_cur = most != 0 ? limit.rlim_max : limit.rlim_cur;
    return Limit{resource, limit};
  };
  Limit files = bounded(RLIMIT_NOFILE, options.limits.open_files);
  if (options.soft_open_files != 0) {
    files.most.rlim_cur = std::min<rlim_t>(files.most.rlim_cur, options.soft_open_files);
  }
  return {Limit{RLIMIT_CORE, {0, 0}}, files, bounded(RLIMIT_FSIZE, options.limits.file_bytes),
          bounded(RLIMIT_NPROC, options.limits.processes)};
}

// Everything the child needs, ready before it exists: between vfork and execve it shares our
// memory and may call only what is async-signal-safe.
struct ChildPlan {
  const char* program = nullptr;
  char* const* argv = nullptr;
  char* const* envp = nullptr;
  const char* directory = nullptr;
  int in = -1, out = -1, err = -1;
  std::span<const Limit> limits;
  pid_t parent = 0;
  sigset_t no_signals{};
  // Written by the child.
  volatile int error = 0;
  volatile bool directory_failed = false;
};

void reset_signals(const sigset_t& none) {
  struct sigaction standard{};
  standard.sa_handler = SIG_DFL;
  for (int signal = 1; signal < NSIG; ++signal) ::sigaction(signal, &standard, nullptr);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

[[noreturn]] void give_up(ChildPlan& plan) {
  plan.error = errno;
  ::_exit(127);
}

[[noreturn]] void become(ChildPlan& plan) {
  if (::setsid() < 0) give_up(plan);
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) give_up(plan);
  if (::getppid() != plan.parent) ::_exit(127);  // the parent died before the line above
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) give_up(plan);
  for (const Limit& limit : plan.limits) {
    if (::setrlimit(limit.resource, &limit.most) != 0) give_up(plan);
  }
  ::umask(077);
  if (::chdir(plan.directory) != 0) {
    plan.directory_failed = true;
    give_up(plan);
  }
  if (::dup2(plan.in, STDIN_FILENO) < 0 || ::dup2(plan.out, STDOUT_FILENO) < 0 ||
      ::dup2(plan.err, STDERR_FILENO) < 0) {
    give_up(plan);
  }
  if (::syscall(SYS_close_range, 3U, ~0U, 0U) != 0) give_up(plan);
  reset_signals(plan.no_signals);
  ::execve(plan.program, plan.argv, plan.envp);
  give_up(plan);
}

// Alone in its frame: the child runs on this stack until execve, and a caller's locals must not
// live in registers across vfork.
[[gnu::noinline]] pid_t spawn(ChildPlan& plan) {
  const pid_t pid = ::vfork();
  if (pid == 0) become(plan);
  return pid;
}

// Blocks every signal for its lifetime: a handler of ours must not run in the child, where it
// would change our memory.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~SignalsBlocked() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  sigset_t before_{};
};

Error launch_error(const ChildPlan& plan, const std::string& command) {
  if (plan.directory_failed) {
    return {
        Code::invalid,
        fmt::format("cannot enter the directory {}: {}", plan.directory, std::strerror(plan.error)),
        {}};
  }
  switch (plan.error) {
    case ENOENT:
      return {Code::invalid, "command not found: " + command, {}};
    case EACCES:
    case EPERM:
      return {Code::invalid, "permission denied: " + command, {}};
    case ENOEXEC:
      return {Code::invalid, "not a program: " + command, {}};
    case E2BIG:
      return {Code::too_large, "the arguments and environment are too large for: " + command, {}};
    default:
      return {Code::unavailable,
              fmt::format("cannot start {}: {}", command, std::strerror(plan.error)),
              {}};
  }
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> out;
  out.reserve(texts.size() + 1);
  for (std::string& text : texts) out.push_back(text.data());
  out.push_back(nullptr);
  return out;
}

Result<> check_no_nul(const LaunchRequest& request) {
  const auto has_nul = [](const std::string& text) { return text.find('\0') != text.npos; };
  for (const auto& word : request.argv) {
    if (has_nul(word)) return fail(Code::invalid, "An argument contains a NUL byte.");
  }
  for (const auto& [name, value] : request.environment) {
    if (has_nul(name) || has_nul(value) || name.empty() || name.find('=') != name.npos) {
      return fail(Code::invalid, "An environment variable cannot be passed on.");
    }
  }
  return {};
}

class ProcessLauncher final : public Launcher {
 public:
  explicit ProcessLauncher(const LauncherOptions& options)
      : limits_(limits_of(options)), adopts_orphans_(options.adopts_orphans) {
    if (adopts_orphans_) ::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
  }

  // One that nobody waits for and that is not of a step either is still nobody else's.
  void reap_orphans() override {
    if (!adopts_orphans_) return;
    for (const int pid : zombie_children()) {
      const std::lock_guard lock(owned_->mutex);
      if (owned_->pids.contains(pid)) continue;
      ::waitpid(pid, nullptr, WNOHANG);
    }
  }

  Result<std::unique_ptr<Child>> launch(const LaunchRequest& request) override {
    if (request.argv.empty()) return fail(Code::invalid, "The command is empty.");
    TRY_VOID(check_no_nul(request));
    const std::string program =
        TRY(find_program(request.argv.front(), path_of(request.environment)));
    Pipe out = TRY(make_pipe());
    Pipe err = TRY(make_pipe());
    Descriptor null = TRY(above_stdio(Descriptor(::open("/dev/null", O_RDONLY | O_CLOEXEC))));

    std::vector<std::string> words = request.argv;
    std::vector<std::string> variables;
    variables.reserve(request.environment.size());
    for (const auto& [name, value] : request.environment) {
      variables.emplace_back(name).append(1, '=').append(value);
    }
    const std::vector<char*> argv = pointers(words);
    const std::vector<char*> envp = pointers(variables);

    ChildPlan plan;
    plan.program = program.c_str();
    plan.argv = argv.data();
    plan.envp = envp.data();
    plan.directory = request.directory.c_str();
    plan.in = null.get();
    plan.out = out.write.get();
    plan.err = err.write.get();
    plan.limits = limits_;
    plan.parent = ::getpid();
    ::sigemptyset(&plan.no_signals);

    // A child that ends at once must be known before somebody looks for orphans.
    std::unique_lock owning(owned_->mutex);
    const pid_t pid = [&plan] {
      const SignalsBlocked blocked;
      return spawn(plan);
    }();
    if (pid < 0) return fail(Code::unavailable, "No process can be started.", std::strerror(errno));
    if (plan.error != 0) {
      ::waitpid(pid, nullptr, 0);
      return fail(launch_error(plan, request.argv.front()));
    }
    Descriptor pidfd(open_pidfd(pid));
    if (!pidfd) {
      const int error = errno;
      ::kill(-pid, SIGKILL);
      ::waitpid(pid, nullptr, 0);
      return fail(Code::unavailable, "No file descriptor is left.", std::strerror(error));
    }
    owned_->pids.insert(pid);
    owning.unlock();
    return std::make_unique<ProcessChild>(owned_, pid, std::move(pidfd), std::move(out.read),
                                          std::move(err.read));
  }

 private:
  const std::shared_ptr<Owned> owned_ = std::make_shared<Owned>();
  const std::vector<Limit> limits_;
  const bool adopts_orphans_;
};

}  // namespace

std::unique_ptr<Launcher> make_process_launcher(const LauncherOptions& options) {
  return std::make_unique<ProcessLauncher>(options);
}

}  // namespace kubiya::engine
