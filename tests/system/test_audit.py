"""The audit journal of a real server: what is recorded of a call, and what its commands say of it."""
import base64
import ctypes
import hashlib
import hmac
import json
import os
import pathlib
import resource
import shutil
import subprocess
import tempfile
import unittest

from harness import BINARY, Issuer, Server, free_port, until

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

    def test_an_intent_has_the_digest_of_its_own_arguments(self):
        flow = FLOW.format("digested", "echo")
        calls = [("validate_workflow", {"definition": flow}), ("create_workflow", {"definition": flow}),
                 ("execute_workflow", {"name": "digested", "wait": 20}), ("execute_workflow", {"name": "digested", "wait": 21}),
                 ("update_workflow", {"definition": flow, "expected_version": 1})]
        key = bytes.fromhex(pathlib.Path(self.server.data, "audit", "digest.key").read_text())
        for tool, arguments in calls:
            with self.subTest(tool):
                self.server.ok(self.ada, tool, **arguments)
                text = json.dumps(arguments, sort_keys=True, separators=(",", ":"))
                wanted = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
                until(lambda: [r for r in records(self.server, operation=tool) if r.get("args") == wanted])
        self.server.rpc(self.ada, "prompts/get", {"name": "workflow_patterns", "arguments": {"pattern": "retry"}})
        wanted = hmac.new(key, b'{"pattern":"retry"}', hashlib.sha256).hexdigest()
        until(lambda: [r for r in records(self.server, operation="get_prompt") if r.get("args") == wanted])

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


def audit(*arguments):
    """Exit status and everything that was said."""
    done = subprocess.run([BINARY, "audit", *map(str, arguments)], capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def edit(name, change):
    """A damage: what `change` makes of the lines of a file."""
    def damage(journal):
        path = journal / name
        path.write_bytes(b"".join(change(path.read_bytes().splitlines(keepends=True))))
    return damage


def remove(*patterns):
    return lambda journal: [path.unlink() for pattern in patterns for path in journal.glob(pattern)]


def remove_last(journal):
    max(journal.glob("audit-*.jsonl")).unlink()


def swapped(lines, a, b):
    lines[a], lines[b] = lines[b], lines[a]
    return lines


def replaced(lines, n, old, new):
    assert old in lines[n], (old, lines[n])
    return lines[:n] + [lines[n].replace(old, new, 1)] + lines[n + 1:]


def other_signature(lines):
    """The last note with one bit of its signature flipped."""
    dash, name, signature = lines[-1].split(b" ")
    raw = bytearray(base64.b64decode(signature))
    raw[-1] ^= 1
    return lines[:-1] + [b" ".join([dash, name, base64.b64encode(bytes(raw)) + b"\n"])]


FIRST, SECOND = "audit-00000001.jsonl", "audit-00000002.jsonl"

# What is done to a copy of a journal of three segments or more; what `audit verify` answers.
DAMAGES = [
    ("nothing", lambda journal: None, 0, "The journal is whole"),
    ("one word of a record", edit(FIRST, lambda l: replaced(l, 5, b'"ada"', b'"eve"')), 1, "at record 5,"),
    ("one byte into no record", edit(FIRST, lambda l: replaced(l, 5, b'{"v"', b'{"w"')), 1, "at record 5,"),
    ("a record deleted", edit(FIRST, lambda l: l[:7] + l[8:]), 1, "record 7 is missing"),
    ("the first record deleted", edit(FIRST, lambda l: l[1:]), 1, "record 0 is missing"),
    ("two records swapped", edit(FIRST, lambda l: swapped(l, 4, 9)), 1, "at record 4,"),
    ("a record repeated", edit(FIRST, lambda l: l[:6] + l[5:]), 1, "record 5 is repeated"),
    ("a segment cut within a record", edit(SECOND, lambda l: l[:3] + [l[3][:20]]), 1, "line 4"),
    ("a segment cut behind a record", edit(SECOND, lambda l: l[:3]), 1, "is missing"),
    ("an empty line", edit(FIRST, lambda l: l[:3] + [b"\n"] + l[3:]), 1, "at record 3,"),
    ("a segment in the middle missing", remove(SECOND), 1, SECOND + " is missing"),
    ("the first segment missing", remove(FIRST), 1, FIRST + " is missing"),
    ("the last segment missing", remove_last, 1, "are missing"),
    ("all segments missing", remove("audit-*.jsonl"), 1, "records 0 to"),
    ("the size in the checkpoint", edit("checkpoint", lambda l: [l[0], b"3\n"] + l[2:]), 1, "the file checkpoint"),
    ("the root in the checkpoint", edit("checkpoint", lambda l: l[:2] + [b"A" * 43 + b"=\n"] + l[3:]), 1,
     "the file checkpoint"),
    ("the signature of the checkpoint", edit("checkpoint", other_signature), 1, "signature is wrong"),
    ("the checkpoint missing", remove("checkpoint"), 1, "the file checkpoint is missing"),
    ("a signature in the history", edit("checkpoints.log", other_signature), 1, "signature is wrong"),
    ("the last note of the history missing", edit("checkpoints.log", lambda l: l[:-5]), 1, "does not hold"),
    ("the notes of the history swapped", edit("checkpoints.log", lambda l: l[5:10] + l[:5] + l[10:]), 1, "goes back"),
    ("the history missing", remove("checkpoints.log"), 1, "checkpoints.log is missing"),
    ("the hint missing", remove("state"), 0, "The journal is whole"),
]


class Damaged(unittest.TestCase):
    """Copies of one journal, each damaged in one way."""

    @classmethod
    def setUpClass(cls):
        server = Server(issuer, env={"KUBIYA_AUDIT_SEGMENT_BYTES": "64KiB"})
        cls.addClassCleanup(server.close)
        token = issuer.token(server.audience, "ada")
        server.ok(token, "create_workflow", definition=FLOW.format("first", "echo 1"))
        cls.runs = [server.ok(token, "execute_workflow", name="first")["execution_id"] for _ in range(2)]
        while len(segments(server)) < 3:
            server.call(token, "get_workflow", name="x" * 64)
        server.stop()
        cls.journal = pathlib.Path(server.data, "audit")
        elsewhere = tempfile.TemporaryDirectory()
        cls.addClassCleanup(elsewhere.cleanup)
        cls.elsewhere = pathlib.Path(elsewhere.name)
        cls.key = cls.elsewhere / "audit.pub"
        cls.foreign = cls.elsewhere / "foreign.pub"
        shutil.copy(cls.journal / "audit.pub", cls.key)
        other = Server(issuer)
        cls.addClassCleanup(other.close)
        shutil.copy(pathlib.Path(other.data, "audit", "audit.pub"), cls.foreign)

    def copy(self):
        place = tempfile.TemporaryDirectory()
        self.addCleanup(place.cleanup)
        for name in ("kubiya.db", "pepper"):  # without them no server starts beside the journal
            shutil.copy(self.journal.parent / name, place.name)
        return pathlib.Path(shutil.copytree(self.journal, pathlib.Path(place.name, "audit")))

    def test_verify_names_the_damage(self):
        for name, damage, status, said in DAMAGES:
            with self.subTest(name):
                journal = self.copy()
                damage(journal)
                got, text = audit("verify", "--journal", journal, "--public-key", self.key)
                self.assertEqual(got, status, text)
                self.assertIn(said, text)
                self.assertNotIn("beside the journal", text)

    def test_verify_takes_no_foreign_key_and_no_rollback(self):
        status, text = audit("verify", "--journal", self.journal, "--public-key", self.foreign)
        self.assertEqual(status, 1, text)
        self.assertIn("not signed by this key", text)
        older = self.copy()
        anchor = self.elsewhere / "anchor"
        server = Server(issuer, data=str(self.copy().parent))
        self.addCleanup(server.log.unlink)
        server.stop()
        shutil.copy(pathlib.Path(server.data, "audit", "checkpoint"), anchor)
        newer = pathlib.Path(server.data, "audit")
        status, text = audit("verify", "--journal", newer, "--public-key", self.key, "--anchor", anchor)
        self.assertEqual(status, 0, text)
        status, text = audit("verify", "--journal", older, "--public-key", self.key, "--anchor", anchor)
        self.assertEqual(status, 1, text)
        self.assertIn("the anchored checkpoint covers", text)

    def test_verify_says_what_the_key_beside_the_journal_does_not_prove(self):
        status, text = audit("verify", "--journal", self.journal)
        self.assertEqual(status, 0, text)
        self.assertIn("audit.pub beside the journal", text)

    def test_a_bundle_proves_one_run_and_nothing_that_was_edited(self):
        first, second = (json.loads(audit("prove", "--journal", self.journal, "--run", run)[1]) for run in self.runs)
        kinds = [json.loads(r["record"])["kind"] for r in first["records"]]
        self.assertEqual([k for k in kinds if k != "read"], ["intent", "run_finished", "outcome"])

        def with_record(n, **changed):
            return {**first, "records": [{**r, **changed} if i == n else r for i, r in enumerate(first["records"])]}

        record = first["records"][0]
        rows = [
            ("nothing", first, self.key, 0, "Proven: 3 records of run " + self.runs[0]),
            ("a foreign key", first, self.foreign, 1, "not signed by this key"),
            ("the run", {**first, "run_id": self.runs[1]}, self.key, 1, "no record about its run"),
            ("a word of a record", with_record(0, record=record["record"].replace('"ada"', '"eve"')), self.key, 1,
             "not in the signed tree"),
            ("a record that is none", with_record(0, record="{}"), self.key, 1, ""),
            ("the place of a record", with_record(0, index=record["index"] + 1), self.key, 1, "not in its place"),
            ("a hash of the path", with_record(0, proof=record["proof"][1:]), self.key, 1, "not in the signed tree"),
            ("a path of another record", with_record(0, proof=first["records"][1]["proof"]), self.key, 1,
             "not in the signed tree"),
            ("the order", {**first, "records": first["records"][::-1]}, self.key, 1, "not in its place"),
            ("no records", {**first, "records": []}, self.key, 1, "no record about its run"),
            ("the checkpoint", {**first, "checkpoint": first["checkpoint"].replace("\n", "\n1", 1)}, self.key, 1,
             "signature is wrong"),
            ("records of another run", {**first, "records": second["records"]}, self.key, 1, "no record about its run"),
            ("the kind", {**first, "kind": "proof"}, self.key, 1, "not a proof bundle"),
        ]
        path = self.elsewhere / "run.proof"
        for name, bundle, key, status, said in rows:
            with self.subTest(name):
                path.write_text(json.dumps(bundle, ensure_ascii=False, separators=(",", ":")))
                got, text = audit("prove", "--check", path, "--public-key", key)
                self.assertEqual(got, status, text)
                self.assertIn(said, text)
        path.write_text(json.dumps(first, ensure_ascii=False)[:-9])
        self.assertEqual(audit("prove", "--check", path, "--public-key", self.key)[0], 1, "cut off")
        self.assertEqual(audit("prove", "--journal", self.journal, "--run", "none")[0], 1)

    def test_a_damaged_journal_is_not_continued(self):
        def without_hint(damage):
            return lambda journal: (damage(journal), remove("state")(journal))

        # With the hint, what lies before the last checkpoint is read by `audit verify` only.
        for name, damage, said in (
                ("a record changed", without_hint(edit(FIRST, lambda l: replaced(l, 0, b'"seq":', b'"sec":'))),
                 "is damaged"),
                ("the last segment missing", remove_last, "is missing"),
                ("a segment missing", remove(SECOND), SECOND + " is missing"),
                ("the checkpoints missing", remove("checkpoint", "checkpoints.log"), "its checkpoints are gone"),
                ("all but the keys missing", remove("audit-*.jsonl", "checkpoint*", "state"),
                 "its checkpoints are gone"),
                ("the history missing", remove("checkpoints.log"), "checkpoints.log is missing")):
            with self.subTest(name):
                journal = self.copy()
                damage(journal)
                before = {p.name: p.read_bytes() for p in journal.iterdir()}
                command = [BINARY, "serve", "--host", "127.0.0.1", "--port", str(free_port()), "--data-dir", journal.parent]
                done = subprocess.run(command, capture_output=True, text=True, timeout=60)
                self.assertNotEqual(done.returncode, 0)
                self.assertIn(said, done.stderr)
                self.assertEqual({p.name: p.read_bytes() for p in journal.iterdir()}, before, "nothing was written")

    def test_the_list_has_a_header_and_finds_the_whole_run(self):
        status, text = audit("list", "--journal", self.journal, "--limit", 3)
        lines = text.splitlines()
        self.assertEqual((status, len(lines), lines[0].split()[:3]), (0, 4, ["RECORD", "TIME", "KIND"]), text)
        status, text = audit("list", "--journal", self.journal, "--run", self.runs[0], "--json")
        kinds = [json.loads(line)["kind"] for line in text.splitlines()]
        self.assertEqual((status, kinds), (0, ["intent", "run_finished", "outcome"]))
        status, text = audit("list", "--journal", self.journal, "--decision", "denied")
        self.assertEqual(status, 2)
        self.assertIn("allowed, refused", text)


def drop_override():
    """From here on, directories of this user are closed to programs started when their mode says so, as for anybody."""
    if os.geteuid() == 0:
        cap_dac_override, pr_capbset_drop = 1, 24
        assert ctypes.CDLL(None, use_errno=True).prctl(pr_capbset_drop, cap_dac_override, 0, 0, 0) == 0


class FullDisk:
    """No file of the server may grow over what the journal has now."""
    problem = "the disk refuses to be written"

    def break_it(self, server):
        size = segments(server)[-1].stat().st_size
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (size + 100, resource.RLIM_INFINITY))

    def mend(self, server):
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


class ReadOnlyDirectory:
    """Records can still be written, checkpoints cannot be replaced."""
    problem = "checkpoints cannot be signed; mutations are refused"

    def break_it(self, server):
        pathlib.Path(server.data, "audit").chmod(0o500)

    def mend(self, server):
        pathlib.Path(server.data, "audit").chmod(0o700)


class CheckpointInTheWay:
    """A directory has the name of the temporary file."""
    problem = "checkpoints cannot be signed; mutations are refused"

    def break_it(self, server):
        self.path = pathlib.Path(server.data, "audit", "checkpoint.new")
        self.path.mkdir()

    def mend(self, _):
        self.path.rmdir()


class SegmentInTheWay:
    """A directory has the name of the next segment."""
    problem = "the disk refuses to be written"

    def break_it(self, server):
        self.path = pathlib.Path(server.data, "audit", f"audit-{len(segments(server)) + 1:08}.jsonl")
        self.path.mkdir()

    def mend(self, _):
        self.path.rmdir()


class Unwritable(unittest.TestCase):
    """The journal's disk refuses, in several ways: nothing is changed, reads are answered, and it comes back by itself."""

    def test_fails_closed_and_recovers(self):
        drop_override()
        for trouble in (FullDisk(), ReadOnlyDirectory(), CheckpointInTheWay(), SegmentInTheWay()):
            with self.subTest(type(trouble).__name__):
                self.one(trouble)

    def one(self, trouble):
        server = Server(issuer, env={"KUBIYA_AUDIT_CHECKPOINT_EVERY": "100ms", "KUBIYA_AUDIT_SEGMENT_BYTES": "64KiB"})
        self.addCleanup(server.close)
        token = issuer.token(server.audience, "ada")
        server.ok(token, "create_workflow", definition=FLOW.format("kept", "echo 1"))
        health = lambda: json.loads(server.get("/readyz")[2])
        trouble.break_it(server)

        def broken():
            # Reads leave records, which are what cannot be written or signed.
            server.ok(token, "whoami")
            return server.get("/readyz")[0] == 503 and health().get("audit_problem") == trouble.problem
        until(broken, 60)
        status, headers, body = server.call(token, "execute_workflow", name="kept")
        self.assertEqual(status, 503, body)
        self.assertIn("retry-after", headers)
        self.assertEqual(server.call(token, "create_workflow", definition=FLOW.format("more", "echo 1"))[0], 503)
        self.assertEqual(len(server.ok(token, "list_workflows")["workflows"]), 1)
        self.assertEqual(server.ok(token, "list_executions")["executions"], [])
        trouble.mend(server)
        until(lambda: server.get("/readyz")[0] == 200)
        self.assertNotIn("audit_problem", health())
        self.assertEqual(server.ok(token, "execute_workflow", name="kept")["status"], "finished")
        self.assertEqual(server.stop(), 0)
        status, text = audit("verify", "--data-dir", server.data)
        self.assertEqual(status, 0, text)
        refused = sum(r["fields"]["refused_intents"] for r in records(server, event="journal_resumed"))
        self.assertEqual(refused, 2)
        self.assertEqual(len(records(server, kind="intent", operation="execute_workflow")), 1)


if __name__ == "__main__":
    unittest.main()
