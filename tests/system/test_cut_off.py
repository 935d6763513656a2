"""`cut-off`: one write ends all that a person holds on a running server, touches nobody else, and can be undone."""
import concurrent.futures
import json
import pathlib
import threading
import time
import unittest

from harness import Issuer, Server, until
from test_protocol import Session, modern

WAITS = "name: waits\nsteps:\n  - {name: long, command: sleep 60}\n"


class CutOff(unittest.TestCase):
    def setUp(self):
        self.issuer = Issuer()
        self.addCleanup(self.issuer.close)
        self.server = Server(self.issuer)
        self.addCleanup(self.server.close)
        self.ada, self.bob = self.of("ada"), self.of("bob")
        self.server.ok(self.bob, "create_workflow", name="waits", definition=WAITS)

    def of(self, subject, **claims):
        return self.issuer.token(self.server.audience, subject, **claims)

    def status(self, token):
        return self.server.call(token, "whoami")[0]

    def reason(self, token):
        status, headers, body = self.server.call(token, "whoami")
        self.assertEqual((status, body["message"]), (401, "Invalid token"))
        find = lambda: [r["reason"] for r in self.records() if r.get("request_id") == headers["x-request-id"] and r.get("reason")]
        return until(find)[0]

    def records(self):
        texts = [p.read_text() for p in sorted(pathlib.Path(self.server.data, "audit").glob("audit-*.jsonl"))]
        return [json.loads(line) for line in "".join(texts).rpartition("\n")[0].split("\n") if line]

    def cut(self, *words, check=True):
        return self.server.cli("cut-off", *words, "--issuer", self.issuer.url, check=check)

    def run_of(self, token):
        return self.server.ok(token, "execute_workflow", name="waits", wait=0)["execution_id"]

    def test_tokens_keys_runs_sessions_and_streams_end_and_nobody_elses(self):
        key = self.server.cli("key", "create", "--user", "ada", "--issuer", self.issuer.url, "--scopes", "read,execute").stdout.strip()
        kept = self.server.cli("key", "create", "--user", "bob", "--issuer", self.issuer.url, "--scopes", "read").stdout.strip()
        runs = {who: self.run_of(token) for who, token in (("ada", self.ada), ("bob", self.bob))}
        streams = {who: modern(token, "subscriptions/listen", {"notifications": {"toolsListChanged": True}}, of=self.server, stream=True)
                   for who, token in (("ada", self.ada), ("bob", self.bob))}
        sessions = {who: Session(token, of=self.server) for who, token in (("ada", self.ada), ("bob", self.bob))}
        for stream in streams.values():
            self.assertEqual(stream.next()["method"], "notifications/subscriptions/acknowledged")
        said = self.cut("ada", "--reason", "laptop stolen").stdout
        self.assertIn("1 API key is revoked", said)
        until(lambda: self.status(self.ada) == 401, 5)
        self.assertEqual(self.reason(self.ada), "person_cut_off")
        self.assertEqual(self.reason(self.of("ada", iat=int(time.time()))), "person_cut_off", "a new sign-in does not help")
        ended = until(lambda: [r for r in [self.server.ok(self.of("root", scope="admin"), "get_execution", execution_id=runs["ada"])]
                               if r["status"] != "running"])[0]
        self.assertEqual((ended["status"], ended["reason"]), ("canceled", "the person was cut off"))
        streams["ada"].rest()  # to its end
        self.assertNotEqual(sessions["ada"].rpc("ping")[0], 200)
        self.assertRegex(self.server.cli("key", "list", "--user", "ada").stdout, key[3:15] + " +revoked")
        # Bob goes on.
        self.assertEqual(self.status(self.bob), 200)
        self.assertEqual(self.server.ok(self.bob, "get_execution", execution_id=runs["bob"])["status"], "running")
        self.assertEqual(sessions["bob"].rpc("ping")[0], 200)
        self.assertRegex(self.server.cli("key", "list", "--user", "bob").stdout, kept[3:15] + " +active")
        streams["bob"].drop()
        record = until(lambda: [r for r in self.records() if r.get("event") == "person_cut_off"])[0]["fields"]
        self.assertEqual((record["subject"], record["issuer"], record["reason"], record["keys"]),
                         ("ada", self.issuer.url, "laptop stolen", [key[3:15]]))
        self.assertRegex(self.server.cli("cut-off", "--list").stdout, "ada +cut off .*laptop stolen")
        self.server.cli("audit", "verify")

    def test_a_run_that_is_just_being_started_does_not_escape(self):
        stop = threading.Event()

        def start():
            while not stop.is_set() and self.server.call(self.ada, "execute_workflow", name="waits", wait=0)[0] != 401:
                pass

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            for _ in range(8):
                pool.submit(start)
            root = self.of("root", scope="admin")
            of_ada = lambda: [r for r in self.server.ok(root, "list_executions", limit=500)["executions"] if r["subject"] == "ada"]
            until(lambda: len(of_ada()) > 10)
            self.cut("ada")
            until(lambda: self.status(self.ada) == 401, 5)
            stop.set()
        until(lambda: not [r for r in of_ada() if r["status"] in ("queued", "running")])
        self.assertEqual({r["status"] for r in of_ada()}, {"canceled"})
        time.sleep(0.5)
        self.assertEqual([r for r in of_ada() if r["status"] != "canceled"], [])

    def test_an_issuer_that_nobody_has_is_no_cut(self):
        other = self.server.cli("cut-off", "ada", "--issuer", "https://typo.example", "--config", self.config(), check=False)
        self.assertEqual(other.returncode, 2)
        self.assertIn(self.issuer.url, other.stderr)
        self.assertEqual(self.status(self.ada), 200)

    def config(self):
        path = pathlib.Path(self.server.data + ".yaml")
        path.write_text(json.dumps({"auth": {"server": self.issuer.url}}))
        path.chmod(0o600)
        self.addCleanup(path.unlink)
        return path

    def test_lifted_it_lets_in_new_tokens_only(self):
        self.cut("ada")
        until(lambda: self.status(self.ada) == 401, 5)
        time.sleep(1.1)
        self.cut("ada", "--lift")
        until(lambda: self.status(self.of("ada", iat=int(time.time()) + 2)) == 200, 8)
        self.assertEqual(self.reason(self.ada), "person_cut_off", "what was issued before stays refused")
        self.assertIn("not cut off", self.cut("ada", "--lift", check=False).stderr)
        until(lambda: [r for r in self.records() if r.get("event") == "person_let_in"])
        self.assertRegex(self.server.cli("cut-off", "--list").stdout, "ada +lifted")

    def test_it_holds_over_a_restart_and_is_on_record_when_no_server_runs(self):
        self.server.stop()
        self.assertNotIn("running server", self.cut("ada").stdout)
        self.assertEqual([r["fields"]["subject"] for r in self.records() if r.get("event") == "person_cut_off"], ["ada"])
        self.server.start()
        self.assertEqual((self.status(self.ada), self.status(self.bob)), (401, 200))
        self.server.kill()
        self.server.start()
        self.assertEqual((self.status(self.ada), self.status(self.bob)), (401, 200))
        self.assertEqual(len([r for r in self.records() if r.get("event") == "person_cut_off"]), 1)

    def test_explain_says_who_was_cut_off(self):
        self.cut("ada")
        out = self.server.cli("explain", self.ada, "--auth-server", self.issuer.url, "--audience", self.server.audience, check=False)
        self.assertIn("person_cut_off", out.stdout)
        self.assertIn("cut-off SUBJECT --lift", out.stdout)

    def test_without_a_provider_the_owner_of_keys_is_cut_off(self):
        own = Server()
        self.addCleanup(own.close)
        keys = {who: own.cli("key", "create", "--user", who, "--scopes", "read").stdout.strip() for who in ("ada", "bob")}
        until(lambda: all(own.call(key, "whoami")[0] == 200 for key in keys.values()))
        own.cli("cut-off", "ada")
        until(lambda: own.call(keys["ada"], "whoami")[0] == 401, 5)
        again = own.cli("key", "create", "--user", "ada", "--scopes", "read").stdout.strip()
        time.sleep(1.2)
        self.assertEqual((own.call(again, "whoami")[0], own.call(keys["bob"], "whoami")[0]), (401, 200))

    def test_words_that_make_no_sense(self):
        for words, said in (((), "say whom"), (("ada", "--reason", "x" * 201), "at most 200"), (("ada", "--lift"), "not cut off")):
            done = self.cut(*words, check=False)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn(said, done.stderr)


if __name__ == "__main__":
    unittest.main()
