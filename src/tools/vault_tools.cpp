// SPDX-License-Identifier: Apache-2.0
//
// An administrator keeps a Kubiya key for somebody whose token carries none. The key is entered on
// a page of this server, whose link the client opens, and never in a call.
#include <fmt/format.h>

#include "base/encoding.h"
#include "crypto/digest.h"
#include "identity/key_vault.h"
#include "tools/asking.h"
#include "tools/families.h"
#include "tools/spec.h"

namespace kubiya::tools {
namespace {

using CallPtr = std::shared_ptr<const Call>;

constexpr std::string_view kPage = "key";
constexpr std::string_view kState = "vault ";

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

Result<ToolResult> ask_for_key(const Services& services, const Call& call, const Whose& person) {
  const Principal& me = *call.permit.principal();
  const std::string subject = printable(person.subject, 128);
  const std::string token = TRY(services.secrets->box.put(
      me, {fmt::format("the server {}, for {} of {},", services.server_name, subject,
                       printable(person.issuer, 256)),
           named(me.facts()),
           {"kubiya_api_key"},
           true}));
  return ToolResult::asking(
      {open_page(std::string(kPage), services.secrets->link_base + token,
                 fmt::format("Enter the Kubiya API key of {} on this page; it goes to the server "
                             "only.",
                             subject))},
      std::string(kState) + token);
}

Result<ToolResult> keep(const Services& services, const Call& call, const Whose& person,
                        std::string_view code) {
  const auto given = services.secrets->box.take(token_of(call), *call.permit.principal(), code);
  if (!given) return not_done("wrong_code", "That is not the code of the page: nothing is kept.");
  const Secret& key = given->begin()->second;
  if (!identity::is_key_text(key.reveal())) {
    return not_done("no_key", "What was entered is no API key: nothing is kept.");
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
  for (const std::string_view asked : {kPage, std::string_view("code")}) {
    const std::string_view action = action_of(call->answers, asked);
    if (action == "decline" || action == "cancel") {
      return done(not_done("input_declined", "You declined: nothing is kept."));
    }
  }
  if (const auto code = code_in(call->answers)) {
    return done(keep(services, *call, person, *code));
  }
  if (services.secrets->box.was_given(token, *call->permit.principal())) {
    return done(ToolResult::asking({ask_for_code()}, call->state));
  }
  if (services.clock.mono() >= deadline || !services.secrets->box.look(token)) {
    return done(not_done("not_given", "The page was not filled in: nothing is kept."));
  }
  look_again(services,
             [services, call, done, deadline] { set_user_key(services, call, done, deadline); });
}

}  // namespace

Result<> add_vault_tools(Registry& registry, const Services& services) {
  if (!services.secrets || !services.keep_key) return {};
  return registry.add(
      tool_spec(
          "subject", "set_user_key", {"admin"}, policy::Effect::mutates,
          "Keep a person's Kubiya key",
          "Keeps a Kubiya API key in the vault for a person whose token carries none, in place of "
          "the one that is there. The key is entered by you on a page of this server, never in a "
          "call.",
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
            set_user_key(services, call, done, services.clock.mono() + kPersonPatience);
          }));
}

}  // namespace kubiya::tools
