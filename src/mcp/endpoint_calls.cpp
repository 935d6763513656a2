// SPDX-License-Identifier: Apache-2.0
//
// What acts on something: permit → ticket → effect → outcome → answer.
#include <fmt/format.h>

#include "base/encoding.h"
#include "mcp/abilities.h"
#include "mcp/endpoint.h"
#include "mcp/header_params.h"

namespace kubiya::mcp {
namespace {

using identity::Mode;

// Of parameters that are well formed and name nothing we have.
int bad_params_status(Era era) { return era == Era::modern ? 400 : 200; }

audit::Outcome outcome_of(const Result<tools::ToolResult>& result) {
  audit::Outcome outcome;
  outcome.ok = result.has_value() && !result->failed;
  if (result) {
    const bool asks = result->unfinished && result->unfinished->task.empty();
    outcome.reason = asks ? "input_required" : result->reason;
    outcome.run_id = result->run_id;
    outcome.target = result->target;
    outcome.digest = result->digest;
  } else {
    outcome.code = result.error().code;
    outcome.reason = to_string(result.error().code);
  }
  return outcome;
}

std::string target_of(const tools::Tool& tool, const json::object& arguments) {
  const std::string& argument = tool.spec().target_argument;
  if (argument.empty()) return tool.spec().target;
  return printable_redacted(find_string(arguments, argument).value_or(""), 128);
}

}  // namespace

Endpoint::Errand::~Errand() {
  if (!finish) return;
  // Whoever held it last gave up on it, as after an exception of a library.
  end(fail(Code::internal, "The server failed while it worked on this call",
           "the call was dropped"));
}

void Endpoint::Errand::end(const Result<tools::ToolResult>& result) {
  if (const auto last = std::exchange(finish, nullptr)) last(result);
}

namespace {

// `wrapped` is where the arguments of a workflow that is a tool of its own are put, as
// execute_workflow would have them.
policy::Asked asked(const tools::Tool& tool, const json::object& arguments, json::object& wrapped) {
  const tools::ToolSpec& spec = tool.spec();
  if (spec.wraps_params) {
    wrapped = {{"name", spec.target}, {"params", arguments}};
    return {spec.target, &wrapped, !spec.decides_again};
  }
  const std::string_view named = find_string(arguments, "name").value_or("");
  return {spec.target_argument == "name" ? named : std::string_view(spec.target), &arguments,
          !spec.decides_again};
}

}  // namespace

const tools::Tool* Endpoint::find_tool(const ExchangePtr& x, std::string_view name) const {
  if (const tools::Tool* tool = services_.catalogue.tools().find(name)) return tool;
  tools::ToolSource* source = services_.catalogue.source();
  if (source == nullptr || !x->principal) return nullptr;
  x->kept_tool = source->find(x->principal->facts().tenant, name);
  return x->kept_tool.get();
}

void Endpoint::call_tool(const ExchangePtr& x) {
  const auto name = x->message.params ? find_string(*x->message.params, "name") : std::nullopt;
  if (!name)
    return refuse_message(x, {400, rpc::kInvalidParams, "params.name is required", {}},
                          "bad_params");
  const tools::Tool* tool = find_tool(x, *name);
  if (tool == nullptr) {
    return refuse_message(x,
                          {bad_params_status(x->message.era),
                           rpc::kInvalidParams,
                           "Unknown tool: " + printable(*name),
                           {}},
                          "unknown_tool");
  }
  x->tool = tool->name();
  const auto given = x->message.params->find("arguments");
  if (given && given->kind() != JsonView::Kind::object) {
    return refuse_message(x, {400, rpc::kInvalidParams, "params.arguments must be an object", {}},
                          "bad_params");
  }
  json::value arguments = given ? given->value() : json::object{};
  json::object wrapped;
  auto permit = services_.policy.decide(x->principal, tool->operation(),
                                        asked(*tool, arguments.get_object(), wrapped));
  if (!permit) {
    const bool lacks_key = permit.error().reason == policy::Refusal::no_api_key;
    if (lacks_key && provide_key(x)) return;
    return refuse_denied(x, tool->operation(), permit.error());
  }
  if (!check_arguments(x, *tool, arguments)) return;
  json::object owned = std::move(arguments.get_object());
  if (tool->spec().placement == tools::Placement::loop) {
    return read_at_once(x, *tool, std::move(*permit), std::move(owned));
  }
  const std::shared_ptr<const tools::Tool> kept = x->kept_tool;
  std::string target = target_of(*tool, owned);
  if (tool->operation().effect == policy::Effect::reads) {
    return read(x, std::move(target), std::move(*permit), std::move(owned),
                [tool, kept](const auto& call, const audit::Ticket& ticket, tools::Done done) {
                  tool->read(call, ticket, std::move(done));
                });
  }
  mutate(x, std::move(target), std::move(*permit), std::move(owned), tool->spec().always_admitted,
         [tool, kept](const auto& call, const audit::DurableTicket& ticket, tools::Done done) {
           tool->mutate(call, ticket, std::move(done));
         });
}

// False when the call was refused.
bool Endpoint::check_arguments(const ExchangePtr& x, const tools::Tool& tool,
                               json::value& arguments) {
  if (const json::value* key = find(arguments.get_object(), "api_key")) {
    if (challenge_.mode == Mode::token) {
      refuse_arguments(
          x, "argument_key_refused",
          "The api_key argument is not accepted here: your Kubiya API key comes from your token. "
          "Call again without it.");
      return false;
    }
    if (!key->is_string()) {
      refuse_arguments(x, "invalid_arguments", "api_key must be a string");
      return false;
    }
    // The credential was taken from it, whichever the tool; nothing behind this line may see it.
    arguments.get_object().erase("api_key");
  }
  if (tool.spec().needs_tasks && !abilities(*x).tasks) {
    if (x->message.era == Era::modern) {
      refuse_capability(
          x, {{"extensions", json::object{{"io.modelcontextprotocol/tasks", json::object{}}}}});
    } else {
      refuse_arguments(x, "unsupported",
                       "This tool answers with a task, which needs a client that "
                       "speaks MCP 2026-07-28 with the tasks extension");
    }
    return false;
  }
  if (x->message.era == Era::modern && x->headers.mirrored.carried) {
    if (const auto wrong = header_fault(x->request, tool, arguments.get_object())) {
      refuse_message(x, *wrong, "bad_message");
      return false;
    }
  }
  const tools::ClientAbilities client = abilities(*x);
  const bool may_ask = tool.spec().asks_for_missing && (client.elicit_form || client.elicit_url);
  if (const auto wrong = tool.check(arguments, may_ask)) {
    refuse_arguments(x, "invalid_arguments", *wrong);
    return false;
  }
  if (x->headers.idempotency_key.count > 1) {
    refuse_arguments(x, "invalid_arguments",
                     "The Idempotency-Key header is repeated: send it once");
    return false;
  }
  return true;
}

// Of tools that touch no disk and wait for nothing: answered on the loop, without a detour.
void Endpoint::read_at_once(const ExchangePtr& x, const tools::Tool& tool, policy::Permit permit,
                            json::object arguments) {
  const int loop = x->request.loop;
  const audit::Ticket ticket =
      services_.journal.note(permit, intent(*x, target_of(tool, arguments), arguments), loop);
  tools::Call call{
      .permit = std::move(permit), .arguments = std::move(arguments), .request_id = x->request_id};
  const auto finish = [&](const Result<tools::ToolResult>& result) {
    services_.journal.finish(ticket, outcome_of(result), loop);
    answer_call(x, result);
  };
  tool.read(call, ticket, std::cref(finish));
}

void Endpoint::read(const ExchangePtr& x, std::string target, policy::Permit permit,
                    json::object arguments, Look look) {
  auto call = make_call(x, permit, std::move(arguments));
  if (!call) return refuse_params(x, call.error().message);
  const audit::Ticket ticket = services_.journal.note(
      permit, intent(*x, std::move(target), (*call)->arguments), x->request.loop);
  auto errand = std::make_shared<Errand>();
  errand->call = std::move(*call);
  errand->run = [look = std::move(look), ticket](const auto& given, tools::Done done) {
    look(*given, ticket, std::move(done));
  };
  errand->finish = [this, x, ticket](const Result<tools::ToolResult>& result) {
    services_.journal.finish(ticket, outcome_of(result), -1);
    answer_call(x, result);
  };
  std::function<void()> work = [this, x, errand] { pursue(x, errand); };
  if (!services_.workers.submit(work)) {
    errand->end(fail(Code::busy, "The server is busy; try again shortly"));
  }
}

// Nothing happens before the intent is on disk; whatever happened, its outcome follows.
void Endpoint::mutate(const ExchangePtr& x, std::string target, policy::Permit permit,
                      json::object arguments, bool always_admitted, Effect effect) {
  std::shared_ptr<void> place;
  if (!always_admitted) {
    place = places_.take(*x->principal);
    if (!place)
      return answer_call(x, fail(Code::busy,
                                 "Too many of your calls are under way; try again "
                                 "shortly"));
  }
  auto made = make_call(x, permit, std::move(arguments));
  if (!made) return refuse_params(x, made.error().message);
  auto call = std::move(*made);
  services_.journal.begin(
      permit, intent(*x, std::move(target), call->arguments),
      [this, x, call, place, effect = std::move(effect)](Result<audit::DurableTicket> begun) {
        if (!begun) return answer_call(x, fail(begun.error()));
        const auto ticket = std::make_shared<const audit::DurableTicket>(std::move(*begun));
        auto errand = std::make_shared<Errand>();
        errand->call = call;
        errand->run = [effect, ticket](const auto& given, tools::Done done) {
          effect(given, *ticket, std::move(done));
        };
        errand->finish = [this, x, ticket, place](const Result<tools::ToolResult>& result) {
          // Answered means recorded, the outcome too.
          auto answer_text = std::make_shared<Rendered>(render(*x, result));
          services_.journal.finish(
              *ticket, outcome_of(result),
              [this, x, place, result, answer_text](Result<> recorded) {
                answer(x, recorded ? std::move(*answer_text)
                                   : render_unrecorded(*x, result, recorded.error()));
              });
        };
        services_.workers.submit_always([this, x, errand] { pursue(x, errand); });
      });
}

void Endpoint::pursue(const ExchangePtr& x, const ErrandPtr& errand) {
  errand->run(errand->call, [this, x, errand](Result<tools::ToolResult> result) {
    concluded(x, errand, std::move(result));
  });
}

void Endpoint::concluded(const ExchangePtr& x, const ErrandPtr& errand,
                         Result<tools::ToolResult> result) {
  const bool asks = result && result->unfinished && !result->unfinished->asks.empty();
  if (asks && x->message.era == Era::legacy) return ask_client(x, errand, *result->unfinished);
  errand->end(result);
}

tools::ClientAbilities Endpoint::abilities(const Exchange& x) const {
  if (x.message.era == Era::modern) {
    return x.message.capabilities ? abilities_of(*x.message.capabilities)
                                  : tools::ClientAbilities{};
  }
  // The legacy era asks on the stream of the call, and its answer comes by the session.
  return x.session && x.can_stream() ? x.session->client() : tools::ClientAbilities{};
}

Result<std::shared_ptr<tools::Call>> Endpoint::make_call(const ExchangePtr& x,
                                                         policy::Permit permit,
                                                         json::object arguments) {
  auto call = std::make_shared<tools::Call>(tools::Call{
      .permit = std::move(permit), .arguments = std::move(arguments), .request_id = x->request_id});
  reserve_stream(x);
  if (const auto key = x->headers.idempotency_key.value; !key.empty())
    call->idempotency_key = std::string(key);
  call->client = abilities(*x);
  call->is_awaited = [weak = std::weak_ptr<Exchange>(x)] {
    const auto alive = weak.lock();
    return alive && alive->is_awaited();
  };
  if (auto trace = trace_of(x->message); !trace.empty())
    call->trace = std::make_shared<const TraceContext>(std::move(trace));
  if (x->session) {
    x->session->began(x->rpc_id, [weak = std::weak_ptr<Exchange>(x)] {
      if (const auto alive = weak.lock()) alive->abandon();
    });
  }
  if (x->message.era == Era::modern) TRY_VOID(take_answers(*x, *call));
  if (!x->can_stream()) return call;
  if (!x->message.progress_token.empty()) {
    call->progress = [x, token = x->message.progress_token](
                         double progress, std::optional<double> total, std::string_view message) {
      x->notify(progress_notification(token, progress, total, message));
    };
  }
  const std::optional<int> lowest =
      x->session ? x->session->log_level() : log_level_rank(x->message.log_level);
  if (lowest) {
    call->log = [x, least = *lowest](std::string_view level, const json::value& data) {
      if (log_level_rank(level).value_or(0) >= least) x->notify(log_notification(level, data));
    };
  }
  if (x->session && x->session->resumable()) call->let_go = [x] { x->let_go(); };
  return call;
}

// A caller who has too many streams open is answered all the same, without progress or questions.
void Endpoint::reserve_stream(const ExchangePtr& x) {
  if (!x->can_stream() || !x->principal) return;
  const bool wants = x->session || !x->message.progress_token.empty() ||
                     log_level_rank(x->message.log_level).has_value();
  if (!wants) return;
  x->stream_place = streams_.take(*x->principal);
  if (!x->stream_place) x->accepts.events = false;
}

void Endpoint::get_prompt(const ExchangePtr& x) {
  const auto name = x->message.params ? find_string(*x->message.params, "name") : std::nullopt;
  const tools::Prompt* prompt = name ? services_.catalogue.find_prompt(*name) : nullptr;
  if (prompt == nullptr) return refuse_params(x, "Unknown prompt: " + printable(name.value_or("")));
  auto permit = services_.policy.decide(x->principal, get_prompt_);
  if (!permit) return refuse_denied(x, get_prompt_, permit.error());
  const auto given = x->message.params->find("arguments");
  if (given && given->kind() != JsonView::Kind::object)
    return refuse_params(x, "params.arguments must be an object");
  json::value arguments = given ? given->value() : json::object{};
  for (const auto& [argument, value] : arguments.get_object()) {
    if (!value.is_string())
      return refuse_params(x, fmt::format("The argument {} must be a string",
                                          printable(std::string_view(argument))));
  }
  for (const auto& argument : prompt->spec.arguments) {
    if (argument.required && !arguments.get_object().contains(argument.name))
      return refuse_params(x, fmt::format("The argument {} is required", argument.name));
  }
  read(x, prompt->spec.name, std::move(*permit), std::move(arguments.get_object()), prompt->get);
}

void Endpoint::read_resource(const ExchangePtr& x) {
  const auto uri = x->message.params ? find_string(*x->message.params, "uri") : std::nullopt;
  if (!uri) return refuse_params(x, "params.uri is required and must be a string");
  tools::ResourceFamily* family = services_.catalogue.family_of(*uri);
  if (family == nullptr) {
    return answer_call(
        x, fail(Code::not_found, fmt::format("There is no resource {}", printable(*uri, 200))));
  }
  auto permit = services_.policy.decide(x->principal, family->operation());
  if (!permit) return refuse_denied(x, family->operation(), permit.error());
  read(x, printable(*uri, 128), std::move(*permit), {{"uri", *uri}},
       [family](const auto& call, const audit::Ticket& ticket, tools::Done done) {
         family->read(call, ticket, std::move(done));
       });
}

}  // namespace kubiya::mcp
