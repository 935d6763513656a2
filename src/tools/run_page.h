// SPDX-License-Identifier: Apache-2.0
//
// A run as a page that a client's host can show beside the text (MCP Apps, 2026-01-26): the graph
// of its steps with their states, the log of one, a button to cancel. It asks this server through
// the host, with the caller's own calls, and nothing else.
#pragma once

#include "base/json.h"
#include "tools/catalogue.h"

namespace kubiya::tools {

// `_meta` of a tool whose results the page shows.
json::object shown_on_run_page();
// ui://kubiya/run. It is the same for everybody and holds nobody's data.
void add_run_page(Catalogue& catalogue);

}  // namespace kubiya::tools
