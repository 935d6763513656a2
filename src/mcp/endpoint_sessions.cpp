// SPDX-License-Identifier: Apache-2.0
//
// The legacy era's own: sessions, their streams, what clients answer, batches.
#include <algorithm>

#include <fmt/format.h>

#include "base/encoding.h"
#include "mcp/abilities.h"
#include "mcp/endpoint.h"

namespace kubiya::mcp {
namespace {

constexpr std::size_t kBatchMax = 64;

// The answers to the messages of a batch, sent together when all are there.
class BatchAnswer {
 public:
  BatchAnswer(ExchangePtr x, std::size_t open) : x_(std::move(x)), open_(open) {}

  void add(http::Response response) {
    const std::lock_guard lock(mutex_);
    if (!response.body.empty()) {
      if (!bodies_.empty()) bodies_ += ',';
      bodies_ += response.body;
    }
    if (--open_ != 0) return;
    http::Response whole = json_response(bodies_.empty() ? "" : "[" + bodies_ + "]");
    if (bodies_.empty()) whole.status = 202;
    x_->answer(std::move(whole));
  }

 private:
  const ExchangePtr x_;
  std::mutex mutex_;
  std::size_t open_;
  std::string bodies_;
};

// Where one message of a batch is answered. A refusal of HTTP becomes one of JSON-RPC, as the
// other messages may have been served.
class BatchSlot final : public http::Responder::Impl {
 public:
  BatchSlot(std::shared_ptr<BatchAnswer> answer, ExchangePtr whole)
      : answer_(std::move(answer)), whole_(std::move(whole)) {}

  // The id is known once the message was read; before that an error has none.
  void set_id(std::string id) { id_ = std::move(id); }

  void send(http::Response&& response) override {
    const bool rpc = response.body.empty() || response.body.starts_with(R"({"jsonrpc")");
    if (!rpc) {
      const auto told = parse_json(response.body);
      const std::string_view message =
          told && told->is_object() ? find_string(told->get_object(), "message").value_or("Refused")
                                    : "Refused";
      const auto id = id_.empty() ? std::nullopt : std::optional<std::string_view>(id_);
      response.body = error_answer(id, {response.status,
                                        rpc::kInvalidRequest,
                                        std::string(message),
                                        {{"status", response.status}}});
    }
    answer_->add(std::move(response));
  }
  http::EventStream stream(http::Response&&) override {
    ASSERT(false, "messages of a batch are answered together");
    return {};
  }
  bool open() const override { return whole_->is_awaited(); }
  void post(std::function<void()> work) override { whole_->post(std::move(work)); }

 private:
  const std::shared_ptr<BatchAnswer> answer_;
  const ExchangePtr whole_;
  std::string id_;
};

}  // namespace

// False when the request is answered already: it names a session that is not there for it.
bool Endpoint::join_session(const ExchangePtr& x) {
  if (x->headers.session.count == 0 || x->message.method == "initialize") return true;
  if (x->headers.session.count == 1)
    x->session = sessions_.find(x->headers.session.value, x->principal);
  if (x->session) return true;
  refuse_http_request(x, 404, "session_not_found",
                      "There is no such session: start a new one with initialize");
  return false;
}

void Endpoint::initialize(const ExchangePtr& x) {
  const auto wanted =
      x->message.params ? find_string(*x->message.params, "protocolVersion") : std::nullopt;
  if (!wanted) return refuse_params(x, "params.protocolVersion is required");
  if (!admit_handshake(x)) return;
  const auto served = std::find(kLegacyVersions.begin(), kLegacyVersions.end(), *wanted);
  const std::string_view version =
      served != kLegacyVersions.end() ? *served : kLegacyVersions.front();
  const auto capabilities = find_object(*x->message.params, "capabilities");
  auto client = capabilities ? abilities_of(*capabilities) : tools::ClientAbilities{};
  // Its results have no place in this era, whatever a client of both says.
  client.tasks = false;
  const auto session = sessions_.open(version, client, x->principal);
  if (!session) return answer(x, render_error(*x, session.error()));
  http::Response response = json_response(result_answer(x->rpc_id, results_.initialize(version)));
  response.add("Mcp-Session-Id", (*session)->id());
  send(x, std::move(response), "done");
}

void Endpoint::subscribe(const ExchangePtr& x) {
  const auto uri = x->message.params ? find_string(*x->message.params, "uri") : std::nullopt;
  if (!uri) return refuse_params(x, "params.uri is required and must be a string");
  if (!x->session) return refuse_params(x, "Subscriptions need a session: send Mcp-Session-Id");
  tools::ResourceFamily* family = services_.catalogue.family_of(*uri);
  if (family == nullptr || !may_use(x->principal, family->operation())) {
    return answer_call(x, fail(Code::not_found, "There is no such resource"));
  }
  if (!admit_handshake(x)) return;
  on_worker(x, [this, x, family, uri = std::string(*uri)] {
    auto watch =
        family->watch(x->principal, uri, [session = std::weak_ptr<Session>(x->session), uri] {
          const auto alive = session.lock();
          if (!alive) return;
          alive->tell(
              R"({"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":)" +
              to_json(json::value(uri)) + "}}");
        });
    if (!watch) return answer(x, render_error(*x, watch.error()));
    if (*watch && !x->session->watch(uri, std::move(*watch))) {
      return answer(x, render_error(*x, {Code::busy, "This session watches too much", {}}));
    }
    send(x, json_response(result_answer(x->rpc_id, results_.empty(Era::legacy))), "done");
  });
}

void Endpoint::unsubscribe(const ExchangePtr& x) {
  const auto uri = x->message.params ? find_string(*x->message.params, "uri") : std::nullopt;
  if (!uri) return refuse_params(x, "params.uri is required and must be a string");
  if (x->session) x->session->unwatch(std::string(*uri));
  handshake(x, results_.empty(Era::legacy));
}

void Endpoint::take_response(const ExchangePtr& x) {
  if (x->message.era == Era::modern || !x->session) {
    return refuse_message(x,
                          {400,
                           rpc::kInvalidRequest,
                           "Nothing was asked outside a session, so nothing is answered",
                           {}},
                          "bad_message");
  }
  Result<json::value> answer = x->message.result
                                   ? Result<json::value>(x->message.result->value())
                                   : fail(Code::cancelled, "The client refused to answer");
  // A late answer is as good as none, and the client need not know.
  x->session->answer(x->message.id, std::move(answer));
  http::Response accepted = json_response({});
  accepted.status = 202;
  send(x, std::move(accepted), "response");
}

void Endpoint::open_session_stream(const ExchangePtr& x) {
  x->session = sessions_.find(x->headers.session.value, x->principal);
  if (!x->session) {
    return refuse_http_request(x, 404, "session_not_found",
                               "There is no such session: start a new one with initialize");
  }
  if (!parse_accept(x->headers.accept.value).events) {
    return refuse_http_request(x, 406, "not_acceptable", "Accept text/event-stream");
  }
  const Wall expires = x->principal ? x->principal->facts().trusted_until : Wall::max();
  auto place = x->principal ? streams_.take(*x->principal) : nullptr;
  if (x->principal && !place) {
    return refuse_http_request(x, 429, "too_many_streams", kTooManyStreams);
  }
  if (x->headers.last_event_id.count == 0) {
    x->session->listen(x->detach(std::move(place)), expires);
  } else if (http::EventStream out = x->detach(std::move(place));
             !x->session->resume(x->headers.last_event_id.value, out, expires)) {
    out.close();
  }
  log_.line(*x, 200, "stream", services_.clock.mono());
}

void Endpoint::end_session(const ExchangePtr& x) {
  x->session = sessions_.find(x->headers.session.value, x->principal);
  if (!x->session) {
    return refuse_http_request(x, 404, "session_not_found", "There is no such session");
  }
  sessions_.close(x->session->id());
  http::Response ended = json_response({});
  ended.status = 204;
  send(x, std::move(ended), "session_ended");
}

// JSON-RPC batches are of MCP 2025-03-26 alone.
bool Endpoint::begin_batch(const ExchangePtr& x) {
  const auto refuse = [&](std::string why) {
    refuse_message(x, {400, rpc::kInvalidRequest, std::move(why), {}}, "bad_message");
    return false;
  };
  if (x->headers.session.count != 0) {
    x->session_version = sessions_.version_of(x->headers.session.value);
  }
  if (!x->headers.mirrored.carried || !allows_batch(x->headers.mirrored, x->session_version)) {
    return refuse("Batches are not accepted here: send one message");
  }
  x->batch = x->body.root().elements();
  if (x->batch.empty() || x->batch.size() > kBatchMax) {
    x->batch.clear();
    return refuse(fmt::format("A batch holds 1 to {} messages", kBatchMax));
  }
  x->received = true;
  return true;
}

void Endpoint::run_batch(const ExchangePtr& x) {
  const auto answer = std::make_shared<BatchAnswer>(x, x->batch.size());
  std::size_t number = 0;
  for (const JsonView element : x->batch) {
    const auto slot = std::make_shared<BatchSlot>(answer, x);
    const auto one = std::make_shared<Exchange>(x->request, http::Responder(slot),
                                                fmt::format("{}-{}", x->request_id, ++number));
    one->accepts = {.json = true, .events = false};
    one->principal = x->principal;
    one->whole = x;
    if (!understand(one, element)) continue;
    slot->set_id(std::string(one->rpc_id));
    const bool modern = one->message.era == Era::modern;
    if (modern || one->message.method == "initialize") {
      refuse_message(
          one,
          {400,
           rpc::kInvalidRequest,
           modern ? "A batch holds messages of its own revision only" : "initialize stands alone",
           {}},
          "bad_message");
    } else if (one->principal) {
      dispatch(one);
    } else {
      authenticate(one, {});
    }
  }
}

}  // namespace kubiya::mcp
