// SPDX-License-Identifier: Apache-2.0
//
// The tools a client can call. A tool is an operation (name, scopes, effect), two
// schemas and a handler. Handlers of mutating tools demand a DurableTicket, handlers
// of reading ones a Ticket; both demand the Permit: the compiler keeps the order
// policy → audit → effect.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "audit/journal.h"
#include "base/json.h"
#include "base/result.h"
#include "base/trace_context.h"
#include "policy/policy.h"
#include "schema/schema.h"

namespace kubiya::tools {

// What the caller's client said it can do while this call is answered (MCP client capabilities).
struct ClientAbilities {
  bool elicit_form = false;
  bool elicit_url = false;
  bool sampling = false;
  bool roots = false;
  bool tasks = false;  // the extension io.modelcontextprotocol/tasks
};

// Something only the caller's client, or the person behind it, can tell.
struct InputRequest {
  std::string key;     // unique within the call
  std::string method;  // "elicitation/create", "sampling/createMessage" or "roots/list"
  json::object params;
};

// What stands between a call and its end.
struct Unfinished {
  // What has to be known first: the handler is called again, with the answers and with `state` as
  // it gave it.
  std::vector<InputRequest> asks;
  std::string state;
  // The call goes on without them: one that the client cannot or does not answer counts as
  // cancelled.
  bool optional = false;
  // Or: the work goes on as this task of the catalogue's. Needs ClientAbilities::tasks.
  std::string task;
};

// What a tool answers: a JSON object for programs, a short text for people and models.
struct ToolResult {
  std::string structured = "{}";  // JSON text of an object; empty: there is none
  std::string text;
  std::string content = {};  // JSON text of an array of content blocks, to send instead of `text`
  std::string run_id;        // these three for the audit record, when there is one
  std::string target;        // what was acted on, unless an argument names it
  std::string digest;        // SHA-256 of the workflow definition, hex
  std::string reason = "done";
  bool failed = false;  // the operation was carried out and what it ran did not succeed
  // Nothing was done: the policy, asked again with what the arguments stand for, said no.
  std::shared_ptr<const policy::Denied> denied = {};
  // Null: this is the end. Apart, because hardly any result has it and all are passed on by value.
  std::shared_ptr<const Unfinished> unfinished = {};

  static ToolResult asking(std::vector<InputRequest> asks, std::string state = {});
  static ToolResult goes_on_as(std::string task);
};

// One call, after policy allowed it.
struct Call {
  policy::Permit permit;
  json::object arguments;  // valid against the tool's input schema
  std::string request_id;
  std::optional<std::string> idempotency_key = {};  // from the Idempotency-Key header
  // Set when the caller asked for progress: `progress` grows, `total` when known. Any thread.
  std::function<void(double progress, std::optional<double> total, std::string_view message)>
      progress = {};
  // Set when the caller wants log messages: `level` is one of RFC 5424's words. Any thread.
  std::function<void(std::string_view level, const json::value& data)> log = {};
  // Whether anybody still waits for the answer. Empty: somebody does. Any thread.
  std::function<bool()> is_awaited = {};
  // Set on a stream that can be taken up again: ends the connection, not the call.
  std::function<void()> let_go = {};
  std::shared_ptr<const TraceContext> trace = {};  // null: the caller told of none
  ClientAbilities client = {};
  json::object answers = {};  // to InputRequests, by key
  std::string state = {};     // of the Unfinished that asked
};

using Done = std::function<void(Result<ToolResult>)>;

enum class Placement {
  loop,    // computes without blocking; called on the event loop
  worker,  // may block; called on a worker thread
};

struct Annotations {
  bool destructive = false;
  bool idempotent = false;
  bool open_world = false;
};

struct ToolSpec {
  policy::Operation operation;
  std::string name = {};  // of the tool, when it is not the operation's
  std::string title;
  std::string description;
  std::string input_schema;   // JSON Schema 2020-12, JSON text
  std::string output_schema;  // likewise; empty: none
  Annotations annotations;
  json::object meta = {};  // `_meta` of the listing
  Placement placement = Placement::worker;
  // What is acted on, for the audit record: the argument that names it, or the thing itself.
  std::string target_argument;
  std::string target = {};
  // Of a tool that comes and goes: where the operation stays when the tool is gone.
  const policy::Operation* shared_operation = nullptr;
  bool wraps_params = false;     // the arguments are the params of the workflow `target`
  bool read_only = false;        // says of itself that it changes nothing
  bool needs_tasks = false;      // answers with a task and cannot do otherwise
  bool always_admitted = false;  // ends work under way, so it never waits for a place
  // The handler asks the policy again once it knows the workflow and the values of its params.
  bool decides_again = false;
  // The handler asks the caller for required arguments that are missing, when the client can.
  bool asks_for_missing = false;
};

class Tool {
 public:
  using ReadHandler = std::function<void(const Call&, const audit::Ticket&, Done)>;
  using MutateHandler =
      std::function<void(std::shared_ptr<const Call>, const audit::DurableTicket&, Done)>;

  const ToolSpec& spec() const { return spec_; }
  const policy::Operation& operation() const {
    return spec_.shared_operation != nullptr ? *spec_.shared_operation : spec_.operation;
  }
  const std::string& name() const { return spec_.name; }
  // One object of `tools/list`, serialized once.
  const std::string& listing() const { return listing_; }
  // Arguments that are repeated as headers (`x-mcp-header` in the input schema).
  struct HeaderParam {
    std::string header;             // "Mcp-Param-Region"
    std::vector<std::string> path;  // members from the arguments down
  };
  const std::vector<HeaderParam>& header_params() const { return header_params_; }
  // Nothing when the arguments fit; otherwise a sentence that names every wrong field. With
  // `may_ask` a tool that asks for missing arguments lets them be missing.
  std::optional<std::string> check(const json::value& arguments, bool may_ask = false) const;

  void read(const Call& call, const audit::Ticket& ticket, Done done) const;
  void mutate(std::shared_ptr<const Call> call, const audit::DurableTicket& ticket,
              Done done) const;

 private:
  friend class Registry;
  ToolSpec spec_;
  std::string listing_;
  std::optional<schema::Schema> input_;
  std::optional<schema::Schema> partial_input_;  // without the root's `required`
  std::vector<HeaderParam> header_params_;
  ReadHandler read_;
  MutateHandler mutate_;
};

class Registry {
 public:
  // Refused: a bad or taken name, a schema that does not compile, a root that is not an object,
  // an `x-mcp-header` where MCP does not allow one.
  Result<> add(ToolSpec spec, Tool::ReadHandler handler);
  Result<> add(ToolSpec spec, Tool::MutateHandler handler);
  // A tool that is in no registry.
  static Result<std::shared_ptr<const Tool>> make(ToolSpec spec, Tool::ReadHandler handler);
  static Result<std::shared_ptr<const Tool>> make(ToolSpec spec, Tool::MutateHandler handler);

  const Tool* find(std::string_view name) const;
  // In order of registration.
  const std::vector<std::unique_ptr<Tool>>& tools() const { return tools_; }
  // Every scope any tool asks for, for the metadata documents.
  Scopes scopes() const;

 private:
  static Result<std::unique_ptr<Tool>> compile(ToolSpec spec);
  Result<> insert(std::unique_ptr<Tool> tool);
  std::vector<std::unique_ptr<Tool>> tools_;
  std::unordered_map<std::string_view, const Tool*> by_name_;
};

}  // namespace kubiya::tools
