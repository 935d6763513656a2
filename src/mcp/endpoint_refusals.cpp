// SPDX-License-Identifier: Apache-2.0
//
// The side roads of the endpoint: refusals, documents, and what every answer shares.
#include <fmt/format.h>

#include "base/encoding.h"
#include "identity/credential.h"
#include "mcp/endpoint.h"

namespace kubiya::mcp {

using identity::Mode;

// Told to the client in the terms of the scheme it used.
bool Endpoint::came_with_dpop(const Exchange& x) {
  return identity::parse_authorization(x.headers.authorization.value, {"DPoP"}).has_value();
}

// A large body is read only for a caller who is somebody.
void Endpoint::admit(const http::Request& head, Admission decide) {
  RequestLog::enter(head.loop);
  const Exchange x(head, http::Responder(), next_request_id(head.loop));
  auto judge = [this, &x, decide = std::move(decide)](const identity::Verdict& verdict) {
    if (verdict) return decide(nullptr);
    const identity::Refused& refused = verdict.error();
    auto response = std::make_unique<http::Response>(credential_answer(x, refused.reason));
    record_credential(x, refused, response->status);
    log_.line(x, response->status, identity::to_string(refused.reason), services_.clock.mono());
    decide(std::move(response));
  };
  identity::Presented what = presented(head, x.headers, {});
  what.look_only = true;
  if (const auto verdict = services_.authenticator.now(what, head.loop)) return judge(*verdict);
  // Rare: a first token with a large body. Asking it to come back costs one retry and holds no
  // half-read body; until then the token is judged.
  learn(what, head.loop);
  judge(tl::unexpected(
      identity::Refused{identity::Reason::keys_unavailable, "large first body", {}, {}}));
}

// Whose body was refused has been let in by admit(), as a rule, so that his name is at hand.
void Endpoint::refused(const http::Refusal& told) {
  RequestLog::enter(told.loop);
  if (!told.request) return log_.broken(told, services_.clock.mono());
  Exchange x(*told.request, http::Responder(), next_request_id(told.loop));
  if (told.in_body) {
    identity::Presented what = presented(x.request, x.headers, {});
    what.look_only = true;
    auto verdict = services_.authenticator.now(what, told.loop);
    if (verdict && *verdict) {
      x.principal = std::move(**verdict);
      services_.journal.refused(refusal(x, told.reason, told.status), told.loop);
    }
  }
  log_.line(x, told.status, told.reason, services_.clock.mono());
}

void Endpoint::learn(const identity::Presented& presented, int loop) {
  const auto mailbox = loops_[static_cast<std::size_t>(loop)].mailbox;
  services_.authenticator.later(
      presented, loop,
      [mailbox](std::function<void()> work) {
        const std::lock_guard lock(mailbox->mutex);
        mailbox->work.push_back(std::move(work));
      },
      [](const identity::Verdict&) {});
}

void Endpoint::sweep(int loop) {
  std::vector<std::function<void()>> work;
  {
    Mailbox& mailbox = *loops_[static_cast<std::size_t>(loop)].mailbox;
    const std::lock_guard lock(mailbox.mutex);
    work.swap(mailbox.work);
  }
  for (const auto& one : work) one();
  services_.authenticator.turn(loop);
  services_.journal.flush_loop(loop);
  log_.flush(loop, services_.clock.mono());
  if (loop != 0 || ++sweeps_ % 4 != 0) return;
  sessions_.tick(services_.clock.mono());
  subscriptions_.tick(services_.clock.wall());
  // A revoked key ends what it opened, and so does the end of a person.
  const std::uint64_t epoch = services_.authenticator.credential_epoch();
  if (epoch != credential_epoch_) {
    credential_epoch_ = epoch;
    const auto good = [this](const Principal& principal) {
      return services_.authenticator.still_good(principal);
    };
    sessions_.end_unless(good);
    subscriptions_.end_unless(good);
  }
}

void Endpoint::flush() { log_.flush_all(); }

void Endpoint::send(const ExchangePtr& x, http::Response response, std::string_view reason) {
  const int status = response.status;
  if (x->session && !x->rpc_id.empty()) x->session->ended(x->rpc_id);
  x->answer(std::move(response));
  log_.line(*x, status, reason, services_.clock.mono());
}

void Endpoint::refuse_credential(const ExchangePtr& x, const identity::Refused& refused) {
  http::Response response = credential_answer(*x, refused.reason);
  record_credential(*x, refused, response.status);
  send(x, std::move(response), identity::to_string(refused.reason));
}

// A credential that nobody could have meant well counts against its peer. Having none, or one that
// has run out, is the ordinary way to a sign-in and must say so every time.
http::Response Endpoint::credential_answer(const Exchange& x, identity::Reason reason) {
  const bool counts =
      identity::http_status(reason) == 401 && reason != identity::Reason::no_credential &&
      reason != identity::Reason::token_expired && reason != identity::Reason::nonce_required;
  const auto peer = counts ? http::parse_address(x.request.peer) : std::nullopt;
  if (peer && !bad_credentials_.take(*peer, services_.clock.mono())) {
    return refuse_repeated(bad_credentials_.pause(), x.request_id);
  }
  http::Response response =
      mcp::refuse_credential(challenge_, reason, x.request_id, came_with_dpop(x));
  if (reason == identity::Reason::nonce_required) {
    response.add("DPoP-Nonce", services_.authenticator.proof_nonce());
  }
  return response;
}

void Endpoint::record_credential(const Exchange& x, const identity::Refused& refused, int status) {
  audit::RefusedCall call = refusal(x, identity::to_string(refused.reason), status);
  call.detail = refused.detail;
  call.claimed_issuer = refused.claimed_issuer;
  call.claimed_subject = refused.claimed_subject;
  services_.journal.refused(call, x.request.loop);
}

void Endpoint::refuse_denied(const ExchangePtr& x, const policy::Operation& operation,
                             const policy::Denied& denied) {
  if (denied.reason == policy::Refusal::no_api_key) {
    services_.journal.refused(refusal(*x, "no_api_key", 200), x->request.loop);
    return send(
        x,
        json_response(results_.tool_error_answer(
            x->rpc_id, x->message.era,
            "No API token provided: your token is valid but leads to no Kubiya API key. Have your "
            "identity provider put it in the claim kubiya_api_key (or api_key, or "
            "metadata.kubiya_api_key) and sign in again.")),
        "no_api_key");
  }
  audit::RefusedCall call = refusal(*x, "insufficient_scope", 403);
  call.operation = operation.name;
  call.detail = "missing: " + denied.missing.text();
  services_.journal.refused(call, x->request.loop);
  send(x, refuse_scope(challenge_, denied, x->request_id, came_with_dpop(*x)),
       "insufficient_scope");
}

void Endpoint::refuse_message(const ExchangePtr& x, const ProtocolError& error,
                              std::string_view reason) {
  if (x->principal && error.status < 500) {
    services_.journal.refused(refusal(*x, reason, error.status), -1);
  }
  const auto id = x->rpc_id.empty() ? std::nullopt : std::optional<std::string_view>(x->rpc_id);
  send(x, refuse_protocol(id, error, x->request_id), reason);
}

void Endpoint::refuse_params(const ExchangePtr& x, std::string message) {
  // Only the modern era has a status for parameters that are well formed and name nothing.
  refuse_message(
      x, {x->message.era == Era::modern ? 400 : 200, rpc::kInvalidParams, std::move(message), {}},
      "bad_params");
}

void Endpoint::refuse_capability(const ExchangePtr& x, json::object needed) {
  refuse_message(x,
                 {400,
                  rpc::kMissingCapability,
                  "This needs a capability that your client did not declare",
                  {{"requiredCapabilities", std::move(needed)}}},
                 "missing_capability");
}

void Endpoint::refuse_http_request(const ExchangePtr& x, int status, std::string_view error,
                                   std::string_view message) {
  if (x->principal) services_.journal.refused(refusal(*x, error, status), -1);
  send(x, refuse_http(status, error, message, x->request_id), error);
}

// The model can read this and correct itself, so it is a result and not a protocol error.
void Endpoint::refuse_arguments(const ExchangePtr& x, std::string_view reason,
                                const std::string& message) {
  services_.journal.refused(refusal(*x, reason, 200), x->request.loop);
  send(x, json_response(results_.tool_error_answer(x->rpc_id, x->message.era, message)), reason);
}

void Endpoint::document(const ExchangePtr& x, const std::string& body, std::string_view cache) {
  http::Response response;
  response.body = body;
  response.add("Cache-Control", cache);
  send(x, std::move(response), "document");
}

// What clients read to learn where to sign in. Without an issuer there is nowhere.
void Endpoint::authorization_server(const ExchangePtr& x) {
  if (challenge_.mode == Mode::api_key) {
    return send(x,
                refuse_http(404, "not_found",
                            "This server has no authorization server: callers present a Kubiya API "
                            "key. Start it with --auth-server to let them sign in.",
                            x->request_id),
                "no_authorization_server");
  }
  // Of several, the first: a client that knows this document only must not be sent to one today
  // and to another tomorrow.
  if (const auto metadata = services_.authenticator.issuers().front()->metadata()) {
    return document(x, *metadata, "public, max-age=300");
  }
  send(x,
       refuse_http(503, "temporarily_unavailable", "The identity provider has not been reached yet",
                   x->request_id),
       "keys_unavailable");
}

void Endpoint::other_method(const ExchangePtr& x, std::string_view allowed) {
  if (x->request.method == "OPTIONS") {
    http::Response response;
    response.status = 204;
    response.add("Allow", allowed);
    return send(x, std::move(response), "options");
  }
  send(x, refuse_method(allowed, x->request_id), "method_not_allowed");
}

void Endpoint::not_found(const ExchangePtr& x) {
  send(x,
       refuse_http(404, "not_found",
                   fmt::format("Nothing is served here; MCP answers at {}", options_.mcp_path),
                   x->request_id),
       "not_found");
}

// GET / with a credential tells who you are: the answer of whoami without the envelope.
void Endpoint::identify(const ExchangePtr& x) {
  const tools::Tool* tool = services_.catalogue.tools().find("whoami");
  if (tool == nullptr) return refuse_http_request(x, 404, "not_found", "There is no whoami here");
  x->tool = "whoami";
  auto permit = services_.policy.decide(x->principal, tool->operation());
  if (!permit) return refuse_denied(x, tool->operation(), permit.error());
  read_at_once(x, *tool, std::move(*permit), {});
}

audit::Intent Endpoint::intent(const Exchange& x, std::string target,
                               const json::object& arguments) const {
  audit::Intent what;
  what.request_id = x.request_id;
  what.peer = x.request.peer;
  what.era = x.message.version;
  what.target = std::move(target);
  what.arguments = &arguments;
  return what;
}

audit::RefusedCall Endpoint::refusal(const Exchange& x, std::string_view reason, int status) const {
  audit::RefusedCall call;
  call.request_id = x.request_id;
  call.peer = x.request.peer;
  call.era = x.message.version;
  call.operation = x.tool;
  if (x.received) describe_asked(call, x);
  call.principal = x.principal;
  call.reason = reason;
  call.status = status;
  return call;
}

// What was asked for. The operation is one of ours or "*": a stranger who makes up names must not
// fill the table in which refusals are counted.
void Endpoint::describe_asked(audit::RefusedCall& call, const Exchange& x) const {
  const Message& message = x.message;
  const bool known = find_method(message) != nullptr;
  call.operation = known ? message.method : "*";
  if (!known) call.target = printable_redacted(message.method, 128);
  if (message.method != "tools/call" || !message.params) return;
  const std::string_view name = find_string(*message.params, "name").value_or("");
  call.target = printable_redacted(name, 128);
  if (const auto arguments = find_object(*message.params, "arguments")) {
    call.arguments = std::move(arguments->value().as_object());
  }
  const tools::Tool* tool = services_.catalogue.tools().find(name);
  if (tool == nullptr) return;
  call.operation = tool->operation().name;
  const std::string& target = tool->spec().target_argument;
  call.target = call.arguments && !target.empty()
                    ? printable_redacted(find_string(*call.arguments, target).value_or(""), 128)
                    : "";
}

identity::Presented Endpoint::presented(const http::Request& request, const Headers& headers,
                                        std::string_view argument_key) const {
  identity::Presented what;
  what.authorization = headers.authorization.value;
  what.authorization_count = headers.authorization.count;
  what.api_key = headers.api_key.value;
  what.api_key_count = headers.api_key.count;
  what.loopback = request.loopback;
  what.argument_key = argument_key;
  what.request = &request;
  if (!request.query.empty()) {
    const std::string query = "&" + lower(request.query);
    what.credential_in_query = query.find("&access_token=") != std::string::npos ||
                               query.find("&api_key=") != std::string::npos;
  }
  return what;
}

// In API-key mode a client whose key is the tool's argument has none for the handshake. What these
// methods tell is the same for everybody and nobody's data.
bool Endpoint::is_open_method(std::string_view method) const {
  if (challenge_.mode != Mode::api_key) return false;
  return method == "initialize" || method == "ping" || method == "server/discover" ||
         method == "tools/list" || method.starts_with("notifications/");
}

std::string Endpoint::next_request_id(int loop) {
  PerLoop& mine = loops_[static_cast<std::size_t>(loop)];
  std::string id = mine.id_prefix + "0000000000000000";
  std::uint64_t left = ++mine.requests;
  for (std::size_t at = id.size(); left != 0 && at > mine.id_prefix.size(); left >>= 4) {
    id[--at] = "0123456789abcdef"[left & 15];
  }
  return id;
}

}  // namespace kubiya::mcp
