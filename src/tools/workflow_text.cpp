// SPDX-License-Identifier: Apache-2.0
#include "tools/workflow_text.h"

#include <fmt/format.h>

#include "base/encoding.h"
#include "crypto/digest.h"

namespace kubiya::tools {

std::string definition_text(const json::object& arguments) {
  const json::value* value = find(arguments, "definition");
  if (value == nullptr) return {};
  if (const auto* text = value->if_string()) return std::string(view(*text));
  return to_json(*value);
}

Result<store::WorkflowRow> checked_workflow(std::string text, std::optional<std::string_view> name,
                                            const workflow::Limits& limits) {
  const workflow::Parsed parsed = workflow::parse(text, limits, name.value_or(""));
  if (!parsed.definition) {
    return fail(Code::invalid,
                "The definition has problems: " + workflow::describe(parsed.problems));
  }
  const workflow::Definition& definition = *parsed.definition;
  if (name && *name != definition.name) {
    return fail(Code::invalid,
                fmt::format("The definition names itself {} but the argument name says {}: "
                            "make them equal or leave the argument out",
                            printable(definition.name), printable(*name)));
  }
  if (!workflow::is_workflow_name(definition.name)) {
    return fail(Code::invalid, "name must be 1 to 40 characters of A-Z a-z 0-9 _ . -");
  }
  store::WorkflowRow row;
  row.name = definition.name;
  row.description = definition.description;
  row.digest = hex(crypto::view(crypto::sha256(text)));
  row.text = std::move(text);
  return row;
}

}  // namespace kubiya::tools
