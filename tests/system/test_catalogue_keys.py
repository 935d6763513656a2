"""The catalogue's table E, API keys, row by row against the running server: what is presented, and that it is refused with one
answer that tells no row from another and leaks nothing. The rows of `create_api_key` over MCP belong to that tool."""
import concurrent.futures
import contextlib
import json
import pathlib
import sqlite3
import subprocess
import threading
import time
import unittest
import zlib

from harness import BINARY, CANARY, Issuer, Server, until

DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
ID, SECRET = slice(3, 15), slice(15, -6)


def checked(text):
    """The text with the checksum that a key of these characters has."""
    rest, check = zlib.crc32(text.encode()), ""
    for _ in range(6):
        rest, digit = divmod(rest, 62)
        check = DIGITS[digit] + check
    return text + check


def other(character):
    return DIGITS[(DIGITS.index(character) + 1) % 62]


def setUpModule():
    global server, ada, bob
    server = Server(env={"KUBIYA_AUDIT_DETAILED_PER_SECOND": "100000"})  # each refusal has a record of its own
    unittest.addModuleCleanup(server.close)
    ada, bob = make("ada"), make("bob")


def make(user, *more, scopes="read,write,execute", of=None):
    key = (of or server).cli("key", "create", "--user", user, "--scopes", scopes, *more).stdout.strip()
    until(lambda: (of or server).call(key, "whoami")[0] != 401)
    return key


def ident(key):
    return key[ID]


def reasons():
    """Of every request in the journal."""
    found = {}
    for path in pathlib.Path(server.data, "audit").glob("audit-*.jsonl"):
        for line in path.read_text().rpartition("\n")[0].splitlines():
            record = json.loads(line)
            if record.get("request_id") and record.get("reason"):
                found[record["request_id"]] = record["reason"]
    return found


class Refused(unittest.TestCase):
    """401, "Invalid token", and the same bytes whatever is wrong."""

    def answer(self, key):
        status, headers, body = server.call(key, "whoami")
        self.assertNotIn(key, json.dumps(body) + json.dumps(dict(headers)))
        return status, headers.get("www-authenticate"), body, headers["x-request-id"]

    def assert_refused(self, rows):
        first, asked = None, {}
        for name, key, expected in rows:
            with self.subTest(name):
                status, challenge, body, request_id = self.answer(key)
                self.assertEqual((status, body["message"]), (401, "Invalid token"))
                same = (challenge, {k: v for k, v in body.items() if k != "request_id"})
                first = first or same
                self.assertEqual(same, first, "one answer for every row")
                asked[request_id] = (name, expected)
        known = until(lambda: [r for r in [reasons()] if set(asked) <= set(r)])[0]
        self.assertEqual({name: known[i] for i, (name, _) in asked.items()}, {name: expected for name, expected in asked.values()})

    def test_E1_E2_E3_E6_a_key_that_is_nearly_right(self):
        nearly = [("E1 wrong secret", checked(ada[:15] + other(ada[15]) * (len(ada) - 21)), "unknown_api_key"),
                  ("E2 unknown id", checked("kb-" + "0" * 12 + ada[SECRET]), "unknown_api_key"),
                  ("E1 the secret of another", checked(ada[:15] + bob[SECRET]), "unknown_api_key")]
        for at in range(3, len(ada) - 6):
            changed = ada[:at] + other(ada[at]) + ada[at + 1:-6]
            nearly.append((f"E3 character {at}", checked(changed), "unknown_api_key"))
            nearly.append((f"E6 character {at}, old checksum", changed + ada[-6:], "bad_api_key"))
        for at in range(len(ada) - 6, len(ada)):
            nearly.append((f"E6 checksum {at}", ada[:at] + other(ada[at]) + ada[at + 1:], "bad_api_key"))
        self.assert_refused(nearly)

    def test_E4_E5_a_key_that_was_copied_badly(self):
        rows = [("E4 upper case", ada.upper(), "bad_api_key"), ("E4 lower case", ada.lower(), "bad_api_key")]
        rows += [(f"E5 {n} characters less", ada[:-n], "bad_api_key") for n in range(1, len(ada) - 3)]
        self.assert_refused(rows)

    def test_E4_E7_bytes_that_no_key_has(self):
        for name, value, expected in (("E4 newline, escaped", ada[:20] + "%0A" + ada[20:], 400), ("E7 empty", "", 400),
                                      ("E7 a megabyte", "a" * (1 << 20), 431), ("E7 not ASCII", "kb-\u00e9" + ada[4:], 400)):
            with self.subTest(name):
                head = f"POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nX-API-Key: {value}\r\nContent-Length: 2\r\n\r\n{{}}"
                answer = server.raw(head.encode())[0]
                self.assertEqual(int(answer.split(b" ")[1]), expected, answer[:300])

    def test_E8_a_key_whose_time_is_over(self):
        soon = make("soon", "--expires", "1m")
        with contextlib.closing(sqlite3.connect(pathlib.Path(server.data, "kubiya.db"), timeout=10)) as db, db:
            db.execute("update keys set expires_ms = ? where id = ?", (int(time.time() * 1000) - 1, ident(soon)))
        until(lambda: server.call(soon, "whoami")[0] == 401)
        gone = make("gone")
        server.cli("key", "revoke", ident(gone))
        until(lambda: server.call(gone, "whoami")[0] == 401)
        self.assert_refused([("expired", soon, "expired_api_key"), ("revoked", gone, "revoked_api_key")])

    def test_E18_a_key_as_an_argument_is_for_the_simple_mode_and_is_kept_nowhere(self):
        secret = make("arguing")
        status, _, body = server.call(None, "list_workflows")
        self.assertEqual(status, 401)
        issuer = Issuer()
        self.addCleanup(issuer.close)
        signed = Server(issuer)
        self.addCleanup(signed.close)
        token = issuer.token(signed.audience)
        status, _, body = signed.call(token, "execute_workflow", name="x", api_key=secret)
        self.assertTrue(status != 200 or body.get("error") or body["result"]["isError"], body)
        self.assertNotIn(secret, json.dumps(body))
        signed.stop()
        for of in (signed, server):
            for path in [of.log, *pathlib.Path(of.data).rglob("*")]:
                if path.is_file():
                    self.assertNotIn(secret.encode(), path.read_bytes(), path)


class Scopes(unittest.TestCase):
    def test_E9_a_key_has_no_more_than_its_own_scopes(self):
        reader = make("ada", scopes="read")
        status, headers, body = server.call(reader, "create_workflow", name="x", definition="name: x\nsteps: [{name: a, command: 'true'}]")
        self.assertEqual((status, body["message"]), (403, "Insufficient permissions"))
        self.assertIn("insufficient_scope", headers["www-authenticate"])


class Life(unittest.TestCase):
    def test_E10_both_keys_are_good_until_the_old_one_ends(self):
        old = make("rota")
        new = server.cli("key", "rotate", ident(old)).stdout.strip().split()[-1]
        until(lambda: server.call(new, "whoami")[0] == 200)
        self.assertEqual(server.call(old, "whoami")[0], 200)
        server.cli("key", "promote", ident(new), "--overlap", "1s")
        until(lambda: server.call(old, "whoami")[0] == 401)
        self.assertEqual(server.call(new, "whoami")[0], 200)

    def test_E11_a_key_revoked_under_load_ends_within_a_second_for_later_requests(self):
        key = make("busy")
        answers, stop = [], threading.Event()

        def load():
            while not stop.is_set():
                begun = time.monotonic()
                answers.append((begun, server.call(key, "whoami")[0]))

        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            for _ in range(16):
                pool.submit(load)
            until(lambda: len(answers) > 100)
            server.cli("key", "revoke", ident(key))
            revoked = time.monotonic()
            until(lambda: answers[-1][1] == 401)
            time.sleep(0.5)
            stop.set()
        self.assertTrue(all(status == 401 for begun, status in answers if begun > revoked + 1.5), "E11")
        self.assertEqual({status for _, status in answers}, {200, 401}, "none fails in another way")
        self.assertTrue(any(status == 200 for _, status in answers))

    def test_E12_of_two_who_rotate_at_once_one_wins(self):
        key = make("twice")
        rotate = lambda _: subprocess.run([BINARY, "key", "rotate", ident(key), "--data-dir", server.data], capture_output=True, text=True)
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            done = list(pool.map(rotate, range(4)))
        self.assertEqual(sorted(d.returncode for d in done), [0, 1, 1, 1], [d.stderr for d in done])
        self.assertIn("successor", "".join(d.stderr for d in done))

    def test_E15_a_key_is_told_once(self):
        key = make("once")
        for command in (["key", "list"], ["key", "describe", ident(key)], ["audit", "list", "--json"]):
            out = server.cli(*command).stdout
            self.assertNotIn(key[SECRET], out)
        self.assertIn(key[-4:], server.cli("key", "list").stdout)

    def test_E16_without_its_pepper_a_server_does_not_start(self):
        own = Server()
        self.addCleanup(own.close)
        make("ada", of=own)
        own.stop()
        peppers = [p for p in pathlib.Path(own.data).iterdir() if "pepper" in p.name]
        self.assertEqual(len(peppers), 1)
        peppers[0].unlink()
        own.start(ready=False)
        self.assertNotEqual(own.process.wait(20), 0)
        self.assertIn("pepper", own.log.read_text())


if __name__ == "__main__":
    unittest.main()
