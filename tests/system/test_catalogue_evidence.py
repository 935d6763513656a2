# SPDX-License-Identifier: Apache-2.0
"""The catalogue's tables I, the audit journal and the storage, and J, what must not leak, with row D50, against the running
server: whatever is done to a copy of its journal shows, also to a reader written from the format's description alone; a disk
that is full, hangs or cannot be trusted stops changes and nothing else; and no secret comes back by any way out."""
import base64
import ctypes
import hashlib
import json
import os
import pathlib
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import time
import unittest

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from harness import BINARY, CANARY, Issuer, Server, free_port, until, wellformed_key
from test_protocol import META

GREET = {"name": "greet", "params": {"who": {"required": True}}, "steps": [{"name": "s", "script": 'echo "$who"'}]}


def setUpModule():
    global place, issuer, server, ada
    place = pathlib.Path(tempfile.mkdtemp(prefix="kubiya-evidence-"))
    issuer = Issuer()
    server = Server(issuer, "--log-level", "debug", "--threads", "1")
    for clean in (lambda: shutil.rmtree(place), issuer.close, server.close, end):
        unittest.addModuleCleanup(clean)
    ada = issuer.token(server.audience)
    server.ok(ada, "create_workflow", definition=GREET)


def end():
    """J10: at the level `debug` nothing more of a secret is written than at any other, that is nothing."""
    assert (told := (server.stop(), server.leaks())) == (0, []), told


def segments(directory):
    return sorted(pathlib.Path(directory).glob("audit-*.jsonl"))


def leaf(line):
    return hashlib.sha256(b"\0" + line).digest()


def root(leaves):
    """RFC 6962, 2.1."""
    if len(leaves) < 2:
        return leaves[0] if leaves else hashlib.sha256(b"").digest()
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return hashlib.sha256(b"\1" + root(leaves[:split]) + root(leaves[split:])).digest()


def chained(lines):
    """The same records, each naming its predecessor as it is now."""
    out, before = [], bytes(32)
    for line in lines:
        out.append(re.sub(rb'"prev":"[^"]*"', b'"prev":"' + base64.b64encode(before) + b'"', line, count=1))
        before = leaf(out[-1])
    return out


def checkpoint(note, key):
    """Size and root of a C2SP tlog-checkpoint in a C2SP signed note; raises unless the verifier key's owner signed it."""
    name, number, key = key.strip().split("+", 2)
    kind_and_key = base64.b64decode(key, validate=True)
    assert kind_and_key[0] == 1 and hashlib.sha256(name.encode() + b"\n" + kind_and_key).hexdigest()[:8] == number
    text, signatures = note.split("\n\n")
    origin, size, tree = text.split("\n")
    dash, signer, packed = signatures.removesuffix("\n").split(" ")
    signed = base64.b64decode(packed, validate=True)
    assert (dash, signer, origin, signed[:4].hex(), str(int(size))) == ("\u2014", name, name, number, size)
    ed25519.Ed25519PublicKey.from_public_bytes(kind_and_key[1:]).verify(signed[4:], (text + "\n").encode())
    return int(size), base64.b64decode(tree, validate=True)


class Journal(unittest.TestCase):
    """Copies of one journal of three segments and several checkpoints."""

    @classmethod
    def setUpClass(cls):
        of = Server(issuer, env={"KUBIYA_AUDIT_SEGMENT_BYTES": "64KiB", "KUBIYA_AUDIT_CHECKPOINT_RECORDS": "40"})
        cls.addClassCleanup(of.close)
        token = issuer.token(of.audience)
        cls.journal = pathlib.Path(of.data, "audit")
        while len(segments(cls.journal)) < 3:
            of.call(token, "get_workflow", name="x" * 200)
        of.stop()
        cls.key, cls.newest = (shutil.copy(cls.journal / name, place) for name in ("audit.pub", "checkpoint"))
        cls.names = [path.name for path in segments(cls.journal)]
        cls.lines = [(path.name, line) for path in segments(cls.journal) for line in path.read_bytes().splitlines()]
        cls.notes = re.findall(r"[^\n]+\n\d+\n[^\n]+\n\n[^\n]+\n", (cls.journal / "checkpoints.log").read_text())

    def copy(self):
        return pathlib.Path(shutil.copytree(self.journal, pathlib.Path(tempfile.mkdtemp(dir=place), "audit")))

    def verify(self, journal, status, said="whole", *more, key=None):
        done = subprocess.run([BINARY, "audit", "verify", "--journal", journal, "--public-key", key or self.key, *more],
                              capture_output=True, text=True)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        self.assertRegex(done.stdout + done.stderr, said)
        return done.stdout

    def store(self, journal, lines):
        for name in self.names:
            (journal / name).write_bytes(b"".join(line + b"\n" for where, line in lines if where == name))
            if not any(where == name for where, _ in lines):
                (journal / name).unlink()

    def test_one_flipped_bit_anywhere_is_found_in_its_own_record(self):
        """I1"""
        journal, chance, first = self.copy(), random.Random(1), 0
        self.verify(journal, 0, f"is whole: {len(self.lines)} records")
        for name in [*self.names, "checkpoint", "checkpoints.log"]:
            good = (journal / name).read_bytes()
            # The ends of lines too: a line that never ends swallows the next one.
            ends = [n for n, byte in enumerate(good) if byte == 10]
            for at in [0, ends[-1], *chance.sample(ends, 3), *chance.sample(range(len(good)), 20)]:
                with self.subTest("I1", file=name, at=at):
                    (journal / name).write_bytes(good[:at] + bytes([good[at] ^ 1 << chance.randrange(8)]) + good[at + 1:])
                    text, number = self.verify(journal, 1, "NOT whole"), first + good.count(b"\n", 0, at)
                    if name in self.names:
                        told = re.search(r"at record (\d+)(?: to (\d+))?", text)
                        self.assertTrue(int(told[1]) <= number <= int(told[2] or told[1]), text)
                        # No successor names the last record, so the tree has to show it, with others of its checkpoint.
                        self.assertIn(number, (int(told[1]), len(self.lines) - 1))
            (journal / name).write_bytes(good)
            first += len(ends)

    def test_records_and_segments_that_are_gone_twice_elsewhere_or_forged_are_found(self):
        """I2, I3"""
        journal, every, last, rows = self.copy(), self.lines, len(self.lines) - 1, {}
        for name in self.names:
            own = [n for n, (where, _) in enumerate(every) if where == name]
            rows[f"I2 without {name}"] = [line for line in every if line[0] != name], own[0]
            for n in (own[0], own[len(own) // 2], own[-1]):
                before, line, after = every[:n], every[n][1], every[n + 1:]
                forged = line.replace(b'"time":"2', b'"time":"3', 1)
                rows[f"I2 without {n}"] = before + after, n
                rows[f"I3 {n} twice"] = before + [(name, line)] * 2 + after, n
                rows[f"I3 one forged before {n}"] = before + [(name, forged), (name, line)] + after, n
                chain = chained([text for _, text in before] + [forged] + [text for _, text in after])
                rows[f"I3 {n} forged with all that follows"] = [(where, new) for (where, _), new in zip(every, chain)], n
                other, swapped = n + 7 if n + 7 <= last else n - 7, list(every)
                swapped[n], swapped[other] = (name, every[other][1]), (every[other][0], line)
                rows[f"I3 {n} and {other} swapped"] = swapped, min(n, other)
        for row, (lines, number) in rows.items():
            with self.subTest(row):
                self.store(journal, lines)
                text = self.verify(journal, 1, "NOT whole")
                told = re.search(r"records? (\d+)(?: to (\d+))?", text)
                # Of one that is too many, the next one is the first out of its place.
                low, high = int(told[1]) - ("twice" in row or "before" in row), int(told[2] or told[1])
                self.assertTrue(low <= number <= high or f"{row[11:]} is missing" in text, text)

    def test_another_key_an_older_state_and_a_fork_show_to_who_kept_key_and_checkpoint(self):
        """I4, I5, I6"""
        journal, own = self.copy(), ed25519.Ed25519PrivateKey.generate()
        lines = chained([line.replace(b'"subject":"ada"', b'"subject":"eve"') for _, line in self.lines])
        self.store(journal, [(name, line) for (name, _), line in zip(self.lines, lines)])
        packed = b"\1" + own.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        number = hashlib.sha256(b"kubiya-mcp\n" + packed).digest()[:4]
        text = f"kubiya-mcp\n{len(lines)}\n{base64.b64encode(root([leaf(line) for line in lines])).decode()}\n"
        note = text + f"\n\u2014 kubiya-mcp {base64.b64encode(number + own.sign(text.encode())).decode()}\n"
        forged = f"kubiya-mcp+{number.hex()}+{base64.b64encode(packed).decode()}\n"
        for name in ("checkpoint", "checkpoints.log", "audit.pub"):
            (journal / name).write_text(forged if name == "audit.pub" else note)
        # In itself the forgery is perfect, so it is the kept key alone that shows it.
        self.verify(journal, 0, key=journal / "audit.pub")
        self.verify(journal, 1, "not signed by this key")
        for kept in (1, len(self.notes) // 2, len(self.notes) - 1):
            journal, size = self.copy(), int(self.notes[kept - 1].split("\n")[1])
            self.store(journal, self.lines[:size])
            (journal / "checkpoints.log").write_text("".join(self.notes[:kept]))
            (journal / "checkpoint").write_text(self.notes[kept - 1])
            self.verify(journal, 0, f"is whole: {size} records")
            self.verify(journal, 1, "the anchored checkpoint covers", "--anchor", self.newest)
        forks = [self.copy(), self.copy()]
        for journal in forks:
            for name in ("kubiya.db", "pepper"):
                shutil.copy(self.journal.parent / name, journal.parent)
            Server(issuer, data=str(journal.parent)).stop()
        for journal, other in (forks, forks[::-1]):
            self.verify(journal, 0, "whole", "--anchor", self.newest)
            self.verify(journal, 1, "NOT whole", "--anchor", other / "checkpoint")

    def test_every_checkpoint_is_a_signed_note_over_the_tree_of_its_records(self):
        """I12, to a reader that knows C2SP tlog-checkpoint, C2SP signed-note and RFC 6962 only."""
        self.assertEqual(chained(lines := [line for _, line in self.lines]), lines)
        leaves = [leaf(line) for line in lines]
        for note in self.notes:
            size, tree = checkpoint(note, pathlib.Path(self.key).read_text())
            self.assertEqual(tree, root(leaves[:size]), size)
        self.assertEqual(size, len(leaves), "nothing is left unsigned by a stop")


class Trouble(unittest.TestCase):
    """Where the journal lies is full, hangs, or fails to sync."""

    def serve(self, **env):
        of = Server(issuer, env={"KUBIYA_AUDIT_SEGMENT_BYTES": "64KiB", "KUBIYA_AUDIT_BEGIN_TIMEOUT": "500ms", **env})
        self.addCleanup(of.close)
        self.addCleanup(of.kill)  # first: one whose disk hangs does not end in order
        token = issuer.token(of.audience)
        of.ok(token, "create_workflow", definition=GREET)
        return of, token, lambda: of.call(token, "execute_workflow", name="greet", params={"who": "x"})

    def fails_closed(self, of, token, run, said):
        until(lambda: of.ok(token, "whoami") and (run()[0], of.get("/readyz")[0]) == (503, 503))
        count = lambda: len(of.ok(token, "list_executions", limit=500)["executions"])
        known, update = count(), lambda: of.call(token, "update_workflow", definition={**GREET, "description": "x"})
        for call in (run, update):
            start = time.monotonic()
            status, headers, body = call()
            self.assertLess(time.monotonic() - start, 5, "told soon, whatever the disk does")
            self.assertEqual((status, body["error"]["message"]), (503, f"the audit journal {said}; nothing was done"))
            self.assertIn("retry-after", headers)
        self.assertEqual((of.ok(token, "get_workflow", name="greet")["version"], count()), (1, known))
        self.assertEqual((json.loads(of.get("/readyz")[2])["audit"], of.get("/healthz")[0]), ("failed", 200))

    def works(self, of, run, *where):
        self.assertEqual((run()[2]["result"]["structuredContent"]["status"], of.stop()), ("finished", 0))
        self.assertIn("is whole", of.cli("audit", "verify", *where).stdout)

    def test_a_full_disk_stops_changes_until_there_is_room(self):
        """I15"""
        disk, libc = tempfile.mkdtemp(dir=place), ctypes.CDLL(None, use_errno=True)
        if libc.mount(b"tmpfs", disk.encode(), b"tmpfs", 0, b"size=1m") != 0:
            self.skipTest("no file system can be mounted here")
        self.addCleanup(libc.umount2, disk.encode(), 2)
        of, token, run = self.serve(KUBIYA_AUDIT_DIRECTORY=disk + "/audit")
        with self.assertRaises(OSError):
            (filler := pathlib.Path(disk, "filler")).write_bytes(bytes(2_000_000))
        self.fails_closed(of, token, run, "cannot record this call")
        filler.unlink()
        until(lambda: of.get("/readyz")[0] == 200)
        self.works(of, run, "--journal", disk + "/audit")

    def test_a_disk_that_hangs_or_cannot_sync_stops_changes(self):
        """I17, I16. The next segment is a pipe: opening it waits for a reader, and it cannot be synced."""
        for row, said in (("I17", "does not answer"), ("I16", "cannot record this call")):
            of, token, run = self.serve()
            pipe = pathlib.Path(of.data, "audit", "audit-00000002.jsonl")
            os.mkfifo(pipe)
            if row == "I16":
                self.addCleanup(os.close, os.open(pipe, os.O_RDONLY | os.O_NONBLOCK))
            self.fails_closed(of, token, run, said)
            pipe.unlink()
            self.fails_closed(of, token, run, said)  # what failed is not trusted again; only a start reads it anew
            of.kill()
            of.start()
            self.works(of, run)


class Storage(unittest.TestCase):
    def test_a_database_that_is_damaged_foreign_or_newer_stops_the_start(self):
        """I18, I20, and J5 on the way: one line says why, and the journal is not touched."""
        of, other = Server(issuer), Server(issuer)
        for each in (of, other):
            self.addCleanup(each.close)
            for flow in ({**GREET, "name": f"w{n}", "description": str(n) * 1500} for n in range(40)):
                each.ok(issuer.token(each.audience), "create_workflow", definition=flow)
        of.stop()
        self.assertRegex(pathlib.Path(f"/proc/{other.process.pid}/limits").read_text(), r"Max core file size +0 +0 ")
        other.process.send_signal(signal.SIGSEGV)
        self.assertEqual((other.process.wait(30) != 0, other.leaks()), (True, []), "J5: a crash leaves no picture of the memory")
        file, log = (pathlib.Path(of.data, "kubiya.db" + end) for end in ("", "-wal"))
        good, wal = file.read_bytes(), pathlib.Path(other.data, "kubiya.db-wal").read_bytes()
        rows = {"I18 a page short": (good[:-4096], "damaged"), "I18 half": (good[:len(good) // 2], "damaged"),
                "I18 a foreign log": (good, "is not the file the stored API keys were made with|damaged"), **{
                    f"I18 page {n}": (good[:4096 * n] + b"\xa5" * 4096 + good[4096 * (n + 1):], "damaged")
                    for n in (0, 1, 2, len(good) // 8192, len(good) // 4096 - 1)},
                # The version is the big-endian number at offset 60 of the file.
                "I20": (good[:60] + (999).to_bytes(4, "big") + good[64:], "schema version 999, this program knows up to")}
        before = {path: path.read_bytes() for path in pathlib.Path(of.data, "audit").iterdir()}
        for row, (data, said) in rows.items():
            with self.subTest(row):
                file.write_bytes(data)
                if "log" in row:
                    log.write_bytes(wal)
                done = subprocess.run([BINARY, "serve", "--port", str(free_port()), "--data-dir", of.data],
                                      capture_output=True, text=True, timeout=60)
                self.assertNotEqual(done.returncode, 0)
                self.assertRegex(done.stderr, said)
                self.assertEqual({path: path.read_bytes() for path in before}, before)
                log.unlink(missing_ok=True)

    def test_meta_characters_of_sql_are_text(self):
        """I19"""
        for n, text in enumerate(("';DROP/**/TABLE/**/runs;--", '"OR/**/1=1--', "'OR'1'='1", "%", "_", "\\'", "?1")):
            with self.subTest("I19 " + text):
                who, name = issuer.token(server.audience, "eve" + text), f"sql{n}"
                server.ok(ada, "create_workflow", definition={**GREET, "name": name, "description": text})
                self.assertEqual(server.ok(ada, "get_workflow", name=name)["description"], text)
                for field in ("before", "workflow", "status"):
                    answer = server.call(who, "list_executions", **{field: text})[2]["result"]
                    self.assertEqual(answer.get("structuredContent", {}).get("executions", []), [])
                run = server.ok(who, "execute_workflow", name=name, params={"who": text}, idempotency_key=text)
                said = server.ok(who, "get_execution_logs", execution_id=run["execution_id"])["entries"][0]["text"]
                self.assertEqual((said, len(server.ok(who, "list_executions")["executions"])), (text + "\n", 1))


def written():
    return "".join(path.read_text() for path in (server.log, *segments(server.data + "/audit")))


def packed(*lines, body="", start="POST /mcp", who=None):
    lines = ["Host: localhost", *(["Authorization: Bearer " + who] if who else []), *lines, f"Content-Length: {len(body)}"]
    return (start + " HTTP/1.1\r\n" + "".join(line + "\r\n" for line in lines) + "\r\n" + body).encode("latin-1")


class Leaks(unittest.TestCase):
    """The log has the level `debug`; the end of this module looks through all that was written once more."""

    def test_control_characters_forge_no_line(self):
        """J1, I8"""
        evil = 'x\r\n{"v":1,"message":"forged"}\n\x1b[31m\x7f\x9b\u2028\u202e\0'
        server.get("/" + "".join(f"%{byte:02x}" for byte in evil.encode()))
        for line in ("User-Agent: \x1b[31m", "Referer: \x9b", "Origin: \x9b", "X-Request-Id: \x85", "X: a\rb"):
            server.raw(packed(line, start="GET /\x9b" if line[0] == "X" else "GET /", who=ada), 0.2)
        for claims in ({"sub": evil}, {"iss": evil}, {"name": evil, "azp": evil, "client_id": evil}):
            server.call(issuer.token(server.audience, **claims), "whoami")
        server.call(issuer.sign({"alg": "RS256", "kid": evil}, issuer.claims(server.audience)), "whoami")
        coded = "=?base64?" + base64.b64encode(evil.encode()).decode() + "?="
        info = {"_meta": {META + "clientInfo": {"name": evil, "version": evil}}}
        server.rpc(ada, evil, info, {"Mcp-Method": coded})
        server.rpc(ada, "tools/call", {"name": evil, **info}, {"Mcp-Name": coded})
        for arguments in ({"name": evil}, {evil: evil}, {"name": evil * 3000}, {"name": "the last one"}):
            server.rpc(ada, "tools/call", {"name": "get_workflow", "arguments": arguments, **info})
        until(lambda: "the last one" in written())
        for text in (written(), server.cli("audit", "list").stdout):
            self.assertNotRegex(text, "[\0-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e]")
            self.assertNotRegex(text, r'(?m)^\{"v":1,"message"')

    def test_a_secret_in_a_wrong_place_is_written_nowhere(self):
        """J2, J3, J8"""
        secrets = dict.fromkeys(("api_key", "password", "token", "secret", "x-api-key"), key := wellformed_key())
        for header in ("Referer", "User-Agent", "Cookie", "X-Request-Id", "X", "Content-Type", "Accept", "Mcp-Session-Id"):
            for query in ("", "?token=" + key, "?api_key=" + key, "?access_token=" + key):
                sent = packed(f"{header}: {key}", body="{}", start="POST /mcp" + query, who=ada)
                self.assertNotIn(CANARY.encode(), server.raw(sent, 0.05)[0])
        for tool, arguments in (("get_workflow", {"name": "greet", **secrets}), ("whoami", {"x": [{"y": secrets}]}), (
                "execute_workflow", {"name": "greet", "params": secrets}), ("create_workflow", {"definition": secrets})):
            self.assertNotIn(CANARY, json.dumps(server.rpc(ada, "tools/call", {"name": tool, "arguments": arguments})[2]), tool)
        viewer, boast = issuer.token(server.audience, "vera", scope="read"), {META + "clientInfo": {"name": "admin-console"}}
        self.assertEqual(server.rpc(viewer, "tools/call", {"name": "delete_workflow", "_meta": boast})[0], 403, "J8")
        until(lambda: '"subject":"vera"' in written())
        self.assertNotIn(ada.split(".")[1], written())
        self.assertEqual(server.leaks(), [])

    def test_a_proxys_password_is_not_told_when_it_cannot_be_reached(self):
        """J4"""
        of = Server(None, "--auth-server", "https://idp.example", "--audience", "https://mcp.example/mcp", "--log-level", "debug",
                    env={"KUBIYA_OUTBOUND_PROXY": f"http://ada:{CANARY}@127.0.0.1:{free_port()}"}, ready=False)
        self.addCleanup(of.close)
        until(lambda: '"warn"' in of.log.read_text() and '"serving"' in of.log.read_text())
        self.assertNotIn(CANARY, of.get("/readyz")[2].decode())
        self.assertEqual((of.stop(), of.leaks()), (0, []))

    def test_errors_have_texts_of_a_closed_list_and_show_nothing_of_the_request(self):
        """J9"""
        mark, rpc = "m4rk3d", lambda body, *lines: packed("Content-Type: application/json", *lines, body=body, who=ada)
        typed, keyed = packed("Content-Type: " + mark, who=ada), packed("X-API-Key: " + mark, who=ada)
        rows = (
            (400, mark.encode() + b"\r\n\r\n", "bad_request", "The request line is malformed."),
            (505, b"GET / HTTP/2.0\r\n\r\n", "version_not_supported", "Use HTTP/1.1."),
            (414, packed(start="GET /" + mark * 2000), "uri_too_long", "The request line is too long."),
            (431, packed("X: " + mark * 3000), "headers_too_large", "The request headers are too large."),
            (417, packed("Expect: " + mark), "expectation_failed", "Only Expect: 100-continue is supported."),
            (413, rpc("x" * 2_000_000), "content_too_large", "The request body is too large."),
            (403, packed(f"Origin: //{mark}"), "forbidden", "This Origin is not allowed; server.origins names those that are."),
            (401, packed(who=f"a.{mark}.c"), "invalid_token", "Invalid token", "token invalid"),
            (401, packed(who=issuer.token(server.audience, iat=0, exp=1)), "invalid_token", "Invalid token", "token expired"),
            (400, keyed, "invalid_request", "Several credentials in one request: send exactly one",
             "Send exactly one credential, in the Authorization header, and none in the URL."),
            (404, packed(start="GET /" + mark), "not_found", "Nothing is served here; MCP answers at /mcp", ""),
            (405, packed(start="PUT /healthz?" + mark), "method_not_allowed", "This path takes GET, HEAD, OPTIONS", ""),
            (406, rpc("{}", "Accept: " + mark), "not_acceptable", "Accept application/json or text/event-stream", ""),
            (415, typed, "unsupported_media_type", "Send Content-Type: application/json, not encoded", ""),
            (400, rpc(f'["{mark}"]'), -32600, "Batches are not accepted here: send one message"),
            (400, rpc('{"' + mark), -32700, "The body is not acceptable JSON: not valid JSON"))
        for status, request, error, message, *description in rows:
            with self.subTest(f"J9 {status} {message}"):
                head, text = server.raw(request, 0.3)[0].decode().split("\r\n\r\n", 1)
                body = {"error": error, "message": message, **{"error_description": text or message for text in description}}
                if isinstance(error, int):
                    body = {"jsonrpc": "2.0", "error": {"code": error, "message": message}}
                self.assertEqual((int(head[9:12]), json.loads(text)), (status, body))
                self.assertNotIn(mark, head)


if __name__ == "__main__":
    unittest.main()
