// SPDX-License-Identifier: Apache-2.0
//
// The bytes of answers, by era. Pure.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/json.h"
#include "base/result.h"
#include "mcp/message.h"
#include "tools/registry.h"

namespace kubiya::mcp {

struct ServerInfo {
  std::string name;
  std::string version;
  std::string instructions;
};

// `id` and `result` are JSON text.
std::string result_answer(std::string_view id, std::string_view result);
// Without an id the member is left out: `id: null` is not a legal MCP message.
std::string error_answer(std::optional<std::string_view> id, const ProtocolError& error);

// Results of the methods this server serves. The fixed ones are built once.
class Results {
 public:
  Results(ServerInfo info, const tools::Registry& registry);

  const std::string& discover() const { return discover_; }
  // `requested` is what the client asked for; the answer names it if served, else our newest
  // legacy.
  std::string initialize(std::string_view requested) const;
  // All tools, or those that `visible` picks; always in order of registration.
  const std::string& tools_list(Era era) const {
    return era == Era::modern ? tools_modern_ : tools_legacy_;
  }
  std::string tools_list(Era era, const std::function<bool(const tools::Tool&)>& visible) const;
  const std::string& empty() const { return empty_; }
  // Whole answers to tools/call.
  std::string tool_answer(std::string_view id, Era era, const tools::ToolResult& result) const;
  std::string tool_error_answer(std::string_view id, Era era, std::string_view text) const;

 private:
  std::string list_of(Era era, std::string_view tools) const;

  ServerInfo info_;
  const tools::Registry& registry_;
  std::string server_meta_;  // ,"_meta":{…}
  std::string discover_, tools_modern_, tools_legacy_;
  std::string empty_ = "{}";
};

// One notifications/progress message.
std::string progress_notification(std::string_view token, double progress,
                                  std::optional<double> total, std::string_view message);

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

}  // namespace kubiya::mcp
