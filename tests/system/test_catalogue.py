"""Bad input at the wire: status, challenge and body of every refusal, and that nothing leaks.

The rows carry the numbers of the acceptance tables (A envelope, B claims, D transport, E keys). Which check
refused a token is the business of the unit tests; here every refused token must look the same.
"""
import json
import re
import time
import unittest

from harness import CANARY, MODERN, Issuer, Server, b64

HOUR = 3600


def setUpModule():
    global issuer, server, good
    issuer = Issuer()
    server = Server(issuer, workflows="examples/workflows")
    good = issuer.token(server.audience)


def tearDownModule():
    server.close()
    issuer.close()


def whoami(token, **headers):
    return server.rpc(token, "tools/call", {"name": "whoami", "arguments": {}}, headers)


def resign(token_header=None, key=None, **claims):
    header = {"alg": "RS256", "typ": "at+jwt", "kid": "rsa"}
    header.update(token_header or {})
    return issuer.sign({k: v for k, v in header.items() if v is not ...}, issuer.claims(server.audience, **claims), key)


def header_text(text, key=None):
    return issuer.sign(text, issuer.claims(server.audience), key)


def claims_text(text):
    return issuer.sign({"alg": "RS256", "typ": "at+jwt", "kid": "rsa"}, text)


def with_claim(text):
    """The good claims with one more member written literally."""
    body = json.dumps(issuer.claims(server.audience))
    return claims_text(body[:-1] + "," + text + "}")


def parts(token=None):
    return (token or good).split(".")


def refused_tokens():
    now = int(time.time())
    head, body, signature = parts()
    yield "A1 alg none", b64('{"alg":"none"}') + "." + body + "."
    yield "A2 alg nOnE", b64('{"alg":"nOnE"}') + "." + body + "."
    yield "A3 alg none with a signature", b64('{"alg":"none"}') + "." + body + "." + signature
    yield "A4 signature removed", head + "." + body + "."
    yield "A5 HS256 over an RSA signature", b64('{"alg":"HS256","kid":"rsa"}') + "." + body + "." + signature
    yield "A7 PS256 on an RS256 key", resign({"alg": "PS256"})
    yield "A8 ES256 header on the RSA key", resign({"alg": "ES256"})
    yield "A9 rs256", resign({"alg": "rs256"})
    yield "A9 RS256 with a space", resign({"alg": "RS256 "})
    yield "A10 alg missing", resign({"alg": ...})
    yield "A10 alg an array", resign({"alg": ["RS256"]})
    yield "A11 alg not allowed", resign({"alg": "RS1"})
    yield "A12 alg twice", header_text('{"alg":"none","alg":"RS256","kid":"rsa"}')
    yield "A13 header an array", header_text("[]")
    yield "A14 crit unknown", resign({"crit": ["x"], "x": 1})
    yield "A16 crit empty", resign({"crit": []})
    yield "A18 b64 false", resign({"b64": False, "crit": ["b64"]})
    yield "A19 b64 false without crit", resign({"b64": False})
    yield "A20 zip", resign({"zip": "DEF"})
    yield "A21 embedded jwk", resign({"kid": "attacker", "jwk": issuer.jwks()[0]}, issuer.other)
    yield "A22 jku", resign({"kid": "attacker", "jku": issuer.url + "/jwks"}, issuer.other)
    yield "A25 kid unknown", resign({"kid": "nobody"})
    yield "A26 kid a path", resign({"kid": "../../../../dev/null"})
    yield "A27 kid SQL", resign({"kid": "' OR 1=1--"})
    yield "A28 kid a number", resign({"kid": 7})
    yield "A30 kid absent, several keys", resign({"kid": ...})
    yield "A45 other key", resign(key=issuer.other)
    yield "A46 last character changed", good[:-1] + ("B" if good[-1] != "B" else "C")
    yield "A47 padding", good + "="
    yield "A48 standard alphabet", good[:-4] + "+/+/"
    yield "A51 two segments", head + "." + body
    yield "A51 four segments", good + ".x"
    yield "A51 leading dot", "." + good
    yield "A53 five segments", "a.b.c.d.e"
    yield "A54 nested", resign({"cty": "JWT"})
    yield "A55 payload an array", claims_text("[]")
    yield "A56 byte order mark", claims_text("\ufeff" + json.dumps(issuer.claims(server.audience)))
    yield "A60 trailing junk", claims_text(json.dumps(issuer.claims(server.audience)) + "x")
    yield "A61 deep nesting", with_claim('"deep":' + "[" * 2000 + "]" * 2000)
    yield "A62 duplicate claim", with_claim('"sub":"admin"')
    yield "B1 exp missing", resign(exp=...)
    yield "B3 exp a string", resign(exp=str(now + 600))
    yield "B4 exp true", resign(exp=True)
    yield "B5 exp null is wrong, not absent", resign(exp=None)
    claims = json.dumps(issuer.claims(server.audience))
    yield "B6 exp 1e308", claims_text(re.sub(r'"exp": \d+', '"exp": 1e308', claims))
    yield "B7 exp 1e400", claims_text(re.sub(r'"exp": \d+', '"exp": 1e400', claims))
    yield "B8 exp 2^64+1", claims_text(re.sub(r'"exp": \d+', '"exp": 18446744073709551617', claims))
    yield "B10 lifetime over a day", resign(iat=now, exp=now + 25 * HOUR)
    yield "B11 nbf in the future", resign(nbf=now + 120)
    yield "B13 iat in the future", resign(iat=now + 86400, exp=now + 86400 + 600)
    yield "B16 aud missing", resign(aud=...)
    yield "B17 aud empty", resign(aud=[])
    yield "B17 aud nested", resign(aud=[[server.audience]])
    yield "B20 aud with a slash", resign(aud=server.audience + "/")
    yield "B20 aud upper case", resign(aud=server.audience.upper())
    yield "B23 iss with a slash", resign(iss=issuer.url + "/")
    yield "B24 iss an array", resign(iss=[issuer.url])
    yield "B25 iss of somebody else", resign(iss="https://other.example")
    yield "B28 typ logout+jwt", resign({"typ": "logout+jwt"})
    yield "B31 sub missing", resign(sub=...)
    yield "B31 sub empty", resign(sub="")
    yield "B31 sub with NUL", resign(sub="ada\0admin")
    yield "B34 scope with two spaces", resign(scope="read  write")
    yield "B35 scope and scp differ", resign(scp=["read"])
    yield "B37 too many scopes", resign(scope=" ".join(f"s{i}" for i in range(2000)))
    yield "B40 cnf without proof", resign(cnf={"jkt": "x"})
    yield "B43 key claims disagree", resign(api_key="kb-other")
    yield "B45 key claim a number", resign(kubiya_api_key=5)
    yield "D24 token too long", "a." + "b" * 9000 + ".c"


class Tokens(unittest.TestCase):
    def test_every_refused_token_looks_the_same(self):
        seen = {}
        for name, token in refused_tokens():
            with self.subTest(name):
                status, headers, body = whoami(token)
                self.assertEqual(status, 401, (name, body))
                self.assertEqual(headers.get("cache-control"), "no-store")
                self.assertNotIn("server", headers)
                seen.setdefault((headers["www-authenticate"], json.dumps(body)), []).append(name)
        self.assertEqual(len(seen), 1, {k: v[:3] for k, v in seen.items()})
        challenge, body = next(iter(seen))
        self.assertTrue(challenge.startswith("Bearer "), challenge)
        for piece in ('error="invalid_token"', 'error_description="token invalid"',
                      f'resource_metadata="http://localhost:{server.port}/.well-known/oauth-protected-resource/mcp"'):
            self.assertIn(piece, challenge)
        self.assertEqual(json.loads(body)["message"], "Invalid token")

    def test_expiry_is_the_one_reason_that_is_told(self):
        now = int(time.time())
        status, headers, body = whoami(resign(iat=now - 600, exp=now - 31))
        self.assertEqual((status, body["message"]), (401, "Invalid token"))
        self.assertIn('error_description="token expired"', headers["www-authenticate"])
        self.assertEqual(whoami(resign(iat=now - 600, exp=now - 25))[0], 200, "within the leeway")

    def test_good_tokens_are_served(self):
        for name, token in {
            "RS256": good,
            "ES256": issuer.sign({"alg": "ES256", "typ": "JWT", "kid": "ec"}, issuer.claims(server.audience), issuer.ec),
            "A24 jku ignored": resign({"jku": "https://nowhere.example/jwks"}),
            "B9 fractional exp": resign(exp=time.time() + 300.5),
            "B18 aud an array": resign(aud=["x", server.audience]),
            "B27 application/at+jwt": resign({"typ": "application/at+jwt"}),
            "B34 scopes as an array": resign(scope=["read", "execute"]),
            "scp": resign(scope=..., scp="read"),
        }.items():
            with self.subTest(name):
                self.assertEqual(whoami(token)[0], 200)

    def test_no_credential_gets_a_challenge_without_an_error_code(self):
        status, headers, body = whoami(None)
        self.assertEqual((status, body["message"]), (401, "No API token provided"))
        self.assertNotIn("error=", headers["www-authenticate"])
        self.assertIn("resource_metadata=", headers["www-authenticate"])
        self.assertIn('scope="', headers["www-authenticate"])

    def test_malformed_credentials_are_bad_requests(self):
        rows = {
            "D21 empty": {"Authorization": "Bearer"},
            "D21 two spaces": {"Authorization": "Bearer  " + good},
            "D21 two tokens": {"Authorization": f"Bearer {good} {good}"},
            "D21 basic": {"Authorization": "Basic abc"},
            "D21 quoted": {"Authorization": f'Bearer "{good}"'},
            "D23 two kinds": {"Authorization": "Bearer " + good, "X-API-Key": "kb-x"},
        }
        for name, headers in rows.items():
            with self.subTest(name):
                status, got, _ = whoami(None, **headers)
                self.assertEqual(status, 400)
                self.assertIn('error="invalid_request"', got["www-authenticate"])
        self.assertEqual(whoami(None, Authorization="bearer " + good)[0], 200, "the scheme has no case")
        status, _, _ = server.rpc(None, "tools/list", path="/mcp?access_token=" + good)
        self.assertEqual(status, 400, "D22")
        self.assertNotIn(good, server.log.read_text(errors="replace"))

    def test_an_unknown_key_causes_one_fetch_at_most(self):
        before = issuer.fetches
        for i in range(50):
            self.assertEqual(whoami(resign({"kid": f"storm-{i}"}))[0], 401)
        self.assertLessEqual(issuer.fetches - before, 1, "A25, K1")


class Scopes(unittest.TestCase):
    def test_missing_scope_is_challenged_with_everything_needed(self):
        viewer = issuer.token(server.audience, "eve", scope="read")
        for path, headers in (("/mcp", {}), ("/", {})):
            status, got, body = server.rpc(viewer, "tools/call", {"name": "execute_workflow", "arguments": {"name": "hello"}},
                                           headers, path)
            self.assertEqual((status, body["message"]), (403, "Insufficient permissions"))
            self.assertIn('error="insufficient_scope"', got["www-authenticate"])
            self.assertIn('scope="execute"', got["www-authenticate"])
            self.assertIn("resource_metadata=", got["www-authenticate"])

    def test_hierarchy_and_spellings(self):
        for scope, allowed in {"admin": True, "workflows:execute": True, "execute": True, "admin*": False, "*": False,
                               "Execute": False, "executes": False}.items():
            with self.subTest(scope):
                token = issuer.token(server.audience, "eve", scope=scope)
                status, _, _ = server.call(token, "execute_workflow", name="hello", wait=0)
                self.assertEqual(status, 200 if allowed else 403)

    def test_deleting_needs_admin(self):
        self.assertEqual(server.call(good, "delete_workflow", name="hello")[0], 403)

    def test_a_token_without_a_key_reads_but_does_not_run(self):
        token = issuer.token(server.audience, "eve", kubiya_api_key=...)
        self.assertEqual(server.call(token, "list_workflows")[0], 200)
        status, _, body = server.call(token, "execute_workflow", name="hello")
        self.assertEqual(status, 200)
        self.assertTrue(body["result"]["isError"])
        self.assertTrue(body["result"]["content"][0]["text"].startswith("No API token provided"))

    def test_the_three_claim_locations_in_their_order(self):
        for claims, source in [({"kubiya_api_key": "kb-one"}, "claim:kubiya_api_key"),
                               ({"kubiya_api_key": ..., "api_key": "kb-two"}, "claim:api_key"),
                               ({"kubiya_api_key": ..., "metadata": {"kubiya_api_key": "kb-three"}},
                                "claim:metadata.kubiya_api_key")]:
            who = server.ok(issuer.token(server.audience, "eve", **claims), "whoami")
            self.assertEqual(who["api_key"]["source"], source)

    def test_the_key_argument_is_refused_when_a_token_says_who_you_are(self):
        status, _, body = server.call(good, "execute_workflow", name="hello", api_key=CANARY)
        self.assertEqual(status, 200)
        self.assertTrue(body["result"]["isError"])
        self.assertNotIn(CANARY, json.dumps(body))


def http_request(head, body=b""):
    return head.replace("\n", "\r\n").encode("latin-1") + b"\r\n\r\n" + body


class Transport(unittest.TestCase):
    def line(self, data, wait=2.0):
        out, closed = server.raw(data, wait)
        return (int(out.split(b" ", 2)[1]) if out.startswith(b"HTTP/1.1 ") else None), closed, out

    def test_ambiguous_framing_is_refused_and_the_connection_closed(self):
        post = "POST /mcp HTTP/1.1\nHost: localhost\n"
        rows = {
            "D5 no host": "GET /healthz HTTP/1.1",
            "D5 two hosts": "GET /healthz HTTP/1.1\nHost: localhost\nHost: localhost",
            "D5 host with a path": "GET /healthz HTTP/1.1\nHost: localhost/x",
            "D5 host with userinfo": "GET /healthz HTTP/1.1\nHost: x@localhost",
            "D9 length and chunked": post + "Content-Length: 4\nTransfer-Encoding: chunked",
            "D10 two lengths": post + "Content-Length: 4\nContent-Length: 5",
            "D10 signed length": post + "Content-Length: +5",
            "D10 list length": post + "Content-Length: 5,5",
            "D10 hex length": post + "Content-Length: 0x5",
            "D10 huge length": post + "Content-Length: 18446744073709551616",
            "D11 chunked twice": post + "Transfer-Encoding: chunked, chunked",
            "D11 xchunked": post + "Transfer-Encoding: xchunked",
            "D11 identity": post + "Transfer-Encoding: identity",
            "D11 obs-fold": post + "Transfer-Encoding: chunked\n x",
            "D13 space before colon": post + "Content-Length : 4",
            "D13 underscore twin": post + "Mcp_Method: x",
            "D16 absolute form": "GET http://localhost/healthz HTTP/1.1\nHost: localhost",
            "D16 fragment": "GET /healthz#x HTTP/1.1\nHost: localhost",
        }
        for name, head in rows.items():
            with self.subTest(name):
                status, closed, out = self.line(http_request(head))
                self.assertEqual(status, 400, out[:200])
                self.assertTrue(closed)
        for name, data in {"D13 bare LF": b"GET /healthz HTTP/1.1\nHost: localhost\n\n",
                           "D13 NUL": b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: a\0b\r\n\r\n"}.items():
            with self.subTest(name):
                self.assertEqual(self.line(data)[0], 400)

    def test_a_smuggled_request_is_never_executed(self):
        smuggled = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
        status, closed, out = self.line(http_request(
            "POST /mcp HTTP/1.1\nHost: localhost\nTransfer-Encoding: xchunked\nContent-Length: 0", smuggled))
        self.assertEqual(status, 400)
        self.assertEqual(out.count(b"HTTP/1.1 "), 1, "D14")

    def test_host_and_origin(self):
        for name, headers, expected in [
            ("D1", {"Host": "evil.example"}, 403), ("D2", {"Origin": "https://evil.example"}, 403),
            ("D3", {"Origin": "null"}, 403), ("good", {"Origin": f"http://localhost:{server.port}"}, 200),
        ]:
            with self.subTest(name):
                status, got, _ = server.get("/healthz", headers)
                self.assertEqual(status, expected)
                if expected == 403:
                    self.assertNotIn("access-control-allow-origin", got)

    def test_routes_methods_and_media_types(self):
        auth = {"Authorization": "Bearer " + good}
        for method, path, headers, body, expected in [
            ("GET", "/mcp", auth, None, 405), ("DELETE", "/mcp", auth, None, 405), ("PUT", "/mcp", auth, None, 405),
            ("GET", "/MCP", auth, None, 404), ("GET", "/mcp/", auth, None, 404), ("GET", "/mcp/../admin", auth, None, 404),
            ("GET", "/%2e%2e/etc/passwd", auth, None, 404), ("GET", "//evil", auth, None, 404),
            ("POST", "/mcp", {**auth, "Content-Type": "text/plain"}, "{}", 415),
            ("POST", "/mcp", auth, "{}", 415),
            ("POST", "/mcp", {**auth, "Content-Type": "application/json; charset=utf-16"}, "{}", 415),
            ("POST", "/mcp", {**auth, "Content-Type": "application/json", "Content-Encoding": "gzip"}, "{}", 415),
            ("POST", "/mcp", {**auth, "Content-Type": "application/json", "Accept": "text/html"}, "{}", 406),
        ]:
            with self.subTest((method, path, headers.get("Content-Type"))):
                status, got, _ = server.request(method, path, body, headers)
                self.assertEqual(status, expected)
                if expected == 405:
                    self.assertIn("POST", got["allow"])

    def test_bodies(self):
        auth = {"Authorization": "Bearer " + good, "Content-Type": "application/json"}
        for name, body, status, code in [
            ("D31", "[]", 400, -32600), ("D32 id null", '{"jsonrpc":"2.0","id":null,"method":"ping"}', 400, -32600),
            ("D33", '{"jsonrpc":"2.0","id":1,"result":{}}', 400, -32600),
            ("D34", '{"jsonrpc":"2.0","id":1,"method":"ping","method":"x"}', 400, -32600),
            ("D34 nested", '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"whoami","arguments":{"a":1,"a":2}}}',
             400, -32600),
            ("D35", '{"jsonrpc":"2.0","id":1,"Method":"ping"}', 400, -32600),
            ("D36 lone surrogate", '{"jsonrpc":"2.0","id":"\\ud800","method":"ping"}', 400, -32700),
            ("D36 trailing", '{"jsonrpc":"2.0","id":1,"method":"ping"}x', 400, -32700),
            ("D36 depth", '{"jsonrpc":"2.0","id":1,"method":"ping","params":' + '{"a":' * 80 + "1" + "}" * 81, 400, -32700),
            ("D40 legacy unknown method", '{"jsonrpc":"2.0","id":1,"method":"nope"}', 200, -32601),
        ]:
            with self.subTest(name):
                got, _, answer = server.request("POST", "/mcp", body, auth)
                answer = json.loads(answer)
                self.assertEqual((got, answer["error"]["code"]), (status, code))
                self.assertNotIn("None", json.dumps(answer.get("id", "")))
        self.assertEqual(server.request("POST", "/mcp", "x" * (1024 * 1024 + 1), auth)[0], 413, "D36 too large")

    def test_modern_unknowns(self):
        status, _, body = server.rpc(good, "no/such")
        self.assertEqual((status, body["error"]["code"]), (404, -32601))
        status, _, body = server.call(good, "no_such_tool")
        self.assertEqual(body["error"]["code"], -32602)
        self.assertIn("Unknown tool", body["error"]["message"])

    def test_sizes(self):
        long_line = b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n"
        self.assertEqual(self.line(long_line)[0], 414)
        many = http_request("GET /healthz HTTP/1.1\nHost: localhost\n" + "\n".join(f"X-{i}: y" for i in range(101)))
        self.assertEqual(self.line(many)[0], 431)
        big = http_request("GET /healthz HTTP/1.1\nHost: localhost\nX: " + "y" * 17000)
        self.assertEqual(self.line(big)[0], 431)


class Metadata(unittest.TestCase):
    def test_documents_need_no_token_and_are_for_browsers(self):
        for path in ("/.well-known/oauth-protected-resource", "/.well-known/oauth-protected-resource/mcp"):
            status, headers, body = server.get(path, {"Origin": "https://inspector.example"})
            document = json.loads(body)
            self.assertEqual(status, 200)
            self.assertEqual(headers["access-control-allow-origin"], "*")
            self.assertEqual(document["resource"], f"http://localhost:{server.port}/mcp")
            self.assertEqual(document["authorization_servers"], [issuer.url])
            self.assertEqual(document["bearer_methods_supported"], ["header"])
        status, _, body = server.get("/.well-known/oauth-authorization-server")
        self.assertEqual((status, json.loads(body)["issuer"]), (200, issuer.url))
        self.assertEqual(server.get("/.well-known/unknown")[0], 404)


class Leaks(unittest.TestCase):
    def test_no_secret_reaches_a_file(self):
        server.ok(good, "execute_workflow", name="hello", wait=20)
        time.sleep(1.5)
        self.assertEqual(server.leaks(), [])


class Starts(unittest.TestCase):
    """START rows: a bad configuration stops the start with one line that names the key and echoes no secret."""

    def refused(self, *flags, env=None, issuer_url=None):
        import subprocess, tempfile
        from harness import BINARY, ROOT
        command = [BINARY, "serve", "--data-dir", tempfile.mkdtemp(), "--port", "8000", *map(str, flags)]
        if issuer_url:
            command += ["--auth-server", issuer_url]
        done = subprocess.run(command, capture_output=True, text=True, env={"PATH": "/usr/bin:/bin", **(env or {})}, cwd=ROOT,
                              timeout=20)
        self.assertNotEqual(done.returncode, 0, done.stderr)
        self.assertNotIn(CANARY, done.stdout + done.stderr)
        return done.stderr

    def test_bad_settings_are_named(self):
        import tempfile
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as f:
            f.write("server:\n  prot: 1\n")
            f.flush()
            self.assertIn("server.prot", self.refused("--config", f.name))
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as f:
            f.write("server:\n  port: 1\n  port: 2\n")
            f.flush()
            self.assertRegex(self.refused("--config", f.name), "duplicate|twice")
        self.assertIn("auth", self.refused("--auth-type", "saml", issuer_url="https://idp.example"))
        self.assertRegex(self.refused(issuer_url="http://idp.example"), "https|loopback")
        self.assertRegex(self.refused("--host", "0.0.0.0"), "insecure-http|TLS|tls")
        self.assertIn("port", self.refused("--port", "99999"))


if __name__ == "__main__":
    unittest.main()
