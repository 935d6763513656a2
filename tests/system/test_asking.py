"""Params that are missing are asked of the person: as a result in the modern era, on the stream in the legacy one."""
import json
import unittest

from harness import MODERN, Issuer, Server
from test_protocol import META, Session, modern

FORM = {"elicitation": {}}
TASKS = {"extensions": {META + "tasks": {}}}
GREET = {"name": "greet", "params": {"who": {"required": True, "description": "Whom"}, "times": {"required": True, "type": "integer"},
                                     "tone": {"enum": ["warm", "cold"], "required": True}},
         "steps": [{"name": "say", "script": 'echo "$tone hello $who $times"', "output": "SAID"}]}


def setUpModule():
    global issuer, server, ada
    issuer = Issuer()
    unittest.addModuleCleanup(issuer.close)
    server = Server(issuer)
    unittest.addModuleCleanup(server.close)
    ada = token()
    server.ok(ada, "create_workflow", definition=GREET)
    server.ok(ada, "create_workflow", definition={**GREET, "name": "welcome", "publish": {"tool": "welcome_person"}})
    server.ok(ada, "create_workflow", definition={"name": "locked", "params": {"pin": {"required": True, "secret": True}, "who": {"required": True}},
                                                  "steps": [{"name": "s", "command": "true"}]})


def token(subject="ada", **claims):
    return issuer.token(server.audience, subject, **claims)


def call(tool, arguments, who=None, capabilities=FORM, **more):
    return modern(who or ada, "tools/call", {"name": tool, "arguments": arguments, **more}, capabilities, of=server)


def accept(**content):
    return {"params": {"action": "accept", "content": content}}


def text_of(result):
    return result["content"][0]["text"]


def executions():
    return len(server.ok(ada, "list_executions", limit=500)["executions"])


class Modern(unittest.TestCase):
    def asked(self, tool, arguments, **more):
        status, body = call(tool, arguments, **more)
        self.assertEqual((status, body["result"]["resultType"]), (200, "input_required"), body)
        return body["result"]

    def test_a_form_completes_the_call(self):
        before = executions()
        given = {"name": "greet", "params": {"tone": "warm"}}
        asked = self.asked("execute_workflow", given)
        request = asked["inputRequests"]["params"]
        self.assertEqual(request["method"], "elicitation/create")
        self.assertEqual(request["params"]["requestedSchema"], {
            "type": "object", "required": ["who", "times"],
            "properties": {"who": {"type": "string", "description": "Whom"}, "times": {"type": "integer"}}})
        self.assertEqual(executions(), before, "asking runs nothing")
        _, body = call("execute_workflow", given, inputResponses=accept(who="bob", times=2), requestState=asked["requestState"])
        run = body["result"]["structuredContent"]
        self.assertEqual((run["status"], run["outputs"]), ("finished", {"SAID": "warm hello bob 2"}))
        self.assertEqual(executions(), before + 1)
        records = [json.loads(r) for r in server.cli("audit", "list", "--json").stdout.splitlines()]
        self.assertIn("input_required", [r.get("reason") for r in records if r.get("kind") == "outcome"])

    def test_a_published_workflow_asks_too(self):
        asked = self.asked("welcome_person", {"who": "bob"})
        self.assertEqual(list(asked["inputRequests"]["params"]["params"]["requestedSchema"]["properties"]), ["times", "tone"])
        _, body = call("welcome_person", {"who": "bob"}, inputResponses=accept(times=1, tone="cold"), requestState=asked["requestState"])
        self.assertEqual(body["result"]["structuredContent"]["outputs"], {"SAID": "cold hello bob 1"})

    def test_questions_come_before_the_task(self):
        both = {**FORM, **TASKS}
        given = {"name": "greet", "params": {"tone": "warm", "times": 1}}
        asked = self.asked("execute_workflow", given, capabilities=both)
        _, body = call("execute_workflow", given, capabilities=both, inputResponses=accept(who="x"), requestState=asked["requestState"])
        self.assertEqual(body["result"]["resultType"], "task")

    def test_without_the_capability_it_is_the_error_of_always(self):
        for tool, arguments in (("execute_workflow", {"name": "greet"}), ("welcome_person", {})):
            for capabilities in ({}, {"elicitation": {"url": {}}}, TASKS):
                with self.subTest(tool, capabilities=capabilities):
                    result = call(tool, arguments, capabilities=capabilities)[1]["result"]
                    self.assertTrue(result["isError"])
                    self.assertIn("who", text_of(result))

    def test_what_is_wrong_already_is_not_asked_about(self):
        for tool, arguments, word in (("execute_workflow", {"name": "greet", "params": {"tone": "loud"}}, "tone"),
                                      ("execute_workflow", {"name": "greet", "params": {"what": 1}}, "what"),
                                      ("welcome_person", {"tone": "loud"}, "tone"), ("welcome_person", {"what": 1}, "what")):
            result = call(tool, arguments)[1]["result"]
            self.assertTrue(result["isError"])
            self.assertIn(word, text_of(result))

    def test_declined_and_cancelled_run_nothing(self):
        before = executions()
        for action, reason in (("decline", "input_declined"), ("cancel", "input_cancelled")):
            asked = self.asked("execute_workflow", {"name": "greet"})
            _, body = call("execute_workflow", {"name": "greet"}, inputResponses={"params": {"action": action}}, requestState=asked["requestState"])
            self.assertTrue(body["result"]["isError"])
            self.assertNotIn("structuredContent", body["result"])
            self.assertIn("nothing was run", text_of(body["result"]))
            records = [json.loads(r) for r in server.cli("audit", "list", "--json").stdout.splitlines()]
            self.assertIn(reason, [r.get("reason") for r in records])
        self.assertEqual(executions(), before)

    def test_a_wrong_answer_runs_nothing(self):
        before = executions()
        state = self.asked("execute_workflow", {"name": "greet", "params": {"who": "x"}})["requestState"]
        for content in ({"times": "many", "tone": "warm"}, {"times": 1, "tone": "loud"}, {"times": 1},
                        {"times": 1, "tone": "warm", "who": "eve"}, {"times": 1, "tone": "warm", "PATH": "/"}, "text", None):
            answer = {"params": {"action": "accept", "content": content}}
            _, body = call("execute_workflow", {"name": "greet", "params": {"who": "x"}}, inputResponses=answer, requestState=state)
            self.assertTrue(body["result"]["isError"], (content, body))
        self.assertEqual(executions(), before)

    def test_a_state_is_for_its_caller_its_arguments_and_its_tool(self):
        given = {"name": "greet", "params": {"who": "x"}}
        state = self.asked("execute_workflow", given)["requestState"]
        answer = accept(times=1, tone="warm")
        for what, (tool, arguments, who, presented) in {
                "another person": ("execute_workflow", given, token("bob"), state),
                "other arguments": ("execute_workflow", {"name": "greet", "params": {"who": "y"}}, ada, state),
                "another tool": ("welcome_person", {"who": "x"}, ada, state),
                "altered": ("execute_workflow", given, ada, state[:-2] + ("AA" if state[-2:] != "AA" else "BB"))}.items():
            with self.subTest(what):
                status, body = call(tool, arguments, who, inputResponses=answer, requestState=presented)
                self.assertEqual((status, body["error"]["code"]), (400, -32602))
        _, body = call("execute_workflow", given, inputResponses=answer)
        self.assertEqual(body["result"]["resultType"], "input_required", "an answer without its question is none")

    def test_a_changed_workflow_is_asked_about_again(self):
        changing = {**GREET, "name": "changing"}
        server.ok(ada, "create_workflow", definition=changing)
        state = self.asked("execute_workflow", {"name": "changing"})["requestState"]
        server.ok(ada, "update_workflow", definition={**changing, "description": "another"})
        _, body = call("execute_workflow", {"name": "changing"}, inputResponses=accept(who="x", times=1, tone="warm"), requestState=state)
        self.assertEqual(body["result"]["resultType"], "input_required")

    def test_secrets_are_not_asked_for(self):
        result = call("execute_workflow", {"name": "locked"})[1]["result"]
        self.assertTrue(result["isError"])
        self.assertIn("pin", text_of(result))
        self.assertIn("never asked", text_of(result))
        asked = self.asked("execute_workflow", {"name": "locked", "params": {"pin": "1234"}})
        self.assertEqual(list(asked["inputRequests"]["params"]["params"]["requestedSchema"]["properties"]), ["who"])


class Legacy(unittest.TestCase):
    def ask(self, version, tool, arguments):
        session = Session(ada, version, of=server, capabilities=FORM)
        stream = session.post_stream("tools/call", {"name": tool, "arguments": arguments})
        return session, stream, stream.next()

    def test_the_stream_asks_and_the_answer_comes_by_the_session(self):
        for version in ("2025-11-25", "2025-06-18"):
            for tool, arguments in (("execute_workflow", {"name": "greet", "params": {"who": "bob", "tone": "warm"}}),
                                    ("welcome_person", {"who": "bob", "tone": "warm"})):
                with self.subTest(version, tool=tool):
                    session, stream, request = self.ask(version, tool, arguments)
                    self.assertEqual(request["method"], "elicitation/create")
                    self.assertEqual(request["params"]["requestedSchema"]["required"], ["times"])
                    answer = {"action": "accept", "content": {"times": 4}}
                    self.assertEqual(session.send({"jsonrpc": "2.0", "id": request["id"], "result": answer})[0], 202)
                    self.assertEqual(stream.rest()[-1]["result"]["structuredContent"]["outputs"], {"SAID": "warm hello bob 4"})

    def test_declined_cancelled_and_refused(self):
        before = executions()
        for answer in ({"result": {"action": "decline"}}, {"result": {"action": "cancel"}}, {"error": {"code": -1, "message": "no"}},
                       {"result": {"action": "accept", "content": {"who": "x", "tone": "warm", "times": "many"}}}):
            session, stream, request = self.ask("2025-11-25", "execute_workflow", {"name": "greet"})
            session.send({"jsonrpc": "2.0", "id": request["id"], **answer})
            self.assertTrue(stream.rest()[-1]["result"]["isError"], answer)
        self.assertEqual(executions(), before)

    def test_who_cannot_be_asked_gets_the_error_of_always(self):
        def told(body):
            self.assertTrue(body["result"]["isError"])
            self.assertIn("who", text_of(body["result"]))
        for tool, arguments in (("execute_workflow", {"name": "greet"}), ("welcome_person", {})):
            told(Session(ada, of=server).rpc("tools/call", {"name": tool, "arguments": arguments})[1])
            session = Session(ada, of=server, capabilities=FORM)
            # It takes no stream, so there is nowhere to ask.
            told(json.loads(session.send({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
                "name": tool, "arguments": arguments}}, Accept="application/json")[2]))


if __name__ == "__main__":
    unittest.main()
