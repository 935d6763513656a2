# SPDX-License-Identifier: Apache-2.0
"""The catalogue's table K, overload and exhaustion, against the running server: numbers are scaled down and limits
configured small, and the property is kept. What is bounded stays within its bound, whoever calls properly beside an attack
is served, and memory, descriptors and places come back. What test_catalogue_transport.py holds is not repeated."""
import collections
import concurrent.futures
import contextlib
import http.client
import itertools
import json
import os
import pathlib
import random
import select
import shutil
import socket
import struct
import tempfile
import threading
import time
import unittest

from harness import MODERN, Issuer, Server, until
from test_protocol import META, modern

KIB, MIB = 1024, 1024 * 1024
WAIT = 'while [ ! -e "$GATE" ]; do sleep 0.05; done; echo $DAG_RUN_ID >> "$GATE.ran"'
GATED = {"name": "gated", "params": {"GATE": "/nowhere"}, "steps": [{"name": "s", "script": WAIT}]}
QUICK = {"name": "quick", "steps": [{"name": "s", "command": "true"}]}
WHOAMI = '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"whoami","arguments":{}}}'
WISHES = {"notifications": {"toolsListChanged": True}}


def setUpModule():
    global place, issuer
    place, issuer = pathlib.Path(tempfile.mkdtemp(prefix="kubiya-load-")), Issuer()
    unittest.addModuleCleanup(shutil.rmtree, place)
    unittest.addModuleCleanup(issuer.close)


def raw(token=None, body=WHOAMI, *lines, line="POST /mcp", length=None):
    auth = ["Authorization: Bearer " + token] if token else []
    kind = [] if any(one.startswith("Content-Type") for one in lines) else ["Content-Type: application/json"]
    lines = ["Host: localhost", *auth, *kind, *lines, f"Content-Length: {len(body) if length is None else length}"]
    return (line + " HTTP/1.1\r\n" + "\r\n".join(lines) + "\r\n\r\n" + body).encode()


def connect(at, source="127.0.0.1", small=False):
    s = socket.socket()
    if small:  # so that the kernel holds little of what nobody reads
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
    s.settimeout(30)
    s.bind((source, 0))
    s.connect(("127.0.0.1", at.port))
    return s


def answers(at, requests):
    """Each answer's status and headers, over one connection with a few requests ahead."""
    found = []
    with connect(at) as s, s.makefile("rb") as file:
        for i in range(0, len(requests), 32):
            some = requests[i:i + 32]
            s.sendall(b"".join(some))
            for _ in some:
                status, headers = int(file.readline().split(b" ")[1]), {}
                while (line := file.readline()) != b"\r\n":
                    name, _, value = line.decode().partition(":")
                    headers[name.lower()] = value.strip()
                found.append((status, headers, file.read(int(headers.get("content-length", 0)))))
    return found


def descriptors(at):
    return len(os.listdir(f"/proc/{at.process.pid}/fd"))


def memory(at):
    text = pathlib.Path(f"/proc/{at.process.pid}/status").read_text()
    return int(text.split("VmRSS:")[1].split()[0]) * KIB


def cpu(at):
    """Seconds of processor time that the server has used; its threads live as long as it does."""
    return sum(int(p.read_text().split()[0]) for p in pathlib.Path(f"/proc/{at.process.pid}/task").glob("*/schedstat")) / 1e9


def journal(at):
    texts = [path.read_text() for path in sorted(pathlib.Path(at.data, "audit").glob("audit-*.jsonl"))]
    return [json.loads(line) for line in "".join(texts).splitlines()]


class Beside:
    """A good caller at another address, all the while: each call must be served, and none may hang."""

    def __init__(self, at, who):
        self.at, self.who, self.stop, self.seen = at, who, threading.Event(), []

    def __enter__(self):
        self.thread = threading.Thread(target=self.loop)
        self.thread.start()
        return self

    def loop(self):
        while not self.stop.wait(0.03) or len(self.seen) < 3:
            begin = time.monotonic()
            try:
                one = http.client.HTTPConnection("127.0.0.1", self.at.port, timeout=30, source_address=("127.0.0.2", 0))
                one.request("POST", "/mcp", WHOAMI, {"Authorization": "Bearer " + self.who, "Content-Type": "application/json"})
                self.seen.append((one.getresponse().status, time.monotonic() - begin))
                one.close()
            except OSError as error:
                self.seen.append((repr(error), 0))

    def __exit__(self, kind, *_):
        self.stop.set()
        self.thread.join()
        if kind is None:
            assert {status for status, _ in self.seen} == {200}, collections.Counter(s for s, _ in self.seen)
            assert max(took for _, took in self.seen) < 10, "a good caller hung"


class Case(unittest.TestCase):
    def serve(self, *flags, **settings):
        at = Server(issuer, *flags, env={
            "KUBIYA_AUTH_TENANT_CLAIM": "org", "KUBIYA_LOG_REQUESTS": "refusals",
            **{"KUBIYA_" + name: str(value) for name, value in settings.items()}})
        self.addCleanup(at.close)
        at.good = self.of(at, "good")
        at.ok(at.good, "whoami")
        return at

    def of(self, at, subject="ada", org="acme", **claims):
        return issuer.token(at.audience, subject, org=org, **claims)

    def back(self, at, before, grown, most=8 * MIB):
        """Descriptors are what they were, and memory about so."""
        until(lambda: descriptors(at) <= before)
        self.assertLess(memory(at) - grown, most, "memory comes back")

    def parallel(self, calls):
        with concurrent.futures.ThreadPoolExecutor(20) as pool:
            return list(pool.map(lambda call: call(), calls))


class Connections(Case):
    def test_slow_headers_bodies_and_readers_are_closed_and_cost_little(self):
        """K4, K5"""
        at = self.serve(**{"SERVER_LIMITS_" + name: value for name, value in (
            ("HEADERS", "1s"), ("BODY", "2s"), ("WRITE_STALL", "1s"), ("IDLE", "3s"))})
        base, rss = descriptors(at), memory(at)
        document = raw(line="GET /.well-known/oauth-protected-resource", body="")
        with Beside(at, at.good), contextlib.ExitStack() as stack:
            kinds = {"headers": b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nX: ", "body": raw(at.good, "{", length=60_000)}
            slow = [(stack.enter_context(connect(at)), kind) for kind in kinds for _ in range(120)]
            for one, kind in slow:
                one.sendall(kinds[kind])
            readers = [stack.enter_context(connect(at, small=True)) for _ in range(80)]
            for one in readers:
                one.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    while True:
                        one.send(document * 64)
            most, open_, end = 0, dict(slow), time.monotonic() + 15
            while open_ and time.monotonic() < end:
                most = max(most, memory(at))
                for one in select.select(list(open_), [], [], 0)[0]:
                    with contextlib.suppress(ConnectionError):
                        self.assertIn(b"HTTP/1.1 408 ", one.recv(4096))
                    del open_[one]
                for one in open_:
                    with contextlib.suppress(OSError):
                        one.send(b" ")
                time.sleep(0.2)
            self.assertEqual(len(open_), 0, "each is told, however it goes on sending")
            until(lambda: descriptors(at) <= base + 4)  # the readers too, though they hold their ends; some are the good caller's
            self.assertLess(most - rss, len(slow + readers) * 16 * KIB + 8 * MIB)
        self.back(at, base, rss)
        ranges = raw(at.good, WHOAMI, "Range: bytes=" + ",".join(["0-"] * 2000))
        self.assertEqual(answers(at, [ranges])[0][0], 200, "there are no ranges here")


class Aborts(Case):
    def test_clients_that_go_in_any_phase_leave_nothing_behind(self):
        """K18"""
        at = self.serve(SERVER_LIMITS_EVENT_COMMENT="1s")
        ada, gate = self.of(at), pathlib.Path(tempfile.mktemp(dir=place))
        at.ok(ada, "create_workflow", definition=GATED)

        def call(method, params, name=None, **more):
            meta = {META + "protocolVersion": MODERN, META + "clientCapabilities": {}, **more}
            body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": meta}})
            lines = ["MCP-Protocol-Version: " + MODERN, "Mcp-Method: " + method, *(["Mcp-Name: " + name] if name else [])]
            return raw(ada, body, *lines, "Accept: application/json, text/event-stream")

        # All wait for one run, because they repeat one call, and a second at most, however long it takes.
        same = {"name": "gated", "params": {"GATE": str(gate)}, "wait": 1, "idempotency_key": "one"}
        run, whole = {"name": "execute_workflow", "arguments": same}, raw(ada)
        # Those that are answered at once are left in the middle of it.
        phases = [(b"", 0), (whole[:40], 0), (whole[:-len(WHOAMI)], 0), (whole[:-20], 0), (whole, 0), (whole * 8, 1),
                  (call("tools/call", run, run["name"]), 0), (call("tools/call", run, run["name"], progressToken="p"), 0),
                  (call("subscriptions/listen", WISHES), 1)]

        def rounds(count):
            for (data, answered), n in itertools.product(phases, range(count)):
                with connect(at) as s:
                    s.sendall(data)
                    answered and self.assertTrue(s.recv(64))
                    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", n % 2, 0))  # by FIN and by RST
            until(lambda: descriptors(at) <= base + 12)  # it opens its database again as it needs to

        first, base = at.ok(ada, "execute_workflow", **{**same, "wait": 0})["execution_id"], 1000
        with Beside(at, at.good):
            rounds(30)
            time.sleep(2)  # now its connections to the database are there, and the last waits are over
            base = descriptors(at)
            rounds(100)
            grown = memory(at)
            rounds(100)
        self.back(at, base + 12, grown, 3 * MIB)
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(at.ok, ada, "execute_workflow", **{**same, "wait": 60})
            gate.touch()
            self.assertEqual((waiting.result()["status"], waiting.result()["execution_id"]), ("finished", first))
        self.assertEqual(pathlib.Path(f"{gate}.ran").read_text().split(), [first], "one run, whoever went")


class Streams(Case):
    def test_of_many_who_want_the_last_stream_one_has_it(self):
        """K8, K24"""
        at = self.serve(SERVER_LIMITS_STREAMS_PER_CALLER=8)
        ada, base, rss = self.of(at), descriptors(at), memory(at)
        listen = lambda who=ada: modern(who, "subscriptions/listen", WISHES, of=at, stream=True)
        opened = [listen() for _ in range(7)]
        opened += self.parallel([listen] * 40)
        self.assertEqual(collections.Counter(one.status for one in opened), {200: 8, 429: 39})
        self.assertTrue(all(one.answer.getheader("retry-after") for one in opened if one.status == 429))
        opened.append(listen(self.of(at, "bob")))
        self.assertEqual((opened[-1].status, at.call(ada, "whoami")[0]), (200, 200), "others, and her other calls")
        for one in opened:
            one.drop()
        self.back(at, base, rss)
        self.assertEqual(listen().status, 200)


class Parsing(Case):
    """What costs a parser much costs this one little."""

    def setUp(self):
        self.at = self.serve(SERVER_LIMITS_HEADER_BYTES="256KiB")
        self.ada = self.of(self.at)
        self.at.ok(self.ada, "create_workflow", definition=QUICK)

    def cost(self, request, times=8):
        begin = cpu(self.at)
        found = answers(self.at, [request] * times)
        return {status for status, _, _ in found}, (cpu(self.at) - begin) / times

    def test_names_that_collide_cost_no_more_than_others(self):
        """K11: of MurmurHash as the C++ library has it, which has no key, and of which one can compute them. The bytes of a block
        and those of its twin leave a difference in the highest bit alone, which the same pair takes out again."""
        mul = (0xC6A4A793 << 32) + 0x5BD1E995
        mix = lambda v: ((v := v * mul % 2**64) ^ v >> 47) * mul % 2**64
        delta = (2**63 - 2**16) * pow(mul, -1, 2**64) % 2**64
        blocks = (int.from_bytes(bytes(start) + bytes((0x30, 0x60, 0x10, 0x30, 0x20, 0x05)), "little")
                  for start in itertools.product(range(65, 91), repeat=2))
        block = next(v for v in blocks if mix(v) ^ mix((v + delta) % 2**64) == 2**63)
        pair = [v.to_bytes(8, "little").decode("ascii") * 2 for v in (block, (block + delta) % 2**64)]
        alike = ["".join(parts) for parts in itertools.product(pair, repeat=11)]
        other = [name[:-3] + "".join(random.choices("abcdefghijklmnop", k=3)) for name in alike]

        def body(names, where):
            members, params = {name: 1 for name in names}, {"name": "execute_workflow", "arguments": {"name": "quick"}}
            inner = params["arguments"]
            (params if where == "message" else inner if where == "arguments" else inner.setdefault("params", {})).update(members)
            return raw(self.ada, json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}))

        for where in ("message", "arguments", "params"):
            with self.subTest("K11 " + where), Beside(self.at, self.at.good):
                (said, random_), (told, colliding) = (self.cost(body(names, where)) for names in (other, alike))
                self.assertEqual(said, told)
                self.assertLess(colliding, 2 * random_ + 0.02)

    def test_media_types_with_ten_thousand_parameters_are_read_once(self):
        """K26"""
        many, quoted = ";a=b" * 10_000, ';a="\\"' * 10_000
        rows = {"Accept parameters": ("Accept: text/html" + many, 406), "Accept quotes": ("Accept: text/html" + quoted, 406),
                "Accept list": ("Accept: " + "a/b," * 10_000 + "text/html", 406),
                "Accept behind too many": ("Accept: " + "a/b," * 10_000 + "application/json", 406),
                "Content-Type parameters": ("Content-Type: application/json" + many, 415),
                "Content-Type quotes": ("Content-Type: application/json" + quoted, 415),
                "Content-Type spaces": ("Content-Type: application/json;" + " " * 40_000 + "x", 415)}
        with Beside(self.at, self.at.good):
            for name, (line, status) in rows.items():
                with self.subTest("K26 " + name):
                    told, each = self.cost(raw(self.ada, WHOAMI, line))
                    self.assertEqual(told, {status})
                    self.assertLess(each, 0.02)

class Credentials(Case):
    def test_a_flood_of_bad_signatures_gets_a_burst_and_a_rate(self):
        """K2, K23; K3: what has expired is told so before its signature is looked at"""
        at = self.serve(SERVER_LIMITS_BAD_CREDENTIALS_PER_MINUTE=60)
        heads = ({"alg": "RS256", "kid": "rsa"}, {"alg": "ES256", "kid": "ec"}, {"alg": "ES384", "kid": "ec"})
        forged = lambda n, **more: issuer.sign({**heads[n % 3], "n": n}, issuer.claims(at.audience, **more), issuer.other)
        with Beside(at, at.good):
            begin, counts = time.monotonic(), []
            for batch in (range(300), range(300, 600)):
                found = answers(at, [raw(forged(n)) for n in batch])
                self.assertTrue(all(headers["retry-after"].isdigit() for status, headers, _ in found if status == 429))
                counts.append(collections.Counter(status for status, _, _ in found))
                time.sleep(1)
            took = time.monotonic() - begin
            self.assertEqual(set(counts[0]) | set(counts[1]), {401, 429})
            self.assertLessEqual(counts[0][401] + counts[1][401], 60 + took + 1, "K23: no second burst")
            at.ok(self.of(at, "new"), "whoami")  # new and good ones of that address are served all the same
            expired = [raw(forged(n, iat=1, exp=2)) for n in range(300)]
            self.assertEqual({(s, b"token expired" in body) for s, _, body in answers(at, expired)}, {(401, True)}, "K3")

    def test_strangers_fill_neither_journal_nor_log_and_are_counted_exactly(self):
        """K20; K22: nobody gets a new budget by making the table of addresses forget"""
        at = self.serve("--trusted-proxy", "127.0.0.1", AUDIT_DETAILED_PER_SECOND=1, LOG_STRANGERS_PER_SECOND=1,
                        SERVER_LIMITS_BAD_CREDENTIAL_PEERS=16, SERVER_LIMITS_BAD_CREDENTIALS_PER_MINUTE=20)
        weigh = lambda: sum(p.stat().st_size for p in (at.log, *pathlib.Path(at.data, "audit").iterdir()))
        before = weigh()
        bad = lambda n, source: raw(f"a.b.{n}", WHOAMI, "X-Forwarded-For: " + source)
        begin = time.monotonic()
        with Beside(at, at.good):
            first = [s for s, _, _ in answers(at, [bad(n, "2001:db8:f::1") for n in range(100)])]
            crowd = answers(at, [bad(n, f"2001:db8:{n % 7:x}:{n:x}::{n:x}") for n in range(3000)])
            again = [s for s, _, _ in answers(at, [bad(n, f"2001:db8:f::{n:x}") for n in range(100)])]
        took = time.monotonic() - begin
        self.assertEqual(set(first) | set(again) | {s for s, _, _ in crowd}, {401, 429})
        self.assertLessEqual(first.count(401) + again.count(401), 20 + took / 3 + 1, "K22: one /64, whoever came between")
        self.assertLessEqual(sum(s == 401 for s, _, _ in crowd), 16 + 20 + took / 3 + 1, "K22: the others share one")
        self.assertEqual(at.stop(), 0)
        refused = [r for r in journal(at) if r.get("decision") == "refused"]
        self.assertEqual(sum(r.get("count", 1) for r in refused), 3200, "K20: nobody is forgotten")
        self.assertLess(weigh() - before, 3200 * 30, "K20: about a tenth of a record each")
        self.assertLess(len(refused), 64 * 2 * (took + 3))


class Runs(Case):
    def test_of_a_hundred_who_want_the_last_place_one_has_it_and_other_tenants_go_on(self):
        """K21, K24"""
        at = self.serve(ENGINE_ACTIVE_RUNS=4, ENGINE_ACTIVE_RUNS_PER_TENANT=2, ENGINE_QUEUED_RUNS_PER_TENANT=5)
        ada, eve, gate = self.of(at), self.of(at, "eve", "other"), pathlib.Path(tempfile.mktemp(dir=place))
        for who, flow in ((ada, GATED), (eve, QUICK)):
            at.ok(who, "create_workflow", definition=flow)
        begin = lambda who=ada: at.call(who, "execute_workflow", name="gated", params={"GATE": str(gate)}, wait=0)
        runs = [begin()[2]["result"]["structuredContent"]["execution_id"] for _ in range(2)]
        until(lambda: {at.ok(ada, "get_execution", execution_id=run)["status"] for run in runs} == {"running"})
        self.assertEqual([begin()[0] for _ in range(4)], [200] * 4)
        with Beside(at, self.of(at, "good", "other")), concurrent.futures.ThreadPoolExecutor(1) as pool:
            quick = pool.submit(lambda: [at.ok(eve, "execute_workflow", name="quick", wait=60)["status"] for _ in range(5)])
            found = self.parallel([lambda n=n: begin(self.of(at, f"u{n}")) for n in range(100)])
            self.assertEqual(quick.result(), ["finished"] * 5)
        self.assertEqual(collections.Counter(status for status, _, _ in found), {200: 1, 429: 99})
        self.assertTrue(all(headers["retry-after"].isdigit() for status, headers, _ in found if status == 429))
        gate.touch()
        ran = pathlib.Path(f"{gate}.ran")
        until(lambda: ran.exists() and len(ran.read_text().split()) == 7)
        self.assertEqual(len(set(ran.read_text().split())), 7, "each ran once")

    def test_definitions_with_hostile_params_and_patterns_are_refused_or_cost_little(self):
        """K14, K15: params have types and choices and no schema; nothing that they name is fetched"""
        at = self.serve()
        with socket.create_server(("127.0.0.1", 0)) as trap:
            url, deep = f"http://127.0.0.1:{trap.getsockname()[1]}/x", {}
            for _ in range(50):
                deep = {"allOf": [deep]}
            hostile = [{"$ref": url}, {"$ref": "#"}, {"$id": url, "$schema": url}, {"allOf": [{"$ref": url}]}, deep,
                       {"pattern": "^(a+)+$"}, {"properties": {f"p{n}": {} for n in range(10_000)}}, {"type": ["string"] * 9999},
                       {"enum": [{"$ref": url}] * 3}, {"enum": list(range(10_000))}, {"default": deep}]
            with Beside(at, at.good):
                for param in hostile:
                    with self.subTest(f"K15 {str(param)[:40]}"):
                        made = at.call(at.good, "create_workflow", definition={**QUICK, "name": "h", "params": {"A": param}})
                        self.assertIn((made[0], made[2].get("result", {}).get("isError")), ((200, True), (400, None)))
                        self.assertLess(len(json.dumps(made[2])), 64 * KIB)
                for text in ("a: &a [x]\nb: &b [*a, *a]\nc: [*b, *b]\n", "{" * 5000, "- " * 5000, "params: {A: !!x y}\n"):
                    with self.subTest("K15 YAML " + text[:20]):
                        made = at.call(at.good, "create_workflow", name="y", definition=text)
                        self.assertTrue(made[2]["result"]["isError"], made)
                explodes = {"A": "a" * 40_000 + "!"}
                asked = [{"condition": "$A", "expected": "re:^(a|aa|a+)+$"}] * 20
                step = {"name": "s", "preconditions": asked, "command": "true"}
                at.ok(at.good, "create_workflow", definition={"name": "redos", "params": {"A": "a"}, "steps": [step]})
                begin = cpu(at)
                run = at.ok(at.good, "execute_workflow", name="redos", params=explodes, wait=60)
                self.assertEqual(run["status"], "finished", "its step was skipped")
                self.assertTrue(at.call(at.good, "get_workflow", name="a" * 200_000 + "!")[2]["result"]["isError"])
                self.assertLess(cpu(at) - begin, 10, "K14")
            self.assertEqual(select.select([trap], [], [], 0)[0], [], "K15: nothing was fetched")


if __name__ == "__main__":
    unittest.main()
