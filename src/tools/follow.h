// SPDX-License-Identifier: Apache-2.0
//
// Waits for a run on behalf of a call: passes progress on, answers when the run ends
// or when patience does. The run itself goes on whatever happens to the call.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "tools/families.h"
#include "tools/registry.h"

namespace kubiya::tools {

// The `progress` of a run's events: grows from one to the next and is `steps_total` at the end.
class Progress {
 public:
  // Nothing when the event cannot be told apart from the one before.
  std::optional<double> next(const engine::RunEvent& event);

 private:
  double last_ = -1;
};

struct Following {
  std::string run_id;
  std::chrono::seconds patience;  // zero: the answer at once
  // Whether to answer although the run waits, asked whenever one of its steps begins to; on a
  // worker thread. Empty: no.
  std::function<bool()> enough = {};
};
// `answer` runs once, on a worker thread.
void follow_run(const Services& services, std::shared_ptr<const Call> call, Following following,
                std::function<void()> answer);

}  // namespace kubiya::tools
