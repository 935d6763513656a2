// SPDX-License-Identifier: Apache-2.0
//
// Reading records back: for `audit list`, for proofs, for the audit search tool. Reads
// what a running server has written so far; blocks on the disk.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "audit/files.h"
#include "audit/record.h"
#include "base/clock.h"
#include "base/result.h"

namespace kubiya::audit {

// Empty members match everything. `subject` and the others match whole values; `run_id` matches
// what RunRecords does.
struct RecordFilter {
  std::optional<Wall> since;
  std::string tenant;
  std::string subject;
  std::string run_id;
  std::string operation;
  std::string decision;
  std::string request_id;
  std::size_t limit = 100;  // the last so many
};

// The last `limit` matching records, oldest first (by sequence, whatever the clock did).
// Code::corrupt names the first line that is not a record; an unfinished last line is
// left out.
Result<std::vector<Record>> list(const std::string& directory, const RecordFilter& filter);

// One whole line of a segment, as it lies on disk.
struct Line {
  std::string_view text;  // without newline
  unsigned segment = 1;
  std::uint64_t number = 1;  // in the segment
};
// Which records are about a run: those of its tenant that name it, and those of the requests that
// do, as an intent is written before its run has an id. What somebody of another tenant asked about
// the same id is none of them.
class RunRecords {
 public:
  static Result<RunRecords> find(const std::string& directory, std::string_view run_id);
  bool about(const Record& record) const;

 private:
  std::string run_id_;
  std::string tenant_;
  bool known_ = false;
  std::set<std::string> requests_;
};

// Calls `use` for each line in order until it returns false. Returns the bytes of an
// unfinished last line (0 when none); one in an earlier segment is Code::corrupt.
Result<std::uint64_t> for_each_line(const std::string& directory,
                                    const std::function<bool(const Line&)>& use,
                                    Files& files = real_files());

}  // namespace kubiya::audit
