// SPDX-License-Identifier: Apache-2.0
//
// Prompts that help a model write and use workflows.
#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "tools/families.h"

namespace kubiya::tools {
namespace {

constexpr std::string_view kGuide = R"(A workflow is YAML or JSON with these members:

name: letters, digits, "_", "." and "-", at most 40 characters
description: one sentence for people
type: chain (default: each step after the one before) or graph (order by `depends`)
params: a map of names to defaults, or to {default, required, description}
env: a map or a list of NAME: value
steps: a list of {name, command | script, shell, dir, env, depends, output, continueOn,
  retryPolicy {limit, intervalSec}, preconditions, timeoutSec,
  token {audience, scopes, env}}
or {name, type: approval, depends, approval {message, scopes, groups, quorum, expiresSec,
  notRequester}}: waits until people have agreed
handlerOn: {success, failure, cancel, exit}, each a step
timeoutSec, maxActiveSteps: bounds for the whole run

Values reach a step as environment variables: write "$NAME" in a script, never a value pasted into
it. `output: NAME` captures what a step prints; later steps read $NAME, or ${NAME.field} when it
printed JSON.

Example:

name: deploy
type: graph
params:
  env: {required: true, description: "staging or production"}
steps:
  - name: build
    script: make build
    output: IMAGE
  - name: test
    script: make test
    depends: build
  - name: roll-out
    script: ./roll-out "$IMAGE" "$env"
    depends: [build, test]
    retryPolicy: {limit: 2, intervalSec: 10}
handlerOn:
  failure: {command: ./roll-back}
)";

struct Pattern {
  std::string_view name;
  std::string_view text;
};

constexpr std::array<Pattern, 7> kPatterns{{
    {"parallel",
     "Steps that do not need each other run side by side in a graph; a last one waits for all.\n\n"
     "type: graph\nmaxActiveSteps: 4\nsteps:\n  - {name: lint, command: make lint}\n"
     "  - {name: unit, command: make unit}\n"
     "  - {name: report, command: make report, depends: [lint, unit]}\n"},
    {"conditional",
     "A step with preconditions runs only when they hold; otherwise it is skipped.\n\nsteps:\n"
     "  - name: roll-out\n    script: ./roll-out\n    preconditions:\n"
     "      - condition: \"$env\"\n        expected: production\n"},
    {"error_handling",
     "continueOn lets a run go on after a step that may fail; handlerOn acts on the end of the "
     "run.\n\nsteps:\n  - name: smoke\n    script: ./smoke\n    continueOn: {failure: true}\n"
     "handlerOn:\n  failure: {script: ./alert}\n  exit: {script: ./clean-up}\n"},
    {"retry",
     "A step that can be repeated without harm says how often. A step without retryPolicy is never "
     "run twice, not even after a crash of the server.\n\nsteps:\n  - name: fetch\n"
     "    script: curl -fsS \"$URL\"\n    retryPolicy: {limit: 3, intervalSec: 5}\n"},
    {"secrets",
     "A run acts with the caller's own Kubiya API key, in $KUBIYA_API_KEY. Never write a key into "
     "a "
     "definition, and never print it: what steps print is kept.\n"},
    {"approval",
     "A step of type approval stops the run until people have agreed: those who hold all `scopes`, "
     "or are in one of `groups`. Nothing behind it starts before that.\n\nsteps:\n"
     "  - {name: build, script: make build}\n  - name: agree\n    type: approval\n"
     "    approval:\n      message: \"Deploy to ${env}?\"\n      groups: [release-managers]\n"
     "      quorum: 1\n      notRequester: true\n  - {name: deploy, script: ./deploy}\n"},
    {"data_passing",
     "`output` names what a step printed; JSON is read by field.\n\nsteps:\n  - name: build\n"
     "    script: printf '{\"tag\":\"%s\"}' \"$DAG_RUN_ID\"\n    output: BUILD\n"
     "  - name: push\n    script: ./push \"${BUILD.tag}\"\n"},
}};

std::string argument(const Call& call, std::string_view name, std::string_view otherwise = "") {
  return std::string(find_string(call.arguments, name).value_or(otherwise));
}

ToolResult message(std::string_view description, const std::string& text) {
  ToolResult result;
  result.text = description;
  result.content = R"([{"role":"user","content":{"type":"text","text":)";
  append_json_string(result.content, text);
  result.content += "}}]";
  return result;
}

template <class Words>
Completion beginning_with(const Words& words, std::string_view begun) {
  Completion found;
  for (const auto& word : words) {
    if (std::string_view(word).starts_with(begun)) found.values.emplace_back(word);
  }
  return found;
}

Prompt dsl_guide() {
  Prompt prompt;
  prompt.spec = {"workflow_dsl_guide",
                 "Write a workflow",
                 "How workflows are written, for a task you describe.",
                 {{"task_description", "Task", "What the workflow should do", true},
                  {"complexity", "Complexity", "simple, medium or complex", false}}};
  prompt.get = [](const Call& call, const audit::Ticket&, const Done& done) {
    done(message("A guide to writing this workflow",
                 fmt::format("Write a workflow for this task:\n\n{}\n\nKeep it {}. Check it with "
                             "validate_workflow, store it with create_workflow, and show it before "
                             "you run it.\n\n{}",
                             argument(call, "task_description"),
                             argument(call, "complexity", "simple"), kGuide)));
  };
  prompt.complete = [](const PrincipalPtr&, const Typed& typed) {
    if (typed.argument != "complexity") return Completion{};
    return beginning_with(std::array{"simple", "medium", "complex"}, typed.value);
  };
  return prompt;
}

Prompt patterns() {
  std::vector<std::string> names;
  names.reserve(std::size(kPatterns));
  for (const auto& pattern : kPatterns) names.emplace_back(pattern.name);
  std::string list;
  for (const auto& name : names) list += (list.empty() ? "" : ", ") + name;
  Prompt prompt;
  prompt.spec = {"workflow_patterns",
                 "Patterns of workflows",
                 "A pattern that has proved itself: " + list + ".",
                 {{"pattern", "Pattern", "One of " + list, true}}};
  prompt.get = [list](const Call& call, const audit::Ticket&, const Done& done) {
    const std::string wanted = argument(call, "pattern");
    const auto found = std::find_if(kPatterns.begin(), kPatterns.end(),
                                    [&](const auto& pattern) { return pattern.name == wanted; });
    if (found == kPatterns.end())
      return done(fail(Code::invalid, "The argument pattern must be one of " + list));
    done(message(fmt::format("The pattern {}", found->name), std::string(found->text)));
  };
  prompt.complete = [names](const PrincipalPtr&, const Typed& typed) {
    return beginning_with(names, typed.value);
  };
  return prompt;
}

Prompt incident(const Services& services) {
  Prompt prompt;
  prompt.spec = {"incident_response",
                 "Respond to an incident",
                 "Leads through an incident with the workflows there are.",
                 {{"incident", "Incident", "What is wrong, and since when", true},
                  {"severity", "Severity", "low, medium, high or critical", false},
                  {"workflow", "Workflow", "A workflow that should be used", false}}};
  prompt.get = [](const Call& call, const audit::Ticket&, const Done& done) {
    const std::string workflow = argument(call, "workflow");
    std::string text = fmt::format(
        "There is an incident of severity {}:\n\n{}\n\n"
        "1. Call whoami to see what you may do, and list_workflows to see what there is.\n"
        "2. Find out more before you change anything: run workflows that only look.\n"
        "3. Say what you are about to change and why, and wait for a yes, before you run a "
        "workflow that changes something.\n"
        "4. Follow each run with get_execution and get_execution_logs until it has ended.\n"
        "5. Sum up: what happened, which executions you ran (with their ids), what is left.\n",
        argument(call, "severity", "unknown"), argument(call, "incident"));
    if (!workflow.empty()) text += fmt::format("\nUse the workflow {} where it fits.\n", workflow);
    done(message("How to respond to this incident", text));
  };
  prompt.complete = [services](const PrincipalPtr& principal, const Typed& typed) {
    if (typed.argument == "severity")
      return beginning_with(std::array{"low", "medium", "high", "critical"}, typed.value);
    if (typed.argument == "workflow" && principal)
      return complete_workflow(services, principal, typed.value);
    return Completion{};
  };
  return prompt;
}

}  // namespace

Result<> add_prompts(Catalogue& catalogue, const Services& services) {
  TRY_VOID(catalogue.add(dsl_guide()));
  TRY_VOID(catalogue.add(patterns()));
  return catalogue.add(incident(services));
}

}  // namespace kubiya::tools
