// SPDX-License-Identifier: Apache-2.0
//
// What run.cpp and attempt.cpp share about a step.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "engine/run.h"

namespace kubiya::engine {

// Output on its way to the log: scrubbed, not yet worth a row.
struct LogStream {
  explicit LogStream(const std::vector<Secret>& secrets) : scrubber(secrets) {}
  Scrubber scrubber;
  std::string text;
};

struct Run::Attempt {
  Attempt(int n, const std::vector<Secret>& secrets) : number(n), out(secrets), err(secrets) {}
  const int number;
  std::shared_ptr<const Variables> variables;
  LogStream out, err;
  std::string captured;  // raw stdout, bounded
  bool overflowed = false;
  Loop::Id flush_timer = 0;
  std::unique_ptr<Execution> execution;
};

struct Run::Waiting {
  store::ApprovalRow approval;
  bool durable = false;
  std::vector<std::string> approvers;  // for people
  Loop::Id expiry = 0;
};

struct Run::StepState {
  StepState(store::StepRow r, std::size_t kept_bytes)
      : row(std::move(r)), out_left(kept_bytes), err_left(kept_bytes) {}
  store::StepRow row;
  Allowance out_left, err_left;      // over all attempts
  std::optional<std::string> value;  // of the output variable, raw
  std::unique_ptr<Attempt> attempt;
  std::unique_ptr<Waiting> waiting;  // within an attempt
  bool has_place = false;
  Loop::Id retry_timer = 0;
};

}  // namespace kubiya::engine
