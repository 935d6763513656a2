// SPDX-License-Identifier: Apache-2.0
#include "tools/asking.h"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/encoding.h"
#include "workflow/form.h"

namespace kubiya::tools {
namespace {

using workflow::Param;

constexpr std::string_view kParams = "params";

std::string state_of(std::string_view digest) { return fmt::format("params {}", digest); }

std::vector<std::string> names_of(const std::vector<Param>& params, bool secret_only = false) {
  std::vector<std::string> names;
  for (const Param& param : params) {
    if (param.secret || !secret_only) names.push_back(param.name);
  }
  return names;
}

ToolResult not_run(std::string reason, std::string text) {
  ToolResult result;
  result.structured.clear();
  result.text = std::move(text);
  result.reason = std::move(reason);
  result.failed = true;
  return result;
}

ToolResult ask(const workflow::Definition& definition, std::string_view digest,
               const std::vector<Param>& missing) {
  InputRequest request{
      std::string(kParams),
      "elicitation/create",
      {{"message", fmt::format("The workflow {} needs values to run: {}.", definition.name,
                               fmt::join(names_of(missing), ", "))},
       {"requestedSchema", workflow::form_schema(missing)}}};
  return ToolResult::asking({std::move(request)}, state_of(digest));
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

}  // namespace

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

Result<std::optional<ToolResult>> complete_params(const Call& call,
                                                  const workflow::Definition& definition,
                                                  std::string_view digest, json::object& params) {
  const auto missing = TRY(workflow::missing_params(definition, params));
  if (missing.empty() || !call.client.elicit_form) return std::nullopt;
  if (const auto secrets = names_of(missing, true); !secrets.empty()) {
    return not_run(
        "secret_not_asked",
        fmt::format("Missing params: {}. Secret ones ({}) are never asked for in a form: "
                    "give them with the call.",
                    fmt::join(names_of(missing), ", "), fmt::join(secrets, ", ")));
  }
  const auto answer =
      call.state == state_of(digest) ? TRY(form_answer(call.answers, kParams)) : FormAnswer{};
  switch (answer.kind) {
    case FormAnswer::Kind::none:
      return ask(definition, digest, missing);
    case FormAnswer::Kind::declined:
      return not_run("input_declined", "You declined to give the missing params: nothing was run.");
    case FormAnswer::Kind::cancelled:
      return not_run("input_cancelled",
                     "The form with the missing params was closed: nothing was run.");
    case FormAnswer::Kind::accepted:
      break;
  }
  TRY_VOID(take(*answer.content, missing, params));
  return std::nullopt;
}

}  // namespace kubiya::tools
