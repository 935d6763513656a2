// SPDX-License-Identifier: Apache-2.0
#include "audit/reader.h"

#include <deque>
#include <map>

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

bool matches(const RecordFilter& filter, const Record& record) {
  // Times of this format sort as text.
  if (filter.since && record.time < format_time(*filter.since)) return false;
  return fits(filter.tenant, record.tenant) && fits(filter.subject, record.subject) &&
         fits(filter.operation, record.operation) && fits(filter.decision, record.decision) &&
         fits(filter.request_id, record.request_id);
}

}  // namespace

Result<RunRecords> RunRecords::find(const std::string& directory, std::string_view run_id) {
  RunRecords found;
  found.run_id_ = printable(run_id, kMaxLine);
  // Who only asked about the id may have asked before the run's own records were written.
  std::map<std::string, std::set<std::string>> by_tenant;
  TRY_VOID(for_each_line(directory, [&](const Line& line) {
    const auto record = parse_record(line.text);
    if (!record || (record->run_id != found.run_id_ && record->target != found.run_id_))
      return true;
    if (!found.known_ && record->run_id == found.run_id_) {
      found.known_ = true;
      found.tenant_ = record->tenant;
    }
    if (!record->request_id.empty()) by_tenant[record->tenant].insert(record->request_id);
    return true;
  }));
  found.requests_ = std::move(by_tenant[found.tenant_]);
  return found;
}

bool RunRecords::about(const Record& record) const {
  if (!known_ || record.tenant != tenant_) return false;
  return record.run_id == run_id_ || record.target == run_id_ ||
         requests_.contains(record.request_id);
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
  std::optional<RunRecords> run;
  if (!filter.run_id.empty()) run = TRY(RunRecords::find(directory, filter.run_id));
  TRY_VOID(for_each_line(directory, [&](const Line& line) {
    auto record = parse_record(line.text);
    if (!record) {
      broken = std::move(record).error();
      broken->message = fmt::format("line {} of audit segment {} is damaged: {}", line.number,
                                    line.segment, broken->message);
      return false;
    }
    if (!matches(filter, *record) || (run && !run->about(*record))) return true;
    found.push_back(std::move(*record));
    if (found.size() > filter.limit) found.pop_front();
    return true;
  }));
  if (broken) return fail(std::move(*broken));
  return std::vector<Record>(std::make_move_iterator(found.begin()),
                             std::make_move_iterator(found.end()));
}

}  // namespace kubiya::audit
