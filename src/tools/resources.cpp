// SPDX-License-Identifier: Apache-2.0
//
// Workflows and runs as resources: workflow://{name}, run://{id} and run://{id}/log.
#include <fmt/format.h>

#include "base/encoding.h"
#include "tools/families.h"
#include "tools/view.h"

namespace kubiya::tools {
namespace {

constexpr std::string_view kWorkflow = "workflow://";
constexpr std::string_view kRun = "run://";
constexpr std::string_view kLog = "/log";
constexpr std::size_t kLogBytes = 256 * 1024;
constexpr int kLogPage = 1'000;
constexpr std::size_t kCompletions = 100;

Result<ToolResult> contents(std::string_view uri, std::string_view mime, std::string text) {
  ToolResult result;
  result.content = to_json(json::value(
      json::array{json::object{{"uri", uri}, {"mimeType", mime}, {"text", std::move(text)}}}));
  return result;
}

class WorkflowResources final : public ResourceFamily {
 public:
  explicit WorkflowResources(const Services& services) : services_(services) {}

  const policy::Operation& operation() const override { return operation_; }
  bool serves(std::string_view uri) const override { return uri.starts_with(kWorkflow); }

  std::vector<std::string> templates() const override {
    return {
        R"({"uriTemplate":"workflow://{name}","name":"workflow","title":"Workflow definition","description":"The definition of a workflow, as it was written.","mimeType":"text/plain"})"};
  }

  Result<Page> list(const PrincipalPtr& principal, const std::string& from, int limit) override {
    auto rows = TRY(services_.workflows.list(principal->facts().tenant, from, limit + 1));
    Page page;
    if (rows.size() > static_cast<std::size_t>(limit)) {
      rows.pop_back();
      page.next = rows.back().name;
    }
    for (const auto& row : rows) {
      json::object entry{{"uri", std::string(kWorkflow) + row.name},
                         {"name", row.name},
                         {"mimeType", "text/plain"}};
      if (!row.description.empty()) entry["description"] = row.description;
      page.listings.push_back(to_json(entry));
    }
    return page;
  }

  void read(const Call& call, const audit::Ticket&, Done done) override {
    const std::string_view uri = *find_string(call.arguments, "uri");
    const auto row = services_.workflows.get(call.permit.principal()->facts().tenant,
                                             uri.substr(kWorkflow.size()));
    if (!row) return done(fail(row.error()));
    auto result = contents(uri, "text/plain", row->text);
    result->target = row->name;
    result->digest = row->digest;
    done(std::move(result));
  }

  Completion complete(const PrincipalPtr& principal, std::string_view,
                      const Typed& typed) override {
    return complete_workflow(services_, principal, typed.value);
  }

  Result<std::unique_ptr<Watch>> watch(const PrincipalPtr& principal, std::string_view uri,
                                       std::function<void()> changed) override {
    const std::string& tenant = principal->facts().tenant;
    TRY_VOID(services_.workflows.get(tenant, uri.substr(kWorkflow.size())));
    return services_.changes.watch(tenant, std::string(uri), std::move(changed));
  }

 private:
  const Services services_;
  const policy::Operation operation_{"get_workflow", {"read"}, policy::Effect::reads, false};
};

// "run://<id>" and whether the log is meant.
struct RunUri {
  std::string id;
  bool log = false;
};

RunUri read_run_uri(std::string_view uri) {
  std::string_view rest = uri.substr(kRun.size());
  const bool log = rest.ends_with(kLog);
  if (log) rest.remove_suffix(kLog.size());
  return {std::string(rest), log};
}

class RunWatch final : public Watch {
 public:
  explicit RunWatch(std::unique_ptr<engine::Backend::Subscription> subscription)
      : subscription_(std::move(subscription)) {}

 private:
  std::unique_ptr<engine::Backend::Subscription> subscription_;
};

class RunResources final : public ResourceFamily {
 public:
  explicit RunResources(const Services& services) : services_(services) {}

  const policy::Operation& operation() const override { return operation_; }
  bool serves(std::string_view uri) const override { return uri.starts_with(kRun); }

  std::vector<std::string> templates() const override {
    return {
        R"({"uriTemplate":"run://{id}","name":"run","title":"Run","description":"How one of your runs stands: status, steps, outputs.","mimeType":"application/json"})",
        R"({"uriTemplate":"run://{id}/log","name":"run log","title":"Log of a run","description":"What the steps of one of your runs printed.","mimeType":"text/plain"})"};
  }

  Result<Page> list(const PrincipalPtr& principal, const std::string& from, int limit) override {
    store::RunFilter filter;
    filter.tenant = principal->facts().tenant;
    filter.owner = visible_owner(principal);
    filter.limit = limit + 1;
    if (!from.empty()) {
      const auto anchor = TRY(services_.runs.get_visible(from, filter.tenant, filter.owner));
      filter.before_ms = anchor.created_ms;
      filter.before_id = anchor.id;
    }
    auto runs = TRY(services_.runs.list(filter));
    Page page;
    if (runs.size() > static_cast<std::size_t>(limit)) {
      runs.pop_back();
      page.next = runs.back().id;
    }
    for (const auto& run : runs) {
      page.listings.push_back(
          to_json(json::object{{"uri", std::string(kRun) + run.id},
                               {"name", run.id},
                               {"title", fmt::format("{}: {}", run.workflow, run.status)},
                               {"mimeType", "application/json"}}));
    }
    return page;
  }

  void read(const Call& call, const audit::Ticket&, Done done) override {
    const std::string_view uri = *find_string(call.arguments, "uri");
    done(shown(call.permit.principal(), uri));
  }

  Completion complete(const PrincipalPtr& principal, std::string_view,
                      const Typed& typed) override {
    store::RunFilter filter;
    filter.tenant = principal->facts().tenant;
    filter.owner = visible_owner(principal);
    filter.limit = 500;
    Completion found;
    const auto runs = services_.runs.list(filter);
    if (!runs) return found;
    for (const auto& run : *runs) {
      if (run.id.starts_with(typed.value) && found.values.size() < kCompletions)
        found.values.push_back(run.id);
    }
    return found;
  }

  Result<std::unique_ptr<Watch>> watch(const PrincipalPtr& principal, std::string_view uri,
                                       std::function<void()> changed) override {
    const RunUri wanted = read_run_uri(uri);
    const auto run = TRY(visible(principal, wanted.id));
    return watch_run(services_, run, wanted.log, std::move(changed));
  }

 private:
  Result<store::RunRow> visible(const PrincipalPtr& principal, const std::string& id) {
    return services_.runs.get_visible(id, principal->facts().tenant, visible_owner(principal));
  }

  Result<ToolResult> shown(const PrincipalPtr& principal, std::string_view uri) {
    const RunUri wanted = read_run_uri(uri);
    const auto run = TRY(visible(principal, wanted.id));
    ToolResult result;
    if (wanted.log) {
      std::string text = TRY(log_text(run.id));
      result = TRY(contents(uri, "text/plain", std::move(text)));
    } else {
      const auto steps = TRY(services_.runs.steps(run.id));
      result = TRY(contents(uri, "application/json", to_json(run_view(run, steps))));
    }
    result.run_id = run.id;
    return result;
  }

  // From the start, up to a bound; get_execution_logs reads on from there.
  Result<std::string> log_text(const std::string& run_id) {
    std::string text;
    std::int64_t after = 0;
    for (;;) {
      const auto rows = TRY(services_.runs.logs(run_id, std::nullopt, after, kLogPage));
      for (const auto& row : rows) {
        if (text.size() + row.text.size() > kLogBytes) {
          return text +
                 fmt::format("\n[cut here; get_execution_logs with after={} reads on]\n", after);
        }
        text += row.text;
        after = row.id;
      }
      if (rows.size() < static_cast<std::size_t>(kLogPage)) return text;
    }
  }

  const Services services_;
  const policy::Operation operation_{"get_execution", {"read"}, policy::Effect::reads, false};
};

}  // namespace

Completion complete_workflow(const Services& services, const PrincipalPtr& principal,
                             std::string_view begun) {
  Completion found;
  std::string after;
  constexpr int kPage = 500;
  for (;;) {
    const auto rows = services.workflows.list(principal->facts().tenant, after, kPage);
    if (!rows) return found;
    for (const auto& row : *rows) {
      if (!row.name.starts_with(begun)) continue;
      if (found.values.size() == kCompletions) {
        found.total = kCompletions + 1;
        return found;
      }
      found.values.push_back(row.name);
    }
    if (rows->size() < static_cast<std::size_t>(kPage)) return found;
    after = rows->back().name;
  }
}

std::unique_ptr<Watch> watch_run(const Services& services, const store::RunRow& run, bool output,
                                 std::function<void()> changed) {
  const auto status = workflow::run_status(run.status);
  if (status && workflow::is_final(*status)) return nullptr;
  return std::make_unique<RunWatch>(services.backend.watch(
      run.id, [output, changed = std::move(changed)](const engine::RunEvent& event) {
        const bool is_output = event.kind == engine::RunEvent::Kind::output;
        if (output || !is_output) changed();
      }));
}

void add_resources(Catalogue& catalogue, const Services& services) {
  catalogue.add(std::make_unique<WorkflowResources>(services));
  catalogue.add(std::make_unique<RunResources>(services));
}

}  // namespace kubiya::tools
