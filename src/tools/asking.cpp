// SPDX-License-Identifier: Apache-2.0
#include "tools/asking.h"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/encoding.h"
#include "base/ids.h"
#include "workflow/form.h"

namespace kubiya::tools {
namespace {

using workflow::Param;

constexpr std::string_view kParams = "params";
constexpr std::string_view kSecrets = "secrets";
constexpr std::string_view kCode = "code";

// What a question was about: a version of the workflow and, when a page asks for secrets, its link.
struct State {
  std::string_view digest, token;
};

std::string state_of(std::string_view digest, std::string_view token = {}) {
  return token.empty() ? fmt::format("params {}", digest)
                       : fmt::format("params {} {}", digest, token);
}

State state_in(std::string_view text) {
  constexpr std::string_view kBegin = "params ";
  if (!text.starts_with(kBegin)) return {};
  text.remove_prefix(kBegin.size());
  const std::size_t space = std::min(text.find(' '), text.size());
  return {text.substr(0, space), text.substr(std::min(space + 1, text.size()))};
}

std::vector<std::string> names_of(const std::vector<Param>& params) {
  std::vector<std::string> names;
  names.reserve(params.size());
  for (const Param& param : params) names.push_back(param.name);
  return names;
}

InputRequest form_for(const workflow::Definition& definition, const std::vector<Param>& missing) {
  return {std::string(kParams),
          "elicitation/create",
          {{"message", fmt::format("The workflow {} needs values to run: {}.", definition.name,
                                   fmt::join(names_of(missing), ", "))},
           {"requestedSchema", workflow::form_schema(missing)}}};
}

Result<InputRequest> page_for(const Call& call, const workflow::Definition& definition,
                              const std::vector<Param>& secrets, const SecretPage& page,
                              std::string& token) {
  const Principal& who = *call.permit.principal();
  token = TRY(page.box.put(who, {fmt::format("the workflow {}", definition.name),
                                 named(who.facts()), names_of(secrets)}));
  return open_page(std::string(kSecrets), page.link_base + token,
                   fmt::format("The workflow {} needs secret values: {}. Enter them on this page; "
                               "they go to the server only.",
                               definition.name, fmt::join(names_of(secrets), ", ")));
}

// The question for everything that is missing, a form or a page or both.
Result<ToolResult> ask(const Call& call, const workflow::Definition& definition,
                       std::string_view digest, const std::vector<Param>& open,
                       const std::vector<Param>& secrets, const SecretPage* page) {
  std::vector<InputRequest> asks;
  std::string token;
  if (!open.empty()) asks.push_back(form_for(definition, open));
  if (!secrets.empty()) {
    asks.push_back(TRY(page_for(call, definition, secrets, *page, token)));
  }
  return ToolResult::asking(std::move(asks), state_of(digest, token));
}

// Only what was asked for is taken from a form.
Result<> take(const json::object& content, const std::vector<Param>& asked, json::object& params) {
  for (const auto& [name, value] : content) {
    const bool known = std::any_of(asked.begin(), asked.end(),
                                   [&](const Param& param) { return param.name == name; });
    if (!known) {
      return fail(Code::invalid, fmt::format("The answer holds {}, which was not asked for.",
                                             printable(std::string_view(name), 80)));
    }
    params[name] = value;
  }
  return {};
}

// What became of the page; nothing when its secrets are in `params` now.
Result<std::optional<ToolResult>> take_secrets(const Call& call, const State& state,
                                               const SecretPage& page, json::object& params) {
  const std::string_view action = action_of(call.answers, kSecrets);
  if (action == "decline" || action == "cancel") {
    return not_done("input_declined",
                    "The page that asks for secrets was not opened: nothing was run.");
  }
  const auto given = page.box.take(state.token, *call.permit.principal());
  if (!given) {
    return not_done(
        "secrets_not_given",
        "The page that asks for secrets was not filled in: nothing was run. Call again to "
        "be asked anew.");
  }
  for (const auto& [name, secret] : *given) params[name] = secret.reveal();
  return std::nullopt;
}

}  // namespace

std::string_view action_of(const json::object& answers, std::string_view key) {
  const json::object* answer = find_object(answers, key);
  return answer == nullptr ? std::string_view() : find_string(*answer, "action").value_or("");
}

ToolResult not_done(std::string reason, std::string text) {
  ToolResult result;
  result.structured.clear();
  result.text = std::move(text);
  result.reason = std::move(reason);
  result.failed = true;
  return result;
}

std::string named(const PrincipalFacts& who) {
  return fmt::format("{} (tenant {})", printable(who.subject, 128), printable(who.tenant, 128));
}

InputRequest open_page(std::string key, std::string url, std::string message) {
  return {std::move(key),
          "elicitation/create",
          {{"mode", "url"},
           {"elicitationId", random_id()},
           {"url", std::move(url)},
           {"message", std::move(message)}}};
}

InputRequest ask_for_code() {
  return {
      std::string(kCode),
      "elicitation/create",
      {{"message", "Which code did the page show after you entered the key?"},
       {"requestedSchema",
        {{"type", "object"},
         {"properties",
          {{"code", {{"type", "string"}, {"title", "Code"}, {"minLength", 8}, {"maxLength", 8}}}}},
         {"required", json::array{"code"}}}}}};
}

std::optional<std::string> code_in(const json::object& answers) {
  if (action_of(answers, kCode) != "accept") return std::nullopt;
  const json::object* content = find_object(*find_object(answers, kCode), "content");
  const auto code = content == nullptr ? std::nullopt : find_string(*content, "code");
  return std::string(code.value_or(""));
}

Result<FormAnswer> form_answer(const json::object& answers, std::string_view key) {
  const json::value* given = find(answers, key);
  if (given == nullptr) return FormAnswer{};
  const json::object* answer = given->if_object();
  const std::string_view action =
      answer != nullptr ? find_string(*answer, "action").value_or("") : std::string_view();
  if (action == "decline") return FormAnswer{FormAnswer::Kind::declined, nullptr};
  if (action == "cancel") return FormAnswer{FormAnswer::Kind::cancelled, nullptr};
  const json::object* content = action == "accept" ? find_object(*answer, "content") : nullptr;
  if (content == nullptr) {
    return fail(Code::invalid,
                fmt::format("The answer to {} must have an action (accept, decline or cancel) and, "
                            "when accepted, a content.",
                            printable(key, 80)));
  }
  return FormAnswer{FormAnswer::Kind::accepted, content};
}

bool waits_for_secrets(const Call& call, const SecretPage& page) {
  const State state = state_in(call.state);
  if (state.token.empty() || page.box.was_given(state.token, *call.permit.principal()))
    return false;
  return action_of(call.answers, kSecrets) == "accept" && page.box.look(state.token).has_value();
}

Result<std::optional<ToolResult>> complete_params(const Call& call,
                                                  const workflow::Definition& definition,
                                                  std::string_view digest, json::object& params,
                                                  const SecretPage* page) {
  const auto missing = TRY(workflow::missing_params(definition, params));
  std::vector<Param> open, secrets;
  for (const Param& param : missing) (param.secret ? secrets : open).push_back(param);
  const bool has_page = page != nullptr && !page->link_base.empty() && call.client.elicit_url;
  if (missing.empty() || (!call.client.elicit_form && !has_page)) return std::nullopt;
  if (!secrets.empty() && !has_page) {
    return not_done(
        "secret_not_asked",
        fmt::format("Missing params: {}. Secret ones ({}) are never asked for in a form: "
                    "give them with the call.",
                    fmt::join(names_of(missing), ", "), fmt::join(names_of(secrets), ", ")));
  }
  if (!open.empty() && !call.client.elicit_form) {
    return not_done(
        "params_not_asked",
        fmt::format("Missing params: {}. Your client shows no forms: give them with the "
                    "call.",
                    fmt::join(names_of(open), ", ")));
  }
  const State state = state_in(call.state);
  const bool asked = state.digest == digest && state.token.empty() == secrets.empty();
  const auto answer =
      asked && !open.empty() ? TRY(form_answer(call.answers, kParams)) : FormAnswer{};
  if (!asked || (!open.empty() && answer.kind == FormAnswer::Kind::none)) {
    return TRY(ask(call, definition, digest, open, secrets, page));
  }
  switch (answer.kind) {
    case FormAnswer::Kind::none:
      break;  // nothing was asked with a form
    case FormAnswer::Kind::declined:
      return not_done("input_declined",
                      "You declined to give the missing params: nothing was run.");
    case FormAnswer::Kind::cancelled:
      return not_done("input_cancelled",
                      "The form with the missing params was closed: nothing was run.");
    case FormAnswer::Kind::accepted:
      TRY_VOID(take(*answer.content, open, params));
      break;
  }
  if (secrets.empty()) return std::nullopt;
  return take_secrets(call, state, *page, params);
}

}  // namespace kubiya::tools
