"""`doctor` against providers with one thing wrong each: it names the fault and the fix, and its exit status says whether
anybody gets in."""
import email.utils
import http.server
import json
import pathlib
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
import time
import unittest

import providers
from harness import BINARY, CANARY, Issuer, free_port

DISCOVERY = "/.well-known/openid-configuration"


class Provider(Issuer):
    """A provider in good health; a test changes what `answers` says of a path, as (status, headers, body)."""

    def __init__(self, tls=None):
        super().__init__()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def reply(self):
                length = int(self.headers.get("Content-Length", 0))
                outer.asked.append((self.command, self.path, dict(self.headers), self.rfile.read(length).decode()))
                status, headers, body = outer.answers.get(self.path, (404, {}, b"nothing here"))
                self.send_response_only(status)
                for name, value in {"Content-Type": "application/json", "Access-Control-Allow-Origin": "*",
                                    "Date": email.utils.formatdate(time.time() + outer.ahead, usegmt=True), **headers}.items():
                    if value is not None:
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = reply

            def log_message(self, *_):
                pass

        self.server.RequestHandlerClass = Handler
        self.asked, self.ahead = [], 0
        if tls:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
            self.url = f"https://localhost:{self.server.server_port}"
        self.answers = {}
        self.publish()
        self.put("/jwks", {"keys": self.jwks()})

    def put(self, path, document, status=200, **headers):
        self.answers[path] = (status, headers, document if isinstance(document, bytes) else json.dumps(document).encode())

    def publish(self, path=DISCOVERY, **changes):
        document = {"issuer": self.url, "jwks_uri": self.url + "/jwks", "authorization_endpoint": self.url + "/authorize",
                    "token_endpoint": self.url + "/token", "registration_endpoint": self.url + "/register",
                    "response_types_supported": ["code"], "code_challenge_methods_supported": ["S256"],
                    "scopes_supported": ["openid", "read", "write", "execute"], **changes}
        self.put(path, {name: value for name, value in document.items() if value is not ...})


class Doctor(unittest.TestCase):
    def setUp(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="kubiya-doctor-"))
        self.addCleanup(shutil.rmtree, self.directory, ignore_errors=True)
        self.provider = self.of(Provider())

    def of(self, provider):
        self.addCleanup(provider.close)
        return provider

    def run_doctor(self, *arguments, config=None):
        if config is not None:
            path = self.directory / "config.yaml"
            path.write_text(json.dumps({"outbound": {"connect_timeout": "1s", "total_timeout": "2s"}, **config}))
            path.chmod(0o600)
            arguments = ("--config", path, *arguments)
        done = subprocess.run([BINARY, "doctor", *map(str, arguments)], capture_output=True, text=True, timeout=60,
                              cwd=self.directory)
        self.assertNotIn(CANARY, done.stdout + done.stderr)
        return done

    def findings(self, config=None, issuer=None, status=1, **auth):
        config = dict(config or {})
        config["auth"] = {"server": issuer or self.provider.url, **auth}
        done = self.run_doctor("--json", config=config)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        answer = json.loads(done.stdout)
        self.configuration = answer["configuration"]
        found = {finding["check"]: finding for finding in answer["issuers"][0]["findings"]}
        self.assertEqual(answer["blockers"], sum(f["severity"] == "blocker" for f in found.values()))
        return found

    def assert_finds(self, check, severity, found, fix, **more):
        findings = self.findings(status=1 if severity == "blocker" else 0, **more)
        self.assertIn(check, findings)
        self.assertEqual(findings[check]["severity"], severity)
        self.assertIn(found, findings[check]["found"])
        self.assertIn(fix, findings[check].get("fix", ""))
        # One thing is wrong, and one thing is said to be.
        blockers = [name for name, finding in findings.items() if finding["severity"] == "blocker"]
        self.assertEqual(blockers, [check] if severity == "blocker" else [])

    def test_a_healthy_provider_has_no_blocker_and_no_warning(self):
        findings = self.findings(status=0)
        self.assertEqual({name: f["severity"] for name, f in findings.items()},
                         {"discovery": "ok", "keys": "ok", "clock": "ok", "audience": "note", "pkce": "ok", "registration": "ok"})
        self.assertIn("RS256", findings["keys"]["found"])

    def test_an_address_alone_is_enough_and_the_configuration_to_paste_works(self):
        done = self.run_doctor(self.provider.url)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("0 blockers, 0 warnings", done.stdout)
        pasted = done.stdout.split("\n\n")[-1]
        path = self.directory / "pasted.yaml"
        path.write_text(pasted)
        checked = subprocess.run([BINARY, "config", "check", "--config", path], capture_output=True, text=True)
        self.assertEqual(checked.returncode, 0, checked.stderr + pasted)
        self.assertIn(self.provider.url, pasted)

    def test_without_a_provider_it_says_that_there_is_none(self):
        done = self.run_doctor()
        self.assertEqual(done.returncode, 2)
        self.assertIn("no identity provider is configured", done.stderr)

    # What people get wrong, one at a time.

    def test_a_slash_that_the_issuer_has_and_the_configuration_has_not(self):
        self.provider.publish(issuer=self.provider.url + "/")
        self.assert_finds("issuer_mismatch", "blocker", self.provider.url + "/", f'set auth.server to "{self.provider.url}/" exactly')
        self.assertIn(self.provider.url + "/", self.configuration)

    def test_a_provider_that_publishes_the_other_form(self):
        self.provider.answers.pop(DISCOVERY)
        self.provider.publish("/.well-known/oauth-authorization-server")
        self.assert_finds("discovery_form", "blocker", "oauth-authorization-server", "set auth.type to oauth")
        self.assertIn("type: oauth", self.configuration)

    def test_the_address_of_the_document_instead_of_the_issuer(self):
        self.assert_finds("document_url", "blocker", "address of a document", f'set auth.server to "{self.provider.url}"',
                          issuer=self.provider.url + DISCOVERY)

    def test_an_address_with_nothing_behind_it(self):
        self.assert_finds("no_document", "blocker", "/realms/typo/.well-known/openid-configuration", "https://HOST/realms/REALM",
                          issuer=self.provider.url + "/realms/typo", preset="keycloak", client_id="kubiya-mcp")

    def test_nobody_listens_there(self):
        self.assert_finds("unreachable", "blocker", "connection refused", "start it, or correct the port",
                          issuer=f"http://127.0.0.1:{free_port()}")

    def test_somebody_listens_and_never_answers(self):
        silent = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(silent.close)
        self.assert_finds("no_answer", "blocker", "did not answer in time", "outbound.proxy",
                          issuer=f"http://127.0.0.1:{silent.getsockname()[1]}")

    def test_a_web_page_in_place_of_the_document(self):
        self.provider.put(DISCOVERY, b"<html>Sign in</html>", **{"Content-Type": "text/html"})
        self.assert_finds("not_metadata", "blocker", "text/html", "open it in a browser")

    def test_a_redirect(self):
        self.provider.put(DISCOVERY, b"", 302, Location="https://login.example.com/elsewhere")
        self.assert_finds("redirected", "blocker", "https://login.example.com/elsewhere", "address that the metadata document really has")

    def test_documents_behind_a_sign_in(self):
        self.provider.put(DISCOVERY, b"", 403)
        self.assert_finds("guarded", "blocker", "answers 403", "proxy or firewall")

    def test_an_address_inside_the_network_that_is_not_allowed(self):
        self.assert_finds("private_address", "blocker", "private or local address", "set auth.allow_private to [10.1.2.3]",
                          issuer="https://10.1.2.3")

    def test_a_certificate_of_an_unknown_authority_and_its_cure(self):
        authority, certificate, key = providers.certificates("localhost")
        names = {"ca": authority, "cert": certificate, "key": key}
        for name, text in names.items():
            (self.directory / name).write_text(text)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.directory / "cert", self.directory / "key")
        provider = self.of(Provider(tls=context))
        self.assert_finds("certificate", "blocker", "certificate", "set outbound.ca_file", issuer=provider.url)
        findings = self.findings({"outbound": {"ca_file": str(self.directory / "ca")}}, issuer=provider.url, status=0)
        self.assertEqual(findings["keys"]["severity"], "ok")

    def test_keys_that_are_not_where_the_document_says(self):
        self.provider.answers.pop("/jwks")
        self.assert_finds("provider_error", "blocker", "/jwks answers 404", "correct the address of the key set")

    def test_a_shared_secret_instead_of_keys(self):
        self.provider.put("/jwks", {"keys": [{"kty": "oct", "kid": "shared", "k": "c2VjcmV0", "alg": "HS256"}]})
        self.assert_finds("no_usable_keys", "blocker", "no usable key", "a shared secret (HS256) cannot be verified by others")

    def test_keys_for_algorithms_that_the_configuration_excludes(self):
        self.provider.put("/jwks", {"keys": [self.provider.jwks()[1]]})
        self.assert_finds("no_key_for_algorithms", "blocker", "for ES256, auth.algorithms allows RS256", "set auth.algorithms to [ES256]",
                          algorithms=["RS256"])

    def test_a_document_without_keys(self):
        self.provider.publish(jwks_uri=...)
        self.assert_finds("bad_metadata", "blocker", "no jwks_uri", "set auth.tokens to opaque")

    def test_keys_over_plain_http_elsewhere(self):
        self.provider.publish(jwks_uri="http://keys.example.com/jwks")
        self.assert_finds("bad_metadata", "blocker", "must be https", "https addresses")

    def test_a_key_file_that_is_not_there(self):
        self.assert_finds("key_file", "blocker", "/nowhere/keys.json", "write the provider's key set there",
                          jwks_uri="file:/nowhere/keys.json")

    def test_a_provider_without_pkce(self):
        self.provider.publish(code_challenge_methods_supported=["plain"])
        self.assert_finds("no_pkce", "blocker", "only plain", "switch PKCE (S256) on")

    def test_a_provider_that_does_not_say_whether_it_has_pkce(self):
        self.provider.publish(code_challenge_methods_supported=...)
        self.assert_finds("pkce_unpublished", "warning", "does not say", "switch PKCE (S256) on")

    def test_a_clock_that_is_wrong(self):
        self.provider.ahead = 600
        self.assert_finds("clock_skew", "blocker", "behind the provider's", "set this machine's clock")
        self.provider.ahead = -600
        self.assert_finds("clock_skew", "blocker", "ahead of the provider's", "set this machine's clock")

    def test_a_document_out_of_a_cache_does_not_look_like_a_wrong_clock(self):
        self.provider.ahead = -600
        for path, (status, headers, body) in self.provider.answers.items():
            self.provider.answers[path] = (status, {**headers, "Age": "600"}, body)
        self.assertEqual(self.findings(status=0)["clock"]["severity"], "ok")

    def test_scopes_that_the_provider_does_not_have(self):
        self.provider.publish(scopes_supported=["openid", "read"])
        self.assert_finds("scopes_unknown", "warning", "execute, write", "set auth.sign_in_scopes")

    def test_clients_that_cannot_register_or_run_in_a_browser(self):
        self.provider.publish(registration_endpoint=...)
        self.assert_finds("no_registration", "note", "cannot register", "create one client there by hand")
        status, headers, body = self.provider.answers[DISCOVERY]
        self.provider.answers[DISCOVERY] = (status, {"Access-Control-Allow-Origin": None}, body)
        self.assert_finds("no_cors", "note", "may not read", "allow their origins")

    def test_a_provider_that_has_a_preset(self):
        self.provider.publish("/realms/main" + DISCOVERY, issuer=self.provider.url + "/realms/main")
        self.assert_finds("preset_missing", "warning", "keycloak", "set auth.preset to keycloak",
                          issuer=self.provider.url + "/realms/main")
        self.assertIn("preset: keycloak", self.configuration)

    def test_the_five_dialects_have_no_blocker_with_their_preset(self):
        more = {"auth0": {}, "okta": {"audience": ["api://default"]}, "google": {"client_id": providers.GOOGLE_CLIENT},
                "entra": {"client_id": providers.APPLICATION, "tenants": [providers.TENANT]},
                "keycloak": {"client_id": providers.KEYCLOAK_CLIENT}}
        dialects = {"auth0": providers.Auth0(), "okta": providers.Okta(), "google": providers.Google(),
                    "entra": providers.Entra(), "keycloak": providers.Keycloak()}
        for name, provider in dialects.items():
            self.of(provider)
            issuer = provider.url + "/organizations/v2.0" if name == "entra" else provider.issuer
            with self.subTest(name):
                findings = self.findings(issuer=issuer, preset=name, status=0, **more[name])
                self.assertEqual((findings["discovery"]["severity"], findings["keys"]["severity"]), ("ok", "ok"))
                self.assertNotIn("preset_missing", findings)

    # Opaque tokens.

    def opaque(self, **introspection):
        self.provider.publish(introspection_endpoint=self.provider.url + "/introspect")
        return {"tokens": "opaque", "introspection": {"client_id": "kubiya-mcp", "client_secret": CANARY, **introspection}}

    def test_an_introspection_endpoint_that_answers(self):
        self.provider.put("/introspect", {"active": False})
        findings = self.findings(status=0, config={"allow_readable_files": True}, **self.opaque())
        self.assertEqual(findings["introspection"]["severity"], "ok")

    def test_credentials_that_the_introspection_endpoint_refuses(self):
        self.provider.put("/introspect", {"error": "invalid_client"}, 401)
        self.assert_finds("introspection_refused", "blocker", "401", "the client id, its secret or key, and the method",
                          **self.opaque())

    def test_opaque_tokens_and_nobody_to_ask(self):
        options = self.opaque()
        self.provider.publish()
        self.assert_finds("no_introspection", "blocker", "nothing says where to ask", "set auth.introspection.url", **options)

    def test_a_provider_that_vouches_for_anything(self):
        self.provider.put("/introspect", {"active": True, "sub": "ada", "iss": self.provider.url,
                                          "aud": "http://localhost:8000/mcp", "scope": "read"})
        self.assert_finds("introspection_vouches", "blocker", "nobody issued", "do not connect it", **self.opaque())

    def test_each_of_several_issuers_is_judged_by_itself(self):
        other = self.of(Provider())
        other.publish(issuer=other.url + "/")
        config = {"issuers": [{"name": "staff", "url": self.provider.url}, {"name": "partners", "url": other.url}]}
        done = self.run_doctor(config=config)
        self.assertEqual(done.returncode, 1)
        staff, partners, *_ = done.stdout.split("\n\n")
        self.assertIn("(staff)", staff)
        self.assertNotIn("BLOCKER", staff)
        self.assertIn("issuer_mismatch", partners)
        self.assertIn("1 blocker,", done.stdout)


if __name__ == "__main__":
    unittest.main()
