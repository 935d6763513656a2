"""`explain`: why a token or a request is taken or refused, by the judge of the server itself."""
import json
import os
import pathlib
import subprocess
import unittest

from harness import BINARY, CANARY, ROOT, Issuer, Server, until


class Explain(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.issuer = Issuer()
        cls.server = Server(cls.issuer)

    @classmethod
    def tearDownClass(cls):
        cls.server.close()
        cls.issuer.close()

    def run_it(self, *arguments, stdin="", status=None, **env):
        done = subprocess.run([BINARY, "explain", *map(str, arguments)], input=stdin, text=True, capture_output=True,
                              env={"PATH": os.environ["PATH"], **env})
        if status is not None:
            self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return done.stdout + done.stderr

    def configuration(self):
        path = pathlib.Path(self.server.data, "explain.yaml")
        path.write_text(json.dumps({"auth": {"server": self.issuer.url, "audience": [self.server.audience]},
                                    "data_dir": self.server.data}))
        path.chmod(0o600)
        return path

    def why(self, token, *arguments, status):
        return self.run_it("-", "--config", self.configuration(), *arguments, stdin=token + "\n", status=status)

    def test_a_good_token_says_who_and_what_it_may(self):
        told = self.why(self.issuer.token(self.server.audience, scope="read"), status=0)
        self.assertIn("Accepted: ada in tenant default", told)
        self.assertIn(self.issuer.url, told)
        self.assertRegex(told, r"read +allowed")
        self.assertRegex(told, r"execute +refused, missing: execute")
        self.assertRegex(told, r"passed +signature")
        self.assertNotIn(CANARY, told, "the key is named by its fingerprint")

    def test_a_refused_token_says_which_check_failed_and_what_to_do(self):
        token = self.issuer.token("https://other.example/mcp")
        told = json.loads(self.why(token, "--json", status=1))
        self.assertFalse(told["accepted"])
        self.assertEqual((told["refused"]["reason"], told["refused"]["status"]), ("wrong_audience", 401))
        self.assertTrue(told["refused"]["next"])
        outcomes = {one["check"]: one["outcome"] for one in told["checks"]}
        self.assertEqual((outcomes["issuer"], outcomes["audience"], outcomes["signature"]), ("passed", "failed", "not_reached"))

    def test_the_answer_is_the_servers_own(self):
        now = self.issuer.claims(self.server.audience)["iat"]
        good = self.issuer.token(self.server.audience)
        rows = {"expired": self.issuer.token(self.server.audience, exp=now - 600),
                "other issuer": self.issuer.token(self.server.audience, iss="https://other.example"),
                "forged": good[:-8] + ("AAAAAAAA" if good[-8:] != "AAAAAAAA" else "BBBBBBBB"),
                "no token": "hello", "bound": self.issuer.token(self.server.audience, cnf={"jkt": "x"}), "good": good}
        for name, token in rows.items():
            with self.subTest(name):
                status, headers, _ = self.server.call(token, "whoami")
                told = json.loads(self.why(token, "--json", status=0 if status == 200 else 1))
                self.assertEqual(told["accepted"], status == 200)
                if status != 200:
                    ident = headers["x-request-id"]
                    record = until(lambda: [r for r in self.records() if r.get("request_id") == ident])[0]
                    self.assertEqual(told["refused"]["reason"], record["reason"])
                self.assertNotIn(token, json.dumps(told))

    def test_the_key_of_the_vault_is_found_as_the_server_finds_it(self):
        subprocess.run([BINARY, "vault", "set", "--issuer", self.issuer.url, "--subject", "vera", "--data-dir", self.server.data],
                       input="kb-veras-own\n", text=True, check=True, capture_output=True)
        token = self.issuer.token(self.server.audience, "vera", kubiya_api_key=...)
        told = json.loads(self.why(token, "--json", status=0))
        self.assertEqual(told["caller"]["api_key"]["source"], "vault")
        self.assertNotIn("veras-own", json.dumps(told))

    def records(self):
        texts = [path.read_text() for path in sorted(pathlib.Path(self.server.data, "audit").glob("audit-*.jsonl"))]
        return [json.loads(line) for line in "".join(texts).rpartition("\n")[0].split("\n") if line]

    def test_a_request_is_explained_from_the_journal(self):
        _, headers, _ = self.server.call(self.issuer.token("https://other.example/mcp"), "whoami")
        ident = headers["x-request-id"]
        until(lambda: [r for r in self.records() if r.get("request_id") == ident])
        told = self.run_it("--request-id", ident, "--data-dir", self.server.data, status=0)
        self.assertIn("wrong_audience", told)
        self.assertIn("next:", told)
        self.assertIn("no record of this request", self.run_it("--request-id", "nothing", "--data-dir", self.server.data, status=1))

    def test_its_use_is_told(self):
        self.assertIn("give a token", self.run_it(status=2))

    def test_the_troubleshooting_page_has_every_reason(self):
        page = (ROOT / "docs" / "troubleshooting.md").read_text()
        self.assertTrue(page.endswith(self.run_it("--reasons", status=0)),
                        "put the output of `kubiya-mcp explain --reasons` at the end of docs/troubleshooting.md")


if __name__ == "__main__":
    unittest.main()
