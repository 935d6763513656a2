// SPDX-License-Identifier: Apache-2.0
//
// Offline checks, from the files and the public key only. Nothing here trusts the
// server, its memory or its clock.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "audit/checkpoint.h"
#include "audit/files.h"
#include "base/result.h"

namespace kubiya::audit {

// The first thing that is wrong. When records were removed or the whole chain was
// rewritten, the damage may reach from `sequence` to `last_sequence`.
struct Fault {
  std::string what;
  std::string segment;     // file name; empty when a checkpoint is at fault
  std::uint64_t line = 0;  // from 1; 0 when none
  std::optional<std::uint64_t> sequence;
  std::optional<std::uint64_t> last_sequence;
};

struct VerifyReport {
  bool ok() const { return !fault; }
  std::uint64_t records = 0;           // whole records read, up to the fault
  std::uint64_t checkpoints = 0;       // signatures and roots found good
  std::uint64_t signed_records = 0;    // covered by the last checkpoint
  std::uint64_t unsigned_records = 0;  // behind it: a running server signs them within a second
  std::uint64_t torn_bytes = 0;        // of an unfinished last line behind it
  std::string last_checkpoint;         // the note, to be kept elsewhere
  std::optional<Fault> fault;
};

// `public_key`: content of audit.pub, from a place the server cannot write. `anchored`:
// a checkpoint note kept elsewhere; without it a rollback of everything, checkpoints
// included, cannot be seen. Code::invalid for a malformed key or anchor, otherwise a report.
Result<VerifyReport> verify_directory(const std::string& directory, std::string_view public_key,
                                      std::optional<std::string_view> anchored = std::nullopt,
                                      Files& files = real_files());

// A bundle a stranger can check: every record about the run, each with its inclusion
// proof against the last checkpoint. Code::not_found when no signed record names the run.
Result<std::string> prove(const std::string& directory, std::string_view run_id);

struct ProofReport {
  std::string run_id;
  Checkpoint checkpoint;
  std::vector<std::string> records;  // lines, in order, each proven to be in the tree
};
// Code::corrupt names what does not fit.
Result<ProofReport> verify_proof(std::string_view bundle, std::string_view public_key);

}  // namespace kubiya::audit
