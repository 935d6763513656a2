// SPDX-License-Identifier: Apache-2.0
//
// What executes runs. Starting and stopping demand a permit and a durable audit
// ticket, so an effect without evidence does not compile.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "audit/journal.h"
#include "base/result.h"
#include "base/trace_context.h"
#include "policy/policy.h"
#include "store/records.h"
#include "workflow/definition.h"

namespace kubiya::engine {

// Gets a token for a downstream service on behalf of whoever runs a workflow (RFC 8693). `done`
// runs on any thread, inside the call too; its errors have messages for that person.
using TokenSource = std::function<void(const Principal& who, const std::string& workflow,
                                       const workflow::TokenRequest& wanted,
                                       std::function<void(Result<Secret>)> done)>;

struct StartRun {
  store::WorkflowRow workflow;      // the row whose text runs
  workflow::Definition definition;  // parsed from it
  workflow::Pairs params;           // bound
  std::optional<std::string> idempotency_key;
  std::string idempotency_digest;  // of the call, to refuse another under the same key
  std::shared_ptr<const TraceContext> trace = {};  // the run belongs to; null: none
};

struct Started {
  std::string run_id;
  bool existed = false;  // answered by idempotency key: nothing new was started
};

// What somebody says to an approval that a run waits for.
struct Vote {
  std::string approval_id;
  std::string run_id;
  std::string digest;  // of what they saw: Code::conflict when the run waits for another
  bool approves = false;
  std::string comment;
};

// Something a watcher of a run is told. Events of one run come in order.
struct RunEvent {
  // step_waiting: for an approval; once more with each vote that does not settle it.
  enum class Kind { run_started, step_started, step_waiting, step_finished, output, run_finished };
  Kind kind = Kind::run_started;
  std::string run_id;
  std::string step;    // name, for step events
  std::string status;  // of the step or run
  std::string text;    // output chunk, reason, or what is to be approved
  int steps_done = 0;
  int steps_total = 0;
};

struct PersonName {
  std::string issuer, subject;
  auto operator<=>(const PersonName&) const = default;
};

class Backend {
 public:
  using Done = std::function<void(Result<Started>)>;
  using Watcher = std::function<void(const RunEvent&)>;
  // Ends the subscription when destroyed.
  class Subscription {
   public:
    virtual ~Subscription() = default;
  };

  virtual ~Backend() = default;

  // Any thread. `done` runs on the engine's or store's thread once the run is durable (queued).
  virtual void start(const policy::Permit& permit, const audit::DurableTicket& ticket,
                     StartRun request, Done done) = 0;
  // Asks a run to stop. Code::not_found when it is not active here (already final).
  virtual Result<> cancel(const policy::Permit& permit, const audit::DurableTicket& ticket,
                          const std::string& run_id, const std::string& reason) = 0;
  // All who are cut off now, in whichever tenant; of each the journal has its own record. Their
  // runs are stopped, and none of theirs begins, also of a call that was permitted just before.
  virtual void cut_off(std::vector<PersonName> people) = 0;
  // Decides an approval, once, as the permit's principal. `done` runs on the engine's thread once
  // the vote is durable, with the approval's status after it (workflow::ApprovalStatus).
  // Code::not_found for who is not named in the approval, Code::forbidden for a requester where
  // somebody else is asked for, Code::conflict when it is decided, expired, of another digest, or
  // has this person's vote already.
  using Decided = std::function<void(Result<std::string>)>;
  virtual void decide(const policy::Permit& permit, const audit::DurableTicket& ticket, Vote vote,
                      Decided done) = 0;
  // `watcher` runs on the engine's thread and must not block. A run that is final already is
  // reported at once as run_finished.
  virtual std::unique_ptr<Subscription> watch(const std::string& run_id, Watcher watcher) = 0;
  virtual std::size_t active_runs() const = 0;
  // Stops accepting runs; gives running ones `grace`, then cancels them and records it.
  virtual void drain(std::chrono::milliseconds grace) = 0;
  // Ends what drain() left, and waits for the threads: after it no `done` and no watcher is called,
  // so whatever they refer to may end. Once; later starts are refused.
  virtual void close() = 0;
};

}  // namespace kubiya::engine
