"""An application on the installed library alone: its tool is under the same authentication, scopes and audit."""
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

from harness import BINARY, ROOT, Issuer, Server

BUILD = pathlib.Path(BINARY).resolve().parent


def run(*command):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert done.returncode == 0, (command, done.stdout[-3000:], done.stderr[-3000:])
    return done.stdout


class Application(Server):
    """The example instead of the server's own binary."""

    def __init__(self, program, place, issuer):
        self.program, self.place = program, place
        super().__init__(issuer, data=str(place / "greeter-data"))

    def start(self, ready=True):
        environment = {"PATH": os.environ["PATH"], "PORT": str(self.port), "KUBIYA_AUTH_SERVER": self.issuer.url}
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([self.program], stdout=subprocess.DEVNULL, stderr=log, env=environment,
                                            cwd=self.place)
        self.wait_ready()


class Embed(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.place = pathlib.Path(tempfile.mkdtemp(prefix="kubiya-embed-"))
        cls.addClassCleanup(shutil.rmtree, cls.place)
        cls.prefix = cls.place / "prefix"
        run("cmake", "--install", BUILD, "--prefix", cls.prefix)
        # Away from the source tree, so that nothing of it is found by accident.
        shutil.copytree(ROOT / "examples" / "embed", cls.place / "source")
        run("cmake", "-S", cls.place / "source", "-B", cls.place / "build", f"-DCMAKE_PREFIX_PATH={cls.prefix}",
            "-DCMAKE_BUILD_TYPE=Release")
        run("cmake", "--build", cls.place / "build")
        cls.issuer = Issuer()
        cls.addClassCleanup(cls.issuer.close)
        cls.server = Application(cls.place / "build" / "greeter", cls.place, cls.issuer)
        cls.addClassCleanup(cls.server.close)

    def records(self, **wanted):
        """The audit records with these members, as the installed command line lists them."""
        self.assertEqual(self.server.stop(), 0)
        listed = run(self.prefix / "bin" / "kubiya-mcp", "audit", "list", "--json", "--data-dir", self.server.data)
        self.server.start()
        return [r for r in map(json.loads, listed.splitlines()) if all(r.get(k) == v for k, v in wanted.items())]

    def test_a_good_token_gets_the_tools_answer_and_leaves_a_record(self):
        before = len(self.records(operation="greet", decision="allowed"))
        status, _, body = self.server.call(self.issuer.token(self.server.audience, "ada"), "greet")
        self.assertEqual((status, body["result"]["content"][0]["text"]), (200, "Hello, ada!"))
        records = self.records(operation="greet", decision="allowed")
        self.assertGreater(len(records), before, "the call is recorded")
        self.assertIn('"ada"', json.dumps(records))

    def test_without_a_token_there_is_a_challenge(self):
        status, headers, _ = self.server.call(None, "greet")
        self.assertEqual(status, 401)
        self.assertIn("resource_metadata=", headers["www-authenticate"])

    def test_too_few_scopes_are_refused_and_recorded(self):
        status, headers, _ = self.server.call(self.issuer.token(self.server.audience, "eve", scope="other"), "greet")
        self.assertEqual(status, 403)
        self.assertIn("insufficient_scope", headers["www-authenticate"])
        self.assertTrue(self.records(request_id=headers["x-request-id"]))

    def test_the_installed_library_shows_its_own_names_only(self):
        library = next(self.prefix.rglob("libkubiya-mcp.so"))
        self.assertEqual(list(self.prefix.rglob("*.a")), [])
        names = run("nm", "-DC", "--defined-only", library).splitlines()
        strangers = [n for n in names if not re.search(r" (kubiya::McpServer::|kubiya::create_mcp_server_auth\()", n)]
        self.assertEqual(strangers, [])
        self.assertNotIn("Impl::", "\n".join(n.split("(")[0] for n in names))


if __name__ == "__main__":
    unittest.main()
