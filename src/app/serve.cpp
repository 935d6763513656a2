// SPDX-License-Identifier: Apache-2.0
//
// The process around an Application: signals, limits, the end.
#include <sys/prctl.h>
#include <sys/resource.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <utility>

#include "app/application.h"
#include "app/signals.h"
#include "base/log.h"

namespace kubiya::app {
namespace {

// For what comes after the drain: last answers, the journal, the threads.
constexpr std::chrono::seconds kLastPatience{20};

// No core file may hold a token, no process of the same user may read this one's memory or
// environment, and ten thousand connections need as many descriptors.
// Returns the limit of descriptors as it was, for children that cannot count so far.
std::uint64_t settle_limits() {
  const rlimit no_core{0, 0};
  setrlimit(RLIMIT_CORE, &no_core);
  prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  rlimit files{};
  if (getrlimit(RLIMIT_NOFILE, &files) != 0) return 0;
  const rlimit raised{files.rlim_max, files.rlim_max};
  setrlimit(RLIMIT_NOFILE, &raised);
  return files.rlim_cur;
}

// With its own meaning, so that whoever started us sees which signal it was.
[[noreturn]] void end_at_once(int signal) {
  std::signal(signal, SIG_DFL);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, signal);
  pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
  std::raise(signal);
  std::_Exit(128 + signal);
}

// Stops in order unless somebody asks a second time, or a disk hangs for `patience`. The steps die
// with us, and the next start calls their runs interrupted.
void stop(std::unique_ptr<Application> application, const sigset_t& signals, int first,
          std::chrono::milliseconds patience) {
  std::atomic<bool> stopped{false};
  std::thread stopper([&] {
    application->stop();
    application.reset();
    stopped = true;
  });
  constexpr timespec kLook{0, 20'000'000};
  const auto latest = std::chrono::steady_clock::now() + patience;
  // The end of the input is nobody's asking, and it may be noticed before a signal sent earlier.
  bool asked = first != kInputEnded;
  while (!stopped) {
    const int signal = sigtimedwait(&signals, nullptr, &kLook);
    if (std::chrono::steady_clock::now() > latest) {
      std::fprintf(stderr, "kubiya-mcp: could not stop in order; ending at once\n");
      end_at_once(SIGTERM);
    }
    if (signal != SIGTERM && signal != SIGINT) continue;
    if (std::exchange(asked, true)) end_at_once(signal);
  }
  stopper.join();
}

}  // namespace

int serve(const Config& config, const ServeHooks& hooks) {
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ,
              SIG_IGN);  // a file size limit is an error of the write, not the end of the server
  Config own = config;
  own.step_open_files = settle_limits();
  // Blocked before the first thread starts, so that all threads inherit it and sigwait sees them.
  const SignalsBlocked blocked({SIGTERM, SIGINT, SIGHUP, kInputEnded});
  log::set_level(config.log_level);
  const log::Background logging;

  auto application = Application::open(own, hooks);
  if (!application) {
    std::fprintf(stderr, "kubiya-mcp: %s%s%s\n", application.error().message.c_str(),
                 application.error().detail.empty() ? "" : " — ",
                 application.error().detail.c_str());
    return 2;
  }
  (*application)->start();
  log::info("serving", {{"url", config.public_url + config.mcp_path},
                        {"port", (*application)->port()},
                        {"mode", config.issuers.empty() ? "api-key" : "token"}});
  if (hooks.ready) hooks.ready((*application)->port());
  int signal = 0;
  for (;;) {
    if (sigwait(&blocked.set(), &signal) != 0) continue;
    if (signal != SIGHUP) break;
    const auto reloaded = (*application)->reload();
    if (reloaded) {
      log::info("TLS files reloaded");
    } else {
      log::error("TLS files not reloaded; the old ones stay",
                 {{"detail", reloaded.error().message}});
    }
  }
  log::info("stopping");
  stop(std::move(*application), blocked.set(), signal, config.drain_grace + kLastPatience);
  log::info("stopped");
  return 0;
}

}  // namespace kubiya::app
