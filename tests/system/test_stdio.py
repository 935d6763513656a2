"""The stdio transport: one message a line, credentials from the environment, a clean end."""
import json
import pathlib
import shutil
import subprocess
import tempfile
import threading
import unittest

from harness import BINARY, CANARY, MODERN, ROOT, Issuer, until

META = "io.modelcontextprotocol/"


class Client:
    """A server as a child process, spoken to as a client does."""

    def __init__(self, *flags, env=None):
        self.data = tempfile.mkdtemp(prefix="kubiya-stdio-")
        self.errors = open(self.data + ".log", "wb")
        self.process = subprocess.Popen(
            [BINARY, "serve", "--transport", "stdio", "--data-dir", self.data, "--workflows", str(ROOT / "examples/workflows"),
             *flags], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors,
            env={"PATH": "/usr/bin:/bin", **(env or {})}, cwd=ROOT)
        self.said, self.arrived = [], threading.Condition()
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            with self.arrived:
                self.said.append(json.loads(line))
                self.arrived.notify_all()

    def send(self, **message):
        self.raw(json.dumps({"jsonrpc": "2.0", **message}))

    def raw(self, text):
        self.process.stdin.write(text.encode() + b"\n")
        self.process.stdin.flush()

    def find(self, choose):
        with self.arrived:
            assert self.arrived.wait_for(lambda: any(choose(m) for m in self.said), 20), self.said
            return next(m for m in self.said if choose(m))

    def ask(self, ident, method, params=None):
        self.send(id=ident, method=method, params=params or {})
        return self.find(lambda m: m.get("id") == ident)

    def modern(self, ident, method, params=None, **meta):
        meta = {META + "protocolVersion": MODERN, META + "clientCapabilities": {}, **meta}
        return self.ask(ident, method, {**(params or {}), "_meta": meta})

    def close(self):
        if self.process.poll() is None:
            self.process.stdin.close()
        code = self.process.wait(30)
        self.reader.join(10)
        self.process.stdout.close()
        self.errors.close()
        shutil.rmtree(self.data)
        log = pathlib.Path(self.data + ".log")
        text = log.read_text()
        log.unlink()
        return code, text


class WithToken(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.issuer = Issuer()
        cls.addClassCleanup(cls.issuer.close)
        cls.flags = ("--auth-server", cls.issuer.url, "--auth-type", "oidc", "--audience", "stdio")

    def start(self, **claims):
        return Client(*self.flags, env={"KUBIYA_ACCESS_TOKEN": self.issuer.token("stdio", **claims)})

    def test_both_eras_are_served_to_who_the_environment_says(self):
        client = self.start()
        found = client.modern("d", "server/discover")["result"]
        self.assertIn(MODERN, found["supportedVersions"])
        who = client.modern(1, "tools/call", {"name": "whoami"})["result"]
        self.assertEqual((who["structuredContent"]["subject"], who["resultType"]), ("ada", "complete"))
        hello = client.ask("i", "initialize", {"protocolVersion": "2025-11-25", "capabilities": {},
                                               "clientInfo": {"name": "t", "version": "1"}})
        self.assertEqual(hello["result"]["protocolVersion"], "2025-11-25")
        client.send(method="notifications/initialized")
        self.assertEqual(client.ask(2, "ping"), {"jsonrpc": "2.0", "id": 2, "result": {}})
        run = client.ask(3, "tools/call", {"name": "execute_workflow", "arguments": {"name": "hello"},
                                           "_meta": {"progressToken": "p"}})["result"]["structuredContent"]
        self.assertEqual((run["status"], run["subject"]), ("finished", "ada"))
        steps = [m for m in client.said if m.get("method") == "notifications/progress"]
        self.assertTrue(steps and all(m["params"]["progressToken"] == "p" for m in steps))
        code, log = client.close()
        self.assertEqual(code, 0, log)
        self.assertNotIn(CANARY, log)
        self.assertTrue(all(m["jsonrpc"] == "2.0" for m in client.said), "nothing but messages")

    def test_what_is_refused_is_an_error_with_its_id(self):
        client = self.start(scope="read")
        self.assertEqual(client.modern(1, "tools/call", {"name": "nothing"})["error"]["code"], -32602)
        refused = client.modern(2, "tools/call", {"name": "execute_workflow", "arguments": {"name": "hello"}})["error"]
        self.assertIn("Insufficient permissions", refused["message"])
        self.assertIn("execute", refused["data"]["description"])
        client.raw("{not json")
        bad = client.find(lambda m: m.get("error", {}).get("code") == -32700)
        self.assertNotIn("id", bad)
        self.assertEqual(client.modern(3, "ping")["error"]["code"], -32601, "it goes on after all that")
        self.assertEqual(client.close()[0], 0)

    def test_an_expired_token_is_refused_by_name(self):
        client = self.start(exp=1_600_000_000)
        self.assertEqual(client.modern(1, "tools/list")["error"]["message"], "Invalid token")
        self.assertEqual(client.close()[0], 0)

    def test_news_and_answers_share_the_output(self):
        client = self.start()
        client.ask("i", "initialize", {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}})
        client.ask(1, "resources/subscribe", {"uri": "workflow://hello"})
        definition = (ROOT / "examples/workflows/hello.yaml").read_text()
        client.ask(2, "tools/call", {"name": "update_workflow", "arguments": {"definition": definition}})
        told = client.find(lambda m: m.get("method") == "notifications/resources/updated")
        self.assertEqual(told["params"], {"uri": "workflow://hello"})
        client.modern(9, "tools/list")
        client.send(id="s", method="subscriptions/listen", params={
            "notifications": {"resourcesListChanged": True},
            "_meta": {META + "protocolVersion": MODERN, META + "clientCapabilities": {}}})
        ack = client.find(lambda m: m.get("method") == "notifications/subscriptions/acknowledged")
        self.assertEqual(ack["params"]["_meta"], {META + "subscriptionId": "s"})
        code, _ = client.close()
        self.assertEqual(code, 0)

    def test_a_cancelled_call_is_not_answered(self):
        client = self.start()
        client.ask("i", "initialize", {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}})
        client.send(id="slow", method="tools/call", params={"name": "execute_workflow", "arguments": {
            "name": "long-running", "params": {"SECONDS": "2"}}, "_meta": {"progressToken": "q"}})
        client.find(lambda m: m.get("method") == "notifications/progress")
        client.send(method="notifications/cancelled", params={"requestId": "slow"})
        runs = lambda n: client.ask(f"l{n}", "tools/call", {"name": "list_executions", "arguments": {}})[
            "result"]["structuredContent"]["executions"]
        self.assertEqual(runs(0)[0]["workflow"], "long-running")
        count = iter(range(1, 1000))
        until(lambda: runs(next(count))[0]["status"] == "finished")
        self.assertFalse([m for m in client.said if m.get("id") == "slow"])
        self.assertEqual(client.close()[0], 0)

    def test_the_end_of_the_input_ends_the_server_and_a_signal_does_too(self):
        client = self.start()
        client.modern(1, "server/discover")
        client.process.terminate()
        self.assertEqual(client.close()[0], 0)


class WithKey(unittest.TestCase):
    def test_without_a_key_only_the_handshake_is_open(self):
        client = Client()
        self.assertIn("result", client.modern(1, "server/discover"))
        self.assertEqual(client.modern(2, "tools/call", {"name": "whoami"})["error"]["message"], "No API token provided")
        self.assertEqual(client.close()[0], 0)


if __name__ == "__main__":
    unittest.main()
