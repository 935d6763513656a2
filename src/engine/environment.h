// SPDX-License-Identifier: Apache-2.0
//
// What a step is started with: environment, words, directory. Pure, but for
// nothing: the script's file is written by the caller.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/principal.h"
#include "base/trace_context.h"
#include "engine/launcher.h"
#include "workflow/definition.h"
#include "workflow/expand.h"

namespace kubiya::engine {

// Names and values of a step's variables together. The kernel takes about twice as much, with the
// arguments.
inline constexpr std::size_t kLargestEnvironment = 1024 * 1024;

// What is the same for all steps of a run.
struct RunFacts {
  std::string run_id;
  std::string workflow;
  std::string mark;       // KUBIYA_INSTALLATION of its processes
  std::string directory;  // the run's private one
  PrincipalPtr principal;
  std::shared_ptr<const TraceContext> trace;  // null: none
};

// The variables of one step, in the order of Dagu v1.17: a value given for this run wins over
// the step's env, that over a param's default, that over the workflow's env, that over
// the caller's trace. The server's own variables (KUBIYA_*, DAG_*) cannot be replaced by any of
// them.
class Variables {
 public:
  // Code::too_large names the entry of `env` that is too long with its references filled in, or
  // says that all together are more than kLargestEnvironment.
  static Result<Variables> make(const RunFacts& run, const workflow::Definition& definition,
                                const workflow::Step& step, const workflow::Pairs& params,
                                const workflow::Pairs& outputs);
  // These and one more, which wins. Code::too_large as above.
  Result<Variables> with(const std::string& name, std::string_view value) const;
  // Each name once.
  const workflow::Pairs& all() const { return variables_; }
  std::optional<std::string> find(std::string_view name) const;
  // The params' values as $1, $2, …: one that was left out keeps its place.
  const std::vector<std::string>& positional() const { return positional_; }
  workflow::Lookup lookup() const;

 private:
  Variables() = default;
  void set(const std::string& name, std::string value);
  Result<> set_expanded(const workflow::Pairs& entries);
  Result<> check_size() const;
  void set_trace(const TraceContext& trace);
  void set_own(const RunFacts& run, const std::string& step);
  void set_positional(const workflow::Definition& definition, const workflow::Pairs& params);
  workflow::Pairs variables_;
  workflow::Pairs numbered_;  // params without a name: no environment can hold them
  std::vector<std::string> positional_;
};

// Where the text of `step.script` has to be put before launching.
std::string script_path(const RunFacts& run, std::size_t position);

struct Launchable {
  LaunchRequest request;
  std::optional<std::string> script;  // to be written at script_path(), 0600
};

// Errors name the field of the step: Code::too_large.
Result<Launchable> launchable(const RunFacts& run, const workflow::Step& step, std::size_t position,
                              const Variables& variables);

// `command` of a precondition without `expected`.
Result<LaunchRequest> condition_command(const RunFacts& run, const std::string& command,
                                        const Variables& variables);

}  // namespace kubiya::engine
