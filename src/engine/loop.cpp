// SPDX-License-Identifier: Apache-2.0
#include "engine/loop.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace kubiya::engine {
namespace {

constexpr Loop::Id kWake = 0;

}  // namespace

Result<> Loop::open() {
  epoll_ = Descriptor(::epoll_create1(EPOLL_CLOEXEC));
  wake_ = Descriptor(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = kWake;
  if (!epoll_ || !wake_ || ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, wake_.get(), &event) != 0) {
    return fail(Code::unavailable, "No file descriptor is left.", std::strerror(errno));
  }
  return {};
}

void Loop::post(Task task) {
  {
    const std::lock_guard lock(mutex_);
    posted_.push_back(std::move(task));
  }
  const std::uint64_t one = 1;
  (void)!::write(wake_.get(), &one, sizeof one);
}

void Loop::stop() {
  post([this] { stopping_ = true; });
}

void Loop::run() {
  std::array<epoll_event, 64> events{};
  while (!stopping_) {
    const int count = ::epoll_wait(epoll_.get(), events.data(), events.size(), wait_ms());
    ASSERT(count >= 0 || errno == EINTR, "epoll_wait on our own descriptors");
    for (int i = 0; i < count; ++i) {
      // A copy: the kernel's structure is packed, so that nothing may refer into it.
      const std::uint64_t id = events[static_cast<std::size_t>(i)].data.u64;
      const auto reader = readers_.find(id);
      if (reader == readers_.end()) continue;  // the wake-up, or unwatched by an earlier event
      const Task task = reader->second;        // it may unwatch itself
      task();
    }
    run_timers();
    run_posted();
  }
}

void Loop::run_posted() {
  std::uint64_t count = 0;
  (void)!::read(wake_.get(), &count, sizeof count);
  std::vector<Task> tasks;
  {
    const std::lock_guard lock(mutex_);
    tasks.swap(posted_);
  }
  for (Task& task : tasks) task();
}

void Loop::run_timers() {
  const Mono now = std::chrono::steady_clock::now();
  while (!timers_.empty() && timers_.begin()->first.first <= now) {
    auto timer = timers_.extract(timers_.begin());
    timer_times_.erase(timer.key().second);
    timer.mapped()();
  }
}

int Loop::wait_ms() const {
  if (timers_.empty()) return -1;
  const auto left = timers_.begin()->first.first - std::chrono::steady_clock::now();
  const auto rounded = std::chrono::ceil<std::chrono::milliseconds>(left).count();
  return static_cast<int>(std::clamp<std::int64_t>(rounded, 0, 3'600'000));
}

Loop::Id Loop::watch(int fd, Task readable) {
  const Id id = next_++;
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = id;
  const int added = ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event);
  ASSERT(added == 0, "a pipe, pidfd or eventfd of ours can be watched");
  readers_.emplace(id, std::move(readable));
  return id;
}

void Loop::unwatch(int fd, Id id) {
  if (readers_.erase(id) != 0) ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
}

Loop::Id Loop::after(std::chrono::milliseconds wait, Task task) {
  const Id id = next_++;
  const Mono when = std::chrono::steady_clock::now() + wait;
  timers_.emplace(std::pair(when, id), std::move(task));
  timer_times_.emplace(id, when);
  return id;
}

void Loop::cancel(Id timer) {
  if (timer == 0) return;
  const auto time = timer_times_.find(timer);
  if (time == timer_times_.end()) return;
  timers_.erase({time->second, timer});
  timer_times_.erase(time);
}

}  // namespace kubiya::engine
