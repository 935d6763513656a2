# SPDX-License-Identifier: Apache-2.0
"""The web page of the MCP Inspector, in Chromium: discovery, registration, consent and PKCE against oidc-provider, and what comes after."""
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

from harness import ROOT, free_port, until
from provider_case import Provider, key_of, records
from test_oidc_provider import OPAQUE, start_server


class InspectorWeb(unittest.TestCase):
    def test_a_person_signs_in_and_works(self):
        found = ROOT / "build" / "interop-results" / "inspector_web"
        found.unlink(missing_ok=True)
        port, ours, page, sandbox = (free_port() for _ in range(4))
        issuer, resource = f"http://127.0.0.1:{port}", f"http://localhost:{ours}/mcp"
        provider = Provider([port, resource, OPAQUE], env={"REGISTRATION": "yes"}, talks=True)
        self.addCleanup(provider.close)
        self.assertEqual(provider.line(), "ready")
        server = start_server(type(self), issuer, port=ours)

        home = tempfile.mkdtemp(prefix="kubiya-inspector-")
        self.addCleanup(shutil.rmtree, home, ignore_errors=True)
        log = pathlib.Path(home, "log")
        launcher = pathlib.Path(os.environ["INSPECTOR"], "node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js")
        with open(log, "wb") as out:
            inspector = subprocess.Popen(
                ["node", launcher, "--web", "--transport", "http", "--server-url", resource], stdout=out, stderr=out,
                env={**os.environ, "HOME": home, "CLIENT_PORT": str(page), "MCP_SANDBOX_PORT": str(sandbox), "MCP_AUTO_OPEN_ENABLED": "false",
                     "MCP_INSPECTOR_SECRET_STORE": "memory", "DANGEROUSLY_OMIT_AUTH": "true"})
        self.addCleanup(inspector.wait)
        self.addCleanup(inspector.terminate)
        until(lambda: b"up and running" in log.read_bytes(), 30)

        done = subprocess.run(["node", os.environ["WEB"]], capture_output=True, text=True, timeout=150,
                              env={**os.environ, "PAGE": f"http://127.0.0.1:{page}", "ISSUER": issuer, "PERSON": "ada"})
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr + log.read_text(errors="replace")[-2000:])
        self.assertEqual(done.stdout.count("ok   "), 3, done.stdout)
        runs = [r for r in records(server, "--subject", "ada") if r["kind"] == "run_finished"]
        self.assertEqual([r["target"] for r in runs], ["show"], "one run, of the person who signed in")
        self.assertNotIn(key_of("ada"), log.read_text(errors="replace"))
        eras = {json.loads(line).get("era") for line in server.log.read_text().splitlines() if '"method":"tools/call"' in line}
        self.assertEqual(len(eras), 1, eras)
        found.parent.mkdir(parents=True, exist_ok=True)
        found.write_text(f"signed in at oidc-provider | {eras.pop()}\n")


if __name__ == "__main__":
    unittest.main()
