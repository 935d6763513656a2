// SPDX-License-Identifier: Apache-2.0
//
// The audit journal: append-only segments of one JSON record a line, leaves of an
// RFC 6962 Merkle tree, closed by signed checkpoints (C2SP tlog-checkpoint). One
// thread writes; concurrent intents share one fdatasync. Bytes: docs/audit-format.md.
//
// A mutating operation runs only with a DurableTicket, which exists only once its
// intent is on disk. Reads get a Ticket at once. When the disk refuses, begin()
// fails with Code::unavailable and nothing happens; after a failed sync the journal
// stays closed for mutations until restart (an fsync error is never retried). It also refuses
// them while the oldest unsigned record waits for its checkpoint longer than ten times
// `checkpoint_every`: whoever cuts off unsigned records leaves no trace.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/json.h"
#include "base/principal.h"
#include "base/result.h"
#include "base/secret.h"
#include "policy/policy.h"

namespace kubiya::audit {

// What is known of a call before it happens. The views are read during the call only.
struct Intent {
  std::string_view request_id;
  std::string_view peer;
  std::string_view era;                     // "2026-07-28", "2025-11-25", "cli"
  std::string target;                       // workflow name, run id, …; may be empty
  const json::object* arguments = nullptr;  // kept only as a keyed digest
};

// Proof that an intent was handed to the journal.
class Ticket {
 public:
  std::uint64_t sequence() const { return sequence_; }
  const std::string& request_id() const { return request_id_; }

 protected:
  friend class Journal;
  friend class JournalImpl;
  Ticket() = default;
  std::uint64_t sequence_ = 0;  // of the intent record; 0 for a read (not waited for)
  std::string request_id_;
  std::string operation_;
  std::string target_;
  std::string peer_;
  std::string era_;
  std::string args_;
  PrincipalPtr principal_;
  Mono begun_{};
  // Of a read that will only be counted: then the texts above are empty, request_id()
  // included, and nothing was allocated.
  const std::string* counted_operation_ = nullptr;
};

// Proof that the intent is on disk.
class DurableTicket : public Ticket {
 private:
  friend class Journal;
  friend class JournalImpl;
  DurableTicket() = default;
};

struct Outcome {
  std::optional<Code> code;  // of an error; a call that did its work and ended badly has none
  bool ok = false;
  std::string reason;       // machine word: "done", "unknown_workflow", …
  std::string run_id;       // when there is one
  std::string target;       // overrides the intent's when not empty
  std::string digest = {};  // SHA-256 of the definition stored or run, hex; when there is one
};

// A refusal before there was a principal or a permit.
struct RefusedCall {
  std::string request_id;
  std::string peer;
  std::string era;
  std::string operation;  // when known; of a closed list, as calls are counted by it
  std::string target;
  std::optional<json::object> arguments;  // kept only as a keyed digest
  PrincipalPtr principal;                 // null when nobody was verified
  std::string claimed_issuer;             // unverified, escaped; for the reader only
  std::string claimed_subject;            // likewise
  std::string reason;                     // machine word: "token_expired", "insufficient_scope", …
  std::string detail;
  int status = 0;
};

struct JournalOptions {
  std::string directory;
  std::string origin = "kubiya-mcp";  // checkpoint origin line
  std::chrono::milliseconds checkpoint_every{1'000};
  std::uint64_t checkpoint_records = 1'000;
  std::uint64_t segment_bytes = 64ull * 1024 * 1024;
  std::chrono::milliseconds begin_timeout{2'000};
  // Reads and refusals are written one by one up to this rate; beyond it, equal ones
  // (same principal, operation, reason and source) share a record with an exact count.
  unsigned detailed_per_second = 200;
  int loops = 1;  // event loops that will note reads
};

class Journal {
 public:
  using Begun = std::function<void(Result<DurableTicket>)>;

  // Opens or creates the directory: recovers a torn tail (and says so in a record),
  // re-reads the tree state, checks the last checkpoint. Keys live in the directory:
  // `audit.key` (Ed25519, 0600), `audit.pub`, `digest.key` (keys the argument digests).
  static Result<std::unique_ptr<Journal>> open(JournalOptions options, const Clock& clock);
  virtual ~Journal() = default;

  // Any thread. `begun` runs on the journal's thread, never inside the call.
  virtual void begin(const policy::Permit& permit, const Intent& intent, Begun begun) = 0;
  // Loop `loop`'s thread only (or loop = -1 from any other thread). Costs no lock on a loop.
  virtual Ticket note(const policy::Permit& permit, const Intent& intent, int loop) = 0;
  virtual void refused(const RefusedCall& call, int loop) = 0;
  // The end of a call. For a DurableTicket the outcome is a record of its own, and `recorded` runs
  // on the journal's thread once it is on disk: only then may the caller be answered. When the disk
  // refuses, `recorded` gets the error in time and the record is kept to be written later. Any
  // thread.
  using Recorded = std::function<void(Result<>)>;
  virtual void finish(const DurableTicket& ticket, const Outcome& outcome, Recorded recorded) = 0;
  virtual void finish(const Ticket& ticket, const Outcome& outcome, int loop) = 0;
  // The end of a run; written as "run_finished". `recorded` as for finish().
  struct RunEnd {
    std::string run_id, workflow, tenant, issuer, subject, key_fingerprint, request_id, status,
        detail;
    std::string digest = {};  // of the definition that ran
  };
  virtual void run_finished(const RunEnd& end, Recorded recorded) = 0;
  // Free-form events of the server itself: started, recovered, stopping, key_created ….
  virtual void event(std::string_view name, const json::object& fields) = 0;
  // The same for one that something waits for: it is never dropped, and `recorded` runs on the
  // journal's thread once it is on disk, however long the disk refuses. An error means that the
  // journal ended first. Any thread; does not block.
  virtual void durable_event(std::string_view name, const json::object& fields,
                             Recorded recorded) = 0;
  // Called by each loop's sweep a few times a second: hands over what it noted, and what it counted
  // once a second.
  virtual void flush_loop(int loop) = 0;
  // Waits until everything handed in is on disk and a checkpoint covers it.
  virtual Result<> sync() = 0;
  virtual bool healthy() const = 0;
  // What is wrong, for operators and without paths; empty when nothing is. A journal that fails to
  // sign is healthy until it refuses mutations, and has a problem before. Any thread.
  virtual std::string problem() const = 0;
  virtual std::uint64_t size() const = 0;  // records
};

}  // namespace kubiya::audit
