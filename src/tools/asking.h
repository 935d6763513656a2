// SPDX-License-Identifier: Apache-2.0
//
// Asking the person behind a call for what it lacks, with a form that their client shows (MCP,
// "Elicitation"). What is put in a form passes the client, and with it, perhaps, a model; so
// secrets are asked for on a page of this server, to which the client only opens the link.
#pragma once

#include <optional>
#include <string_view>

#include "base/json.h"
#include "base/result.h"
#include "identity/ask_box.h"
#include "tools/registry.h"
#include "workflow/definition.h"

namespace kubiya::tools {

// What became of a question.
struct FormAnswer {
  enum class Kind { none, accepted, declined, cancelled };
  Kind kind = Kind::none;
  const json::object* content = nullptr;  // of an accepted one; points into the call
};
// Code::invalid for an answer that is no ElicitResult.
Result<FormAnswer> form_answer(const json::object& answers, std::string_view key);

// "accept", "decline" or "cancel", of whatever kind the question was; empty: there is no answer.
std::string_view action_of(const json::object& answers, std::string_view key);

// What such calls have in common.
// The end of a call that did nothing.
ToolResult not_done(std::string reason, std::string text);
// How a page names the caller whom it asks.
std::string named(const PrincipalFacts& who);
// Has the client open a page for its person.
InputRequest open_page(std::string key, std::string url, std::string message);
// For the code that a page showed; and what was answered, when it was asked and accepted.
InputRequest ask_for_code();
std::optional<std::string> code_in(const json::object& answers);

// Where secrets are asked for.
struct SecretPage {
  identity::AskBox& box;
  std::string link_base;  // a token goes behind it; empty: there is no page
};
// The link that this call was told to open, when its person agreed to and has not filled in the
// page yet.
bool waits_for_secrets(const Call& call, const SecretPage& page);

// Completes `params` from the answer to the question that this call asked before. A result is what
// the call has to be answered with instead of being carried out: the question, or that the person
// does not want to answer it. `digest` is of the definition: what was asked about another version
// of the workflow is asked again.
Result<std::optional<ToolResult>> complete_params(const Call& call,
                                                  const workflow::Definition& definition,
                                                  std::string_view digest, json::object& params,
                                                  const SecretPage* page = nullptr);

}  // namespace kubiya::tools
