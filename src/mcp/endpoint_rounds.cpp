// SPDX-License-Identifier: Apache-2.0
//
// Calls that have to ask before they can end. The modern era answers with what is asked and is
// called again (MCP 2026-07-28, "Multi round-trip requests"); the legacy one asks on the stream of
// the call (MCP 2025-11-25, Streamable HTTP). Handlers cannot tell which.
#include <fmt/format.h>

#include "base/canonical_json.h"
#include "crypto/digest.h"
#include "identity/key_vault.h"
#include "mcp/abilities.h"
#include "mcp/endpoint.h"
#include "tools/asking.h"

namespace kubiya::mcp {
namespace {

// How long a client may take to come back with what it was asked.
constexpr std::chrono::minutes kStateLifetime{60};

// What an unanswered question counts as where the call goes on without.
json::object cancelled() { return {{"action", "cancel"}}; }

// Of the arguments as the client sent them, less the credential among them.
std::string arguments_digest(const Message& message) {
  const auto given = find_object(*message.params, "arguments");
  json::value arguments = given ? given->value() : json::object{};
  arguments.get_object().erase("api_key");
  return std::string(crypto::view(crypto::sha256(canonical_json(arguments))));
}

}  // namespace

Handles::Call Endpoint::handle_context(const Exchange& x, std::string_view digest) const {
  const bool resource = x.message.method == "resources/read";
  return {x.principal->owner(), x.message.method,
          find_string(*x.message.params, resource ? "uri" : "name").value_or(""), digest};
}

// MCP 2026-07-28, "Multi round-trip requests": the second half of a call that had to ask.
Result<> Endpoint::take_answers(const Exchange& x, tools::Call& call) const {
  if (const auto answers = x.message.params->find("inputResponses")) {
    if (answers->kind() != JsonView::Kind::object)
      return fail(Code::invalid, "params.inputResponses must be an object");
    call.answers = std::move(answers->value().get_object());
  }
  call.state = TRY(opened_state(x));
  return {};
}

Result<std::string> Endpoint::opened_state(const Exchange& x) const {
  const auto state = x.message.params->find("requestState");
  if (!state) return std::string();
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
  return *opened;
}

// Whether the caller's lack of a key is being seen to: then this call goes on by itself.
bool Endpoint::provide_key(const ExchangePtr& x) {
  const KeySource& source = services_.pages.key_source;
  if (x->key_provided || challenge_.mode != identity::Mode::token) return false;
  if (source.how == JustInTime::ask) return ask_for_key(x);
  if (source.how != JustInTime::create) return false;
  go_on_with_key(x, [create = source.create, who = x->principal] { return create(*who); });
  return true;
}

// On a page, to which the client opens the link; then for the code that the page showed, so that
// nobody else's key is kept for this person.
bool Endpoint::ask_for_key(const ExchangePtr& x) {
  constexpr std::string_view kState = "api-key ";
  const KeySource& source = services_.pages.key_source;
  const tools::ClientAbilities client = abilities(*x);
  const bool can = x->message.era == Era::modern && client.elicit_url && client.elicit_form &&
                   services_.pages.asks != nullptr && !source.link_base.empty();
  if (!can) return false;
  const auto state = opened_state(*x);
  if (!state) {
    refuse_params(x, state.error().message);
    return true;
  }
  std::string token = state->starts_with(kState) ? state->substr(kState.size()) : std::string();
  const auto ask = [&](tools::InputRequest request) {
    answer(x, render_asks(
                  *x, *tools::ToolResult::asking({std::move(request)}, std::string(kState) + token)
                           .unfinished));
    return true;
  };
  if (services_.pages.asks->was_given(token, *x->principal)) {
    const auto answers = find_object(*x->message.params, "inputResponses");
    const auto code =
        answers ? tools::code_in(answers->value().get_object()) : std::optional<std::string>();
    if (!code) return ask(tools::ask_for_code());
    if (const auto given = services_.pages.asks->take(token, *x->principal, *code)) {
      const Secret key = given->begin()->second;
      if (identity::is_key_text(key.reveal())) {
        go_on_with_key(x,
                       [keep = source.keep, who = x->principal, key] { return keep(*who, key); });
        return true;
      }
    }
    token.clear();
  }
  if (token.empty() || !services_.pages.asks->look(token)) {
    auto asked =
        services_.pages.asks->put(*x->principal, {fmt::format("the server {}", options_.info.name),
                                                  tools::named(x->principal->facts()),
                                                  {"kubiya_api_key"},
                                                  true});
    if (!asked) {
      answer(x, render_error(*x, asked.error()));
      return true;
    }
    token = std::move(*asked);
  }
  return ask(tools::open_page(
      "api_key", source.link_base + token,
      "This call runs with your own Kubiya API key, and your token leads to none. Enter it on this "
      "page: it is sealed and kept for you on the server."));
}

// The same request once more from the credential on, which leads to the key now.
void Endpoint::go_on_with_key(const ExchangePtr& x, std::function<Result<>()> get) {
  x->key_provided = true;
  std::function<void()> work = [this, x, get = std::move(get)] {
    const Result<> got = get();
    x->post([this, x, got] {
      if (!got) return answer(x, render_error(*x, got.error()));
      authenticate(x, {});
    });
  };
  if (!services_.workers.submit(work)) {
    answer(x, render_error(*x, {Code::busy, "The server is busy; try again shortly", {}}));
  }
}

// Only what this client can answer is asked.
Endpoint::Rendered Endpoint::render_asks(const Exchange& x, const tools::Unfinished& unfinished) {
  const tools::ClientAbilities client = abilities(x);
  std::vector<tools::InputRequest> asks = unfinished.asks;
  std::erase_if(asks, [&](const auto& ask) { return !can_ask(client, ask); });
  if (asks.empty() && !unfinished.asks.empty()) {
    return render_protocol(x,
                           {400,
                            rpc::kMissingCapability,
                            "This call has to ask something that your client does not support",
                            {{"requiredCapabilities", needed_abilities(unfinished.asks)}}},
                           "missing_capability");
  }
  std::string state;
  if (!unfinished.state.empty()) {
    state = handles_.state(handle_context(x, arguments_digest(x.message)), unfinished.state,
                           services_.clock.wall() + kStateLifetime);
  }
  return {json_response(result_answer(x.rpc_id, results_.input_required(asks, state))),
          "input_required"};
}

// The legacy era asks with requests on the stream of the call; their answers come as messages of
// their own (MCP 2025-11-25, Streamable HTTP).
void Endpoint::ask_client(const ExchangePtr& x, const ErrandPtr& errand,
                          const tools::Unfinished& unfinished) {
  const tools::ClientAbilities client = abilities(*x);
  std::vector<tools::InputRequest> asks = unfinished.asks;
  std::erase_if(asks, [&](const auto& ask) { return !can_ask(client, ask); });
  const bool askable = !asks.empty() && x->session && x->can_stream();
  if (!askable && !unfinished.optional) {
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
  round->open = asks.size();
  // A second call object, as the first may still be looked at by the handler that asked.
  auto call = std::make_shared<tools::Call>(*errand->call);
  call->state = unfinished.state;
  errand->call = call;
  if (!askable) {
    for (const auto& ask : unfinished.asks) call->answers[ask.key] = cancelled();
    return services_.workers.submit_always([this, x, errand] { pursue(x, errand); });
  }
  const Mono deadline = services_.clock.mono() + options_.answer_patience;
  for (const auto& ask : asks) {
    auto answered = [this, x, errand, call, round, key = ask.key,
                     optional = unfinished.optional](Result<json::value> answer) {
      {
        const std::lock_guard lock(round->mutex);
        if (answer) {
          call->answers[key] = std::move(*answer);
        } else if (optional) {
          call->answers[key] = cancelled();
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

}  // namespace kubiya::mcp
