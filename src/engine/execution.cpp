// SPDX-License-Identifier: Apache-2.0
#include "engine/execution.h"

#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>

#include "base/log.h"

namespace kubiya::engine {
namespace {

constexpr std::chrono::milliseconds kLookAgain{20};

}  // namespace

template <class Task>
auto Execution::later(Task task) {
  return [&loop = loop_, exists = std::weak_ptr(exists_), task](auto... known) {
    loop.post([exists, task, known...] {
      if (!exists.expired()) task(known...);
    });
  };
}

Execution::Execution(Loop& loop, Sweeper& sweeper, std::unique_ptr<Child> child,
                     const Limits& limits, workflow::Pairs marks, Listener listener)
    : loop_(loop),
      sweeper_(sweeper),
      child_(std::move(child)),
      limits_(limits),
      marks_(std::move(marks)),
      listener_(std::move(listener)) {
  out_ = {child_->stdout_fd(),
          loop_.watch(child_->stdout_fd(), [this] { read_some(Stream::out); })};
  err_ = {child_->stderr_fd(),
          loop_.watch(child_->stderr_fd(), [this] { read_some(Stream::err); })};
  exit_watch_ = loop_.watch(child_->pidfd(), [this] { exited(); });
  if (limits_.timeout.count() > 0) {
    deadline_ = loop_.after(limits_.timeout, [this] { stop(StopReason::timed_out); });
  }
}

Execution::~Execution() {
  if (!reaped_) child_->signal_group(SIGKILL);
  close_source(Stream::out);
  close_source(Stream::err);
  if (exit_watch_ != 0) loop_.unwatch(child_->pidfd(), exit_watch_);
  loop_.cancel(deadline_);
  loop_.cancel(kill_timer_);
  loop_.cancel(linger_timer_);
  loop_.cancel(drain_timer_);
}

void Execution::stop(StopReason reason) {
  if (reaped_ || end_.stopped != StopReason::none) return;
  end_.stopped = reason;
  child_->signal_group(SIGTERM);
  child_->signal_group(SIGCONT);  // a stopped process sees the SIGTERM only when it goes on
  kill_timer_ = loop_.after(limits_.kill_grace, [this] { kill_group(); });
}

void Execution::kill_group() {
  killed_ = true;
  child_->signal_group(SIGKILL);
}

void Execution::read_some(Stream stream) {
  std::array<char, 64 * 1024> buffer;
  const ssize_t got = ::read(source(stream).fd, buffer.data(), buffer.size());
  if (got > 0) {
    listener_.output(stream, {buffer.data(), static_cast<std::size_t>(got)});
    return;
  }
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  close_source(stream);
  end_if_complete();
}

void Execution::close_source(Stream stream) {
  Source& from = source(stream);
  if (from.watch == 0) return;
  loop_.unwatch(from.fd, from.watch);
  from.watch = 0;
}

// The group is killed before its leader is reaped: until then the kernel gives the number to
// nobody else. In a step that was stopped the others have the rest of the grace, too.
void Execution::exited() {
  loop_.unwatch(child_->pidfd(), exit_watch_);
  exit_watch_ = 0;
  if (end_.stopped == StopReason::none) return reap();
  look_at_group();
}

void Execution::look_at_group() {
  sweeper_.look(child_, later([this](bool alive) {
                  if (!alive || killed_) return reap();
                  linger_timer_ = loop_.after(kLookAgain, [this] { look_at_group(); });
                }));
}

void Execution::reap() {
  child_->signal_group(SIGKILL);
  const auto exit = child_->reap();
  loop_.cancel(deadline_);
  loop_.cancel(kill_timer_);
  if (exit) {
    end_.exit = *exit;
  } else {
    log::error("a child could not be reaped", {{"detail", exit.error().detail}});
    end_.exit = {128 + SIGKILL, true};
  }
  reaped_ = true;
  sweeper_.kill(marks_, later([this] {
                  swept_ = true;
                  end_if_complete();
                }));
  drain_timer_ = loop_.after(limits_.drain_pipes, [this] { drained(); });
  end_if_complete();
}

// Somebody out of our reach still holds a pipe. What is in it already is taken.
void Execution::drained() {
  close_source(Stream::out);
  close_source(Stream::err);
  end_if_complete();
}

void Execution::end_if_complete() {
  if (!reaped_ || !swept_ || out_.watch != 0 || err_.watch != 0) return;
  loop_.cancel(drain_timer_);
  const auto ended = std::move(listener_.ended);
  const End end = end_;
  ended(end);
}

}  // namespace kubiya::engine
