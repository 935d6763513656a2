// SPDX-License-Identifier: Apache-2.0
//
// One step, or one handler, of a definition.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "workflow/fields.h"

namespace kubiya::workflow {

// Where the parts stand that are judged once all steps are known.
struct ReadStep {
  Step step;
  Field field;
  Field id_field;
  std::optional<Field> depends_field;
};

enum class StepPlace { list, map, handler };

// `name` is the key in a map of steps, or the handler's name; empty in a list.
ReadStep read_step(Reader& reader, const Field& field, StepPlace place, std::string name);
std::vector<Precondition> read_preconditions(Reader& reader, const Field& field);

// Records what a member that is none of the readable ones is: not offered yet, or unknown.
void refuse_member(Reader& reader, const Field& field, std::string_view name,
                   std::string_view owner, std::span<const std::string_view> readable,
                   std::span<const std::string_view> unsupported);
// True, with a problem recorded, when two spellings of one field are both present.
bool given_twice(Reader& reader, const Field& field, std::vector<std::string_view>& seen,
                 std::string_view meaning);

}  // namespace kubiya::workflow
