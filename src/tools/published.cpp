// SPDX-License-Identifier: Apache-2.0
#include "tools/published.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/encoding.h"
#include "base/log.h"
#include "tools/run_page.h"

namespace kubiya::tools {
namespace {

std::string tool_name(const workflow::Definition& definition) {
  const std::string& name = definition.publish->tool;
  return name.empty() ? definition.name : name;
}

// The call as execute_workflow takes it.
std::shared_ptr<const Call> as_execution(const Call& call, const std::string& workflow) {
  auto inner = std::make_shared<Call>(call);
  inner->arguments = {{"name", workflow}, {"params", call.arguments}};
  return inner;
}

bool same_tools(const std::map<std::string, std::shared_ptr<const Tool>, std::less<>>& a,
                const std::map<std::string, std::shared_ptr<const Tool>, std::less<>>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const auto& x, const auto& y) {
    return x.first == y.first && x.second->listing() == y.second->listing() &&
           x.second->operation().scopes == y.second->operation().scopes;
  });
}

}  // namespace

Published::Published(const Services& services, const Registry& own, Run run)
    : services_(services), own_(own), run_(std::move(run)) {}

std::shared_ptr<const Tool> Published::find(std::string_view tenant, std::string_view name) {
  const std::lock_guard lock(mutex_);
  const auto tools = by_tenant_.find(tenant);
  if (tools == by_tenant_.end()) return nullptr;
  const auto at = tools->second.find(name);
  return at == tools->second.end() ? nullptr : at->second;
}

std::vector<std::shared_ptr<const Tool>> Published::list(std::string_view tenant) {
  std::vector<std::shared_ptr<const Tool>> found;
  const std::lock_guard lock(mutex_);
  const auto tools = by_tenant_.find(tenant);
  if (tools == by_tenant_.end()) return found;
  for (const auto& [name, tool] : tools->second) found.push_back(tool);
  return found;
}

const policy::Operation& Published::operation(const std::vector<std::string>& scopes) {
  const Scopes all = Scopes(scopes).unite({"execute"});
  const std::lock_guard lock(mutex_);
  for (const auto& known : operations_) {
    if (known.scopes == all) return known;
  }
  return operations_.emplace_back(
      policy::Operation{"execute_workflow", all, policy::Effect::mutates, true});
}

Result<std::shared_ptr<const Tool>> Published::make(const workflow::Definition& definition) {
  const workflow::Publication& publication = *definition.publish;
  ToolSpec spec;
  spec.shared_operation = &operation(publication.scopes);
  spec.operation = *spec.shared_operation;
  spec.name = tool_name(definition);
  spec.title = publication.title.empty() ? definition.name : publication.title;
  spec.description = definition.description.empty()
                         ? fmt::format("Runs the workflow {}.", definition.name)
                         : definition.description;
  spec.input_schema = to_json(workflow::params_schema(definition));
  spec.output_schema = execution_schema();
  spec.meta = shown_on_run_page();
  spec.annotations = {.destructive = publication.destructive,
                      .idempotent = publication.idempotent,
                      .open_world = true};
  spec.read_only = publication.read_only;
  spec.target = definition.name;
  spec.wraps_params = true;
  spec.decides_again = true;
  spec.asks_for_missing = true;
  return Registry::make(
      std::move(spec),
      Tool::MutateHandler(
          [services = services_, run = run_, workflow = definition.name](
              std::shared_ptr<const Call> call, const audit::DurableTicket& ticket, Done done) {
            run(services, as_execution(*call, workflow), ticket, done);
          }));
}

Published::Tools Published::tools_of(const std::vector<store::WorkflowRow>& rows) {
  Tools tools;
  for (const auto& row : rows) {
    const auto parsed = workflow::parse(row.text, services_.workflow_limits, row.name);
    if (!parsed.definition || !parsed.definition->publish) continue;
    const std::string name = tool_name(*parsed.definition);
    const bool taken = own_.find(name) != nullptr || tools.contains(name);
    const auto tool = taken ? fail(Code::conflict, "the name is taken") : make(*parsed.definition);
    if (tool) {
      tools.emplace(name, *tool);
    } else {
      log::warn("a published workflow is no tool",
                {{"tenant", row.tenant}, {"workflow", row.name}, {"why", tool.error().message}});
    }
  }
  return tools;
}

Result<> Published::refresh() {
  std::map<std::string, std::vector<store::WorkflowRow>> by_tenant;
  for (auto& row : TRY(services_.workflows.mentioning("publish", std::nullopt))) {
    by_tenant[row.tenant].push_back(std::move(row));
  }
  for (const auto& [tenant, rows] : by_tenant) {
    Tools tools = tools_of(rows);
    const std::lock_guard lock(mutex_);
    by_tenant_[tenant] = std::move(tools);
  }
  return {};
}

void Published::refresh(const std::string& tenant) {
  const auto rows = services_.workflows.mentioning("publish", tenant);
  if (!rows) {
    log::error("the published workflows could not be read", {{"detail", rows.error().detail}});
    return;
  }
  Tools tools = tools_of(*rows);
  {
    const std::lock_guard lock(mutex_);
    Tools& now = by_tenant_[tenant];
    if (same_tools(now, tools)) return;
    now = std::move(tools);
  }
  services_.changes.changed(Changes::List::tools, tenant);
}

Result<> Published::check(const std::string& tenant, const workflow::Definition& definition) {
  if (!definition.publish) return {};
  const std::string name = tool_name(definition);
  const auto taken = [&](std::string_view by) {
    return fail(Code::conflict,
                fmt::format("publish.tool: {} is the name of {} already", printable(name), by));
  };
  if (own_.find(name) != nullptr) return taken("a tool of this server");
  if (const auto other = find(tenant, name); other && other->spec().target != definition.name) {
    return taken("the workflow " + other->spec().target);
  }
  TRY_VOID(make(definition));
  return {};
}

}  // namespace kubiya::tools
