"""Several issuers on one server, each a provider with its own dialect: who connects, who is refused, and for which reason."""
import base64
import json
import pathlib
import re
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
import unittest

import providers
from harness import BINARY, CANARY, ROOT, Issuer, Server, b64, free_port, until
from providers import APPLICATION, GOOGLE_CLIENT, OTHER_TENANT, TENANT
from test_protocol import Session, listen

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa


def records(of):
    texts = [path.read_text() for path in sorted(pathlib.Path(of.data, "audit").glob("audit-*.jsonl"))]
    # The last line may be half written.
    return [json.loads(line) for line in "".join(texts).rpartition("\n")[0].split("\n") if line]


class World(unittest.TestCase):
    """A directory for configuration files, and servers that end with the test."""

    def setUp(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="kubiya-issuers-"))
        self.addCleanup(shutil.rmtree, self.directory, ignore_errors=True)

    def file(self, name, text):
        path = self.directory / name
        path.write_text(text)
        path.chmod(0o600)
        return path

    def serve(self, issuers, *flags, ready=True, **more):
        config = self.file("config.yaml", json.dumps({"issuers": issuers, **more}))
        server = Server(None, "--config", config, *flags, ready=ready)
        self.addCleanup(server.close)
        return server

    def reason(self, server, headers):
        """The one audit record of a refused request."""
        ident = headers["x-request-id"]
        return until(lambda: [r for r in records(server) if r.get("request_id") == ident])[0]

    def assert_refused(self, server, token, reason, detail=""):
        status, headers, _ = server.call(token, "whoami")
        self.assertEqual(status, 401)
        record = self.reason(server, headers)
        self.assertEqual(record["reason"], reason, record)
        self.assertIn(detail, record.get("detail", ""))


class Dialects(World):
    """All five providers at once."""

    def setUp(self):
        super().setUp()
        self.auth0, self.okta, self.google = providers.Auth0(), providers.Okta(), providers.Google()
        self.entra, self.keycloak = providers.Entra(), providers.Keycloak()
        for provider in (self.auth0, self.okta, self.google, self.entra, self.keycloak):
            self.addCleanup(provider.close)
        self.server = self.serve([
            {"name": "auth0", "url": self.auth0.url, "preset": "auth0"},
            {"name": "okta", "url": self.okta.issuer, "type": "oauth", "preset": "okta", "audience": ["api://default"],
             "tenant_rule": "issuer", "role_map": ["Platform=read"]},
            {"name": "google", "url": self.google.url, "preset": "google", "client_id": GOOGLE_CLIENT, "grants": ["read"],
             "tenant_claim": "hd", "tenants": ["corp.example"], "role_map": ["ada@corp.example=execute"]},
            {"name": "entra", "url": self.entra.url + "/organizations/v2.0", "preset": "entra", "client_id": APPLICATION,
             "tenants": [TENANT], "role_map": ["9f5c7d3e-0000-4000-8000-000000000001=admin"],
             "grants": ["read"], "algorithms": ["RS256", "ES256"]},
            {"name": "keycloak", "url": self.keycloak.issuer, "preset": "keycloak", "client_id": "kubiya-mcp",
             "role_map": ["ops=read"]}])
        ready = until(lambda: self.ready())
        self.assertEqual([one["name"] for one in ready["issuers"]], ["auth0", "okta", "google", "entra", "keycloak"])

    def ready(self):
        report = json.loads(self.server.get("/readyz")[2])
        return report if all(one["ready"] for one in report["issuers"]) else None

    def test_each_connects_as_who_it_is(self):
        oid = "690222be-ff1a-4d56-abd1-7e4f7d38e474"
        v2 = f"{self.entra.url}/{TENANT}/v2.0"
        machine = self.okta.ada(uid=..., sub="0oacqf8qaJw56czJi0g4", groups=["Platform"])
        rows = {
            "auth0": (self.auth0.ada(self.server.audience), self.auth0.issuer, "auth0|6553da60a54af58e29493993", "default",
                      ["execute", "read"]),
            "auth0, no RBAC": (self.auth0.ada(self.server.audience, permissions=..., scope="openid read"), self.auth0.issuer,
                               "auth0|6553da60a54af58e29493993", "default", ["openid", "read"]),
            "okta": (self.okta.ada(), self.okta.issuer, "00ujmkLgagxeRrAg20g3", "okta", ["execute", "openid", "read"]),
            "okta, a machine": (machine, self.okta.issuer, "0oacqf8qaJw56czJi0g4", "okta", ["execute", "openid", "read"]),
            "google": (self.google.ada(), self.google.url, "112233445566778899001", "corp.example", ["execute", "read"]),
            "google, address not verified": (self.google.ada(email_verified=False), self.google.url, "112233445566778899001",
                                             "corp.example", ["read"]),
            "entra v2": (self.entra.ada(), v2, oid, TENANT, ["access_as_user", "execute", "read"]),
            "entra v1": (self.entra.v1(), v2, oid, TENANT, ["access_as_user", "execute", "read"]),
            "entra, an application": (self.entra.ada(scp=..., name=...), v2, oid, TENANT, ["execute", "read"]),
            "keycloak": (self.keycloak.ada(), self.keycloak.issuer, "d7f5a6a2-3c1b-4f0f-9d0e-0a8a4a2b5c11", "default",
                         ["execute", "openid", "profile", "read"]),
        }
        for name, (token, issuer, subject, tenant, scopes) in rows.items():
            with self.subTest(name):
                who = self.server.ok(token, "whoami")
                self.assertEqual((who["issuer"], who["subject"], who["tenant"], who["scopes"]),
                                 (issuer, subject, tenant, scopes))
        self.assertEqual(self.server.leaks(), [])

    def test_the_others_are_refused_for_the_reason_that_helps(self):
        auth0, okta, google, entra, keycloak = self.auth0, self.okta, self.google, self.entra, self.keycloak
        ours = self.server.audience
        one_tenants_key = entra.sign({"alg": "ES256", "typ": "JWT", "kid": "ec"},
                                     json.loads(self.payload(entra.ada())), entra.ec)
        rows = {
            "auth0: no audience asked": (auth0.opaque(), "opaque_token", "asked Auth0 for no audience"),
            "auth0: old opaque token": ("QmVhcmVyVG9rZW5PZk9sZA", "opaque_token", "audience="),
            "auth0: for userinfo": (auth0.ada(ours, aud=auth0.url + "/userinfo"), "wrong_audience", "audience="),
            "auth0: iss without its slash": (auth0.ada(ours, iss=auth0.url), "wrong_issuer", "slash"),
            "okta: org authorization server": (okta.ada(iss=okta.url, aud=okta.url), "wrong_issuer", "Okta alone"),
            "okta: another API": (okta.ada(aud="api://other"), "wrong_audience", "authorization server"),
            "google: access token": ("ya29.a0AfH6SMBx-Example_Token", "opaque_token", "send an ID token"),
            "google: another client": (google.ada(aud="1.apps.googleusercontent.com"), "wrong_audience", "client's id"),
            "google: private account": (google.ada(hd=...), "wrong_tenant", ""),
            "google: another domain": (google.ada(hd="evil.example"), "wrong_tenant", "not one of the accepted"),
            "entra: another tenant": (entra.ada(OTHER_TENANT), "wrong_issuer", "not among the accepted"),
            "entra: another tenant, v1": (entra.v1(OTHER_TENANT), "wrong_issuer", "not among the accepted"),
            "entra: tid of another tenant": (entra.ada(tid=OTHER_TENANT), "wrong_tenant", "tid"),
            "entra: the template itself": (entra.ada(iss=entra.url + "/{tenantid}/v2.0"), "wrong_issuer", ""),
            "entra: for Graph": (entra.ada(aud="00000003-0000-0000-c000-000000000000"), "wrong_audience", "api://"),
            "entra: too many groups": (entra.ada(_claim_names={"groups": "src1"},
                                                 _claim_sources={"src1": {"endpoint": "https://graph.microsoft.com/"}}),
                                       "group_overage", "app roles"),
            "entra: key of another tenant": (one_tenants_key, "key_mismatch", "another tenant"),
            "keycloak: no audience mapper": (keycloak.ada(aud="account"), "wrong_audience", "audience mapper"),
            "keycloak: no audience at all": (keycloak.ada(aud=...), "bad_claim", "audience mapper"),
            "keycloak: an ID token": (keycloak.ada(typ="ID"), "bad_claim", "ID or refresh"),
            "keycloak: another realm": (keycloak.ada(iss=keycloak.url + "/realms/other"), "wrong_issuer", ""),
            "B25: okta's name, auth0's key": (auth0.issue(json.loads(self.payload(okta.ada()))), "bad_signature", ""),
            "C34: a stranger": (auth0.ada(ours, iss="https://evil.example"), "wrong_issuer", "no configured issuer"),
        }
        for name, (token, reason, detail) in rows.items():
            with self.subTest(name):
                self.assert_refused(self.server, token, reason, detail)
        self.assertEqual(self.server.leaks(), [])

    @staticmethod
    def payload(token):
        part = token.split(".")[1]
        return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))

    def test_documents_are_looked_for_where_the_provider_has_them(self):
        self.assertIn("/.well-known/oauth-authorization-server/oauth2/default", self.okta.asked)
        self.assertNotIn("/.well-known/oauth-authorization-server", self.auth0.asked)
        self.assertIn("/organizations/v2.0/.well-known/openid-configuration", self.entra.asked)

    def test_metadata_lists_all_and_shows_the_first(self):
        for path in ("/.well-known/oauth-protected-resource", "/.well-known/oauth-protected-resource/mcp"):
            document = json.loads(self.server.get(path)[2])
            self.assertEqual(document["authorization_servers"],
                             [self.auth0.url + "/", self.okta.issuer, self.google.url,
                              self.entra.url + "/organizations/v2.0", self.keycloak.issuer])
        shown = json.loads(self.server.get("/.well-known/oauth-authorization-server")[2])
        self.assertEqual(shown["issuer"], self.auth0.issuer)


class Alone(World):
    def test_entra_clients_ask_for_scopes_by_their_full_names(self):
        entra = providers.Entra()
        self.addCleanup(entra.close)
        server = self.serve([{"url": f"{entra.url}/{TENANT}/v2.0", "preset": "entra", "client_id": APPLICATION}])
        full = f"api://{APPLICATION}/"
        document = json.loads(server.get("/.well-known/oauth-protected-resource")[2])
        self.assertEqual(document["scopes_supported"], [full + scope for scope in ("admin", "execute", "read", "write")])
        self.assertIn(f'scope="{full}execute {full}read"', server.call(None, "whoami")[1]["www-authenticate"])
        status, headers, _ = server.call(entra.ada(roles=...), "execute_workflow", name="x")
        self.assertEqual(status, 403)
        self.assertIn(f'scope="{full}execute"', headers["www-authenticate"])
        self.assertEqual(server.ok(entra.ada(scp="read"), "whoami")["tenant"], "default")


class Keys(World):
    """The life of a key set."""

    def setUp(self):
        super().setUp()
        self.issuer = Issuer()
        self.addCleanup(self.issuer.close)

    def status(self, server, token):
        return server.call(token, "whoami")[0]

    def rotated(self, issuer):
        """The issuer signs with `other` from now on, under another name."""
        public = issuer.other.public_key().public_numbers()
        number = lambda value, size: b64(value.to_bytes(size, "big"))
        return {"kty": "RSA", "kid": "next", "alg": "RS256", "use": "sig", "n": number(public.n, 256), "e": number(public.e, 3)}

    def test_a_new_key_is_served_while_the_old_one_is(self):
        server = self.serve([{"url": self.issuer.url, "refetch_min": "1s"}])
        old = self.issuer.token(server.audience)
        new = self.issuer.sign({"alg": "RS256", "kid": "next"}, self.issuer.claims(server.audience), self.issuer.other)
        self.assertEqual(self.status(server, old), 200)
        self.assertEqual(self.status(server, new), 401)
        fetches, published = self.issuer.fetches, self.issuer.jwks() + [self.rotated(self.issuer)]
        self.issuer.jwks = lambda: published
        seen = []
        until(lambda: seen.append(self.status(server, old)) or self.status(server, new) == 200, 10)
        self.assertEqual(set(seen), {200}, "the old key's tokens were served all the while")
        self.assertLessEqual(self.issuer.fetches - fetches, 3)

    def test_a_document_that_is_no_key_set_changes_nothing(self):
        server = self.serve([{"url": self.issuer.url, "refetch_min": "1s"}])
        good, stranger = self.issuer.token(server.audience), self.issuer.sign(
            {"alg": "RS256", "kid": "next"}, self.issuer.claims(server.audience), self.issuer.other)
        for broken in (b"<html>", b'{"keys":[]}', b'{"keys":{}}', b"", b'{"keys":[{"kty":"oct","k":"AA"}]}'):
            with self.subTest(broken):
                self.issuer.broken = broken
                fetches = self.issuer.fetches
                until(lambda: self.status(server, stranger) and self.issuer.fetches > fetches, 10)
                self.assertEqual(self.status(server, good), 200)
        self.assertEqual(json.loads(server.get("/readyz")[2])["issuers"][0]["ready"], True)

    def test_a_file_of_keys_is_read_again_without_any_network(self):
        keys = self.file("keys.json", json.dumps({"keys": self.issuer.jwks()}))
        down = f"http://127.0.0.1:{free_port()}"
        server = self.serve([{"url": down, "jwks_uri": f"file:{keys}", "refetch_min": "1s"}])
        sign = lambda kid, key: self.issuer.sign({"alg": "RS256", "kid": kid}, self.issuer.claims(server.audience, iss=down), key)
        old, new = sign("rsa", self.issuer.rsa), sign("next", self.issuer.other)
        self.assertEqual((self.status(server, old), self.status(server, new)), (200, 401))
        replaced = self.file("new.json", json.dumps({"keys": [self.rotated(self.issuer)]}))
        replaced.rename(keys)
        until(lambda: self.status(server, new) == 200, 10)
        self.assertEqual(self.status(server, old), 401)

    def served_over_tls(self, *names):
        authority, certificate, key = providers.certificates(*names)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.file("cert.pem", certificate), self.file("key.pem", key))
        self.issuer.server.socket = context.wrap_socket(self.issuer.server.socket, server_side=True)
        self.issuer.url = f"https://{names[0]}:{self.issuer.server.server_port}"
        return self.file("authority.pem", authority)

    def problem(self, server):
        return until(lambda: [one for one in json.loads(server.get("/readyz")[2])["issuers"]
                              if one["ready"] or "first fetch" not in one["problem"]])[0]

    def test_an_authority_of_ones_own_is_trusted_when_configured(self):
        authority = self.served_over_tls("localhost")
        issuers = [{"url": self.issuer.url}]
        server = self.serve(issuers, outbound={"ca_file": str(authority)})
        self.assertEqual(self.status(server, self.issuer.token(server.audience)), 200)
        for outbound in ({}, {"ca_file": str(self.file("other.pem", providers.certificates("localhost")[0]))}):
            stranger = Server(None, "--config", self.file("c.yaml", json.dumps({"issuers": issuers, "outbound": outbound})),
                              ready=False)
            self.addCleanup(stranger.close)
            stranger.wait_ready("/healthz")
            self.assertIn("no trusted TLS connection", self.problem(stranger)["problem"])

    def test_a_proxy_is_used_when_configured_and_never_by_the_environment(self):
        authority = self.served_over_tls("idp.example")
        proxy = Proxy({"idp.example": self.issuer.server.server_port})
        self.addCleanup(proxy.close)
        outbound = {"ca_file": str(authority), "proxy": proxy.url}
        server = self.serve([{"url": self.issuer.url}], outbound=outbound)
        self.assertEqual(self.status(server, self.issuer.token(server.audience)), 200)
        self.assertEqual({line.split()[0] for line in proxy.asked}, {"CONNECT"})
        asked = len(proxy.asked)
        config = self.file("direct.yaml", json.dumps({"issuers": [{"url": self.issuer.url}], "outbound": {"ca_file": str(authority)}}))
        direct = Server(None, "--config", config, ready=False, env={"HTTPS_PROXY": proxy.url, "https_proxy": proxy.url,
                                                                  "ALL_PROXY": proxy.url})
        self.addCleanup(direct.close)
        direct.wait_ready("/healthz")
        self.assertFalse(self.problem(direct)["ready"])
        self.assertEqual(len(proxy.asked), asked)


class Proxy:
    """An HTTP proxy that knows where a few names are."""

    def __init__(self, places):
        self.asked = []
        self.places = places
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                client = self.listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=self.tunnel, args=(client,), daemon=True).start()

    def tunnel(self, client):
        head = b""
        while b"\r\n\r\n" not in head:
            head += client.recv(4096)
        line = head.split(b"\r\n")[0].decode()
        self.asked.append(line)
        port = self.places[line.split()[1].rpartition(":")[0]]
        server = socket.create_connection(("127.0.0.1", port))
        client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        back = threading.Thread(target=self.copy, args=(server, client), daemon=True)
        back.start()
        self.copy(client, server)
        back.join()
        for end in (client, server):
            end.close()

    @staticmethod
    def copy(source, target):
        try:
            while piece := source.recv(65536):
                target.sendall(piece)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def close(self):
        self.listener.close()


class Several(World):
    def setUp(self):
        super().setUp()
        self.one, self.two = Issuer(), Issuer()
        self.addCleanup(self.one.close)
        self.addCleanup(self.two.close)

    def both(self, **second):
        return [{"url": self.one.url}, {"url": self.two.url, **second}]

    def test_one_sub_at_two_issuers_is_two_people(self):
        workflows = self.directory / "workflows"
        workflows.mkdir()
        (workflows / "hello.yaml").write_text("name: hello\nsteps:\n  - name: a\n    command: echo hi\n")
        server = self.serve(self.both(), "--workflows", workflows)
        first, second = self.one.token(server.audience), self.two.token(server.audience)
        mine = server.ok(first, "execute_workflow", name="hello")
        self.assertEqual(mine["status"], "finished")
        self.assertEqual(server.ok(first, "whoami")["subject"], server.ok(second, "whoami")["subject"])
        self.assertEqual(len(server.ok(first, "list_executions")["executions"]), 1)
        self.assertEqual(server.ok(second, "list_executions")["executions"], [])
        seen = server.call(second, "get_execution", execution_id=mine["execution_id"])[2]
        absent = server.call(second, "get_execution", execution_id="01890000-0000-7000-8000-000000000000")[2]
        self.assertEqual(seen["result"]["content"], absent["result"]["content"])

    def test_a_key_is_of_one_issuers_subject(self):
        server = self.serve(self.both())
        make = ("key", "create", "--user", "ada", "--scopes", "read", "--config", self.directory / "config.yaml")
        for words, said in (((), self.one.url + ", " + self.two.url), (("--issuer", "https://nobody.example"), self.two.url)):
            done = server.cli(*make, *words, check=False)
            self.assertEqual((done.returncode, done.stdout), (2, ""))
            self.assertIn("--issuer: ", done.stderr)
            self.assertIn(said, done.stderr)
        key = server.cli(*make, "--issuer", self.two.url).stdout.strip()
        owner = self.two.token(server.audience, kubiya_api_key=key)
        until(lambda: server.call(owner, "whoami")[0] == 200)
        self.assertEqual(server.ok(owner, "whoami")["scopes"], ["read"])
        self.assert_refused(server, self.one.token(server.audience, kubiya_api_key=key), "key_of_another_owner")
        self.assert_refused(server, self.two.token(server.audience, "bob", kubiya_api_key=key), "key_of_another_owner")

    def test_an_issuer_that_is_down_holds_up_its_own_callers_only(self):
        port = free_port()
        down = f"http://127.0.0.1:{port}"
        server = self.serve([{"url": down}, {"url": self.one.url}])
        report = json.loads(server.get("/readyz")[2])
        self.assertEqual([one["ready"] for one in report["issuers"]], [False, True])
        self.assertEqual(server.ok(self.one.token(server.audience), "whoami")["subject"], "ada")
        status, headers, _ = server.call(self.one.token(server.audience, iss=down), "whoami")
        self.assertEqual(status, 503)
        self.assertIn("retry-after", headers)
        self.assertEqual(server.get("/.well-known/oauth-authorization-server")[0], 503, "only the first is shown")

    def test_required_scopes_of_an_issuer_are_its_callers_alone(self):
        server = self.serve(self.both(required_scopes=["partner"]))
        self.assertEqual(server.call(self.one.token(server.audience), "whoami")[0], 200)
        status, headers, _ = server.call(self.two.token(server.audience, scope="write"), "whoami")
        self.assertEqual(status, 403)
        self.assertIn('scope="partner read"', headers["www-authenticate"])
        status = server.call(self.two.token(server.audience, scope="read partner"), "whoami")[0]
        self.assertEqual(status, 200)

    def test_keys_of_one_never_serve_the_other(self):
        server = self.serve(self.both())
        forged = self.one.sign({"alg": "RS256", "kid": "rsa"}, self.two.claims(server.audience))
        self.assert_refused(server, forged, "bad_signature")


RULES = [{"tool": "execute_workflow", "workflow": "deploy-*", "unless": {"params.env": ["dev", "staging"]},
          "needs": ["execute:production"]},
         {"tool": "update_workflow", "workflow": "deploy-*", "needs": ["release"]},
         {"tool": "delete_workflow", "scopes": ["write"]}]
DEPLOY = "name: deploy-web\nparams:\n  env: %s\nsteps:\n  - name: a\n    command: echo $env\n"


class Rules(World):
    """Scopes by tool, workflow and argument."""

    def setUp(self):
        super().setUp()
        self.issuer = Issuer()
        self.addCleanup(self.issuer.close)
        workflows = self.directory / "workflows"
        workflows.mkdir()
        (workflows / "a.yaml").write_text(DEPLOY % "production")
        (workflows / "b.yaml").write_text(DEPLOY.replace("deploy-web", "deploy-dev") % "dev")
        (workflows / "c.yaml").write_text(DEPLOY.replace("deploy-web", "other") % "production")
        self.server = self.serve([{"url": self.issuer.url}], "--workflows", workflows, policy={"rules": RULES})

    def token(self, scope):
        return self.issuer.token(self.server.audience, scope=scope)

    def needed(self, answer):
        status, headers, body = answer
        self.assertEqual((status, body["message"]), (403, "Insufficient permissions"))
        return re.search(r' scope="([^"]*)"', headers["www-authenticate"])[1]

    def test_an_argument_can_need_a_scope_of_its_own(self):
        server, plain = self.server, self.token("execute")
        run = lambda token, name, **params: server.call(token, "execute_workflow", name=name, params=params)
        self.assertEqual(self.needed(run(plain, "deploy-web", env="production")), "execute execute:production")
        self.assertEqual(self.needed(run(plain, "deploy-web", env="Dev")), "execute execute:production")
        self.assertEqual(self.needed(run(plain, "deploy-web", env=["dev"])), "execute execute:production")
        self.assertEqual(self.needed(run(plain, "deploy-web")), "execute execute:production", "its default counts")
        self.assertEqual(self.needed(run(self.token("read"), "deploy-web", env="production")),
                         "execute execute:production", "all at once")
        self.assertEqual(run(plain, "deploy-web", env="staging")[0], 200)
        self.assertEqual(run(plain, "deploy-dev")[0], 200)
        self.assertEqual(run(plain, "other")[0], 200)
        got = run(self.token("execute execute:production"), "deploy-web")[2]["result"]["structuredContent"]
        self.assertEqual(got["status"], "finished")
        ran = server.ok(self.token("read"), "list_executions")["executions"]
        self.assertEqual(len(ran), 4, "nothing that was refused has started")

    def test_the_default_is_refused_with_one_record_each(self):
        status, headers, _ = self.server.call(self.token("execute"), "execute_workflow", name="deploy-web")
        self.assertEqual(status, 403)
        found = until(lambda: [r for r in records(self.server) if r.get("request_id") == headers["x-request-id"]
                               and r["kind"] != "intent"])
        self.assertEqual([(r["kind"], r["reason"]) for r in found], [("outcome", "insufficient_scope")])

    def test_the_legacy_era_is_told_the_same(self):
        head = {"Authorization": "Bearer " + self.token("execute"), "Content-Type": "application/json"}
        for params in ({"env": "production"}, {}):
            body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call",
                    "params": {"name": "execute_workflow", "arguments": {"name": "deploy-web", "params": params}}}
            status, headers, text = self.server.request("POST", "/", json.dumps(body), head)
            self.assertEqual(self.needed((status, headers, json.loads(text))), "execute execute:production")

    def test_a_workflow_is_known_by_its_definition_too(self):
        update = lambda token, **more: self.server.call(token, "update_workflow", definition=DEPLOY % "dev", **more)
        self.assertEqual(self.needed(update(self.token("write"))), "release write")
        self.assertEqual(self.needed(update(self.token("write"), name="deploy-web")), "release write")
        self.assertEqual(update(self.token("write release"))[0], 200)

    def test_a_rule_can_stand_instead_of_the_tools_own_scope(self):
        self.assertEqual(self.server.call(self.token("write"), "delete_workflow", name="other")[0], 200)

    def test_the_list_shows_what_the_caller_may_use(self):
        for scope, wanted in {
            "read": {"whoami", "list_workflows", "get_workflow", "validate_workflow", "get_execution", "list_executions",
                     "get_execution_logs", "list_approvals"},
            "execute": {"execute_workflow", "cancel_execution", "decide_approval"},
            "write": {"create_workflow", "update_workflow", "delete_workflow", "list_api_keys", "create_api_key", "rotate_api_key",
                      "revoke_api_key"},
            "nothing": set(),
        }.items():
            with self.subTest(scope):
                result = self.server.rpc(self.token(scope), "tools/list")[2]["result"]
                self.assertEqual({tool["name"] for tool in result["tools"]}, wanted)
                self.assertEqual(result["cacheScope"], "private")
        names = lambda scope: [t["name"] for t in self.server.rpc(self.token(scope), "tools/list")[2]["result"]["tools"]]
        every = names("admin")
        self.assertEqual(len(every), 19)
        self.assertEqual(names("read execute"), [name for name in every if name in set(names("read execute"))])

    def test_metadata_names_the_scopes_of_rules(self):
        document = json.loads(self.server.get("/.well-known/oauth-protected-resource")[2])
        self.assertEqual(document["scopes_supported"], ["admin", "execute", "execute:production", "read", "release", "write"])

    def test_a_rule_for_no_tool_does_not_start(self):
        config = self.file("bad.yaml", json.dumps({"policy": {"rules": [{"tool": "run_workflow", "needs": ["x"]}]}}))
        done = subprocess.run([BINARY, "serve", "--config", config, "--data-dir", self.directory / "data", "--port",
                               str(free_port())], capture_output=True, text=True, timeout=30)
        self.assertEqual(done.returncode, 2)
        self.assertIn("policy.rules[0].tool: there is no tool run_workflow", done.stderr)


class Introspection(World):
    def setUp(self):
        super().setUp()
        self.issuer = providers.Opaque()
        self.addCleanup(self.issuer.close)
        self.secret = f"{CANARY}-client-secret"

    def opaque(self, **introspection):
        introspection = {"client_id": "mcp", "client_secret": "${file:%s}" % self.file("secret", self.secret + "\n"),
                         "cache_time": "1s", **introspection}
        return {"url": self.issuer.url, "tokens": "opaque", "introspection": introspection}

    def test_the_server_proves_who_it_is(self):
        server = self.serve([self.opaque()])
        who = server.ok(self.issuer.allow("token-1", server.audience), "whoami")
        self.assertEqual((who["issuer"], who["subject"], who["scopes"]), (self.issuer.url, "ada", ["execute", "read"]))
        headers, form = self.issuer.questions[0]
        self.assertEqual(self.issuer.basic(headers), f"mcp:{self.secret}")
        self.assertEqual(form, {"token": ["token-1"], "token_type_hint": ["access_token"]})
        self.assertEqual(server.leaks(), [])

        server = self.serve([self.opaque(auth="client_secret_post")])
        server.ok(self.issuer.allow("token-2", server.audience), "whoami")
        headers, form = self.issuer.questions[-1]
        self.assertNotIn("Authorization", headers)
        self.assertEqual((form["client_id"], form["client_secret"]), (["mcp"], [self.secret]))

    def test_the_server_proves_who_it_is_with_a_signature(self):
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        file = self.file("client.pem", pem.decode())
        issuer = self.opaque(auth="private_key_jwt", private_key="${file:%s}" % file, key_id="k1")
        del issuer["introspection"]["client_secret"]
        server = self.serve([issuer])
        server.ok(self.issuer.allow("token-1", server.audience), "whoami")
        form = self.issuer.questions[-1][1]
        self.assertEqual(form["client_assertion_type"], ["urn:ietf:params:oauth:client-assertion-type:jwt-bearer"])
        text, signature = form["client_assertion"][0].rsplit(".", 1)
        decode = lambda part: base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
        key.public_key().verify(decode(signature), text.encode(), padding.PKCS1v15(), hashes.SHA256())
        claims = json.loads(decode(text.split(".")[1]))
        self.assertEqual((claims["iss"], claims["sub"], claims["aud"]), ("mcp", "mcp", self.issuer.url))
        self.assertEqual(json.loads(decode(text.split(".")[0]))["kid"], "k1")

    def test_revocation_is_seen_within_the_cache_time(self):
        server = self.serve([self.opaque()], "--threads", 1)  # each event loop remembers for itself
        token = self.issuer.allow("token-1", server.audience)
        server.ok(token, "whoami")
        del self.issuer.tokens[token]
        until(lambda: server.call(token, "whoami")[0] == 401, 5)
        self.assert_refused(server, token, "token_inactive")

    def test_streams_of_a_revoked_token_end(self):
        """Catalogue G13: nobody else knows, so the client opens the stream again and the token is asked about again."""
        server = self.serve([self.opaque(stream_time="2s")])
        token = self.issuer.allow("token-1", server.audience)
        held = Session(token, of=server)
        streams = [held.listen(), listen(token, of=server, toolsListChanged=True)]
        self.assertEqual(streams[1].next()["method"], "notifications/subscriptions/acknowledged")
        del self.issuer.tokens[token]
        self.assertEqual(streams[0].rest(), [])
        self.assertEqual(streams[1].rest()[-1]["result"]["resultType"], "complete", "told that this is the end")
        until(lambda: server.call(token, "whoami")[0] == 401, 5)

    def test_answers_that_are_no_yes(self):
        server = self.serve([self.opaque()])
        rows = {
            "C24 unknown": ({"active": False}, 401, "token_inactive"),
            "C25 a text": ({"active": "true", "sub": "ada"}, 401, "token_inactive"),
            "C25 a number": ({"active": 1, "sub": "ada"}, 401, "token_inactive"),
            "C26 no audience": ({"active": True, "sub": "ada", "scope": "read"}, 401, "bad_claim"),
            "C26 another audience": ({"active": True, "sub": "ada", "aud": "x"}, 401, "wrong_audience"),
            "C27 expired": ({"active": True, "sub": "ada", "aud": server.audience, "exp": 1}, 401, "token_expired"),
            "C27 another issuer": ({"active": True, "sub": "ada", "aud": server.audience, "iss": "https://x.example"}, 401,
                                   "wrong_issuer"),
            "no object": ([], 503, "introspection_unavailable"),
        }
        for name, (answer, status, reason) in rows.items():
            with self.subTest(name):
                self.issuer.tokens[b64(name)] = answer
                got, headers, _ = server.call(b64(name), "whoami")
                self.assertEqual(got, status)
                self.assertEqual(self.reason(server, headers)["reason"], reason)

    def test_an_issuer_that_does_not_answer_serves_nobody(self):
        server = self.serve([self.opaque()])
        for n, status in enumerate((401, 403, 500)):  # C28; 500 last: it is left alone for a while
            with self.subTest(status):
                token = self.issuer.allow(f"token-{n}", server.audience)
                self.issuer.status = status
                got, headers, _ = server.call(token, "whoami")
                self.assertEqual(got, 503)
                self.assertIn("retry-after", headers)
                self.assertEqual(self.reason(server, headers)["reason"], "introspection_unavailable")
        asked = len(self.issuer.questions)
        self.assertEqual(server.call("token-0", "whoami")[0], 503)
        self.assertEqual(len(self.issuer.questions), asked, "C29: not asked again at once")
        self.issuer.status = 200
        until(lambda: server.call("token-0", "whoami")[0] == 200, 5)
        self.assertEqual(server.leaks(), [])

    def test_a_first_token_with_a_large_body_comes_again(self):
        server = self.serve([self.opaque(cache_time="30s")], "--threads", 1)
        token = self.issuer.allow("token-1", server.audience)
        call = lambda: server.call(token, "validate_workflow", definition="#" * 100_000)[0]
        self.assertEqual(call(), 503)
        until(lambda: call() == 200)
        self.assertEqual(len(self.issuer.questions), 1)

    def test_beside_an_issuer_of_signed_tokens_the_configuration_decides(self):
        signed = Issuer()
        self.addCleanup(signed.close)
        server = self.serve([self.opaque(), {"url": signed.url}])
        server.ok(signed.token(server.audience), "whoami")
        self.assertEqual(self.issuer.questions, [], "C33: a signed token is nobody else's business")
        server.ok(self.issuer.allow("token-1", server.audience), "whoami")
        self.assertEqual(len(self.issuer.questions), 1)


class Pages(World):
    """What docs/providers says to paste starts a server."""

    def test_each_block_passes_the_check(self):
        blocks = 0
        pages = sorted((ROOT / "docs" / "providers").glob("*.md"))
        self.assertGreaterEqual(len(pages), 6)
        for page in pages:
            for number, block in enumerate(re.findall(r"```yaml\n(.*?)```", page.read_text(), re.S)):
                with self.subTest(f"{page.name}, block {number + 1}"):
                    blocks += 1
                    secret = self.file("secret", "0123456789abcdef")
                    text = re.sub(r"\$\{file:[^}]*\}", "${file:%s}" % secret, block)
                    done = subprocess.run([BINARY, "config", "check", "--config", self.file("page.yaml", text)],
                                          capture_output=True, text=True)
                    self.assertEqual(done.returncode, 0, done.stderr)
        self.assertGreaterEqual(blocks, 6)


if __name__ == "__main__":
    unittest.main()
