# SPDX-License-Identifier: Apache-2.0
"""Keycloak in development mode, with the realm of keycloak/realm.json."""
import json
import unittest

from browser import Application, post
from harness import ROOT, free_port
from provider_case import Provider, Runs, key_of, start_server

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
        token = lambda user: self.sign_in(user, "openid")["access_token"]
        self.assertEqual(server.ok(token("ada"), "execute_workflow", name="show")["status"], "finished")
        self.assertEqual(server.call(token("vera"), "execute_workflow", name="show")[0], 403)
        self.assertEqual(server.ok(token("vera"), "list_executions")["executions"], [])


if __name__ == "__main__":
    unittest.main()
