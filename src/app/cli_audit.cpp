// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <vector>

#include <fmt/format.h>

#include "app/cli.h"
#include "app/config_files.h"
#include "app/config_value.h"
#include "audit/reader.h"
#include "audit/verify.h"

namespace kubiya::app::cli {
namespace {

constexpr std::size_t kBundleMax = 64 * 1024 * 1024;

Result<std::string> journal_of(const AuditPlace& place) {
  if (!place.directory.empty()) return place.directory;
  return TRY(load(place.where)).audit.directory;
}

Result<std::string> public_key_of(const AuditPlace& place, const std::string& directory) {
  const std::string path = place.public_key.empty() ? directory + "/audit.pub" : place.public_key;
  return read_file(path, 4'096);
}

// Said where a check succeeded with the key that lies beside what was checked.
void warn_of_key(const AuditPlace& place) {
  if (!place.public_key.empty()) return;
  fmt::print(
      "This was checked with the audit.pub beside the journal. It does not prove that nobody "
      "replaced both: --public-key with a copy from elsewhere does.\n");
}

std::string who(const audit::Record& record) {
  if (!record.subject.empty()) return record.subject;
  if (!record.claimed_subject.empty())
    return "(claimed, unverified: " + record.claimed_subject + ")";
  return "-";
}

// What was decided, or what became of it.
std::string verdict(const audit::Record& record) {
  std::string text;
  for (const std::string* part : {&record.decision, &record.outcome, &record.event}) {
    if (!part->empty()) text += (text.empty() ? "" : " ") + *part;
  }
  if (!record.reason.empty()) text += " (" + record.reason + ")";
  if (record.count) text += " ×" + std::to_string(*record.count);
  return text;
}

constexpr std::string_view kRow = "{:>8} {:<24} {:<12} {:<22} {:<18} {:<14} {}{}\n";

void print_header() {
  fmt::print(kRow, "RECORD", "TIME", "KIND", "WHO", "OPERATION", "TARGET", "VERDICT", "");
}

void print_row(const audit::Record& record) {
  // Of an event, what it is about; of a call, its run.
  const std::string about = record.run_id.empty() ? record.fields : "run " + record.run_id;
  fmt::print(kRow, record.sequence, record.time, record.kind, who(record),
             record.operation.empty() ? "-" : record.operation,
             record.target.empty() ? "-" : record.target, verdict(record),
             about.empty() ? "" : " " + about);
}

Result<> list(const AuditList& command) {
  audit::RecordFilter filter;
  if (!command.decision.empty() && command.decision != "allowed" && command.decision != "refused") {
    return fail(Code::invalid, "--decision: allowed: allowed, refused");
  }
  if (!command.since.empty()) {
    const Result<std::chrono::milliseconds> back =
        parse_duration(command.since, {1, 36'600ull * 86'400'000});
    if (!back) return fail(Code::invalid, "--since: allowed: " + back.error().message);
    filter.since = SystemClock().wall() - *back;
  }
  filter.tenant = command.tenant;
  filter.subject = command.subject;
  filter.run_id = command.run_id;
  filter.operation = command.operation;
  filter.decision = command.decision;
  filter.request_id = command.request_id;
  filter.limit = command.limit;
  const std::string directory = TRY(journal_of(command.place));
  const std::vector<audit::Record> records = TRY(audit::list(directory, filter));
  if (!command.json) print_header();
  for (const audit::Record& record : records) {
    if (command.json) {
      fmt::print("{}\n", audit::record_line(record.sequence, record.batch, record.previous,
                                            audit::record_body(record)));
    } else {
      print_row(record);
    }
  }
  return {};
}

void print_fault(const audit::Fault& fault) {
  std::string place;
  if (fault.sequence) place += " at record " + std::to_string(*fault.sequence);
  if (fault.last_sequence && fault.last_sequence != fault.sequence) {
    place += " to " + std::to_string(*fault.last_sequence);
  }
  if (!fault.segment.empty()) place += ", " + fault.segment;
  if (fault.line != 0) place += " line " + std::to_string(fault.line);
  fmt::print("The journal is NOT whole{}: {}\n", place, fault.what);
}

Result<int> verify(const AuditVerify& command) {
  const std::string directory = TRY(journal_of(command.place));
  const std::string key = TRY(public_key_of(command.place, directory));
  std::optional<std::string> anchor;
  if (!command.anchor.empty()) anchor = TRY(read_file(command.anchor, 64 * 1024));
  const audit::VerifyReport report = TRY(audit::verify_directory(
      directory, key, anchor ? std::optional<std::string_view>(*anchor) : std::nullopt));
  if (report.fault) {
    print_fault(*report.fault);
    return kFailed;
  }
  fmt::print("The journal is whole: {} records, {} checkpoints, {} records signed, {} not yet.\n",
             report.records, report.checkpoints, report.signed_records, report.unsigned_records);
  if (report.torn_bytes != 0) {
    fmt::print("An unfinished last line of {} bytes lies behind them.\n", report.torn_bytes);
  }
  warn_of_key(command.place);
  fmt::print("Keep this checkpoint elsewhere; --anchor compares with it later:\n\n{}",
             report.last_checkpoint);
  return kDone;
}

Result<> check_bundle(const AuditProve& command) {
  const std::string bundle = TRY(read_file(command.check, kBundleMax));
  std::string directory;
  if (command.place.public_key.empty()) directory = TRY(journal_of(command.place));
  const std::string key = TRY(public_key_of(command.place, directory));
  const audit::ProofReport report = TRY(audit::verify_proof(bundle, key));
  fmt::print("Proven: {} records of run {} are in the journal of size {} signed by {}.\n",
             report.records.size(), report.run_id, report.checkpoint.size,
             report.checkpoint.origin);
  warn_of_key(command.place);
  for (const std::string& line : report.records) fmt::print("{}\n", line);
  return {};
}

Result<> prove(const AuditProve& command) {
  if (!command.check.empty()) return check_bundle(command);
  if (command.run_id.empty()) return fail(Code::invalid, "give --run ID or --check FILE");
  const std::string directory = TRY(journal_of(command.place));
  fmt::print("{}", TRY(audit::prove(directory, command.run_id)));
  return {};
}

}  // namespace

int audit_list(const AuditList& command) {
  const Result<> result = list(command);
  return result ? kDone : complain(result.error());
}

int audit_verify(const AuditVerify& command) {
  const Result<int> result = verify(command);
  return result ? *result : complain(result.error());
}

int audit_prove(const AuditProve& command) {
  const Result<> result = prove(command);
  return result ? kDone : complain(result.error());
}

}  // namespace kubiya::app::cli
