// SPDX-License-Identifier: Apache-2.0
#include "engine/embedded.h"

#include <algorithm>
#include <set>

#include "engine/testing.h"

namespace kubiya::engine {
namespace {

TEST_F(EngineTest, RunsStepsAndRecordsThem) {
  const auto done = run(R"(
steps:
  - name: hello
    command: echo hello $WHO
  - name: bye
    command: echo bye >&2
)",
                        {{"WHO", "world"}});
  EXPECT_EQ(done.run.status, "finished");
  EXPECT_EQ(done.run.reason, "");
  EXPECT_EQ(done.run.subject, "ada");
  EXPECT_EQ(done.run.request_id, "request-1");
  EXPECT_GE(done.run.started_ms, done.run.created_ms);
  EXPECT_GE(done.run.finished_ms, done.run.started_ms);
  EXPECT_EQ(done.text("stdout", "hello"), "hello world\n");
  EXPECT_EQ(done.text("stderr", "bye"), "bye\n");
  EXPECT_EQ(done.step("hello").status, "finished");
  EXPECT_EQ(done.step("hello").exit_code, 0);
  EXPECT_EQ(done.step("hello").attempt, 1);
  ASSERT_EQ(journal.ends().size(), 1u);
  EXPECT_EQ(journal.ends()[0].run_id, done.run.id);
  EXPECT_EQ(journal.ends()[0].status, "finished");
  EXPECT_EQ(journal.ends()[0].digest, "digest");
}

TEST_F(EngineTest, StepsAreToldOfTheTraceAndTheRunRemembersIt) {
  const std::string parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
  StartRun request = start_of(R"(
env: {OWN: "${TRACESTATE}!"}
steps:
  - name: told
    command: echo "$TRACEPARENT $TRACESTATE $BAGGAGE $OWN"
  - name: own
    env: {TRACEPARENT: mine}
    command: echo "$TRACEPARENT"
)");
  request.trace = std::make_shared<const TraceContext>(TraceContext{parent, "a=b", "user=ada"});
  const auto done = ended(start(std::move(request))->run_id);
  EXPECT_EQ(done.text("stdout", "told"), parent + " a=b user=ada a=b!\n");
  EXPECT_EQ(done.text("stdout", "own"), "mine\n") << "a workflow may have a trace of its own";
  EXPECT_EQ(done.run.traceparent, parent);
  EXPECT_EQ(done.run.tracestate, "a=b");
}

TEST_F(EngineTest, WithoutATraceThereIsNone) {
  const auto done = run(R"(
steps:
  - name: a
    command: env
)");
  EXPECT_EQ(done.text("stdout").find("TRACE"), std::string::npos);
  EXPECT_EQ(done.text("stdout").find("BAGGAGE"), std::string::npos);
  EXPECT_EQ(done.run.traceparent, "");
}

TEST_F(EngineTest, FailsTheRunWhenAStepFailsAndCancelsWhatDependsOnIt) {
  const auto done = run(R"(
steps:
  - name: bad
    command: exit 3
  - name: after
    command: echo never
)");
  EXPECT_EQ(done.run.status, "failed");
  EXPECT_NE(done.run.reason, "");
  EXPECT_EQ(done.step("bad").status, "failed");
  EXPECT_EQ(done.step("bad").exit_code, 3);
  EXPECT_EQ(done.step("bad").reason, "exit code 3");
  EXPECT_EQ(done.step("after").status, "canceled");
  EXPECT_EQ(done.text("stdout"), "");
}

TEST_F(EngineTest, TriesAgainAsOftenAsThePolicyAllows) {
  const auto done = run(R"(
steps:
  - name: flaky
    command: |
      echo x >> count
      test $(wc -l < count) -ge 3
    retryPolicy:
      limit: 2
      intervalSec: 0
)");
  EXPECT_EQ(done.run.status, "finished");
  EXPECT_EQ(done.step("flaky").attempt, 3);
  EXPECT_EQ(done.step("flaky").status, "finished");
}

TEST_F(EngineTest, StopsTryingAtTheLimit) {
  const auto done = run(R"(
steps:
  - name: bad
    command: echo try; exit 1
    retryPolicy: {limit: 1, intervalSec: 0}
)");
  EXPECT_EQ(done.run.status, "failed");
  EXPECT_EQ(done.step("bad").attempt, 2);
  EXPECT_EQ(done.text("stdout"), "try\ntry\n");
}

TEST_F(EngineTest, KillsAStepThatIgnoresItsTimeout) {
  const auto done = run(R"(
steps:
  - name: stubborn
    command: trap '' TERM; while true; do sleep 0.05; done
    timeoutSec: 1
)");
  EXPECT_EQ(done.run.status, "failed");
  EXPECT_EQ(done.step("stubborn").reason, "timed out after 1 s");
  EXPECT_EQ(done.step("stubborn").exit_code, 128 + 9);
}

TEST_F(EngineTest, FailsARunThatTakesTooLong) {
  const auto done = run(R"(
timeoutSec: 1
steps:
  - name: long
    command: sleep 60
  - name: next
    command: echo never
)");
  EXPECT_EQ(done.run.status, "failed");
  EXPECT_EQ(done.step("next").status, "canceled");
}

TEST_F(EngineTest, CancelsARunningRun) {
  const auto started = start(start_of(R"(
steps:
  - name: long
    command: touch started; sleep 60
  - name: next
    command: echo never
handlerOn:
  cancel:
    command: echo cleaned up
)"));
  ASSERT_TRUE(started);
  const auto mark = options.work_directory + "/" + started->run_id + "/started";
  ASSERT_TRUE(eventually([&] { return std::filesystem::exists(mark); }));
  ASSERT_TRUE(engine().cancel(permit_for("ada"), ticket(), started->run_id, "changed my mind"));
  const auto done = ended(started->run_id);
  EXPECT_EQ(done.run.status, "canceled");
  EXPECT_EQ(done.run.reason, "changed my mind");
  EXPECT_EQ(done.step("long").status, "canceled");
  EXPECT_EQ(done.step("next").status, "canceled");
  EXPECT_EQ(done.text("stdout"), "cleaned up\n");
  EXPECT_EQ(engine().cancel(permit_for("ada"), ticket(), started->run_id, "").error().code,
            Code::not_found);
}

constexpr const char* kHandlerThatWaits = R"(
steps: [{name: a, command: 'true'}]
handlerOn:
  exit:
    command: exit 1
    retryPolicy: {limit: 5, intervalSec: 3600}
)";

TEST_F(EngineTest, CancelsAHandlerThatWaitsForItsNextAttempt) {
  const auto started = start(start_of(kHandlerThatWaits));
  const auto waits = [&] {
    return store::Runs(*db).steps(started->run_id)->at(1).reason == "exit code 1; trying again";
  };
  ASSERT_TRUE(eventually(waits));
  ASSERT_TRUE(engine().cancel(permit_for("ada"), ticket(), started->run_id, "changed my mind"));
  const auto done = ended(started->run_id);
  EXPECT_EQ(done.run.status, "canceled");
  EXPECT_EQ(done.run.reason, "changed my mind");
  EXPECT_EQ(done.step("a").status, "finished");
  EXPECT_EQ(done.step("onExit").status, "canceled");
  EXPECT_EQ(done.step("onExit").reason, "canceled before its next attempt");
}

TEST_F(EngineTest, DrainsAHandlerThatWaitsForItsNextAttempt) {
  const auto started = start(start_of(kHandlerThatWaits));
  ASSERT_TRUE(eventually([&] {
    return store::Runs(*db).steps(started->run_id)->at(1).reason == "exit code 1; trying again";
  }));
  engine().drain(std::chrono::milliseconds(10));
  EXPECT_EQ(engine().active_runs(), 0u);
  EXPECT_EQ(store::Runs(*db).get(started->run_id)->status, "canceled");
}

TEST_F(EngineTest, EndsHandlersThatTakeTooLongAfterACancel) {
  options.handler_time = std::chrono::milliseconds(200);
  const auto started = start(start_of(R"(
steps: [{name: a, command: touch started; sleep 60}]
handlerOn:
  cancel: {command: sleep 60}
  exit: {command: sleep 60}
)"));
  const auto mark = options.work_directory + "/" + started->run_id + "/started";
  ASSERT_TRUE(eventually([&] { return std::filesystem::exists(mark); }));
  ASSERT_TRUE(engine().cancel(permit_for("ada"), ticket(), started->run_id, "changed my mind"));
  const auto done = ended(started->run_id);
  EXPECT_EQ(done.run.status, "canceled");
  EXPECT_EQ(done.run.reason, "changed my mind");
  EXPECT_EQ(done.step("onCancel").status, "canceled");
  EXPECT_EQ(done.step("onExit").status, "canceled");
}

TEST_F(EngineTest, EndsHandlersWhenTheWorkflowsTimeIsOver) {
  options.handler_time = std::chrono::milliseconds(200);
  const auto done = run(R"(
timeoutSec: 1
steps: [{name: a, command: 'true'}]
handlerOn: {exit: {command: sleep 60}}
)");
  EXPECT_EQ(done.run.status, "failed");
  EXPECT_EQ(done.run.reason, "handler \"onExit\" was stopped: the time was over");
}

TEST_F(EngineTest, LetsOnlyTheOwnerAndTheTenantsAdminsCancel) {
  const auto started = start(start_of("steps: [{name: a, command: sleep 60}]"));
  for (const auto& other : {permit_for("eve"), permit_for("ada", "globex"),
                            permit_for("root", "globex", "", {"execute", "admin"})}) {
    EXPECT_EQ(engine().cancel(other, ticket(), started->run_id, "").error().code, Code::not_found);
  }
  EXPECT_TRUE(engine().cancel(permit_for("root", "acme", "", {"execute", "admin"}), ticket(),
                              started->run_id, "by an admin"));
  EXPECT_EQ(wait_for(started->run_id).status, "canceled");
}

TEST_F(EngineTest, PassesOutputsToStepsThatDependOnThem) {
  const auto done = run(R"(
steps:
  - name: make
    command: printf '  {"version":"1.2","tags":["a","b"]}\n'
    output: INFO
  - name: use
    command: echo "$INFO" ${INFO.version} ${INFO.tags[1]}
)");
  EXPECT_EQ(done.text("stdout", "use"), "{\"version\":\"1.2\",\"tags\":[\"a\",\"b\"]} 1.2 b\n");
  EXPECT_EQ(done.step("make").output, R"({"version":"1.2","tags":["a","b"]})");
  const auto outputs = parse_json(done.run.outputs);
  ASSERT_TRUE(outputs);
  EXPECT_EQ(find_string(outputs->as_object(), "INFO"), R"({"version":"1.2","tags":["a","b"]})");
}

TEST_F(EngineTest, HidesOutputsFromStepsThatDoNotDependOnThem) {
  const auto done = run(R"(
type: graph
steps:
  - name: make
    command: echo value
    output: OUT
  - name: other
    command: sleep 0.3; echo "[$OUT]"
  - name: dependent
    command: echo "[$OUT]"
    depends: [make]
)");
  EXPECT_EQ(done.text("stdout", "other"), "[]\n");
  EXPECT_EQ(done.text("stdout", "dependent"), "[value]\n");
}

TEST_F(EngineTest, FailsAStepWhoseCapturedOutputIsTooLarge) {
  options.captured_bytes = 1000;
  const auto done = run(R"(
steps:
  - name: big
    command: yes
    output: OUT
)");
  EXPECT_EQ(done.run.status, "failed");
  EXPECT_EQ(done.step("big").reason, "the captured output is over its limit");
  EXPECT_EQ(done.run.outputs, "{}");
}

TEST_F(EngineTest, BoundsTheCapturedOutputOfAllAttempts) {
  options.captured_bytes = 1000;
  const auto done = run(R"(
steps:
  - name: big
    command: head -c 400 /dev/zero | tr '\0' x; exit 1
    output: OUT
    retryPolicy: {limit: 4, intervalSec: 0}
)");
  EXPECT_EQ(done.step("big").attempt, 5);
  EXPECT_EQ(done.step("big").reason, "the captured output is over its limit");
  EXPECT_EQ(done.step("big").output, std::string(400, 'x') + "\n" + std::string(400, 'x'));
}

TEST_F(EngineTest, RunsTheHandlersOfTheOutcome) {
  const std::string handlers = R"(
handlerOn:
  success: {command: echo success}
  failure: {command: echo failure}
  exit: {command: echo exit}
)";
  const auto good = run("steps: [{name: a, command: 'true'}]" + handlers);
  EXPECT_EQ(good.run.status, "finished");
  EXPECT_EQ(good.text("stdout"), "success\nexit\n");
  const auto bad = run("steps: [{name: a, command: 'false'}]" + handlers);
  EXPECT_EQ(bad.run.status, "failed");
  EXPECT_EQ(bad.text("stdout"), "failure\nexit\n");
}

TEST_F(EngineTest, SkipsAStepWhosePreconditionIsNotMet) {
  const auto done = run(R"(
type: graph
steps:
  - name: met by value
    command: echo 1
    preconditions: [{condition: "$MODE", expected: "re:pro.*"}]
  - name: met by command
    command: echo 2
    preconditions: [{condition: test "$MODE" = prod}]
  - name: unmet by value
    command: echo 3
    preconditions: [{condition: "$MODE", expected: dev}]
  - name: unmet by command
    command: echo 4
    preconditions: [{condition: test "$MODE" = dev}]
)",
                        {{"MODE", "prod"}});
  EXPECT_EQ(done.step("met by value").status, "finished");
  EXPECT_EQ(done.step("met by command").status, "finished");
  EXPECT_EQ(done.step("unmet by value").status, "skipped");
  EXPECT_EQ(done.step("unmet by command").status, "skipped");
  EXPECT_EQ(done.step("unmet by value").reason, "a precondition is not met");
}

TEST_F(EngineTest, CancelsARunWhosePreconditionIsNotMet) {
  const auto done = run(R"(
preconditions: [{condition: "false"}]
steps: [{name: a, command: echo never}]
)");
  EXPECT_EQ(done.run.status, "canceled");
  EXPECT_EQ(done.text("stdout"), "");
}

TEST_F(EngineTest, AnswersARepeatedCallWithTheSameRun) {
  auto request = start_of("steps: [{name: a, command: echo $P}]", {{"P", "1"}});
  request.idempotency_key = "k";
  request.idempotency_digest = "one call";
  const auto first = start(request);
  ASSERT_TRUE(first);
  EXPECT_FALSE(first->existed);
  const auto again = start(request);
  ASSERT_TRUE(again);
  EXPECT_TRUE(again->existed);
  EXPECT_EQ(again->run_id, first->run_id);
  request.idempotency_digest = "another";
  const auto other = start(request);
  ASSERT_EQ(other.error().code, Code::conflict);
  EXPECT_NE(other.error().message.find(first->run_id), std::string::npos);
  EXPECT_FALSE(start(request, permit_for("bob"))->existed);
  EXPECT_EQ(ended(first->run_id).text("stdout"), "1\n");
}

TEST_F(EngineTest, RefusesMoreThanTheQueuesHold) {
  options.active_runs = 1;
  options.queued_runs = 3;
  options.queued_runs_per_owner = 2;
  const auto request = start_of("steps: [{name: a, command: sleep 60}]");
  ASSERT_TRUE(start(request));  // runs
  ASSERT_TRUE(start(request));
  ASSERT_TRUE(start(request));
  const auto says = [&](const policy::Permit& who) { return start(request, who).error().message; };
  EXPECT_EQ(start(request).error().code, Code::busy);
  EXPECT_NE(says(permit_for("ada")).find("engine.queued_runs_per_owner is 2"), std::string::npos);
  ASSERT_TRUE(start(request, permit_for("bob")));
  EXPECT_NE(says(permit_for("eve")).find("engine.queued_runs is 3"), std::string::npos);
  EXPECT_EQ(engine().active_runs(), 4u);
}

TEST_F(EngineTest, CancelsAQueuedRunWithoutStartingIt) {
  options.active_runs = 1;
  const auto blocker = start(start_of("steps: [{name: a, command: sleep 60}]"));
  const auto queued = start(start_of("steps: [{name: a, command: echo never}]"));
  ASSERT_TRUE(engine().cancel(permit_for("ada"), ticket(), queued->run_id, "no"));
  const auto done = ended(queued->run_id);
  EXPECT_EQ(done.run.status, "canceled");
  EXPECT_EQ(done.run.started_ms, 0);
  EXPECT_EQ(done.steps[0].status, "canceled");
  EXPECT_EQ(store::Runs(*db).get(blocker->run_id)->status, "running");
}

TEST_F(EngineTest, RefusesParametersThatAreNoPlainText) {
  struct Row {
    const char* name;
    std::pair<std::string, std::string> param;
  };
  for (const Row& row :
       {Row{"loader", {"LD_PRELOAD", "x"}}, Row{"path", {"PATH", "x"}},
        Row{"shell start-up", {"BASH_ENV", "x"}}, Row{"equals sign", {"A=B", "x"}},
        Row{"NUL", {"A", std::string("x\0y", 3)}}, Row{"not UTF-8", {"A", "\xFF"}}}) {
    const auto started = start(start_of("steps: [{name: a, command: echo}]", {row.param}));
    ASSERT_FALSE(started) << row.name;
    EXPECT_EQ(started.error().code, Code::invalid) << row.name;
  }
}

TEST_F(EngineTest, TellsWatchersEverythingInOrder) {
  std::mutex mutex;
  std::vector<std::string> told;
  std::promise<void> finished;
  options.active_runs = 1;
  const auto blocker = start(start_of("steps: [{name: a, command: sleep 60}]"));
  const auto started = start(start_of("steps: [{name: a, command: echo hi}]"));
  const auto watch = engine().watch(started->run_id, [&](const RunEvent& event) {
    static constexpr const char* kNames[] = {"run_started",   "step_started", "step_waiting",
                                             "step_finished", "output",       "run_finished"};
    const std::lock_guard lock(mutex);
    told.push_back(std::string(kNames[static_cast<int>(event.kind)]) + " " + event.step + " " +
                   event.status + " " + event.text + " " + std::to_string(event.steps_done) + "/" +
                   std::to_string(event.steps_total));
    if (event.kind == RunEvent::Kind::run_finished) finished.set_value();
  });
  ASSERT_TRUE(engine().cancel(permit_for("ada"), ticket(), blocker->run_id, ""));
  finished.get_future().wait();
  EXPECT_EQ(told,
            (std::vector<std::string>{"run_started  running  0/1", "step_started a running  0/1",
                                      "output a stdout hi\n 0/1", "step_finished a finished  1/1",
                                      "run_finished  finished  1/1"}));
}

TEST_F(EngineTest, TellsALateWatcherThatTheRunIsOver) {
  const auto done = run("steps: [{name: a, command: 'false'}]");
  const auto event = wait_for(done.run.id);
  EXPECT_EQ(event.status, "failed");
  EXPECT_EQ(event.steps_done, 1);
}

TEST_F(EngineTest, CancelsWhatIsLeftWhenDrained) {
  const auto started = start(start_of("steps: [{name: a, command: sleep 60}]"));
  ASSERT_TRUE(started);
  engine().drain(std::chrono::milliseconds(10));
  EXPECT_EQ(engine().active_runs(), 0u);
  EXPECT_EQ(store::Runs(*db).get(started->run_id)->status, "canceled");
  EXPECT_EQ(start(start_of("steps: [{name: a, command: echo}]")).error().code, Code::unavailable);
}

// Whoever closes it takes apart next what watchers refer to.
TEST_F(EngineTest, EverybodyIsToldBeforeCloseReturns) {
  const auto started = start(start_of("steps: [{name: a, command: sleep 60}]"));
  ASSERT_TRUE(started);
  std::string told;
  const auto watch = engine().watch(started->run_id, [&](const RunEvent& event) {
    if (event.kind == RunEvent::Kind::run_finished) told = event.status;
  });
  engine().close();
  EXPECT_EQ(told, "canceled");
  EXPECT_EQ(start(start_of("steps: [{name: a, command: echo}]")).error().code, Code::unavailable);
  engine().close();
}

TEST_F(EngineTest, PutsInOrderWhatACrashLeft) {
  store::Runs runs(*db);
  for (const char* id : {"queued", "running"}) {
    store::RunRow row;
    row.id = id;
    row.tenant = "acme";
    row.workflow = "test";
    store::StepRow step;
    step.name = "a";
    std::promise<void> created;
    runs.create(row, {step}, [&](auto) { created.set_value(); });
    created.get_future().wait();
  }
  runs.set_run("running", "running", "", 1, 0, "", {});
  std::promise<void> set;
  runs.set_step({"running", 0, "a", "running", 1, {}, "", 1, 0, "", 1},
                [&](auto) { set.set_value(); });
  set.get_future().wait();
  const auto left = options.work_directory + "/01234567-89ab-7cde-8f01-23456789abcd";
  std::filesystem::create_directories(left + "/deep/er");
  std::filesystem::create_directories(options.work_directory + "/not a run");

  engine();
  EXPECT_EQ(runs.get("queued")->status, "interrupted");
  EXPECT_EQ(runs.get("queued")->reason,
            "The server stopped before the run began; nothing of it ran.");
  EXPECT_EQ(runs.get("running")->status, "interrupted");
  EXPECT_EQ(runs.get("running")->reason, "The server stopped while the run was active.");
  EXPECT_EQ(runs.steps("queued")->at(0).status, "canceled");
  EXPECT_EQ(runs.steps("running")->at(0).status, "interrupted");
  EXPECT_FALSE(std::filesystem::exists(left));
  EXPECT_TRUE(std::filesystem::exists(options.work_directory + "/not a run"));
  ASSERT_EQ(journal.ends().size(), 2u);
  EXPECT_EQ(journal.ends()[0].status, "interrupted");
  EXPECT_EQ(engine().active_runs(), 0u);
}

TEST_F(EngineTest, LeavesTheRunsOfAnotherEngineAlone) {
  const auto started = start(start_of("steps: [{name: a, command: sleep 60}]"));
  ASSERT_TRUE(started);
  const auto second = Embedded::open(options, *db, journal, *launcher, clock);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, Code::conflict);
  EXPECT_EQ(engine().active_runs(), 1u);
  stop_engine();
  EXPECT_TRUE(Embedded::open(options, *db, journal, *launcher, clock));
}

TEST_F(EngineTest, LeavesNothingBehindAfterManyRuns) {
  const auto count_files = [] {
    std::size_t count = 0;
    for ([[maybe_unused]] const auto& entry :
         std::filesystem::directory_iterator("/proc/self/fd")) {
      ++count;
    }
    return count;
  };
  run("steps: [{name: a, command: echo}]");
  ASSERT_TRUE(eventually([&] { return directories() == 0; }));
  const auto before = count_files();
  std::vector<std::string> ids;
  for (int i = 0; i < 200; ++i) {
    const auto started = start(start_of("steps: [{name: a, command: 'echo x > f; exit 0'}]"));
    ASSERT_TRUE(started);
    ids.push_back(started->run_id);
    if (ids.size() % 50 == 0) {
      for (const auto& id : ids) EXPECT_EQ(wait_for(id).status, "finished");
    }
  }
  EXPECT_TRUE(eventually([&] { return directories() == 0; }));
  EXPECT_LE(count_files(), before + 8) << "readers of the database may be added";
  std::string children;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    children += read_file(task.path() / "children");
  }
  EXPECT_EQ(children, "") << "no zombies";
}

}  // namespace
}  // namespace kubiya::engine
