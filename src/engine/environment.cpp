// SPDX-License-Identifier: Apache-2.0
#include "engine/environment.h"

#include <algorithm>

#include <fmt/format.h>

#include "workflow/code_words.h"

namespace kubiya::engine {
namespace {

constexpr const char* kPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

// The failure with the field it is in.
template <class Value>
Result<Value> within(const std::string& field, Result<Value> result) {
  if (!result) result.error().message = field + ": " + result.error().message;
  return result;
}

std::vector<std::string> words(std::string_view text) {
  std::vector<std::string> out;
  for (std::size_t i = 0; i < text.size();) {
    const auto begin = text.find_first_not_of(" \t\r\n", i);
    if (begin == text.npos) break;
    const auto end = std::min(text.find_first_of(" \t\r\n", begin), text.size());
    out.emplace_back(text.substr(begin, end - begin));
    i = end;
  }
  return out;
}

std::vector<std::string> shell_of(const workflow::Step& step) {
  auto shell = words(step.shell);
  if (shell.empty()) shell = {"sh"};
  return shell;
}

// `command` names it; else a "#!" line where no other shell was asked for; else the shell.
std::vector<std::string> interpreter_of(const workflow::Step& step) {
  if (auto named = words(step.command); !named.empty()) return named;
  if (step.script.starts_with("#!") && (step.shell.empty() || step.shell == "sh")) {
    const auto line = std::string_view(step.script).substr(2, step.script.find('\n') - 2);
    if (auto named = words(line); !named.empty()) return named;
  }
  return shell_of(step);
}

void append_values(std::vector<std::string>& argv, const Variables& variables) {
  const auto& values = variables.positional();
  argv.insert(argv.end(), values.begin(), values.end());
}

void append_missing(workflow::Pairs& environment, workflow::Pairs extra) {
  for (auto& entry : extra) environment.push_back(std::move(entry));
}

// `$1` is the shell's own.
workflow::Lookup named_only(const Variables& variables) {
  return [&variables](std::string_view name) {
    return workflow::is_env_name(name) ? variables.find(name) : std::nullopt;
  };
}

// Words that are programs keep their references: shells look values up, others were checked when
// the definition was read. They are looked for in what is run, not in what was written.
Result<> set_words(LaunchRequest& request, const std::vector<std::string>& words,
                   const Variables& variables) {
  for (const auto& word : words) {
    const std::string field = fmt::format("command[{}]", request.argv.size());
    request.argv.push_back(TRY(within(field, workflow::expand(word, variables.lookup()))));
  }
  std::size_t taken = 0;
  for (const auto& code : workflow::code_words(std::vector(request.argv))) {
    const std::string& written = words[code.index];
    if (!code.is_shell) {
      request.argv[code.index] = written;
      continue;
    }
    auto text =
        TRY(within("command", workflow::prepare_shell(written, named_only(variables), taken)));
    taken += text.variables.size();
    append_missing(request.environment, std::move(text.variables));
    request.argv[code.index] = std::move(text.text);
  }
  return {};
}

Result<std::string> directory_of(const RunFacts& run, const workflow::Step& step,
                                 const Variables& variables) {
  if (step.dir.empty()) return run.directory;
  std::string dir = TRY(within("dir", workflow::expand(step.dir, variables.lookup())));
  return dir.starts_with('/') ? dir : run.directory + "/" + dir;
}

}  // namespace

Result<Variables> Variables::make(const RunFacts& run, const workflow::Definition& definition,
                                  const workflow::Step& step, const workflow::Pairs& params,
                                  const workflow::Pairs& outputs) {
  const auto is_default = [&](const std::pair<std::string, std::string>& param) {
    return std::any_of(definition.params.begin(), definition.params.end(), [&](const auto& known) {
      return known.name == param.first && known.default_value == param.second;
    });
  };
  Variables to;
  to.set("PATH", kPath);
  to.set("HOME", run.directory);
  to.set("TMPDIR", run.directory);
  to.set("LANG", "C.UTF-8");
  if (run.trace) to.set_trace(*run.trace);
  to.set_own(run, step.name);
  for (const auto& [name, value] : params) to.set(name, value);  // env entries may refer to them
  TRY_VOID(to.set_expanded(definition.env));
  for (const auto& param : params) {
    if (is_default(param)) to.set(param.first, param.second);
  }
  TRY_VOID(to.set_expanded(step.env));
  for (const auto& param : params) {
    if (!is_default(param)) to.set(param.first, param.second);
  }
  for (const auto& [name, value] : outputs) to.set(name, value);
  to.set_own(run, step.name);
  to.set_positional(definition, params);
  TRY_VOID(to.check_size());
  return to;
}

Result<Variables> Variables::with(const std::string& name, std::string_view value) const {
  Variables more = *this;
  more.set(name, std::string(value));
  TRY_VOID(more.check_size());
  return more;
}

Result<> Variables::check_size() const {
  std::size_t total = 0;
  const std::pair<std::string, std::string>* largest = nullptr;
  for (const auto& entry : variables_) {
    total += entry.first.size() + entry.second.size() + 2;
    if (largest == nullptr || entry.second.size() > largest->second.size()) largest = &entry;
  }
  if (total <= kLargestEnvironment) return {};
  return fail(Code::too_large,
              fmt::format("the step's variables are more than {} bytes together; the largest is {}",
                          kLargestEnvironment, largest->first));
}

void Variables::set_positional(const workflow::Definition& definition,
                               const workflow::Pairs& params) {
  auto next = params.begin();
  for (const auto& known : definition.params) {
    const bool given = next != params.end() && next->first == known.name;
    positional_.push_back(given ? (next++)->second : "");
  }
  const bool tail = next != params.end();
  for (; next != params.end(); ++next) positional_.push_back(next->second);
  // Nothing stands behind those left out at the end: $# does not count them.
  for (auto known = definition.params.rbegin(); !tail && known != definition.params.rend();
       ++known) {
    const bool given = std::any_of(params.begin(), params.end(),
                                   [&](const auto& param) { return param.first == known->name; });
    if (given) break;
    positional_.pop_back();
  }
}

// As OpenTelemetry reads a context from the environment ("Environment Variables as Context
// Propagation Carriers").
void Variables::set_trace(const TraceContext& trace) {
  if (!trace.parent.empty()) set("TRACEPARENT", trace.parent);
  if (!trace.state.empty()) set("TRACESTATE", trace.state);
  if (!trace.baggage.empty()) set("BAGGAGE", trace.baggage);
}

void Variables::set_own(const RunFacts& run, const std::string& step) {
  const PrincipalFacts& who = run.principal->facts();
  if (who.api_key) {
    set("KUBIYA_API_KEY", std::string(who.api_key->reveal()));
  } else {
    std::erase_if(variables_, [](const auto& entry) { return entry.first == "KUBIYA_API_KEY"; });
  }
  set("KUBIYA_SUBJECT", who.subject);
  set("KUBIYA_ISSUER", who.issuer);
  set("KUBIYA_TENANT", who.tenant);
  set("KUBIYA_RUN_ID", run.run_id);
  set("KUBIYA_INSTALLATION", run.mark);
  set("DAG_NAME", run.workflow);
  set("DAG_RUN_ID", run.run_id);
  set("DAG_RUN_STEP_NAME", step);
}

void Variables::set(const std::string& name, std::string value) {
  auto& entries = workflow::is_position(name) ? numbered_ : variables_;
  for (auto& entry : entries) {
    if (entry.first == name) {
      entry.second = std::move(value);
      return;
    }
  }
  entries.emplace_back(name, std::move(value));
}

Result<> Variables::set_expanded(const workflow::Pairs& entries) {
  for (const auto& [name, value] : entries) {
    set(name, TRY(within("env." + name, workflow::expand(value, lookup()))));
    TRY_VOID(check_size());  // before the next one doubles it
  }
  return {};
}

std::optional<std::string> Variables::find(std::string_view name) const {
  for (const auto* entries : {&variables_, &numbered_}) {
    for (const auto& entry : *entries) {
      if (entry.first == name) return entry.second;
    }
  }
  return std::nullopt;
}

workflow::Lookup Variables::lookup() const {
  return [this](std::string_view name) { return find(name); };
}

std::string script_path(const RunFacts& run, std::size_t position) {
  return run.directory + "/.step-" + std::to_string(position);
}

Result<Launchable> launchable(const RunFacts& run, const workflow::Step& step, std::size_t position,
                              const Variables& variables) {
  Launchable out;
  LaunchRequest& request = out.request;
  request.directory = TRY(directory_of(run, step, variables));
  request.environment = variables.all();
  if (!step.script.empty()) {
    request.argv = interpreter_of(step);
    workflow::ShellText text{step.script, {}};
    if (workflow::is_shell(request.argv.front())) {
      text = TRY(within("script", workflow::prepare_shell(step.script, named_only(variables))));
    }
    append_missing(request.environment, std::move(text.variables));
    out.script = std::move(text.text);
    request.argv.push_back(script_path(run, position));
    append_values(request.argv, variables);
  } else if (!step.argv.empty()) {
    TRY_VOID(set_words(request, step.argv, variables));
  } else {
    auto text =
        TRY(within("command", workflow::prepare_shell(step.command, named_only(variables))));
    append_missing(request.environment, std::move(text.variables));
    request.argv = shell_of(step);
    request.argv.insert(request.argv.end(), {"-c", std::move(text.text), step.name});
    append_values(request.argv, variables);
  }
  return out;
}

Result<LaunchRequest> condition_command(const RunFacts& run, const std::string& command,
                                        const Variables& variables) {
  auto text = TRY(workflow::prepare_shell(command, named_only(variables)));
  LaunchRequest request{{"sh", "-c", std::move(text.text), "sh"}, variables.all(), run.directory};
  append_values(request.argv, variables);
  append_missing(request.environment, std::move(text.variables));
  return request;
}

}  // namespace kubiya::engine
