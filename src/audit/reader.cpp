// SPDX-License-Identifier: Apache-2.0
#include "audit/reader.h"

#include <deque>

#include <fmt/format.h>

#include "audit/files.h"
#include "audit/layout.h"
#include "base/encoding.h"

namespace kubiya::audit {
namespace {

// Records hold printable text, so a filter is brought into the same form.
bool fits(std::string_view wanted, const std::string& value) {
  return wanted.empty() || printable(wanted, kMaxLine) == value;
}

}  // namespace

bool matches(const RecordFilter& filter, const Record& record) {
  // Times of this format sort as text.
  if (filter.since && record.time < format_time(*filter.since)) return false;
  return fits(filter.tenant, record.tenant) && fits(filter.subject, record.subject) &&
         fits(filter.run_id, record.run_id) && fits(filter.operation, record.operation) &&
         fits(filter.decision, record.decision) && fits(filter.request_id, record.request_id);
}

Result<std::uint64_t> for_each_line(const std::string& directory,
                                    const std::function<bool(const Line&)>& use, Files& files) {
  const unsigned segments = TRY(count_segments(files, directory));
  for (unsigned segment = 1; segment <= segments; ++segment) {
    const std::string text = TRY(files.read(segment_path(directory, segment)));
    std::string_view rest = text;
    for (std::uint64_t number = 1; !rest.empty(); ++number) {
      const std::size_t end = rest.find('\n');
      if (end == std::string_view::npos) {
        if (segment == segments) return rest.size();
        return fail(Code::corrupt,
                    fmt::format("line {} of audit segment {} is cut off", number, segment));
      }
      if (!use({rest.substr(0, end), segment, number})) return 0;
      rest.remove_prefix(end + 1);
    }
  }
  return 0;
}

Result<std::vector<Record>> list(const std::string& directory, const RecordFilter& filter) {
  std::deque<Record> found;
  std::optional<Error> broken;
  TRY_VOID(for_each_line(directory, [&](const Line& line) {
    auto record = parse_record(line.text);
    if (!record) {
      broken = std::move(record).error();
      broken->message = fmt::format("line {} of audit segment {} is damaged: {}", line.number,
                                    line.segment, broken->message);
      return false;
    }
    if (!matches(filter, *record)) return true;
    found.push_back(std::move(*record));
    if (found.size() > filter.limit) found.pop_front();
    return true;
  }));
  if (broken) return fail(std::move(*broken));
  return std::vector<Record>(std::make_move_iterator(found.begin()),
                             std::make_move_iterator(found.end()));
}

}  // namespace kubiya::audit
