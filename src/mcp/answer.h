// SPDX-License-Identifier: Apache-2.0
//
// The bytes of answers, by era. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "mcp/message.h"
#include "tools/catalogue.h"

namespace kubiya::mcp {

struct ServerInfo {
  std::string name;
  std::string version;
  std::string instructions;
};

// What a catalogue holds, as capabilities tell it.
struct Offers {
  bool prompts = false;
  bool resources = false;
  bool completions = false;
  bool tasks = false;
  bool authorization = false;  // callers come with tokens of an authorization server
  bool apps = false;           // results that a host can show as a page of ours
};

// `id` and `result` are JSON text.
std::string result_answer(std::string_view id, std::string_view result);
// Without an id the member is left out: `id: null` is not a legal MCP message.
std::string error_answer(std::optional<std::string_view> id, const ProtocolError& error);

// Results of the methods this server serves. The fixed ones are built once.
class Results {
 public:
  Results(ServerInfo info, Offers offers);

  const Offers& offers() const { return offers_; }
  const std::string& discover() const { return discover_; }
  // `version` is the one that was settled.
  std::string initialize(std::string_view version) const;
  // One page of a list: `member` is "tools", "prompts" …; `items` are JSON texts.
  std::string list(Era era, std::string_view member, const std::vector<std::string_view>& items,
                   std::string_view next_cursor) const;
  std::string completion(Era era, const tools::Completion& completion) const;
  // {} in the legacy era, a result without content in the modern one.
  std::string empty(Era era) const;

  // Whole answers to tools/call.
  std::string tool_answer(std::string_view id, Era era, const tools::ToolResult& result) const;
  std::string tool_error_answer(std::string_view id, Era era, std::string_view text) const;
  // Results of prompts/get and resources/read.
  std::string prompt(Era era, const tools::ToolResult& result, std::string_view description) const;
  std::string resource(Era era, const tools::ToolResult& result) const;
  // Modern: what must be known first. `state` is sealed.
  std::string input_required(const std::vector<tools::InputRequest>& asks,
                             std::string_view state) const;
  // Modern: a call that goes on, and how one stands (tasks/get).
  std::string task_created(const tools::TaskState& task) const;
  std::string task(const tools::TaskState& task) const;
  // The same as members without braces, for notifications.
  std::string task_notice(const tools::TaskState& task) const;

 private:
  void append_tool_result(std::string& out, Era era, const tools::ToolResult& result) const;
  void close(std::string& out, Era era) const;
  json::object capabilities(Era era) const;
  void append_task_end(std::string& out, const tools::TaskState& task) const;

  ServerInfo info_;
  Offers offers_;
  std::string server_meta_;  // ,"_meta":{…}
  std::string discover_;
};

// One notifications/progress message.
std::string progress_notification(std::string_view token, double progress,
                                  std::optional<double> total, std::string_view message);
// One notifications/message message.
std::string log_notification(std::string_view level, const json::value& data);

// Where a failure of an operation goes.
struct Disposition {
  enum class Form {
    tool_error,      // 200, a result with isError: the model can read it and correct itself
    protocol_error,  // JSON-RPC error with the HTTP status below
  };
  Form form = Form::tool_error;
  int status = 200;
  int code = 0;
};
Disposition disposition(Code code);
// Of a prompt or a resource, which have no result that tells of failure.
ProtocolError failure(const Error& error, Era era);

}  // namespace kubiya::mcp
