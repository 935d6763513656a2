// SPDX-License-Identifier: Apache-2.0
//
// What a call's result looks like to the client: by era, by method, by how it ended.
#include <fmt/format.h>

#include "base/log.h"
#include "mcp/endpoint.h"

namespace kubiya::mcp {

Endpoint::Rendered Endpoint::render_protocol(const Exchange& x, const ProtocolError& error,
                                             std::string reason) {
  const auto id = x.rpc_id.empty() ? std::nullopt : std::optional<std::string_view>(x.rpc_id);
  return {refuse_protocol(id, error, x.request_id), std::move(reason)};
}

Endpoint::Rendered Endpoint::render_error(const Exchange& x, const Error& error) {
  const Era era = x.message.era;
  const std::string reason(to_string(error.code));
  if (x.message.method == "tools/call" || x.message.method.empty()) {
    const Disposition where = disposition(error.code);
    if (where.form == Disposition::Form::tool_error) {
      return {json_response(results_.tool_error_answer(x.rpc_id, era, error.message)), reason};
    }
    return render_protocol(x, {where.status, where.code, error.message, {}}, reason);
  }
  ProtocolError told = failure(error, era);
  if (x.message.method == "resources/read" && error.code == Code::not_found) {
    if (era == Era::legacy) told.code = rpc::kResourceNotFound;
    told.data = {{"uri", find_string(*x.message.params, "uri").value_or("")}};
  }
  return render_protocol(x, told, reason);
}

Endpoint::Rendered Endpoint::render_unfinished(const Exchange& x,
                                               const tools::Unfinished& unfinished) {
  if (unfinished.task.empty()) return render_asks(x, unfinished);
  const auto task = services_.catalogue.tasks()->get(x.principal, unfinished.task);
  if (!task) return render_error(x, task.error());
  return {json_response(result_answer(x.rpc_id, results_.task_created(*task))), "task"};
}

Endpoint::Rendered Endpoint::render(const Exchange& x, const Result<tools::ToolResult>& result) {
  const Era era = x.message.era;
  if (!result) return render_error(x, result.error());
  if (result->denied) {
    Rendered told{refuse_scope(challenge_, *result->denied, x.request_id, came_with_dpop(x)),
                  "insufficient_scope"};
    told.recorded = true;
    return told;
  }
  // GET / has no message around it.
  if (x.message.method.empty()) {
    http::Response response = json_response(result->structured);
    response.add("Cache-Control", "no-store");
    return {std::move(response), "done"};
  }
  if (result->unfinished) return render_unfinished(x, *result->unfinished);
  if (x.message.method == "prompts/get") {
    return {json_response(result_answer(x.rpc_id, results_.prompt(era, *result, result->text))),
            "done"};
  }
  if (x.message.method == "resources/read") {
    return {json_response(result_answer(x.rpc_id, results_.resource(era, *result))), "done"};
  }
  if (x.message.method.starts_with("tasks/")) {
    const std::string told = result->content.empty() ? results_.empty(era) : result->content;
    return {json_response(result_answer(x.rpc_id, told)), "done"};
  }
  return {json_response(results_.tool_answer(x.rpc_id, era, *result)),
          result->failed ? "run_failed" : "done"};
}

// The work was done and its record could not be kept: a client that tried again would do it twice,
// so it is told what there is and not to come back.
Endpoint::Rendered Endpoint::render_unrecorded(const Exchange& x,
                                               const Result<tools::ToolResult>& result,
                                               const Error& error) {
  json::object data{{"retry", false}};
  std::string message =
      "The call was carried out, but its outcome could not be written to the audit journal. Do not "
      "repeat it.";
  if (result && !result->run_id.empty()) {
    data["execution_id"] = result->run_id;
    message += fmt::format(" Look at execution {} instead.", result->run_id);
  }
  log::error("an outcome was not recorded",
             {{"request_id", x.request_id}, {"detail", error.detail}});
  Rendered told = render_protocol(
      x, {500, rpc::kInternalError, std::move(message), std::move(data)}, "outcome_unrecorded");
  return told;
}

void Endpoint::answer(const ExchangePtr& x, Rendered rendered) {
  const int status = rendered.response.status;
  if (status >= 400 && status < 500 && x->principal && !rendered.recorded) {
    services_.journal.refused(refusal(*x, rendered.reason, status), -1);
  }
  send(x, std::move(rendered.response), rendered.reason);
}

void Endpoint::answer_call(const ExchangePtr& x, const Result<tools::ToolResult>& result) {
  answer(x, render(*x, result));
}

}  // namespace kubiya::mcp
