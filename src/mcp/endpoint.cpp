// SPDX-License-Identifier: Apache-2.0
#include "mcp/endpoint.h"

#include <fmt/format.h>

#include "base/encoding.h"
#include "base/ids.h"

namespace kubiya::mcp {
namespace {

using identity::Mode;
using identity::Reason;
using policy::Effect;

constexpr std::string_view kResourceRoot = "/.well-known/oauth-protected-resource";
constexpr std::string_view kServerMetadata = "/.well-known/oauth-authorization-server";

// Of parameters that are well formed and name nothing we have.
int bad_params_status(Era era) { return era == Era::modern ? 400 : 200; }

policy::Asked asked(const tools::Tool& tool, const json::object& arguments) {
  const bool names = tool.spec().target_argument == "name";
  return {names ? find_string(arguments, "name").value_or("") : "", &arguments,
          !tool.spec().decides_again};
}

audit::Outcome outcome_of(const Result<tools::ToolResult>& result) {
  audit::Outcome outcome;
  outcome.ok = result.has_value() && !result->failed;
  if (result) {
    outcome.reason = result->reason;
    outcome.run_id = result->run_id;
    outcome.target = result->target;
    outcome.digest = result->digest;
  } else {
    outcome.code = result.error().code;
    outcome.reason = to_string(result.error().code);
  }
  return outcome;
}

}  // namespace

Endpoint::Endpoint(EndpointOptions options, EndpointServices services)
    : options_(std::move(options)),
      services_(std::move(services)),
      results_(options_.info, services_.registry),
      log_(options_.logging, options_.loops),
      handshake_{"handshake", {}, Effect::reads, false},
      resource_document_(identity::protected_resource_document(options_.resource)),
      resource_path_(std::string(kResourceRoot) + options_.mcp_path),
      loops_(static_cast<std::size_t>(options_.loops)) {
  challenge_.mode = services_.authenticator.mode();
  challenge_.metadata_url = identity::metadata_url(options_.resource.resource);
  challenge_.realm = options_.info.name;
  challenge_.scope_prefix = options_.scope_prefix;
  challenge_.scopes = services_.policy.required().unite({"read"});
  for (auto& loop : loops_) loop.id_prefix = random_id().substr(0, 16);
}

void Endpoint::handle(const http::Request& request, http::Responder responder) {
  RequestLog::enter(request.loop);
  const auto x =
      std::make_shared<Exchange>(request, std::move(responder), next_request_id(request.loop));
  const bool get = request.method == "GET";
  if (request.path == options_.mcp_path || request.path == "/") {
    if (request.method == "POST") return begin(x);
    // A GET that wants events is a legacy client asking for a stream, which this server does not
    // offer.
    if (get && request.path == "/" && !x->headers.accept.value.starts_with("text/event-stream")) {
      return authenticate(x, {});
    }
    return send(
        x, refuse_http(405, "method_not_allowed", "MCP messages are sent with POST", x->request_id),
        "method_not_allowed");
  }
  if (get && request.path == "/healthz") return document(x, R"({"status":"ok"})", "no-store");
  if (get && request.path == "/readyz") {
    const Readiness readiness = services_.readiness();
    http::Response response = json_response(readiness.json_text);
    response.status = readiness.ready ? 200 : 503;
    return send(x, std::move(response), "readiness");
  }
  if (get && challenge_.mode == Mode::token) {
    if (request.path == kResourceRoot || request.path == resource_path_) {
      return document(x, resource_document_, "public, max-age=300");
    }
    if (request.path == kServerMetadata) {
      // Of several, the first: a client that knows this document only must not be sent to one
      // today and to another tomorrow.
      if (const auto metadata = services_.authenticator.issuers().front()->metadata()) {
        return document(x, *metadata, "public, max-age=300");
      }
      return send(x,
                  refuse_http(503, "temporarily_unavailable",
                              "The identity provider has not been reached yet", x->request_id),
                  "keys_unavailable");
    }
  }
  send(x,
       refuse_http(404, "not_found",
                   fmt::format("Nothing is served here; MCP answers at {}", options_.mcp_path),
                   x->request_id),
       "not_found");
}

// In API-key mode the key may be the tool's argument: then, and only then, the body is read before
// the credential is checked, and a small body only.
void Endpoint::begin(const ExchangePtr& x) {
  const bool in_body = challenge_.mode == Mode::api_key && x->headers.authorization.count == 0 &&
                       x->headers.api_key.count == 0;
  if (in_body) {
    if (x->request.body.size() > options_.early_body_bytes) {
      return refuse_credential(x,
                               {Reason::no_credential, "body too large to look for a key", {}, {}});
    }
    if (!receive(x)) return;
  }
  authenticate(x, {});
}

void Endpoint::authenticate(const ExchangePtr& x, std::string_view argument_key) {
  if (argument_key.empty() && x->received && x->message.params) {
    if (const auto arguments = find_object(*x->message.params, "arguments")) {
      argument_key = find_string(*arguments, "api_key").value_or("");
    }
  }
  const identity::Presented what = presented(x->request, x->headers, argument_key);
  const int loop = x->request.loop;
  auto verdict = services_.authenticator.now(what, loop);
  if (services_.authenticator.needs_turn(loop)) {
    x->post([this, loop] { services_.authenticator.turn(loop); });
  }
  if (verdict) {
    return authenticated(x, std::move(*verdict), argument_key);
  }
  services_.authenticator.later(
      what, x->request.loop, [x](std::function<void()> work) { x->post(std::move(work)); },
      [this, x, argument_key](identity::Verdict late) {
        authenticated(x, std::move(late), argument_key);
      });
}

void Endpoint::authenticated(const ExchangePtr& x, identity::Verdict verdict,
                             std::string_view argument_key) {
  if (!verdict) {
    const bool open = verdict.error().reason == Reason::no_credential && x->received &&
                      is_open_method(x->message.method);
    if (!open) return refuse_credential(x, verdict.error());
  } else {
    x->principal = std::move(*verdict);
  }
  if (x->request.method == "GET") return identify(x);
  if (!x->received) {
    if (!receive(x)) return;
    // A key in the header and another in the arguments: the authenticator decides with both in
    // view.
    if (challenge_.mode == Mode::api_key && argument_key.empty() &&
        x->message.method == "tools/call" && x->message.params) {
      const auto arguments = find_object(*x->message.params, "arguments");
      if (arguments && find_string(*arguments, "api_key")) return authenticate(x, {});
    }
  }
  dispatch(x);
}

bool Endpoint::receive(const ExchangePtr& x) {
  if (!is_json_content(x->headers.content_type.value) || x->headers.content_encoding.count != 0) {
    send(x,
         refuse_http(415, "unsupported_media_type",
                     "Send Content-Type: application/json, not encoded", x->request_id),
         "unsupported_media_type");
    return false;
  }
  x->accepts = parse_accept(x->headers.accept.value);
  if (!x->accepts.json && !x->accepts.events) {
    send(x,
         refuse_http(406, "not_acceptable", "Accept application/json or text/event-stream",
                     x->request_id),
         "not_acceptable");
    return false;
  }
  if (const auto parsed = x->body.read(x->request.body); !parsed) {
    // A repeated member is well-formed JSON with two readings: a bad request, not a bad text.
    const bool duplicate = parsed.error().message == "duplicate member";
    refuse_message(x,
                   {400,
                    duplicate ? rpc::kInvalidRequest : rpc::kParseError,
                    "The body is not acceptable JSON: " + parsed.error().message,
                    {}},
                   "bad_json");
    return false;
  }
  Decoded decoded = decode(x->body.root(), x->headers.mirrored);
  x->rpc_id = decoded.id;
  if (!decoded.message) {
    refuse_message(x, decoded.message.error(), "bad_message");
    return false;
  }
  x->message = *decoded.message;
  x->received = true;
  return true;
}

void Endpoint::dispatch(const ExchangePtr& x) {
  const Message& message = x->message;
  if (message.id.empty()) {
    http::Response accepted = json_response({});
    accepted.status = 202;
    return send(x, std::move(accepted), "notification");
  }
  if (message.method == "tools/call") return call_tool(x);
  if (message.method == "tools/list") {
    // The list is one page, so no cursor was ever given out.
    if (message.params && message.params->find("cursor")) {
      return refuse_message(
          x, {bad_params_status(message.era), rpc::kInvalidParams, "Unknown cursor", {}},
          "bad_params");
    }
    if (!x->principal) return handshake(x, results_.tools_list(message.era));
    return handshake(x, results_.tools_list(message.era, [&](const tools::Tool& tool) {
      return services_.policy.may_ever(*x->principal, tool.operation());
    }));
  }
  if (message.era == Era::modern) {
    if (message.method == "server/discover") return handshake(x, results_.discover());
  } else {
    if (message.method == "initialize") {
      const auto wanted =
          message.params ? find_string(*message.params, "protocolVersion") : std::nullopt;
      if (!wanted) {
        return refuse_message(
            x, {400, rpc::kInvalidParams, "params.protocolVersion is required", {}}, "bad_params");
      }
      return handshake(x, results_.initialize(*wanted));
    }
    if (message.method == "ping") return handshake(x, results_.empty());
  }
  // Only the modern era gives an unknown method a status of its own.
  refuse_message(x,
                 {message.era == Era::modern ? 404 : 200,
                  rpc::kMethodNotFound,
                  fmt::format("Method not found: {}", printable(message.method)),
                  {}},
                 "unknown_method");
}

// Methods that concern no one's data: the server-wide scopes suffice.
void Endpoint::handshake(const ExchangePtr& x, const std::string& result) {
  if (x->principal) {
    auto permit = services_.policy.decide(x->principal, handshake_);
    if (!permit) return refuse_denied(x, handshake_, permit.error());
    audit::Intent what;
    what.request_id = x->request_id;
    what.peer = x->request.peer;
    what.era = x->message.version;
    what.target = x->message.method;
    const audit::Ticket ticket = services_.journal.note(*permit, what, x->request.loop);
    services_.journal.finish(ticket,
                             {.code = {}, .ok = true, .reason = "done", .run_id = {}, .target = {}},
                             x->request.loop);
  }
  send(x, json_response(result_answer(x->rpc_id, result)), "done");
}

void Endpoint::call_tool(const ExchangePtr& x) {
  const auto name = x->message.params ? find_string(*x->message.params, "name") : std::nullopt;
  if (!name)
    return refuse_message(x, {400, rpc::kInvalidParams, "params.name is required", {}},
                          "bad_params");
  const tools::Tool* tool = services_.registry.find(*name);
  if (tool == nullptr) {
    return refuse_message(x,
                          {bad_params_status(x->message.era),
                           rpc::kInvalidParams,
                           "Unknown tool: " + printable(*name),
                           {}},
                          "unknown_tool");
  }
  x->tool = tool->operation().name;
  const auto given = x->message.params->find("arguments");
  if (given && given->kind() != JsonView::Kind::object) {
    return refuse_message(x, {400, rpc::kInvalidParams, "params.arguments must be an object", {}},
                          "bad_params");
  }
  json::value arguments = given ? given->value() : json::object{};
  auto permit = services_.policy.decide(x->principal, tool->operation(),
                                        asked(*tool, arguments.get_object()));
  if (!permit) return refuse_denied(x, tool->operation(), permit.error());
  if (const json::value* key = find(arguments.get_object(), "api_key")) {
    if (challenge_.mode == Mode::token) {
      return refuse_arguments(
          x, "argument_key_refused",
          "The api_key argument is not accepted here: your Kubiya API key comes from your token. "
          "Call again without it.");
    }
    if (!key->is_string())
      return refuse_arguments(x, "invalid_arguments", "api_key must be a string");
    // The credential was taken from it, whichever the tool; nothing behind this line may see it.
    arguments.get_object().erase("api_key");
  }
  if (const auto wrong = tool->check(arguments))
    return refuse_arguments(x, "invalid_arguments", *wrong);
  json::object owned = std::move(arguments.get_object());
  if (x->headers.idempotency_key.count > 1) {
    return refuse_arguments(x, "invalid_arguments",
                            "The Idempotency-Key header is repeated: send it once");
  }
  if (tool->operation().effect == Effect::reads) {
    read(x, *tool, std::move(*permit), std::move(owned));
  } else {
    mutate(x, *tool, std::move(*permit), std::move(owned));
  }
}

void Endpoint::read(const ExchangePtr& x, const tools::Tool& tool, policy::Permit permit,
                    json::object arguments) {
  const int loop = x->request.loop;
  const audit::Ticket ticket = services_.journal.note(permit, intent(*x, tool, arguments), loop);
  tools::Call given{std::move(permit), std::move(arguments), x->request_id, std::nullopt, nullptr};
  if (tool.spec().placement == tools::Placement::loop) {
    const auto finish = [&](const Result<tools::ToolResult>& result) {
      services_.journal.finish(ticket, outcome_of(result), loop);
      answer_call(x, result);
    };
    return tool.read(given, ticket, std::cref(finish));
  }
  const auto call = std::make_shared<const tools::Call>(std::move(given));
  std::function<void()> work = [this, x, &tool, call, ticket] {
    tool.read(*call, ticket, [this, x, ticket](Result<tools::ToolResult> result) {
      services_.journal.finish(ticket, outcome_of(result), -1);
      answer_call(x, result);
    });
  };
  if (!services_.workers.submit(work)) {
    const Result<tools::ToolResult> busy =
        fail(Code::busy, "The server is busy; try again shortly");
    services_.journal.finish(ticket, outcome_of(busy), loop);
    answer_call(x, busy);
  }
}

// Nothing happens before the intent is on disk; whatever happened, its outcome follows.
void Endpoint::mutate(const ExchangePtr& x, const tools::Tool& tool, policy::Permit permit,
                      json::object arguments) {
  if (in_flight_.fetch_add(1) >= options_.calls_in_flight) {
    in_flight_.fetch_sub(1);
    return answer_call(x, fail(Code::busy, "Too many calls are under way; try again shortly"));
  }
  auto call = std::make_shared<tools::Call>(
      tools::Call{std::move(permit), std::move(arguments), x->request_id, std::nullopt, nullptr});
  if (const auto key = x->headers.idempotency_key.value; !key.empty())
    call->idempotency_key = std::string(key);
  if (!x->message.progress_token.empty() && x->accepts.events) {
    call->progress = [x, token = x->message.progress_token](
                         double progress, std::optional<double> total, std::string_view message) {
      x->notify(progress_notification(token, progress, total, message));
    };
  }
  services_.journal.begin(
      call->permit, intent(*x, tool, call->arguments),
      [this, x, &tool, call](Result<audit::DurableTicket> begun) {
        if (!begun) {
          in_flight_.fetch_sub(1);
          return answer_call(x, fail(begun.error()));
        }
        auto ticket = std::make_shared<const audit::DurableTicket>(std::move(*begun));
        services_.workers.submit_always([this, x, &tool, call, ticket] {
          tool.mutate(call, *ticket, [this, x, ticket](Result<tools::ToolResult> result) {
            // Answered means recorded, the outcome too.
            services_.journal.finish(*ticket, outcome_of(result),
                                     [this, x, ticket, result](Result<> recorded) {
                                       in_flight_.fetch_sub(1);
                                       answer_call(x, recorded ? result : fail(recorded.error()));
                                     });
          });
        });
      });
}

void Endpoint::answer_call(const ExchangePtr& x, const Result<tools::ToolResult>& result) {
  const Era era = x->message.era;
  if (result && result->denied) {
    // Its outcome is recorded already.
    return send(x, refuse_scope(challenge_, *result->denied, x->request_id), "insufficient_scope");
  }
  if (result) {
    if (x->request.method == "GET") return send(x, json_response(result->structured), "done");
    return send(x, json_response(results_.tool_answer(x->rpc_id, era, *result)),
                result->failed ? "run_failed" : "done");
  }
  const Error& error = result.error();
  const Disposition where = disposition(error.code);
  if (where.form == Disposition::Form::tool_error) {
    return send(x, json_response(results_.tool_error_answer(x->rpc_id, era, error.message)),
                to_string(error.code));
  }
  refuse_message(x, {where.status, where.code, error.message, {}}, to_string(error.code));
}

}  // namespace kubiya::mcp
