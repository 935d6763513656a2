# SPDX-License-Identifier: Apache-2.0
"""dex with static users: no scopes of ours, the client as audience, no place for a Kubiya key."""
import base64
import json
import subprocess
import time
import unittest

from browser import Application
from harness import BINARY, b64, free_port, until
from provider_case import PASSWORD, Provider, Runs, SignsIn, key_of, keys_age, knows, records, start_server

SCOPES = "ada@example.com=read+execute,bob@example.com=read+execute,vera@example.com=read"


def open_provider(issuer):
    port = issuer.split(":")[2].split("/")[0]
    provider = Provider([port], {"PASSWORD": PASSWORD})
    provider.wait_for(issuer + "/.well-known/openid-configuration", 60)
    return provider


def server_for(test, issuer, **options):
    return start_server(test, issuer, audience=test.client, KUBIYA_AUTH_SCOPE_CLAIMS="email",
                        KUBIYA_IDENTITY_SCOPE_MAP=SCOPES, **options)


class AtDex(SignsIn):
    """People of one dex, and a server that takes its tokens."""

    client = "assistant"
    scope = "openid email profile"

    @classmethod
    def setUpClass(cls):
        cls.answers = {}
        cls.issuer = f"http://127.0.0.1:{free_port()}/dex"
        cls.addClassCleanup(open_provider(cls.issuer).close)
        cls.server = server_for(cls, cls.issuer)

    @classmethod
    def login(cls, user):
        return user + "@example.com"

    def subject_of(self, user):
        """dex writes user and connector as one protobuf message: fields 1 and 2."""
        field = lambda number, text: bytes([number << 3 | 2, len(text)]) + text.encode()
        return base64.urlsafe_b64encode(field(1, "id-" + user) + field(2, "local")).rstrip(b"=").decode()

    def foreign_token(self):
        return self.sign_in(client="other-app")["access_token"]


class Dex(AtDex, unittest.TestCase):
    @unittest.skipUnless(knows("auth.sign_in_scopes"), "this server names its own scopes, which dex refuses")
    def test_a_client_is_told_to_ask_for_what_dex_knows(self):
        server = server_for(type(self), self.issuer, KUBIYA_AUTH_SIGN_IN_SCOPES="openid email profile")
        app = Application(server, self.client)
        self.assertLessEqual(set(app.resource["scopes_supported"]), set(app.provider["scopes_supported"]))
        token = app.sign_in(self.login("ada"), PASSWORD)["access_token"]
        self.assertEqual(server.ok(token, "whoami")["subject"], self.subject_of("ada"))

    def test_a_run_wants_a_key(self):
        status, _, body = self.server.call(self.token("ada"), "execute_workflow", name="show")
        self.assertEqual((status, body["result"]["isError"]), (200, True))
        self.assertIn("No API token provided", json.dumps(body))
        refused = until(lambda: records(self.server, "--operation", "execute_workflow", "--decision", "refused",
                                        "--subject", self.subject_of("ada")))
        self.assertEqual([r["reason"] for r in refused], ["no_api_key"])


class WithVault(AtDex, Runs, unittest.TestCase):
    """dex has no place for a key, so this server keeps one for each person; then everything holds that holds elsewhere."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        keys = "subject,key\n" + "".join(f"{cls.subject_of(cls, user)},{key_of(user)}\n" for user in ("ada", "bob"))
        kept = subprocess.run([BINARY, "vault", "import", "-", "--issuer", cls.issuer, "--data-dir", cls.server.data], input=keys,
                              text=True, capture_output=True)
        assert kept.returncode == 0, kept.stderr
        until(lambda: cls.server.ok(cls.token("bob"), "whoami")["api_key"]["found"])

    # dex knows no scope of ours to step up to: what a person may is in the configuration.
    test_a_person_steps_up = None

    def test_the_key_is_the_vaults(self):
        self.assertEqual(self.server.ok(self.token("ada"), "whoami")["api_key"]["source"], "vault")


class Outage(unittest.TestCase):
    """The provider starts after the server, goes away, and comes back with other keys: it kept its own in memory."""

    client = Dex.client

    def test_who_is_served_when(self):
        issuer = f"http://127.0.0.1:{free_port()}/dex"
        server = server_for(type(self), issuer, ready=False, KUBIYA_AUTH_REFETCH_MIN="1s", KUBIYA_IDENTITY_CACHE_TIME="0ms")
        server.wait_ready("/healthz")
        unjudged = self.unsigned(issuer)
        status, headers, _ = server.call(unjudged, "whoami")
        self.assertEqual(status, 503, "nobody can tell whether it is good")
        self.assertIn("retry-after", headers)
        self.assertEqual(server.get("/readyz")[0], 503)

        provider = open_provider(issuer)
        self.addCleanup(provider.close)
        server.wait_ready()
        self.assertEqual(server.call(unjudged, "whoami")[0], 401)
        first = self.sign_in(server)
        self.assertEqual(server.call(first, "whoami")[0], 200)
        provider.close()
        self.assertEqual(server.call(first, "whoami")[0], 200, "its keys are known")

        self.addCleanup(open_provider(issuer).close)
        until(lambda: keys_age(server) > 1)
        self.assertEqual(server.call(self.sign_in(server), "whoami")[0], 200, "signed with a key that came with the restart")
        self.assertEqual(server.call(first, "whoami")[0], 401, "its key is gone")

    def unsigned(self, issuer):
        claims = {"iss": issuer, "aud": self.client, "sub": "x", "exp": int(time.time()) + 600}
        return ".".join([b64(json.dumps({"alg": "RS256", "kid": "1"})), b64(json.dumps(claims)), "AAAA"])

    def sign_in(self, server):
        return Application(server, self.client).sign_in(Dex.login("ada"), PASSWORD, Dex.scope)["access_token"]


if __name__ == "__main__":
    unittest.main()
