"""A server killed at random moments loses nothing that was answered and doubles nothing that ran."""
import collections
import concurrent.futures
import json
import os
import pathlib
import random
import shutil
import sqlite3
import tempfile
import threading
import time
import unittest
import uuid

from harness import CANARY, Issuer, Server, until

KILLS = int(os.environ.get("KUBIYA_KILLS", "200"))
NOT_TAKEN = (429, "no server")
FINAL = {"finished", "failed", "canceled", "partial_success", "interrupted"}


class Crash(unittest.TestCase):
    def setUp(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="kubiya-crash-"))
        self.ledger = self.dir / "ledger"
        self.ledger.touch()
        flows = self.dir / "flows"
        flows.mkdir()
        # Every step writes one line when it really runs: the truth that the database is held against.
        step = lambda n: (f"  - name: s{n}\n    command: echo \"$DAG_RUN_ID $DAG_RUN_STEP_NAME\" >> {self.ledger}; "
                          f"sleep 0.0{n}\n")
        (flows / "work.yaml").write_text("name: work\nparams: {MARK: none}\nsteps:\n" + "".join(step(n) for n in range(1, 4)))
        self.issuer = Issuer()
        self.server = Server(self.issuer, workflows=flows, data=str(self.dir / "data"))
        self.token = self.issuer.token(self.server.audience)

    def tearDown(self):
        self.server.close()
        self.issuer.close()

    def load(self, stop, answered):
        """Calls until told to stop, each with a key of its own or an earlier one; remembers whose run's id came back."""
        while not stop.is_set():
            known = [key for key, runs in list(answered.items()) if runs] if random.random() < 0.2 else []
            key = random.choice(known) if known else str(uuid.uuid4())
            answered.setdefault(key, set())
            if self.execute(key, answered, random.choice([0, 5])) in NOT_TAKEN:
                if not known:
                    del answered[key]  # nothing began
                stop.wait(0.05)

    def execute(self, key, answered, wait):
        try:
            status, _, body = self.server.call(self.token, "execute_workflow", name="work", params={"MARK": key}, wait=wait,
                                               idempotency_key=key)
        except ConnectionRefusedError:
            return "no server"
        except (OSError, ValueError):
            return None
        if status == 200 and "structuredContent" in body["result"]:
            answered.setdefault(key, set()).add(body["result"]["structuredContent"]["execution_id"])
        return status

    def test_nothing_is_lost_and_nothing_runs_twice(self):
        randomness = random.Random(20261122)
        answered = {}
        for kill in range(KILLS):
            stop = threading.Event()
            callers = [threading.Thread(target=self.load, args=(stop, answered)) for _ in range(4)]
            for caller in callers:
                caller.start()
            time.sleep(randomness.uniform(0.005, 0.35))
            self.server.kill()
            stop.set()
            for caller in callers:
                caller.join()
            self.server.start()
        # Each call once more, also those that nobody answered: the key leads to the one run there is.
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda key: self.execute(key, answered, 5), list(answered)))
        self.assertEqual({k: runs for k, runs in answered.items() if len(runs) != 1}, {}, "one key is one run")
        runs = [run for run, in answered.values()]
        self.assertEqual(len(set(runs)), len(runs), "and one run has one key")
        # Whatever the last start left is final at once; what runs since then ends on its own.
        deadline = time.time() + 30
        while time.time() < deadline:
            rows = self.runs()
            if all(status in FINAL for status in rows.values()):
                break
            time.sleep(0.2)
        self.assertTrue(rows, "the load must have started runs")
        self.assertEqual({r: s for r, s in rows.items() if s not in FINAL}, {}, "every run has an honest final state")
        self.assertEqual(set(rows) - set(runs), set(), "no run that no key leads to")
        lost = [run for run in runs if run not in rows]
        self.assertEqual(lost, [], "a run whose id was answered is in the database")
        lines = collections.Counter(self.ledger.read_text().split("\n")[:-1])
        self.assertEqual({l: n for l, n in lines.items() if n != 1}, {}, "no step ran twice")
        # What the database calls finished really ran, and nothing ran that it does not know.
        ran = collections.defaultdict(set)
        for line in lines:
            run, step = line.split()
            ran[run].add(step)
        self.assertEqual(set(ran) - set(rows), set(), "no effect without a run")
        for run, status in rows.items():
            if status == "finished":
                self.assertEqual(ran[run], {"s1", "s2", "s3"}, run)
        intents = self.audited("intent", "execute_workflow")
        ends = self.audited("run_finished", None)
        self.assertGreaterEqual(len(intents), len(answered))
        self.assertEqual(set(ran) - ends, set(), "every run that did something has its end in the audit trail")
        verified = self.server.cli("audit", "verify", check=False)
        self.assertEqual(verified.returncode, 0, verified.stdout + verified.stderr)
        self.assertEqual(self.server.leaks(), [])
        print(f"\n{KILLS} kills, {len(rows)} runs, {len(answered)} keys, {sum(lines.values())} steps, "
              f"{collections.Counter(rows.values())}")

    def runs(self):
        with sqlite3.connect(f"file:{self.server.data}/kubiya.db?mode=ro", uri=True) as db:
            return dict(db.execute("select id, status from runs"))

    def audited(self, kind, operation):
        found = set()
        for segment in sorted(pathlib.Path(self.server.data, "audit").glob("audit-*.jsonl")):
            for line in segment.read_text().splitlines():
                record = json.loads(line)
                if record.get("kind") == kind and operation in (None, record.get("operation")):
                    found.add(record.get("run_id") or record.get("request_id"))
        return found


class Leftovers(unittest.TestCase):
    def setUp(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="kubiya-left-"))
        flows = self.dir / "flows"
        flows.mkdir()
        # A process that leaves its step's group, session and parent, and stays.
        self.pid = self.dir / "pid"
        (flows / "stay.json").write_text(json.dumps({"name": "stay", "steps": [{"name": "s", "script": (
            f"(setsid sh -c 'echo $$ > {self.pid}.new; mv {self.pid}.new {self.pid}; exec sleep 1000' &)\n"
            f"while [ ! -e {self.dir}/gate ]; do sleep 0.02; done\n")}]}))
        self.issuer = Issuer()
        self.server = Server(self.issuer, workflows=flows, data=str(self.dir / "data"))
        self.token = self.issuer.token(self.server.audience)
        for close in (lambda: shutil.rmtree(self.dir), self.issuer.close, self.server.close):
            self.addCleanup(close)
        self.run_id = self.server.ok(self.token, "execute_workflow", name="stay", wait=0)["execution_id"]
        self.left = int(until(lambda: self.pid.exists() and self.pid.read_text()))

    def runs(self):
        state = pathlib.Path(f"/proc/{self.left}/stat")
        try:
            return state.read_text().rsplit(")", 1)[1].split()[0] != "Z"
        except FileNotFoundError:
            return False

    def test_the_next_server_ends_what_a_killed_one_left(self):
        self.server.kill()
        self.assertTrue(self.runs(), "nobody else ended it")
        self.server.start()
        until(lambda: not self.runs())

    def test_a_copy_of_the_data_directory_ends_nothing_of_the_original(self):
        shutil.copytree(self.dir / "data", self.dir / "copy")
        copy = Server(self.issuer, data=str(self.dir / "copy"))
        self.addCleanup(copy.close)
        self.assertTrue(self.runs())
        self.assertEqual(copy.ok(self.issuer.token(copy.audience), "get_execution", execution_id=self.run_id)["status"], "interrupted")
        self.assertIn("copy of one that another server uses", copy.log.read_text())
        (self.dir / "gate").touch()
        until(lambda: self.server.ok(self.token, "get_execution", execution_id=self.run_id)["status"] == "finished")
        until(lambda: not self.runs())
        # The original's process is another one now; what its new steps leave is still not the copy's.
        self.server.kill()
        self.server.start()
        (self.dir / "gate").unlink()
        self.pid.unlink()
        self.server.ok(self.token, "execute_workflow", name="stay", wait=0)
        self.left = int(until(lambda: self.pid.exists() and self.pid.read_text()))
        copy.kill()
        shutil.rmtree(self.dir / "copy" / "work")
        shutil.copytree(self.dir / "data" / "work", self.dir / "copy" / "work")
        copy.start()
        self.assertTrue(self.runs())
        (self.dir / "gate").touch()


if __name__ == "__main__":
    unittest.main()
