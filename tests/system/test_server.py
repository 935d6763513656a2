"""The life of the process: its log, its stop."""
import json
import os
import pathlib
import resource
import shutil
import signal
import subprocess
import tempfile
import threading
import unittest

from harness import BINARY, Issuer, Server, until


def lines(server):
    return [json.loads(line) for line in server.log.read_text().splitlines()]


READ_THE_SERVER = "cat /proc/$PPID/environ > SEEN 2>&1 || echo refused >> SEEN"


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


class Stop(unittest.TestCase):
    def setUp(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="kubiya-stop-"))
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)
        self.go = self.dir / "go"
        flows = self.dir / "flows"
        flows.mkdir()
        (flows / "wait.yaml").write_text(f"name: wait\nsteps:\n  - name: s\n    command: while [ ! -e {self.go} ]; do sleep 0.05; done\n")
        (flows / "long.yaml").write_text("name: long\nsteps:\n  - name: s\n    command: exec sleep 600\n")
        self.flows = flows
        self.issuer = Issuer()
        self.addCleanup(self.issuer.close)

    def serve(self, grace):
        self.server = Server(self.issuer, data=str(self.dir / "data"), workflows=self.flows,
                             env={"KUBIYA_DRAIN_GRACE": grace, "KUBIYA_ENGINE_KILL_GRACE": "200ms"})
        self.addCleanup(self.server.kill)
        self.token = self.issuer.token(self.server.audience)

    def waiting(self, name):
        """A call that waits for its run, which goes on when this returns; the call's answer once it comes."""
        answers = []

        def call():
            try:
                answers.append(self.server.call(self.token, "execute_workflow", name=name, wait=600)[2])
            except OSError as error:
                answers.append(error)

        caller = threading.Thread(target=call)
        caller.start()
        self.addCleanup(caller.join)
        run = until(lambda: [e for e in self.server.ok(self.token, "list_executions")["executions"] if e["status"] == "running"])

        def answer():
            caller.join(60)
            self.assertEqual(len(answers), 1, "the caller is answered")
            return answers[0]
        return run[0]["execution_id"], answer

    def test_a_caller_that_waits_gets_the_end_of_its_run(self):
        self.serve("60s")
        run, answer = self.waiting("wait")
        self.server.process.terminate()
        until(lambda: self.server.get("/readyz")[0] == 503)
        # Meanwhile nothing new starts, and who asks is answered.
        _, _, refused = self.server.call(self.token, "execute_workflow", name="wait")
        self.assertIn("stopping", json.dumps(refused))
        self.assertEqual(self.server.ok(self.token, "get_execution", execution_id=run)["status"], "running")
        self.go.touch()
        result = answer()["result"]
        self.assertEqual((result["structuredContent"]["status"], result["structuredContent"]["execution_id"]), ("finished", run))
        self.assertEqual(self.server.process.wait(30), 0)

    def test_a_caller_whose_run_is_canceled_is_told_so(self):
        self.serve("100ms")
        run, answer = self.waiting("long")
        self.server.process.terminate()
        result = answer()
        self.assertNotIsInstance(result, OSError)
        told = result["result"]["structuredContent"]
        self.assertEqual((told["status"], told["execution_id"]), ("canceled", run))
        self.assertIn("stopping", told["reason"])
        self.assertTrue(result["result"]["isError"])
        self.assertEqual(self.server.process.wait(30), 0)

    def test_a_second_signal_ends_it_at_once(self):
        for first, second in ((signal.SIGTERM, signal.SIGINT), (signal.SIGINT, signal.SIGTERM)):
            with self.subTest(second):
                self.serve("1h")
                run, answer = self.waiting("long")
                self.server.process.send_signal(first)
                until(lambda: self.server.get("/readyz")[0] == 503)
                self.server.process.send_signal(signal.SIGHUP)  # nothing to reload any more
                self.server.process.send_signal(second)
                self.assertEqual(self.server.process.wait(30), -second)
                self.assertIsInstance(answer(), OSError)
                self.server.start()
                self.assertEqual(self.server.ok(self.token, "get_execution", execution_id=run)["status"], "interrupted")
                self.server.kill()


class Roughly(Server):
    """Started by somebody who ignores SIGCHLD and allows few descriptors."""

    files = 0

    def start(self, ready=True):
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        self.files = min(900, hard)

        def prepare():
            signal.signal(signal.SIGCHLD, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_NOFILE, (self.files, hard))

        self.popen = {"preexec_fn": prepare}
        super().start(ready)


class Nobody(Server):
    """Runs as a user without rights."""

    popen = {"user": 65534, "group": 65534, "extra_groups": []}

    def start(self, ready=True):
        place = pathlib.Path(self.data).parent
        for path in (place, *place.rglob("*")):
            os.chown(path, 65534, 65534)
        super().start(ready)


class Steps(unittest.TestCase):
    """What a step sees of the server that started it."""

    def run_step(self, kind, command, env=None):
        place = pathlib.Path(tempfile.mkdtemp(prefix="kubiya-step-"))
        self.addCleanup(shutil.rmtree, place, ignore_errors=True)
        (place / "flows").mkdir()
        (place / "flows" / "see.json").write_text(json.dumps({"name": "see", "steps": [
            {"name": "s", "script": command.replace("SEEN", str(place / "seen"))}]}))
        data = str(place / "data")
        made = subprocess.run([BINARY, "key", "create", "--user", "ada", "--scopes", "read", "execute", "--data-dir", data],
                              capture_output=True, text=True, check=True)
        key = made.stdout.strip()
        server = kind(None, data=data, workflows=place / "flows", env={"KUBIYA_API_KEY": key, **(env or {})})
        self.addCleanup(server.close)
        run = server.ok(key, "execute_workflow", name="see", wait=60)
        self.assertEqual(run["status"], "finished", run)
        return server, key, (place / "seen").read_bytes()

    def test_the_environment_of_the_server_holds_no_secret(self):
        server, key, seen = self.run_step(Server, READ_THE_SERVER)
        if seen.endswith(b"refused\n"):
            self.skipTest("the kernel shows a step nothing of the server: " + seen.decode(errors="replace"))
        self.assertIn(b"PATH=", seen)
        self.assertIn(b"INJECTED_SECRET=", seen, "what is not ours is left alone")
        self.assertNotIn(key.encode(), seen)
        self.assertNotIn(key[20:40].encode(), seen)
        # The key still counts: a caller without one is its owner.
        self.assertEqual(server.ok(None, "whoami")["subject"], "ada")

    def test_nor_may_another_process_of_the_same_user_read_it(self):
        if os.geteuid() != 0:
            self.skipTest("needs root to become somebody else")
        _, key, seen = self.run_step(Nobody, READ_THE_SERVER)
        self.assertTrue(seen.endswith(b"refused\n"), seen)

    def test_its_limits_and_signals_are_those_the_server_was_started_with(self):
        server, _, seen = self.run_step(Roughly, "ulimit -Sn > SEEN; grep -E '^Sig(Blk|Ign)' /proc/self/status >> SEEN")
        lines = seen.decode().split()
        self.assertEqual(int(lines[0]), server.files)
        masks = dict(zip(lines[1::2], lines[2::2]))
        self.assertEqual({n: int(m, 16) for n, m in masks.items()}, {"SigBlk:": 0, "SigIgn:": 0})


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

    popen = {"stderr": subprocess.PIPE}

    def close(self):
        super().close()
        self.process.stderr.close()


if __name__ == "__main__":
    unittest.main()
