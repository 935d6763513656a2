"""The audit journal of a real server: what is recorded of a call, and what its commands say of it."""
import hashlib
import json
import pathlib
import unittest

from harness import Issuer, Server

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


if __name__ == "__main__":
    unittest.main()
