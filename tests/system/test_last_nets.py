# SPDX-License-Identifier: Apache-2.0
"""What is there for the case that something went wrong before: a credential where none belongs, a database that was lost, a
disk that hangs while the server is asked to stop."""
import json
import os
import pathlib
import signal
import time
import unittest

from harness import Issuer, Server, free_port, until, wellformed_key
from test_issuers import records


class LastNets(unittest.TestCase):
    def setUp(self):
        self.issuer = Issuer()
        self.addCleanup(self.issuer.close)
        self.server = Server(self.issuer)
        self.addCleanup(self.server.close)
        self.ada = self.issuer.token(self.server.audience, "ada", scope="read write execute")

    def test_a_credential_where_none_belongs_is_not_written(self):
        secrets = [wellformed_key("misplaced"), self.ada]
        for secret in secrets:
            self.server.get(f"/mcp/{secret}")
            self.server.get(f"/{secret}/x")
            self.server.rpc(self.ada, secret[:100])
            self.server.call(self.ada, secret[:100])
            self.server.call(self.ada, "get_workflow", name=secret[:100])
            self.server.call(self.ada, "delete_workflow", name=secret[:100])
        until(lambda: [r for r in records(self.server) if "[redacted]" in json.dumps(r)])
        time.sleep(1)  # for what is written late
        written = self.server.log.read_text() + json.dumps(records(self.server))
        self.assertGreaterEqual(written.count("[redacted]"), 6)
        for secret in secrets:
            self.assertNotIn(secret[:40], written)

    def test_a_server_does_not_begin_anew_beside_a_journal_that_did_not(self):
        self.server.stop()
        for path in pathlib.Path(self.server.data).glob("kubiya.db*"):
            path.unlink()
        done = self.server.cli("serve", "--port", free_port(), check=False)
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn("keys, cut-offs and runs would be forgotten", done.stderr)

    def test_a_disk_that_hangs_does_not_keep_the_server_from_ending(self):
        at = Server(self.issuer, env={"KUBIYA_AUDIT_SEGMENT_BYTES": "64KiB", "KUBIYA_DRAIN_GRACE": "1s"})
        self.addCleanup(at.close)
        audit = pathlib.Path(at.data, "audit")
        os.mkfifo(audit / "audit-00000002.jsonl")
        ada = self.issuer.token(at.audience, "ada", scope="read write execute")
        flow = {"name": "w", "steps": [{"name": "s", "command": "true"}]}
        at.ok(ada, "create_workflow", definition=flow)
        until(lambda: at.call(ada, "update_workflow", definition=flow)[0] == 503, 60)
        began = time.time()
        at.process.send_signal(signal.SIGTERM)
        at.process.wait(60)
        self.assertLess(time.time() - began, 50)
        self.assertNotEqual(at.process.returncode, 0)


if __name__ == "__main__":
    unittest.main()
