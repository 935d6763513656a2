"""The key vault: people whose tokens carry no Kubiya key run workflows with the one that is kept for them."""
import hashlib
import json
import pathlib
import sqlite3
import subprocess
import unittest

from harness import BINARY, Issuer, Server, until

SHOW_KEY = """name: show-key
steps:
  - name: show
    script: 'printf "%s" "$KUBIYA_API_KEY" | sha256sum | cut -c 1-8'
    output: SHOWN
"""


def fingerprint(key):
    return hashlib.sha256(key.encode()).hexdigest()[:8]


class Vault(unittest.TestCase):
    def setUp(self):
        self.issuer = Issuer()
        self.addCleanup(self.issuer.close)
        self.server = Server(self.issuer, env={"KUBIYA_AUTH_KEY_REFERENCE_CLAIMS": "kubiya_key_ref"})
        self.addCleanup(self.server.close)

    def token(self, subject="ada", **claims):
        claims.setdefault("kubiya_api_key", ...)
        return self.issuer.token(self.server.audience, subject, **claims)

    def vault(self, *arguments, stdin="", fails=False):
        done = subprocess.run([BINARY, "vault", *map(str, arguments), "--data-dir", self.server.data], input=stdin, text=True,
                              capture_output=True)
        self.assertEqual(done.returncode != 0, fails, done.stdout + done.stderr)
        return done.stdout + done.stderr

    def keep(self, key, *whose):
        return self.vault("set", "--issuer", self.issuer.url, *whose, stdin=key + "\n")

    def key_of_a_run(self, token):
        answer = self.server.ok(token, "execute_workflow", name="show-key", wait=20)
        return answer["outputs"]["SHOWN"].strip()

    def records(self, event):
        lines = [l for p in pathlib.Path(self.server.data, "audit").glob("audit-*.jsonl") for l in p.read_text().splitlines()]
        return [json.loads(l) for l in lines if f'"{event}"' in l]

    def test_a_run_has_the_key_of_who_asked_and_no_other(self):
        self.server.ok(self.token(kubiya_api_key="kb-claimed"), "create_workflow", name="show-key",
                       definition=SHOW_KEY)
        _, _, body = self.server.call(self.token(), "execute_workflow", name="show-key")
        self.assertIn("No API token provided", json.dumps(body), "nothing is kept for her yet")
        self.keep("kb-adas-own", "--subject", "ada")
        self.keep("kb-bobs-own", "--subject", "bob")
        until(lambda: self.server.call(self.token("bob"), "whoami")[0] == 200 and len(self.records("vault_key_set")) == 2)
        self.assertEqual(self.key_of_a_run(self.token()), fingerprint("kb-adas-own"))
        self.assertEqual(self.key_of_a_run(self.token("bob")), fingerprint("kb-bobs-own"))
        self.assertEqual(self.key_of_a_run(self.token(kubiya_api_key="kb-claimed")), fingerprint("kb-claimed"))
        self.keep("kb-of-a-team", "--reference", "team-blue")
        until(lambda: len(self.records("vault_key_set")) == 3)
        self.assertEqual(self.key_of_a_run(self.token(kubiya_key_ref="team-blue")), fingerprint("kb-of-a-team"))

    def test_a_token_that_names_a_key_is_not_served_without_it(self):
        status, headers, _ = self.server.call(self.token(kubiya_key_ref="nobodys"), "whoami")
        self.assertEqual(status, 401)
        found = until(lambda: [r for r in self.records("key_reference_unknown")
                               if r.get("request_id") == headers["x-request-id"]])
        self.assertEqual(found[0]["reason"], "key_reference_unknown")

    def test_a_record_moved_to_another_person_serves_nobody(self):
        self.keep("kb-adas-own", "--subject", "ada")
        with sqlite3.connect(pathlib.Path(self.server.data, "kubiya.db")) as database:
            database.execute("UPDATE vault SET name = 'mallory'")
            database.execute("UPDATE meta SET value = value + 1 WHERE name = 'vault_generation'")
        database.close()
        status, headers, _ = until(lambda: [a for a in [self.server.call(self.token("mallory"), "whoami")] if a[0] == 503])[0]
        self.assertIn("retry-after", headers)
        self.assertTrue(until(lambda: self.records("vault_record_invalid")))

    def test_the_vaults_key_is_rotated_beside_the_server(self):
        self.keep("kb-adas-own", "--subject", "ada")
        before = pathlib.Path(self.server.data, "vault.key").read_bytes()
        self.assertIn("1 entries are sealed anew", self.vault("rotate-key"))
        self.assertNotEqual(pathlib.Path(self.server.data, "vault.key").read_bytes(), before)
        until(lambda: self.records("vault_key_rotated"))
        self.keep("kb-adas-next", "--subject", "ada")
        until(lambda: len(self.records("vault_key_set")) == 2)
        self.assertEqual(self.server.call(self.token(), "whoami")[0], 200)

    def test_an_import_is_all_or_nothing_and_shows_no_key(self):
        text = "subject,key\nada,kb-secret-1\nbob,kb secret 2\n"
        told = self.vault("import", "-", "--issuer", self.issuer.url, stdin=text, fails=True)
        self.assertIn("3", told, "the line is named")
        self.assertNotIn("secret", told)
        self.assertNotIn("ada", self.vault("list"))
        told = self.vault("import", "-", "--issuer", self.issuer.url, stdin=text.replace("kb secret 2", "kb-secret-2"))
        listed = self.vault("list")
        for name in ("ada", "bob"):
            self.assertIn(name, listed)
        self.assertNotIn("secret", told + listed)
        self.vault("remove", "--issuer", self.issuer.url, "--subject", "bob")
        self.assertNotIn("bob", self.vault("list"))

    def test_neither_database_nor_journal_nor_log_shows_a_key(self):
        self.keep("kb-adas-own-canary", "--subject", "ada")
        until(lambda: self.records("vault_key_set"))
        self.server.call(self.token(), "whoami")
        self.server.stop()
        for path in [*pathlib.Path(self.server.data).rglob("*"), self.server.log]:
            if path.is_file():
                self.assertNotIn(b"adas-own-canary", path.read_bytes(), path)


if __name__ == "__main__":
    unittest.main()
