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
#include "policy/policy.h"
#include "schema/schema.h"

namespace kubiya::tools {

// What a tool answers: a JSON object for programs, a short text for people and models.
struct ToolResult {
  std::string structured = "{}";  // JSON text of an object
  std::string text;
  std::string run_id;  // these three for the audit record, when there is one
  std::string target;  // what was acted on, unless an argument names it
  std::string digest;  // SHA-256 of the workflow definition, hex
  std::string reason = "done";
  bool failed = false;  // the operation was carried out and what it ran did not succeed
  // Nothing was done: the policy, asked again with what the arguments stand for, said no.
  std::optional<policy::Denied> denied;
};

// One call, after policy allowed it.
struct Call {
  policy::Permit permit;
  json::object arguments;  // valid against the tool's input schema
  std::string request_id;
  std::optional<std::string> idempotency_key;  // from the Idempotency-Key header
  // Set when the caller asked for progress: `progress` grows, `total` when known. Any thread.
  std::function<void(double progress, std::optional<double> total, std::string_view message)>
      progress;
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
  policy::Operation operation;  // operation.name is the tool's name
  std::string title;
  std::string description;
  std::string input_schema;   // JSON Schema 2020-12, JSON text
  std::string output_schema;  // likewise; empty: none
  Annotations annotations;
  Placement placement = Placement::worker;
  std::string target_argument;  // the argument that names what is acted on, for the audit record
  // The handler asks the policy again once it knows the workflow and the values of its params.
  bool decides_again = false;
};

class Tool {
 public:
  using ReadHandler = std::function<void(const Call&, const audit::Ticket&, Done)>;
  using MutateHandler =
      std::function<void(std::shared_ptr<const Call>, const audit::DurableTicket&, Done)>;

  const ToolSpec& spec() const { return spec_; }
  const policy::Operation& operation() const { return spec_.operation; }
  // One object of `tools/list`, serialized once.
  const std::string& listing() const { return listing_; }
  // Nothing when the arguments fit; otherwise a sentence that names every wrong field.
  std::optional<std::string> check(const json::value& arguments) const;

  void read(const Call& call, const audit::Ticket& ticket, Done done) const;
  void mutate(std::shared_ptr<const Call> call, const audit::DurableTicket& ticket,
              Done done) const;

 private:
  friend class Registry;
  ToolSpec spec_;
  std::string listing_;
  std::optional<schema::Schema> input_;
  ReadHandler read_;
  MutateHandler mutate_;
};

class Registry {
 public:
  // Refused: a bad or taken name, a schema that does not compile, a root that is not an object.
  Result<> add(ToolSpec spec, Tool::ReadHandler handler);
  Result<> add(ToolSpec spec, Tool::MutateHandler handler);

  const Tool* find(std::string_view name) const;
  // In order of registration.
  const std::vector<std::unique_ptr<Tool>>& tools() const { return tools_; }
  // Every scope any tool asks for, for the metadata documents.
  Scopes scopes() const;

 private:
  Result<std::unique_ptr<Tool>> make(ToolSpec spec) const;
  std::vector<std::unique_ptr<Tool>> tools_;
  std::unordered_map<std::string_view, const Tool*> by_name_;
};

}  // namespace kubiya::tools
