// SPDX-License-Identifier: Apache-2.0
//
// What a step gets from the server, and what is left of it: H1, H2, H7–H9, H11–H16,
// H21–H27 of the threat catalogue, as far as they hold without a sandbox.
#include <sys/prctl.h>

#include <algorithm>
#include <csignal>
#include <sstream>

#include "engine/leftovers.h"
#include "engine/server_mark.h"
#include "engine/testing.h"

namespace kubiya::engine {
namespace {

std::vector<std::string> sorted_lines(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  std::sort(lines.begin(), lines.end());
  return lines;
}

bool is_alive(const std::string& pid) { return ::kill(std::stoi(pid), 0) == 0; }

TEST_F(EngineTest, GivesAStepTheNamedEnvironmentOnly) {
  ::setenv("SERVER_SECRET", "must not be seen", 1);
  const auto done = run(R"(
env:
  - REGION: eu
  - HOST: db.${REGION}.example
steps:
  - name: show
    command: [env]
    env: [{MODE: fast}]
)",
                        {{"WHO", "world"}});
  ::unsetenv("SERVER_SECRET");
  const std::string directory = options.work_directory + "/" + done.run.id;
  std::vector<std::string> expected = {
      "DAG_NAME=test",
      "DAG_RUN_ID=" + done.run.id,
      "DAG_RUN_STEP_NAME=show",
      "HOME=" + directory,
      "HOST=db.eu.example",
      "KUBIYA_API_KEY=[redacted]",
      "KUBIYA_INSTALLATION=" + child_mark(options.installation_id, this_server()),
      "KUBIYA_ISSUER=https://issuer.example",
      "KUBIYA_RUN_ID=" + done.run.id,
      "KUBIYA_SUBJECT=ada",
      "KUBIYA_TENANT=acme",
      "LANG=C.UTF-8",
      "MODE=fast",
      "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
      "REGION=eu",
      "TMPDIR=" + directory,
      "WHO=world"};
  EXPECT_EQ(sorted_lines(done.text("stdout")), expected);
}

TEST_F(EngineTest, GivesTheStepThePersonsOwnKeyAndKeepsItOutOfEveryRecord) {
  const auto done = run(R"(
steps:
  - name: check
    command: |
      test "$KUBIYA_API_KEY" = kb-secret-0123456789 && echo "the key is $KUBIYA_API_KEY"
      printf kb-secret; sleep 0.3; printf -- '-0123456789\n'
    output: OUT
)");
  EXPECT_EQ(done.run.status, "finished");
  EXPECT_EQ(done.text("stdout"), "the key is [redacted]\n[redacted]\n");
  EXPECT_EQ(done.step("check").output.find("kb-secret"), std::string::npos);
  EXPECT_EQ(done.run.outputs.find("kb-secret"), std::string::npos);
}

// The parser refuses such a definition; the engine does not rely on it.
TEST_F(EngineTest, SetsNoKeyWhenThePersonHasNone) {
  auto request = start_of("steps: [{name: a, command: 'echo [$KUBIYA_API_KEY] $KUBIYA_SUBJECT'}]");
  request.definition.env = {{"KUBIYA_API_KEY", "forged"}, {"KUBIYA_SUBJECT", "forged"}};
  const auto started = start(std::move(request), permit_for("ada", "acme", ""));
  EXPECT_EQ(ended(started->run_id).text("stdout"), "[] ada\n");
}

TEST_F(EngineTest, RanksValuesAsDaguDoes) {
  const std::string text = R"(
params: [{A: default}, {B: default}]
env: [{A: workflow}, {B: workflow}, {C: workflow}]
steps:
  - name: a
    command: echo $A $B $C
    env: [{A: step}, {B: step}]
)";
  EXPECT_EQ(run(text, {{"A", "given"}, {"B", "default"}}).text("stdout"), "given step workflow\n");
}

TEST_F(EngineTest, StartsAStepInAKnownState) {
  ::signal(SIGPIPE, SIG_IGN);
  const auto done = run(R"(
steps:
  - name: fds
    command: [ls, /proc/self/fd]
  - name: state
    command: |
      umask; ulimit -c; pwd; readlink /proc/self/fd/0; stat -c %a .
      grep -E '^(NoNewPrivs|SigIgn|SigBlk)' /proc/self/status
      test $(cut -d' ' -f6 /proc/$$/stat) = $$ && echo own session
)");
  EXPECT_EQ(done.text("stdout", "fds"), "0\n1\n2\n3\n") << "3 is ls reading the directory";
  EXPECT_EQ(done.text("stdout", "state"),
            "0077\n0\n" + options.work_directory + "/" + done.run.id +
                "\n/dev/null\n700\n"
                "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\nNoNewPrivs:\t1\n"
                "own session\n");
}

class HostileValues : public EngineTest, public testing::WithParamInterface<std::string> {};

TEST_P(HostileValues, ArriveByteExact) {
  const auto done = run(R"(
steps:
  - name: by variable
    command: printf '%s' "$VALUE"
  - name: by position
    command: printf '%s' "$1"
  - name: by word
    command: [printf, '%s', '${VALUE}']
  - name: by shell word
    command: [sh, -c, 'printf %s "${VALUE}"']
  - name: by shell word behind env
    command: [env, A=b, /bin/bash, -euo, pipefail, -c, 'printf %s%s "$VALUE" "$1"', x, '${VALUE}']
  - name: by script
    script: |
      printf '%s' "${VALUE}" "$1"
)",
                        {{"VALUE", GetParam()}});
  EXPECT_EQ(done.run.status, "finished");
  EXPECT_EQ(done.text("stdout", "by variable"), GetParam());
  EXPECT_EQ(done.text("stdout", "by position"), GetParam());
  EXPECT_EQ(done.text("stdout", "by word"), GetParam());
  EXPECT_EQ(done.text("stdout", "by shell word"), GetParam());
  EXPECT_EQ(done.text("stdout", "by shell word behind env"), GetParam() + GetParam());
  EXPECT_EQ(done.text("stdout", "by script"), GetParam() + GetParam());
}

INSTANTIATE_TEST_SUITE_P(Strings, HostileValues,
                         testing::Values("; touch pwned", "`id`", "$(id)", "&& id", "| id",
                                         "a\nb\n", "'\"'\"", "*", "~", "../..", "-rf",
                                         "--upload-pack=x", "${HOME}", "$HOME", "$$", "\\n\\0",
                                         "ünïcode \xF0\x9F\x98\x80 \xE2\x80\xAE", "\x1b[31m",
                                         "data: x\n\nevent: y\n\n", "{\"jsonrpc\":\"2.0\"}", "%s%n",
                                         "!history"));

TEST_F(EngineTest, GivesEachShellTextOfACommandItsOwnValues) {
  const auto done = run(R"(
steps:
  - name: make
    command: "echo '{\"a\":1,\"b\":2}'"
    output: OUT
  - name: use
    command: [sh, -c, 'echo ${OUT.a}; exec "$@"', x, sh, -c, 'echo ${OUT.b}']
  - name: chosen by the caller
    command: ["${TOOL}", -c, 'printf %s "${VALUE}"']
)",
                        {{"TOOL", "sh"}, {"VALUE", "\"; touch pwned; \""}});
  EXPECT_EQ(done.text("stdout", "use"), "1\n2\n");
  EXPECT_EQ(done.text("stdout", "chosen by the caller"), "\"; touch pwned; \"");
}

TEST_F(EngineTest, RecordsExitCodesAndSignals) {
  struct Row {
    const char* command;
    int code;
    const char* reason;
  };
  for (const Row& row :
       {Row{"exit 1", 1, "exit code 1"}, Row{"exit 255", 255, "exit code 255"},
        Row{"kill -KILL $$", 137, "killed by signal 9 (SIGKILL)"},
        Row{"kill -TERM $$", 143, "killed by signal 15 (SIGTERM)"},
        Row{"kill -SEGV $$", 139, "killed by signal 11 (SIGSEGV)"},
        Row{"exit 137", 137, "exit code 137"}, Row{"no-such-command-here", 127, "exit code 127"}}) {
    const auto done = run("steps: [{name: a, command: '" + std::string(row.command) + "'}]");
    EXPECT_EQ(done.step("a").exit_code, row.code) << row.command;
    EXPECT_EQ(done.step("a").reason, row.reason) << row.command;
    EXPECT_EQ(done.run.status, "failed") << row.command;
  }
}

TEST_F(EngineTest, SaysInPlainWordsWhyNothingStarted) {
  struct Row {
    const char* step;
    const char* reason;
  };
  for (const Row& row :
       {Row{"command: [kubectl-of-nobody, get]", "command not found: kubectl-of-nobody"},
        Row{"command: [/etc/passwd]", "permission denied: /etc/passwd"},
        Row{"command: [./missing]", "command not found: ./missing"},
        Row{"command: echo\n    dir: /no/such",
            "cannot enter the directory /no/such: No such file "
            "or directory"},
        Row{"command: echo\n    shell: no-such-shell", "command not found: no-such-shell"}}) {
    const auto done = run("steps:\n  - name: a\n    " + std::string(row.step) + "\n");
    EXPECT_EQ(done.step("a").reason, row.reason);
    EXPECT_EQ(done.step("a").status, "failed");
    EXPECT_EQ(done.text("system"), std::string(row.reason) + "\n");
  }
}

TEST_F(EngineTest, NamesTheFieldThatGrowsTooLong) {
  const std::string half = "$(x)" + std::string(70'000, 'x');
  struct Row {
    const char* step;
    const char* reason;
  };
  constexpr const char* kTooLong = ": longer than 131072 bytes with its references filled in";
  for (const Row& row :
       {Row{"env: [{B: $A$A}], command: 'true'", "env.B"},
        Row{"dir: $A/$A, command: 'true'", "dir"}, Row{"command: [echo, $A$A]", "command[1]"},
        Row{"command: 'true', precondition: {condition: $A$A, expected: x}", "preconditions[0]"}}) {
    const auto done =
        run("params: {A: x}\nsteps: [{name: a, " + std::string(row.step) + "}]", {{"A", half}});
    EXPECT_EQ(done.step("a").status, "failed") << row.step;
    EXPECT_EQ(done.step("a").reason, row.reason + std::string(kTooLong));
  }
  const auto whole =
      run("params: {A: x}\nenv: [{B: $A$A}]\nsteps: [{name: a, command: 'true'}]", {{"A", half}});
  EXPECT_EQ(whole.run.status, "failed");
  EXPECT_EQ(whole.run.reason, "env.B" + std::string(kTooLong));
}

TEST_F(EngineTest, BoundsTheVariablesOfAStepTogether) {
  std::string env = "params: {A: x}\nsteps:\n  - name: a\n    command: 'true'\n    env:\n";
  for (int i = 0; i < 30; ++i) env += "      - V" + std::to_string(i) + ": $A\n";
  const auto done = run(env, {{"A", std::string(100'000, 'x')}});
  EXPECT_EQ(done.step("a").status, "failed");
  EXPECT_EQ(done.step("a").reason,
            "the step's variables are more than 1048576 bytes together; the largest is A");
}

TEST_F(EngineTest, JudgesAThousandPreconditions) {
  std::string text = "steps:\n  - name: a\n    command: 'true'\n    preconditions:\n";
  for (int i = 0; i < 1'000; ++i) text += "      - {condition: x, expected: x}\n";
  EXPECT_EQ(run(text).step("a").status, "finished");
}

TEST_F(EngineTest, BoundsTheOutputsOfARunTogether) {
  options.captured_bytes = 4 * 1024 * 1024;
  std::string text = "steps:\n";
  for (int i = 0; i < 3; ++i) {
    text += "  - {name: s" + std::to_string(i) + ", depends: [], output: O" + std::to_string(i) +
            ", command: \"head -c 3500000 /dev/zero | tr '\\\\0' x\"}\n";
  }
  const auto done = run("type: graph\nmaxActiveSteps: 1\n" + text);
  EXPECT_EQ(done.step("s1").status, "finished");
  EXPECT_EQ(done.step("s2").status, "failed");
  EXPECT_EQ(done.step("s2").reason, "the captured output is over its limit");
}

TEST_F(EngineTest, RunsScriptsByTheirInterpreter) {
  const auto done = run(R"(
steps:
  - name: by line
    script: |
      #!/usr/bin/env bash
      x=(a b); echo "${#x[@]} $0"
  - name: by command
    command: sed -n p
    script: |
      anything
  - name: in a directory
    dir: deep/${DAG_NAME}
    command: pwd
    preconditions: [{condition: mkdir -p deep/test}]
)");
  EXPECT_TRUE(done.text("stdout", "by line").starts_with("2 ")) << done.text("stdout");
  EXPECT_EQ(done.text("stdout", "by command"), "anything\n");
  EXPECT_TRUE(done.text("stdout", "in a directory").ends_with("/deep/test\n"));
}

TEST_F(EngineTest, DropsAndCountsOutputOverTheLimit) {
  options.output_bytes = 10'000;
  const auto done = run(R"(
steps:
  - name: flood
    command: head -c 3000000 /dev/zero | tr '\0' x; head -c 20000 /dev/zero | tr '\0' y >&2
)");
  EXPECT_EQ(done.run.status, "finished");
  EXPECT_EQ(done.text("stdout"), std::string(10'000, 'x'));
  EXPECT_EQ(done.text("stderr"), std::string(10'000, 'y'));
  EXPECT_EQ(done.text("system"),
            "2990000 bytes of stdout were dropped: over the limit of 10000 bytes.\n"
            "10000 bytes of stderr were dropped: over the limit of 10000 bytes.\n");
}

TEST_F(EngineTest, MakesInvalidUtf8Printable) {
  const auto done = run(R"(
steps:
  - name: bytes
    command: printf 'a\377b\303'; sleep 0.3; printf '\274c\300'
    output: OUT
)");
  EXPECT_EQ(done.text("stdout"),
            "a\xEF\xBF\xBD"
            "b\xC3\xBC"
            "c\xEF\xBF\xBD");
  EXPECT_EQ(done.step("bytes").output, done.text("stdout"));
}

TEST_F(EngineTest, EndsAStepWhoseGrandchildHoldsThePipe) {
  const auto done = run(R"(
steps:
  - name: background
    command: sleep 60 & echo $! ; exit 0
)");
  EXPECT_EQ(done.run.status, "finished");
  const auto pid = done.text("stdout");
  EXPECT_TRUE(eventually([&] { return !is_alive(pid); }));
}

TEST_F(EngineTest, KillsADaemonThatLeftItsSession) {
  const auto done = run(R"(
steps:
  - name: daemon
    command: |
      setsid sh -c 'trap "" TERM HUP; echo $$ > pid; exec sleep 61' > /dev/null 2>&1 < /dev/null &
      while ! test -s pid; do sleep 0.05; done
      cat pid
)");
  EXPECT_EQ(done.run.status, "finished");
  const auto pid = done.text("stdout");
  EXPECT_TRUE(eventually([&] { return !is_alive(pid); }));
}

// The shell dies of the signal at once; what it started may still tidy up.
TEST_F(EngineTest, LetsGrandchildrenEndInTheirOwnTime) {
  options.kill_grace = std::chrono::seconds(20);
  const std::string mark = place.file("tidy");
  const auto done = run(R"(
steps:
  - name: parent
    timeoutSec: 1
    command: |
      sh -c 'trap "sleep 0.3; echo done > )" +
                        mark + R"(; exit 0" TERM; while :; do sleep 0.05; done'
      echo never
)");
  EXPECT_EQ(done.step("parent").reason, "timed out after 1 s");
  EXPECT_EQ(read_file(mark), "done\n");
}

TEST_F(EngineTest, KillsAStoppedStep) {
  const auto done = run(R"(
steps:
  - name: stopped
    command: kill -STOP $$
    timeoutSec: 1
)");
  EXPECT_EQ(done.run.status, "failed");
  EXPECT_EQ(done.step("stopped").reason, "timed out after 1 s");
}

TEST_F(EngineTest, RemovesDirectoriesThatStepsMadeUnreadable) {
  const auto done = run("steps: [{name: a, command: 'mkdir -p x/y; touch x/y/z; chmod 0 x/y x'}]");
  EXPECT_EQ(done.run.status, "finished");
  EXPECT_TRUE(eventually([&] { return directories() == 0; }));
}

TEST_F(EngineTest, KeepsSecretParametersOutOfRecords) {
  const auto done = run(R"(
params: {TOKEN: {secret: true}}
steps: [{name: a, command: 'echo $TOKEN'}]
)",
                        {{"TOKEN", "hunter2hunter2"}});
  EXPECT_EQ(done.run.params, R"({"TOKEN":"[redacted]"})");
  EXPECT_EQ(done.text("stdout"), "[redacted]\n");
}

TEST_F(EngineTest, KeepsTheKeyOutOfParamsAndMessages) {
  const auto done =
      run("steps: [{name: a, command: [x, y], dir: '/no/$P'}]", {{"P", "kb-secret-0123456789"}});
  EXPECT_EQ(done.run.params, R"({"P":"[redacted]"})");
  EXPECT_NE(done.text("system"), "");
  EXPECT_EQ(done.text("system").find("kb-secret"), std::string::npos);
}

TEST_F(EngineTest, GivesParamsWithoutNamesByPosition) {
  const std::string text = R"(
params: "one K=two"
steps:
  - name: shell
    command: echo "$1 $2 $K $#"; env | grep -c '^1=' || true
  - name: list
    command: [echo, "$1", "$K"]
  - name: condition
    command: 'true'
    precondition: test "$1" = one
)";
  auto request = start_of(text);
  request.params = *workflow::bind_params(request.definition, {});
  const auto started = start(std::move(request));
  ASSERT_TRUE(started) << started.error().message;
  const auto done = ended(started->run_id);
  EXPECT_EQ(done.text("stdout", "shell"), "one two two 2\n0\n");
  EXPECT_EQ(done.text("stdout", "list"), "one two\n");
  EXPECT_EQ(done.step("condition").status, "finished");
}

TEST_F(EngineTest, KeepsThePlaceOfAParamThatWasLeftOut) {
  const auto done = run(R"(
params: [{A: {description: a}}, {B: {description: b}}, {C: {description: c}}]
steps: [{name: a, command: 'echo "[$1] [$2] $#"'}]
)",
                        {{"B", "b"}});
  EXPECT_EQ(done.text("stdout"), "[] [b] 2\n");
}

TEST_F(EngineTest, LimitsWhatAStepMayUse) {
  launcher =
      make_process_launcher({{.open_files = 64, .file_bytes = 4096, .processes = 0}, 32, false});
  const auto done = run(R"(
steps:
  - name: limits
    command: ulimit -n; ulimit -H -n; ulimit -c
  - name: write
    command: head -c 5000 /dev/zero > f
)");
  EXPECT_EQ(done.text("stdout", "limits"), "32\n64\n0\n");
  EXPECT_EQ(done.step("write").status, "failed");
}

TEST_F(EngineTest, ReapsWhatStepsLeaveBehind) {
  launcher = make_process_launcher({{}, 0, true});
  const auto done = run(R"(
steps:
  - name: a
    command: (setsid sleep 0.01 &) ; setsid sleep 63 & sleep 0.1
)");
  EXPECT_EQ(done.run.status, "finished");
  EXPECT_TRUE(eventually([&] {
    launcher->reap_orphans();
    return zombie_children().empty();
  }));
  ::prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0);
}

}  // namespace
}  // namespace kubiya::engine
