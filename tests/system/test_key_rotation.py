"""The life of an API key on a running server: rotated while calls go on, counted, labelled, retired."""
import json
import pathlib
import threading
import time
import unittest

from harness import Server, until


class Rotation(unittest.TestCase):
    def setUp(self):
        self.server = Server(None, env={"KUBIYA_SERVER_THREADS": "2"})
        self.addCleanup(self.server.close)
        self.old = self.make()

    def make(self):
        key = self.server.cli("key", "create", "--user", "ada", "--scopes", "read", "--expires", "never").stdout.strip()
        until(lambda: self.status(key) == 200)
        return key

    def status(self, key):
        return self.server.call(key, "whoami")[0]

    def facts(self, ident):
        return json.loads(self.server.cli("key", "describe", ident, "--json").stdout)

    def events(self, name):
        lines = [l for p in pathlib.Path(self.server.data, "audit").glob("audit-*.jsonl") for l in p.read_text().splitlines()]
        return [l for l in lines if f'"{name}"' in l]

    def test_no_call_fails_while_a_key_is_rotated(self):
        current, seen, stop = [self.old], [], threading.Event()

        def client():
            while not stop.is_set():
                seen.append(self.status(current[0]))

        clients = [threading.Thread(target=client) for _ in range(4)]
        for one in clients:
            one.start()
        old = self.old[3:15]
        new = self.server.cli("key", "rotate", old).stdout.strip()
        ident = new[3:15]
        until(lambda: self.status(new) == 200)
        self.assertEqual((self.facts(ident)["state"], self.facts(old)["replaced_by"]), ("staged", ident))
        current[0] = new
        self.server.cli("key", "promote", ident, "--overlap", "1d")
        time.sleep(1.2)  # the server looks twice a second
        self.assertEqual((self.status(self.old), self.status(new)), (200, 200), "both within the overlap")
        self.assertEqual((self.facts(ident)["state"], self.facts(old)["state"]), ("active", "retiring"))
        self.assertEqual(self.server.cli("key", "retire", old, "--force").returncode, 0)
        until(lambda: self.status(self.old) == 401, 5)
        stop.set()
        for one in clients:
            one.join()
        self.assertGreater(len(seen), 20)
        self.assertEqual(set(seen), {200})
        self.assertEqual([self.status(self.old) for _ in range(20)], [401] * 20, "on every event loop")
        until(lambda: self.events("key_promoted") and self.events("key_retired"))

    def test_a_key_has_one_successor(self):
        old, won = self.old[3:15], []
        threads = [threading.Thread(target=lambda: won.append(self.server.cli("key", "rotate", old, check=False)))
                   for _ in range(4)]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
        self.assertEqual(sorted(done.returncode for done in won), [0, 1, 1, 1])
        self.assertTrue(all("has a successor already" in done.stderr for done in won if done.returncode))
        for words, said in ((("retire", old), "promote its successor first"), (("promote", old), "replaces no other"),
                            (("rotate", "nosuchkey"), "no key of that id"), (("label", old, "a b=c"), "is not a name")):
            done = self.server.cli("key", *words, check=False)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn(said, done.stderr)

    def test_use_is_counted_and_keeps_a_key_from_being_retired(self):
        old = self.old[3:15]
        before = sum(use["calls"] for use in json.loads(self.server.cli("key", "usage", old, "--json").stdout))
        for _ in range(7):
            self.assertEqual(self.status(self.old), 200)
        counted = lambda: sum(use["calls"] for use in json.loads(self.server.cli("key", "usage", old, "--json").stdout))
        until(lambda: counted() >= before + 7, 15)
        self.assertIn("last_used", self.facts(old))
        ident = self.server.cli("key", "rotate", old).stdout.strip()[3:15]
        self.server.cli("key", "promote", ident)
        done = self.server.cli("key", "retire", old, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("key usage " + old, done.stderr)
        self.assertEqual(self.status(self.old), 200)

    def test_labels_go_with_the_key(self):
        old = self.old[3:15]
        self.server.cli("key", "label", old, "team=platform", "tier=ci")
        self.server.cli("key", "label", old, "tier=")
        self.assertEqual(self.facts(old)["labels"], {"team": "platform"})
        ident = self.server.cli("key", "rotate", old).stdout.strip()[3:15]
        self.assertEqual(self.facts(ident)["labels"], {"team": "platform"})


if __name__ == "__main__":
    unittest.main()
