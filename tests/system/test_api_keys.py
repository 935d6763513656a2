"""API keys: made, shown once, presented in every way there is, limited, ended; and the keys that tokens carry."""
import concurrent.futures
import hashlib
import http.client
import json
import pathlib
import re
import shlex
import shutil
import sqlite3
import subprocess
import tempfile
import time
import unittest

from harness import BINARY, CANARY, ROOT, Issuer, Server, free_port, until

KEY = re.compile(r"kb-[0-9A-Za-z]{61}")
STEPS = [{"name": "hash", "script": 'printf %s "$KUBIYA_API_KEY" | sha256sum | cut -c1-64', "output": "HASH"},
         {"name": "who", "script": 'echo "$KUBIYA_TENANT/$KUBIYA_SUBJECT"', "output": "WHO"},
         {"name": "names", "script": "env | cut -d= -f1 | sort | tr '\\n' ' '", "output": "NAMES"},
         {"name": "careless", "script": 'echo "key $KUBIYA_API_KEY"'}]

OPERATIONS = {"read": "whoami list_workflows get_workflow validate_workflow get_execution list_executions get_execution_logs list_approvals",
              "write": "create_workflow update_workflow list_api_keys create_api_key rotate_api_key revoke_api_key", "execute": "execute_workflow cancel_execution decide_approval",
              "admin": "delete_workflow set_user_key"}


def setUpModule():
    global issuer, server, signed, flows, ada
    issuer = Issuer()
    flows = tempfile.mkdtemp(prefix="kubiya-keys-")
    pathlib.Path(flows, "key.json").write_text(json.dumps({"name": "key", "steps": STEPS}))
    server = Server(workflows=flows)
    signed = Server(issuer, workflows=flows, env={"KUBIYA_AUTH_TENANT_CLAIM": "org", "KUBIYA_API_KEY": f"kb-{CANARY}-shared"})
    ada = make("ada")


def tearDownModule():
    server.close()
    signed.close()
    issuer.close()
    shutil.rmtree(flows)


def make(user, *more, scopes="read write execute", at=None, known=True):
    """A key, which the running server knows by now; with it, all made before."""
    at = at or server
    key = at.cli("key", "create", "--user", user, "--name", "test", "--scopes", *scopes.split(), *more).stdout.strip()
    assert KEY.fullmatch(key), key
    if at is server and known:
        until(lambda: server.call(key, "whoami")[0] != 401)
    return key


def ident(key):
    return key[3:15]


def digest(key):
    return hashlib.sha256(key.encode()).hexdigest()


def run(of, credential, headers=None, **more):
    """The answer to one run of the workflow that shows which key it got."""
    return of.rpc(credential, "tools/call", {"name": "execute_workflow", "arguments": {"name": "key", **more}}, headers)


def outcome(answer):
    status, _, body = answer
    assert status == 200 and not body["result"]["isError"], (status, body)
    return body["result"]["structuredContent"]


def files_with(text, of):
    world = [of.log, *pathlib.Path(of.data).rglob("*")]
    return [str(p) for p in world if p.is_file() and text.encode() in p.read_bytes()]


class Command(unittest.TestCase):
    def test_the_key_commands_of_the_readme_work(self):
        lines = [l for l in (ROOT / "README.md").read_text().splitlines() if l.startswith("kubiya-mcp key ")]
        self.assertTrue(lines)
        for line in lines:
            done = server.cli(*shlex.split(line, comments=True)[1:], check=False)
            self.assertEqual(done.returncode, 0, line + "\n" + done.stderr)

    def test_a_key_is_shown_once_and_only_a_keyed_digest_is_stored(self):
        done = server.cli("key", "create", "--user", "once", "--name", "n", "--scopes", "read", "--expires", "never")
        key = done.stdout.strip()
        self.assertEqual(done.stdout, key + "\n", "stdout is the key and nothing else")
        self.assertRegex(key, KEY)
        until(lambda: server.call(key, "whoami")[0] == 200)
        server.cli("key", "revoke", ident(key))
        until(lambda: server.call(key, "whoami")[0] == 401)
        secret, body = key[15:58], key[3:58]
        said = done.stderr + server.cli("key", "list", "--user", "once").stdout
        for text in (key, secret, digest(key), digest(body), digest(secret)):
            self.assertNotIn(text, said)
            self.assertEqual(files_with(text, server), [])
        for name in ("pepper", "kubiya.db"):
            self.assertEqual(pathlib.Path(server.data, name).stat().st_mode & 0o077, 0, name)

    def test_the_list_tells_state_owner_and_scopes(self):
        first = make("lister", "--expires", "never", known=False)
        second, _ = make("lister", scopes="read", known=False), make("lister", "--tenant", "red", known=False)
        server.cli("key", "revoke", ident(first))
        rows = server.cli("key", "list", "--user", "lister").stdout.splitlines()[1:]
        self.assertEqual(len(rows), 2, "of one tenant")
        self.assertRegex(rows[0], rf"^{ident(first)} +revoked .*{first[-4:]} +lister +execute read write +never +test$")
        self.assertRegex(rows[1], rf"^{ident(second)} +active .*{second[-4:]} +lister +read +20\S+Z +test$")

    def test_bad_arguments_are_named_and_make_nothing(self):
        before = server.cli("key", "list").stdout
        base = {"--user": "u", "--name": "n", "--scopes": "read"}
        for option, value in (("--user", None), ("--scopes", None), ("--user", ""), ("--user", "a\nb"), ("--expires", "5x"),
                              ("--expires", "0s"), ("--expires", "-1d"), ("--tenant", "")):
            with self.subTest((option, value)):
                given = {**base, option: value}
                words = [w for pair in given.items() if pair[1] is not None for w in pair]
                done = server.cli("key", "create", *words, check=False)
                self.assertNotEqual(done.returncode, 0)
                self.assertIn(option, done.stderr)
        self.assertNotEqual(server.cli("key", "revoke", "nosuchkey", check=False).returncode, 0)
        self.assertEqual(server.cli("key", "list").stdout, before)

    def test_making_and_revoking_leaves_evidence_while_the_server_runs(self):
        key = make("witness")
        server.cli("key", "revoke", ident(key))
        until(lambda: server.call(key, "whoami")[0] == 401)
        lines = lambda: [l for p in pathlib.Path(server.data, "audit").glob("audit-*.jsonl")
                         for l in p.read_text().splitlines() if ident(key) in l]
        # The journal belongs to the running server, so the command alone cannot write there.
        until(lambda: all(any(kind in l for l in lines()) for kind in ("key_created", "key_revoked")), 5)


class Sources(unittest.TestCase):
    def with_environment_key(self, *flags, scopes="read execute"):
        data = tempfile.mkdtemp(prefix="kubiya-env-")
        self.addCleanup(shutil.rmtree, data)
        words = ["key", "create", "--user", "shared", "--name", "n", "--scopes", *scopes.split(), "--data-dir", data]
        key = subprocess.run([BINARY, *words], capture_output=True, text=True, check=True).stdout.strip()
        own = Server(None, *flags, data=data, workflows=flows, env={"KUBIYA_API_KEY": key})
        self.addCleanup(own.close)
        self.addCleanup(own.log.unlink)
        return own, key

    def test_headers(self):
        for headers in ({"Authorization": "Bearer " + ada}, {"Authorization": "UserKey " + ada}, {"X-API-Key": ada}):
            with self.subTest(list(headers.items())[0][1][:8]):
                who = outcome(server.rpc(None, "tools/call", {"name": "whoami", "arguments": {}}, headers))
                self.assertEqual((who["subject"], who["tenant"], who["credential"]), ("ada", "default", "api_key"))
                self.assertEqual((who["scopes"], who["api_key"]["source"]), (["execute", "read", "write"], "header"))
                done = outcome(run(server, None, headers))
                self.assertEqual((done["outputs"]["HASH"], done["outputs"]["WHO"]), (digest(ada), "default/ada"))
        status, _, body = server.get("/", {"X-API-Key": ada})
        self.assertEqual((status, json.loads(body)["subject"]), (200, "ada"))

    def test_the_argument_alone_runs_as_its_owner_and_is_written_nowhere(self):
        done = outcome(run(server, None, api_key=ada))
        self.assertEqual((done["subject"], done["outputs"]["HASH"]), ("ada", digest(ada)))
        same = server.ok(ada, "get_execution", execution_id=done["execution_id"])
        self.assertEqual(same["outputs"], done["outputs"])
        self.assertEqual(files_with(ada[15:58], server), [], "not in audit, log, database or work directory")

    def test_the_handshake_is_open_and_every_call_needs_a_key(self):
        for method in ("server/discover", "tools/list"):
            self.assertEqual(server.rpc(None, method)[0], 200)
        head = {"Content-Type": "application/json"}
        hello = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": "2025-11-25"}}
        self.assertEqual(server.request("POST", "/mcp", json.dumps(hello), head)[0], 200)
        listed = len(server.ok(ada, "list_executions")["executions"])
        for answer in (server.call(None, "whoami"), run(server, None), server.get("/"), run(server, None, pad="x" * 70_000)):
            status, headers, body = answer
            body = body if isinstance(body, dict) else json.loads(body)
            self.assertEqual((status, body["message"]), (401, "No API token provided"))
            self.assertTrue(headers["www-authenticate"].startswith("Bearer "))
            self.assertNotIn("error=", headers["www-authenticate"])
        self.assertEqual(len(server.ok(ada, "list_executions")["executions"]), listed)

    def test_argument_then_header_then_environment(self):
        own, shared = self.with_environment_key()
        who = own.ok(None, "whoami")
        self.assertEqual((who["subject"], who["credential"], who["api_key"]["source"]), ("shared", "shared_key", "environment"))
        self.assertEqual(outcome(run(own, None))["outputs"]["HASH"], digest(shared))
        bob, carl = make("bob", at=own), make("carl", at=own)
        until(lambda: own.call(carl, "whoami")[0] == 200)
        for name, answer, owner, key in (("header before environment", run(own, bob), "bob", bob),
                                         ("argument before environment", run(own, None, api_key=carl), "carl", carl),
                                         ("the same in both", run(own, bob, api_key=bob), "bob", bob)):
            with self.subTest(name):
                done = outcome(answer)
                self.assertEqual((done["subject"], done["outputs"]["HASH"]), (owner, digest(key)))
        status, _, body = run(own, bob, api_key=carl)
        self.assertEqual(status, 400, "two different people in one call")
        for key in (bob, carl):
            runs = own.ok(key, "list_executions")["executions"]
            self.assertEqual(len(runs), 2 if key == bob else 1, "the ambiguous call ran for nobody")
        self.assertEqual(run(own, None, api_key="kb-wrong")[0], 401, "a wrong key is not replaced by the environment's")
        self.assertEqual(run(own, "kb-wrong")[0], 401)

    def test_the_environment_key_is_for_callers_on_this_machine(self):
        away = {"X-Forwarded-For": "203.0.113.9"}
        plain = self.with_environment_key("--public-url", "https://mcp.example.com")[0]
        self.assertEqual(plain.call(None, "whoami")[0], 200)
        for name in ("Via", "Forwarded", "X-Forwarded-For", "X-Real-IP", "CF-Connecting-IP", "CF-Ray", "True-Client-IP"):
            with self.subTest("through a proxy that sets " + name):
                status, _, _ = plain.rpc(None, "tools/call", {"name": "whoami", "arguments": {}}, {name: "203.0.113.9"})
                self.assertEqual(status, 401)
        status, _, _ = plain.rpc(None, "tools/call", {"name": "whoami", "arguments": {}}, {"Host": "mcp.example.com"})
        self.assertEqual(status, 401, "through a proxy that keeps Host and sets nothing")
        strict = self.with_environment_key("--trusted-proxy", "127.0.0.1")[0]
        status, _, body = strict.rpc(None, "tools/call", {"name": "whoami", "arguments": {}}, away)
        self.assertEqual((status, body["message"]), (401, "No API token provided"))
        shared = self.with_environment_key("--trusted-proxy", "127.0.0.1", "--allow-shared-key")[0]
        who = outcome(shared.rpc(None, "tools/call", {"name": "whoami", "arguments": {}}, away))
        self.assertEqual(who["credential"], "shared_key")

    def test_strangers_behind_a_local_nginx_get_no_key(self):
        nginx = shutil.which("nginx", path="/usr/sbin:/usr/bin")
        if not nginx:
            self.skipTest("there is no nginx")
        own = self.with_environment_key("--public-url", "https://mcp.example.com")[0]
        rows = {"proxy_set_header Host $host;": {"Host": "mcp.example.com"},
                "proxy_set_header Host $host; ": {"Host": "localhost", "Via": "1.1 edge"},
                "proxy_set_header X-Real-IP $remote_addr;": {}, "proxy_set_header X-Forwarded-For $remote_addr;": {}}
        for lines, headers in rows.items():
            with self.subTest(lines, headers=headers):
                place, port = pathlib.Path(tempfile.mkdtemp(prefix="kubiya-nginx-")), free_port()
                self.addCleanup(shutil.rmtree, place)
                temp = "".join(f"{kind}_temp_path {place}; " for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
                (place / "conf").write_text(
                    f"daemon off; worker_processes 1; pid {place}/pid; error_log {place}/log; events {{}}\n"
                    f"http {{ access_log off; {temp} server {{ listen 127.0.0.1:{port}; location / {{ {lines} "
                    f"proxy_http_version 1.1; proxy_pass http://127.0.0.1:{own.port}; }} }} }}\n")
                proxy = subprocess.Popen([nginx, "-c", place / "conf", "-e", place / "log"])
                self.addCleanup(proxy.wait)
                self.addCleanup(proxy.terminate)

                def ask():
                    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
                    try:
                        connection.request("GET", "/", None, headers)
                        return connection.getresponse().status
                    except OSError:
                        return None  # not listening yet
                    finally:
                        connection.close()
                self.assertEqual(until(ask), 401)
        self.assertEqual(own.get("/")[0], 200, "who comes straight gets it")

    def test_two_credentials_or_one_in_the_url_are_bad_requests(self):
        self.assertEqual(server.rpc(ada, "tools/list", {}, {"X-API-Key": ada})[0], 400)
        self.assertEqual(server.rpc(None, "tools/list", path="/mcp?api_key=" + ada)[0], 400)
        self.assertEqual(files_with(ada[15:58], server), [])


class Refusals(unittest.TestCase):
    def reason(self, headers):
        ident = headers["x-request-id"]
        lines = lambda: [l for l in map(json.loads, server.log.read_text().splitlines()) if l.get("request_id") == ident]
        return until(lines)[0]["reason"]

    def test_every_bad_key_gets_the_same_answer_and_a_reason_in_the_log(self):
        revoked, elsewhere = make("ada", known=False), make("ada", at=signed)
        expired = make("ada", "--expires", "never")
        server.cli("key", "revoke", ident(revoked))
        with sqlite3.connect(pathlib.Path(server.data, "kubiya.db"), timeout=10) as db:
            db.execute("update keys set expires_ms = ? where id = ?", (int(time.time() * 1000) - 1, ident(expired)))
        typo = ada[:20] + ("a" if ada[20] != "a" else "b") + ada[21:]
        rows = {"revoked": (revoked, "revoked_api_key"), "expired": (expired, "expired_api_key"),
                "of another installation": (elsewhere, "unknown_api_key"), "typing error": (typo, "bad_api_key"),
                "cut": (ada[:-1], "bad_api_key"), "longer": (ada + "a", "bad_api_key"),
                "of the seed": ("kb-1234567890abcdef", "bad_api_key"), "a token": ("a.b.c", "bad_api_key"),
                "another prefix": ("kc-" + ada[3:], "bad_api_key")}
        seen = set()
        for name, (key, reason) in rows.items():
            with self.subTest(name):
                until(lambda: server.call(key, "whoami")[0] == 401)
                for answer in (run(server, key), run(server, None, {"X-API-Key": key}), run(server, None, api_key=key)):
                    status, headers, body = answer
                    self.assertEqual((status, body["message"]), (401, "Invalid token"))
                    self.assertEqual(self.reason(headers), reason)
                    seen.add((headers["www-authenticate"], json.dumps(body)))
        self.assertEqual(len(seen), 1, "nobody learns which check failed")
        self.assertIn('error="invalid_token"', seen.pop()[0])

    def test_revoking_takes_effect_in_the_running_server(self):
        key = make("leaver")
        self.assertEqual(server.call(key, "whoami")[0], 200)
        self.assertEqual(server.cli("key", "revoke", ident(key)).returncode, 0)
        until(lambda: server.call(key, "whoami")[0] == 401)
        self.assertEqual(run(server, None, api_key=key)[0], 401)
        self.assertEqual(server.call(ada, "whoami")[0], 200, "and touches no other key")
        self.assertRegex(server.cli("key", "list", "--user", "leaver").stdout, ident(key) + " +revoked")

    def test_a_key_ends_with_its_lifetime_in_the_running_server(self):
        key = make("guest", "--expires", "1m")
        self.assertIsNotNone(server.ok(key, "whoami")["expires_at"])
        soon = int(time.time() * 1000) + 2000
        with sqlite3.connect(pathlib.Path(server.data, "kubiya.db"), timeout=10) as db:
            db.execute("update keys set expires_ms = ? where id = ?", (soon, ident(key)))
        until(lambda: server.call(key, "whoami")[0] == 401)
        self.assertGreaterEqual(time.time() * 1000, soon, "not before it ends")
        self.assertRegex(server.cli("key", "list", "--user", "guest").stdout, ident(key) + " +expired")


class Limits(unittest.TestCase):
    def test_the_scopes_of_a_key_are_enforced(self):
        calls = {"read": ("list_workflows", {}), "execute": ("execute_workflow", {"name": "key", "wait": 0}),
                 "write": ("update_workflow", {"name": "key", "definition": {"name": "key", "steps": STEPS}}),
                 "admin": ("delete_workflow", {"name": "none"})}
        rows = {"read": {"read"}, "write": {"write"}, "execute": {"execute"}, "read execute": {"read", "execute"},
                "workflows:execute": {"execute"}, "admin": set(calls), "nothing": set()}
        keys = {held: make("scoped", scopes=held, known=held == "nothing") for held in rows}
        for held, allowed in rows.items():
            key = keys[held]
            for scope, (tool, arguments) in calls.items():
                with self.subTest((held, tool)):
                    status, headers, body = server.call(key, tool, **arguments)
                    self.assertEqual(status, 200 if scope in allowed else 403, body)
                    if status == 403:
                        self.assertEqual(body["message"], "Insufficient permissions")
                        self.assertIn('error="insufficient_scope"', headers["www-authenticate"])
                        self.assertIn(f'scope="{scope}"', headers["www-authenticate"])
        self.assertEqual(run(server, None, api_key=keys["read"])[0], 403, "as an argument too")

    def test_persons_and_tenants_are_apart(self):
        mine = outcome(run(server, ada))["execution_id"]
        again, bob = make("ada", scopes="read", known=False), make("bob", known=False)
        red, chief = make("ada", "--tenant", "red", known=False), make("root", "--tenant", "red", scopes="admin")
        self.assertEqual(server.ok(again, "get_execution", execution_id=mine)["status"], "finished", "the same person")
        absent = server.call(bob, "get_execution", execution_id="01a20793-0000-7000-8000-000000000000")[2]
        for key in (bob, red, chief):
            self.assertEqual(server.call(key, "get_execution", execution_id=mine)[2], absent)
            self.assertNotIn(mine, json.dumps(server.ok(key, "list_executions")))
        self.assertEqual(server.ok(red, "whoami")["tenant"], "red")
        self.assertEqual(server.ok(chief, "list_workflows")["workflows"], [])
        self.assertTrue(run(server, red)[2]["result"]["isError"])


class Scopes(unittest.TestCase):
    def token(self, scope, of=None):
        return issuer.token((of or signed).audience, "sam", org="default", scope=scope)

    def challenge(self, answer, of=None):
        status, headers, body = answer
        self.assertEqual((status, body["message"]), (403, "Insufficient permissions"))
        found = dict(re.findall(r'(\w+)="([^"]*)"', headers["www-authenticate"]))
        self.assertTrue(headers["www-authenticate"].startswith("Bearer "))
        self.assertEqual(found["error"], "insufficient_scope")
        self.assertEqual(found["resource_metadata"],
                         f"http://localhost:{(of or signed).port}/.well-known/oauth-protected-resource/mcp")
        return found["scope"]

    def test_each_operation_needs_its_scope_and_no_other(self):
        listed = lambda scope: {t["name"] for t in signed.rpc(self.token(scope), "tools/list")[2]["result"]["tools"]}
        self.assertEqual(listed("admin"), {tool for tools in OPERATIONS.values() for tool in tools.split()})
        self.assertEqual(listed("read"), set(OPERATIONS["read"].split()), "what one may not use is not shown")
        for scope, tools in OPERATIONS.items():
            others = self.token(" ".join({"read", "write", "execute"} - {scope}))
            for tool in tools.split():
                with self.subTest(tool):
                    self.assertEqual(self.challenge(signed.call(others, tool)), scope)
                    for held in (scope, "admin", scope if scope == "admin" else "workflows:" + scope):
                        self.assertEqual(signed.call(self.token(held), tool)[0], 200, held)
                    head = {"Authorization": "Bearer " + others, "Content-Type": "application/json"}
                    legacy = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool}}
                    status, got, body = signed.request("POST", "/", json.dumps(legacy), head)
                    self.assertEqual(self.challenge((status, got, json.loads(body))), scope, "in the legacy era too")

    def test_required_scopes_are_asked_of_every_request(self):
        own = Server(issuer, "--required-scopes", "read", "write", workflows=flows)
        self.addCleanup(own.close)
        weak, strong = self.token("execute", own), self.token("execute read write", own)
        self.assertEqual(self.challenge(run(own, weak), own), "execute read write")
        self.assertEqual(self.challenge(own.rpc(weak, "tools/list"), own), "read write")
        self.assertEqual(outcome(run(own, strong))["status"], "finished")


class Claims(unittest.TestCase):
    def token(self, subject="ada", org="default", **claims):
        return issuer.token(signed.audience, subject, org=org, **claims)

    def test_the_claim_locations_are_looked_through_in_the_order_of_the_seed(self):
        text = f"kb-{CANARY}-claim"
        first, second, third = {"kubiya_api_key": text}, {"api_key": text}, {"metadata": {"kubiya_api_key": text}}
        for claims, source in (({**first, **second, **third}, "kubiya_api_key"), ({**first, **third}, "kubiya_api_key"),
                               (first, "kubiya_api_key"), ({**second, **third}, "api_key"), (second, "api_key"),
                               (third, "metadata.kubiya_api_key")):
            with self.subTest(list(claims)):
                token = self.token(**{"kubiya_api_key": ..., **claims})
                self.assertEqual(signed.ok(token, "whoami")["api_key"]["source"], "claim:" + source)
                self.assertEqual(outcome(run(signed, token))["outputs"]["HASH"], digest(text))
        contradiction = self.token(metadata={"kubiya_api_key": "kb-other"})
        self.assertEqual(signed.call(contradiction, "whoami")[0], 401, "two keys are no answer")

    def test_neither_argument_nor_environment_replaces_the_verified_person(self):
        bare = self.token(kubiya_api_key=...)
        self.assertFalse(signed.ok(bare, "whoami")["api_key"]["found"])
        for more in ({}, {"api_key": f"kb-{CANARY}-argument"}):
            result = run(signed, bare, **more)[2]["result"]
            self.assertTrue(result["isError"])
            self.assertNotIn("structuredContent", result)
        self.assertTrue(run(signed, bare)[2]["result"]["content"][0]["text"].startswith("No API token provided"))
        self.assertTrue(run(signed, self.token(), api_key="kb-x")[2]["result"]["isError"])
        self.assertEqual(run(signed, None)[0], 401)
        self.assertEqual(run(signed, None, {"X-API-Key": make("ada", at=signed)})[0], 400)

    def test_a_key_of_our_own_in_a_claim_must_be_its_subjects_and_alive(self):
        mine, bobs, red = make("ada", at=signed), make("bob", at=signed), make("ada", "--tenant", "red", at=signed)
        good = self.token(kubiya_api_key=mine)
        until(lambda: signed.call(good, "whoami")[0] == 200)
        self.assertEqual(outcome(run(signed, good))["outputs"]["HASH"], digest(mine))
        until(lambda: signed.call(self.token(org="red", kubiya_api_key=red), "whoami")[0] == 200)
        until(lambda: signed.call(self.token("bob", kubiya_api_key=bobs), "whoami")[0] == 200)
        for name, key in {"another owner": bobs, "another tenant": red, "another installation": ada}.items():
            with self.subTest(name):
                status, _, body = run(signed, self.token(kubiya_api_key=key))
                self.assertEqual((status, body["message"]), (401, "Invalid token"))
        signed.cli("key", "revoke", ident(mine))
        until(lambda: signed.call(good, "whoami")[0] == 401)

    def test_effective_scopes_are_those_of_token_and_key(self):
        reader, doer = make("ada", scopes="read", at=signed), make("ada", scopes="read execute admin", at=signed)
        until(lambda: signed.call(self.token(kubiya_api_key=doer), "whoami")[0] == 200)
        for key, scope, expected in ((reader, "read execute", ["read"]), (doer, "read", ["read"]),
                                     (doer, "execute write", ["execute", "write"])):
            token = self.token(kubiya_api_key=key, scope=scope)
            with self.subTest((expected, scope)):
                body = signed.ok(token, "whoami") if "read" in expected else None
                self.assertEqual(body["scopes"] if body else expected, expected)
                self.assertEqual(run(signed, token)[0], 200 if "execute" in expected else 403)

    def test_tenants_share_no_workflows_and_no_idempotency_keys(self):
        red, blue = self.token(org="red", scope="admin"), self.token(org="blue", scope="admin")
        said = lambda word: {"name": "same", "steps": [{"name": "s", "command": f"echo {word}", "output": "OUT"}]}
        signed.ok(red, "create_workflow", definition=said("red"))
        for tool, more in (("get_workflow", {}), ("execute_workflow", {}), ("delete_workflow", {}),
                           ("update_workflow", {"definition": said("x")})):
            result = signed.call(blue, tool, name="same", **more)[2]["result"]
            self.assertTrue(result["isError"], tool)
            self.assertIn("There is no workflow named same", result["content"][0]["text"])
        self.assertEqual(signed.ok(blue, "list_workflows")["workflows"], [])
        signed.ok(blue, "create_workflow", definition=said("blue"))
        runs = {}
        for who, colour in ((red, "red"), (blue, "blue")):
            runs[colour] = signed.ok(who, "execute_workflow", name="same", idempotency_key="one")
            self.assertEqual((runs[colour]["outputs"], runs[colour]["existing"]), ({"OUT": colour}, False))
        signed.ok(blue, "delete_workflow", name="same")
        self.assertEqual(signed.ok(red, "get_workflow", name="same")["version"], 1)
        self.assertEqual(signed.rpc(issuer.token(signed.audience), "tools/list")[0], 401, "no tenant, no guess")

    def test_each_run_has_its_own_callers_key_also_at_the_same_time(self):
        people = [(f"user{i}", org) for i in range(6) for org in ("default", "red", "default")]
        signed.ok(self.token("root", "red", scope="admin"), "create_workflow", definition={"name": "key", "steps": STEPS})

        def one(person):
            subject, org = person
            key = f"kb-{CANARY}-{org}-{subject}"
            return key, outcome(run(signed, self.token(subject, org, kubiya_api_key=key)))

        with concurrent.futures.ThreadPoolExecutor(len(people)) as pool:
            for (subject, org), (key, done) in zip(people, pool.map(one, people)):
                self.assertEqual((done["subject"], done["outputs"]["HASH"]), (subject, digest(key)))
                self.assertEqual(done["outputs"]["WHO"], f"{org}/{subject}")
        names = done["outputs"]["NAMES"].split()
        self.assertIn("KUBIYA_API_KEY", names)
        self.assertNotIn("INJECTED_SECRET", names, "nothing of the server's environment")

    def test_a_key_that_a_step_prints_is_taken_out(self):
        token = self.token()
        done = outcome(run(signed, token))["execution_id"]
        texts = [e["text"] for e in signed.ok(token, "get_execution_logs", execution_id=done, step="careless")["entries"]]
        self.assertEqual(texts, ["key [redacted]\n"])
        self.assertEqual(signed.leaks(), [])


if __name__ == "__main__":
    unittest.main()
