// SPDX-License-Identifier: Apache-2.0
#include "mcp/answer.h"

#include <algorithm>

#include <fmt/format.h>

namespace kubiya::mcp {
namespace {

void append_start(std::string& out, std::string_view id, std::string_view text) {
  out.append(R"({"jsonrpc":"2.0","id":)").append(id);
  out += R"(,"result":{"content":[{"type":"text","text":)";
  append_json_string(out, text);
  out += "}]";
}

void append_end(std::string& out, Era era, const std::string& server_meta) {
  if (era == Era::modern) {
    out += R"(,"resultType":"complete")";
    out += server_meta;
  }
  out += "}}";
}

}  // namespace

std::string result_answer(std::string_view id, std::string_view result) {
  std::string out;
  out.reserve(result.size() + id.size() + 40);
  out += R"({"jsonrpc":"2.0","id":)";
  out += id;
  out += R"(,"result":)";
  out += result;
  out += '}';
  return out;
}

std::string error_answer(std::optional<std::string_view> id, const ProtocolError& error) {
  std::string out = R"({"jsonrpc":"2.0",)";
  if (id) out += fmt::format("\"id\":{},", *id);
  out += fmt::format("\"error\":{{\"code\":{},\"message\":", error.code);
  append_json_string(out, error.message);
  if (!error.data.empty()) {
    out += ",\"data\":";
    append_json(out, json::value(error.data));
  }
  out += "}}";
  return out;
}

Results::Results(ServerInfo info, const tools::Registry& registry)
    : info_(std::move(info)), registry_(registry) {
  const json::object server{{"name", info_.name}, {"version", info_.version}};
  server_meta_ =
      R"(,"_meta":{"io.modelcontextprotocol/serverInfo":)" + to_json(json::value(server)) + "}";

  std::string versions;
  for (const auto version : kServedVersions)
    versions += fmt::format("{}\"{}\"", versions.empty() ? "" : ",", version);
  discover_ = fmt::format(
      R"({{"resultType":"complete","supportedVersions":[{}],"capabilities":{{"tools":{{}}}},)"
      R"("ttlMs":60000,"cacheScope":"private","instructions":{}{}}})",
      versions, to_json(json::value(info_.instructions)), server_meta_);
  const auto all = [](const tools::Tool&) { return true; };
  tools_legacy_ = tools_list(Era::legacy, all);
  tools_modern_ = tools_list(Era::modern, all);
}

// What a caller may not use is left out, so the answer is for no shared cache.
std::string Results::tools_list(Era era,
                                const std::function<bool(const tools::Tool&)>& visible) const {
  std::string list;
  for (const auto& tool : registry_.tools()) {
    if (!visible(*tool)) continue;
    if (!list.empty()) list += ',';
    list += tool->listing();
  }
  return list_of(era, list);
}

std::string Results::list_of(Era era, std::string_view tools) const {
  std::string out;
  out.reserve(tools.size() + server_meta_.size() + 128);
  out += era == Era::modern ? R"({"resultType":"complete","tools":[)" : R"({"tools":[)";
  out += tools;
  out += ']';
  if (era == Era::modern)
    out.append(R"(,"ttlMs":60000,"cacheScope":"private")").append(server_meta_);
  out += '}';
  return out;
}

std::string Results::initialize(std::string_view requested) const {
  const auto served = std::find(kLegacyVersions.begin(), kLegacyVersions.end(), requested);
  const json::object result{
      {"protocolVersion", served != kLegacyVersions.end() ? *served : kLegacyVersions.front()},
      {"capabilities", json::object{{"tools", json::object{}}}},
      {"serverInfo", json::object{{"name", info_.name}, {"version", info_.version}}},
      {"instructions", info_.instructions}};
  return to_json(json::value(result));
}

std::string Results::tool_answer(std::string_view id, Era era,
                                 const tools::ToolResult& result) const {
  std::string out;
  out.reserve(192 + id.size() + result.text.size() + result.structured.size() +
              server_meta_.size());
  append_start(out, id, result.text);
  out.append(R"(,"structuredContent":)").append(result.structured);
  out += result.failed ? R"(,"isError":true)" : R"(,"isError":false)";
  append_end(out, era, server_meta_);
  return out;
}

std::string Results::tool_error_answer(std::string_view id, Era era, std::string_view text) const {
  std::string out;
  append_start(out, id, text);
  out += R"(,"isError":true)";
  append_end(out, era, server_meta_);
  return out;
}

std::string progress_notification(std::string_view token, double progress,
                                  std::optional<double> total, std::string_view message) {
  std::string out =
      R"({"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":)";
  out += token;
  out += fmt::format(",\"progress\":{}", progress);
  if (total) out += fmt::format(",\"total\":{}", *total);
  out += ",\"message\":";
  append_json_string(out, message);
  out += "}}";
  return out;
}

Disposition disposition(Code code) {
  using Form = Disposition::Form;
  switch (code) {
    case Code::invalid:
    case Code::forbidden:
    case Code::not_found:
    case Code::conflict:
    case Code::too_large:
    case Code::timeout:
    case Code::cancelled:
    case Code::unsupported:
      return {Form::tool_error, 200, 0};
    case Code::unauthenticated:
      return {Form::protocol_error, 401, rpc::kInvalidRequest};
    case Code::busy:
      return {Form::protocol_error, 429, rpc::kInternalError};
    case Code::unavailable:
      return {Form::protocol_error, 503, rpc::kInternalError};
    case Code::corrupt:
    case Code::internal:
      return {Form::protocol_error, 500, rpc::kInternalError};
  }
  return {Form::protocol_error, 500, rpc::kInternalError};
}

}  // namespace kubiya::mcp
