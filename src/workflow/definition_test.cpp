// SPDX-License-Identifier: Apache-2.0
#include "workflow/definition.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

namespace kubiya::workflow {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;

Definition good(std::string_view text) {
  const Parsed parsed = parse(text);
  EXPECT_TRUE(parsed.definition) << describe(parsed.problems);
  return parsed.definition.value_or(Definition{});
}

std::string problems(std::string_view text) {
  const Parsed parsed = parse(text);
  EXPECT_EQ(parsed.definition.has_value(), parsed.problems.empty());
  return describe(parsed.problems);
}

TEST(Definition, ReadsEveryFieldOfThisRelease) {
  const Definition d = good(R"(
name: release-it
description: All of it
type: graph
params:
  VERSION: {required: true, description: What to release}
  REPLICAS: 3
env:
  - PATH: /opt/bin:/usr/bin
  - MODE: fast
maxActiveSteps: 2
timeoutSec: 60
precondition: test -d /
handlerOn:
  success: {command: echo good}
  failure: {command: echo bad}
  cancel: {command: echo stopped}
  exit: {script: "echo done\n"}
steps:
  - name: build
    id: b
    description: Builds
    command: make
    shell: bash
    dir: /tmp
    env: {A: 1}
    output: $OUT
    timeout: 5
    preconditions:
      - condition: ${MODE}
        expected: re:fast|slow
    retryPolicy: {limit: 2, intervalSec: 3, backoff: true, maxIntervalSec: 9, exitCode: 7}
    continueOn: {failure: true, exitCode: [1, 2], output: "re:warn", markSuccess: true}
  - name: test it
    command: [echo, 1, true]
    depends_on: b
    executor: {type: command, config: {}}
    continueOn: skipped
)");
  EXPECT_EQ(d.name, "release-it");
  EXPECT_EQ(d.type, Definition::Type::graph);
  ASSERT_EQ(d.params.size(), 2U);
  EXPECT_TRUE(d.params[0].required);
  EXPECT_EQ(d.params[1].default_value, "3");
  EXPECT_THAT(d.env, ElementsAre(Pair("PATH", "/opt/bin:/usr/bin"), Pair("MODE", "fast")));
  EXPECT_EQ(d.max_active_steps, 2);
  EXPECT_EQ(d.timeout.count(), 60);
  ASSERT_EQ(d.preconditions.size(), 1U);
  EXPECT_FALSE(d.preconditions[0].expected);
  ASSERT_TRUE(d.on_success && d.on_failure && d.on_cancel && d.on_exit);
  EXPECT_EQ(d.on_exit->script, "echo done\n");
  EXPECT_EQ(d.on_exit->name, "onExit");
  ASSERT_EQ(d.steps.size(), 2U);
  const Step& build = d.steps[0];
  EXPECT_EQ(build.output, "OUT");
  EXPECT_EQ(build.shell, "bash");
  EXPECT_EQ(build.timeout.count(), 5);
  EXPECT_THAT(build.env, ElementsAre(Pair("A", "1")));
  EXPECT_EQ(build.retry.limit, 2);
  EXPECT_EQ(build.retry.backoff, 2.0);
  EXPECT_THAT(build.retry.exit_codes, ElementsAre(7));
  EXPECT_THAT(build.continue_on.exit_codes, ElementsAre(1, 2));
  EXPECT_TRUE(build.continue_on.mark_success);
  EXPECT_EQ(build.preconditions[0].expected, "re:fast|slow");
  EXPECT_THAT(d.steps[1].argv, ElementsAre("echo", "1", "true"));
  EXPECT_THAT(d.steps[1].depends, ElementsAre("build"));
  EXPECT_TRUE(d.steps[1].continue_on.skipped);
}

TEST(Definition, ChainsStepsUnlessTheySayOtherwise) {
  const Definition d = good(R"(
name: chain
steps:
  a: {command: "true"}
  b: {command: "true"}
  c: {command: "true", depends: []}
  d: {command: "true", depends: [a, a]}
)");
  EXPECT_THAT(d.steps[0].depends, IsEmpty());
  EXPECT_THAT(d.steps[1].depends, ElementsAre("a"));
  EXPECT_THAT(d.steps[2].depends, IsEmpty());
  EXPECT_THAT(d.steps[3].depends, ElementsAre("a"));
}

TEST(Definition, ReadsJsonAndValuesToo) {
  const std::string_view text = R"({"name":"j","steps":[{"name":"a","command":"true"}]})";
  EXPECT_EQ(good(text).steps.size(), 1U);
  EXPECT_TRUE(parse(*parse_json(text)).definition);
  EXPECT_THAT(problems(R"({"name":"a","name":"b"})"), HasSubstr("duplicate member"));
}

TEST(Definition, CollectsAllProblemsInDocumentOrder) {
  const Parsed parsed = parse(std::string_view(R"(
schedule: "0 1 * * *"
name: two words
steps:
  - name: a
    comand: x
    depends: nowhere
    retryPolicy: {limit: -1}
  - name: a
    command: "true"
    stdout: /tmp/x
)"));
  std::vector<std::string> fields;
  for (const Problem& p : parsed.problems) fields.push_back(p.field);
  EXPECT_THAT(fields,
              ElementsAre("schedule", "name", "steps[0]", "steps[0].comand", "steps[0].depends",
                          "steps[0].retryPolicy.limit", "steps[1]", "steps[1].stdout"));
  const std::string text = describe(parsed.problems);
  EXPECT_THAT(text, HasSubstr("schedule is not supported yet by the embedded engine"));
  EXPECT_THAT(text, HasSubstr("comand is not a field of a step; did you mean command?"));
  EXPECT_THAT(text, HasSubstr("steps[1].stdout is not supported yet by the embedded engine"));
}

TEST(Definition, NamesTheCycle) {
  EXPECT_THAT(problems(R"(
name: c
type: graph
steps:
  - {name: a, command: x, depends: b}
  - {name: b, command: x, depends: a}
)"),
              HasSubstr("a -> b -> a"));
}

struct Row {
  const char* name;
  const char* step;  // members of the only step
  const char* says;
};

class RefusedStep : public testing::TestWithParam<Row> {};

TEST_P(RefusedStep, SaysWhy) {
  EXPECT_THAT(problems(std::string("name: w\nsteps:\n  - {") + GetParam().step + "}\n"),
              HasSubstr(GetParam().says));
}

const Row kRefusedSteps[] = {
    {"NoName", "command: x", "a step needs a name"},
    {"NoCommand", "name: a", "needs command or script"},
    {"EmptyCommand", "name: a, command: ' '", "command is empty"},
    {"EmptyArgv", "name: a, command: []", "names no program"},
    {"LongName", "name: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa, command: x", "longer than 40"},
    {"PathName", "name: ../../etc, command: x", "no slash"},
    {"ControlName", "name: \"a\\nb\", command: x", "no control characters"},
    {"ReservedId", "name: a, id: params, command: x", "params is a reserved name"},
    {"BadId", "name: a, id: 1a, command: x", "must match"},
    {"DependsOnItself", "name: a, command: x, depends: a", "cannot depend on itself"},
    {"BothSpellings", "name: a, command: x, depends: [], depends_on: []", "depends is given twice"},
    {"NulInCommand", "name: a, command: \"x\\0y\"", "NUL character"},
    {"NumberAsCommand", "name: a, command: 7", "7 is read as a number: write \"7\""},
    {"TruthAsCommand", "name: a, command: true", "true is read as a truth value: write \"true\""},
    {"HandlersName", "name: onExit, command: x",
     "onExit is what the handler of that event is called"},
    {"DockerExecutor", "name: a, executor: docker",
     "executor docker is not supported yet by the embedded engine, which runs a command or script "
     "on the server's own machine"},
    {"DockerExecutorWithConfig", "name: a, executor: {type: docker, config: {image: x}}",
     "steps[0].executor.type: executor docker is not supported yet"},
    {"ExecutorConfig", "name: a, executor: {type: command, config: {a: 1}}", "not supported yet"},
    {"SubWorkflow", "name: a, run: other", "steps[0].run is not supported yet"},
    {"OutputName", "name: a, command: x, output: 'A-B'", "not a variable name"},
    {"OutputPath", "name: a, command: x, output: PATH", "cannot be set here"},
    {"LoaderEnv", "name: a, command: x, env: {LD_PRELOAD: /x.so}", "cannot be set here"},
    {"EngineEnv", "name: a, command: x, env: {KUBIYA_SUBJECT: root}", "is set by the engine"},
    {"ShellArguments", "name: a, command: x, shell: 'bash -e'", "without arguments"},
    {"ExitCode", "name: a, command: x, continueOn: {exitCode: 256}", "from 0 to 255"},
    {"HugeTimeout", "name: a, command: x, timeoutSec: 99999999999", "whole number"},
    {"Backoff", "name: a, command: x, retryPolicy: {limit: 1, backoff: 1000}", "factor"},
    {"RetryOn", "name: a, command: x, retryPolicy: {retryOn: x}", "retryOn is not supported yet"},
    {"BadPattern", "name: a, command: x, continueOn: {output: 're:('}", "valid pattern"},
    {"PythonCode", "name: a, env: {V: x}, command: [env, python3, -Ic, 'print(\"$V\")']",
     "steps[0].command[3]: is code for python3, where the value of V could become code"},
    {"PerlCode", "name: a, env: {V: x}, command: [perl, -ne, 'print \"${V}\"']", "pass ${V} as"},
    {"NodeCode", "name: a, env: {V: x}, command: [node, '--eval=$V']", "is code for node"},
    {"TokenWithoutAudience", "name: a, command: x, token: {scopes: [a]}", "names no audience"},
    {"TokenAsText", "name: a, command: x, token: https://billing.example", "steps[0].token"},
    {"TokenField", "name: a, command: x, token: {audience: b, scope: c}", "did you mean scopes?"},
    {"TokenScope", "name: a, command: x, token: {audience: b, scopes: ['a b']}", "names of scopes"},
    {"TokenVariable", "name: a, command: x, token: {audience: b, env: KUBIYA_API_KEY}",
     "is set by the engine"},
    {"TokenPath", "name: a, command: x, token: {audience: b, env: PATH}", "cannot be set here"},
    {"TokenAudience", "name: a, command: x, token: {audience: \"a\\nb\"}", "audience must be text"},
    {"TokenOfAnApproval",
     "name: a, type: approval, approval: {message: m, scopes: [x]}, token: {audience: b}",
     "an approval runs nothing and has no token"},
    {"TokenInCode", "name: a, token: {audience: b, env: T}, command: [perl, -e, 'print $T']",
     "is code for perl"},
    {"EmptyCondition", "name: a, command: x, precondition: {expected: x}", "has no condition"},
};
INSTANTIATE_TEST_SUITE_P(Definition, RefusedStep, testing::ValuesIn(kRefusedSteps),
                         [](const auto& row) { return row.param.name; });

TEST(Definition, ReadsTheTokenThatAStepAsksFor) {
  const auto steps = good(
                         "name: w\nsteps:\n"
                         "  - {name: a, command: x, token: {audience: b}}\n"
                         "  - {name: c, command: x, token: {audience: d, scopes: [e, f], env: G}}")
                         .steps;
  EXPECT_EQ(steps[0].token->audience, "b");
  EXPECT_THAT(steps[0].token->scopes, ElementsAre());
  EXPECT_EQ(steps[0].token->env, "ACCESS_TOKEN");
  EXPECT_THAT(steps[1].token->scopes, ElementsAre("e", "f"));
  EXPECT_EQ(steps[1].token->env, "G");
}

TEST(Definition, LeavesTheVariablesOfOtherLanguagesAlone) {
  good("name: w\nsteps: [{name: a, env: {V: x}, command: [perl, -e, 'print $x', '$V']}]");
}

TEST(Definition, LeavesBackticksToTheShell) {
  EXPECT_EQ(good("name: w\nsteps: [{name: a, command: 'echo `date`'}]").steps[0].command,
            "echo `date`");
}

TEST(Definition, EnforcesLimits) {
  const std::string text = "name: w\nsteps: [{name: a, command: x}, {name: b, command: x}]";
  EXPECT_TRUE(parse(text, Limits{.steps = 2}).definition);
  EXPECT_FALSE(parse(text, Limits{.steps = 1}).definition);
  EXPECT_FALSE(parse(text, Limits{.text_bytes = 20}).definition);
  EXPECT_TRUE(parse(text, Limits{.value_bytes = 1}).definition);
  EXPECT_FALSE(parse(text, Limits{.value_bytes = 0}).definition);
}

TEST(Definition, HasLimitsThatNoConfigurationRaises) {
  const Limits generous{
      .text_bytes = 64'000'000, .steps = 100'000, .params = 10'000, .env = 10'000};
  const auto many = [](std::size_t count, auto entry) {
    std::string list;
    for (std::size_t i = 0; i < count; ++i) list += (i ? "," : "") + entry(std::to_string(i));
    return list;
  };
  const auto step = [](const std::string& n) {
    return "{\"name\":\"s" + n + "\",\"command\":\"x\"}";
  };
  const auto pair = [](const std::string& n) { return "\"V" + n + "\":1"; };
  const auto item = [](const std::string& n) { return "\"" + n + "\""; };
  const auto text = [&](const std::string& steps, const std::string& more) {
    return "{\"name\":\"w\",\"steps\":[" + steps + "]" + more + "}";
  };
  const std::string one = step("1");
  const auto says = [&](const std::string& document) {
    return describe(parse(document, generous).problems);
  };
  EXPECT_EQ(says(text(many(kMostSteps, step), "")), "");
  EXPECT_EQ(says(text(many(kMostSteps + 1, step), "")), "steps: more than 2000 steps");
  EXPECT_EQ(says(text(one, ",\"env\":{" + many(kMostEnv + 1, pair) + "}")),
            "env: more than 1000 variables");
  EXPECT_EQ(says(text(one, ",\"params\":{" + many(kMostParams + 1, pair) + "}")),
            "params: more than 1000 params");
  EXPECT_EQ(says(text(one, ",\"preconditions\":[" + many(kMostItems + 1, item) + "]")),
            "preconditions: more than 1000 items");
}

TEST(Definition, TakesANameFromOutsideWhereTheTextHasNone) {
  const std::string steps = "steps: [{name: a, command: x}]";
  EXPECT_EQ(parse(steps, {}, "given").definition->name, "given");
  EXPECT_EQ(parse("name: own\n" + steps, {}, "given").definition->name, "own");
  EXPECT_THAT(problems(steps), HasSubstr("name is missing"));
}

TEST(Definition, CallsHandlersByTheirEvent) {
  const auto definition =
      good("name: w\nsteps: [{name: a, command: x}]\nhandlerOn: {exit: {name: tidy, command: x}}");
  EXPECT_EQ(definition.on_exit->name, "onExit");
  EXPECT_TRUE(is_handler_name("onExit"));
  EXPECT_FALSE(is_handler_name("tidy"));
  EXPECT_THAT(problems("name: w\nsteps: {onFailure: {command: x}}"),
              HasSubstr("onFailure is what the handler"));
}

TEST(Definition, RefusesDocumentsThatAreNoMap) {
  for (const char* text : {"", "[]", "hello", "name: w", "name: w\nsteps: []", "name: w\nsteps: {}",
                           "name: w\nsteps: 3", "- - -", "a: b: c", "---\na: 1\n---\nb: 2\n"}) {
    EXPECT_NE(problems(text), "") << text;
  }
}

TEST(Definition, ParsesEveryExample) {
  int count = 0;
  const auto folder = std::filesystem::path(KUBIYA_SOURCE_DIR) / "examples" / "workflows";
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    std::stringstream text;
    text << std::ifstream(entry.path()).rdbuf();
    const Parsed parsed = parse(text.str());
    EXPECT_TRUE(parsed.definition) << entry.path() << ": " << describe(parsed.problems);
    ++count;
  }
  EXPECT_GE(count, 5);
}

// ---- params ----------------------------------------------------------------

Definition with_params(std::string_view params) {
  return good("name: w\nsteps: [{name: a, command: x}]\nparams: " + std::string(params));
}

TEST(Params, ReadsTheThreeForms) {
  const Pairs expected = {{"1", "a"}, {"K", "v v"}};
  EXPECT_EQ(*bind_params(with_params(R"('a K="v v"')"), {}), expected);
  EXPECT_EQ(*bind_params(with_params("[a, {K: v v}]"), {}), expected);
  EXPECT_EQ(*bind_params(with_params("{K: {default: v v}}"), {}), (Pairs{{"K", "v v"}}));
}

TEST(Params, BindsInTheOrderOfTheDefinition) {
  const Definition d = with_params("{env: {required: true}, N: 1, REST: {description: any}}");
  EXPECT_EQ(*bind_params(d, {{"N", 7}, {"env", "production"}}),
            (Pairs{{"env", "production"}, {"N", "7"}}));
  EXPECT_EQ(*bind_params(d, {{"REST", json::array{1, true}}, {"env", ""}}),
            (Pairs{{"env", ""}, {"N", "1"}, {"REST", "[1,true]"}}));
}

TEST(Params, NamesWhatIsMissingAndWhatIsUnknown) {
  const Definition d = with_params("{A: {required: true}, B: {required: true}, C: 1}");
  EXPECT_EQ(bind_params(d, {}).error().message, "Missing params: A, B.");
  EXPECT_EQ(bind_params(d, {{"X", 1}}).error().message, "Unknown params: X. Known: A, B, C.");
}

TEST(Params, RefusesValuesNoEnvironmentHoldsWithoutQuotingThem) {
  const Definition d = with_params("{A: {secret: true}}");
  const auto nul = bind_params(d, {{"A", std::string_view("s3cret\0x", 8)}});
  ASSERT_FALSE(nul);
  EXPECT_EQ(nul.error().message, "Param A holds a NUL character.");
  const auto big = bind_params(d, {{"A", std::string(200'000, 'x')}});
  ASSERT_FALSE(big);
  EXPECT_EQ(big.error().code, Code::too_large);
  EXPECT_LT(big.error().message.size(), 80U);
}

TEST(Params, RefusesNamesThatChangeHowProgramsStart) {
  for (const char* name :
       {"LD_PRELOAD", "PATH", "IFS", "BASH_ENV", "PYTHONSTARTUP", "GIT_SSH_COMMAND",
        "KUBIYA_API_KEY", "DAG_RUN_ID", "ctx", "secrets", "a-b", "1a"}) {
    const std::string text =
        "name: w\nsteps: [{name: a, command: x}]\nparams: {" + std::string(name) + ": x}";
    EXPECT_THAT(problems(text), HasSubstr("params.")) << name;
  }
}

TEST(Params, HaveASchema) {
  const Definition d = with_params(
      "{A: {required: true, description: What}, N: 3, S: {default: hidden, secret: true}}");
  EXPECT_EQ(to_json(params_schema(d)),
            R"({"type":"object","properties":{"A":{"type":"string","description":"What"},)"
            R"("N":{"type":["string","number","boolean"],"default":"3"},)"
            R"("S":{"type":"string","writeOnly":true}},"required":["A"],)"
            R"("additionalProperties":false})");
}

Parsed parsed(const std::string& text) { return parse(std::string_view(text)); }

TEST(Publication, IsReadInBothForms) {
  const auto plain = parsed("name: a\npublish: true\nsteps: [{name: s, command: x}]\n");
  ASSERT_TRUE(plain.definition && plain.definition->publish);
  EXPECT_TRUE(plain.definition->publish->destructive);
  const auto whole = parsed(
      "name: a\npublish: {tool: look, title: Look, scopes: [ops], readOnly: true}\n"
      "steps: [{name: s, command: x}]\n");
  ASSERT_TRUE(whole.definition);
  EXPECT_EQ(whole.definition->publish->tool, "look");
  EXPECT_EQ(whole.definition->publish->scopes, std::vector<std::string>{"ops"});
  EXPECT_FALSE(whole.definition->publish->destructive) << "what changes nothing destroys nothing";
  EXPECT_FALSE(
      parsed("name: a\npublish: false\nsteps: [{name: s, command: x}]\n").definition->publish);
  for (const char* bad : {"{tool: 'a b'}", "{tool: ''}", "{toll: x}", "yes please", "[]"}) {
    const Parsed read =
        parsed("name: a\npublish: " + std::string(bad) + "\nsteps: [{name: s, command: x}]\n");
    ASSERT_FALSE(read.definition) << bad;
    EXPECT_TRUE(read.problems[0].field.starts_with("publish")) << read.problems[0].field;
  }
}

TEST(Params, HaveTypesAndChoices) {
  const Parsed read = parsed(
      "name: a\nparams:\n  n: {type: integer, default: 3}\n  e: {enum: [x, y], required: true}\n"
      "steps: [{name: s, command: x}]\n");
  ASSERT_TRUE(read.definition);
  EXPECT_EQ(to_json(params_schema(*read.definition)),
            R"({"type":"object","properties":{"n":{"type":"integer","default":3},)"
            R"("e":{"type":"string","enum":["x","y"]}},"required":["e"],)"
            R"("additionalProperties":false})");
  EXPECT_TRUE(bind_params(*read.definition, {{"n", 5}, {"e", "x"}}));
  EXPECT_TRUE(bind_params(*read.definition, {{"n", "5"}, {"e", "x"}})) << "as a shell writes it";
  EXPECT_FALSE(bind_params(*read.definition, {{"n", 5.5}, {"e", "x"}}));
  EXPECT_FALSE(bind_params(*read.definition, {{"n", "many"}, {"e", "x"}}));
  EXPECT_FALSE(bind_params(*read.definition, {{"e", "z"}}));
  for (const char* bad : {"{type: integer, default: x}", "{type: any}", "{enum: []}",
                          "{enum: [a], default: b}", "{type: integer, enum: [a]}"}) {
    EXPECT_FALSE(
        parsed("name: a\nparams: {p: " + std::string(bad) + "}\nsteps: [{name: s, command: x}]\n")
            .definition)
        << bad;
  }
}

}  // namespace
}  // namespace kubiya::workflow
