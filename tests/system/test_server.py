"""The life of the process: its log, its stop."""
import json
import socket
import subprocess
import unittest

from harness import Issuer, Server, until


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

    def test_what_the_server_refuses_by_itself_is_named(self):
        for data in (b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n",
                     b"GET / HTTP/1.1\r\nHost: localhost\r\nOrigin: https://evil.example\r\n\r\n",
                     b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * 17000 + b"\r\n\r\n"):
            self.server.raw(data)
        self.assertEqual(self.server.stop(), 0)
        refused = [(l["reason"], l["status"], l["peer"], l.get("path")) for l in lines(self.server) if l.get("status", 0) >= 400]
        self.assertCountEqual(refused, [
            ("request_line", 400, "127.0.0.1", None), ("foreign_host", 403, "127.0.0.1", "/"),
            ("foreign_origin", 403, "127.0.0.1", "/"), ("headers_too_long", 431, "127.0.0.1", None)])  # in any order: two loops


class Strangers(unittest.TestCase):
    def test_their_lines_have_a_rate_and_the_rest_is_counted(self):
        issuer = Issuer()
        self.addCleanup(issuer.close)
        server = Server(issuer, "--threads", "1", env={"KUBIYA_LOG_STRANGERS_PER_SECOND": "1"})
        self.addCleanup(server.close)
        token = issuer.token(server.audience)
        for _ in range(100):
            server.rpc("a.b", "ping")
            server.raw(b"nonsense\r\n\r\n")
            server.ok(token, "whoami")
        self.assertEqual(server.stop(), 0)
        told, count = {}, lambda wanted: sum(1 for l in lines(server) if wanted(l))
        for line in lines(server):
            if "more" in line:
                told[line["reason"]] = told.get(line["reason"], 0) + line["more"]
        for reason in ("not_three_parts", "request_line"):
            single = count(lambda l: l.get("reason") == reason and "status" in l)
            self.assertLess(single, 50)
            self.assertEqual(single + told[reason], 100, "nobody is forgotten")
        self.assertEqual(count(lambda l: l.get("tool") == "whoami"), 100, "callers we know have all their lines")


def own_address(family, somewhere):
    """An address of this machine that is not loopback, or None. Nothing is sent."""
    with socket.socket(family, socket.SOCK_DGRAM) as s:
        try:
            s.connect((somewhere, 9))
            return s.getsockname()[0]
        except OSError:
            return None


class PlainHttp(unittest.TestCase):
    """On a reachable address it is for trusted proxies, and for this machine."""

    def check(self, wide, own):
        if not own:
            self.skipTest("this machine has loopback addresses only")
        issuer = Issuer()
        self.addCleanup(issuer.close)
        env = {"KUBIYA_SERVER_HOSTS": "*"}
        server = Server(issuer, "--trusted-proxy", "198.51.100.1", host=wide, env=env)
        self.addCleanup(server.close)
        token = {"Authorization": "Bearer " + issuer.token(server.audience)}
        status, headers, body = server.request("GET", "/", None, token, at=own)
        self.assertEqual((status, json.loads(body)["error"], headers["connection"]), (403, "forbidden", "close"))
        line = until(lambda: [l for l in lines(server) if l.get("reason") == "plain_http"])[0]
        self.assertEqual((line["status"], line["peer"]), (403, own))
        self.assertEqual(server.request("GET", "/", None, token)[0], 200, "what stays on this machine crosses no network")
        self.assertEqual(server.stop(), 0)
        for flag in (["--trusted-proxy", own], ["--trusted-proxy", "198.51.100.1", "--insecure-http"]):
            open_to = Server(issuer, *flag, "--audience", server.audience, host=wide, env=env)
            self.addCleanup(open_to.close)
            self.assertEqual(open_to.request("GET", "/", None, token, at=own)[0], 200, flag)
            open_to.stop()

    def test_over_ipv4(self):
        self.check("0.0.0.0", own_address(socket.AF_INET, "203.0.113.1"))

    def test_over_ipv6(self):
        self.check("::", own_address(socket.AF_INET6, "2001:db8::1"))


class BadCredentials(unittest.TestCase):
    """E17: a peer that presents many bad credentials is told to wait; its good ones are served."""
    FEW = {"KUBIYA_SERVER_LIMITS_BAD_CREDENTIALS_PER_MINUTE": "3"}

    def spend(self, server, bad):
        answers = [server.call(bad(n), "whoami") for n in range(6)]
        self.assertEqual([status for status, _, _ in answers], [401] * 3 + [429] * 3)
        status, headers, body = answers[-1]
        self.assertEqual((headers["retry-after"], headers["cache-control"]), ("20", "no-store"))
        self.assertNotIn("www-authenticate", headers)
        self.assertEqual(body["message"], "Invalid token")
        return headers["x-request-id"]

    def tokens(self, host):
        issuer = Issuer()
        self.addCleanup(issuer.close)
        server = Server(issuer, env=self.FEW, host=host)
        self.addCleanup(server.close)
        known, expired = (issuer.token(server.audience, "ada", **more) for more in ({}, {"exp": 1, "iat": 0}))
        server.ok(known, "whoami")
        mark = self.spend(server, lambda n: issuer.sign({"alg": "RS256", "kid": "rsa", "x": n}, issuer.claims(server.audience), issuer.other))
        server.ok(known, "whoami")
        server.ok(issuer.token(server.audience, "new"), "whoami")
        for token, said in ((expired, "token expired"), (None, "Send `Authorization")):
            status, _, body = server.call(token, "whoami")
            self.assertEqual(status, 401, "the way to a sign-in stays open")
            self.assertIn(said, body["error_description"])
        body = "x" * 70_000
        self.assertEqual(server.request("POST", "/mcp", body, {"Authorization": "Bearer a.b.c"})[0], 429)
        self.assertEqual(server.stop(), 0)
        records = [json.loads(r) for r in server.cli("audit", "list", "--json", "--decision", "refused").stdout.splitlines()]
        self.assertEqual([(r["reason"], r["status"]) for r in records if r["request_id"] == mark], [("bad_signature", 429)])

    def test_tokens_over_ipv4(self):
        self.tokens("127.0.0.1")

    def test_tokens_over_ipv6(self):
        self.tokens("::1")

    def test_keys(self):
        server = Server(env=self.FEW)
        self.addCleanup(server.close)
        make = lambda user: server.cli("key", "create", "--user", user, "--scopes", "read").stdout.strip()
        known = make("ada")
        until(lambda: server.call(known, "whoami")[0] == 200 or self.refill(server))
        self.spend(server, lambda n: f"kb-wrong-{n}")
        server.ok(known, "whoami")

    def refill(self, server):
        """A key that is not known yet counts as a bad one; only a new server forgets that."""
        server.stop()
        server.start()

    def test_clients_of_a_trusted_proxy_are_told_apart(self):
        server = Server(None, "--trusted-proxy", "127.0.0.1", env=self.FEW)
        self.addCleanup(server.close)
        ask = lambda client: server.rpc("kb-wrong", "tools/call", {"name": "whoami", "arguments": {}}, {"X-Forwarded-For": client})[0]
        self.assertEqual([ask("192.0.2.1") for _ in range(4)], [401, 401, 401, 429])
        self.assertEqual(ask("192.0.2.2"), 401)
        self.assertEqual([ask(f"2001:db8::{n}") for n in range(1, 5)], [401, 401, 401, 429], "one /64 is one client")


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
