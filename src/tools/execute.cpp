// SPDX-License-Identifier: Apache-2.0
//
// execute_workflow: from a name and params to a run, and the run's end or the question that it
// waits with.
#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/canonical_json.h"
#include "base/encoding.h"
#include "crypto/digest.h"
#include "tools/asking.h"
#include "tools/families.h"
#include "tools/follow.h"
#include "tools/questions.h"
#include "tools/run_page.h"
#include "tools/spec.h"
#include "tools/view.h"

namespace kubiya::tools {
namespace {

using CallPtr = std::shared_ptr<const Call>;
using policy::Effect;

// From the argument or the Idempotency-Key header; both may be there when they agree.
Result<std::optional<std::string>> idempotency_key(const Call& call) {
  std::optional<std::string> key = call.idempotency_key;
  if (key && key->size() > 128) {
    return fail(Code::invalid, "The Idempotency-Key header is longer than 128 characters");
  }
  if (const auto argument = find_string(call.arguments, "idempotency_key")) {
    if (key && *key != *argument) {
      return fail(Code::invalid,
                  "idempotency_key differs from the Idempotency-Key header: send one of them");
    }
    key = std::string(*argument);
  }
  return key;
}

// Fills in what runs, with which values. A result is the answer to a call that cannot run as it is.
Result<std::optional<ToolResult>> prepare(const Call& call, const Services& services,
                                          engine::StartRun& start) {
  const auto name = *find_string(call.arguments, "name");
  auto row = services.workflows.get(call.permit.principal()->facts().tenant, name);
  if (!row && row.error().code == Code::not_found) {
    return fail(Code::not_found,
                fmt::format("There is no workflow named {}; list_workflows shows what there is",
                            printable(name)));
  }
  TRY_VOID(row);
  auto parsed = workflow::parse(row->text, services.workflow_limits, row->name);
  if (!parsed.definition) {
    return fail(Code::invalid, fmt::format("Workflow {} can no longer be run: {}", name,
                                           workflow::describe(parsed.problems)));
  }
  const json::object* given = find_object(call.arguments, "params");
  json::object params = given != nullptr ? *given : json::object{};
  if (auto instead = TRY(
          complete_params(call, *parsed.definition, row->digest, params, services.secrets.get())))
    return instead;
  start.params = TRY(workflow::bind_params(*parsed.definition, params));
  start.workflow = std::move(*row);
  start.definition = std::move(*parsed.definition);
  return std::nullopt;
}

// Of what the caller wrote, so that a repeated call is the same whatever became of the workflow.
std::string call_digest(const Call& call) {
  const json::object* params = find_object(call.arguments, "params");
  const json::object written{{"name", *find_string(call.arguments, "name")},
                             {"params", params != nullptr ? *params : json::object{}}};
  return hex(crypto::view(crypto::sha256(canonical_json(written))));
}

Result<std::optional<engine::Started>> started_before(const Call& call, const Services& services,
                                                      const engine::StartRun& start) {
  if (!start.idempotency_key) return std::nullopt;
  const auto& principal = call.permit.principal();
  const auto run =
      TRY(services.runs.started_before(principal->facts().tenant, principal->owner(),
                                       *start.idempotency_key, start.idempotency_digest));
  if (!run) return std::nullopt;
  return engine::Started{*run, true};
}

std::chrono::seconds patience(const Call& call, const Services& services) {
  const auto wait = find_int(call.arguments, "wait");
  return wait ? std::min(std::chrono::seconds(*wait), services.wait_max) : services.wait_default;
}

// A client that knows tasks gets one, unless the call itself says how long it waits.
bool goes_on_as_task(const Call& call) {
  return call.client.tasks && find(call.arguments, "wait") == nullptr;
}

ToolResult as_task(const engine::Started& started) {
  ToolResult result = ToolResult::goes_on_as(started.run_id);
  result.run_id = started.run_id;
  result.reason = "task";
  return result;
}

// The arguments with the params that the run will have: a default of the workflow is a value
// like any other.
json::object with_params(json::object arguments, const workflow::Pairs& bound) {
  json::object params;
  for (const auto& [name, value] : bound) params[name] = value;
  arguments["params"] = std::move(params);
  return arguments;
}

// A call that asked what its run waits with and comes again: which run, and what was declined.
constexpr std::string_view kRunState = "run";

struct Asked {
  std::string run_id;
  std::vector<std::string> declined;  // approvals that are not asked for again in this call
};

std::string state_of(const Asked& asked) {
  return fmt::format("{} {} {}", kRunState, asked.run_id, fmt::join(asked.declined, " "));
}

// Nothing for another state: that of the question for params.
std::optional<Asked> asked_before(std::string_view state) {
  std::vector<std::string> words;
  while (!state.empty()) {
    const std::size_t end = std::min(state.find(' '), state.size());
    if (end != 0) words.emplace_back(state.substr(0, end));
    state.remove_prefix(std::min(end + 1, state.size()));
  }
  if (words.size() < 2 || words[0] != kRunState) return std::nullopt;
  return Asked{std::move(words[1]), {words.begin() + 2, words.end()}};
}

// What is to be asked of the caller now.
Result<std::vector<store::ApprovalRow>> still_to_ask(const Services& services, const Call& call,
                                                     const Asked& asked) {
  auto open = TRY(open_to(services, call.permit.principal(), asked.run_id));
  std::erase_if(open, [&asked](const store::ApprovalRow& one) {
    return std::find(asked.declined.begin(), asked.declined.end(), one.id) != asked.declined.end();
  });
  return open;
}

ToolResult ask(const Asked& asked, const std::vector<store::ApprovalRow>& open) {
  auto unfinished = std::make_shared<Unfinished>();
  for (const store::ApprovalRow& one : open) unfinished->asks.push_back(question_of(one));
  unfinished->state = state_of(asked);
  unfinished->optional = true;
  ToolResult result;
  result.unfinished = std::move(unfinished);
  result.run_id = asked.run_id;
  return result;
}

// Until the run ends, patience does, or it waits for what the caller can be asked.
void follow(const Services& services, const CallPtr& call, const engine::Started& started,
            Asked asked, const Done& done) {
  Following following{started.run_id, patience(*call, services)};
  const bool asks = call->client.elicit_form && following.patience.count() != 0;
  if (asks) {
    following.enough = [services, call, asked] {
      const auto open = still_to_ask(services, *call, asked);
      return !open || !open->empty();
    };
  }
  follow_run(services, call, std::move(following), [services, call, started, asked, asks, done] {
    const auto open =
        asks ? still_to_ask(services, *call, asked) : Result<std::vector<store::ApprovalRow>>();
    if (!open) return done(fail(open.error()));
    if (!open->empty()) return done(ask(asked, *open));
    done(execution_answer(services, started));
  });
}

// The answers to what the run waits with; then the call goes on as if it had not asked.
void go_on(const Services& services, const CallPtr& call, const audit::DurableTicket& ticket,
           Asked asked, const Done& done) {
  const PrincipalPtr& principal = call->permit.principal();
  const auto run =
      services.runs.get_visible(asked.run_id, principal->facts().tenant, principal->owner());
  if (!run) return done(fail(run.error()));
  const auto open = open_to(services, principal, asked.run_id);
  if (!open) return done(fail(open.error()));
  auto said = said_to(*open, call->answers);
  if (!said) return done(fail(said.error()));
  asked.declined.insert(asked.declined.end(), said->declined.begin(), said->declined.end());
  cast(services, principal, ticket, std::move(said->votes),
       [services, call, asked, done](const Result<>& taken) {
         if (!taken) return done(fail(taken.error()));
         follow(services, call, {asked.run_id, false}, asked, done);
       });
}

void execute(const Services& services, const CallPtr& call, const audit::DurableTicket& ticket,
             const Done& done) {
  if (auto asked = asked_before(call->state)) {
    return go_on(services, call, ticket, std::move(*asked), done);
  }
  auto key = idempotency_key(*call);
  if (!key) return done(fail(key.error()));
  engine::StartRun start;
  start.trace = call->trace;
  start.idempotency_key = std::move(*key);
  if (start.idempotency_key) start.idempotency_digest = call_digest(*call);
  const auto go = [services, call, done](Result<engine::Started> started) {
    if (!started) return done(fail(started.error()));
    if (goes_on_as_task(*call)) return done(as_task(*started));
    follow(services, call, *started, {started->run_id, {}}, done);
  };
  auto earlier = started_before(*call, services, start);
  if (!earlier) return done(fail(earlier.error()));
  if (*earlier) return go(**earlier);
  auto instead = prepare(*call, services, start);
  if (!instead) return done(fail(instead.error()));
  if (*instead) return done(std::move(**instead));
  if (auto refused = refused_now(services.policy, *call, start.workflow.name,
                                 with_params(call->arguments, start.params))) {
    return done(std::move(*refused));
  }
  services.backend.start(call->permit, ticket, std::move(start), go);
}

// Once the page that asks for secrets is filled in, or patience ends.
void execute_when_given(const Services& services, const CallPtr& call,
                        const audit::DurableTicket& ticket, const Done& done, Mono deadline) {
  const bool waits = services.secrets && services.clock.mono() < deadline &&
                     waits_for_secrets(*call, *services.secrets);
  if (!waits) return execute(services, call, ticket, done);
  look_again(services, [services, call, ticket, done, deadline] {
    execute_when_given(services, call, ticket, done, deadline);
  });
}

}  // namespace

void execute_workflow(const Services& services, const CallPtr& call,
                      const audit::DurableTicket& ticket, const Done& done) {
  execute_when_given(services, call, ticket, done, services.clock.mono() + kPersonPatience);
}

Result<> add_execute_tool(Registry& registry, const Services& services) {
  const std::string input = object_schema(
      fmt::format(
          R"("name":{{"type":"string","pattern":"^[A-Za-z0-9_.-]{{1,40}}$","description":"The workflow to run"}},)"
          R"("params":{{"type":"object","description":"Values for the workflow's params; get_workflow shows which"}},)"
          R"("api_key":{{"type":"string","maxLength":512,"description":"Your Kubiya API key, in API-key mode only. With a sign-in server your key comes from your token and this argument is refused"}},)"
          R"("wait":{{"type":"integer","minimum":0,"maximum":{},"description":"Seconds to wait for the end ({}); 0 answers at once with the execution's id"}},)"
          R"("idempotency_key":{{"type":"string","minLength":1,"maxLength":128,"description":"Calls with the same key and arguments run once"}})",
          services.wait_max.count(), services.wait_default.count()),
      R"("name")");
  ToolSpec tool = tool_spec(
      "execution_id", "execute_workflow", {"execute"}, Effect::mutates, "Execute a workflow",
      "Runs a workflow as you: with your Kubiya API key, under your name in the "
      "audit trail. Waits for "
      "the end up to `wait` seconds and reports progress when asked; the run goes "
      "on if you disconnect.",
      input, execution_schema());
  tool.operation.needs_api_key = true;
  tool.target_argument = "name";
  tool.decides_again = true;
  tool.meta = shown_on_run_page();
  tool.annotations = {.destructive = true, .idempotent = false, .open_world = true};
  return registry.add(
      std::move(tool),
      Tool::MutateHandler(
          [services](std::shared_ptr<const Call> call, const audit::DurableTicket& ticket,
                     Done done) { execute_workflow(services, call, ticket, done); }));
}

}  // namespace kubiya::tools
