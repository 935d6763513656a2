"""API keys by MCP: made, listed, rotated and revoked by their owners, and shown once, to a person and to no model."""
import json
import pathlib
import re
import threading
import time
import unittest

from harness import Issuer, Server, until
from test_protocol import META, Session, modern

KEY = re.compile(r"kb-[0-9A-Za-z]{61}")
URLS = {"elicitation": {"url": {}}}


def make(server, user, scopes="read write execute"):
    key = server.cli("key", "create", "--user", user, "--scopes", *scopes.split()).stdout.strip()
    until(lambda: server.call(key, "whoami")[0] == 200)
    return key


def path_of(link):
    return "/" + link.split("/", 3)[3]


class KeyTools(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server(None, env={"KUBIYA_SERVER_THREADS": "2", "KUBIYA_LOG_REQUESTS": "all"})
        cls.addClassCleanup(cls.server.close)
        cls.ada, cls.bob, cls.root = make(cls.server, "ada"), make(cls.server, "bob"), make(cls.server, "root", "admin")

    def open(self, link, method="POST", body=None, **headers):
        form = {"Content-Type": "application/x-www-form-urlencoded"} if body is not None else {}
        return self.server.request(method, path_of(link), body, {**form, **headers})

    def make(self, who=None, **arguments):
        return self.server.ok(who or self.ada, "create_api_key", **arguments)

    def see(self, made, **how):
        status, _, body = self.open(made["link"], **how)
        self.assertEqual(status, 200, body)
        return KEY.search(body.decode()).group()

    def status(self, key):
        return self.server.call(key, "whoami")[0]

    def events(self, name):
        lines = [l for p in pathlib.Path(self.server.data, "audit").glob("audit-*.jsonl") for l in p.read_text().splitlines()]
        return [l for l in lines if f'"{name}"' in l]

    def refused_scope(self, answer):
        status, headers, _ = answer
        self.assertEqual(status, 403)
        return re.search(r'scope="([^"]*)"', headers["www-authenticate"]).group(1).split()

    def test_a_key_is_made_shown_once_and_works(self):
        status, _, body = self.server.call(self.ada, "create_api_key", name="laptop", scopes=["read", "execute"],
                                           expires_days=7, labels={"team": "core"})
        self.assertEqual(status, 200)
        self.assertIsNone(KEY.search(json.dumps(body)), "not in the answer, which a model reads")
        made = body["result"]["structuredContent"]
        self.assertEqual((made["owner"], made["name"], made["scopes"], made["labels"], made["state"]),
                         ("ada", "laptop", ["execute", "read"], {"team": "core"}, "active"))
        for _ in range(3):
            status, headers, page = self.open(made["link"], "GET", Accept="text/html")
            self.assertEqual(status, 200)
            self.assertIsNone(KEY.search(page.decode()), "looking shows nothing and uses nothing up")
        self.assertEqual(self.open(made["link"], "HEAD")[0], 200)
        self.assertEqual(headers["cache-control"], "no-store")
        self.assertIn("default-src 'none'", headers["content-security-policy"])
        self.assertIn("frame-ancestors 'none'", headers["content-security-policy"])
        self.assertEqual(headers["content-type"], "text/html; charset=utf-8")
        key = self.see(made, Accept="text/html")
        self.assertEqual(key[3:15], made["key_id"])
        who = self.server.ok(key, "whoami")
        self.assertEqual((who["subject"], who["scopes"]), ("ada", ["execute", "read"]))
        for method in ("POST", "GET"):
            status, _, page = self.open(made["link"], method)
            self.assertEqual(status, 410)
            self.assertIsNone(KEY.search(page.decode()))
        until(lambda: any(made["key_id"] in line for line in self.events("key_shown")))
        self.assertTrue(any(made["key_id"] in line and "ada at urn:kubiya:api-key" in line for line in self.events("key_created")))
        token = made["link"].rsplit("/", 1)[1]
        written = self.server.log.read_text() + "".join(
            p.read_text(errors="replace") for p in pathlib.Path(self.server.data).rglob("*") if p.is_file())
        self.assertNotIn(token, written, "the link is a secret too")
        self.assertNotIn(key[15:], written)
        self.assertIn('"path":"/once/"', self.server.log.read_text())

    def test_who_asks_at_once_gets_it_once(self):
        made, seen = self.make(), []
        threads = [threading.Thread(target=lambda: seen.append(self.open(made["link"])[0])) for _ in range(8)]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
        self.assertEqual(sorted(seen), [200] + [410] * 7)

    def test_a_foreign_page_cannot_open_it_and_unknown_links_are_404(self):
        made = self.make()
        for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Origin": "http://localhost:1"},
                        {"Origin": "null"}, {"Origin": "https://evil.example"}):
            self.assertEqual(self.open(made["link"], **headers)[0], 403, headers)
        own = {"Origin": f"http://127.0.0.1:{self.server.port}", "Sec-Fetch-Site": "same-origin"}
        self.assertEqual(self.open(made["link"], "PUT")[0], 405)
        for method in ("GET", "POST"):
            for path in ("/once/", "/once/x", "/once/" + "A" * 43, path_of(made["link"]) + "x", path_of(made["link"]) + "/"):
                self.assertEqual(self.server.request(method, path)[0], 404, path)
        self.see(made, **own)

    def test_scopes_are_the_callers_at_most(self):
        self.assertEqual(self.make()["scopes"], ["read"], "the least by default")
        self.assertIn("admin", self.refused_scope(self.server.call(self.ada, "create_api_key", scopes=["read", "admin"])))
        self.assertIn("execute:production", self.refused_scope(self.server.call(self.ada, "create_api_key", scopes=["execute:production"])))
        reader = self.see(self.make(scopes=["read"]))
        self.assertIn("write", self.refused_scope(self.server.call(reader, "create_api_key")))
        writer = self.see(self.make(scopes=["write"]))
        full = self.make(scopes=["read", "write", "execute"])
        # Whoever gets the secret of a successor has its scopes.
        self.assertIn("execute", self.refused_scope(self.server.call(writer, "rotate_api_key", key_id=full["key_id"])))
        for bad in ({"scopes": []}, {"scopes": ["a b"]}, {"scopes": ["read", "read"]}, {"expires_days": 0}, {"expires_days": 400},
                    {"labels": {"a": 1}}, {"labels": {"no name": "x"}}, {"name": "a\u0007b"}, {"tenant": "other"}):
            body = self.server.call(self.ada, "create_api_key", **bad)[2]
            self.assertTrue(body["result"]["isError"], bad)

    def test_what_a_key_makes_does_not_outlive_it(self):
        short = self.see(self.make(scopes=["write"], expires_days=1))
        made = self.make(short, scopes=["write"], expires_days=300)
        mine = [k for k in self.server.ok(self.ada, "list_api_keys")["keys"] if k["key_id"] == short[3:15]][0]
        self.assertEqual(made["expires"], mine["expires"])

    def test_other_peoples_keys_are_not_there_but_for_admins(self):
        key = self.see(self.make(name="mine"))
        ident = key[3:15]
        listed = lambda who, **more: [k["key_id"] for k in self.server.ok(who, "list_api_keys", **more)["keys"]]
        self.assertIn(ident, listed(self.ada))
        self.assertNotIn(ident, listed(self.bob))
        for tool in ("revoke_api_key", "rotate_api_key"):
            body = self.server.call(self.bob, tool, key_id=ident)[2]
            unknown = self.server.call(self.bob, tool, key_id="000000000000")[2]
            told = lambda answer: answer["result"]["content"][0]["text"].replace(ident, "?").replace("000000000000", "?")
            self.assertEqual(told(body), told(unknown), "as one that is not there")
        self.assertEqual(self.status(key), 200)
        self.assertIn("admin", self.refused_scope(self.server.call(self.bob, "list_api_keys", subject="ada")))
        self.assertIn("admin", self.refused_scope(self.server.call(self.bob, "list_api_keys", everybody=True)))
        self.assertIn("admin", self.refused_scope(self.server.call(self.bob, "create_api_key", subject="ada")))
        self.assertIn(ident, listed(self.root, subject="ada"))
        self.assertIn(ident, listed(self.root, everybody=True))
        bobs = self.see(self.make(self.root, subject="bob", scopes=["read"]))
        self.assertEqual(self.server.ok(bobs, "whoami")["subject"], "bob")
        self.assertEqual(self.server.ok(self.root, "revoke_api_key", key_id=ident)["state"], "revoked")
        self.assertEqual([self.status(key) for _ in range(10)], [401] * 10, "at once, on every event loop")

    def test_revoking_ends_the_link_too_and_twice_is_once(self):
        made = self.make()
        self.assertEqual(self.server.ok(self.ada, "revoke_api_key", key_id=made["key_id"])["revoked_by"], "ada at urn:kubiya:api-key")
        self.assertEqual(self.open(made["link"])[0], 410)
        self.assertEqual(self.server.ok(self.ada, "revoke_api_key", key_id=made["key_id"])["state"], "revoked")
        keys = self.server.ok(self.ada, "list_api_keys", ended=True)["keys"]
        self.assertIn(made["key_id"], [k["key_id"] for k in keys])
        self.assertNotIn(made["key_id"], [k["key_id"] for k in self.server.ok(self.ada, "list_api_keys")["keys"]])

    def test_rotation_counts_from_when_the_new_key_was_seen(self):
        old = self.see(self.make(scopes=["read", "execute"], labels={"a": "b"}))
        made = self.server.ok(self.ada, "rotate_api_key", key_id=old[3:15], overlap_hours=0)
        self.assertEqual((made["state"], made["replaces"], made["scopes"], made["labels"]),
                         ("staged", old[3:15], ["execute", "read"], {"a": "b"}))
        self.assertEqual(self.status(old), 200)
        again = self.server.call(self.ada, "rotate_api_key", key_id=old[3:15])[2]
        self.assertTrue(again["result"]["isError"], "it has a successor already")
        new = self.see(made)
        self.assertEqual((self.status(new), self.status(old)), (200, 401))
        self.assertTrue(any(made["key_id"] in line for line in self.events("key_promoted")))

    def test_a_client_that_opens_links_keeps_them_from_the_model(self):
        call = lambda **more: modern(self.ada, "tools/call", {"name": "create_api_key", "arguments": {"name": "by url"}, **more},
                                     URLS, of=self.server)[1]["result"]
        asked = call()
        self.assertEqual(asked["resultType"], "input_required")
        ask = asked["inputRequests"]["show_key"]
        self.assertEqual((ask["method"], ask["params"]["mode"]), ("elicitation/create", "url"))
        link = ask["params"]["url"]
        done = call(inputResponses={"show_key": {"action": "accept"}}, requestState=asked["requestState"])
        made = done["structuredContent"]
        self.assertNotIn("link", made)
        self.assertNotIn(link, json.dumps(done))
        self.assertRegex(made["code"], r"^[0-9]{8}$")
        self.assertIn("name=code", self.open(link, "GET", Accept="text/html")[2].decode())
        wrong = "%08d" % ((int(made["code"]) + 1) % 10**8)
        for body in ("", "code=", "code=" + wrong):
            self.assertEqual(self.open(link, body=body)[0], 403)
        key = self.see({"link": link}, body="code=" + made["code"])
        self.assertEqual(self.status(key), 200)

        asked = call()
        link = asked["inputRequests"]["show_key"]["params"]["url"]
        said = call(inputResponses={"show_key": {"action": "decline"}}, requestState=asked["requestState"])
        self.assertTrue(said["isError"])
        self.assertEqual(said["structuredContent"]["state"], "revoked")
        self.assertEqual(self.open(link)[0], 410)

        asked = call()
        link = asked["inputRequests"]["show_key"]["params"]["url"]
        self.assertEqual([self.open(link, body="code=x")[0] for _ in range(6)], [403] * 4 + [410] * 2, "five guesses")
        other = modern(self.bob, "tools/call", {"name": "create_api_key", "arguments": {"name": "by url"},
                                                "inputResponses": {"show_key": {"action": "accept"}},
                                                "requestState": asked["requestState"]}, URLS, of=self.server)
        self.assertEqual((other[0], other[1]["error"]["code"]), (400, -32602))

    def test_legacy_clients_are_asked_on_the_stream(self):
        session = Session(self.ada, of=self.server, capabilities=URLS)
        stream = session.post_stream("tools/call", {"name": "create_api_key", "arguments": {}})
        request = stream.next()
        self.assertEqual((request["method"], request["params"]["mode"]), ("elicitation/create", "url"))
        self.assertTrue(request["params"]["elicitationId"])
        session.send({"jsonrpc": "2.0", "id": request["id"], "result": {"action": "accept"}})
        made = stream.rest()[-1]["result"]["structuredContent"]
        key = self.see({"link": request["params"]["url"]}, body="code=" + made["code"])
        self.assertEqual(self.status(key), 200)


class Unseen(unittest.TestCase):
    def test_a_key_that_nobody_saw_in_time_is_revoked(self):
        server = Server(None, env={"KUBIYA_IDENTITY_LINK_LIFETIME": "10s"})
        self.addCleanup(server.close)
        ada = make(server, "ada")
        made = server.ok(ada, "create_api_key")
        facts = lambda: json.loads(server.cli("key", "describe", made["key_id"], "--json").stdout)
        self.assertEqual(facts()["state"], "active")
        until(lambda: facts()["state"] == "revoked", 15)
        self.assertEqual(facts()["revoked_by"], "nobody saw it")
        self.assertEqual(server.request("POST", path_of(made["link"]))[0], 410)

    def test_too_many_wait(self):
        server = Server(None)
        self.addCleanup(server.close)
        ada = make(server, "ada")
        for _ in range(16):
            server.ok(ada, "create_api_key")
        status, _, body = server.call(ada, "create_api_key")
        self.assertEqual((status, body["error"]["code"]), (429, -32603))
        self.assertIn("open their links", body["error"]["message"])

    def test_a_person_who_is_cut_off_leaves_no_link_behind(self):
        issuer = Issuer()
        self.addCleanup(issuer.close)
        server = Server(issuer)
        self.addCleanup(server.close)
        made = server.ok(issuer.token(server.audience, "ada"), "create_api_key")
        self.assertEqual((made["issuer"], made["owner"]), (issuer.url, "ada"))
        server.cli("cut-off", "ada", "--issuer", issuer.url)
        until(lambda: server.get(path_of(made["link"]))[0] == 410, 5)
        until(lambda: '"revoked"' in server.cli("key", "describe", made["key_id"], "--json").stdout, 5)

    def test_over_stdio_there_is_no_page_and_so_no_new_key(self):
        server = Server(None)
        self.addCleanup(server.close)
        ada = make(server, "ada")
        server.stop()
        import subprocess
        from harness import BINARY, MODERN
        message = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": {
            META + "protocolVersion": MODERN, META + "clientCapabilities": {}}}}
        said = subprocess.run([BINARY, "serve", "--transport", "stdio", "--data-dir", server.data], input=json.dumps(message) + "\n",
                              capture_output=True, text=True, env={"KUBIYA_ACCESS_TOKEN": ada}, timeout=30)
        names = [tool["name"] for tool in json.loads(said.stdout)["result"]["tools"]]
        self.assertIn("revoke_api_key", names)
        self.assertNotIn("create_api_key", names)


if __name__ == "__main__":
    unittest.main()
