// SPDX-License-Identifier: Apache-2.0
#include "tools/follow.h"

#include <algorithm>
#include <cmath>
#include <mutex>

#include <fmt/format.h>

namespace kubiya::tools {
namespace {

using engine::RunEvent;

constexpr std::chrono::seconds kLook{1};

class Follower : public std::enable_shared_from_this<Follower> {
 public:
  Follower(const Services& services, std::shared_ptr<const Call> call, Following following,
           std::function<void()> answer)
      : services_(services),
        call_(std::move(call)),
        following_(std::move(following)),
        answer_(std::move(answer)) {}

  void begin() {
    latest_ = services_.clock.mono() + following_.patience;
    look();
    auto subscription = services_.backend.watch(
        following_.run_id,
        [self = shared_from_this()](const RunEvent& event) { self->see(event); });
    {
      const std::lock_guard lock(mutex_);
      // The run may have ended inside watch(); then nothing is left to hold.
      if (!ended_) subscription_ = std::move(subscription);
    }
    // A step may have begun to wait before.
    ask_whether_enough();
  }

 private:
  // Whoever waits has a place that others want, and may be gone.
  void look() {
    const Mono now = services_.clock.mono();
    const bool awaited = !call_->is_awaited || call_->is_awaited();
    if (!awaited || now >= latest_) return end();
    const std::lock_guard lock(mutex_);
    if (ended_) return;
    timer_ = services_.timers.add(std::min(latest_, now + kLook),
                                  [self = shared_from_this()] { self->look(); });
  }

  void see(const RunEvent& event) {
    report(event);
    if (event.kind == RunEvent::Kind::step_waiting) ask_whether_enough();
    if (event.kind == RunEvent::Kind::run_finished) end();
  }

  void ask_whether_enough() {
    if (!following_.enough) return;
    services_.workers.submit_always([self = shared_from_this()] {
      if (self->following_.enough()) self->end();
    });
  }

  void report(const RunEvent& event) {
    if (!call_->progress || event.kind == RunEvent::Kind::output) return;
    const auto value = progress_.next(event);
    if (value) call_->progress(*value, event.steps_total, message(event));
  }

  static std::string message(const RunEvent& event) {
    if (event.kind == RunEvent::Kind::run_started) return "started";
    if (event.kind == RunEvent::Kind::step_started) return fmt::format("{} started", event.step);
    if (event.kind == RunEvent::Kind::step_waiting) {
      return fmt::format("{} waits for an approval: {}", event.step, event.text);
    }
    if (event.kind == RunEvent::Kind::step_finished) {
      return fmt::format("{} {}", event.step, event.status);
    }
    return fmt::format("workflow {}", event.status);
  }

  void end() {
    std::unique_ptr<engine::Backend::Subscription> subscription;
    {
      const std::lock_guard lock(mutex_);
      if (std::exchange(ended_, true)) return;
      subscription = std::move(subscription_);
      services_.timers.cancel(timer_);
    }
    // Neither the engine's thread nor a timer tick may block, or end its own subscription.
    services_.workers.submit_always(
        [self = shared_from_this(),
         held = std::shared_ptr<engine::Backend::Subscription>(std::move(subscription))]() mutable {
          held.reset();
          self->answer_();
        });
  }

  const Services services_;
  const std::shared_ptr<const Call> call_;
  const Following following_;
  const std::function<void()> answer_;
  Mono latest_{};
  Progress progress_;
  std::mutex mutex_;  // guards what follows
  std::uint64_t timer_ = 0;
  bool ended_ = false;
  std::unique_ptr<engine::Backend::Subscription> subscription_;
};

}  // namespace

// Steps that are done, while there is something left to grow to; otherwise half of what is left to
// the next one, so that retries and handlers count, too.
std::optional<double> Progress::next(const engine::RunEvent& event) {
  const double total = event.steps_total;
  double value = event.steps_done;
  if (event.kind == RunEvent::Kind::run_finished) {
    value = total;
  } else if (value <= last_ || value >= total) {
    const double ceiling = std::min(std::max(value, std::floor(last_)) + 1, total);
    value = last_ + (ceiling - last_) / 2;
  }
  if (value <= last_) return std::nullopt;
  last_ = value;
  return value;
}

void follow_run(const Services& services, std::shared_ptr<const Call> call, Following following,
                std::function<void()> answer) {
  if (following.patience.count() == 0) {
    services.workers.submit_always(std::move(answer));
    return;
  }
  std::make_shared<Follower>(services, std::move(call), std::move(following), std::move(answer))
      ->begin();
}

}  // namespace kubiya::tools
