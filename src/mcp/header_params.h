// SPDX-License-Identifier: Apache-2.0
//
// Arguments that a client repeats as headers (MCP 2026-07-28, Streamable HTTP, "Custom headers").
// Pure.
#pragma once

#include <optional>

#include "base/json.h"
#include "http/message.h"
#include "mcp/message.h"
#include "tools/registry.h"

namespace kubiya::mcp {

// What is wrong with the headers, or nothing. An argument that is absent or null has none.
std::optional<ProtocolError> header_fault(const http::Request& request, const tools::Tool& tool,
                                          const json::object& arguments);

}  // namespace kubiya::mcp
