// SPDX-License-Identifier: Apache-2.0
//
// The trace that a caller's request belongs to: W3C Trace Context and W3C Baggage, which MCP
// carries in `_meta` (2026-07-28, "General fields"). What strangers wrote is taken only when it is
// well formed and short; anything else is as if it were not there. Pure.
#pragma once

#include <string>
#include <string_view>

namespace kubiya {

struct TraceContext {
  std::string parent;   // `traceparent` of version 00; empty: none
  std::string state;    // `tracestate`; only beside a parent
  std::string baggage;  // stands for itself

  bool empty() const { return parent.empty() && baggage.empty(); }
};

// Of any version: what is known of version 00 is where it is in later ones.
bool is_traceparent(std::string_view text);
// Of a text that is_traceparent(): lowercase hex digits, 32 and 16.
std::string_view trace_id(std::string_view traceparent);
std::string_view parent_id(std::string_view traceparent);

// Empty texts are absent ones.
TraceContext read_trace_context(std::string_view parent, std::string_view state,
                                std::string_view baggage);

}  // namespace kubiya
