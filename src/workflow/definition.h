// SPDX-License-Identifier: Apache-2.0
//
// A workflow as its author wrote it: Kubiya's format (Dagu v1.17, camelCase).
// Pure: text in, value or problems out.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "workflow/approval.h"

namespace kubiya::workflow {

using Pairs = std::vector<std::pair<std::string, std::string>>;  // in order

struct Param {
  std::string name;
  std::string type;                  // string, number, integer, boolean; empty: any scalar
  std::vector<std::string> choices;  // `enum`, as text; empty: any value
  std::optional<std::string> default_value;
  bool required = false;
  bool secret = false;
  std::string description;
};

// `expected` absent: `condition` is a shell command, met when it exits 0.
// Otherwise the expanded condition must equal it, or match it after "re:".
struct Precondition {
  std::string condition;
  std::optional<std::string> expected;
};

struct ContinueOn {
  bool failure = false;
  bool skipped = false;
  bool mark_success = false;
  std::vector<int> exit_codes;
  std::vector<std::string> outputs;  // substring or "re:" pattern, per line of stdout
};

struct RetryPolicy {
  int limit = 0;  // additional attempts
  std::chrono::seconds interval{0};
  double backoff = 1.0;                  // factor per attempt
  std::chrono::seconds max_interval{0};  // 0: none
  std::vector<int> exit_codes;           // empty: any failure
};

// A token for a downstream service, which the engine gets on the caller's behalf for each attempt
// (RFC 8693).
struct TokenRequest {
  std::string audience;
  std::vector<std::string> scopes;   // empty: what the issuer gives
  std::string env = "ACCESS_TOKEN";  // variable it is put into
};

struct Step {
  std::string name;
  std::string id;
  std::string description;
  std::string command;            // through the shell; or the interpreter of `script`
  std::vector<std::string> argv;  // command given as a list: no shell
  std::string script;
  std::string shell;  // default "sh"
  std::string dir;
  Pairs env;
  std::vector<std::string> depends;  // names; chain and ids are already resolved
  std::string output;                // variable name, without '$'
  ContinueOn continue_on;
  RetryPolicy retry;
  std::vector<Precondition> preconditions;
  std::chrono::seconds timeout{0};  // 0: none
  std::optional<TokenRequest> token;
  std::optional<Approval> approval;  // instead of anything that runs
};

// How a workflow appears as a tool of its own (MCP tools).
struct Publication {
  std::string tool;                 // name; empty: the workflow's
  std::string title;                // for people
  std::vector<std::string> scopes;  // needed besides `execute`
  bool read_only = false;           // these three as MCP's annotations mean them
  bool destructive = true;
  bool idempotent = false;
};

struct Definition {
  enum class Type { chain, graph };
  std::string name;
  std::string description;
  Type type = Type::chain;
  std::vector<Param> params;
  Pairs env;
  std::vector<Step> steps;
  std::optional<Step> on_success, on_failure, on_cancel, on_exit;  // handlerOn
  std::vector<Precondition> preconditions;
  std::chrono::seconds timeout{0};
  int max_active_steps = 0;  // 0: no limit
  std::optional<Publication> publish;
};

// No configuration allows more: plans and environments grow with them.
inline constexpr std::size_t kMostSteps = 2'000, kMostParams = 1'000, kMostEnv = 1'000;
inline constexpr std::size_t kMostItems = 1'000;  // of any other list

struct Limits {
  std::size_t text_bytes = 1024 * 1024;
  std::size_t steps = 1000;
  std::size_t params = 100;
  std::size_t env = 200;
  std::size_t value_bytes = 128 * 1024;
};

// One thing wrong with a definition, with the path of the field: "steps[2].depends".
struct Problem {
  std::string field;
  std::string message;
};

struct Parsed {
  std::optional<Definition> definition;  // set iff problems is empty
  std::vector<Problem> problems;         // all of them, in document order
};

// Text is YAML; JSON is read too, being a subset (a text that starts with '{' is read as JSON).
// `name` is the workflow's where the text names none.
Parsed parse(std::string_view text, const Limits& limits = {}, std::string_view name = {});
// The same from a value (the `definition` argument may be an object).
Parsed parse(const json::value& value, const Limits& limits = {}, std::string_view name = {});
// All problems in one message: "steps[0].command: …; …".
std::string describe(const std::vector<Problem>& problems);

// True for names usable as a workflow: [A-Za-z0-9_.-], 1 to 40, not "." or "..".
bool is_workflow_name(std::string_view name);

// What handlerOn's handlers are called among the steps: onSuccess, onFailure, onCancel, onExit.
bool is_handler_name(std::string_view name);

// JSON Schema 2020-12 of the workflow's params, for `execute_workflow` and published tools.
json::object params_schema(const Definition& definition);
// Fills defaults and checks requireds, unknown names, sizes and NUL. Values that are not
// strings are passed as compact JSON. The result is in the order of the definition.
Result<Pairs> bind_params(const Definition& definition, const json::object& given);

}  // namespace kubiya::workflow
