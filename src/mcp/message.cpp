// SPDX-License-Identifier: Apache-2.0
#include "mcp/message.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/encoding.h"

namespace kubiya::mcp {
namespace {

constexpr std::string_view kVersionKey = "io.modelcontextprotocol/protocolVersion";
constexpr std::string_view kCapabilitiesKey = "io.modelcontextprotocol/clientCapabilities";
constexpr std::string_view kLogLevelKey = "io.modelcontextprotocol/logLevel";
constexpr std::size_t kIdBytesMax = 1024;

using Failure = tl::unexpected<ProtocolError>;

Failure refuse(int code, std::string message, json::object data = {}) {
  return Failure(ProtocolError{400, code, std::move(message), std::move(data)});
}

Failure unsupported(std::string_view requested) {
  json::array supported;
  for (const auto version : kServedVersions) supported.emplace_back(version);
  return refuse(rpc::kUnsupportedVersion,
                fmt::format("Unsupported protocol version {}", printable(requested)),
                {{"supported", std::move(supported)}, {"requested", requested}});
}

bool is_id(JsonView id) {
  if (id.kind() == JsonView::Kind::string) return id.string().size() <= kIdBytesMax;
  return id.is_integer();
}

std::optional<JsonView> meta_of(const std::optional<JsonView>& params) {
  return params ? find_object(*params, "_meta") : std::nullopt;
}

tl::expected<void, ProtocolError> take_progress_token(JsonView meta, Message& message) {
  const auto token = meta.find("progressToken");
  if (!token) return {};
  if (!is_id(*token)) {
    return refuse(rpc::kInvalidParams, "params._meta.progressToken must be a string or an integer");
  }
  message.progress_token = token->text();
  return {};
}

// Nobody's call fails for the sake of a trace.
void take_traceparent(JsonView meta, Message& message) {
  const auto parent = find_string(meta, "traceparent");
  if (parent && is_traceparent(*parent)) message.traceparent = *parent;
}

tl::expected<void, ProtocolError> take_log_level(JsonView meta, Message& message) {
  const auto level = meta.find(kLogLevelKey);
  if (!level) return {};
  if (!log_level_rank(find_string(meta, kLogLevelKey).value_or(""))) {
    return refuse(rpc::kInvalidParams,
                  fmt::format("params._meta[\"{}\"] must be a log level: debug, info, notice, "
                              "warning, error, critical, alert or emergency",
                              kLogLevelKey));
  }
  message.log_level = level->string();
  return {};
}

// The parameter that Mcp-Name repeats, for the methods that have one.
std::string_view named_by(std::string_view method) {
  if (method == "tools/call" || method == "prompts/get") return "name";
  if (method == "resources/read") return "uri";
  if (method == "tasks/get" || method == "tasks/update" || method == "tasks/cancel")
    return "taskId";
  return {};
}

tl::expected<void, ProtocolError> mirror(const MirroredHeaders::Field& header,
                                         std::string_view name, std::string_view expected) {
  if (header.count == 0)
    return refuse(rpc::kHeaderMismatch, fmt::format("The {} header is missing", name));
  if (header.count > 1)
    return refuse(rpc::kHeaderMismatch, fmt::format("The {} header is repeated", name));
  if (header.value != expected) {
    return refuse(rpc::kHeaderMismatch, fmt::format("The {} header differs from the body", name));
  }
  return {};
}

tl::expected<void, ProtocolError> check_name(const Message& message,
                                             const MirroredHeaders& headers) {
  const std::string_view member = named_by(message.method);
  if (member.empty()) return {};
  const auto in_body = message.params ? find_string(*message.params, member) : std::nullopt;
  if (!in_body) {
    return refuse(rpc::kInvalidParams,
                  fmt::format("params.{} is required and must be a string", member));
  }
  if (!headers.carried) return {};
  if (headers.name.count == 0)
    return refuse(rpc::kHeaderMismatch, "The Mcp-Name header is missing");
  if (headers.name.count > 1)
    return refuse(rpc::kHeaderMismatch, "The Mcp-Name header is repeated");
  const auto in_header = decode_header_text(headers.name.value);
  if (!in_header)
    return refuse(rpc::kHeaderMismatch, "The Mcp-Name header is neither plain text nor base64");
  if (*in_header != *in_body)
    return refuse(rpc::kHeaderMismatch, "The Mcp-Name header differs from the body");
  return {};
}

// Envelope, then version header and method header, then support, then name: the order decides
// which of several faults is reported.
tl::expected<Message, ProtocolError> modern(Message message, const MirroredHeaders& headers) {
  message.era = Era::modern;
  const JsonView meta = *meta_of(message.params);
  const auto version = find_string(meta, kVersionKey);
  if (!version) {
    return refuse(rpc::kInvalidParams,
                  fmt::format("params._meta[\"{}\"] must be a string", kVersionKey));
  }
  message.capabilities = find_object(meta, kCapabilitiesKey);
  if (!message.capabilities) {
    return refuse(rpc::kInvalidParams,
                  fmt::format("params._meta[\"{}\"] must be an object", kCapabilitiesKey));
  }
  if (auto ok = take_progress_token(meta, message); !ok) return Failure(ok.error());
  if (auto ok = take_log_level(meta, message); !ok) return Failure(ok.error());
  take_traceparent(meta, message);
  if (headers.carried) {
    if (auto ok = mirror(headers.version, "MCP-Protocol-Version", *version); !ok)
      return Failure(ok.error());
    if (auto ok = mirror(headers.method, "Mcp-Method", message.method); !ok)
      return Failure(ok.error());
  }
  if (*version != kModernVersion) return unsupported(*version);
  message.version = kModernVersion;
  if (auto ok = check_name(message, headers); !ok) return Failure(ok.error());
  return message;
}

bool is_legacy_version(std::string_view version) {
  return std::find(kLegacyVersions.begin(), kLegacyVersions.end(), version) !=
         kLegacyVersions.end();
}

tl::expected<Message, ProtocolError> legacy(Message message, const MirroredHeaders& headers,
                                            std::string_view session_version) {
  message.era = Era::legacy;
  message.version = session_version.empty() ? kBatchVersion : session_version;
  if (headers.version.count > 1)
    return refuse(rpc::kInvalidRequest, "The MCP-Protocol-Version header is repeated");
  // The version is what `initialize` is about to settle, so none can be wrong before it.
  if (headers.version.count == 1 && message.method != "initialize") {
    if (!is_legacy_version(headers.version.value)) return unsupported(headers.version.value);
    message.version = headers.version.value;
  }
  if (const auto meta = meta_of(message.params)) {
    if (auto ok = take_progress_token(*meta, message); !ok) return Failure(ok.error());
    take_traceparent(*meta, message);
  }
  return message;
}

// Which era a request belongs to is said by its body; a header alone cannot make it modern, but a
// modern header on a body without the claim is a broken modern request and not a legacy one.
tl::expected<Message, ProtocolError> classify(const Message& message,
                                              const MirroredHeaders& headers,
                                              std::string_view session_version) {
  const auto meta = meta_of(message.params);
  const bool claims_modern = meta && meta->find(kVersionKey);
  const bool modern_header = headers.version.count != 0 && headers.version.value == kModernVersion;
  if (message.kind != Message::Kind::request) {
    Message other = message;
    other.era = modern_header || claims_modern ? Era::modern : Era::legacy;
    other.version = session_version.empty() ? kBatchVersion : session_version;
    if (is_legacy_version(headers.version.value)) other.version = headers.version.value;
    if (other.era == Era::modern) other.version = kModernVersion;
    return other;
  }
  if (claims_modern) return modern(message, headers);
  if (modern_header && message.method == "initialize") {
    return refuse(rpc::kHeaderMismatch,
                  "initialize belongs to versions before the one the header names");
  }
  if (modern_header) {
    return refuse(rpc::kInvalidParams,
                  fmt::format("params._meta[\"{}\"] is required", kVersionKey));
  }
  return legacy(message, headers, session_version);
}

bool is_legal_envelope(JsonView object) { return find_string(object, "jsonrpc") == "2.0"; }

}  // namespace

std::optional<int> log_level_rank(std::string_view word) {
  constexpr std::array<std::string_view, 8> kLevels{"debug", "info",     "notice", "warning",
                                                    "error", "critical", "alert",  "emergency"};
  const auto at = std::find(kLevels.begin(), kLevels.end(), word);
  if (at == kLevels.end()) return std::nullopt;
  return static_cast<int>(at - kLevels.begin());
}

TraceContext trace_of(const Message& message) {
  const auto meta = meta_of(message.params);
  if (!meta) return {};
  return read_trace_context(message.traceparent, find_string(*meta, "tracestate").value_or(""),
                            find_string(*meta, "baggage").value_or(""));
}

std::optional<std::string> decode_header_text(std::string_view value) {
  constexpr std::string_view prefix = "=?base64?";
  constexpr std::string_view suffix = "?=";
  if (value.size() < prefix.size() + suffix.size() || !value.starts_with(prefix) ||
      !value.ends_with(suffix)) {
    const bool plain = std::all_of(value.begin(), value.end(),
                                   [](char c) { return c == '\t' || (c >= ' ' && c <= '~'); });
    if (!plain) return std::nullopt;
    return std::string(value);
  }
  auto text = unbase64(value.substr(prefix.size(), value.size() - prefix.size() - suffix.size()));
  if (!text || !is_utf8(*text)) return std::nullopt;
  return text;
}

// Revisions with batches know no version header, but every client of theirs has a session.
bool allows_batch(const MirroredHeaders& headers, std::string_view session_version) {
  if (headers.version.count != 0) {
    return headers.version.count == 1 && headers.version.value == kBatchVersion;
  }
  return session_version == kBatchVersion;
}

Decoded decode(JsonView body, const MirroredHeaders& headers, std::string_view session_version) {
  using Kind = JsonView::Kind;
  if (body.kind() == Kind::array) {
    return {{}, refuse(rpc::kInvalidRequest, "Batches are not accepted here: send one message")};
  }
  if (!is_legal_envelope(body)) {
    return {{}, refuse(rpc::kInvalidRequest, "The body must be one JSON-RPC 2.0 object")};
  }
  Message message;
  if (const auto id = body.find("id")) {
    if (!is_id(*id)) return {{}, refuse(rpc::kInvalidRequest, "id must be a string or an integer")};
    message.id = id->text();
  }
  const auto method = find_string(body, "method");
  if (!method) {
    message.result = body.find("result");
    message.error = body.find("error");
    if (message.id.empty() || message.result.has_value() == message.error.has_value()) {
      return {message.id, refuse(rpc::kInvalidRequest, "method is required and must be a string")};
    }
    message.kind = Message::Kind::response;
    return {message.id, classify(message, headers, session_version)};
  }
  message.method = *method;
  message.params = body.find("params");
  if (message.params && message.params->kind() != Kind::object)
    return {message.id, refuse(rpc::kInvalidRequest, "params must be an object")};
  if (message.id.empty()) {
    message.kind = Message::Kind::notification;
    if (!method->starts_with("notifications/")) {
      return {{}, refuse(rpc::kInvalidRequest, "A request needs an id: a string or an integer")};
    }
  }
  return {message.id, classify(message, headers, session_version)};
}

bool is_json_content(std::string_view content_type) {
  const auto semicolon = content_type.find(';');
  if (!iequals(trim(content_type.substr(0, semicolon)), "application/json")) return false;
  if (semicolon == std::string_view::npos) return true;
  const std::string_view parameter = trim(content_type.substr(semicolon + 1));
  return iequals(parameter, "charset=utf-8") || iequals(parameter, "charset=\"utf-8\"");
}

namespace {

// Whether the parameters hold a weight of zero (RFC 9110, 12.4.2).
bool refuses(std::string_view parameters) {
  while (!parameters.empty()) {
    const auto semicolon = parameters.find(';');
    const std::string_view parameter = trim(parameters.substr(0, semicolon));
    if (parameter.size() > 2 && (parameter[0] | 0x20) == 'q' && parameter[1] == '=' &&
        parameter.substr(2).find_first_not_of("0.") == std::string_view::npos) {
      return true;
    }
    if (semicolon == std::string_view::npos) break;
    parameters.remove_prefix(semicolon + 1);
  }
  return false;
}

}  // namespace

Accepts parse_accept(std::string_view accept) {
  if (trim(accept).empty()) return {true, true};
  Accepts result;
  // A client that lists thousands of types gets the first few read.
  for (int i = 0; i < 32 && !accept.empty(); ++i) {
    const auto comma = accept.find(',');
    const std::string_view item = accept.substr(0, comma);
    const auto parameters = item.find(';');
    const std::string_view type = trim(item.substr(0, parameters));
    if (parameters != std::string_view::npos && refuses(item.substr(parameters + 1))) {
      if (comma == std::string_view::npos) break;
      accept.remove_prefix(comma + 1);
      continue;
    }
    if (type == "*/*") result.json = result.events = true;
    if (iequals(type, "application/json") || iequals(type, "application/*")) result.json = true;
    if (iequals(type, "text/event-stream") || iequals(type, "text/*")) result.events = true;
    if (comma == std::string_view::npos) break;
    accept.remove_prefix(comma + 1);
  }
  return result;
}

}  // namespace kubiya::mcp
