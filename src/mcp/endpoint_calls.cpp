// SPDX-License-Identifier: Apache-2.0
//
// What acts on something: permit → ticket → effect → outcome → answer.
#include <charconv>

#include <fmt/format.h>

#include "base/canonical_json.h"
#include "base/encoding.h"
#include "base/log.h"
#include "crypto/digest.h"
#include "mcp/abilities.h"
#include "mcp/endpoint.h"

namespace kubiya::mcp {
namespace {

using identity::Mode;

// How long a client may take to come back with what it was asked.
constexpr std::chrono::minutes kStateLifetime{60};

// Of parameters that are well formed and name nothing we have.
int bad_params_status(Era era) { return era == Era::modern ? 400 : 200; }

audit::Outcome outcome_of(const Result<tools::ToolResult>& result) {
  audit::Outcome outcome;
  outcome.ok = result.has_value() && !result->failed;
  if (result) {
    outcome.reason =
        result->is_final() || !result->task.empty() ? result->reason : "input_required";
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
  return printable(find_string(arguments, argument).value_or(""), 128);
}

// A whole number however either side writes it.
bool same_number(std::string_view header, const json::value& value) {
  double given = 0;
  const auto read = std::from_chars(header.data(), header.data() + header.size(), given);
  return read.ec == std::errc() && read.ptr == header.data() + header.size() &&
         given == value.to_number<double>();
}

bool same(std::string_view header, const json::value& value) {
  if (const auto* text = value.if_string()) return header == view(*text);
  if (const auto* truth = value.if_bool()) return header == (*truth ? "true" : "false");
  return value.is_number() && same_number(header, value);
}

const json::value* at_path(const json::object& arguments, const std::vector<std::string>& path) {
  const json::value* value = nullptr;
  const json::object* object = &arguments;
  for (const auto& name : path) {
    value = object != nullptr ? find(*object, name) : nullptr;
    if (value == nullptr) return nullptr;
    object = value->if_object();
  }
  return value;
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
  if (!permit) return refuse_denied(x, tool->operation(), permit.error());
  if (!check_arguments(x, *tool, arguments)) return;
  json::object owned = std::move(arguments.get_object());
  if (tool->spec().placement == tools::Placement::loop) {
    return read_at_once(x, *tool, std::move(*permit), std::move(owned));
  }
  const std::shared_ptr<const tools::Tool> kept = x->kept_tool;
  const audit::Intent what = intent(*x, target_of(*tool, owned), owned);
  if (tool->operation().effect == policy::Effect::reads) {
    const audit::Ticket ticket = services_.journal.note(*permit, what, x->request.loop);
    return read(x, std::move(*permit), std::move(owned), ticket,
                [tool, kept, ticket](const auto& call, tools::Done done) {
                  tool->read(*call, ticket, std::move(done));
                });
  }
  mutate(x, what, std::move(*permit), std::move(owned), tool->spec().always_admitted,
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
  if (const auto wrong = check_header_params(*x, tool, arguments.get_object())) {
    refuse_message(x, *wrong, "bad_message");
    return false;
  }
  if (const auto wrong = tool.check(arguments)) {
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

// MCP 2026-07-28, Streamable HTTP, "Custom headers": an argument that a header repeats.
std::optional<ProtocolError> Endpoint::check_header_params(const Exchange& x,
                                                           const tools::Tool& tool,
                                                           const json::object& arguments) const {
  if (x.message.era != Era::modern || !x.headers.mirrored.carried) return std::nullopt;
  const auto refuse = [](const std::string& header, std::string_view why) {
    return ProtocolError{
        400, rpc::kHeaderMismatch, fmt::format("The {} header {}", header, why), {}};
  };
  for (const auto& param : tool.header_params()) {
    const json::value* value = at_path(arguments, param.path);
    if (value == nullptr || value->is_null()) continue;
    const std::size_t count = x.request.count(param.header);
    if (count == 0) return refuse(param.header, "is missing");
    if (count > 1) return refuse(param.header, "is repeated");
    const auto text = decode_header_text(x.request.header(param.header));
    if (!text) return refuse(param.header, "is neither plain text nor base64");
    if (!same(*text, *value)) return refuse(param.header, "differs from the body");
  }
  return std::nullopt;
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

void Endpoint::read(const ExchangePtr& x, policy::Permit permit, json::object arguments,
                    audit::Ticket ticket, Errand::Run run) {
  auto call = make_call(x, std::move(permit), std::move(arguments));
  if (!call) {
    services_.journal.finish(ticket, outcome_of(fail(call.error())), x->request.loop);
    return refuse_params(x, call.error().message);
  }
  auto errand = std::make_shared<Errand>();
  errand->call = std::move(*call);
  errand->run = std::move(run);
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
void Endpoint::mutate(const ExchangePtr& x, const audit::Intent& intent, policy::Permit permit,
                      json::object arguments, bool always_admitted, Effect effect) {
  std::shared_ptr<void> place;
  if (!always_admitted) {
    place = places_.take(x->principal->owner());
    if (!place)
      return answer_call(x, fail(Code::busy,
                                 "Too many of your calls are under way; try again "
                                 "shortly"));
  }
  auto made = make_call(x, permit, std::move(arguments));
  if (!made) return refuse_params(x, made.error().message);
  auto call = std::move(*made);
  services_.journal.begin(
      permit, intent,
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

tools::ClientAbilities Endpoint::abilities(const Exchange& x) const {
  if (x.message.era == Era::modern) {
    return x.message.capabilities ? abilities_of(*x.message.capabilities)
                                  : tools::ClientAbilities{};
  }
  return x.session ? x.session->client() : tools::ClientAbilities{};
}

Result<std::shared_ptr<tools::Call>> Endpoint::make_call(const ExchangePtr& x,
                                                         policy::Permit permit,
                                                         json::object arguments) const {
  auto call = std::make_shared<tools::Call>(tools::Call{
      .permit = std::move(permit), .arguments = std::move(arguments), .request_id = x->request_id});
  if (const auto key = x->headers.idempotency_key.value; !key.empty())
    call->idempotency_key = std::string(key);
  call->client = abilities(*x);
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

Handles::Call Endpoint::handle_context(const Exchange& x, std::string_view digest) const {
  const bool resource = x.message.method == "resources/read";
  return {x.principal->owner(), x.message.method,
          find_string(*x.message.params, resource ? "uri" : "name").value_or(""), digest};
}

namespace {

// Of the arguments as the client sent them, less the credential among them.
std::string arguments_digest(const Message& message) {
  const auto given = find_object(*message.params, "arguments");
  json::value arguments = given ? given->value() : json::object{};
  arguments.get_object().erase("api_key");
  return std::string(crypto::view(crypto::sha256(canonical_json(arguments))));
}

}  // namespace

// MCP 2026-07-28, "Multi round-trip requests": the second half of a call that had to ask.
Result<> Endpoint::take_answers(const Exchange& x, tools::Call& call) const {
  if (const auto answers = x.message.params->find("inputResponses")) {
    if (answers->kind() != JsonView::Kind::object)
      return fail(Code::invalid, "params.inputResponses must be an object");
    call.answers = std::move(answers->value().get_object());
  }
  const auto state = x.message.params->find("requestState");
  if (!state) return {};
  const std::string digest = arguments_digest(x.message);
  const auto opened =
      state->kind() == JsonView::Kind::string
          ? handles_.open_state(handle_context(x, digest), state->string(), services_.clock.wall())
          : std::nullopt;
  if (!opened) {
    return fail(Code::invalid,
                "params.requestState is not one that was given for this call, or too old: call "
                "again without it");
  }
  call.state = *opened;
  return {};
}

void Endpoint::pursue(const ExchangePtr& x, const ErrandPtr& errand) {
  errand->run(errand->call, [this, x, errand](Result<tools::ToolResult> result) {
    concluded(x, errand, std::move(result));
  });
}

void Endpoint::concluded(const ExchangePtr& x, const ErrandPtr& errand,
                         Result<tools::ToolResult> result) {
  if (result && !result->asks.empty() && x->message.era == Era::legacy) {
    return ask_client(x, errand, std::move(*result));
  }
  errand->end(result);
}

// The legacy era asks with requests on the stream of the call; their answers come as messages of
// their own (MCP 2025-11-25, Streamable HTTP).
void Endpoint::ask_client(const ExchangePtr& x, const ErrandPtr& errand, tools::ToolResult result) {
  const tools::ClientAbilities client = abilities(*x);
  std::erase_if(result.asks, [&](const auto& ask) { return !can_ask(client, ask); });
  if (result.asks.empty() || !x->session || !x->can_stream()) {
    return errand->end(fail(Code::unsupported,
                            "This call has to ask you something, and your client takes no "
                            "questions: use one that supports elicitation"));
  }
  struct Round {
    std::mutex mutex;
    std::size_t open = 0;
    std::optional<Error> failed;
  };
  auto round = std::make_shared<Round>();
  round->open = result.asks.size();
  // A second call object, as the first may still be looked at by the handler that asked.
  auto call = std::make_shared<tools::Call>(*errand->call);
  call->state = result.state;
  errand->call = call;
  const Mono deadline = services_.clock.mono() + options_.answer_patience;
  for (const auto& ask : result.asks) {
    auto answered = [this, x, errand, call, round, key = ask.key](Result<json::value> answer) {
      {
        const std::lock_guard lock(round->mutex);
        if (answer) {
          call->answers[key] = std::move(*answer);
        } else if (!round->failed) {
          round->failed = answer.error();
        }
        if (--round->open != 0) return;
      }
      services_.workers.submit_always([this, x, errand, round] {
        if (round->failed) return errand->end(fail(*round->failed));
        pursue(x, errand);
      });
    };
    x->notify(x->session->ask(ask.method, ask.params, deadline, std::move(answered)));
  }
}

Endpoint::Rendered Endpoint::render_protocol(const Exchange& x, const ProtocolError& error,
                                             std::string reason) {
  const auto id = x.rpc_id.empty() ? std::nullopt : std::optional<std::string_view>(x.rpc_id);
  return {refuse_protocol(id, error, x.request_id), std::move(reason)};
}

Endpoint::Rendered Endpoint::render_error(const Exchange& x, const Error& error) {
  const Era era = x.message.era;
  const std::string reason(to_string(error.code));
  if (x.message.method == "tools/call" || x.message.method.empty()) {
    const Disposition where = disposition(error.code);
    if (where.form == Disposition::Form::tool_error) {
      return {json_response(results_.tool_error_answer(x.rpc_id, era, error.message)), reason};
    }
    return render_protocol(x, {where.status, where.code, error.message, {}}, reason);
  }
  ProtocolError told = failure(error, era);
  if (x.message.method == "resources/read" && error.code == Code::not_found) {
    if (era == Era::legacy) told.code = rpc::kResourceNotFound;
    told.data = {{"uri", find_string(*x.message.params, "uri").value_or("")}};
  }
  return render_protocol(x, told, reason);
}

// Only what this client can answer is asked.
Endpoint::Rendered Endpoint::render_asks(const Exchange& x, const tools::ToolResult& result) {
  const tools::ClientAbilities client = abilities(x);
  std::vector<tools::InputRequest> asks;
  for (const auto& ask : result.asks) {
    if (can_ask(client, ask)) asks.push_back(ask);
  }
  if (asks.empty() && !result.asks.empty()) {
    return render_protocol(x,
                           {400,
                            rpc::kMissingCapability,
                            "This call has to ask something that your client does not support",
                            {{"requiredCapabilities", needed_abilities(result.asks)}}},
                           "missing_capability");
  }
  std::string state;
  if (!result.state.empty()) {
    state = handles_.state(handle_context(x, arguments_digest(x.message)), result.state,
                           services_.clock.wall() + kStateLifetime);
  }
  return {json_response(result_answer(x.rpc_id, results_.input_required(asks, state))),
          "input_required"};
}

Endpoint::Rendered Endpoint::render(const Exchange& x, const Result<tools::ToolResult>& result) {
  const Era era = x.message.era;
  if (!result) return render_error(x, result.error());
  if (result->denied) {
    Rendered told{refuse_scope(challenge_, *result->denied, x.request_id), "insufficient_scope"};
    told.recorded = true;
    return told;
  }
  // GET / has no message around it.
  if (x.message.method.empty()) {
    http::Response response = json_response(result->structured);
    response.add("Cache-Control", "no-store");
    return {std::move(response), "done"};
  }
  if (!result->asks.empty() || !result->state.empty()) return render_asks(x, *result);
  if (!result->task.empty()) {
    const auto task = services_.catalogue.tasks()->get(x.principal, result->task);
    if (!task) return render_error(x, task.error());
    return {json_response(result_answer(x.rpc_id, results_.task_created(*task))), "task"};
  }
  if (x.message.method == "prompts/get") {
    return {json_response(result_answer(x.rpc_id, results_.prompt(era, *result, result->text))),
            "done"};
  }
  if (x.message.method == "resources/read") {
    return {json_response(result_answer(x.rpc_id, results_.resource(era, *result))), "done"};
  }
  return {json_response(results_.tool_answer(x.rpc_id, era, *result)),
          result->failed ? "run_failed" : "done"};
}

// The work was done and its record could not be kept: a client that tried again would do it twice,
// so it is told what there is and not to come back.
Endpoint::Rendered Endpoint::render_unrecorded(const Exchange& x,
                                               const Result<tools::ToolResult>& result,
                                               const Error& error) {
  json::object data{{"retry", false}};
  std::string message =
      "The call was carried out, but its outcome could not be written to the audit journal. Do not "
      "repeat it.";
  if (result && !result->run_id.empty()) {
    data["execution_id"] = result->run_id;
    message += fmt::format(" Look at execution {} instead.", result->run_id);
  }
  log::error("an outcome was not recorded",
             {{"request_id", x.request_id}, {"detail", error.detail}});
  Rendered told = render_protocol(
      x, {500, rpc::kInternalError, std::move(message), std::move(data)}, "outcome_unrecorded");
  return told;
}

void Endpoint::answer(const ExchangePtr& x, Rendered rendered) {
  const int status = rendered.response.status;
  if (status >= 400 && status < 500 && x->principal && !rendered.recorded) {
    services_.journal.refused(refusal(*x, rendered.reason, status), -1);
  }
  send(x, std::move(rendered.response), rendered.reason);
}

void Endpoint::answer_call(const ExchangePtr& x, const Result<tools::ToolResult>& result) {
  answer(x, render(*x, result));
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
  const audit::Ticket ticket = services_.journal.note(
      *permit, intent(*x, prompt->spec.name, arguments.get_object()), x->request.loop);
  read(x, std::move(*permit), std::move(arguments.get_object()), ticket,
       [prompt, ticket](const auto& call, tools::Done done) {
         prompt->get(*call, ticket, std::move(done));
       });
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
  json::object arguments{{"uri", *uri}};
  const audit::Ticket ticket =
      services_.journal.note(*permit, intent(*x, printable(*uri, 128), arguments), x->request.loop);
  read(x, std::move(*permit), std::move(arguments), ticket,
       [family, ticket](const auto& call, tools::Done done) {
         family->read(*call, ticket, std::move(done));
       });
}

}  // namespace kubiya::mcp
