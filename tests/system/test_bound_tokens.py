"""Tokens that are bound to a key (DPoP, RFC 9449) or to a TLS client certificate (RFC 8705) serve nobody who stole them."""
import hashlib
import http.client
import json
import pathlib
import shutil
import ssl
import tempfile
import time
import unittest
import uuid

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from harness import Issuer, Server, b64, until
from providers import certificates

WHOAMI = {"name": "whoami", "arguments": {}}


class Client:
    """One that holds a key and proves so with each request."""

    def __init__(self, issuer):
        self.sign = issuer.sign
        self.key = ec.generate_private_key(ec.SECP256R1())
        point = self.key.public_key().public_numbers()
        self.jwk = {"crv": "P-256", "kty": "EC", "x": b64(point.x.to_bytes(32, "big")), "y": b64(point.y.to_bytes(32, "big"))}
        # RFC 7638: the required members in the order of their names, without spaces.
        self.thumbprint = b64(hashlib.sha256(json.dumps(self.jwk, separators=(",", ":")).encode()).digest())

    def proof(self, url, token, **changes):
        claims = {"jti": str(uuid.uuid4()), "htm": "POST", "htu": url, "iat": int(time.time()),
                  "ath": b64(hashlib.sha256(token.encode()).digest()), **changes}
        return self.sign({"typ": "dpop+jwt", "alg": "ES256", "jwk": self.jwk}, claims, self.key)


class Case(unittest.TestCase):
    env = {}

    def setUp(self):
        self.issuer = Issuer()
        self.addCleanup(self.issuer.close)
        self.server = Server(self.issuer, env=self.env)
        self.addCleanup(self.server.close)
        self.client = Client(self.issuer)

    def bound(self, client=None, **claims):
        return self.issuer.token(self.server.audience, cnf={"jkt": (client or self.client).thumbprint}, **claims)

    def ask(self, token, proof=None, scheme="DPoP", **headers):
        headers = {"Authorization": f"{scheme} {token}", **({} if proof is None else {"DPoP": proof}), **headers}
        return self.server.rpc(None, "tools/call", WHOAMI, headers)

    def reason(self, answer):
        ident = answer[1]["x-request-id"]
        texts = lambda: [p.read_text() for p in pathlib.Path(self.server.data, "audit").glob("audit-*.jsonl")]
        line = until(lambda: [l for t in texts() for l in t.splitlines() if ident in l and l.endswith("}")])[0]
        return json.loads(line)["reason"]

    def refused(self, answer, reason):
        status, headers, _ = answer
        self.assertEqual(status, 401, reason)
        self.assertEqual(self.reason(answer), reason)
        return headers["www-authenticate"]


class Proofs(Case):
    def test_each_request_needs_a_proof_of_its_own(self):
        token = self.bound()
        for _ in range(3):
            status, _, body = self.ask(token, self.client.proof(self.server.audience, token))
            self.assertEqual(status, 200)
        self.assertEqual(body["result"]["structuredContent"]["subject"], "ada")
        once = self.client.proof(self.server.audience, token)
        self.assertEqual(self.ask(token, once)[0], 200)
        self.refused(self.ask(token, once), "proof_replayed")

    def test_one_proof_is_enough_for_a_call_that_gets_its_key_just_in_time(self):
        self.server.stop()
        self.server.env = {"KUBIYA_VAULT_JUST_IN_TIME": "create"}
        self.server.start()
        run = {"name": "execute_workflow", "arguments": {"name": "absent"}}
        for subject in ("ada", "bob"):
            token = self.bound(subject=subject, kubiya_api_key=...)
            proof = self.client.proof(self.server.audience, token)
            head = {"Authorization": "DPoP " + token, "DPoP": proof}
            status, _, body = self.server.rpc(None, "tools/call", run, head)
            self.assertEqual(status, 200, body)
            self.assertIn("no workflow named absent", json.dumps(body), "it was carried out, with a key")
            self.refused(self.server.rpc(None, "tools/call", run, head), "proof_replayed")

    def test_a_thief_with_the_token_alone_is_refused_though_it_served_a_moment_ago(self):
        token = self.bound()
        self.assertEqual(self.ask(token, self.client.proof(self.server.audience, token))[0], 200)
        thief = Client(self.issuer)
        now = int(time.time())
        good = lambda **changes: self.client.proof(self.server.audience, token, **changes)
        rows = {
            "as a bearer's": ("Bearer", None, "proof_required"),
            "as a bearer's, with a proof": ("Bearer", good(), "proof_required"),
            "without a proof": ("DPoP", None, "proof_required"),
            "with a proof of the thief": ("DPoP", thief.proof(self.server.audience, token), "proof_of_another_key"),
            "with a proof for a GET": ("DPoP", good(htm="GET"), "proof_of_another_request"),
            "with a proof for another server": ("DPoP", good(htu="https://other.example/mcp"), "proof_of_another_request"),
            "with a proof for another path": ("DPoP", good(htu=self.server.audience + "/more"), "proof_of_another_request"),
            "with a proof for another token": ("DPoP", self.client.proof(self.server.audience, self.bound(jti="2")),
                                               "proof_of_another_request"),
            "with an old proof": ("DPoP", good(iat=now - 3600), "proof_outdated"),
            "with a proof of tomorrow": ("DPoP", good(iat=now + 86400), "proof_outdated"),
            "with a forged proof": ("DPoP", self.forged(good()), "bad_proof"),
            "with no proof at all": ("DPoP", "x", "bad_proof"),
        }
        for name, (scheme, proof, reason) in rows.items():
            with self.subTest(name):
                challenge = self.refused(self.ask(token, proof, scheme), reason)
                self.assertIn("resource_metadata=", challenge)
                self.assertEqual('error="invalid_dpop_proof"' in challenge, scheme == "DPoP", challenge)
        self.assertEqual(self.ask(token, good())[0], 200, "and its owner is served as before")

    def forged(self, proof):
        head, claims, signature = proof.split(".")
        return ".".join((head, claims, ("A" if signature[0] != "A" else "B") + signature[1:]))

    def test_a_tool_behind_a_scope_says_so_in_the_scheme_that_came(self):
        token = self.bound(scope="read")
        status, headers, _ = self.server.rpc(
            None, "tools/call", {"name": "execute_workflow", "arguments": {"name": "hello"}},
            {"Authorization": "DPoP " + token, "DPoP": self.client.proof(self.server.audience, token)})
        self.assertEqual(status, 403)
        self.assertTrue(headers["www-authenticate"].startswith("DPoP "), headers)
        self.assertIn('error="insufficient_scope"', headers["www-authenticate"])

    def test_a_token_that_is_bound_to_nothing_stays_a_bearers(self):
        token = self.issuer.token(self.server.audience)
        self.assertEqual(self.server.call(token, "whoami")[0], 200)
        self.refused(self.ask(token, self.client.proof(self.server.audience, token)), "token_not_bound")

    def test_metadata_and_challenge_say_that_proofs_are_taken(self):
        _, _, body = self.server.get("/.well-known/oauth-protected-resource/mcp")
        self.assertIn("ES256", json.loads(body)["dpop_signing_alg_values_supported"])
        challenge = self.refused(self.ask("nothing", scheme="DPoP"), "not_three_parts")
        self.assertIn("DPoP ", challenge)
        self.assertIn('algs="ES256', challenge)

    def test_no_proof_and_no_token_is_in_the_log(self):
        token = self.bound()
        proof = self.client.proof(self.server.audience, token)
        self.ask(token, proof)
        self.refused(self.ask(token, proof), "proof_replayed")
        self.server.stop()
        written = self.server.log.read_text(errors="replace")
        self.assertIn("proof_replayed", written)
        for secret in (token, proof, token.split(".")[2], proof.split(".")[2]):
            self.assertNotIn(secret, written)
        self.assertEqual(self.server.leaks(), [])


class Nonces(Case):
    env = {"KUBIYA_IDENTITY_DPOP_NONCES": "true"}

    def test_a_proof_made_ahead_of_time_is_refused_until_it_holds_the_servers_nonce(self):
        token = self.bound()
        answer = self.ask(token, self.client.proof(self.server.audience, token))
        challenge = self.refused(answer, "nonce_required")
        self.assertIn('error="use_dpop_nonce"', challenge)
        nonce = answer[1]["dpop-nonce"]
        for _ in range(2):
            self.assertEqual(self.ask(token, self.client.proof(self.server.audience, token, nonce=nonce))[0], 200)
        self.refused(self.ask(token, self.client.proof(self.server.audience, token, nonce="of-my-own")), "nonce_required")


class Required(Case):
    env = {"KUBIYA_AUTH_DPOP_BOUND_ACCESS_TOKENS_REQUIRED": "true"}

    def test_where_bound_tokens_are_required_a_bearers_is_refused(self):
        challenge = self.refused(self.server.call(self.issuer.token(self.server.audience), "whoami"), "token_not_bound")
        self.assertIn("DPoP ", challenge)
        token = self.bound()
        self.assertEqual(self.ask(token, self.client.proof(self.server.audience, token))[0], 200)
        _, _, body = self.server.get("/.well-known/oauth-protected-resource/mcp")
        self.assertIs(json.loads(body)["dpop_bound_access_tokens_required"], True)


class OverTls(Server):
    """Speaks TLS, with the certificate of `shown` when there is one."""

    shown = None

    def connection(self, at=None):
        context = ssl.create_default_context(cafile=self.authority)
        context.verify_flags &= ~getattr(ssl, "VERIFY_X509_STRICT", 0)
        if self.shown:
            context.load_cert_chain(*self.shown)
        return http.client.HTTPSConnection("localhost", self.port, timeout=60, context=context)


class Certificates(Case):
    def setUp(self):
        self.place = pathlib.Path(tempfile.mkdtemp(prefix="kubiya-bound-"))
        self.addCleanup(shutil.rmtree, self.place)
        authority, cert, key = certificates("localhost")
        for name, text in (("authority", authority), ("cert", cert), ("key", key)):
            (self.place / name).write_text(text)
        (self.place / "key").chmod(0o600)
        OverTls.authority = self.place / "authority"
        self.issuer = Issuer()
        self.addCleanup(self.issuer.close)
        self.server = OverTls(self.issuer, "--tls-cert", self.place / "cert", "--tls-key", self.place / "key",
                              env={"KUBIYA_SERVER_CLIENT_CERTIFICATES": "true"})
        self.addCleanup(self.server.close)
        self.clients = [self.certificate("ada"), self.certificate("mallory")]

    def certificate(self, name):
        _, cert, key = certificates(name)
        paths = self.place / f"{name}.pem", self.place / f"{name}.key"
        for path, text in zip(paths, (cert, key)):
            path.write_text(text)
        return paths

    def test_a_token_of_a_certificate_serves_on_connections_with_that_certificate(self):
        der = x509.load_pem_x509_certificate(self.clients[0][0].read_bytes()).public_bytes(serialization.Encoding.DER)
        token = self.issuer.token(self.server.audience, cnf={"x5t#S256": b64(hashlib.sha256(der).digest())})
        self.server.shown = self.clients[0]
        for _ in range(2):
            self.assertEqual(self.server.call(token, "whoami")[0], 200)
        self.server.shown = self.clients[1]
        self.refused(self.server.call(token, "whoami"), "wrong_certificate")
        self.server.shown = None
        self.refused(self.server.call(token, "whoami"), "certificate_required")
        self.assertEqual(self.server.call(self.issuer.token(self.server.audience), "whoami")[0], 200,
                         "others need no certificate")
        _, _, body = self.server.get("/.well-known/oauth-protected-resource/mcp")
        self.assertIs(json.loads(body)["tls_client_certificate_bound_access_tokens"], True)


if __name__ == "__main__":
    unittest.main()
