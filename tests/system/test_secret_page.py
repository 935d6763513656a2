"""Secret params that are missing are asked for on a page of the server: neither client nor model sees them."""
import json
import pathlib
import threading
import unittest
import urllib.parse

from harness import Issuer, Server, until
from test_protocol import Session, modern

SECRET = "hunter2 & <b>=%41+"
BOTH = {"elicitation": {"form": {}, "url": {}}}
URLS = {"elicitation": {"url": {}}}
LOCKED = {"name": "locked", "params": {"pin": {"required": True, "secret": True}, "who": {"required": True}},
          "steps": [{"name": "s", "script": 'printf %s "$pin" | sha256sum | cut -c1-16; echo "pin is $pin"', "output": "SEEN"}]}


def path_of(link):
    return "/" + link.split("/", 3)[3]


class SecretPage(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.issuer = Issuer()
        cls.addClassCleanup(cls.issuer.close)
        cls.server = Server(cls.issuer)
        cls.addClassCleanup(cls.server.close)
        cls.ada, cls.bob = (cls.issuer.token(cls.server.audience, who) for who in ("ada", "bob"))
        cls.server.ok(cls.ada, "create_workflow", definition=LOCKED)
        cls.server.ok(cls.ada, "create_workflow", definition={**LOCKED, "name": "opened", "publish": {"tool": "open_up"}})

    def call(self, arguments, capabilities=BOTH, who=None, tool="execute_workflow", **more):
        return modern(who or self.ada, "tools/call", {"name": tool, "arguments": arguments, **more}, capabilities, of=self.server)

    def asked(self, arguments, **how):
        status, body = self.call(arguments, **how)
        self.assertEqual((status, body["result"]["resultType"]), (200, "input_required"), body)
        return body["result"]["inputRequests"], body["result"]["requestState"]

    def fill_in(self, link, value=SECRET, name="pin", **headers):
        return self.server.request("POST", path_of(link), urllib.parse.urlencode({name: value}),
                                   {"Content-Type": "application/x-www-form-urlencoded", **headers})

    def check_run(self, result):
        import hashlib
        run = result["structuredContent"]
        self.assertEqual((run["status"], run["outputs"]["SEEN"].split()[0]),
                         ("finished", hashlib.sha256(SECRET.encode()).hexdigest()[:16]), run)
        self.assertNotIn("hunter2", json.dumps(result))

    def test_a_form_for_what_is_open_and_a_page_for_what_is_secret(self):
        arguments = {"name": "locked"}
        requests, state = self.asked(arguments)
        self.assertEqual(list(requests["params"]["params"]["requestedSchema"]["properties"]), ["who"])
        page = requests["secrets"]["params"]
        self.assertEqual(page["mode"], "url")
        status, headers, text = self.server.request("GET", path_of(page["url"]), None, {"Accept": "text/html"})
        self.assertEqual(status, 200)
        self.assertIn("the workflow locked asks ada", text.decode())
        self.assertIn('type=password name="pin"', text.decode())
        self.assertIn("frame-ancestors 'none'", headers["content-security-policy"])
        for bad in ({"name": "other"}, {"value": "x" * 20_000}):
            self.assertEqual(self.fill_in(page["url"], **bad)[0], 400)
        self.assertEqual(self.fill_in(page["url"], **{"Sec-Fetch-Site": "cross-site"})[0], 403)
        self.assertEqual(self.fill_in(page["url"])[0], 200)
        self.assertEqual(self.fill_in(page["url"])[0], 404, "once")
        answers = {"params": {"action": "accept", "content": {"who": "x"}}, "secrets": {"action": "accept"}}
        stolen = self.call(arguments, who=self.bob, inputResponses=answers, requestState=state)
        self.assertEqual((stolen[0], stolen[1]["error"]["code"]), (400, -32602), "another's question")
        self.check_run(self.call(arguments, inputResponses=answers, requestState=state)[1]["result"])
        again = self.call(arguments, inputResponses=answers, requestState=state)[1]["result"]
        self.assertTrue(again["isError"], "what was entered served once")
        token = page["url"].rsplit("/", 1)[1]
        written = self.server.log.read_text() + "".join(
            p.read_text(errors="replace") for p in pathlib.Path(self.server.data).rglob("*") if p.is_file())
        self.assertNotIn("hunter2", written)
        self.assertNotIn(token, written)

    def test_the_call_waits_for_the_page(self):
        arguments = {"name": "locked", "params": {"who": "x"}}
        requests, state = self.asked(arguments, capabilities=URLS)
        self.assertEqual(list(requests), ["secrets"])
        done = []
        waiting = threading.Thread(target=lambda: done.append(self.call(
            arguments, URLS, inputResponses={"secrets": {"action": "accept"}}, requestState=state)[1]["result"]))
        waiting.start()
        waiting.join(1)
        self.assertTrue(waiting.is_alive(), "the person is still typing")
        self.assertEqual(self.fill_in(requests["secrets"]["params"]["url"])[0], 200)
        waiting.join(15)
        self.check_run(done[0])

    def test_a_workflow_that_is_a_tool_asks_too(self):
        requests, state = self.asked({"who": "x"}, capabilities=URLS, tool="open_up")
        self.fill_in(requests["secrets"]["params"]["url"])
        self.check_run(self.call({"who": "x"}, URLS, tool="open_up", inputResponses={"secrets": {"action": "accept"}}, requestState=state)[1]["result"])

    def test_legacy_clients_are_asked_on_the_stream(self):
        session = Session(self.ada, of=self.server, capabilities=URLS)
        stream = session.post_stream("tools/call", {"name": "execute_workflow", "arguments": {"name": "locked", "params": {"who": "x"}}})
        request = stream.next()
        self.assertEqual(request["params"]["mode"], "url")
        session.send({"jsonrpc": "2.0", "id": request["id"], "result": {"action": "accept"}})
        self.fill_in(request["params"]["url"])
        self.check_run(stream.rest()[-1]["result"])

    def test_declined_nothing_runs(self):
        arguments = {"name": "locked", "params": {"who": "x"}}
        before = len(self.server.ok(self.ada, "list_executions")["executions"])
        _, state = self.asked(arguments, capabilities=URLS)
        result = self.call(arguments, URLS, inputResponses={"secrets": {"action": "decline"}}, requestState=state)[1]["result"]
        self.assertTrue(result["isError"])
        result = self.call({"name": "locked"}, URLS)[1]["result"]
        self.assertIn("shows no forms", result["content"][0]["text"])
        result = self.call(arguments, {"elicitation": {"form": {}}})[1]["result"]
        self.assertIn("never asked", result["content"][0]["text"])
        self.assertEqual(len(self.server.ok(self.ada, "list_executions")["executions"]), before)


if __name__ == "__main__":
    unittest.main()
