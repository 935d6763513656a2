// SPDX-License-Identifier: Apache-2.0
#include "mcp/answer.h"

#include <algorithm>

#include <fmt/format.h>

namespace kubiya::mcp {
namespace {

// Lists change while a client holds them, but notifications tell; so a minute is no risk.
constexpr std::string_view kCaching = R"(,"ttlMs":60000,"cacheScope":"private")";
constexpr std::string_view kTasksExtension = "io.modelcontextprotocol/tasks";
constexpr std::string_view kAppsExtension = "io.modelcontextprotocol/ui";
// How a client came by its token is between it and the authorization server; these two ways are
// named, because the resource server has to take such tokens, and does.
constexpr std::string_view kTokenExtensions[] = {
    "io.modelcontextprotocol/oauth-client-credentials",
    "io.modelcontextprotocol/enterprise-managed-authorization"};

void append_text_block(std::string& out, std::string_view text) {
  out += R"([{"type":"text","text":)";
  append_json_string(out, text);
  out += "}]";
}

void append_asks(std::string& out, const std::vector<tools::InputRequest>& asks) {
  out += R"("inputRequests":{)";
  for (const auto& ask : asks) {
    if (out.back() != '{') out += ',';
    append_json_string(out, ask.key);
    out += fmt::format(R"(:{{"method":"{}","params":{}}})", ask.method, to_json(ask.params));
  }
  out += '}';
}

std::string time_text(std::int64_t unix_ms) { return format_time(from_unix_ms(unix_ms)); }

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

Results::Results(ServerInfo info, Offers offers) : info_(std::move(info)), offers_(offers) {
  const json::object server{{"name", info_.name}, {"version", info_.version}};
  server_meta_ =
      R"(,"_meta":{"io.modelcontextprotocol/serverInfo":)" + to_json(json::value(server)) + "}";
  std::string versions;
  for (const auto version : kServedVersions)
    versions += fmt::format("{}\"{}\"", versions.empty() ? "" : ",", version);
  discover_ = fmt::format(
      R"({{"resultType":"complete","supportedVersions":[{}],"capabilities":{}{},"instructions":{}{}}})",
      versions, to_json(capabilities(Era::modern)), kCaching,
      to_json(json::value(info_.instructions)), server_meta_);
}

json::object Results::capabilities(Era era) const {
  json::object all{{"tools", json::object{{"listChanged", true}}}};
  if (offers_.prompts) all["prompts"] = json::object{{"listChanged", true}};
  if (offers_.resources)
    all["resources"] = json::object{{"subscribe", true}, {"listChanged", true}};
  if (offers_.completions) all["completions"] = json::object{};
  all["logging"] = json::object{};
  json::object extensions;
  if (offers_.tasks && era == Era::modern) extensions[kTasksExtension] = json::object{};
  if (offers_.apps) extensions[kAppsExtension] = json::object{};
  if (offers_.authorization) {
    for (const auto name : kTokenExtensions) extensions[name] = json::object{};
  }
  if (!extensions.empty()) all["extensions"] = std::move(extensions);
  return all;
}

std::string Results::initialize(std::string_view version) const {
  const json::object result{
      {"protocolVersion", version},
      {"capabilities", capabilities(Era::legacy)},
      {"serverInfo", json::object{{"name", info_.name}, {"version", info_.version}}},
      {"instructions", info_.instructions}};
  return to_json(json::value(result));
}

// Ends a result that was begun with a brace and a member.
void Results::close(std::string& out, Era era) const {
  if (era == Era::modern) {
    out += R"(,"resultType":"complete")";
    out += server_meta_;
  }
  out += '}';
}

std::string Results::list(Era era, std::string_view member,
                          const std::vector<std::string_view>& items,
                          std::string_view next_cursor) const {
  std::size_t bytes = 256;
  for (const auto item : items) bytes += item.size() + 1;
  std::string out;
  out.reserve(bytes);
  out.append("{\"").append(member).append("\":[");
  for (const auto item : items) {
    if (out.back() != '[') out += ',';
    out += item;
  }
  out += ']';
  if (!next_cursor.empty()) {
    out += R"(,"nextCursor":)";
    append_json_string(out, next_cursor);
  }
  if (era == Era::modern) out += kCaching;
  close(out, era);
  return out;
}

std::string Results::completion(Era era, const tools::Completion& completion) const {
  json::object found{{"values", json::array(completion.values.begin(), completion.values.end())}};
  if (completion.total) found["total"] = *completion.total;
  found["hasMore"] = completion.total.has_value();
  std::string out = R"({"completion":)" + to_json(found);
  close(out, era);
  return out;
}

std::string Results::empty(Era era) const {
  return era == Era::modern ? R"({"resultType":"complete")" + server_meta_ + "}" : "{}";
}

void Results::append_tool_result(std::string& out, Era era, const tools::ToolResult& result) const {
  out += R"({"content":)";
  if (result.content.empty()) {
    append_text_block(out, result.text);
  } else {
    out += result.content;
  }
  if (!result.structured.empty()) out.append(R"(,"structuredContent":)").append(result.structured);
  out += result.failed ? R"(,"isError":true)" : R"(,"isError":false)";
  close(out, era);
}

std::string Results::tool_answer(std::string_view id, Era era,
                                 const tools::ToolResult& result) const {
  std::string out;
  out.reserve(224 + id.size() + result.text.size() + result.content.size() +
              result.structured.size() + server_meta_.size());
  out.append(R"({"jsonrpc":"2.0","id":)").append(id).append(R"(,"result":)");
  append_tool_result(out, era, result);
  out += '}';
  return out;
}

std::string Results::tool_error_answer(std::string_view id, Era era, std::string_view text) const {
  std::string out = R"({"content":)";
  append_text_block(out, text);
  out += R"(,"isError":true)";
  close(out, era);
  return result_answer(id, out);
}

std::string Results::prompt(Era era, const tools::ToolResult& result,
                            std::string_view description) const {
  std::string out = R"({"description":)";
  append_json_string(out, description);
  out.append(R"(,"messages":)").append(result.content);
  close(out, era);
  return out;
}

std::string Results::resource(Era era, const tools::ToolResult& result) const {
  std::string out = R"({"contents":)";
  out += result.content;
  if (era == Era::modern) out += kCaching;
  close(out, era);
  return out;
}

std::string Results::input_required(const std::vector<tools::InputRequest>& asks,
                                    std::string_view state) const {
  std::string out = R"({"resultType":"input_required")";
  if (!asks.empty()) {
    out += ',';
    append_asks(out, asks);
  }
  if (!state.empty()) {
    out += R"(,"requestState":)";
    append_json_string(out, state);
  }
  out += server_meta_;
  return out += '}';
}

namespace {

std::string task_members(const tools::TaskState& task) {
  std::string out = fmt::format(
      R"("taskId":"{}","status":"{}","createdAt":"{}","lastUpdatedAt":"{}","ttlMs":{},"pollIntervalMs":{})",
      task.id, to_string(task.status), time_text(task.created_ms), time_text(task.updated_ms),
      task.ttl_ms ? std::to_string(*task.ttl_ms) : "null", task.poll_ms);
  if (!task.message.empty()) {
    out += R"(,"statusMessage":)";
    append_json_string(out, task.message);
  }
  return out;
}

}  // namespace

std::string Results::task_created(const tools::TaskState& task) const {
  return R"({"resultType":"task",)" + task_members(task) + server_meta_ + "}";
}

// What a status brings with it.
void Results::append_task_end(std::string& out, const tools::TaskState& task) const {
  if (task.status == tools::TaskStatus::input_required) {
    out += ',';
    append_asks(out, task.asks);
  }
  if (task.status == tools::TaskStatus::completed) {
    out += R"(,"result":)";
    append_tool_result(out, Era::modern, task.result);
  }
  if (task.status == tools::TaskStatus::failed) {
    out += fmt::format(R"(,"error":{{"code":{},"message":)", failure(task.error, Era::modern).code);
    append_json_string(out, task.error.message);
    out += '}';
  }
}

std::string Results::task(const tools::TaskState& task) const {
  std::string out = R"({"resultType":"complete",)" + task_members(task);
  append_task_end(out, task);
  out += server_meta_;
  return out += '}';
}

std::string Results::task_notice(const tools::TaskState& task) const {
  std::string out = task_members(task);
  append_task_end(out, task);
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

std::string log_notification(std::string_view level, const json::value& data) {
  return fmt::format(
      R"({{"jsonrpc":"2.0","method":"notifications/message","params":{{"level":"{}","data":{}}}}})",
      level, to_json(data));
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
    case Code::untrusted:
      return {Form::protocol_error, 503, rpc::kInternalError};
    case Code::corrupt:
    case Code::internal:
      return {Form::protocol_error, 500, rpc::kInternalError};
  }
  return {Form::protocol_error, 500, rpc::kInternalError};
}

ProtocolError failure(const Error& error, Era era) {
  const Disposition where = disposition(error.code);
  if (where.form == Disposition::Form::protocol_error) {
    return {where.status, where.code, error.message, {}};
  }
  // Only the modern era has a status for parameters that name nothing.
  return {era == Era::modern ? 400 : 200, rpc::kInvalidParams, error.message, {}};
}

}  // namespace kubiya::mcp
