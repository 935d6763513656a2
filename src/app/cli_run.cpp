// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdio>

#include <fmt/format.h>

#include "app/cli.h"
#include "app/cli_data.h"
#include "base/encoding.h"
#include "store/store.h"
#include "tools/view.h"

namespace kubiya::app::cli {
namespace {

constexpr store::PageLimit kLogPage{1'000, 1024 * 1024};

Result<> list(const RunView& command) {
  const Config config = TRY(load(command.where));
  const std::unique_ptr<store::Database> database = TRY(open_existing(config));
  store::RunFilter filter;
  filter.tenant = command.tenant;
  if (!command.workflow.empty()) filter.workflow = command.workflow;
  if (!command.status.empty()) filter.status = command.status;
  filter.limit.rows = command.limit;
  fmt::print("{:<36} {:<16} {:<24} {:<20} {}\n", "ID", "STATUS", "CREATED", "WHO", "WORKFLOW");
  for (const store::RunRow& run : TRY(store::Runs(*database).list(filter)).rows) {
    fmt::print("{:<36} {:<16} {:<24} {:<20} {}\n", run.id, run.status,
               format_time(from_unix_ms(run.created_ms)), printable(run.subject, 40), run.workflow);
  }
  return {};
}

// Output of a step is its author's: shown as text, never as terminal control codes.
void print_log(const store::LogRow& row) {
  std::string_view rest = row.text;
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    fmt::print("  {} {} | {}\n", row.step, row.stream, printable(rest.substr(0, end), 4'096));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
}

Result<> show(const RunView& command) {
  const Config config = TRY(load(command.where));
  const std::unique_ptr<store::Database> database = TRY(open_existing(config));
  store::Runs runs(*database);
  const store::RunRow run = TRY(runs.get_visible(command.id, command.tenant, std::nullopt));
  const std::vector<store::StepRow> steps = TRY(runs.steps(run.id));
  fmt::print("{}\nby {} of {}\n", tools::run_sentence(run, steps), printable(run.subject, 128),
             printable(run.issuer, 256));
  store::LogPage page;
  do {
    page = TRY(runs.logs(run.id, std::nullopt, page.next, kLogPage));
    for (const store::LogRow& row : page.rows) print_log(row);
  } while (page.more);
  return {};
}

}  // namespace

int run_list(const RunView& command) {
  const Result<> result = list(command);
  return result ? kDone : complain(result.error());
}

int run_show(const RunView& command) {
  const Result<> result = show(command);
  return result ? kDone : complain(result.error());
}

}  // namespace kubiya::app::cli
