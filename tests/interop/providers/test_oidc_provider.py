# SPDX-License-Identifier: Apache-2.0
"""oidc-provider: a general OpenID provider with resource indicators, opaque tokens and keys that change."""
import threading
import unittest

from browser import Application, post
from harness import free_port, until
from provider_case import PASSWORD, Provider, Runs, key_of, keys_age, knows, start_server

OTHER = "https://other.example/api"
OPAQUE = "https://opaque.example/api"


def start(test, ours_is_opaque=False, **env):
    """The provider, its issuer, and a server that trusts it: the audience of a token is the address of the server."""
    port, ours = free_port(), free_port()
    resource = f"http://localhost:{ours}/mcp"
    provider = Provider([port, resource, OPAQUE, *([resource] if ours_is_opaque else [])], talks=True)
    test.addClassCleanup(provider.close)
    assert provider.line() == "ready"
    issuer = f"http://127.0.0.1:{port}"
    return provider, issuer, start_server(test, issuer, port=ours, KUBIYA_AUTH_REFETCH_MIN="1s", **env)


class OidcProvider(Runs, unittest.TestCase):
    client = "assistant"
    scope = "openid read execute"

    @classmethod
    def setUpClass(cls):
        cls.answers = {}
        cls.provider, cls.issuer, cls.server = start(cls, KUBIYA_AUTH_REQUIRE_AT_JWT="true")

    def subject_of(self, user):
        return user

    def foreign_token(self):
        return self.sign_in(resource=OTHER)["access_token"]

    def test_a_pipeline_runs_as_itself(self):
        """Client credentials: the client is the person."""
        app = Application(self.server, self.client)
        got = post(app.provider["token_endpoint"], {"grant_type": "client_credentials", "scope": "read execute",
                                                    "resource": app.resource["resource"]}, ("pipeline", "pipeline-secret"))
        self.assert_run_is_of(got["access_token"], "pipeline", key_of("pipeline"))

    def test_an_id_token_is_no_access_token(self):
        self.assert_refused(self.answer("ada")["id_token"], "wrong_token_type")

    def test_an_opaque_token_is_refused(self):
        token = self.sign_in(resource=OPAQUE)["access_token"]
        self.assertEqual(token.count("."), 0)
        self.assert_refused(token, "not_three_parts")


@unittest.skipUnless(knows("auth.introspection.client_id"), "this server does not introspect")
class Introspection(Runs, unittest.TestCase):
    """All of the above with tokens that only the provider can read (RFC 7662)."""

    client = "assistant"
    scope = "openid read execute"

    @classmethod
    def setUpClass(cls):
        cls.answers = {}
        # One event loop: each remembers by itself what the provider said.
        cls.provider, cls.issuer, cls.server = start(
            cls, ours_is_opaque=True, KUBIYA_AUTH_TOKENS="opaque", KUBIYA_AUTH_INTROSPECTION_CLIENT_ID="kubiya-mcp",
            KUBIYA_AUTH_INTROSPECTION_CLIENT_SECRET="introspection-secret", KUBIYA_AUTH_INTROSPECTION_CACHE_TIME="1s",
            KUBIYA_SERVER_THREADS="1")

    def subject_of(self, user):
        return user

    def foreign_token(self):
        return self.sign_in(resource=OPAQUE)["access_token"]

    def test_the_token_is_opaque(self):
        self.assertNotIn(".", self.token("ada"))

    def test_a_token_that_the_provider_does_not_introspect_is_refused(self):
        """It answers 400 to a signed one, and says so of this token only."""
        self.assert_refused(self.sign_in(resource=OTHER)["access_token"], "token_inactive")
        self.server.ok(self.token("bob"), "whoami")

    def test_a_revoked_token_ends(self):
        token = self.sign_in()["access_token"]
        self.assertEqual(self.server.call(token, "whoami")[0], 200)
        post(Application(self.server, self.client).provider["revocation_endpoint"], {"token": token, "client_id": self.client})
        until(lambda: self.server.call(token, "whoami")[0] != 200)
        self.assert_refused(token, "token_inactive")


class Rotation(unittest.TestCase):
    """The provider changes its keys while people work."""

    @classmethod
    def setUpClass(cls):
        # Nothing is remembered, so that every call looks at the keys.
        cls.provider, _, cls.server = start(cls, KUBIYA_IDENTITY_CACHE_TIME="0ms")

    def sign_in(self):
        return Application(self.server, "assistant").sign_in("ada", PASSWORD, "openid read execute")["access_token"]

    def test_no_good_token_fails_while_keys_change(self):
        tokens, failures, served, over = [self.sign_in()], [], [0], threading.Event()

        def work():
            while not over.is_set():
                for token in list(tokens):
                    status, _, body = self.server.call(token, "whoami")
                    served[0] += 1
                    if status != 200:
                        failures.append((status, body))

        worker = threading.Thread(target=work)
        worker.start()
        try:
            for _ in range(3):
                self.wait_for_the_cool_down()
                self.provider.tell("rotate")
                tokens.append(self.sign_in())  # a key that the server has not seen
                before = served[0]
                until(lambda: served[0] > before + 2 * len(tokens))
        finally:
            over.set()
            worker.join()
        self.assertEqual(failures[:1], [])

    def test_a_withdrawn_key_signs_nothing_any_more(self):
        old = self.sign_in()
        self.assertEqual(self.server.call(old, "whoami")[0], 200)
        self.wait_for_the_cool_down()
        self.provider.tell("rotate")
        self.provider.tell("retire")
        self.assertEqual(self.server.call(self.sign_in(), "whoami")[0], 200)
        until(lambda: self.server.call(old, "whoami")[0] == 401)

    def wait_for_the_cool_down(self):
        """Unknown keys cause one fetch in `auth.refetch_min`."""
        until(lambda: keys_age(self.server) > 1)


if __name__ == "__main__":
    unittest.main()
