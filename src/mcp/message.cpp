// SPDX-License-Identifier: Apache-2.0
#include "mcp/message.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/encoding.h"

namespace kubiya::mcp {
namespace {

constexpr std::string_view kVersionKey = "io.modelcontextprotocol/protocolVersion";
constexpr std::string_view kCapabilitiesKey = "io.modelcontextprotocol/clientCapabilities";
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
  if (headers.name.count == 0)
    return refuse(rpc::kHeaderMismatch, "The Mcp-Name header is missing");
  if (headers.name.count > 1)
    return refuse(rpc::kHeaderMismatch, "The Mcp-Name header is repeated");
  const auto in_header = decode_header_text(headers.name.value);
  if (!in_header)
    return refuse(rpc::kHeaderMismatch, "The Mcp-Name header is not valid base64 text");
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
  if (!find_object(meta, kCapabilitiesKey)) {
    return refuse(rpc::kInvalidParams,
                  fmt::format("params._meta[\"{}\"] must be an object", kCapabilitiesKey));
  }
  if (auto ok = take_progress_token(meta, message); !ok) return Failure(ok.error());
  if (auto ok = mirror(headers.version, "MCP-Protocol-Version", *version); !ok)
    return Failure(ok.error());
  if (auto ok = mirror(headers.method, "Mcp-Method", message.method); !ok)
    return Failure(ok.error());
  if (*version != kModernVersion) return unsupported(*version);
  message.version = kModernVersion;
  if (auto ok = check_name(message, headers); !ok) return Failure(ok.error());
  return message;
}

tl::expected<Message, ProtocolError> legacy(Message message, const MirroredHeaders& headers) {
  message.era = Era::legacy;
  message.version = kLegacyVersions.back();
  if (headers.version.count > 1)
    return refuse(rpc::kInvalidRequest, "The MCP-Protocol-Version header is repeated");
  if (headers.version.count == 1) {
    const auto known =
        std::find(kLegacyVersions.begin(), kLegacyVersions.end(), headers.version.value);
    if (known == kLegacyVersions.end()) return unsupported(headers.version.value);
    message.version = *known;
  }
  if (const auto meta = meta_of(message.params)) {
    if (auto ok = take_progress_token(*meta, message); !ok) return Failure(ok.error());
  }
  return message;
}

// Which era a request belongs to is said by its body; a header alone cannot make it modern, but a
// modern header on a body without the claim is a broken modern request and not a legacy one.
tl::expected<Message, ProtocolError> classify(const Message& message,
                                              const MirroredHeaders& headers) {
  const auto meta = meta_of(message.params);
  const bool claims_modern = meta && meta->find(kVersionKey);
  const bool modern_header = headers.version.count != 0 && headers.version.value == kModernVersion;
  if (message.id.empty()) {
    Message notification = message;
    notification.era = modern_header || claims_modern ? Era::modern : Era::legacy;
    notification.version =
        notification.era == Era::modern ? kModernVersion : kLegacyVersions.back();
    return notification;
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
  return legacy(message, headers);
}

bool is_legal_envelope(JsonView object) { return find_string(object, "jsonrpc") == "2.0"; }

}  // namespace

std::optional<std::string> decode_header_text(std::string_view value) {
  constexpr std::string_view prefix = "=?base64?";
  constexpr std::string_view suffix = "?=";
  if (value.size() < prefix.size() + suffix.size() || !value.starts_with(prefix) ||
      !value.ends_with(suffix)) {
    return std::string(value);
  }
  auto text = unbase64(value.substr(prefix.size(), value.size() - prefix.size() - suffix.size()));
  if (!text || !is_utf8(*text)) return std::nullopt;
  return text;
}

Decoded decode(JsonView body, const MirroredHeaders& headers) {
  using Kind = JsonView::Kind;
  if (body.kind() == Kind::array)
    return {{}, refuse(rpc::kInvalidRequest, "Batches are not accepted: send one message")};
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
    const bool response = body.find("result") || body.find("error");
    return {message.id, refuse(rpc::kInvalidRequest,
                               response ? "This server asks nothing, so it takes no responses"
                                        : "method is required and must be a string")};
  }
  message.method = *method;
  message.params = body.find("params");
  if (message.params && message.params->kind() != Kind::object)
    return {message.id, refuse(rpc::kInvalidRequest, "params must be an object")};
  return {message.id, classify(message, headers)};
}

bool is_json_content(std::string_view content_type) {
  const auto semicolon = content_type.find(';');
  if (!iequals(trim(content_type.substr(0, semicolon)), "application/json")) return false;
  if (semicolon == std::string_view::npos) return true;
  const std::string_view parameter = trim(content_type.substr(semicolon + 1));
  return iequals(parameter, "charset=utf-8") || iequals(parameter, "charset=\"utf-8\"");
}

Accepts parse_accept(std::string_view accept) {
  if (trim(accept).empty()) return {true, true};
  Accepts result;
  // A client that lists thousands of types gets the first few read.
  for (int i = 0; i < 32 && !accept.empty(); ++i) {
    const auto comma = accept.find(',');
    const std::string_view item = accept.substr(0, comma);
    const std::string_view type = trim(item.substr(0, item.find(';')));
    if (type == "*/*") result.json = result.events = true;
    if (iequals(type, "application/json") || iequals(type, "application/*")) result.json = true;
    if (iequals(type, "text/event-stream") || iequals(type, "text/*")) result.events = true;
    if (comma == std::string_view::npos) break;
    accept.remove_prefix(comma + 1);
  }
  return result;
}

}  // namespace kubiya::mcp
