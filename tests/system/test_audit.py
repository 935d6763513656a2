"""The audit journal of a real server: what is recorded of a call, and what its commands say of it."""
import hashlib
import json
import pathlib
import time
import unittest

from harness import Issuer, Server, until

FLOW = "name: {0}\nsteps:\n  - name: only\n    command: {1}\n"


def setUpModule():
    global issuer
    issuer = Issuer()
    unittest.addModuleCleanup(issuer.close)


def segments(server):
    return sorted(pathlib.Path(server.data, "audit").glob("audit-*.jsonl"))


def records(server, **wanted):
    lines = [json.loads(line) for path in segments(server) for line in path.read_text().splitlines()]
    return [r for r in lines if all(r.get(name) == value for name, value in wanted.items())]


def digest(text):
    return hashlib.sha256(text.encode()).hexdigest()


class Recorded(unittest.TestCase):
    """With a sign-in server."""

    @classmethod
    def setUpClass(cls):
        cls.server = Server(issuer)
        cls.addClassCleanup(cls.server.close)
        cls.ada = issuer.token(cls.server.audience, "ada")

    def one(self, **wanted):
        found = records(self.server, **wanted)
        self.assertEqual(len(found), 1, (wanted, found))
        return found[0]

    def test_names_the_definition_that_was_stored_and_that_ran(self):
        first, second = FLOW.format("named", "echo 1"), FLOW.format("named", "'false'")
        self.server.ok(self.ada, "create_workflow", definition=first)
        self.server.ok(self.ada, "update_workflow", definition=second)
        created = self.one(kind="outcome", operation="create_workflow", target="named")
        updated = self.one(kind="outcome", operation="update_workflow", target="named")
        self.assertEqual((created["digest"], updated["digest"]), (digest(first), digest(second)))
        _, _, body = self.server.call(self.ada, "execute_workflow", name="named")
        run = body["result"]["structuredContent"]
        self.assertEqual(run["status"], "failed")
        ran = self.one(kind="outcome", operation="execute_workflow", run_id=run["execution_id"])
        self.assertEqual((ran["digest"], ran["outcome"], ran["reason"]), (digest(second), "error", "failed"))
        self.assertNotIn("code", ran)
        ended = self.one(kind="run_finished", run_id=run["execution_id"])
        self.assertEqual((ended["digest"], ended["outcome"]), (digest(second), "failed"))

    def test_says_what_a_refused_call_wanted(self):
        reader = issuer.token(self.server.audience, "rita", scope="read")
        self.assertEqual(self.server.call(reader, "execute_workflow", name="wanted", params={"A": "1"})[0], 403)
        self.assertEqual(self.server.call(reader, "execute_workflow", params={"A": "1"}, name="wanted")[0], 403)
        refused = lambda: records(self.server, decision="refused", reason="insufficient_scope", target="wanted")
        until(lambda: len(refused()) == 2)
        first, second = refused()
        self.assertEqual((first["operation"], first["subject"]), ("execute_workflow", "rita"))
        self.assertRegex(first["args"], "^[0-9a-f]{64}$")
        self.assertEqual(first["args"], second["args"], "equal arguments have equal digests")
        self.server.call(self.ada, "no_such_tool")
        self.server.rpc(self.ada, "no/such/method")
        self.server.call(self.ada, "get_workflow", name="x" * 50)
        until(lambda: records(self.server, reason="unknown_tool", operation="tools/call", target="no_such_tool"))
        until(lambda: records(self.server, reason="unknown_method", operation="*", target="no/such/method"))
        until(lambda: records(self.server, reason="invalid_arguments", operation="get_workflow", target="x" * 50))


class Strangers(unittest.TestCase):
    """In API-key mode a body is read before the caller is known."""

    def test_name_no_operations_of_their_own(self):
        server = Server()
        self.addCleanup(server.close)
        for n in range(80):
            self.assertEqual(server.rpc(None, f"made/up{n}")[0], 401)
        self.assertEqual(server.call(None, "execute_workflow", name="wanted")[0], 401)
        until(lambda: sum(r.get("count", 1) for r in records(server, kind="refused")) == 81)
        named = {r.get("operation") for r in records(server, kind="refused")}
        self.assertEqual(named, {"*", "execute_workflow"})


if __name__ == "__main__":
    unittest.main()
