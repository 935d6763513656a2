// SPDX-License-Identifier: Apache-2.0
#include "mcp/endpoint.h"

#include <fmt/format.h>

#include "base/encoding.h"
#include "base/ids.h"
#include "mcp/secret_page.h"

namespace kubiya::mcp {
namespace {

using identity::Mode;
using identity::Reason;

constexpr std::string_view kResourceRoot = "/.well-known/oauth-protected-resource";
constexpr std::string_view kServerMetadata = "/.well-known/oauth-authorization-server";

Offers offers_of(const tools::Catalogue& catalogue, Mode mode) {
  Offers offers;
  offers.authorization = mode == Mode::token;
  offers.prompts = !catalogue.prompts().empty();
  offers.resources = !catalogue.families().empty();
  offers.completions = offers.prompts || offers.resources;
  offers.tasks = catalogue.tasks() != nullptr;
  for (const auto& tool : catalogue.tools().tools())
    offers.apps = offers.apps || tool->spec().meta.contains("ui");
  return offers;
}

// HEAD is GET whose body stays here (RFC 9110 §9.3.2).
bool is_get(std::string_view method) { return method == "GET" || method == "HEAD"; }

}  // namespace

Endpoint::Endpoint(EndpointOptions options, EndpointServices services)
    : options_(std::move(options)),
      services_(std::move(services)),
      results_(options_.info, offers_of(services_.catalogue, services_.authenticator.mode())),
      handles_(options_.handle_secret),
      log_(options_.logging, options_.loops, options_.log_strangers_per_second),
      bad_credentials_(options_.bad_credentials_per_minute, options_.bad_credential_peers),
      handshake_{"handshake", {}, policy::Effect::reads, false},
      get_prompt_{"get_prompt", {"read"}, policy::Effect::reads, false},
      resource_document_(identity::protected_resource_document(options_.resource)),
      resource_path_(std::string(kResourceRoot) + options_.mcp_path),
      loops_(static_cast<std::size_t>(options_.loops)),
      places_(options_.calls),
      streams_(options_.streams),
      sessions_(options_.sessions, services_.clock) {
  challenge_.mode = services_.authenticator.mode();
  challenge_.metadata_url = identity::metadata_url(options_.resource.resource);
  challenge_.realm = options_.info.name;
  challenge_.scope_prefix = options_.scope_prefix;
  challenge_.sign_in_scopes = options_.sign_in_scopes;
  for (const std::string& name : options_.resource.dpop_algorithms) {
    challenge_.dpop_algorithms += (challenge_.dpop_algorithms.empty() ? "" : " ") + name;
  }
  challenge_.dpop_required = options_.resource.dpop_required;
  // A client signs in with what the first challenge names, and is shown the tools that this allows:
  // what people come for must be among them, or nothing would ever ask for more.
  challenge_.scopes = services_.policy.required().unite({"read"}).unite(
      services_.catalogue.tools().scopes().intersect({"execute"}));
  for (auto& loop : loops_) loop.id_prefix = random_id().substr(0, 16);
  services_.catalogue.changes().listen(
      [this](tools::Changes::List list, const std::string& tenant) { publish(list, tenant); });
}

Endpoint::~Endpoint() { services_.catalogue.changes().forget(); }

void Endpoint::handle(const http::Request& request, http::Responder responder) {
  RequestLog::enter(request.loop);
  const auto x =
      std::make_shared<Exchange>(request, std::move(responder), next_request_id(request.loop));
  const bool get = is_get(request.method);
  const std::string_view path = request.path;
  if (path == options_.mcp_path || path == "/") {
    if (request.method == "POST") return begin(x);
    // With a session these are of the legacy era: its stream, and its end.
    if (x->headers.session.count != 0 && (request.method == "GET" || request.method == "DELETE")) {
      return authenticate(x, {});
    }
    // A GET that wants events without a session asks for a stream that belongs to nobody.
    const bool identifies = path == "/";
    if (get && identifies && !x->headers.accept.value.starts_with("text/event-stream")) {
      return authenticate(x, {});
    }
    return other_method(x, identifies ? "GET, HEAD, POST, OPTIONS" : "POST, OPTIONS");
  }
  if (path.starts_with(kOncePath)) return one_time(x);
  if (path.starts_with(kAskPath)) return ask_secrets(x);
  const bool metadata = path == kResourceRoot || path == resource_path_ || path == kServerMetadata;
  if (path != "/healthz" && path != "/readyz" && !metadata) return not_found(x);
  if (!get) return other_method(x, "GET, HEAD, OPTIONS");
  if (path == "/healthz") return document(x, R"({"status":"ok"})", "no-store");
  if (path == "/readyz") {
    const Readiness readiness = services_.readiness();
    http::Response response =
        json_response(request.loopback ? readiness.whole_json_text : readiness.json_text);
    response.status = readiness.ready ? 200 : 503;
    response.add("Cache-Control", "no-store");
    return send(x, std::move(response), "readiness");
  }
  if (challenge_.mode != Mode::token || path == kServerMetadata) return authorization_server(x);
  document(x, resource_document_, "public, max-age=300");
}

void Endpoint::handle_line(const http::Request& request, http::Responder responder) {
  RequestLog::enter(request.loop);
  const auto x = std::make_shared<Exchange>(request, std::move(responder),
                                            next_request_id(request.loop), Exchange::no_headers);
  begin(x);
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
  identity::Presented what = presented(x->request, x->headers, argument_key);
  what.proof_taken = x->key_provided;
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
    // Each message of a batch is judged by itself.
    const bool open = verdict.error().reason == Reason::no_credential && x->received &&
                      (!x->batch.empty() || is_open_method(x->message.method));
    if (!open) return refuse_credential(x, verdict.error());
  } else {
    x->principal = std::move(*verdict);
  }
  if (x->request.method == "DELETE") return end_session(x);
  if (x->request.method == "GET" && x->headers.session.count != 0) return open_session_stream(x);
  if (is_get(x->request.method)) return identify(x);
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
  if (!x->batch.empty()) return run_batch(x);
  dispatch(x);
}

bool Endpoint::receive(const ExchangePtr& x) {
  if (!is_json_content(x->headers.content_type.value) || x->headers.content_encoding.count != 0) {
    refuse_http_request(x, 415, "unsupported_media_type",
                        "Send Content-Type: application/json, not encoded");
    return false;
  }
  x->accepts = parse_accept(x->headers.accept.value);
  if (!x->accepts.json && !x->accepts.events) {
    refuse_http_request(x, 406, "not_acceptable", "Accept application/json or text/event-stream");
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
  if (x->body.root().kind() == JsonView::Kind::array) return begin_batch(x);
  return understand(x, x->body.root());
}

bool Endpoint::understand(const ExchangePtr& x, JsonView body) {
  if (x->headers.session.count != 0) {
    x->session_version = sessions_.version_of(x->headers.session.value);
  }
  Decoded decoded = decode(body, x->headers.mirrored, x->session_version);
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
  if (message.era == Era::legacy && !join_session(x)) return;
  if (message.kind == Message::Kind::response) return take_response(x);
  if (message.kind == Message::Kind::notification) {
    if (message.method == "notifications/cancelled" && x->session && message.params) {
      const auto id = message.params->find("requestId");
      if (id) x->session->cancel(id->text());
    }
    http::Response accepted = json_response({});
    accepted.status = 202;
    return send(x, std::move(accepted), "notification");
  }
  if (message.method == "tools/call") return call_tool(x);
  if (const Method* method = find_method(message)) return (this->*method->serve)(x);
  // Only the modern era gives an unknown method a status of its own.
  refuse_message(x,
                 {message.era == Era::modern ? 404 : 200,
                  rpc::kMethodNotFound,
                  fmt::format("Method not found: {}", printable(message.method)),
                  {}},
                 "unknown_method");
}

const std::vector<Endpoint::Method>& Endpoint::methods() {
  static const std::vector<Method> kMethods{
      {"tools/call", true, true, &Endpoint::call_tool, nullptr},
      {"tools/list", true, true, &Endpoint::list_tools, nullptr},
      {"server/discover", true, false, &Endpoint::discover, nullptr},
      {"initialize", false, true, &Endpoint::initialize, nullptr},
      {"ping", false, true, &Endpoint::ping, nullptr},
      {"logging/setLevel", false, true, &Endpoint::set_log_level, nullptr},
      {"prompts/list", true, true, &Endpoint::list_prompts, &Offers::prompts},
      {"prompts/get", true, true, &Endpoint::get_prompt, &Offers::prompts},
      {"resources/list", true, true, &Endpoint::list_resources, &Offers::resources},
      {"resources/templates/list", true, true, &Endpoint::list_templates, &Offers::resources},
      {"resources/read", true, true, &Endpoint::read_resource, &Offers::resources},
      {"resources/subscribe", false, true, &Endpoint::subscribe, &Offers::resources},
      {"resources/unsubscribe", false, true, &Endpoint::unsubscribe, &Offers::resources},
      {"completion/complete", true, true, &Endpoint::complete, &Offers::completions},
      {"subscriptions/listen", true, false, &Endpoint::listen, nullptr},
      {"tasks/get", true, false, &Endpoint::get_task, &Offers::tasks},
      {"tasks/update", true, false, &Endpoint::update_task, &Offers::tasks},
      {"tasks/cancel", true, false, &Endpoint::cancel_task, &Offers::tasks}};
  return kMethods;
}

const Endpoint::Method* Endpoint::find_method(const Message& message) const {
  for (const Method& method : methods()) {
    if (method.name != message.method) continue;
    const bool here = message.era == Era::modern ? method.modern : method.legacy;
    const bool offered = method.offer == nullptr || results_.offers().*method.offer;
    return here && offered ? &method : nullptr;
  }
  return nullptr;
}

}  // namespace kubiya::mcp
