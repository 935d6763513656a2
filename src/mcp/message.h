// SPDX-License-Identifier: Apache-2.0
//
// The JSON-RPC envelope in both eras of MCP: modern (2026-07-28, stateless, the version
// travels with each request) and legacy (2025-11-25, 2025-06-18, 2025-03-26: `initialize` first).
// Pure: a parsed body and the transport headers in, one message or a named error out.
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "base/json.h"
#include "base/json_text.h"
#include "base/trace_context.h"

namespace kubiya::mcp {

enum class Era { modern, legacy };

inline constexpr std::string_view kModernVersion = "2026-07-28";
inline constexpr std::array<std::string_view, 3> kLegacyVersions{"2025-11-25", "2025-06-18",
                                                                 "2025-03-26"};
inline constexpr std::array<std::string_view, 4> kServedVersions{"2026-07-28", "2025-11-25",
                                                                 "2025-06-18", "2025-03-26"};
// The one revision with batches, and what a client without a version header speaks.
inline constexpr std::string_view kBatchVersion = "2025-03-26";

namespace rpc {
inline constexpr int kParseError = -32700;
inline constexpr int kInvalidRequest = -32600;
inline constexpr int kMethodNotFound = -32601;
inline constexpr int kInvalidParams = -32602;
inline constexpr int kInternalError = -32603;
inline constexpr int kResourceNotFound = -32002;  // legacy only
inline constexpr int kHeaderMismatch = -32020;
inline constexpr int kMissingCapability = -32021;
inline constexpr int kUnsupportedVersion = -32022;
}  // namespace rpc

struct ProtocolError {
  int status = 400;  // HTTP
  int code = rpc::kInvalidRequest;
  std::string message;
  json::object data;
};

// The headers the transport mirrors from the body; counts tell absent and repeated apart.
struct MirroredHeaders {
  struct Field {
    std::string_view value;
    std::size_t count = 0;
  };
  Field version;        // MCP-Protocol-Version
  Field method;         // Mcp-Method
  Field name;           // Mcp-Name
  bool carried = true;  // false: a transport without headers (stdio), so nothing is compared
};

// Views into the body that was decoded. An id and a progress token are JSON text, as sent.
struct Message {
  enum class Kind { request, notification, response };
  Kind kind = Kind::request;
  Era era = Era::modern;
  std::string_view version;  // one of kServedVersions
  std::string_view id;       // empty for a notification
  std::string_view method;   // empty for a response
  std::optional<JsonView> params;
  std::string_view progress_token;  // empty when absent
  std::string_view traceparent;     // likewise, and when it is malformed
  // Of the modern era: what the client can do, and the level of log messages it wants.
  std::optional<JsonView> capabilities;
  std::string_view log_level;
  // Of a response.
  std::optional<JsonView> result, error;
};

// The id is known even when the rest is refused, so that the answer can carry it.
struct Decoded {
  std::string_view id;
  tl::expected<Message, ProtocolError> message;
};

// Checks in the order of the specification's validation ladder, up to and including Mcp-Name.
// `session_version` is what `initialize` settled, empty outside a session.
Decoded decode(JsonView body, const MirroredHeaders& headers,
               std::string_view session_version = {});
// Of a request: the trace it belongs to, as its `_meta` tells.
TraceContext trace_of(const Message& message);
// Whether an array of messages may stand where one message does.
bool allows_batch(const MirroredHeaders& headers, std::string_view session_version);

// The text of an Mcp-* header: literal, or =?base64?…?= (strict, UTF-8). Nothing when malformed.
std::optional<std::string> decode_header_text(std::string_view value);

// RFC 5424's levels, lowest first; nothing of another word.
std::optional<int> log_level_rank(std::string_view word);

// True for "application/json", with no charset or charset=utf-8.
bool is_json_content(std::string_view content_type);
// What an Accept header allows; an absent one allows everything.
struct Accepts {
  bool json = false;
  bool events = false;
};
Accepts parse_accept(std::string_view accept);

}  // namespace kubiya::mcp
