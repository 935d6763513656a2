// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "tools/families.h"
#include "tools/published.h"
#include "tools/spec.h"
#include "tools/view.h"
#include "tools/workflow_text.h"

namespace kubiya::tools {
namespace {

using policy::Effect;

constexpr std::string_view kName =
    R"("name":{"type":"string","pattern":"^[A-Za-z0-9_.-]{1,40}$","description":"Name of the workflow"})";
constexpr std::string_view kDefinition =
    R"("definition":{"type":["string","object"],"description":"The workflow in Kubiya's format: YAML or JSON text, or the JSON object itself"})";
constexpr std::string_view kSummary =
    R"("name":{"type":"string"},"description":{"type":"string"},"version":{"type":"integer"},)"
    R"("digest":{"type":"string","description":"SHA-256 of the definition"},"updated_at":{"type":["string","null"]})";
constexpr std::string_view kSummaryRequired = R"("name","description","version","digest")";

const std::string& tenant_of(const Call& call) { return call.permit.principal()->facts().tenant; }

std::string_view name_of(const Call& call) { return *find_string(call.arguments, "name"); }

Error unknown_workflow(Error error, std::string_view name) {
  if (error.code == Code::not_found) {
    error.message =
        fmt::format("There is no workflow named {}; list_workflows shows what there is", name);
  }
  return error;
}

// What create and update have in common: the arguments as a row, or what is wrong with them.
Result<store::WorkflowRow> row_from(const Call& call, const Services& services) {
  auto row = TRY(checked_workflow(definition_text(call.arguments),
                                  find_string(call.arguments, "name"), services.workflow_limits));
  const auto& facts = call.permit.principal()->facts();
  const auto parsed = workflow::parse(row.text, services.workflow_limits, row.name);
  if (parsed.definition) TRY_VOID(services.published->check(facts.tenant, *parsed.definition));
  row.tenant = facts.tenant;
  row.created_by = facts.issuer + " " + facts.subject;
  row.created_ms = row.updated_ms = unix_ms(services.clock.wall());
  return row;
}

ToolResult stored(const store::WorkflowRow& row, std::string_view what) {
  ToolResult result;
  result.structured = to_json(workflow_summary(row));
  result.text = fmt::format("Workflow {} {} (version {}).", row.name, what, row.version);
  result.target = row.name;
  result.digest = row.digest;
  return result;
}

Result<ToolResult> list(const Call& call, const Services& services) {
  const auto limit = find_int(call.arguments, "limit").value_or(100);
  const auto after = find_string(call.arguments, "after").value_or("");
  const auto [rows, more] = TRY(services.workflows.list(tenant_of(call), after, page_of(limit)));
  ToolResult result;
  json::object out{{"truncated", more}};
  if (more) out["next"] = rows.back().name;
  json::array workflows;
  result.text =
      rows.empty() ? "There are no workflows yet." : fmt::format("{} workflows:", rows.size());
  for (const auto& row : rows) {
    workflows.push_back(workflow_summary(row));
    result.text += fmt::format("\n- {}: {}", row.name, row.description);
  }
  if (more) result.text += "\nThere are more: call again with `after` = `next` of this answer.";
  out["workflows"] = std::move(workflows);
  result.structured = to_json(out);
  return result;
}

Result<ToolResult> get(const Call& call, const Services& services) {
  auto row = services.workflows.get(tenant_of(call), name_of(call));
  if (!row) return fail(unknown_workflow(row.error(), name_of(call)));
  json::object out = workflow_summary(*row);
  out["definition"] = row->text;
  out["created_by"] = row->created_by;
  out["created_at"] = time_value(row->created_ms);
  const auto parsed = workflow::parse(row->text, services.workflow_limits, row->name);
  if (parsed.definition) out["params_schema"] = workflow::params_schema(*parsed.definition);
  ToolResult result;
  result.structured = to_json(out);
  result.text = row->text;
  return result;
}

Result<ToolResult> validate(const Call& call, const Services& services) {
  const auto parsed = workflow::parse(definition_text(call.arguments), services.workflow_limits,
                                      find_string(call.arguments, "name").value_or(""));
  ToolResult result;
  json::array problems;
  for (const auto& problem : parsed.problems) {
    problems.push_back({{"field", problem.field}, {"message", problem.message}});
  }
  json::object out{{"valid", parsed.definition.has_value()}, {"problems", std::move(problems)}};
  if (parsed.definition) {
    out["name"] = parsed.definition->name;
    out["steps"] = parsed.definition->steps.size();
    out["params_schema"] = workflow::params_schema(*parsed.definition);
    result.text = fmt::format("The definition of {} is valid ({} steps).", parsed.definition->name,
                              parsed.definition->steps.size());
  } else {
    result.text = "The definition has problems: " + workflow::describe(parsed.problems);
  }
  result.structured = to_json(out);
  return result;
}

Result<ToolResult> create(const Call& call, const Services& services) {
  const auto row = TRY(row_from(call, services));
  if (auto refused = refused_now(services.policy, call, row.name, call.arguments)) return *refused;
  const auto created = services.workflows.create(row);
  if (!created && created.error().code == Code::conflict) {
    return fail(Code::conflict,
                fmt::format("There is a workflow named {} already: use update_workflow", row.name));
  }
  TRY_VOID(created);
  services.changes.changed(Changes::List::resources, row.tenant);
  services.published->refresh(row.tenant);
  return stored(row, "created");
}

Result<ToolResult> update(const Call& call, const Services& services) {
  const auto row = TRY(row_from(call, services));
  if (auto refused = refused_now(services.policy, call, row.name, call.arguments)) return *refused;
  const auto expected = find_int(call.arguments, "expected_version").value_or(0);
  const auto updated = services.workflows.update(row, expected);
  if (!updated && updated.error().code == Code::conflict) {
    return fail(
        Code::conflict,
        fmt::format("Workflow {} has changed since version {}: read it again with get_workflow",
                    row.name, expected));
  }
  if (!updated) return fail(unknown_workflow(updated.error(), row.name));
  services.changes.updated(row.tenant, "workflow://" + row.name);
  services.published->refresh(row.tenant);
  return stored(*updated, "updated");
}

Result<ToolResult> remove(const Call& call, const Services& services) {
  const std::string name(name_of(call));
  if (auto refused = refused_now(services.policy, call, name, call.arguments)) return *refused;
  const auto removed = services.workflows.remove(tenant_of(call), name);
  if (!removed) return fail(unknown_workflow(removed.error(), name));
  services.changes.changed(Changes::List::resources, tenant_of(call));
  services.changes.updated(tenant_of(call), "workflow://" + name);
  services.published->refresh(tenant_of(call));
  ToolResult result;
  result.structured = to_json(json::object{{"name", name}, {"deleted", true}});
  result.text = fmt::format("Workflow {} deleted. Its past executions stay visible.", name);
  return result;
}

using Function = Result<ToolResult> (*)(const Call&, const Services&);

Result<> add_read(Registry& registry, const Services& services, ToolSpec spec, Function function) {
  return registry.add(
      std::move(spec),
      Tool::ReadHandler([services, function](const Call& call, const audit::Ticket&, Done done) {
        done(function(call, services));
      }));
}

Result<> add_mutation(Registry& registry, const Services& services, ToolSpec spec,
                      Function function) {
  spec.decides_again = true;
  return registry.add(
      std::move(spec),
      Tool::MutateHandler([services, function](std::shared_ptr<const Call> call,
                                               const audit::DurableTicket&,
                                               Done done) { done(function(*call, services)); }));
}

}  // namespace

Result<> add_workflow_tools(Registry& registry, const Services& services) {
  const std::string summary = object_schema(kSummary, kSummaryRequired);
  const std::string problems =
      R"("problems":{"type":"array","items":{"type":"object","properties":{"field":{"type":"string"},"message":{"type":"string"}},"required":["field","message"]}})";

  TRY_VOID(add_read(
      registry, services,
      tool_spec(
          "name", "list_workflows", {"read"}, Effect::reads, "List workflows",
          "Lists the workflows of your tenant by name, with description and version.",
          object_schema(
              R"("limit":{"type":"integer","minimum":1,"maximum":500,"description":"At most this many, by default 100"},)"
              R"("after":{"type":"string","maxLength":40,"description":"Continue behind this name: `next` of the page before"})",
              ""),
          object_schema(
              fmt::format(
                  R"("workflows":{{"type":"array","items":{}}},"next":{{"type":"string"}},)"
                  R"("truncated":{{"type":"boolean","description":"More can be read now, with `next`"}})",
                  summary),
              R"("workflows","truncated")")),
      list));
  TRY_VOID(add_read(
      registry, services,
      tool_spec(
          "name", "get_workflow", {"read"}, Effect::reads, "Get a workflow",
          "Shows one workflow: its definition as written, version, author and the schema of its "
          "params.",
          object_schema(kName, R"("name")"),
          object_schema(
              fmt::format(
                  R"({},"definition":{{"type":"string"}},"created_by":{{"type":"string"}},)"
                  R"("created_at":{{"type":["string","null"]}},"params_schema":{{"type":"object"}})",
                  kSummary),
              fmt::format(R"({},"definition")", kSummaryRequired))),
      get));
  TRY_VOID(add_read(
      registry, services,
      tool_spec(
          "name", "validate_workflow", {"read"}, Effect::reads, "Validate a workflow definition",
          "Checks a definition without storing it and lists every problem with the field it is in.",
          object_schema(fmt::format("{},{}", kName, kDefinition), R"("definition")"),
          object_schema(
              fmt::format(R"("valid":{{"type":"boolean"}},{},"name":{{"type":"string"}},)"
                          R"("steps":{{"type":"integer"}},"params_schema":{{"type":"object"}})",
                          problems),
              R"("valid","problems")")),
      validate));
  TRY_VOID(add_mutation(
      registry, services,
      tool_spec("name", "create_workflow", {"write"}, Effect::mutates, "Create a workflow",
                "Stores a new workflow. Fails when the name is taken.",
                object_schema(fmt::format("{},{}", kName, kDefinition), R"("definition")"),
                summary),
      create));
  TRY_VOID(add_mutation(
      registry, services,
      tool_spec(
          "name", "update_workflow", {"write"}, Effect::mutates, "Update a workflow",
          "Replaces the definition of an existing workflow. Runs under way keep the definition "
          "they started with.",
          object_schema(
              fmt::format(
                  R"({},{},"expected_version":{{"type":"integer","minimum":1,"maximum":9007199254740991,)"
                  R"("description":"Fail if the workflow is not at this version any more"}})",
                  kName, kDefinition),
              R"("definition")"),
          summary, {.destructive = true, .idempotent = true, .open_world = false}),
      update));
  return add_mutation(
      registry, services,
      tool_spec("name", "delete_workflow", {"admin"}, Effect::mutates, "Delete a workflow",
                "Deletes a workflow. Its past executions and their audit records stay.",
                object_schema(kName, R"("name")"),
                object_schema(R"("name":{"type":"string"},"deleted":{"type":"boolean"})",
                              R"("name","deleted")"),
                {.destructive = true, .idempotent = true, .open_world = false}),
      remove);
}

}  // namespace kubiya::tools
