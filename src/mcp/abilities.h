// SPDX-License-Identifier: Apache-2.0
//
// Client capabilities as both eras spell them. Pure.
#pragma once

#include <vector>

#include "base/json.h"
#include "base/json_text.h"
#include "tools/registry.h"

namespace kubiya::mcp {

// Of a ClientCapabilities object.
tools::ClientAbilities abilities_of(JsonView capabilities);
bool can_ask(const tools::ClientAbilities& client, const tools::InputRequest& ask);
// The ClientCapabilities object of a client that could answer all of these.
json::object needed_abilities(const std::vector<tools::InputRequest>& asks);

}  // namespace kubiya::mcp
