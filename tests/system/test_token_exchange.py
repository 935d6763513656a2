# SPDX-License-Identifier: Apache-2.0
"""A step gets a token for another service on the caller's behalf (RFC 8693), and the caller's own goes nowhere."""
import subprocess
import unittest

import providers
from harness import BINARY, CANARY, ROOT, until
from test_issuers import World, records

PAY = """
name: %(name)s
steps:
  - name: pay
    token: {audience: %(audience)s, scopes: [invoices.pay], env: BILLING_TOKEN}
    command: |
      printf 'Authorization: Bearer %%s' "$BILLING_TOKEN" | curl -fsS -H @- %(url)s/billing && echo
      echo "my token is $BILLING_TOKEN"
"""


class TokenExchange(World):
    def setUp(self):
        super().setUp()
        self.issuer = providers.Exchanging()
        self.addCleanup(self.issuer.close)
        self.secret = f"{CANARY}-client-secret"
        self.flows = self.directory / "flows"
        self.flows.mkdir()
        self.write("pay", "https://billing.example")
        self.write("elsewhere", "https://elsewhere.example")
        self.write("ledger", "ledger")
        self.write("not-ledger", "ledger")
        self.server = self.serve([{"url": self.issuer.url, "token_exchange": {
            "client_id": "mcp", "client_secret": "${file:%s}" % self.file("secret", self.secret),
            "audiences": ["https://billing.example", "ledger=ledger"]}}], "--workflows", self.flows)

    def test_the_page_shows_what_works(self):
        workflow, config = ((text.split("```")[0]) for text in
                            (ROOT / "docs" / "token-exchange.md").read_text().split("```yaml\n")[1:])
        said = self.server.ok(self.token(), "validate_workflow", definition=workflow)
        self.assertEqual((said["valid"], said["problems"]), (True, []), said)
        self.file("secret.txt", "x")
        path = self.file("page.yaml", config.replace("/run/secrets/kubiya-mcp", str(self.directory / "secret.txt")))
        done = subprocess.run([BINARY, "config", "check", "--config", path], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)

    def write(self, name, audience):
        text = PAY % {"name": name, "audience": audience, "url": self.issuer.url}
        (self.flows / f"{name}.yaml").write_text(text)

    def token(self, subject="ada"):
        return self.issuer.issue({"iss": self.issuer.url, "aud": self.server.audience, "sub": subject,
                                  "scope": "read execute", "kubiya_api_key": providers.key(subject)})

    def run_it(self, workflow="pay", token=None):
        token = token or self.token()
        run = self.server.call(token, "execute_workflow", name=workflow)[2]["result"]["structuredContent"]
        entries = self.server.ok(token, "get_execution_logs", execution_id=run["execution_id"])["entries"]
        return run, "".join(entry["text"] for entry in entries)

    def evidence(self, run, kind):
        return until(lambda: [r["fields"] for r in records(self.server) if r.get("event") == kind
                              and r["fields"]["run_id"] == run["execution_id"]])

    def test_the_service_sees_the_person_and_not_their_own_token(self):
        for subject in ("ada", "bob"):
            own = self.token(subject)
            run, log = self.run_it(token=own)
            self.assertEqual(run["status"], "finished", log)
            self.assertEqual(self.issuer.visits[-1], subject)
            self.assertIn('"paid"', log)
            self.assertIn("my token is [redacted]", log)
            headers, form = self.issuer.questions[-1]
            self.assertEqual(self.issuer.basic(headers), f"mcp:{self.secret}")
            self.assertEqual({name: values[0] for name, values in form.items()}, {
                "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange", "subject_token": own,
                "subject_token_type": "urn:ietf:params:oauth:token-type:access_token",
                "requested_token_type": "urn:ietf:params:oauth:token-type:access_token",
                "audience": "https://billing.example", "scope": "invoices.pay"})
            record = self.evidence(run, "token_exchanged")[0]
            self.assertEqual((record["subject"], record["step"], record["audience"], record["scopes"]),
                             (subject, "pay", "https://billing.example", "invoices.pay"))
        self.assertEqual(self.server.leaks(), [])
        for token in self.issuer.given:
            self.assertNotIn(token, self.server.log.read_text())

    def test_only_what_an_operator_allows_is_asked_for(self):
        self.assertEqual(self.run_it("ledger")[0]["status"], "finished")
        asked = len(self.issuer.questions)
        for workflow in ("elsewhere", "not-ledger"):
            run, log = self.run_it(workflow)
            self.assertEqual(run["status"], "failed")
            self.assertIn(f"Workflow {workflow} may not ask for tokens", log)
            self.assertIn("auth.token_exchange.audiences", self.evidence(run, "token_exchange_refused")[0]["reason"])
        self.assertEqual(len(self.issuer.questions), asked)

    def test_a_refusal_of_the_issuer_stops_the_step_and_says_why(self):
        good = {"access_token": "x", "token_type": "Bearer", "expires_in": 300,
                "issued_token_type": "urn:ietf:params:oauth:token-type:access_token"}
        own = self.token()
        rows = {
            "refused": (400, {"error": "invalid_target", "error_description": "unknown"}, "invalid_target, unknown"),
            "down": (500, {}, "token endpoint answered 500"),
            "the caller's own": (200, {**good, "access_token": own}, "is the caller's own token"),
            "too long a life": (200, {**good, "expires_in": 86400}, "lifetime_max"),
            "bound": (200, {**good, "token_type": "DPoP"}, "not for a bearer"),
        }
        for name, (status, answer, says) in rows.items():
            with self.subTest(name):
                self.issuer.status, self.issuer.instead = status, answer
                run, log = self.run_it(token=own)
                self.assertEqual(run["status"], "failed")
                self.assertIn(says, log)
                self.assertNotIn("my token is", log)
        self.assertEqual(self.issuer.visits, [])


if __name__ == "__main__":
    unittest.main()
