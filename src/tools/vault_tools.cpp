// SPDX-License-Identifier: Apache-2.0
//
// An administrator keeps a Kubiya key for somebody whose token carries none. The key is entered on
// a page of this server, whose link the client opens, and never in a call.
#include <fmt/format.h>

#include "base/encoding.h"
#include "base/ids.h"
#include "crypto/digest.h"
#include "identity/key_vault.h"
#include "tools/families.h"
#include "tools/spec.h"

namespace kubiya::tools {
namespace {

using CallPtr = std::shared_ptr<const Call>;

constexpr std::string_view kPage = "key";
constexpr std::string_view kCode = "code";
constexpr std::string_view kState = "vault ";
constexpr std::chrono::milliseconds kLookAgain{250};
constexpr std::chrono::minutes kPatience{3};

struct Whose {
  std::string issuer, subject;
};

Whose whose(const Call& call) {
  const PrincipalFacts& me = call.permit.principal()->facts();
  return {std::string(find_string(call.arguments, "issuer").value_or(me.issuer)),
          std::string(*find_string(call.arguments, "subject"))};
}

std::string_view token_of(const Call& call) {
  const std::string_view state = call.state;
  return state.starts_with(kState) ? state.substr(kState.size()) : std::string_view();
}

std::string_view action_of(const Call& call, std::string_view key) {
  const json::object* answer = find_object(call.answers, key);
  return answer == nullptr ? std::string_view() : find_string(*answer, "action").value_or("");
}

ToolResult nothing_kept(std::string reason, std::string text) {
  ToolResult result;
  result.structured.clear();
  result.text = std::move(text);
  result.reason = std::move(reason);
  result.failed = true;
  return result;
}

Result<ToolResult> ask_for_key(const Services& services, const Call& call, const Whose& person) {
  const PrincipalFacts& me = call.permit.principal()->facts();
  const std::string token = TRY(services.secrets->box.put(
      *call.permit.principal(),
      {fmt::format("the server {}, for {} of {},", services.server_name,
                   printable(person.subject, 128), printable(person.issuer, 256)),
       fmt::format("{} (tenant {})", printable(me.subject, 128), printable(me.tenant, 128)),
       {"kubiya_api_key"},
       true}));
  return ToolResult::asking(
      {{std::string(kPage),
        "elicitation/create",
        {{"mode", "url"},
         {"elicitationId", random_id()},
         {"url", services.secrets->link_base + token},
         {"message", fmt::format("Enter the Kubiya API key of {} on this page; it goes to the "
                                 "server only.",
                                 printable(person.subject, 128))}}}},
      std::string(kState) + token);
}

ToolResult ask_for_code(const Call& call) {
  return ToolResult::asking(
      {{std::string(kCode),
        "elicitation/create",
        {{"message", "Which code did the page show after you entered the key?"},
         {"requestedSchema",
          {{"type", "object"},
           {"properties",
            {{"code",
              {{"type", "string"}, {"title", "Code"}, {"minLength", 8}, {"maxLength", 8}}}}},
           {"required", json::array{"code"}}}}}}},
      call.state);
}

Result<ToolResult> keep(const Services& services, const Call& call, const Whose& person,
                        std::string_view code) {
  const auto given = services.secrets->box.take(token_of(call), *call.permit.principal(), code);
  if (!given)
    return nothing_kept("wrong_code", "That is not the code of the page: nothing is kept.");
  const Secret& key = given->begin()->second;
  if (!identity::is_key_text(key.reveal())) {
    return nothing_kept("no_key", "What was entered is no API key: nothing is kept.");
  }
  TRY_VOID(services.keep_key(call.permit.principal()->facts().tenant, person.issuer, person.subject,
                             key, call.permit.principal()->facts().subject));
  ToolResult result;
  const std::string fingerprint = crypto::fingerprint(key.reveal());
  result.structured = to_json(json::object{{"issuer", person.issuer},
                                           {"subject", person.subject},
                                           {"fingerprint", fingerprint},
                                           {"kept", true}});
  result.text = fmt::format("A Kubiya key ({}) is kept for {} of {}.", fingerprint,
                            printable(person.subject, 128), printable(person.issuer, 256));
  return result;
}

// One round after the other: the page, the code that it showed, the vault.
void set_user_key(const Services& services, const CallPtr& call, const Done& done, Mono deadline) {
  if (!call->client.elicit_url || !call->client.elicit_form) {
    return done(fail(Code::unsupported,
                     "This tool asks for the key on a page, which needs a client that opens links "
                     "and shows forms (elicitation). Without one: kubiya-mcp vault set"));
  }
  const Whose person = whose(*call);
  const std::string_view token = token_of(*call);
  if (token.empty()) return done(ask_for_key(services, *call, person));
  for (const std::string_view asked : {kPage, kCode}) {
    const std::string_view action = action_of(*call, asked);
    if (action == "decline" || action == "cancel") {
      return done(nothing_kept("input_declined", "You declined: nothing is kept."));
    }
  }
  if (action_of(*call, kCode) == "accept") {
    const json::object* content = find_object(*find_object(call->answers, kCode), "content");
    const auto code = content == nullptr ? std::nullopt : find_string(*content, "code");
    return done(keep(services, *call, person, code.value_or("")));
  }
  if (services.secrets->box.was_given(token, *call->permit.principal())) {
    return done(ask_for_code(*call));
  }
  const Mono now = services.clock.mono();
  if (now >= deadline || !services.secrets->box.look(token)) {
    return done(nothing_kept("not_given", "The page was not filled in: nothing is kept."));
  }
  services.timers.add(now + kLookAgain, [services, call, done, deadline] {
    services.workers.submit_always(
        [services, call, done, deadline] { set_user_key(services, call, done, deadline); });
  });
}

}  // namespace

Result<> add_vault_tools(Registry& registry, const Services& services) {
  if (!services.secrets || !services.keep_key) return {};
  return registry.add(
      tool_spec(
          "subject", "set_user_key", {"admin"}, policy::Effect::mutates,
          "Keep a person's Kubiya key",
          "Keeps a Kubiya API key in the vault for a person whose token carries none, in place of "
          "the "
          "one that is there. The key is entered by you on a page of this server, never in a call.",
          object_schema(
              R"("subject":{"type":"string","minLength":1,"maxLength":256,"description":"As in `sub` of their tokens"},)"
              R"("issuer":{"type":"string","minLength":1,"maxLength":512,"description":"As in `iss`; by default yours"})",
              R"("subject")"),
          object_schema(
              R"("issuer":{"type":"string"},"subject":{"type":"string"},"fingerprint":{"type":"string"},"kept":{"type":"boolean"})",
              R"("issuer","subject","fingerprint","kept")"),
          {.destructive = true, .idempotent = false, .open_world = false}),
      Tool::MutateHandler(
          [services](const CallPtr& call, const audit::DurableTicket&, const Done& done) {
            set_user_key(services, call, done, services.clock.mono() + kPatience);
          }));
}

}  // namespace kubiya::tools
