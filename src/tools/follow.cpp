// SPDX-License-Identifier: Apache-2.0
#include "tools/follow.h"

#include <algorithm>
#include <mutex>

#include <fmt/format.h>

namespace kubiya::tools {
namespace {

using engine::RunEvent;

class Follower : public std::enable_shared_from_this<Follower> {
 public:
  Follower(const Services& services, std::shared_ptr<const Call> call, std::function<void()> answer)
      : services_(services), call_(std::move(call)), answer_(std::move(answer)) {}

  void begin(const std::string& run_id, std::chrono::seconds patience) {
    timer_ = services_.timers.add(services_.clock.mono() + patience,
                                  [self = shared_from_this()] { self->end(); });
    auto subscription = services_.backend.watch(
        run_id, [self = shared_from_this()](const RunEvent& event) { self->see(event); });
    const std::lock_guard lock(mutex_);
    // The run may have ended inside watch(); then nothing is left to hold.
    if (!ended_) subscription_ = std::move(subscription);
  }

 private:
  void see(const RunEvent& event) {
    report(event);
    if (event.kind == RunEvent::Kind::run_finished) {
      services_.timers.cancel(timer_);
      end();
    }
  }

  // `progress` must grow from one notification to the next, retries included.
  void report(const RunEvent& event) {
    if (!call_->progress || event.kind == RunEvent::Kind::output) return;
    double value = event.steps_done;
    std::string message;
    switch (event.kind) {
      case RunEvent::Kind::run_started:
        message = "started";
        break;
      case RunEvent::Kind::step_started:
        value += 0.5;
        message = fmt::format("{} started", event.step);
        break;
      case RunEvent::Kind::step_finished:
        message = fmt::format("{} {}", event.step, event.status);
        break;
      case RunEvent::Kind::run_finished:
        message = fmt::format("workflow {}", event.status);
        break;
      case RunEvent::Kind::output:
        return;
    }
    value = std::max(value, last_ + 0.001);
    last_ = value;
    call_->progress(value, std::max<double>(event.steps_total, value), message);
  }

  void end() {
    std::unique_ptr<engine::Backend::Subscription> subscription;
    {
      const std::lock_guard lock(mutex_);
      if (std::exchange(ended_, true)) return;
      subscription = std::move(subscription_);
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
  const std::function<void()> answer_;
  std::uint64_t timer_ = 0;
  double last_ = -1;
  std::mutex mutex_;
  bool ended_ = false;
  std::unique_ptr<engine::Backend::Subscription> subscription_;
};

}  // namespace

void follow_run(const Services& services, std::shared_ptr<const Call> call, std::string run_id,
                std::chrono::seconds patience, std::function<void()> answer) {
  if (patience.count() == 0) {
    services.workers.submit_always(std::move(answer));
    return;
  }
  std::make_shared<Follower>(services, std::move(call), std::move(answer))->begin(run_id, patience);
}

}  // namespace kubiya::tools
