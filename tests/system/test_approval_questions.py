"""What a run waits for is asked of its own caller where they may decide it: as a form in the call in both eras, and by the
task. Two clients that watch one run are told the same."""
import concurrent.futures
import json
import os
import pathlib
import shutil
import tempfile
import time
import unittest

from harness import Issuer, Server, until
from test_protocol import META, Session, modern

FORM = {"elicitation": {}}
TASKS = {"extensions": {META + "tasks": {}}}
BOTH = {**FORM, **TASKS}
SHIP = """name: ship
params: [{TARGET: staging}]
steps:
  - {name: build, command: echo built}
  - name: agree
    type: approval
    depends: build
    approval: {message: 'Ship to ${TARGET}?', groups: [release-managers]}
  - {name: go, command: 'echo shipped ${TARGET}', depends: agree, output: SHIPPED}
"""


def setUpModule():
    global issuer, server
    issuer = Issuer()
    unittest.addModuleCleanup(issuer.close)
    server = Server(issuer, env={"KUBIYA_AUTH_ROLE_CLAIMS": "groups"})
    unittest.addModuleCleanup(server.close)
    for name, text in {"ship": SHIP, "others": SHIP.replace("name: ship", "name: others").replace("[release-managers]", "[release-managers], notRequester: true"),
                       "pair": SHIP.replace("name: ship", "name: pair").replace("[release-managers]", "[release-managers], quorum: 2"),
                       "watched": watched()}.items():
        server.ok(of("author"), "create_workflow", name=name, definition=text)


def watched():
    """Half the time before the question, half after it."""
    count, seconds = (9, 10) if os.environ.get("KUBIYA_NIGHTLY") else (3, 0.5)
    steps = "".join(f"  - {{name: early-{i}, command: sleep {seconds}}}\n" for i in range(count))
    later = "".join(f"  - {{name: late-{i}, command: sleep {seconds}}}\n" for i in range(count))
    return ("name: watched\nsteps:\n" + steps + "  - {name: agree, type: approval, approval: {message: 'Go on?', groups: [release-managers]}}\n"
            + later + "  - {name: end, command: echo done, output: END}\n")


def of(subject, *groups, **claims):
    return issuer.token(server.audience, subject, groups=list(groups), **claims)


ada = lambda: of("ada", "release-managers")


def execute(name, capabilities, who=None, wait=30, **more):
    arguments = {"name": name, **({"wait": wait} if wait is not None else {}), **more.pop("arguments", {})}
    return modern(who or ada(), "tools/call", {"name": "execute_workflow", "arguments": arguments, **more}, capabilities, of=server)


def only(requests):
    assert len(requests) == 1, requests
    return next(iter(requests.items()))


def say(key, decision, **more):
    return {key: {"action": "accept", "content": {"decision": decision, **more}}}


def runs(**filters):
    return server.ok(ada(), "list_executions", limit=500, **filters)["executions"]


def votes(run):
    return [vote for approval in server.ok(ada(), "list_approvals", execution_id=run)["approvals"] for vote in approval["votes"]]


class Modern(unittest.TestCase):
    def asked(self, name, **more):
        status, body = execute(name, FORM, **more)
        self.assertEqual((status, body["result"]["resultType"]), (200, "input_required"), body)
        return (*only(body["result"]["inputRequests"]), body["result"]["requestState"])

    def test_the_call_asks_its_caller_and_ends_with_the_run(self):
        before = len(runs(workflow="ship"))
        key, request, state = self.asked("ship", arguments={"params": {"TARGET": "production"}})
        self.assertEqual(request["method"], "elicitation/create")
        self.assertIn("Ship to production?", request["params"]["message"])
        self.assertEqual(request["params"]["requestedSchema"]["properties"]["decision"]["enum"], ["approve", "reject"])
        self.assertEqual(len(runs(workflow="ship")), before + 1)
        _, body = execute("ship", FORM, arguments={"params": {"TARGET": "production"}}, inputResponses=say(key, "approve", comment="fine"),
                          requestState=state)
        run = body["result"]["structuredContent"]
        self.assertEqual((run["status"], run["outputs"]["SHIPPED"].strip()), ("finished", "shipped production"))
        self.assertEqual(len(runs(workflow="ship")), before + 1, "the second half of the call is of the same run")
        self.assertEqual([(v["subject"], v["decision"], v["comment"]) for v in votes(run["execution_id"])], [("ada", "approve", "fine")])

    def test_a_no_ends_the_run(self):
        key, _, state = self.asked("ship")
        result = execute("ship", FORM, inputResponses=say(key, "reject", comment="not today"), requestState=state)[1]["result"]
        self.assertTrue(result["isError"])
        self.assertEqual(result["structuredContent"]["status"], "rejected")
        self.assertIn("not today", result["structuredContent"]["reason"])

    def test_who_does_not_want_to_say_is_not_asked_again_and_others_can(self):
        for action in ("decline", "cancel"):
            with self.subTest(action):
                key, _, state = self.asked("ship")
                with concurrent.futures.ThreadPoolExecutor() as pool:
                    call = pool.submit(execute, "ship", FORM, inputResponses={key: {"action": action}}, requestState=state)
                    asked = until(lambda: server.ok(of("mia", "release-managers"), "list_approvals", status="open")["approvals"])[0]
                    time.sleep(0.3)
                    self.assertFalse(call.done(), "the call follows its run again")
                    server.ok(of("mia", "release-managers"), "decide_approval", approval_id=asked["approval_id"], digest=asked["digest"],
                              decision="approve")
                    run = call.result()[1]["result"]["structuredContent"]
                self.assertEqual(run["status"], "finished")
                self.assertEqual([v["subject"] for v in votes(run["execution_id"])], ["mia"])

    def test_an_answer_that_is_none_decides_nothing(self):
        key, _, state = self.asked("ship")
        for content in ({}, {"decision": "maybe"}, {"decision": True}, {"comment": "x"}, {"decision": "approve", "comment": "x" * 1001}):
            result = execute("ship", FORM, inputResponses={key: {"action": "accept", "content": content}}, requestState=state)[1]["result"]
            self.assertTrue(result["isError"], content)
        _, body = execute("ship", FORM, inputResponses={"approval-other": {"action": "accept", "content": {"decision": "approve"}}}, requestState=state)
        self.assertEqual(only(body["result"]["inputRequests"])[0], key, "an answer to nothing that was asked; the question stands")
        run = execute("ship", FORM, inputResponses=say(key, "approve"), requestState=state)[1]["result"]["structuredContent"]
        self.assertEqual((run["status"], len(votes(run["execution_id"]))), ("finished", 1))

    def test_the_question_is_for_its_caller_alone(self):
        key, _, state = self.asked("ship")
        status, body = execute("ship", FORM, who=of("mia", "release-managers"), inputResponses=say(key, "approve"), requestState=state)
        self.assertEqual((status, body["error"]["code"]), (400, -32602))
        status, body = execute("ship", FORM, arguments={"params": {"TARGET": "other"}}, inputResponses=say(key, "approve"), requestState=state)
        self.assertEqual((status, body["error"]["code"]), (400, -32602))
        execute("ship", FORM, inputResponses=say(key, "reject"), requestState=state)

    def test_who_may_not_decide_or_cannot_be_asked_gets_the_run_as_it_stands(self):
        for name, capabilities, who in (("others", FORM, ada()), ("ship", {}, ada()), ("ship", FORM, of("eve", "visitors"))):
            with self.subTest(name, capabilities=capabilities):
                _, body = execute(name, capabilities, who=who, wait=1)
                self.assertEqual(body["result"]["resultType"], "complete")
                run = body["result"]["structuredContent"]
                self.assertEqual((run["status"], len(run["waits_for"])), ("running", 1))
                server.ok(who, "cancel_execution", execution_id=run["execution_id"])

    def test_a_call_that_does_not_wait_does_not_ask(self):
        _, body = execute("ship", FORM, wait=0)
        self.assertEqual(body["result"]["resultType"], "complete")
        server.ok(ada(), "cancel_execution", execution_id=body["result"]["structuredContent"]["execution_id"])

    def test_one_of_two_who_must_agree_is_asked_once(self):
        key, _, state = self.asked("pair")
        with concurrent.futures.ThreadPoolExecutor() as pool:
            call = pool.submit(execute, "pair", FORM, inputResponses=say(key, "approve"), requestState=state)
            asked = until(lambda: [a for a in server.ok(of("mia", "release-managers"), "list_approvals", status="open")["approvals"]
                                   if a["votes"]])[0]
            server.ok(of("mia", "release-managers"), "decide_approval", approval_id=asked["approval_id"], digest=asked["digest"], decision="approve")
            run = call.result()[1]["result"]["structuredContent"]
        self.assertEqual((run["status"], sorted(v["subject"] for v in votes(run["execution_id"]))), ("finished", ["ada", "mia"]))


class Task(unittest.TestCase):
    def get(self, task, capabilities=BOTH, who=None):
        status, body = modern(who or ada(), "tasks/get", {"taskId": task}, capabilities, of=server)
        self.assertEqual(status, 200, body)
        return body["result"]

    def begin(self, name="ship", who=None):
        return execute(name, BOTH, wait=None, who=who)[1]["result"]["taskId"]

    def waiting(self, task):
        return until(lambda: [t for t in [self.get(task)] if t["status"] == "input_required"])[0]

    def update(self, task, answers, who=None):
        return modern(who or ada(), "tasks/update", {"taskId": task, "inputResponses": answers}, BOTH, of=server)

    def ended(self, task):
        return until(lambda: [t for t in [self.get(task)] if t["status"] not in ("working", "input_required")])[0]

    def test_a_task_asks_and_is_answered(self):
        task = self.begin()
        waiting = self.waiting(task)
        self.assertIn("waits for an approval", waiting["statusMessage"])
        key, request = only(waiting["inputRequests"])
        self.assertIn("Ship to staging?", request["params"]["message"])
        status, body = self.update(task, {**say(key, "approve"), "unknown": {"action": "accept", "content": {}}})
        self.assertEqual((status, body["result"]["resultType"]), (200, "complete"), body)
        self.assertNotIn(key, self.get(task).get("inputRequests", {}), "what was answered is not asked any more")
        done = self.ended(task)
        self.assertEqual((done["status"], done["result"]["structuredContent"]["status"]), ("completed", "finished"))
        self.assertEqual(self.update(task, say(key, "reject"))[0], 200, "an answer that comes too late is ignored")
        self.assertEqual(len(votes(task)), 1)

    def test_a_declined_question_is_not_asked_again(self):
        task = self.begin()
        key, _ = only(self.waiting(task)["inputRequests"])
        self.assertEqual(self.update(task, {key: {"action": "decline"}})[0], 200)
        now = self.get(task)
        self.assertEqual((now["status"], "inputRequests" in now), ("working", False))
        self.assertIn("waits for an approval", now["statusMessage"])
        server.ok(ada(), "cancel_execution", execution_id=task)
        self.assertEqual(self.ended(task)["status"], "cancelled")

    def test_an_answer_that_is_none_is_an_error_and_the_question_stands(self):
        task = self.begin()
        key, _ = only(self.waiting(task)["inputRequests"])
        status, body = self.update(task, say(key, "perhaps"))
        self.assertTrue(status != 200 or "error" in body or body["result"].get("isError"), body)
        self.assertEqual(self.waiting(task)["status"], "input_required")
        server.ok(ada(), "cancel_execution", execution_id=task)

    def test_a_task_whose_owner_may_not_decide_or_cannot_be_asked_goes_on_working(self):
        task = self.begin("others")
        until(lambda: "waits for an approval" in self.get(task)["statusMessage"])
        self.assertEqual(self.get(task)["status"], "working")
        own = self.begin()
        self.waiting(own)
        self.assertEqual(self.get(own, TASKS)["status"], "working", "this client takes no questions")
        for one in (task, own):
            server.ok(ada(), "cancel_execution", execution_id=one)

    def test_a_strangers_answer_finds_no_task(self):
        task = self.begin()
        key, _ = only(self.waiting(task)["inputRequests"])
        status, body = self.update(task, say(key, "approve"), who=of("mia", "release-managers"))
        self.assertIn("There is no such task", json.dumps(body))
        self.assertEqual(votes(task), [])
        server.ok(ada(), "cancel_execution", execution_id=task)

    def test_listeners_hear_that_input_is_required(self):
        task = self.begin()
        stream = modern(ada(), "subscriptions/listen", {"notifications": {"taskIds": [task]}}, BOTH, of=server, stream=True)
        self.assertEqual(stream.next()["method"], "notifications/subscriptions/acknowledged")
        key, _ = only(self.waiting(task)["inputRequests"])
        self.update(task, say(key, "approve"))
        told = []
        while not told or told[-1]["status"] != "completed":
            told.append(stream.next()["params"])
        stream.drop()
        self.assertEqual(told[-1]["result"]["structuredContent"]["status"], "finished")


class Legacy(unittest.TestCase):
    def test_the_stream_asks_and_goes_on(self):
        session = Session(ada(), of=server, capabilities=FORM)
        stream = session.post_stream("tools/call", {"name": "execute_workflow", "arguments": {"name": "ship", "wait": 30}})
        asked = stream.next()
        self.assertEqual(asked["method"], "elicitation/create")
        self.assertIn("Ship to staging?", asked["params"]["message"])
        answer = {"jsonrpc": "2.0", "id": asked["id"], "result": {"action": "accept", "content": {"decision": "approve"}}}
        self.assertEqual(session.send(answer)[0], 202)
        run = stream.rest()[-1]["result"]["structuredContent"]
        self.assertEqual((run["status"], [v["subject"] for v in votes(run["execution_id"])]), ("finished", ["ada"]))

    def test_a_client_that_fails_to_answer_still_gets_the_run(self):
        session = Session(ada(), of=server, capabilities=FORM)
        stream = session.post_stream("tools/call", {"name": "execute_workflow", "arguments": {"name": "ship", "wait": 1}})
        asked = stream.next()
        session.send({"jsonrpc": "2.0", "id": asked["id"], "error": {"code": -32603, "message": "no window"}})
        run = stream.rest()[-1]["result"]["structuredContent"]
        self.assertEqual((run["status"], len(run["waits_for"])), ("running", 1))
        server.ok(ada(), "cancel_execution", execution_id=run["execution_id"])


class Rules(unittest.TestCase):
    """What the policy asks of decide_approval, it asks of an answer to a question too."""

    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="kubiya-rules-")
        self.addCleanup(shutil.rmtree, self.directory)

    def serve(self, rule):
        path = pathlib.Path(self.directory, "config.yaml")
        path.write_text(json.dumps({"policy": {"rules": [{"tool": "decide_approval", **rule}]}}))
        path.chmod(0o600)
        own = Server(issuer, "--config", path, env={"KUBIYA_AUTH_ROLE_CLAIMS": "groups"})
        self.addCleanup(own.close)
        who = lambda **claims: issuer.token(own.audience, "ada", groups=["release-managers"], **claims)
        own.ok(who(), "create_workflow", name="ship", definition=SHIP)
        return own, who

    def execute(self, own, token, wait=1, **more):
        return modern(token, "tools/call", {"name": "execute_workflow", "arguments": {"name": "ship", "wait": wait}, **more}, FORM, of=own)[1]["result"]

    def test_who_lacks_the_scope_of_the_tool_is_not_asked(self):
        own, who = self.serve({"needs": ["approve"]})
        self.assertEqual(self.execute(own, who())["resultType"], "complete")
        task = modern(who(), "tools/call", {"name": "execute_workflow", "arguments": {"name": "ship"}}, BOTH, of=own)[1]["result"]["taskId"]
        get = lambda token: modern(token, "tasks/get", {"taskId": task}, BOTH, of=own)[1]["result"]
        until(lambda: "waits for an approval" in get(who())["statusMessage"])
        self.assertEqual(get(who())["status"], "working")
        key, _ = only(get(who(scope="read execute approve"))["inputRequests"])
        modern(who(), "tasks/update", {"taskId": task, "inputResponses": say(key, "approve")}, BOTH, of=own)
        self.assertEqual(own.ok(who(), "list_approvals", execution_id=task)["approvals"][0]["votes"], [])
        asked = self.execute(own, who(scope="read execute approve"))
        self.assertEqual(asked["resultType"], "input_required")

    def test_a_rule_on_the_decision_is_held_against_the_answer(self):
        own, who = self.serve({"when": {"decision": "approve"}, "needs": ["approve"]})
        self.assertEqual(self.execute(own, who())["resultType"], "complete", "who could only say no is not asked")


class TwoClients(unittest.TestCase):
    def test_one_run_one_approval_and_both_are_told_the_truth(self):
        """Three minutes with KUBIYA_NIGHTLY set, a few seconds without."""
        arguments = {"name": "watched", "idempotency_key": "watched-by-two"}
        task = execute("watched", BOTH, wait=None, arguments={"idempotency_key": "watched-by-two"})[1]["result"]["taskId"]
        session = Session(ada(), of=server)
        stream = session.post_stream("tools/call", {"name": "execute_workflow", "arguments": {**arguments, "wait": 600},
                                                    "_meta": {"progressToken": "legacy"}})
        get = lambda: modern(ada(), "tasks/get", {"taskId": task}, BOTH, of=server)[1]["result"]
        asked = until(lambda: [t for t in [get()] if t["status"] == "input_required"], 300)[0]
        key, _ = only(asked["inputRequests"])
        modern(ada(), "tasks/update", {"taskId": task, "inputResponses": say(key, "approve")}, BOTH, of=server)
        events = stream.rest()
        told = [e["params"] for e in events if e.get("method") == "notifications/progress"]
        self.assertIn("waits for an approval", " ".join(t.get("message", "") for t in told))
        self.assertEqual([t["progress"] for t in told], sorted({t["progress"] for t in told}))
        legacy = events[-1]["result"]["structuredContent"]
        done = until(lambda: [t for t in [get()] if t["status"] == "completed"], 300)[0]["result"]["structuredContent"]
        for view in (legacy, done):
            self.assertEqual((view["execution_id"], view["status"], view["outputs"]["END"].strip()), (task, "finished", "done"))
        self.assertEqual(len(runs(workflow="watched")), 1)
        self.assertEqual([(v["subject"], v["decision"]) for v in votes(task)], [("ada", "approve")])


if __name__ == "__main__":
    unittest.main()
