// SPDX-License-Identifier: Apache-2.0
//
// Reading records back: for `audit list`, for proofs, for the audit search tool. Reads
// what a running server has written so far; blocks on the disk.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "audit/files.h"
#include "audit/record.h"
#include "base/clock.h"
#include "base/result.h"

namespace kubiya::audit {

// Empty members match everything. `subject` and the others match whole values.
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

bool matches(const RecordFilter& filter, const Record& record);

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
// Calls `use` for each line in order until it returns false. Returns the bytes of an
// unfinished last line (0 when none); one in an earlier segment is Code::corrupt.
Result<std::uint64_t> for_each_line(const std::string& directory,
                                    const std::function<bool(const Line&)>& use,
                                    Files& files = real_files());

}  // namespace kubiya::audit
