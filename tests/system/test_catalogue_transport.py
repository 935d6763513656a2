"""The transport rows of the acceptance tables (D1-D49), and every limit of a request on both sides of its edge.

Rows that test_catalogue.py and test_mcp.py hold are not repeated. A refusal has its status, its challenge or none, and
the closing that it needs; it is the only answer, and nothing of ours is in it.
"""
import base64
import concurrent.futures
import ctypes
import datetime
import json
import os
import pathlib
import re
import select
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import tempfile
import time
import unittest

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from harness import BINARY, CANARY, MODERN, ROOT, Issuer, Server, until, wellformed_key

KIB, MIB = 1024, 1024 * 1024
META = "io.modelcontextprotocol/"
PING = '{"jsonrpc":"2.0","id":1,"method":"ping"}'
PROBE = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
# What an answer shows of us when something went wrong inside.
INTERNALS = re.compile(r"\.cpp|\bstd::|boost|sqlite|openssl|exception|/tmp/|/root/|/home/", re.I)
VECTORS = pathlib.Path(os.environ.get("KUBIYA_VECTORS_DIR", ROOT.parent / "shared" / "vectors"))


def setUpModule():
    global issuer, server, good, viewer, descriptors
    issuer = Issuer()
    server = Server(issuer, workflows="examples/workflows")
    good, viewer = issuer.token(server.audience), issuer.token(server.audience, "eve", scope="read")
    server.ok(good, "whoami")
    server.ok(viewer, "whoami")
    descriptors = open_descriptors()


def tearDownModule():
    until(lambda: open_descriptors() <= descriptors)
    runs = server.ok(good, "list_executions")["executions"]
    issuer.close()
    end(server)
    assert runs == [], "nothing here may run a workflow"


def end(of):
    """A server must still be there, end in order, and have written no secret."""
    leaks, status = of.leaks(), of.stop()
    of.close()
    assert (leaks, status) == ([], 0), (leaks, status)


def open_descriptors():
    return len(os.listdir(f"/proc/{server.process.pid}/fd"))


class Wire:
    """One connection with literal bytes on it."""

    def __init__(self, of=None, receive_bytes=None):
        self.socket = socket.socket()
        if receive_bytes:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self.socket.settimeout(15)
        self.socket.connect(("127.0.0.1", (of or server).port))
        self.got = b""

    def send(self, data):
        try:
            self.socket.sendall(data)
        except ConnectionError:
            pass  # refused before all was sent; the answer tells

    def read(self):
        try:
            piece = self.socket.recv(65536)
        except ConnectionError:
            piece = b""
        self.got += piece
        return bool(piece)

    def take(self, size):
        while len(self.got) < size and self.read():
            pass
        piece, self.got = self.got[:size], self.got[size:]
        return piece

    def answer(self):
        while b"\r\n\r\n" not in self.got:
            if not self.read():
                raise AssertionError(f"closed without an answer: {self.got[:200]}")
        status, headers, _ = parse(self.got)
        self.take(self.got.index(b"\r\n\r\n") + 4)
        return status, headers, self.take(int(headers.get("content-length", 0)))

    def rest(self):
        """All that comes until the other side closes, which it must."""
        while self.read():
            pass
        self.socket.close()
        return self.got


def parse(data):
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    return int(first.split(" ")[1]), {n.lower(): v for n, v in (line.split(": ", 1) for line in lines)}, body


def request(line, *lines, body=b"", host="localhost"):
    head = "\r\n".join([line + " HTTP/1.1", "Host: " + host, *lines])
    return head.encode("latin-1") + b"\r\n\r\n" + body


def post(*lines, body=b"", token=None, path="/mcp"):
    lines = [*lines, "Content-Type: application/json", *(["Authorization: Bearer " + token] if token else [])]
    body = body.encode() if isinstance(body, str) else body
    if body and not any(line.lower().startswith(("content-length", "transfer-encoding")) for line in lines):
        lines.append(f"Content-Length: {len(body)}")
    return request("POST " + path, *lines, body=body)


class Case(unittest.TestCase):
    def closing(self, data):
        """The one answer to bytes after which nothing on the connection may be believed."""
        wire = Wire()
        wire.send(data)
        out = wire.rest()
        self.assertEqual(out.count(b"HTTP/1.1 "), 1, out[:400])
        answer = parse(out)
        self.assertEqual(answer[1].get("connection"), "close")
        return answer

    def keeping(self, data):
        """The answer to a request after which the connection goes on."""
        wire = Wire()
        wire.send(data + PROBE)
        answer = wire.answer()
        self.assertNotIn("connection", answer[1])
        self.assertEqual(wire.answer()[0], 200, "what follows is served")
        wire.socket.close()
        return answer

    def refused(self, answer, status, error=None):
        """`error` is that of the challenge: "" for a challenge without one, None for no challenge."""
        got, headers, body = answer
        text = body.decode() if isinstance(body, bytes) else json.dumps(body)
        self.assertEqual(got, status, text[:300])
        self.assertEqual(headers.get("cache-control"), "no-store")
        challenge = headers.get("www-authenticate", "")
        self.assertEqual(bool(challenge), error is not None, challenge)
        self.assertEqual(re.findall('error="([^"]*)"', challenge), [error] if error else [])
        self.assertLess(len(text), 1000)
        for shown in (text, repr(headers)):
            self.assertNotRegex(shown, INTERNALS)
            self.assertNotIn(CANARY, shown)
            self.assertNotIn(server.data, shown)
        self.assertFalse({"server", "set-cookie", "x-powered-by"} & set(headers))
        return json.loads(text) if text else None

    def code(self, answer, status, code):
        body = self.refused(answer, status)
        self.assertEqual(body["error"]["code"], code, body)
        self.assertNotIn(None, [body.get("id", "")], "an id is left out, never null")
        return body


# Each with a whole request behind it that a laxer reader would run.
CHUNKED = "Transfer-Encoding: chunked"
AMBIGUOUS = {
    "D2 two origins": request("GET /", "Origin: http://localhost", "Origin: http://localhost"),
    "D5 host empty": request("GET /", host=""),
    "D5 host with a fragment": request("GET /", host="localhost#x"),
    "D5 host with a space": request("GET /", host="local host"),
    "D5 host a list": request("GET /", host="localhost, evil.example"),
    "D5 host with a bad port": request("GET /", host="localhost:99999"),
    "D10 length padded": post("Content-Length:  5 ", body=b"hello"),
    "D10 length behind a tab": post("Content-Length:\t5", body=b"hello"),
    "D10 length empty": post("Content-Length:", body=b"hello"),
    "D10 length negative": post("Content-Length: -5", body=b"hello"),
    "D10 two equal lengths": post("Content-Length: 5", "Content-Length: 5", body=b"hello"),
    "D10 length of twenty digits": post("Content-Length: 00000000000000000005", body=b"hello"),
    "D11 chunked in two lines": post(CHUNKED, CHUNKED, body=b"0\r\n\r\n"),
    "D11 gzip, chunked": post("Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n"),
    "D11 chunked behind a tab": post("Transfer-Encoding:\tchunked", body=b"0\r\n\r\n"),
    "D11 chunked behind a vertical tab": post("Transfer-Encoding: \x0bchunked", body=b"0\r\n\r\n"),
    "D11 chunked in a folded line": post("Transfer-Encoding:\r\n chunked", body=b"0\r\n\r\n"),
    "D11 chunked in quotes": post('Transfer-Encoding: "chunked"', body=b"0\r\n\r\n"),
    "D12 size overflow": post(CHUNKED, body=b"10000000000000005\r\nhello\r\n0\r\n\r\n"),
    "D12 size of sixteen digits": post(CHUNKED, body=b"0000000000000005\r\nhello\r\n0\r\n\r\n"),
    "D12 size with a sign": post(CHUNKED, body=b"+5\r\nhello\r\n0\r\n\r\n"),
    "D12 size with a prefix": post(CHUNKED, body=b"0x5\r\nhello\r\n0\r\n\r\n"),
    "D12 size with a space": post(CHUNKED, body=b"5 \r\nhello\r\n0\r\n\r\n"),
    "D12 size missing": post(CHUNKED, body=b"\r\nhello\r\n0\r\n\r\n"),
    "D12 bare LF behind the size": post(CHUNKED, body=b"5\nhello\r\n0\r\n\r\n"),
    "D12 bare CR behind the size": post(CHUNKED, body=b"5\rhello\r\n0\r\n\r\n"),
    "D12 no CRLF behind the data": post(CHUNKED, body=b"5\r\nhello0\r\n\r\n"),
    "D12 bare LF behind the data": post(CHUNKED, body=b"5\r\nhello\n0\r\n\r\n"),
    "D12 bare LF at the end": post(CHUNKED, body=b"0\r\n\n"),
    "D12 extension": post(CHUNKED, body=b"5;a=b\r\nhello\r\n0\r\n\r\n"),
    "D12 extension of 1 MiB": post(CHUNKED, body=b"5;" + b"a" * MIB + b"\r\nhello\r\n0\r\n\r\n"),
    "D12 trailer": post(CHUNKED, body=b"0\r\nAuthorization: Bearer x\r\n\r\n"),
    "D13 bare CR in a value": request("GET /", "X: a\rY: b"),
    "D13 bare LF in a value": request("GET /", "X: a\nY: b"),
    "D13 NUL in a name": request("GET /", "X\0: a"),
    "D13 no colon": request("GET /", "X"),
    "D13 no name": request("GET /", ": a"),
    "D13 name not ASCII": request("GET /", "X\xe9: a"),
    "D13 first line folded": b"GET / HTTP/1.1\r\n Host: localhost\r\n\r\n",
    **{f"D13 twin {name}": request("GET /", name + ": x") for name in (
        "Mcp_Name", "Mcp_Session_Id", "MCP_Protocol-Version", "X_API_Key", "X_Forwarded_For", "Content_Length",
        "Transfer_Encoding", "Content_Type", "Idempotency_Key")},
    "D14 length, then chunked": post("Content-Length: 900", CHUNKED, body=b"0\r\n\r\n"),
    "D14 chunked, then length": post(CHUNKED, "Content-Length: 4", body=b"5c\r\n"),
    "D14 chunked, then something else": post(CHUNKED, "Transfer-Encoding: x", body=b"0\r\n\r\n"),
    "D14 short length, then long": post("Content-Length: 0", "Content-Length: 900"),
    "D14 chunked with a space before its colon": post("Transfer-Encoding : chunked", body=b"0\r\n\r\n"),
    "D14 chunked behind a bare LF": post("Content-Length: 0", "X: y\nTransfer-Encoding: chunked"),
    "D15 0.9": b"GET /\r\n",
    "D15 1.10": b"GET / HTTP/1.10\r\nHost: localhost\r\n\r\n",
    "D15 lower case": b"GET / http/1.1\r\nHost: localhost\r\n\r\n",
    "D16 asterisk": request("OPTIONS *"),
    "D16 back slash": request("GET /a\\b"),
    "D16 space": request("GET /a b"),
    "D16 tab": request("GET /a\tb"),
    "D16 NUL": request("GET /a\0b"),
    "D16 raw UTF-8": request("GET /\xc3\xa9"),
    "D19 CONNECT": request("CONNECT localhost:22"),
    "D45 TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
}
OLD = {"D15 1.0": b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n", "D15 2.0": b"GET / HTTP/2.0\r\nHost: localhost\r\n\r\n",
       "D15 preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"}


class Framing(Case):
    def whoami(self, subject):
        body = '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"whoami"}}'
        return post(body=body, token=issuer.token(server.audience, subject))

    def test_ambiguous_bytes_get_one_answer_and_what_follows_is_never_run(self):
        hidden = self.whoami("smuggler")
        for name, data in {**AMBIGUOUS, **OLD}.items():
            with self.subTest(name):
                answer = self.closing(data + hidden)
                self.refused(answer, 505 if name in OLD else 400)
        # The body of a request that needs none is no request either.
        wire = Wire()
        wire.send(request("GET /healthz", f"Content-Length: {len(hidden)}", body=hidden) + self.whoami("witness"))
        self.assertEqual(wire.answer()[2], b'{"status":"ok"}')
        self.assertIn(b"witness", wire.answer()[2])
        wire.socket.close()
        until(lambda: "witness" in written())
        self.assertNotIn("smuggler", written(), "D14, N7")


def journal():
    texts = [path.read_text() for path in sorted(pathlib.Path(server.data, "audit").glob("audit-*.jsonl"))]
    return [json.loads(line) for line in "".join(texts).splitlines()]


def written():
    return server.log.read_text() + json.dumps(journal())


def rpc(of=None, headers=None, path="/mcp", **message):
    return (of or server).request("POST", path, json.dumps({"jsonrpc": "2.0", **message}), {
        "Authorization": "Bearer " + good, "Content-Type": "application/json", **(headers or {})})


class Routes(Case):
    def test_one_path_is_one_route_and_every_other_is_not_found(self):
        body = '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"whoami"}}'
        for path in ("/mcp/", "//mcp", "/mcp//", "/./mcp", "/x/../mcp", "/%6dcp", "/mcp%00", "/mcp%2f", "/mcp;x",
                     "/MCP", "/mcp.json", "/mcp%3fx", "//evil.example/mcp", "/%2e%2e/mcp", "/healthz/../mcp",
                     "/.well-known/../mcp"):
            for token in (good, None):
                with self.subTest((path, bool(token))):
                    self.refused(self.keeping(post(body=body, token=token, path=path)), 404)
        for path in ("/mcp?x", "/mcp?", "/?x=/healthz"):
            self.assertEqual(self.keeping(post(body=body, token=good, path=path))[0], 200)
            self.refused(self.keeping(post(body=body, path=path)), 401, "")

    def test_methods(self):
        documents = ("/healthz", "/readyz", "/.well-known/oauth-protected-resource",
                     "/.well-known/oauth-protected-resource/mcp", "/.well-known/oauth-authorization-server")
        takes = {"/mcp": "POST, OPTIONS", "/": "GET, HEAD, POST, OPTIONS", **dict.fromkeys(documents, "GET, HEAD, OPTIONS")}
        auth = {"Authorization": "Bearer " + good, "Cookie": CANARY}
        for path, allowed in takes.items():
            for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "TRACE", "DELETE", "CONNECT", "get", "FOO"):
                if method in allowed.split(", "):
                    continue
                with self.subTest((method, path)):
                    answer = server.request(method, path, None, auth)
                    self.refused(answer[:2] + (answer[2] or b"{}",), 405)
                    self.assertEqual(answer[1]["allow"], allowed)
            with self.subTest(("OPTIONS", path)):
                for headers in (auth, {}, {"Access-Control-Request-Method": "POST"}):
                    status, got, body = server.request("OPTIONS", path, None, headers)
                    self.assertEqual((status, got["allow"], body), (204, allowed, b""))
        self.refused(server.request("OPTIONS", "/x"), 404)
        events = {"Authorization": "Bearer " + good, "Accept": "text/event-stream", "Last-Event-ID": "7"}
        for path in ("/mcp", "/"):
            self.refused(server.get(path, events), 405)

    def test_head_is_get_without_its_body(self):
        for path in ("/", "/healthz", "/readyz", "/.well-known/oauth-protected-resource",
                     "/.well-known/oauth-protected-resource/mcp", "/.well-known/oauth-authorization-server"):
            for headers in ({"Authorization": "Bearer " + good}, {}):
                with self.subTest((path, bool(headers))):
                    got, head = (server.request(method, path, None, headers) for method in ("GET", "HEAD"))
                    self.assertEqual((head[0], head[2]), (got[0], b""))
                    self.assertEqual(int(head[1]["content-length"]), len(got[2]))
                    self.assertEqual({name for name in head[1]}, {name for name in got[1]})

    def test_what_may_be_kept_by_a_cache(self):
        auth = {"Authorization": "Bearer " + good}
        for path, kept in {"/": "no-store", "/healthz": "no-store", "/readyz": "no-store",
                           "/.well-known/oauth-protected-resource": "public, max-age=300",
                           "/.well-known/oauth-authorization-server": "public, max-age=300"}.items():
            self.assertEqual(server.get(path, auth)[1]["cache-control"], kept, path)

    def test_the_state_is_told_without_names(self):
        status, _, body = server.get("/readyz", {"X-Forwarded-For": "192.0.2.7"})
        self.assertEqual((status, json.loads(body)),
                         (200, {"database": "ok", "audit": "ok", "issuers": "ok", "ready": True}))
        whole = json.loads(server.get("/readyz")[2])["issuers"]
        self.assertEqual([one["issuer"] for one in whole], [issuer.url], "on this machine the whole is told")

    def test_without_an_issuer_there_is_nowhere_to_sign_in(self):
        own = Server()
        self.addCleanup(end, own)
        for path in ("/.well-known/oauth-authorization-server", "/.well-known/oauth-protected-resource"):
            answer = own.get(path)
            self.assertIn("no authorization server", self.refused(answer, 404)["message"])

    def test_nothing_of_an_administrator_is_reachable(self):
        for path in ("/metrics", "/admin", "/config", "/debug/pprof/", "/status", "/.env", "/.git/config", "/audit",
                     "/keys"):
            for headers in ({}, {"Authorization": "Bearer " + issuer.token(server.audience, "root", scope="admin")}):
                with self.subTest("D49 " + path):
                    self.refused(server.get(path, headers), 404)

    def test_headers_that_a_stranger_may_not_use_change_nothing(self):
        call = {"id": 1, "method": "tools/call", "params": {"name": "whoami"}}
        plain = rpc(**call)
        self.assertEqual(json.loads(plain[2])["result"]["structuredContent"]["subject"], "ada")
        for name, value in (
                ("X-Forwarded-For", "192.0.2.7"), ("X-Forwarded-Host", "evil.example"), ("X-Forwarded-Proto", "https"),
                ("X-Forwarded-Uri", "/healthz"), ("Forwarded", "for=192.0.2.7;host=evil.example;proto=https"),
                ("X-Original-URL", "/healthz"), ("X-Rewrite-URL", "/healthz"), ("X-HTTP-Method-Override", "DELETE"),
                ("X-Authenticated-User", "root"), ("X-Remote-User", "root"), ("X-Real-IP", "192.0.2.7"),
                ("Connection", "Authorization"), ("Connection", "keep-alive, Authorization, Content-Type"),
                ("Cookie", f"session={CANARY}; JSESSIONID=1"), ("Last-Event-ID", CANARY)):
            with self.subTest(f"D17 D18 D25 D27 {name}"):
                status, headers, body = rpc(headers={name: value}, **call)
                self.assertEqual((status, body), plain[::2])
                self.assertEqual(set(headers), set(plain[1]))
                self.assertNotIn(CANARY, repr(headers))
        # A session that is not there is none of HTTP's proxies' doing: its client has to start anew.
        status, headers, body = rpc(headers={"Mcp-Session-Id": CANARY}, **call)
        self.assertEqual((status, json.loads(body)["error"]), (404, "session_not_found"))
        self.assertNotIn(CANARY, repr(headers) + repr(body))
        for headers in ({"X-HTTP-Method-Override": "POST"}, {"X-HTTP-Method": "POST"}):
            self.refused(server.get("/mcp", headers), 405)
        self.refused(server.get("/x", {"X-Original-URL": "/healthz", "X-Forwarded-Uri": "/healthz"}), 404)
        self.refused(server.get("/", {"X-Authenticated-User": "ada", "X-Forwarded-User": "ada"}), 401, "")
        for forged in ({"X-Forwarded-Host": "localhost"}, {"Forwarded": "host=localhost"}):
            self.refused(server.get("/healthz", {"Host": "evil.example", **forged}), 403)
        until(lambda: server.log.read_text().count('"method":"tools/call"') > 10)
        self.assertNotIn("192.0.2.7", written(), "the peer is who connected")


class Credentials(Case):
    def test_what_is_not_one_bearer_token_is_a_bad_request(self):
        bearer = "Authorization: Bearer " + good
        rows = {
            "D20 twice": [bearer, bearer], "D20 two kinds": [bearer, "Authorization: Basic YTpi"],
            "D21 empty": ["Authorization: Bearer "], "D21 no value": ["Authorization:"],
            "D21 scheme only": ["Authorization: " + good], "D21 two words": ["Authorization: Bearer x y"],
            "D21 comma": ["Authorization: Bearer x,y"], "D21 tab": ["Authorization: Bearer\t" + good],
            "D21 quotes": ['Authorization: Bearer "x"'], "D21 not ASCII": ["Authorization: Bearer x\xe9"],
            "D21 another scheme": ["Authorization: UserKey " + good], "D21 Digest": ["Authorization: Digest x=y"],
            "D23 a key": ["X-API-Key: kb-x"], "D23 two keys": ["X-API-Key: kb-x", "X-API-Key: kb-x"],
            "D23 token and key": [bearer, "X-API-Key: " + good],
        }
        for name, lines in rows.items():
            with self.subTest(name):
                self.refused(self.keeping(post(*lines, body=PING)), 400, "invalid_request")

    def test_a_token_in_the_url_is_refused_and_written_nowhere(self):
        secret = issuer.token(server.audience, "in-the-url")
        for query in ("access_token={}", "ACCESS_TOKEN={}", "a=b&access_token={}", "api_key={}", "access_token={}&x"):
            for token in (None, good):
                with self.subTest("D22 " + query):
                    answer = self.keeping(post(body=PING, token=token, path="/mcp?" + query.format(secret)))
                    self.refused(answer, 400, "invalid_request")
            self.refused(server.get("/?" + query.format(secret)), 400, "invalid_request")
        # Nothing of a body is read before the caller is known, so a form is no place for a token.
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        self.refused(server.request("POST", "/mcp", "access_token=" + secret, form), 401, "")
        form["Authorization"] = "Bearer " + good
        self.refused(server.request("POST", "/mcp", "access_token=" + secret, form), 415)
        until(lambda: "unsupported_media_type" in written())
        self.assertNotIn(secret, written())
        self.assertNotIn("in-the-url", written())


class Evidence(Case):
    def test_every_refused_call_leaves_one_record(self):
        call = '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"%s","arguments":%s}}'
        marks = {}
        for number, (reason, line, body) in enumerate((
                ("bad_json", "X: y", "{"), ("bad_message", "X: y", "[]"),
                ("bad_message", "MCP-Protocol-Version: " + MODERN, PING),
                ("unknown_tool", "X: y", call % ("nope", "{}")), ("bad_params", "X: y", call % ("whoami", "[]")),
                ("unknown_method", "X: y", PING.replace("ping", "nope")),
                ("insufficient_scope", "X: y", call % ("delete_workflow", "{}")),
                ("invalid_arguments", "X: y", call % ("get_workflow", '{"name":5}')),
                ("argument_key_refused", "X: y", call % ("whoami", '{"api_key":"k"}')),
                ("several_credentials", "X-API-Key: kb-x", PING))):
            subject = f"row-{number}"
            headers = self.keeping(post(line, body=body, token=issuer.token(server.audience, subject)))[1]
            marks[headers.get("x-request-id", subject)] = reason
        whose = lambda subject: "Authorization: Bearer " + issuer.token(server.audience, subject)
        for subject, reason, answer in (
                ("typist", "unsupported_media_type", self.keeping(request(
                    "POST /mcp", whose("typist"), "Content-Type: text/plain", "Content-Length: 1", body=b"{"))),
                ("reader", "not_acceptable", self.keeping(post("Accept: text/html", whose("reader"), body="{"))),
                ("hoarder", "body_too_large", self.closing(post(whose("hoarder"), f"Content-Length: {2 * MIB}"))),
                ("streamer", "body_too_large", self.closing(post(CHUNKED, whose("streamer"), body=b"%x\r\n" % (2 * MIB)))),
                ("mangler", "chunk", self.closing(post(CHUNKED, whose("mangler"), body=b"x\r\n")))):
            marks[subject] = reason
            line = until(lambda: [l for l in map(json.loads, server.log.read_text().splitlines())
                                  if l.get("subject") == subject])
            self.assertEqual([(l["status"], l["reason"]) for l in line], [(answer[0], reason)])
        forged = good[:-8] + "A" * 8
        for reason, token in {"no_credential": None, "not_three_parts": "a.b", "bad_signature": forged}.items():
            marks[self.keeping(post(body=PING, token=token))[1]["x-request-id"]] = reason
        self.assertEqual(len(marks), 18)
        for mark, reason in marks.items():
            with self.subTest("N4 " + reason):
                records = until(lambda: [r for r in journal() if mark in (r.get("request_id"), r.get("subject"))])
                self.assertEqual([(r["decision"], r["reason"]) for r in records], [("refused", reason)])


class MediaTypes(Case):
    def ask(self, headers, body=PING):
        return server.request("POST", "/mcp", body, {"Authorization": "Bearer " + good, **headers})

    def test_content_types_and_encodings(self):
        for value in ("text/plain", "text/plain;charset=UTF-8", "application/x-www-form-urlencoded", "text/json",
                      "multipart/form-data", "application/jsonp", "application/json; charset=utf-16", "*/*", "",
                      "application/json; charset=latin1", "application/json; x=y", "application/json, text/plain"):
            with self.subTest("D8 D28 " + value):
                self.refused(self.ask({"Content-Type": value}), 415)
        bomb = b"\x1f\x8b\x08" + bytes(1000)
        for value in ("gzip", "deflate", "br", "identity, gzip", "zstd"):
            for body in (PING, bomb):
                with self.subTest("D30 " + value):
                    self.refused(self.ask({"Content-Type": "application/json", "Content-Encoding": value}, body), 415)
        for value in ("application/json", "Application/JSON;charset=utf-8", 'application/json; charset="UTF-8"'):
            self.assertEqual(self.ask({"Content-Type": value})[0], 200)

    def test_a_client_must_accept_one_of_the_two_types(self):
        for value, status in {"text/html": 406, "image/png, text/html;q=0.5": 406, "application/xml": 406,
                              "application/jsonx": 406, ",": 406, ", ".join(["text/html"] * 1000): 406,
                              "application/json": 200, "text/event-stream": 200, "*/*": 200, "application/*;q=0.1": 200,
                              "application/json, text/event-stream": 200, None: 200}.items():
            with self.subTest(f"D29 {str(value)[:40]}"):
                accept = {} if value is None else {"Accept": value}
                answer = self.ask({"Content-Type": "application/json", **accept})
                self.assertEqual(answer[0], status) if status == 200 else self.refused(answer, status)


# Of the files whose outcome JSON leaves open, those that are read; every other one is refused.
READ_OPENLY = """i_number_double_huge_neg_exp i_number_real_underflow i_number_too_big_neg_int i_number_too_big_pos_int
i_number_very_big_negative_int""".split()


class Bodies(Case):
    def ask(self, body):
        return server.request("POST", "/mcp", body.encode() if isinstance(body, str) else body, {
            "Authorization": "Bearer " + good, "Content-Type": "application/json"})

    def test_what_is_no_message(self):
        whole = '{"jsonrpc":"2.0","id":1,%s}'
        call = whole % '"method":"tools/call","params":{"name":"whoami",%s}'
        rows = {
            "D31 batch of one": f"[{PING}]", "D31 nested": f"[[{PING}]]", "D31 batch of nothing": "[{}]",
            "D31 text": '"ping"', "D31 number": "1", "D31 null": "null", "D31 empty": "{}",
            "D32 float": PING.replace("1,", "1.5,"), "D32 exponent": PING.replace("1,", "1e0,"),
            "D32 object": PING.replace("1,", "{},"), "D32 array": PING.replace("1,", "[1],"),
            "D32 true": PING.replace("1,", "true,"), "D32 over 64 bits": PING.replace("1,", "18446744073709551616,"),
            "D32 1 MiB": PING.replace("1,", '"%s",' % ("x" * (MIB - 60))),
            "D33 result": whole % '"result":{"a":1}', "D33 error": whole % '"error":{"code":1,"message":"x"}',
            "D33 text id": '{"jsonrpc":"2.0","id":"a","result":{}}', "D33 no id": '{"jsonrpc":"2.0","result":{}}',
            "D34 jsonrpc": whole % '"jsonrpc":"2.0","method":"ping"', "D34 id": whole % '"id":2,"method":"ping"',
            "D34 escaped": whole % '"method":"ping","m\\u0065thod":"x"',
            "D34 params": whole % '"method":"ping","params":{},"params":{}',
            "D34 name": call % '"name":"list_workflows"', "D34 arguments": call % '"arguments":{},"arguments":{}',
            "D34 an argument": call % '"arguments":{"limit":1,"limit":2}',
            "D34 deep": call % '"arguments":{"x":[{"y":{"z":1,"z":1}}]}', "D34 _meta": call % '"_meta":{"a":1,"a":2}',
            "D35 METHOD": whole % '"METHOD":"ping"', "D35 long s": whole % '"method\u017f":"ping"',
            "D35 JSONRPC": PING.replace("jsonrpc", "JSONRPC"),
        }
        for name, body in rows.items():
            with self.subTest(name):
                self.code(self.ask(body), 400, -32600)

    def test_members_of_another_case_are_not_used(self):
        call = '{"jsonrpc":"2.0","id":1,"method":"tools/call",%s}'
        for name, members in {"PARAMS": '"PARAMS":{"name":"whoami"}', "long s": '"param\u017f":{"name":"whoami"}',
                              "Name": '"params":{"Name":"whoami"}'}.items():
            with self.subTest("D35 " + name):
                self.code(self.ask(call % members), 400, -32602)
        body = call % '"PARAMS":{"name":"x"},"params":{"Name":"delete_workflow","name":"whoami","Arguments":{"x":1}}'
        answer = json.loads(self.ask(body.replace('"id":1', '"id":1,"Method":"x","ID":2'))[2])
        self.assertEqual((answer["id"], answer["result"]["structuredContent"]["subject"]), (1, "ada"))

    def test_texts_that_are_not_json(self):
        ping = PING.encode()
        text = lambda piece: ping.replace(b"1,", b'"' + piece + b'",')
        more = lambda member: ping.replace(b"}", b"," + member + b"}")
        rows = {
            "byte FF": text(b"\xff"), "overlong": text(b"\xc0\xaf"), "surrogate in UTF-8": text(b"\xed\xa0\x80"),
            "over U+10FFFF": text(b"\xf4\x90\x80\x80"), "cut": text(b"\xe2\x82"), "FF in a name": more(b'"\xff":1'),
            "low surrogate": text(b"\\udc00"), "high surrogates": text(b"\\ud800\\ud800"),
            "lone surrogate in a name": more(b'"\\ud800":1'), "byte order mark": b"\xef\xbb\xbf" + ping,
            "UTF-16": PING.encode("utf-16"), "UTF-32": PING.encode("utf-32"), "NUL behind": ping + b"\0",
            "two texts": ping * 2, "comma behind": ping + b",", "nothing": b"", "spaces": b"   ",
            "raw line end": text(b"a\nb"), "NaN": ping.replace(b"1,", b"NaN,"), "comment": b"/**/" + ping,
            "number over a double": more(b'"x":1e400'),
        }
        for name, body in rows.items():
            with self.subTest("D36 " + name):
                self.code(self.ask(body), 400, -32700)

    def test_the_suite(self):
        files = sorted((VECTORS / "jsontestsuite" / "test_parsing").glob("*.json"))
        if not files:
            self.skipTest("the vectors are absent")
        seen = {"y": 0, "n": 0, "i": 0}
        for path in files:
            with self.subTest("D37 " + path.stem):
                kind = path.stem[0]
                seen[kind] += 1
                read = kind == "y" or path.stem in READ_OPENLY
                self.code(self.ask(path.read_bytes()), 400, -32600 if read else -32700)
        self.assertEqual(seen, {"y": 95, "n": 188, "i": 35})


def coded(data):
    """How Mcp-Name carries what no header can."""
    return "=?base64?" + base64.b64encode(data).decode() + "?="


class Envelope(Case):
    def ask(self, method="tools/call", params=None, meta=None, headers=None, token=None, ident=41):
        meta = {META + "protocolVersion": MODERN, META + "clientCapabilities": {}, **(meta or {})}
        params = {**({"name": "whoami"} if params is None else params), "_meta": meta}
        given = {"MCP-Protocol-Version": MODERN, "Mcp-Method": method, "Mcp-Name": params.get("name", "")}
        given.update(headers or {})
        several = lambda value: value if isinstance(value, list) else [value]
        lines = [f"{name}: {one}" for name, value in given.items() for one in several(value)]
        body = json.dumps({"jsonrpc": "2.0", "id": ident, "method": method, "params": params})
        return self.keeping(post(*lines, body=body, token=token or good))

    def test_headers_that_do_not_repeat_the_body(self):
        rows = [("Mcp-Name", value) for value in (
            [], ["whoami"] * 2, ["whoami", "list_workflows"], "", "whoami x", "WHOAMI", "who\xe4mi", "=?base64??=",
            "=?base64?d2hvYW1p", "=?BASE64?d2hvYW1p?=", "=?Base64?d2hvYW1p?=", "=?base64?d2hvYW1pIQ?=",
            "=?base64?d2hvYW1 p?=", "=?base64?d2hvYW1p====?=", "=?base64?_-__?=", coded(b"whoami\xff"),
            coded(b"whoami\0"), coded(b"WHOAMI"))]
        rows += [("Mcp-Method", value) for value in (
            [], ["tools/call"] * 2, "tools/Call", "tools%2fcall", coded(b"tools/call"))]
        rows += [("MCP-Protocol-Version", value) for value in (
            [], [MODERN] * 2, [MODERN, "2025-11-25"], "2026-07-2", "")]
        for name, value in rows:
            with self.subTest(f"D38 {name}: {value}"):
                self.assertEqual(self.code(self.ask(headers={name: value}), 400, -32020)["id"], 41)
        for value in ("  whoami\t", coded(b"whoami")):
            self.assertEqual(self.ask(headers={"Mcp-Name": value})[0], 200)

    def test_unsupported_versions_and_broken_envelopes(self):
        version, capabilities = META + "protocolVersion", META + "clientCapabilities"
        for value in ("2027-01-01", "2026-07-28 ", "DRAFT-2026-v1", "x" * 200):
            with self.subTest("D39 " + value[:20]):
                body = self.code(self.ask("server/discover", meta={version: value}, headers={
                    "MCP-Protocol-Version": value}), 400, -32020 if value.endswith(" ") else -32022)
                if not value.endswith(" "):
                    self.assertIn(MODERN, body["error"]["data"]["supported"])
        for meta in ({version: None}, {version: 20260728}, {capabilities: None}, {capabilities: "x"},
                     {"progressToken": {}}, {"progressToken": 1.5}):
            with self.subTest(f"D39 {meta}"):
                self.code(self.ask(meta=meta), 400, -32602)

    def test_unknown_names_are_shown_escaped_and_short(self):
        deceptive = "<b>\n\0\x1b[31m\u202e\u200b\ufeff"
        for name in ("x" * 5000, deceptive, deceptive * 100, "nope", "", "tools/call", "whoami "):
            with self.subTest("D40 " + repr(name)[:30]):
                answer = self.ask(params={"name": name}, headers={"Mcp-Name": coded(name.encode())})
                body = self.code(answer, 400, -32602)
                self.assertRegex(body["error"]["message"], r"^Unknown tool: [ -~]{0,64}…?$")
        body = self.code(self.ask("x" * 3000, params={}), 404, -32601)
        self.assertRegex(body["error"]["message"], r"^Method not found: x{64}…$")

    def test_of_several_faults_the_first_in_the_order_is_told(self):
        evil, form, other = "Host: evil.example", "Content-Type: text/plain", "Accept: text/html"
        huge, long = f"Content-Length: {2 * MIB}", "X: " + "y" * 17000
        auth = "Authorization: Bearer " + good
        rows = [
            ("framing before host", 400, None, request("POST /mcp", "Content-Length: x", host="evil.example")),
            ("header size before host", 431, None, request("POST /mcp", long, host="evil.example")),
            ("line size before host", 414, None, request("POST /" + "a" * 9000, host="evil.example")),
            ("host before path", 403, None, request("GET /x", host="evil.example")),
            ("host before method", 403, None, request("PUT /mcp", host="evil.example")),
            ("origin before credential", 403, None, request("POST /mcp", "Origin: null", "Authorization: Basic x")),
            ("origin before size", 403, None, request("POST /mcp", "Origin: null", huge)),
            ("path before credential", 404, None, request("GET /x", auth, auth)),
            ("method before credential", 405, None, request("PUT /mcp", auth, auth)),
            ("credential before size", 401, "", request("POST /mcp", huge)),
            ("two credentials before size", 400, "invalid_request", request("POST /mcp", auth, auth, huge)),
            ("bad token before size", 401, "invalid_token", request("POST /mcp", "Authorization: Bearer a.b.c", huge)),
            ("credential before type", 401, "", request("POST /mcp", form, other)),
            ("size before type", 413, None, request("POST /mcp", auth, form, other, huge)),
            ("type before accept", 415, None, request("POST /mcp", auth, form, other, "Content-Length: 1", body=b"{")),
            ("accept before JSON", 406, None, post(other, body="{", token=good)),
        ]
        for name, status, error, data in rows:
            with self.subTest(name):
                closes = status in (400, 403, 413, 414, 431) and error is None or huge.encode() in data
                self.refused(self.closing(data) if closes else self.keeping(data), status, error)
        no_method, version = {"Mcp-Method": []}, META + "protocolVersion"
        later = lambda **more: {"meta": {version: "2099-01-01"},
                                "headers": {"MCP-Protocol-Version": "2099-01-01", **more}}
        for name, code, answer in (
                ("envelope before headers", -32602, self.ask(meta={version: 5}, headers=no_method)),
                ("headers before version", -32020, self.ask(meta={version: "2099-01-01"}, headers={"Mcp-Name": "x"})),
                ("version before name header", -32022, self.ask(**later(**{"Mcp-Name": "x"}))),
                ("version before method", -32022, self.ask("no/such", **later())),
                ("name header before tool", -32020, self.ask(params={"name": "nope"}, headers={"Mcp-Name": "x"})),
                ("params before scope", -32602, self.ask(params={"name": "nope"}, token=viewer))):
            with self.subTest(name):
                self.code(answer, 400, code)
        self.code(self.ask("no/such", params={}, token=viewer), 404, -32601)
        wrong = {"name": "execute_workflow", "arguments": {"name": 5}}
        self.refused(self.ask(params=wrong, token=viewer), 403, "insufficient_scope")
        status, _, body = self.ask(params=wrong)
        self.assertEqual((status, json.loads(body)["result"]["isError"]), (200, True))


class Limits(Case):
    def edge(self, name, limit, make, inside, outside, closes=True):
        for size in (limit - 1, limit, limit + 1):
            with self.subTest(f"{name} {size}"):
                over = size > limit
                answer = (self.closing if over and closes else self.keeping)(make(size))
                if over:
                    self.refused(answer, outside, "invalid_token" if outside == 401 else None)
                self.assertEqual(answer[0], outside if over else inside, answer[2][:200])

    def test_heads(self):
        line = len("GET /healthz? HTTP/1.1")
        self.edge("request line", 8 * KIB, lambda n: request("GET /healthz?" + "a" * (n - line)), 200, 414)
        block = len("Host: localhost\r\nX: \r\n")
        self.edge("headers", 16 * KIB, lambda n: request("GET /healthz", "X: " + "a" * (n - block)), 200, 431)
        self.edge("fields", 100, lambda n: request("GET /healthz", *["X: a"] * (n - 1)), 200, 431)
        for name, lines in {"16 KiB": ["x" * 16 * KIB + ": y"], "100 000 times": ["X: a"] * 100_000}.items():
            with self.subTest("K12 a name of " + name):
                self.refused(self.closing(request("GET /healthz", *lines)), 431)

    def token_of(self, size):
        """A good token of that many bytes; base64 does not reach every length with one part alone."""
        for more in range(4):
            header = {"alg": "RS256", "kid": "rsa", "x": "y" * more}
            claims = issuer.claims(server.audience, pad="")
            start = len(issuer.sign(header, claims))
            for pad in range((size - start) * 3 // 4 - 4, (size - start) * 3 // 4 + 5):
                token = issuer.sign(header, {**claims, "pad": "p" * pad})
                if len(token) == size:
                    return token
        raise AssertionError(f"no token of {size} bytes")

    def test_tokens(self):
        self.edge("D24 token", 8 * KIB, lambda n: post(body=PING, token=self.token_of(n)), 200, 401, closes=False)

    def test_bodies(self):
        ping = lambda n: PING + " " * (n - len(PING))
        self.edge("body", MIB, lambda n: post(body=ping(n), token=good), 200, 413)
        # Without a length the size is known only by counting.
        chunk = lambda text: f"{len(text):x}\r\n{text}\r\n"
        pieces = lambda text: "".join(chunk(text[i:i + 50_000]) for i in range(0, len(text), 50_000)) + "0\r\n\r\n"
        self.edge("K17 chunked body", MIB, lambda n: post(CHUNKED, body=pieces(ping(n)), token=good), 200, 413)

    def test_a_stranger_sends_no_large_body(self):
        for size in (64 * KIB - 1, 64 * KIB, 64 * KIB + 1):
            for token, error in ((None, ""), ("a.b.c", "invalid_token")):
                with self.subTest((size, token)):
                    if size <= 64 * KIB:
                        self.refused(self.keeping(post(body=" " * size, token=token)), 401, error)
                    else:  # answered before any of it is sent, and without waiting for it
                        self.refused(self.closing(post(f"Content-Length: {size}", token=token)), 401, error)
                        body = f"{size:x}\r\n" + " " * size + "\r\n0\r\n\r\n"
                        self.refused(self.closing(post(CHUNKED, body=body, token=token)), 401, error)

    def test_json(self):
        nested = lambda n: PING[:-1] + ',"params":' + '{"a":' * (n - 2) + "{}" + "}" * (n - 1)
        values = lambda n: PING[:-1] + ',"params":{"a":[' + "0," * (n - 7) + "0]}}"
        for name, limit, make in (("depth", 64, nested), ("values", 100_000, values)):
            for size in (limit - 1, limit, limit + 1):
                with self.subTest(f"D36 {name} {size}"):
                    answer = self.keeping(post(body=make(size), token=good))
                    self.assertEqual(answer[0], 200) if size <= limit else self.code(answer, 400, -32700)
        names = "{" + ",".join(f'"{i}":0' for i in range(90_000)) + "}"
        for name, body in {"arrays": "[" * MIB, "objects": '{"a":' * (MIB // 5), "names": names, "digits": "1" * MIB,
                           "NULs": '["' + "\\u0000" * 100_000 + '"'}.items():
            with self.subTest("K10 " + name):
                begin = time.monotonic()
                answer = self.keeping(post(body=body, token=good))
                self.code(answer, 400, -32600 if name == "names" else -32700)
                self.assertLess(time.monotonic() - begin, 2)


class Patience(Case):
    """The limits in time, made short. The server looks four times a second, and the machine may be busy."""
    SHORT = {"HEADERS": "1s", "IDLE": "1s", "BODY": "8s", "WRITE_STALL": "1s", "EVENT_COMMENT": "1s"}
    SLACK = 2.0

    @classmethod
    def setUpClass(cls):
        cls.flows = pathlib.Path(tempfile.mkdtemp(prefix="kubiya-patience-"))
        (cls.flows / "quiet.json").write_text('{"name":"quiet","steps":[{"name":"s","command":"sleep 2.6"}]}')
        env = {"KUBIYA_SERVER_LIMITS_" + name: value for name, value in cls.SHORT.items()}
        cls.server = Server(issuer, workflows=cls.flows, env=env)
        cls.token = issuer.token(cls.server.audience)
        cls.addClassCleanup(shutil.rmtree, cls.flows)
        cls.addClassCleanup(end, cls.server)

    def drip(self, head, piece=b"", every=0.1, times=100, wire=None):
        """Sends piece by piece until the other side says or does something."""
        wire = wire or Wire(self.server)
        wire.send(head)
        for _ in range(times):
            if select.select([wire.socket], [], [], every)[0]:
                break
            wire.send(piece)
        return wire

    def ends(self, limit, status, wire, begin):
        out = wire.rest()
        self.assertTrue(limit <= time.monotonic() - begin <= limit + self.SLACK, time.monotonic() - begin)
        if status is None:
            self.assertEqual(out, b"", "closed without a word")
        else:
            self.assertEqual(out.count(b"HTTP/1.1 "), 1)
            self.refused(parse(out), status)

    def headers_whole_in_time(self):
        wire = self.drip(b"GET /healthz HTTP/1.1\r\n", b"", 0.6, 1)
        wire.send(b"Host: localhost\r\n\r\n")
        self.assertEqual(wire.answer()[0], 200)

    def headers_byte_by_byte(self):
        begin = time.monotonic()
        self.ends(1, 408, self.drip(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: ", b"y", 0.05), begin)

    def headers_of_one_byte(self):
        begin = time.monotonic()
        self.ends(1, 408, self.drip(b"G"), begin)

    def idle_from_the_start(self):
        begin = time.monotonic()
        self.ends(1, None, self.drip(b""), begin)

    def idle_between_requests(self):
        wire = Wire(self.server)
        for pause in (0.6, 0.6, 0):
            wire.send(PROBE)
            self.assertEqual(wire.answer()[0], 200)
            begin = time.monotonic()
            time.sleep(pause)
        self.ends(1, None, wire, begin)

    def body_fast_enough(self):
        size = len(PING) + 56 * 300
        wire = self.drip(post(f"Content-Length: {size}", token=self.token) + PING.encode(), b" " * 300, 0.1, 56)
        self.assertEqual(wire.answer()[0], 200)

    def body_too_slow(self):
        begin = time.monotonic()
        self.ends(5, 408, self.drip(post("Content-Length: 60000", token=self.token), b" " * 50), begin)

    def chunked_body_too_slow(self):
        begin = time.monotonic()
        self.ends(5, 408, self.drip(post(CHUNKED, token=self.token), b"a\r\n          \r\n"), begin)

    def body_too_long_on_its_way(self):
        begin = time.monotonic()
        self.ends(8, 408, self.drip(post("Content-Length: 60000", token=self.token), b" " * 300), begin)

    def unread(self, receive_bytes=None):
        """A connection with more answers on it than the kernel holds, and how many requests went out."""
        wire, sent = Wire(self.server, receive_bytes), 0
        burst = request("GET /.well-known/oauth-protected-resource") * 100
        wire.socket.settimeout(0.3)
        try:
            while True:
                wire.socket.sendall(burst)
                sent += 100
        except TimeoutError:
            pass
        wire.socket.settimeout(15)
        return wire, sent

    def reader_that_stalls(self):
        wire, sent = self.unread(4096)
        time.sleep(1 + self.SLACK)
        self.assertLess(wire.rest().count(b"HTTP/1.1 200"), sent, "cut off")

    def reader_that_goes_on(self):
        wire, sent = self.unread()
        time.sleep(0.2)
        while wire.got.count(b"HTTP/1.1 200") < sent:
            self.assertTrue(wire.read(), "cut off")
        wire.socket.close()

    def quiet_stream(self):
        meta = {META + "protocolVersion": MODERN, META + "clientCapabilities": {}, "progressToken": 1}
        params = {"name": "execute_workflow", "arguments": {"name": "quiet", "wait": 20}, "_meta": meta}
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})
        wire = Wire(self.server)
        wire.send(post("MCP-Protocol-Version: " + MODERN, "Mcp-Method: tools/call", "Mcp-Name: execute_workflow",
                       "Connection: close", body=body, token=self.token))
        out = wire.rest()
        self.assertIn(out.count(b": keep-alive\n\n"), (1, 2), out)
        self.assertIn(b'"status":"finished"', out)

    def test_limits_in_time(self):
        rows = [self.headers_whole_in_time, self.headers_byte_by_byte, self.headers_of_one_byte,
                self.idle_from_the_start, self.idle_between_requests, self.body_fast_enough, self.body_too_slow,
                self.chunked_body_too_slow, self.body_too_long_on_its_way, self.reader_that_stalls,
                self.reader_that_goes_on, self.quiet_stream]
        with concurrent.futures.ThreadPoolExecutor(len(rows)) as pool:
            for row, done in [(row, pool.submit(row)) for row in rows]:
                with self.subTest(row.__name__):
                    done.result()


class Browsers(Case):
    """Host, Origin and CORS on a server behind a proxy, and on one without."""

    @classmethod
    def setUpClass(cls):
        cls.fronted = Server(issuer, "--trusted-proxy", "127.0.0.1", "--public-url", "https://mcp.example.com",
                             env={"KUBIYA_SERVER_ORIGINS": "https://app.example.com"})
        cls.addClassCleanup(end, cls.fronted)

    def no_cors(self, answer):
        self.refused(answer, 403)
        self.assertEqual([name for name in answer[1] if name.startswith("access-control")], [])
        self.assertEqual(answer[1]["connection"], "close")

    def test_foreign_hosts(self):
        for host in ("evil.example", "localhost.", "localhost.evil.example", "127.0.0.1.evil.example", "127.1",
                     "0.0.0.0", "2130706433", "0x7f.1", "[::]", "[::ffff:127.0.0.1]", "mcp.example.com"):
            for method, path in (("GET", "/healthz"), ("POST", "/mcp"), ("GET", "/.well-known/x")):
                with self.subTest(f"D1 {host} {path}"):
                    self.no_cors(server.request(method, path, None, {"Host": host, "Authorization": "Bearer " + good}))
        for host in ("localhost", "LOCALHOST:1", "127.0.0.1:80", "[::1]:8000"):
            self.assertEqual(server.get("/healthz", {"Host": host})[0], 200, host)

    def test_foreign_origins(self):
        for origin in ("https://evil.example", "null", "http://localhost.evil.example", "file://localhost", "*",
                       "http://localhost:1@evil.example", "http://evil.example/localhost", "localhost",
                       "https://mcp.example.com"):
            for method, path in (("POST", "/mcp"), ("OPTIONS", "/mcp"), ("GET", "/"), ("GET", "/x")):
                with self.subTest(f"D2 D3 D6 {origin} {method}"):
                    headers = {"Origin": origin, "Access-Control-Request-Method": "POST",
                               "Access-Control-Request-Headers": "authorization"}
                    self.no_cors(server.request(method, path, None, headers))

    def test_origin_and_host_must_both_be_ours(self):
        ours, app = "mcp.example.com", "https://app.example.com"
        for host, origin, status in (
                (ours, app, 200), ("evil.example", app, 403), (ours, "https://evil.example", 403),
                ("evil.example", "https://evil.example", 403), (ours, "http://app.example.com", 403),
                (ours, "https://app.example.com:444", 403), (ours, "https://APP.example.com.evil.example", 403)):
            with self.subTest(f"D4 {host} {origin}"):
                answer = self.fronted.get("/healthz", {"Host": host, "Origin": origin})
                self.assertEqual(answer[0], status)
                if status == 403:
                    self.no_cors(answer)

    def test_preflights_name_the_one_origin(self):
        asked = {"Access-Control-Request-Method": "POST",
                 "Access-Control-Request-Headers": "authorization,content-type,mcp-method,Mcp-Param-Region"}
        for of, origin in ((server, "http://localhost:5173"), (server, "http://127.0.0.1:1"),
                           (self.fronted, "https://app.example.com")):
            with self.subTest("D7 " + origin):
                status, headers, body = of.request("OPTIONS", "/mcp", None, {"Origin": origin, **asked})
                self.assertEqual((status, body, headers["access-control-allow-origin"]), (204, b"", origin))
                allowed = re.split(", *", headers["access-control-allow-headers"])
                self.assertTrue({"authorization", "content-type", "mcp-method", "mcp-param-region"} <= set(allowed))
                self.assertIn("POST", headers["access-control-allow-methods"])
                self.assertEqual(headers["vary"], "Origin")
                self.assertNotIn("access-control-allow-credentials", headers)
                self.assertNotIn("*", repr(headers))
                status, headers, _ = of.request("POST", "/mcp", PING, {"Origin": origin})
                self.assertEqual((status, headers["access-control-allow-origin"]), (401, origin))
                for name in ("WWW-Authenticate", "X-Request-Id", "Retry-After"):
                    self.assertIn(name, headers["access-control-expose-headers"])

    def test_metadata_is_for_everybody(self):
        for path in ("/.well-known/oauth-protected-resource", "/.well-known/oauth-authorization-server", "/.well-known/x"):
            for origin in ({}, {"Origin": "https://evil.example"}, {"Origin": "null"}):
                with self.subTest((path, origin)):
                    headers = server.get(path, origin)[1]
                    self.assertEqual((headers["access-control-allow-origin"], headers.get("vary")), ("*", None))
        self.assertNotIn("access-control-allow-origin", server.get("/healthz")[1])

    def test_a_trusted_proxy_is_believed(self):
        for name, headers, status in (
                ("host", {"X-Forwarded-Host": "evil.example"}, 403), ("the client's Forwarded", {"Forwarded": "host=evil.example"}, 200),
                ("the client's Forwarded", {"Forwarded": "host=mcp.example.com", "Host": "10.0.0.5"}, 403),
                ("host", {"X-Forwarded-Host": "mcp.example.com", "Host": "10.0.0.5"}, 200),
                ("own origin", {"X-Forwarded-Host": "mcp.example.com", "X-Forwarded-Proto": "https",
                                "Origin": "https://mcp.example.com"}, 200),
                ("own origin over http", {"X-Forwarded-Host": "mcp.example.com", "X-Forwarded-Proto": "http",
                                          "Origin": "https://mcp.example.com"}, 403)):
            with self.subTest(f"D17 {name}"):
                self.assertEqual(self.fronted.get("/healthz", {"Host": "mcp.example.com", **headers})[0], status)
        chain = {"X-Forwarded-For": "198.51.100.9, 192.0.2.7"}
        self.refused(self.fronted.get("/", {"Host": "mcp.example.com", **chain}), 401, "")
        line = until(lambda: [l for l in self.fronted.log.read_text().splitlines() if "no_credential" in l])[0]
        self.assertEqual(json.loads(line)["peer"], "192.0.2.7", "what the nearest hop says, not what a client wrote")


def vector(data, width):
    return len(data).to_bytes(width, "big") + data


def hello(version=0x0303, ciphers=(0xC02F,), signatures=(0x0401,), compressions=(0,), name="localhost", pad=0):
    """A ClientHello of TLS 1.2 and before, which offers exactly this."""
    numbers = lambda values: b"".join(value.to_bytes(2, "big") for value in values)
    extensions = {10: vector(numbers((0x0017, 0x001D)), 2), 11: b"\1\0", 13: vector(numbers(signatures), 2)}
    if name:
        extensions[0] = vector(b"\0" + vector(name.encode(), 2), 2)
    if pad:
        extensions[21] = bytes(pad)
    body = version.to_bytes(2, "big") + os.urandom(32) + b"\0"
    body += vector(numbers(ciphers), 2) + vector(bytes(compressions), 1)
    body += vector(b"".join(kind.to_bytes(2, "big") + vector(data, 2) for kind, data in extensions.items()), 2)
    return b"\1" + vector(body, 3)


def records(message, size=16 * KIB):
    return b"".join(b"\x16\3\1" + vector(message[i:i + size], 2) for i in range(0, len(message), size))


class Libssl:
    """A client that can do what Python's ssl cannot: ask for a second handshake, and look into its ticket."""

    def __init__(self, port, newest=0):
        self.lib = ctypes.CDLL("libssl.so.3")
        for name in ("TLS_client_method", "SSL_CTX_new", "SSL_new", "SSL_get1_session"):
            getattr(self.lib, name).restype = ctypes.c_void_p
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 5, 0))
        context = ctypes.c_void_p(self.lib.SSL_CTX_new(ctypes.c_void_p(self.lib.TLS_client_method())))
        self.lib.SSL_CTX_ctrl(context, 124, ctypes.c_long(newest), None)  # SSL_CTRL_SET_MAX_PROTO_VERSION
        self.ssl = ctypes.c_void_p(self.lib.SSL_new(context))
        self.lib.SSL_set_fd(self.ssl, self.socket.fileno())
        self.connected = self.lib.SSL_connect(self.ssl) == 1

    def get(self):
        buffer = ctypes.create_string_buffer(4096)
        self.lib.SSL_write(self.ssl, PROBE, len(PROBE))
        size = self.lib.SSL_read(self.ssl, buffer, len(buffer))
        return buffer.raw[:max(0, size)]


# All that TLS 1.2 and before could agree on and no longer should.
WEAK = {
    "NULL": (0x0001, 0x0002, 0x003B, 0xC010), "RC4": (0x0004, 0x0005, 0xC011), "DES": (0x0009, 0x0015),
    "EXPORT": (0x0003, 0x0008, 0x0014, 0x0062), "3DES": (0x000A, 0x0016, 0xC012),
    "anonymous": (0x0018, 0x0034, 0x006D, 0x00A6, 0xC018), "CBC": (0xC013, 0xC014, 0xC027, 0xC028, 0x0033, 0x0067),
    "no forward secrecy": (0x002F, 0x0035, 0x003C, 0x009C, 0x009D), "others": (0x0096, 0x0041, 0x0007, 0x008C, 0x00A8)}


class Tls(Case):
    @classmethod
    def setUpClass(cls):
        cls.place = pathlib.Path(tempfile.mkdtemp(prefix="kubiya-tls-"))
        cls.cert, cls.key = cls.place / "cert.pem", cls.place / "key.pem"
        cls.write(1)
        cls.server = cls.open(env={"KUBIYA_SERVER_LIMITS_TLS_HANDSHAKE": "1s"})
        cls.addClassCleanup(shutil.rmtree, cls.place)
        cls.addClassCleanup(end, cls.server)

    @classmethod
    def write(cls, serial):
        private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
        now, day = datetime.datetime.now(datetime.timezone.utc), datetime.timedelta(1)
        made = (x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(private.public_key())
                .serial_number(serial).not_valid_before(now - day).not_valid_after(now + day)
                .sign(private, hashes.SHA256()))
        cls.cert.write_bytes(made.public_bytes(serialization.Encoding.PEM))
        cls.key.write_bytes(private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                                  serialization.NoEncryption()))
        cls.key.chmod(0o600)

    @classmethod
    def open(cls, **more):
        opened = Server(issuer, "--tls-cert", cls.cert, "--tls-key", cls.key, ready=False, **more)
        opened.wait_ready = lambda: until(lambda: cls.reachable(opened), 30)
        opened.wait_ready()
        return opened

    @classmethod
    def reachable(cls, of):
        assert of.process.poll() is None, of.log.read_text()
        try:
            return cls.get(of)[0] == 200
        except OSError:
            return False

    @classmethod
    def get(cls, of=None, protocols=(), name="localhost", host="localhost"):
        """The answer over TLS, and the serial number of the certificate."""
        context = ssl._create_unverified_context()
        if protocols:
            context.set_alpn_protocols(protocols)
        plain = socket.create_connection(("127.0.0.1", (of or cls.server).port), timeout=10)
        with context.wrap_socket(plain, server_hostname=name) as secure:
            secure.sendall(request("GET /readyz", "Connection: close", host=host))
            out = b""
            while piece := secure.recv(65536):
                out += piece
            return *parse(out), x509.load_der_x509_certificate(secure.getpeercert(True)).serial_number

    def offered(self, message, size=16 * KIB):
        """What the server says to a ClientHello: its choice, or the alert."""
        wire = Wire(self.server)
        wire.send(records(message, size))
        kind, rest = (wire.take(5) + b"\0")[0], wire.take(2)
        if kind == 22:
            body = wire.take(120)
            session = body[36]
            version, cipher = int.from_bytes(body[2:4], "big"), int.from_bytes(body[37 + session:39 + session], "big")
            wire.socket.close()
            return "chosen", version, cipher, body[39 + session]
        self.assertEqual(wire.rest(), b"", "closed")
        return ("alert", rest[1]) if kind == 21 else ("closed",)

    def test_what_is_old_or_weak_is_refused(self):
        agreed = ("chosen", 0x0303, 0xC02F, 0)
        self.assertEqual(self.offered(hello()), agreed)
        for name, version, alert in (("SSL 3", 0x0300, 40), ("TLS 1.0", 0x0301, 70), ("TLS 1.1", 0x0302, 70)):
            with self.subTest("D41 " + name):
                self.assertEqual(self.offered(hello(version)), ("alert", alert))
        for name, ciphers in WEAK.items():
            for cipher in ciphers:
                with self.subTest(f"D41 {name} {cipher:04x}"):
                    self.assertEqual(self.offered(hello(ciphers=(cipher,))), ("alert", 40))
            self.assertEqual(self.offered(hello(ciphers=(*ciphers, 0xC02F))), agreed)
        for name, signatures in {"SHA-1": (0x0201, 0x0203), "MD5": (0x0101,)}.items():
            with self.subTest("D41 " + name):
                self.assertEqual(self.offered(hello(signatures=signatures)), ("alert", 40))
        self.assertEqual(self.offered(hello(compressions=(1, 0))), agreed, "D41 compression")
        self.assertEqual(self.offered(hello(compressions=(1,)))[0], "alert", "D41 compression alone")
        wire = Wire(self.server)
        wire.send(b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10" + bytes(37))
        self.assertNotEqual(wire.rest()[:1], b"\x16", "D41 SSL 2")

    def test_nobody_starts_a_second_handshake(self):
        client = Libssl(self.server.port, newest=0x0303)
        self.assertTrue(client.connected and b"200 OK" in client.get())
        client.lib.SSL_renegotiate(client.ssl)
        self.assertNotEqual(client.lib.SSL_do_handshake(client.ssl), 1, "D41 renegotiation")
        client.socket.close()

    def test_tickets_allow_no_early_data(self):
        client = Libssl(self.server.port)
        self.assertTrue(client.connected and b"200 OK" in client.get())
        session = ctypes.c_void_p(client.lib.SSL_get1_session(client.ssl))
        self.assertEqual(client.lib.SSL_SESSION_get_max_early_data(session), 0, "D44")
        client.socket.close()

    def test_the_same_policy_however_the_hello_comes(self):
        for name, change, size in (
                ("no name", {"name": None}, 16 * KIB), ("another name", {"name": "evil.example"}, 16 * KIB),
                ("64 KiB", {"pad": 60 * KIB}, 16 * KIB), ("64 KiB in pieces", {"pad": 60 * KIB}, 400),
                ("byte by byte", {}, 1), ("in two", {}, 40)):
            with self.subTest("D42 " + name):
                self.assertEqual(self.offered(hello(**change), size), ("chosen", 0x0303, 0xC02F, 0))
                self.assertEqual(self.offered(hello(0x0302, **change), size), ("alert", 70))
                self.assertEqual(self.offered(hello(ciphers=WEAK["RC4"], **change), size), ("alert", 40))
        names = ("localhost", "evil.example", None)
        self.assertEqual(len({self.get(name=name)[3] for name in names}), 1, "one certificate for every name")
        for name in names:
            self.assertEqual(self.get(name=name, host="evil.example")[0], 403, "a name in the hello opens no Host")
        with self.assertRaises(ssl.SSLError, msg="only HTTP/1.1 is spoken"):
            self.get(protocols=["h2"])
        self.assertEqual(self.get(protocols=["h2", "http/1.1"])[0], 200)

    def test_plain_text_to_the_secure_port(self):
        for name, data in {"HTTP": PROBE, "POST": post(body=PING, token=good), "garbage": b"\0" * 100}.items():
            with self.subTest("D45 " + name):
                wire = Wire(self.server)
                wire.send(data)
                self.assertNotIn(b"HTTP/", wire.rest())
        self.closing(records(hello()))  # and TLS to the plain port: one answer, closed

    def test_unfinished_handshakes_end(self):
        whole = records(hello())
        for name, data in {"silent": b"", "one byte": whole[:1], "half": whole[:60], "no answer": whole}.items():
            with self.subTest(name):
                begin, wire = time.monotonic(), Wire(self.server)
                wire.send(data)
                wire.rest()
                self.assertTrue(1 <= time.monotonic() - begin <= 1 + Patience.SLACK, time.monotonic() - begin)
        plain = socket.create_connection(("127.0.0.1", self.server.port), timeout=10)
        time.sleep(0.6)
        with ssl._create_unverified_context().wrap_socket(plain) as secure:
            secure.sendall(PROBE)
            self.assertIn(b"200 OK", secure.recv(4096))

    def test_reloading(self):
        def reload(line):
            before = self.server.log.read_text().count(line)
            self.server.process.send_signal(signal.SIGHUP)
            until(lambda: self.server.log.read_text().count(line) > before)

        good_cert, good_key = self.cert.read_bytes(), self.key.read_bytes()
        plain = socket.create_connection(("127.0.0.1", self.server.port), timeout=10)
        with ssl._create_unverified_context().wrap_socket(plain) as kept:
            self.write(2)
            other_cert, other_key = self.cert.read_bytes(), self.key.read_bytes()
            for name, cert, key in (("garbage", b"garbage", b"garbage"), ("cert garbage", b"garbage", good_key),
                                    ("key garbage", good_cert, b"garbage"), ("key of another", good_cert, other_key),
                                    ("empty", b"", b""), ("cut", good_cert[:200], good_key)):
                with self.subTest("D46 " + name):
                    self.cert.write_bytes(cert)
                    self.key.write_bytes(key)
                    reload('"level":"error","message":"TLS files not reloaded')
                    self.assertEqual(self.get()[::3], (200, 1), "the old one stays")
            self.cert.unlink()
            reload('"level":"error","message":"TLS files not reloaded')
            self.assertEqual(self.get()[::3], (200, 1), "D46 gone")
            self.cert.write_bytes(other_cert)
            self.key.write_bytes(other_key)
            reload("TLS files reloaded")
            self.assertEqual(self.get()[::3], (200, 2))
            kept.sendall(PROBE)
            self.assertIn(b"200 OK", kept.recv(4096), "a connection of before goes on")
        self.assertNotIn("PRIVATE", self.server.log.read_text())
        server.process.send_signal(signal.SIGHUP)
        until(lambda: "TLS is not configured" in server.log.read_text())
        self.assertEqual(server.get("/healthz")[0], 200, "a server without TLS goes on too")

    def test_a_readable_key_is_allowed_only_on_demand(self):
        readable = self.place / "readable.pem"
        readable.write_bytes(self.key.read_bytes())
        readable.chmod(0o644)
        own = Server(issuer, "--tls-cert", self.cert, "--tls-key", readable, ready=False,
                     env={"KUBIYA_ALLOW_READABLE_FILES": "true"})
        self.addCleanup(end, own)
        until(lambda: self.reachable(own), 30)
        warned = [json.loads(line) for line in own.log.read_text().splitlines() if str(readable) in line]
        self.assertEqual([line["level"] for line in warned], ["warn"], "D48")


UNITS = {"": 1, "KiB": KIB, "MiB": MIB, "GiB": 1024 * MIB,
         "ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


SHARED = wellformed_key()


class Starts(Case):
    """A start that must fail: the status, and one line that says which key and what is allowed."""

    def setUp(self):
        self.place = pathlib.Path(tempfile.mkdtemp(prefix="kubiya-start-"))
        self.addCleanup(shutil.rmtree, self.place)

    def file(self, text, mode=0o600, name="config.yaml"):
        path = self.place / name
        path.write_text(text)
        path.chmod(mode)
        return path

    def start(self, key, says, *flags, env=None, text=None, mode=0o600):
        if text is not None:
            flags = ("--config", self.file(text, mode), *flags)
        env = {"INJECTED_SECRET": CANARY, "KUBIYA_API_KEY": SHARED, **(env or {})}
        env = {name: value for name, value in env.items() if value is not None}
        done = subprocess.run([BINARY, "serve", "--data-dir", self.place / "data", *map(str, flags)],
                              capture_output=True, text=True, env=env, cwd=ROOT, timeout=20)
        self.assertNotEqual(done.returncode, 0)
        self.assertEqual((done.stdout, done.stderr.count("\n")), ("", 1), done.stderr)
        self.assertNotIn(CANARY, done.stderr)
        self.assertIn(key, done.stderr)
        self.assertIn(says, done.stderr)

    def test_every_key_says_what_it_allows(self):
        page = subprocess.run([BINARY, "config", "docs"], capture_output=True, text=True, check=True).stdout
        checked = 0
        for key, allowed in re.findall(r"^\| `([a-z_.]+)` \|.*\| (.+?) \|$", page, re.M):
            allowed = allowed.replace("\\|", "|")
            found = re.match(r"a (whole number|size|duration) from (\d+)(\w*) to (\d+)(\w*)", allowed)
            if found:
                least, most = (int(found[i]) * UNITS[found[i + 1]] for i in (2, 4))
                unit = "ms" if found[1] == "duration" else ""
                bad = ["x", f"-1{unit}", f"1.5{unit}", f"{most + 1}{unit}", "99999999999999999999" + unit]
                bad += [f"{least - 1}{unit}"] if least > 0 else []
                bad += ["5", "1w", "1 s"] if unit else ["1kb"] if found[1] == "size" else ["0x5", "5KiB"]
            elif allowed == "true or false" or " | " in allowed:
                bad = ["x", "yes", "TRUE", "1", CANARY[:3]]
            else:
                continue
            checked += 1
            env = {"KUBIYA_" + key.upper().replace(".", "_"): None}
            env.update({"KUBIYA_AUTH_SERVER": "https://idp.example"} if key.startswith("auth.") else {})
            for value in bad:
                with self.subTest(f"D47 {key}={value}"):
                    self.start(key, "allowed: ", env={**env, "KUBIYA_" + key.upper().replace(".", "_"): value})
        self.assertGreater(checked, 50)

    def test_keys_that_are_none_and_keys_twice(self):
        for says, text in {
                "unknown key server.prot": "server: {prot: 1}\n", "unknown key Server.port": "Server: {port: 1}\n",
                "unknown key auth.servers": "auth: {servers: [https://a.example]}\n", "unknown key tls": "tls: true\n",
                "unknown key identity.shared_keyy": f"identity:\n  shared_keyy: {CANARY}\n",
                'duplicate key "port"': "server:\n  port: 1\n  port: 2\n",
                'duplicate key "server"': "server: {port: 1}\nserver: {host: localhost}\n",
                'duplicate key "shared_key"': f"identity:\n  shared_key: {CANARY}\n  shared_key: {CANARY}\n",
                "not a map": f"- {CANARY}\n", "not valid YAML": f'identity:\n  shared_key: "{CANARY}\n  x: [\n',
                "a NUL byte": "workers: 1\n\0", "an alias": "workers: *x\n"}.items():
            with self.subTest("D47 " + says):
                self.start("config.yaml", says, text=text)
        for name in ("KUBIYA_SERVER_PROT", "KUBIYA_AUTH_SERVR", "KUBIYA_IDENTITY_SHARED_KEYY", "KUBIYA_AUDIT_X"):
            with self.subTest("D47 " + name):
                self.start(name, "unknown variable", env={name: CANARY})

    def test_dangerous_values(self):
        issuer_of = lambda more: f"auth: {{server: 'https://idp.example', {more}}}\n"
        rows = [
            ("auth.algorithms", "never none, never HS*", issuer_of("algorithms: [RS256, none]")),
            ("auth.algorithms", "never none, never HS*", issuer_of("algorithms: [HS256]")),
            ("auth.algorithms", "never none, never HS*", issuer_of("algorithms: [hs512, RS256]")),
            ("auth.algorithms", "never none, never HS*", issuer_of("algorithms: [rs256]")),
            ("auth.algorithms", "one or more of", issuer_of("algorithms: []")),
            ("auth.audience", "allowed: 1 to 1024 bytes", issuer_of("audience: ['']")),
            ("auth.audience", "allowed: 1 to 1024 bytes", issuer_of("audience: [ok, '']")),
            ("auth.jwks_uri", "allowed: https://", issuer_of("jwks_uri: 'http://idp.example/jwks'")),
            ("auth.jwks_uri", "allowed: https://", issuer_of("jwks_uri: keys.json")),
            ("auth.scope_claims", "must not be empty", issuer_of("scope_claims: []")),
            ("auth.server", "https", "auth: {server: 'http://idp.example'}\n"),
            ("auth.server", "https", "auth: {server: 'http://localhost.evil.example'}\n"),
            ("auth.server", "user information", f"auth: {{server: 'https://u:{CANARY}@idp.example'}}\n"),
            ("auth.server", "query", f"auth: {{server: 'https://idp.example/?k={CANARY}'}}\n"),
            ("auth.type", "no meaning without auth.server", "auth: {type: oidc}\n"),
            ("public_url", "allowed: an origin", "public_url: https://mcp.example.com/mcp\n"),
            ("public_url", "loopback only", "public_url: http://mcp.example.com\n"),
            ("server.origins", "no origin", "server: {origins: ['*']}\n"),
            ("server.origins", "no origin", "server: {origins: ['null']}\n"),
            ("server.trusted_proxies", "no address or CIDR block", "server: {trusted_proxies: ['*']}\n"),
            ("server.trusted_proxies", "no address or CIDR block", "server: {trusted_proxies: [10.0.0.0/33]}\n"),
            ("mcp_path", "allowed: a path", "mcp_path: /a/../b\n"), ("mcp_path", "taken", "mcp_path: /healthz\n"),
            ("server.tls_cert", "both", "server: {tls_key: /k.pem}\n"),
            ("server.tls_key", "both", "server: {tls_cert: /c.pem}\n"),
            *(("server.host", "which is not loopback", f"server: {{host: '{host}'}}\n")
              for host in ("0.0.0.0", "::", "192.0.2.1", "mcp.example.com")),
        ]
        for key, says, text in rows:
            with self.subTest(f"D47 {text.strip()}"):
                self.start(key, says, text=text)
        for key, flag, value in (("server.host", "--host", "0.0.0.0"), ("server.port", "--port", "65536"),
                                 ("auth.server", "--auth-server", "http://idp.example"),
                                 ("auth.server", "--auth-server", "idp.example")):
            with self.subTest(f"D47 {flag} {value}"):
                self.start(key, "", flag, value)

    def test_weak_secrets(self):
        for value in ("changeme", "kb-1234567890abcdef", "your-kubiya-api-key", "a" * 64, "abab" * 16,
                      CANARY[:12], "short"):
            with self.subTest("D47 " + value[:8]):
                self.start("identity.shared_key", "too weak", env={"KUBIYA_API_KEY": value})
                self.start("identity.shared_key", "too weak", env={"KUBIYA_API_KEY": None},
                           text=f"identity: {{shared_key: '{value}'}}\n")
        data = self.place / "data"
        data.mkdir()
        for size, mode, says in ((31, 0o600, "does not hold 32 bytes"), (0, 0o600, "does not hold 32 bytes"),
                                 (33, 0o600, "does not hold 32 bytes"), (32, 0o644, "can be read by others"),
                                 (32, 0o640, "can be read by others")):
            with self.subTest(f"D47 D48 pepper of {size}, {mode:o}"):
                (data / "pepper").write_bytes(os.urandom(size))
                (data / "pepper").chmod(mode)
                self.start("pepper", says)

    def test_files_that_others_can_read(self):
        secret = f"identity: {{shared_key: {SHARED}}}\n"
        for mode in (0o640, 0o604, 0o644, 0o660, 0o666):
            with self.subTest(f"D48 {mode:o}"):
                self.start("config.yaml", "chmod 600", text=secret, mode=mode)
                key = self.file("k", mode, "key.pem")
                self.file("c", 0o644, "cert.pem")
                self.start("server.tls_key", "chmod 600", "--tls-cert", self.place / "cert.pem", "--tls-key", key)
                held = self.file(SHARED, mode, "held")
                self.start("identity.shared_key", "chmod 600", env={"KUBIYA_API_KEY": f"${{file:{held}}}"})
        config = self.file(secret + "allow_readable_files: true\n", 0o644)
        done = subprocess.run([BINARY, "config", "check", "--config", config], capture_output=True, text=True, env={})
        self.assertEqual(done.returncode, 0, done.stderr)
        levels = [json.loads(line)["level"] for line in done.stderr.splitlines()]
        self.assertEqual(levels, ["warn"], "the override is logged")
        self.assertNotIn(CANARY, done.stdout + done.stderr)

    def test_a_printed_configuration_shows_no_secret(self):
        held = self.file(SHARED, name="held")
        for env in ({"KUBIYA_API_KEY": SHARED}, {"KUBIYA_API_KEY": f"${{file:{held}}}"}):
            done = subprocess.run([BINARY, "config", "print"], capture_output=True, text=True, env=env, check=True)
            self.assertIn("********", done.stdout)
            self.assertNotIn(CANARY, done.stdout + done.stderr, "D49")


if __name__ == "__main__":
    unittest.main()
