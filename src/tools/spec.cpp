// SPDX-License-Identifier: Apache-2.0
#include "tools/spec.h"

#include <utility>

#include <fmt/format.h>

namespace kubiya::tools {

std::string object_schema(std::string_view properties, std::string_view required) {
  return fmt::format(
      R"({{"type":"object","properties":{{{}}},"required":[{}],"additionalProperties":false}})",
      properties, required);
}

ToolSpec tool_spec(std::string target_argument, std::string name, Scopes scopes,
                   policy::Effect effect, std::string title, std::string description,
                   std::string input, std::string output, Annotations annotations) {
  ToolSpec s;
  s.operation = {std::move(name), std::move(scopes), effect, false};
  s.title = std::move(title);
  s.description = std::move(description);
  s.input_schema = std::move(input);
  s.output_schema = std::move(output);
  s.annotations = annotations;
  s.target_argument = std::move(target_argument);
  return s;
}

}  // namespace kubiya::tools
