"""Every feature of a workflow through the real binary: what is written is what runs, and what does not fit is said."""
import itertools
import json
import pathlib
import shutil
import tempfile
import unittest

from harness import MODERN, Issuer, Server, until

WAIT = 'while [ ! -e "$GATE" ]; do sleep 0.02; done'
numbers = itertools.count(1)


def setUpModule():
    global issuer, server, ada, place
    issuer = Issuer()
    place = pathlib.Path(tempfile.mkdtemp(prefix="kubiya-workflows-"))
    server = Server(issuer)
    ada = issuer.token(server.audience)
    for close in (lambda: shutil.rmtree(place), issuer.close, server.close):
        unittest.addModuleCleanup(close)


def create(definition, on=None, **more):
    """Stores it under a new name and returns that."""
    name = f"w{next(numbers)}"
    (on or server).ok(more.pop("who", ada), "create_workflow", name=name, definition=definition)
    return name


def execute(name, wait=60, **more):
    status, _, body = server.call(ada, "execute_workflow", name=name, wait=wait, **more)
    assert status == 200 and "structuredContent" in body["result"], body
    return body["result"]


def logs(run, **more):
    """All entries, joined over the pages."""
    entries, after = [], "0"
    while True:
        page = server.ok(ada, "get_execution_logs", execution_id=run, after=after, **more)
        entries, after = entries + page["entries"], page["next"]
        if not page["truncated"]:
            return entries


def said(run, step, stream="stdout"):
    return "".join(e["text"] for e in logs(run, step=step) if e["stream"] == stream)


def ended(run, who=None):
    return until(lambda: (r := server.ok(ada, "get_execution", execution_id=run))["status"] not in ("queued", "running") and r)


def refused(tool, **arguments):
    status, _, body = server.call(ada, tool, **arguments)
    assert status == 200 and body["result"]["isError"], body
    return body["result"]["content"][0]["text"]


# label, definition, what the call adds, and of the end: status, steps by name, output by step, outputs, reason.
RUNS = [
    ("a chain runs in order and a step sees what earlier ones left",
     "steps:\n- {name: a, command: echo one > f}\n- {name: b, command: cat f}",
     {}, "finished", {"a": "finished", "b": "finished"}, {"b": "one\n"}, {}, None),
    ("a graph runs what depends on nothing first",
     "type: graph\nsteps:\n- {name: last, depends: [x, y], command: cat fx fy}\n"
     "- {name: x, command: echo x > fx}\n- {name: y, command: echo y > fy}",
     {}, "finished", {}, {"last": "x\ny\n"}, {}, None),
    ("a failure cancels what depends on it and nothing else",
     "type: graph\nsteps:\n- {name: bad, command: exit 3}\n- {name: after, depends: bad, command: echo}\n- {name: apart, command: echo}",
     {}, "failed", {"bad": "failed", "after": "canceled", "apart": "finished"}, {}, {}, 'step "bad" failed: exit code 3'),
    ("depends_on and ids are read, too",
     "steps:\n- {name: one, id: first, command: echo 1, output: N}\n- {name: two, depends_on: [first], command: 'echo got $N'}",
     {}, "finished", {}, {"two": "got 1\n"}, {"N": "1"}, None),
    ("an output is trimmed, kept and read by path",
     "steps:\n- {name: a, command: 'echo \" {\\\"k\\\":[1,{\\\"d\\\":\\\"x y\\\"}]} \"', output: DATA}\n- {name: b, command: 'echo \"${DATA.k[1].d}\"'}",
     {}, "finished", {}, {"b": "x y\n"}, {"DATA": '{"k":[1,{"d":"x y"}]}'}, None),
    ("a default stands in for a param that is not given",
     "params:\n  A: from-default\nsteps:\n- {name: s, command: 'echo $A'}",
     {}, "finished", {}, {"s": "from-default\n"}, {}, None),
    ("a given value wins over default and env",
     "params:\n  A: x\nenv:\n- A: y\nsteps:\n- {name: s, env: {A: z}, command: 'echo $A'}",
     {"params": {"A": "given; $(id)"}}, "finished", {}, {"s": "given; $(id)\n"}, {}, None),
    ("params without names are positions",
     "params: one two\nsteps:\n- {name: s, command: 'echo $# $1-$2'}",
     {"params": {"2": "zwei"}}, "finished", {}, {"s": "2 one-zwei\n"}, {}, None),
    ("values that are not text arrive as JSON",
     "params:\n  N: 1\nsteps:\n- {name: s, command: 'echo $N'}",
     {"params": {"N": {"a": [True, None]}}}, "finished", {}, {"s": '{"a":[true,null]}\n'}, {}, None),
    ("env entries build on earlier ones",
     "env:\n- A: a\n- B: ${A}b\nsteps:\n- {name: s, env: [{C: '${B}c'}], command: 'echo $C'}",
     {}, "finished", {}, {"s": "abc\n"}, {}, None),
    ("dir is where a step runs",
     "steps:\n- {name: s, dir: /usr/share, command: pwd}", {}, "finished", {}, {"s": "/usr/share\n"}, {}, None),
    ("a script has the interpreter of its first line",
     "steps:\n- name: s\n  script: |\n    #!/usr/bin/env python3\n    print(2 ** 10)\n", {}, "finished", {}, {"s": "1024\n"}, {}, None),
    ("command names the interpreter of a script",
     "steps:\n- name: s\n  command: python3\n  script: |\n    print('by command')\n", {}, "finished", {}, {"s": "by command\n"}, {}, None),
    ("shell chooses the shell",
     "steps:\n- {name: s, shell: bash, command: 'a=(x y); echo ${a[1]}'}", {}, "finished", {}, {"s": "y\n"}, {}, None),
    ("a list is a program and its arguments, without a shell",
     "params:\n  A: $(id)\nsteps:\n- {name: s, command: [echo, '$A', '*']}", {}, "finished", {}, {"s": "$(id) *\n"}, {}, None),
    ("continueOn failure lets the others go on",
     "steps:\n- {name: a, command: exit 1, continueOn: {failure: true}}\n- {name: b, command: echo on}",
     {}, "partial_success", {"a": "failed", "b": "finished"}, {"b": "on\n"}, {}, None),
    ("continueOn exitCode looks at the code",
     "steps:\n- {name: a, command: exit 7, continueOn: {exitCode: [7]}}\n- {name: b, command: echo on}",
     {}, "partial_success", {"a": "failed", "b": "finished"}, {}, {}, None),
    ("continueOn output looks at the lines",
     "steps:\n- {name: a, command: 'echo soft failure; exit 1', continueOn: {output: 're:^soft'}}\n- {name: b, command: echo on}",
     {}, "partial_success", {"b": "finished"}, {}, {}, None),
    ("markSuccess makes it a success",
     "steps:\n- {name: a, command: exit 1, continueOn: {failure: true, markSuccess: true}}\n- {name: b, command: echo on}",
     {}, "finished", {"a": "finished", "b": "finished"}, {}, {}, None),
    ("continueOn skipped lets dependants of a skipped step run",
     "steps:\n- {name: a, precondition: 'false', command: echo, continueOn: {skipped: true}}\n- {name: b, command: echo on}",
     {}, "finished", {"a": "skipped", "b": "finished"}, {}, {}, None),
    ("retryPolicy tries again until it works",
     "steps:\n- {name: a, command: 'echo x >> f; test $(wc -l < f) -ge 3', retryPolicy: {limit: 5, intervalSec: 0}}",
     {}, "finished", {"a": "finished"}, {}, {}, None),
    ("retryPolicy keeps to its codes",
     "steps:\n- {name: a, command: 'echo x; exit 2', retryPolicy: {limit: 5, intervalSec: 0, exitCode: [1]}}",
     {}, "failed", {"a": "failed"}, {"a": "x\n"}, {}, None),
    ("a precondition decides about its step",
     "type: graph\nsteps:\n- {name: no, preconditions: [{condition: $A, expected: other}], command: echo}\n"
     "- {name: yes, preconditions: [{condition: $A, expected: 're:^va'}, 'test -n \"$A\"'], command: echo yes}\nparams: {A: value}",
     {}, "finished", {"no": "skipped", "yes": "finished"}, {"yes": "yes\n"}, {}, None),
    ("a workflow's precondition decides about the run",
     "preconditions: 'false'\nsteps:\n- {name: s, command: echo never}",
     {}, "canceled", {"s": "canceled"}, {"s": ""}, {}, "the workflow's preconditions were not met"),
    ("a step's timeout ends it",
     "steps:\n- {name: s, command: sleep 600, timeoutSec: 1}", {}, "failed", {"s": "failed"}, {}, {}, 'step "s" failed: its timeout passed'),
    ("the workflow's timeout ends it",
     "timeoutSec: 1\nsteps:\n- {name: s, command: sleep 600}", {}, "failed", {"s": "canceled"}, {}, {}, "the workflow's timeout passed"),
    ("success has its handler, and the end",
     "steps:\n- {name: s, command: echo, output: O}\nhandlerOn:\n  success: {command: echo good}\n  failure: {command: echo bad}\n  exit: {command: echo end}",
     {}, "finished", {"onSuccess": "finished", "onExit": "finished", "onFailure": None}, {"onSuccess": "good\n", "onExit": "end\n", "onFailure": ""}, {}, None),
    ("failure has its handler, and the end",
     "steps:\n- {name: s, command: exit 9}\nhandlerOn:\n  success: {command: echo good}\n  failure: {command: echo bad}\n  exit: {command: echo end}",
     {}, "failed", {"onFailure": "finished", "onExit": "finished", "onSuccess": None}, {"onFailure": "bad\n", "onExit": "end\n"}, {}, None),
    ("a handler that fails fails the run",
     "steps:\n- {name: s, command: echo}\nhandlerOn:\n  exit: {command: exit 4}",
     {}, "failed", {"s": "finished", "onExit": "failed"}, {}, {}, 'handler "onExit" failed: exit code 4'),
    ("steps may be a map, and JSON is read like YAML",
     '{"steps": {"a": {"command": "echo m", "output": "M"}, "b": {"command": "echo $M"}}}', {}, "finished", {}, {"b": "m\n"}, {"M": "m"}, None),
    ("a value that grows without bounds fails its step by name",
     "params: {A: x}\nsteps:\n- {name: s, env: [{B: $A$A$A}], command: echo}", {"params": {"A": "x" * 60_000}}, "failed", {"s": "failed"}, {}, {}, None),
]

# label, definition, what the refusal says; every one of them names the field.
REFUSED = [
    ("a step's executor", "steps: [{name: a, executor: docker, command: x}]", r"steps\[0\]\.executor.*docker is not supported yet"),
    ("its type", "steps: [{name: a, executor: {type: ssh, config: {host: x}}}]", r"steps\[0\]\.executor\.type.*ssh is not supported yet"),
    ("a sub-workflow", "steps: [{name: a, run: other}]", r"steps\[0\]\.run is not supported yet"),
    ("parallel", "steps: [{name: a, command: x, parallel: [1]}]", r"steps\[0\]\.parallel is not supported yet"),
    ("a schedule", "schedule: '* * * * *'\nsteps: [{name: a, command: x}]", r"schedule is not supported yet"),
    ("repeatPolicy", "steps: [{name: a, command: x, repeatPolicy: {}}]", r"steps\[0\]\.repeatPolicy is not supported yet"),
    ("a typing error", "steps: [{name: a, comand: x}]", r"steps\[0\]\.comand.*did you mean command\?"),
    ("a truth value as command", "steps: [{name: a, command: true}]", r'steps\[0\]\.command: must be text, and true .* write "true"'),
    ("a number as command", "steps: [{name: a, command: 7}]", r'steps\[0\]\.command: must be text, and 7 .* write "7"'),
    ("a handler's name", "steps: [{name: onExit, command: x}]", r"steps\[0\]\.name: onExit is what the handler"),
    ("a cycle", "type: graph\nsteps: [{name: a, depends: b, command: x}, {name: b, depends: a, command: x}]", r"steps\[\d\]\.depends: .*cycle"),
    ("an unknown dependency", "steps: [{name: a, depends: z, command: x}]", r"steps\[0\]\.depends: no step named z"),
    ("the server's own variables", "env: [{KUBIYA_TENANT: x}]\nsteps: [{name: a, command: x}]", r"env\[0\]\.KUBIYA_TENANT"),
    ("a pattern", "steps: [{name: a, command: x, continueOn: {output: 're:('}}]", r"steps\[0\]\.continueOn"),
    ("an endless list", "steps: [{name: a, command: x, preconditions: [" + "x," * 1001 + "]}]", r"steps\[0\]\.preconditions: more than 1000 items"),
]


class Features(unittest.TestCase):
    def test_each_feature(self):
        for label, definition, more, status, steps, texts, outputs, reason in RUNS:
            with self.subTest(label):
                run = execute(create(definition), **more)["structuredContent"]
                self.assertEqual(run["status"], status, run)
                shown = {s["name"]: s["status"] for s in run["steps"]}
                self.assertEqual({name: shown.get(name) for name in steps}, steps)
                self.assertEqual({name: said(run["execution_id"], name) for name in texts}, texts)
                self.assertEqual({name: run["outputs"].get(name) for name in outputs}, outputs)
                if reason:
                    self.assertEqual(run["reason"], reason)

    def test_what_does_not_fit_is_refused_with_its_field(self):
        for label, definition, pattern in REFUSED:
            with self.subTest(label):
                self.assertRegex(refused("create_workflow", name="refused", definition=definition), pattern)
                checked = server.ok(ada, "validate_workflow", definition="name: refused\n" + definition)
                self.assertFalse(checked["valid"])
                self.assertRegex("; ".join(f"{p['field']}: {p['message']}" for p in checked["problems"]), pattern)

    def test_missing_and_unknown_params_are_named(self):
        name = create("params: {A: {required: true}, B: x}\nsteps: [{name: s, command: echo}]")
        self.assertIn("Missing params: A", refused("execute_workflow", name=name))
        self.assertIn("Unknown params: C. Known: A, B", refused("execute_workflow", name=name, params={"A": "1", "C": "2"}))

    def test_the_argument_names_a_definition_without_a_name(self):
        name = create("steps: [{name: s, command: 'echo $DAG_NAME'}]")
        self.assertEqual(said(execute(name)["structuredContent"]["execution_id"], "s"), name + "\n")
        self.assertNotIn("name:", server.ok(ada, "get_workflow", name=name)["definition"].split("steps")[0])
        for more, valid in (({"name": "given"}, True), ({}, False)):
            checked = server.ok(ada, "validate_workflow", definition="steps: [{name: s, command: echo}]", **more)
            self.assertEqual(checked["valid"], valid)
        self.assertIn("name is missing", refused("create_workflow", definition="steps: [{name: s, command: echo}]"))
        self.assertIn("names itself b", refused("create_workflow", name="a", definition="name: b\nsteps: [{name: s, command: echo}]"))

    def test_no_more_steps_at_a_time_than_the_workflow_allows(self):
        step = ("  - name: s{0}\n    command: 'mkdir running{0}; ls -d running* | wc -l >> seen; sleep 0.05; rmdir running{0}'\n")
        last = "  - name: last\n    depends: [" + ", ".join(f"s{i}" for i in range(8)) + "]\n    command: sort -n seen | tail -1\n"
        definition = "type: graph\nmaxActiveSteps: 2\nsteps:\n" + "".join(step.format(i) for i in range(8)) + last
        run = execute(create(definition))["structuredContent"]
        self.assertIn(int(said(run["execution_id"], "last")), (1, 2))

    def test_a_cancel_stops_steps_and_runs_its_handler(self):
        name = create("steps:\n- {name: s, command: 'echo up; sleep 600'}\n- {name: t, command: echo never}\n"
                      "handlerOn:\n  cancel: {command: echo tidied}\n  exit: {command: echo end}\n  success: {command: echo no}")
        run = execute(name, wait=0)["structuredContent"]["execution_id"]
        until(lambda: said(run, "s"))
        server.ok(ada, "cancel_execution", execution_id=run, reason="enough")
        end = ended(run)
        self.assertEqual((end["status"], end["reason"]), ("canceled", "enough"))
        self.assertEqual({s["name"]: s["status"] for s in end["steps"]},
                         {"s": "canceled", "t": "canceled", "onCancel": "finished", "onExit": "finished"})
        self.assertEqual((said(run, "onCancel"), said(run, "onExit")), ("tidied\n", "end\n"))

    def test_the_text_of_a_run_says_what_a_person_asks_first(self):
        name = create("type: graph\nsteps:\n- {name: a, command: 'printf \"two\\\\nlines\"', output: SHORT}\n"
                      "- {name: b, command: 'head -c 9000 /dev/zero | tr \"\\\\0\" x', output: LONG}\n- {name: c, command: exit 3}\n"
                      "handlerOn:\n  success: {command: echo}\n  failure: {command: echo}")
        text = execute(name)["content"][0]["text"]
        self.assertIn("- c: failed (exit code 3)\n", text)
        self.assertEqual(text.count("exit code 3"), 2, "once for the run and once for the step")
        self.assertIn("onFailure: finished", text)
        self.assertNotIn("onSuccess", text, "a handler that had nothing to do")
        self.assertRegex(text, r"SHORT = two\\u000alines\n")
        self.assertIn("get_execution_logs", text)
        self.assertLess(len(text), 1_500)


class Bytes(unittest.TestCase):
    def test_logs_come_in_pages_of_bytes_that_join_to_the_whole(self):
        name = create("steps:\n- name: s\n  command: python3\n  script: |\n    import sys\n    for i in range(9000): sys.stdout.write(f'{i} \\u20ac ' + 'x' * 20 + '\\n')\n")
        run = execute(name)["structuredContent"]["execution_id"]
        page = server.ok(ada, "get_execution_logs", execution_id=run)
        self.assertTrue(page["truncated"])
        self.assertLess(sum(len(e["text"].encode()) for e in page["entries"]), 70_000)
        pages, after = [page], page["next"]
        while pages[-1]["truncated"]:
            pages.append(server.ok(ada, "get_execution_logs", execution_id=run, after=after))
            after = pages[-1]["next"]
        self.assertEqual("".join(e["text"] for p in pages for e in p["entries"]),
                         "".join(f"{i} \u20ac {'x' * 20}\n" for i in range(9000)))
        self.assertEqual(server.ok(ada, "get_execution_logs", execution_id=run, after=after)["entries"], [])

    def test_long_outputs_are_cut_and_named(self):
        steps = "".join(f"- {{name: s{i}, output: O{i}, command: 'head -c {30_000 if i else 5} /dev/zero | tr \"\\\\0\" {i}'}}\n" for i in range(6))
        run = execute(create("type: graph\nsteps:\n" + steps))["structuredContent"]
        self.assertEqual(run["status"], "finished")
        self.assertTrue(run["truncated"])
        self.assertEqual(run["truncated_outputs"], [f"O{i}" for i in range(1, 6)])
        self.assertEqual(run["outputs"]["O0"], "00000")
        self.assertLess(sum(map(len, run["outputs"].values())), 70_000)
        self.assertTrue(all(set(v) <= {n[1]} for n, v in run["outputs"].items()))
        self.assertEqual([s.get("output_truncated", False) for s in run["steps"]], [False] + [True] * 5)
        self.assertEqual(len(said(run["execution_id"], "s5")), 30_000)

    def test_many_steps_come_in_pages(self):
        skipped = "".join(f"- {{name: step-{i}, precondition: {{condition: a, expected: b}}, command: echo}}\n" for i in range(700))
        run = execute(create("type: graph\nsteps:\n" + skipped))["structuredContent"]
        names, pages = [s["name"] for s in run["steps"]], 1
        while "next" in run:
            self.assertTrue(run["truncated"])
            run = server.ok(ada, "get_execution", execution_id=run["execution_id"], after=run["next"])
            names, pages = names + [s["name"] for s in run["steps"]], pages + 1
        self.assertFalse(run["truncated"])
        self.assertEqual(names, [f"step-{i}" for i in range(700)])
        self.assertGreater(pages, 2)

    def test_a_list_of_workflows_ends_by_bytes(self):
        who = issuer.token(server.audience, "lister")
        made = [create(json.dumps({"description": "d" * 50_000, "steps": [{"name": "s", "command": "echo"}]}), who=who)
                for _ in range(3)]
        seen, page, pages = [], server.ok(who, "list_workflows"), 1
        while page["truncated"]:
            self.assertLess(len(json.dumps(page)), 140_000)
            seen += [w["name"] for w in page["workflows"]]
            page, pages = server.ok(who, "list_workflows", after=page["next"]), pages + 1
        seen += [w["name"] for w in page["workflows"]]
        self.assertEqual(seen, sorted(set(seen)))
        self.assertLessEqual(set(made), set(seen))
        self.assertGreaterEqual(pages, 3)

    def test_a_cursor_that_is_none_is_refused(self):
        run = execute(create("steps: [{name: s, command: echo}]"))["structuredContent"]["execution_id"]
        for bad in ("x", "1.", "-1", "1.x", "99999999999999999999999"):
            self.assertIn("after must be", refused("get_execution_logs", execution_id=run, after=bad))
            self.assertIn("after must be", refused("get_execution", execution_id=run, after=bad))


class Progress(unittest.TestCase):
    def notes(self, name):
        params = {"name": "execute_workflow", "arguments": {"name": name, "wait": 60}, "_meta": {
            "io.modelcontextprotocol/protocolVersion": MODERN, "io.modelcontextprotocol/clientCapabilities": {}, "progressToken": 1}}
        head = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream", "MCP-Protocol-Version": MODERN,
                "Mcp-Method": "tools/call", "Mcp-Name": "execute_workflow", "Authorization": "Bearer " + ada}
        _, _, body = server.request("POST", "/mcp", json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}), head)
        messages = [json.loads(line[6:]) for line in body.decode().splitlines() if line.startswith("data: ")]
        return [m["params"] for m in messages if m.get("method") == "notifications/progress"]

    def test_it_grows_to_a_total_that_stays(self):
        handlers = "handlerOn:\n  failure: {command: echo}\n  exit: {command: echo}\n"
        for label, definition, total in (
                ("one step", "steps: [{name: a, command: echo}]", 1),
                ("handlers", "steps: [{name: a, command: echo}, {name: b, command: exit 1}]\n" + handlers, 2),
                ("retries", "steps:\n- {name: a, command: exit 1, retryPolicy: {limit: 8, intervalSec: 0}}\n- {name: b, command: echo}", 2)):
            with self.subTest(label):
                notes = self.notes(create(definition))
                values = [n["progress"] for n in notes]
                self.assertEqual(values, sorted(set(values)), "strictly growing")
                self.assertEqual({n["total"] for n in notes}, {total})
                self.assertEqual((values[0], values[-1]), (0, total))
                self.assertRegex(notes[-1]["message"], "^workflow ")


class Keys(unittest.TestCase):
    def test_a_repeated_call_is_the_same_run_whatever_became_of_its_workflow(self):
        admin = issuer.token(server.audience, "ada", scope="admin")
        name = create("params: {A: x}\nsteps: [{name: s, command: echo}]")
        call = lambda **more: server.call(ada, "execute_workflow", name=name, idempotency_key="same", **more)[2]["result"]
        first = call(params={"A": "1"})["structuredContent"]
        server.ok(ada, "update_workflow", name=name, definition="params: {B: x}\nsteps: [{name: t, command: exit 1}]")
        again = call(params={"A": "1"})["structuredContent"]
        self.assertEqual((again["execution_id"], again["existing"], again["digest"]), (first["execution_id"], True, first["digest"]))
        server.ok(admin, "delete_workflow", name=name)
        self.assertEqual(call(params={"A": "1"})["structuredContent"]["execution_id"], first["execution_id"])
        for other in ({}, {"params": {"A": 1}}, {"params": {"A": "2"}}):
            result = call(**other)
            self.assertTrue(result["isError"])
            self.assertIn("used for another call", result["content"][0]["text"])
            self.assertIn(first["execution_id"], result["content"][0]["text"])

    def test_a_full_queue_refuses_new_calls_and_answers_repeated_ones(self):
        own = Server(issuer, env={"KUBIYA_ENGINE_ACTIVE_RUNS": "1", "KUBIYA_ENGINE_QUEUED_RUNS_PER_OWNER": "2",
                                  "KUBIYA_ENGINE_QUEUED_RUNS": "3"})
        self.addCleanup(own.close)
        who = {name: issuer.token(own.audience, name) for name in ("ada", "bob", "eve")}
        gate = place / "gate"
        name = create(f"params: {{GATE: '{gate}'}}\nsteps: [{{name: s, command: '{WAIT}'}}]", own, who=who["ada"])
        call = lambda name_, key: own.call(who[name_], "execute_workflow", name=name, wait=0, idempotency_key=key)
        keys = ["k0", "k1", "k2"]
        runs = [call("ada", keys[0])[2]["result"]["structuredContent"]["execution_id"]]
        until(lambda: own.ok(who["ada"], "get_execution", execution_id=runs[0])["status"] == "running")
        runs += [call("ada", key)[2]["result"]["structuredContent"]["execution_id"] for key in keys[1:]]
        status, _, body = call("ada", "k3")
        self.assertEqual(status, 429)
        self.assertIn("your runs are waiting (engine.queued_runs_per_owner is 2)", body["error"]["message"])
        self.assertEqual(call("bob", "k0")[0], 200)
        self.assertIn("engine.queued_runs is 3", call("eve", "k0")[2]["error"]["message"])
        self.assertEqual([call("ada", key)[2]["result"]["structuredContent"]["execution_id"] for key in keys], runs)
        gate.touch()


    def test_a_run_that_was_queued_at_a_crash_is_neither_lost_nor_doubled(self):
        own = Server(issuer, env={"KUBIYA_ENGINE_ACTIVE_RUNS": "1"})
        self.addCleanup(own.close)
        who, ledger, gate = issuer.token(own.audience), place / "ledger", place / "never"
        name = create(json.dumps({"params": {"GATE": str(gate)}, "steps": [{"name": "s", "script": f"echo $DAG_RUN_ID >> {ledger}\n{WAIT}"}]}),
                      own, who=who)
        call = lambda key: own.call(who, "execute_workflow", name=name, wait=0, idempotency_key=key)[2]["result"]
        runs = [call(key)["structuredContent"]["execution_id"] for key in ("runs", "waits")]
        until(lambda: ledger.exists() and ledger.read_text().split() == runs[:1])
        own.kill()
        own.start()
        again = [call(key) for key in ("runs", "waits")]
        self.assertEqual([r["structuredContent"]["execution_id"] for r in again], runs)
        self.assertEqual([(r["isError"], r["structuredContent"]["status"], r["structuredContent"]["reason"]) for r in again],
                         [(True, "interrupted", "The server stopped while the run was active."),
                          (True, "interrupted", "The server stopped before the run began; nothing of it ran.")])
        self.assertIn("a new key starts another", again[1]["content"][0]["text"])
        self.assertEqual(ledger.read_text().split(), runs[:1], "nothing ran again")


if __name__ == "__main__":
    unittest.main()
