"""Open event streams are bounded for each caller, each tenant and in all; who has too many is answered without."""
import unittest

from harness import Issuer, Server, until
from test_protocol import Session, modern

WISHES = {"notifications": {"toolsListChanged": True}}


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


if __name__ == "__main__":
    unittest.main()
