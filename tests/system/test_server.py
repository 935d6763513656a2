"""The life of the process: its log, its stop."""
import json
import subprocess
import unittest

from harness import Issuer, Server


def lines(server):
    return [json.loads(line) for line in server.log.read_text().splitlines()]


class Log(unittest.TestCase):
    def setUp(self):
        self.issuer = Issuer()
        self.addCleanup(self.issuer.close)
        self.server = Server(self.issuer)
        self.addCleanup(self.server.close)
        self.token = self.issuer.token(self.server.audience)

    def test_no_line_is_lost_at_the_stop(self):
        for _ in range(20):
            self.server.ok(self.token, "whoami")
        self.assertEqual(self.server.stop(), 0)
        self.assertEqual(len([l for l in lines(self.server) if l.get("tool") == "whoami"]), 20)
        self.assertEqual(lines(self.server)[-1]["message"], "stopped")


    def test_a_stranger_with_a_large_body_leaves_a_line_and_a_record(self):
        answer, _ = self.server.raw(b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer nonsense\r\n"
                                    b"Content-Type: application/json\r\nContent-Length: 70000\r\n\r\n")
        self.assertEqual(answer.split(b" ")[1], b"401", answer)
        self.assertEqual(self.server.stop(), 0)
        logged = [l for l in lines(self.server) if l.get("status") == 401]
        self.assertEqual(len(logged), 1)
        recorded = self.server.cli("audit", "list", "--json", "--decision", "refused").stdout.splitlines()
        self.assertEqual([json.loads(r)["request_id"] for r in recorded], [logged[0]["request_id"]])
        self.assertIn(logged[0]["request_id"].encode(), answer)


class UnreadStderr(unittest.TestCase):
    def test_stops_neither_service_nor_shutdown(self):
        issuer = Issuer()
        self.addCleanup(issuer.close)
        server = PipedServer(issuer)
        self.addCleanup(server.close)
        token = issuer.token(server.audience)
        for _ in range(600):  # a pipe holds 64 KiB, one line more than 200 bytes
            server.ok(token, "whoami")
        self.assertEqual(server.stop(), 0)


class PipedServer(Server):
    """Nobody reads its stderr."""

    def start(self, ready=True):
        popen = subprocess.Popen
        try:
            subprocess.Popen = lambda *a, **k: popen(*a, **{**k, "stderr": subprocess.PIPE})
            super().start(False)
        finally:
            subprocess.Popen = popen
        if ready:
            self.wait_ready()

    def close(self):
        super().close()
        self.process.stderr.close()


if __name__ == "__main__":
    unittest.main()
