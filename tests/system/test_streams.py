"""Open event streams and calls under way are bounded for each caller, each tenant and in all; who has too many streams is
answered without, and what is no longer wanted gives its place back."""
import itertools
import json
import socket
import struct
import unittest

from harness import MODERN, Issuer, Server, until
from test_protocol import META, Session, head_of, modern

WISHES = {"notifications": {"toolsListChanged": True}}
WAITS = {"name": "execute_workflow", "arguments": {"name": "slow", "wait": 600}}


class Streams(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.issuer = Issuer()
        cls.addClassCleanup(cls.issuer.close)
        cls.server = Server(cls.issuer, env={
            "KUBIYA_AUTH_TENANT_CLAIM": "org", "KUBIYA_SERVER_LIMITS_STREAMS": "5",
            "KUBIYA_SERVER_LIMITS_STREAMS_PER_TENANT": "4", "KUBIYA_SERVER_LIMITS_STREAMS_PER_CALLER": "2"})
        cls.addClassCleanup(cls.server.close)
        cls.server.ok(cls.of("ada"), "create_workflow", definition={"name": "slow", "steps": [{"name": "s", "command": "sleep 1"}]})

    @classmethod
    def of(cls, subject, org="acme"):
        return cls.issuer.token(cls.server.audience, subject, org=org)

    def listen(self, who):
        stream = modern(who, "subscriptions/listen", WISHES, of=self.server, stream=True)
        if stream.status == 200:
            self.addCleanup(stream.drop)
            self.assertEqual(stream.next()["method"], "notifications/subscriptions/acknowledged")
        return stream

    def test_each_level_and_what_is_given_back(self):
        ada, bob = self.of("ada"), self.of("bob")
        first, second = self.listen(ada), self.listen(ada)
        self.assertEqual(self.listen(ada).status, 429, "the caller's third")
        session = Session(ada, of=self.server)
        self.assertEqual(session.listen().status, 429, "of whatever kind")
        self.listen(bob)
        self.listen(bob)
        self.assertEqual(self.listen(self.of("cleo")).status, 429, "the tenant's fifth")
        self.assertEqual(self.listen(self.of("ada", "other")).status, 200, "a namesake of another tenant")
        self.assertEqual(self.listen(self.of("eve", "third")).status, 429, "the server's sixth")
        self.assertEqual(self.server.call(ada, "whoami")[0], 200, "plain calls are served")

        # A call that asks for progress is carried out and answered without it.
        status, body = modern(ada, "tools/call", {"name": "execute_workflow", "arguments": {"name": "slow"},
                                                  "_meta": {"progressToken": "p"}}, of=self.server)
        self.assertEqual((status, body["result"]["structuredContent"]["status"]), (200, "finished"))

        first.drop()
        until(lambda: self.listen(ada).status == 200, 5)
        second.drop()
        stream = until(lambda: (s := modern(ada, "tools/call", {"name": "execute_workflow", "arguments": {"name": "slow"},
                                                                "_meta": {"progressToken": "p"}}, of=self.server, stream=True))
                       and (s if s.answer.getheader("content-type", "").startswith("text/event-stream") else None), 10)
        self.assertEqual(self.listen(ada).status, 429, "a call's stream is one")
        self.assertEqual(stream.rest()[-1]["result"]["structuredContent"]["status"], "finished")
        until(lambda: self.listen(ada).status == 200, 5)


class Calls(unittest.TestCase):
    """Whoever waits for a run has one of the caller's places; a client that has gone away gives it back."""

    def setUp(self):
        self.issuer = Issuer()
        self.addCleanup(self.issuer.close)
        self.server = Server(self.issuer, env={"KUBIYA_SERVER_LIMITS_CALLS_PER_CALLER": "2"})
        self.addCleanup(self.server.close)
        self.ada = self.issuer.token(self.server.audience, "ada")
        self.gate = self.server.data + "/gate"
        self.server.ok(self.ada, "create_workflow", definition={"name": "slow", "steps": [
            {"name": "s", "command": f"while ! test -e {self.gate}; do sleep 0.05; done"}]})

    def modern(self, accept, **meta):
        """Headers and body of a call that waits ten minutes."""
        meta = {META + "protocolVersion": MODERN, META + "clientCapabilities": {}, **meta}
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {**WAITS, "_meta": meta}}
        return head_of(self.ada, **{"Accept": accept, "MCP-Protocol-Version": MODERN, "Mcp-Method": "tools/call",
                                    "Mcp-Name": "execute_workflow"}), body

    def batch(self):
        session = Session(self.ada, "2025-03-26", of=self.server)
        return session.head(Accept="application/json"), [{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": WAITS}]

    def send(self, head, body, reset):
        """On a connection of its own. Gives what closes it."""
        body = json.dumps(body)
        head = {"Host": "localhost", **head, "Content-Length": len(body)}
        peer = socket.create_connection(("127.0.0.1", self.server.port))
        if reset:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.sendall(("POST /mcp HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in head.items()) + "\r\n" + body).encode())
        return peer.close

    def is_full(self):
        return "under way" in json.dumps(self.server.call(self.ada, "execute_workflow", name="slow", wait=0)[2])

    def runs(self):
        return self.server.ok(self.ada, "list_executions", limit=100)["executions"]

    def test_a_client_that_is_gone_holds_no_place(self):
        events = "application/json, text/event-stream"
        rows = {"json": lambda: self.modern("application/json"), "events": lambda: self.modern(events, progressToken="p"),
                "batch": self.batch}
        for (name, make), reset in itertools.product(rows.items(), (True, False)):
            with self.subTest(name, reset=reset):
                before = len(self.runs())
                closes = [self.send(*make(), reset) for _ in "ab"]
                until(lambda: len(self.runs()) == before + 2)  # looking takes no place away from them
                self.assertTrue(self.is_full())
                for close in closes:
                    close()
                until(lambda: not self.is_full(), 40)  # of a stream that is half closed, a keep-alive finds out
        open(self.gate, "w").close()
        until(lambda: all(run["status"] == "finished" for run in self.runs()))


if __name__ == "__main__":
    unittest.main()
