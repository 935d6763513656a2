# SPDX-License-Identifier: Apache-2.0
"""Keycloak in development mode, with the realm of keycloak/realm.json."""
import json
import unittest

from browser import Application, post
from harness import ROOT, free_port, until
from provider_case import Provider, Runs, key_of, knows, start_server

REALM = json.loads((ROOT / "tests" / "interop" / "keycloak" / "realm.json").read_text())
AUDIENCE = "https://mcp.example.com/mcp"  # of the realm's audience mapper
# The compiler for short-lived programs: half the time of a start.
JAVA = {"JAVA_OPTS_APPEND": "-XX:TieredStopAtLevel=1"}


class Keycloak(Runs, unittest.TestCase):
    client = "assistant"
    scope = "openid read execute"

    @classmethod
    def setUpClass(cls):
        cls.answers = {}
        port = free_port()
        cls.issuer = f"http://127.0.0.1:{port}/realms/kubiya"
        provider = Provider(["start-dev", "--import-realm", "--db=dev-mem", "--cache=local", "--http-host=127.0.0.1",
                             f"--http-port={port}"], JAVA)
        cls.addClassCleanup(provider.close)
        provider.wait_for(cls.issuer + "/.well-known/openid-configuration", 300)
        cls.server = start_server(cls, cls.issuer, audience=AUDIENCE)

    def subject_of(self, user):
        return next(u["id"] for u in REALM["users"] if u["username"] == user)

    def foreign_token(self):
        return self.sign_in(client="other-app")["access_token"]

    def test_an_id_token_is_no_access_token(self):
        self.assert_refused(self.answer("ada")["id_token"], "wrong_audience")

    def test_a_refresh_token_is_no_access_token(self):
        self.assert_refused(self.answer("ada")["refresh_token"], "bad_algorithm")

    def test_a_client_without_the_audience_mapper_is_refused(self):
        self.assert_refused(self.sign_in(client="no-audience")["access_token"], "bad_claim")

    def test_a_service_account_runs_as_itself(self):
        got = post(Application(self.server, self.client).provider["token_endpoint"],
                   {"grant_type": "client_credentials", "scope": "read execute"}, ("pipeline", "pipeline-secret"))
        self.assert_run_is_of(got["access_token"], self.subject_of("service-account-pipeline"), key_of("pipeline"))

    def test_realm_roles_grant_what_the_map_says(self):
        server = start_server(type(self), self.issuer, audience=AUDIENCE, KUBIYA_AUTH_SCOPE_CLAIMS="realm_access.roles",
                              KUBIYA_IDENTITY_SCOPE_MAP="kubiya-viewer=read,kubiya-deployer=read+execute")
        self.assert_rights(server)

    @unittest.skipUnless(knows("auth.preset"), "this server has no presets")
    def test_client_roles_grant_what_the_preset_says(self):
        self.assert_rights(start_server(type(self), self.issuer, audience=AUDIENCE, KUBIYA_AUTH_PRESET="keycloak",
                                        KUBIYA_AUTH_CLIENT_ID="kubiya-mcp"))

    @unittest.skipUnless(knows("auth.preset"), "this server has no presets")
    def test_the_preset_refuses_id_tokens_whatever_their_audience(self):
        server = start_server(type(self), self.issuer, audience=self.client, KUBIYA_AUTH_PRESET="keycloak")
        self.assert_refused(self.answer("ada")["id_token"], "bad_claim", server)

    @unittest.skipUnless(knows("auth.introspection.client_id"), "this server does not introspect")
    def test_a_token_ends_with_the_session_where_the_provider_is_asked(self):
        server = start_server(
            type(self), self.issuer, audience=AUDIENCE, KUBIYA_AUTH_TOKENS="opaque", KUBIYA_SERVER_THREADS="1",
            KUBIYA_AUTH_INTROSPECTION_CLIENT_ID="kubiya-mcp", KUBIYA_AUTH_INTROSPECTION_CACHE_TIME="1s",
            KUBIYA_AUTH_INTROSPECTION_CLIENT_SECRET="introspection-secret")
        got = self.sign_in()
        self.assert_run_is_of(got["access_token"], self.subject_of("ada"), key_of("ada"), server)
        end = Application(self.server, self.client).provider["end_session_endpoint"]
        post(end, {"client_id": self.client, "refresh_token": got["refresh_token"]})
        until(lambda: server.call(got["access_token"], "whoami")[0] != 200)
        self.assert_refused(got["access_token"], "token_inactive", server)

    @unittest.skipUnless(knows("auth.token_exchange.client_id"), "this server does not exchange tokens")
    def test_a_step_gets_a_token_for_another_service_on_the_persons_behalf(self):
        # Who has the token sees for whom and for what it is; its whole text is kept out of the log.
        show = 'printf %s "$TOKEN" | cut -d . -f 2 | tr _- /+ | { base64 -d 2>/dev/null || true; }'
        ask = lambda audience: {"audience": audience, "scopes": ["invoices.pay"], "env": "TOKEN"}
        flows = [{"name": name, "steps": [{"name": "show", "token": ask(name), "command": show}]} for name in ("billing", "payroll")]
        server = start_server(
            type(self), self.issuer, audience=AUDIENCE, workflows=flows, KUBIYA_AUTH_TOKEN_EXCHANGE_CLIENT_ID="kubiya-mcp",
            KUBIYA_AUTH_TOKEN_EXCHANGE_CLIENT_SECRET="introspection-secret", KUBIYA_AUTH_TOKEN_EXCHANGE_AUDIENCES="billing")
        for user in ("ada", "bob"):
            run = server.ok(self.token(user), "execute_workflow", name="billing")
            entries = server.ok(self.token(user), "get_execution_logs", execution_id=run["execution_id"])["entries"]
            claims = json.loads("".join(e["text"] for e in entries if e["stream"] == "stdout"))
            self.assertEqual((claims["sub"], claims["aud"], claims["azp"]), (self.subject_of(user), "billing", "kubiya-mcp"))
            self.assertIn("invoices.pay", claims["scope"].split())
        refused = server.call(self.token("ada"), "execute_workflow", name="payroll")[2]["result"]
        self.assertEqual(refused["structuredContent"]["status"], "failed")
        self.assertIn("may not ask for tokens for payroll", json.dumps(refused))

    def assert_rights(self, server):
        """Of people who asked for no scope: those of their roles."""
        token = lambda user: self.sign_in(user, "openid")["access_token"]
        self.assertEqual(server.ok(token("ada"), "execute_workflow", name="show")["status"], "finished")
        self.assertEqual(server.call(token("vera"), "execute_workflow", name="show")[0], 403)
        self.assertEqual(server.ok(token("vera"), "list_executions")["executions"], [])


if __name__ == "__main__":
    unittest.main()
