// SPDX-License-Identifier: Apache-2.0
#include <cstdio>

#include <fmt/format.h>

#include "app/cli.h"
#include "app/cli_data.h"
#include "base/encoding.h"
#include "store/store.h"

namespace kubiya::app::cli {
namespace {

constexpr store::PageLimit kPage{200, 1024 * 1024};

Result<> list(const WorkflowView& command) {
  const Config config = TRY(load(command.where));
  const std::unique_ptr<store::Database> database = TRY(open_existing(config));
  store::Workflows workflows(*database);
  fmt::print("{:<40} {:>7} {:<24} {}\n", "NAME", "VERSION", "UPDATED", "DESCRIPTION");
  std::string after;
  while (true) {
    const auto page = TRY(workflows.list(command.tenant, after, kPage));
    for (const store::WorkflowRow& row : page.rows) {
      fmt::print("{:<40} {:>7} {:<24} {}\n", row.name, row.version,
                 format_time(from_unix_ms(row.updated_ms)), printable(row.description, 80));
    }
    if (!page.more) return {};
    after = page.rows.back().name;
  }
}

Result<> show(const WorkflowView& command) {
  const Config config = TRY(load(command.where));
  const std::unique_ptr<store::Database> database = TRY(open_existing(config));
  const store::WorkflowRow row = TRY(store::Workflows(*database).get(command.tenant, command.name));
  fmt::print("{}{}", row.text, row.text.ends_with('\n') ? "" : "\n");
  return {};
}

Result<> import(const WorkflowImport& command) {
  const Config config = TRY(load(command.where));
  Workbench bench = TRY(Workbench::open(config));
  // What changes there without the server's knowledge would be in nobody's audit trail.
  if (bench.server_runs()) {
    return fail(Code::conflict, "a server uses " + config.data_dir +
                                    ": call its create_workflow, or stop it first");
  }
  store::Workflows workflows(bench.database());
  const std::size_t count = TRY(import_workflows(command.directory, command.tenant, workflows,
                                                 config.workflow, SystemClock()));
  TRY_VOID(bench.record("workflows_imported",
                        {{"count", count}, {"tenant", command.tenant}, {"by", "command line"}}));
  fmt::print("{} workflows imported; names that were taken are left as they are.\n", count);
  return {};
}

int status_of(const Result<>& result) { return result ? kDone : complain(result.error()); }

}  // namespace

int workflow_list(const WorkflowView& command) { return status_of(list(command)); }
int workflow_show(const WorkflowView& command) { return status_of(show(command)); }
int workflow_import(const WorkflowImport& command) { return status_of(import(command)); }

}  // namespace kubiya::app::cli
