// SPDX-License-Identifier: Apache-2.0
//
// What things in a definition may be called, and what a misspelt field was
// probably meant to be.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace kubiya::workflow {

// Each fault is a message for people, or nothing when the name is good.
enum class NameUse { param, definition_env, output };
std::optional<std::string> environment_name_fault(std::string_view name, NameUse use);
std::optional<std::string> step_name_fault(std::string_view name);
std::optional<std::string> step_id_fault(std::string_view id);

// The known name closest to `name`, if one is close enough to be meant.
std::optional<std::string_view> nearest(std::string_view name,
                                        std::span<const std::string_view> known);

bool contains(std::span<const std::string_view> names, std::string_view name);

}  // namespace kubiya::workflow
