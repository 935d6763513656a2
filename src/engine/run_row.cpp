// SPDX-License-Identifier: Apache-2.0
#include "engine/run_row.h"

#include <algorithm>

#include "base/encoding.h"
#include "base/json.h"
#include "engine/scrub.h"
#include "workflow/expand.h"
#include "workflow/plan.h"

namespace kubiya::engine {
namespace {

bool is_secret(const workflow::Definition& definition, const std::string& name) {
  return std::any_of(definition.params.begin(), definition.params.end(),
                     [&](const auto& param) { return param.secret && param.name == name; });
}

std::string params_json(const StartRun& request, const RunFacts& facts) {
  const Scrubber scrubber(secrets_of(request, facts));
  json::object params;
  for (const auto& [name, value] : request.params) {
    params[name] = is_secret(request.definition, name) ? "[redacted]" : scrubber.whole(value);
  }
  return to_json(params);
}

}  // namespace

std::vector<Secret> secrets_of(const StartRun& request, const RunFacts& facts) {
  std::vector<Secret> secrets;
  if (const auto& key = facts.principal->facts().api_key) secrets.push_back(*key);
  for (const auto& param : request.definition.params) {
    if (!param.secret) continue;
    for (const auto& [name, value] : request.params) {
      if (name == param.name) secrets.emplace_back(value);
    }
  }
  return secrets;
}

Result<> check_params(const workflow::Pairs& params) {
  for (const auto& [name, value] : params) {
    const bool named = workflow::is_env_name(name) && !workflow::is_dangerous_env_name(name);
    if (!named && !workflow::is_position(name)) {
      return fail(Code::invalid, "A parameter may not have the name " + printable(name) + ".");
    }
    if (value.find('\0') != value.npos || !is_utf8(value)) {
      return fail(Code::invalid, "The parameter " + name + " is not text.");
    }
  }
  return {};
}

store::RunRow run_row(const RunFacts& facts, const StartRun& request, const std::string& request_id,
                      std::int64_t now_ms) {
  const PrincipalFacts& who = facts.principal->facts();
  store::RunRow row;
  row.id = facts.run_id;
  row.tenant = who.tenant;
  row.owner = facts.principal->owner();
  row.issuer = who.issuer;
  row.subject = who.subject;
  row.display_name = who.display_name;
  row.client = who.client;
  row.key_fingerprint = who.key_fingerprint;
  row.workflow = request.workflow.name;
  row.digest = request.workflow.digest;
  row.definition = request.workflow.text;
  row.params = params_json(request, facts);
  row.status = to_string(workflow::RunStatus::queued);
  row.request_id = request_id;
  row.idempotency_key = request.idempotency_key;
  if (request.idempotency_key) row.idempotency_digest = request.idempotency_digest;
  row.created_ms = now_ms;
  // Baggage is for the steps: it may tell of people what nobody needs to keep.
  if (request.trace) {
    row.traceparent = request.trace->parent;
    row.tracestate = request.trace->state;
  }
  return row;
}

RunEvent final_event(const store::RunRow& run, const std::vector<store::StepRow>& steps) {
  RunEvent event{RunEvent::Kind::run_finished, run.id, "", run.status, run.reason, 0, 0};
  for (const store::StepRow& step : steps) {
    if (workflow::is_handler_name(step.name)) continue;
    const auto status = workflow::step_status(step.status);
    ++event.steps_total;
    event.steps_done += status && *status != workflow::StepStatus::not_started &&
                        *status != workflow::StepStatus::running;
  }
  return event;
}

}  // namespace kubiya::engine
