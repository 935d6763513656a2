"""The command line: every command, what is refused and how, where values come from, how a server starts and does not."""
import datetime
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import unittest

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from harness import BINARY, CANARY, ROOT, Issuer, Server, free_port, until, wellformed_key

HELLO = "name: hello\ndescription: Says hello.\nsteps:\n  - name: s\n    command: echo hello\n"
COMMANDS = {"": {"serve", "dev", "config", "key", "vault", "audit", "explain", "doctor", "cut-off", "workflow", "run"},
            "config": {"check", "print", "docs"},
            "key": {"create", "describe", "label", "list", "promote", "retire", "revoke", "rotate", "usage"},
            "vault": {"import", "list", "remove", "rotate-key", "set"},
            "audit": {"list", "verify", "prove"}, "workflow": {"list", "show", "import"}, "run": {"list", "show"}}


def cli(*arguments, env=None, **more):
    return subprocess.run([BINARY, *map(str, arguments)], capture_output=True, text=True, cwd=more.pop("cwd", ROOT),
                          env={"PATH": os.environ["PATH"], **(env or {})}, timeout=60, **more)


def pem_pair(place, name, password=None):
    """A certificate for localhost and its key, as files."""
    private = ec.generate_private_key(ec.SECP256R1())
    who = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now, day = datetime.datetime.now(datetime.timezone.utc), datetime.timedelta(1)
    made = (x509.CertificateBuilder().subject_name(who).issuer_name(who).public_key(private.public_key())
            .serial_number(x509.random_serial_number()).not_valid_before(now - day).not_valid_after(now + day)
            .sign(private, hashes.SHA256()))
    cert, key = place / f"{name}.pem", place / f"{name}.key"
    cert.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    how = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    key.write_bytes(private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, how))
    key.chmod(0o600)
    return cert, key


class Case(unittest.TestCase):
    def setUp(self):
        self.place = pathlib.Path(tempfile.mkdtemp(prefix="kubiya-cli-"))
        self.addCleanup(shutil.rmtree, self.place, ignore_errors=True)
        self.data = self.place / "data"

    def file(self, text, name="config.yaml", mode=0o600):
        path = self.place / name
        path.write_text(text)
        path.chmod(mode)
        return path

    def works(self, *arguments, **more):
        done = cli(*arguments, **more)
        self.assertEqual((done.returncode, done.stderr), (0, ""), (arguments, done.stdout))
        return done.stdout

    def refused(self, status, says, *arguments, **more):
        """Ends with that status, one line on stderr that says so, nothing on stdout and no secret anywhere."""
        done = cli(*arguments, **more)
        self.assertEqual((done.returncode, done.stdout), (status, ""), (arguments, done.stderr))
        self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
        self.assertIn(says, done.stderr)
        self.assertNotIn(CANARY, done.stderr)
        return done.stderr


class Help(Case):
    def test_every_command_explains_itself(self):
        seen = 0
        for group, names in COMMANDS.items():
            text = self.works(*group.split(), "--help")
            listed = re.findall(r"^  ([a-z-]+) {2,}\S", text[text.index("Subcommands:"):].split("\n\n")[0], re.M)
            self.assertEqual(set(listed), names, group)
            for name in names - set(COMMANDS):
                with self.subTest(f"{group} {name}"):
                    text = self.works(*group.split(), name, "--help")
                    usage = " ".join(f"Usage: kubiya-mcp {group} {name}".split())
                    self.assertIn(usage, text)
                    # Every option and argument has a sentence, on its line or the next.
                    for line, following in zip(text.splitlines(), [*text.splitlines()[1:], ""]):
                        if re.match(r"  (-h,)?--?[a-z]", line):
                            self.assertTrue(re.search(r"\S {2,}\S", line.strip()) or re.match(r" {20,}\S", following) or
                                            re.match(r"\S+ \S", line.strip()), line)
                            seen += 1
        self.assertGreater(seen, 60)
        self.assertRegex(self.works("--version"), r"^\d+\.\d+\.\d+\n$")

    def test_that_of_serve_shows_defaults_and_allowed_words(self):
        text = self.works("serve", "--help")
        for shown in ("--port NUMBER=8000", "--host TEXT=127.0.0.1", "--data-dir TEXT=./data", "oidc|oauth=oidc",
                      "debug|info|warn|error|off=info", "needs public_url", "a second one ends at once"):
            self.assertIn(shown, text)


class Mistakes(Case):
    def test_one_line_names_what_is_wrong_and_never_a_value(self):
        rows = [
            ("a command is missing: serve", []),
            ("unknown command sevre; did you mean serve?", ["sevre"]),
            ("unknown command frobnicate; there are serve, dev", ["frobnicate"]),
            ("unknown command; there are", ["kb-" + CANARY]),
            ("a command is missing: create, list, revoke", ["key"]),
            ("kubiya-mcp key: unknown command crate; did you mean create?", ["key", "crate"]),
            ("unknown flag --tokn", ["serve", "--tokn", CANARY]),
            ("unknown flag --api-key", ["serve", "--api-key=" + CANARY]),
            ("unknown flag -t", ["serve", "-t" + CANARY]),
            ("unknown flags --first, --second", ["serve", "--first", CANARY, "--second=" + CANARY]),
            ("unknown flag --prot; did you mean --port?", ["serve", "--prot", "80"]),
            ("did you mean --port?", ["serve", "-port", "80"]),
            ("did you mean --user?", ["key", "create", "--usr", "ada", "--scopes", "read"]),
            ("did you mean --limit?", ["audit", "list", "--limt", "3"]),
            ("did you mean --config?", ["config", "check", "--confg", "x"]),
            ("unknown flag --serve", ["--serve", CANARY]),
            ("kubiya-mcp serve: a word too many", ["serve", CANARY]),
            ("kubiya-mcp config docs: a word too many", ["config", "docs", CANARY]),
            ("--port: 1 required", ["serve", "--port"]),
            ("--host: At Most 1", ["serve", "--host", "a", "--host", "b"]),
            ("--api-key stands where a value belongs", ["serve", "--required-scopes", "--api-key=" + CANARY]),
            ("not in range 1 to 65534", ["dev", "--port", "65535"]),
            ("not in range 1 to 65535", ["dev", "--issuer-port", "x"]),
            ("not in range 1 to 1000", ["run", "list", "--limit", "0"]),
            ("--user is required", ["key", "create", "--scopes", "read"]),
            ("id is required", ["key", "revoke"]),
            ("name is required", ["workflow", "show"]),
            ("directory is required", ["workflow", "import"]),
        ]
        for says, arguments in rows:
            with self.subTest(" ".join(arguments)):
                line = self.refused(2, says, *arguments)
                self.assertRegex(line, r"^kubiya-mcp.*\(see kubiya-mcp.* --help\)\n$")

    def test_a_key_in_the_wrong_place_is_not_repeated(self):
        for secret in (wellformed_key(), "eyJ" + CANARY + ".eyJ" + CANARY):
            for arguments in (["dev", "--port"], ["run", "list", "--limit"], ["audit", "list", "--limit"], ["serve", "--port"],
                              ["serve", "--data-dir", self.data, "--host"], ["config", "check", "--public-url"],
                              ["config", "check", "--auth-server"],
                              ["key", "create", "--user", "x", "--data-dir", self.data, "--expires"]):
                with self.subTest(f"{secret[:3]} {arguments}"):
                    more = ["--scopes", "read"] if "--expires" in arguments else []
                    self.refused(2, "", *arguments, secret, *more)

    def test_values_are_refused_with_what_is_allowed(self):
        rows = [
            ("--port: server.port", "from 0 to 65535", ["--port", "65536"]),
            ("--threads: server.threads", "from 0 to 256", ["--threads", "257"]),
            ("--threads: server.threads", "from 0 to 256", ["--threads", "two"]),
            ("--auth-type: auth.type", "oidc | oauth", ["--auth-server", "https://idp.example", "--auth-type", "saml"]),
            ("--log-level: log.level", "debug | info | warn | error | off", ["--log-level", "loud"]),
            ("server.port", "needs public_url", ["--port", "0"]),
            ("server.trusted_proxies", "no address", ["--trusted-proxy", "proxy.local"]),
            ("server.host", "not loopback", ["--host", "0.0.0.0"]),
            ("identity.allow_shared_key", "KUBIYA_API_KEY", ["--allow-shared-key"]),
            ("auth.type", "no meaning without auth.server", ["--auth-type", "oidc"]),
            ("workflow.directory", "is no directory", ["--workflows", self.place / "absent"]),
            ("absent.yaml", "No such file", ["--config", self.place / "absent.yaml"]),
        ]
        for key, says, flags in rows:
            for command in (["serve", "--data-dir", self.data], ["config", "check"]):
                with self.subTest(f"{command[0]} {flags}"):
                    self.assertIn(key, self.refused(2, says, *command, *flags))
        self.assertFalse(self.data.exists(), "nothing was made")


class Configuration(Case):
    def test_what_is_printed_is_read_back_as_the_same(self):
        flags = ["--port", "8123", "--required-scopes", "read", "execute", "--public-url", "https://mcp.example.com",
                 "--auth-server", "https://idp.example", "--audience", "one", "two", "--threads", "3"]
        printed = self.works("config", "print", *flags)
        path = self.file(printed)
        self.assertEqual(self.works("config", "print", "--config", path), printed)
        self.assertIn("token mode, https://mcp.example.com/mcp", self.works("config", "check", "--config", path))
        self.assertIn("API-key mode, http://localhost:8000/mcp", self.works("config", "check"))

    def test_the_reference_page_is_that_of_the_documentation(self):
        self.assertEqual(self.works("config", "docs"), (ROOT / "docs" / "configuration.md").read_text())

    def test_flags_win_over_the_environment_over_the_file_over_the_default(self):
        path = self.file("server: {port: 8001, threads: 3, hosts: [a.example]}\nworkers: 5\nname: file\n")
        env = {"KUBIYA_SERVER_PORT": "8002", "KUBIYA_WORKERS": "7", "KUBIYA_SERVER_HOSTS": "b.example c.example",
               "KUBIYA_NAME": "", "KUBIYA_BASE_URL": "not ours"}
        printed = self.works("config", "print", "--config", path, "--port", "8003", env=env)
        for line in ("  port: 8003", "workers: 7", "  threads: 3", "name: file", 'drain_grace: "10s"'):
            self.assertIn("\n" + line + "\n", "\n" + printed)
        self.assertIn("b.example", printed)
        self.assertNotIn("a.example", printed, "a list is replaced as a whole")
        # The variables of people who never read the reference.
        seed = {"KUBIYA_AUTH_SERVER": "https://idp.example", "KUBIYA_AUTH_TYPE": "oauth", "KUBIYA_AUDIENCE": "me",
                "KUBIYA_REQUIRED_SCOPES": "read,write"}
        printed = self.works("config", "print", env=seed)
        for word in ("https://idp.example", "type: oauth", "- me\n", "- write\n"):
            self.assertIn(word, printed)

    def test_check_loads_certificate_and_key(self):
        cert, key = pem_pair(self.place, "good")
        other_cert, other_key = pem_pair(self.place, "other")
        _, locked = pem_pair(self.place, "locked", b"passphrase")
        garbage = self.file("-----BEGIN CERTIFICATE-----\nnot base64\n", "garbage.pem")
        empty = self.file("", "empty.pem")
        self.works("config", "check", "--tls-cert", cert, "--tls-key", key)
        for name, pair, says in (("garbage", (garbage, key), garbage), ("empty", (empty, key), empty),
                                 ("garbage key", (cert, garbage), garbage), ("another's key", (cert, other_key), other_key),
                                 ("the two exchanged", (key, cert), key), ("a locked key", (cert, locked), locked)):
            with self.subTest(name):
                pair[1].chmod(0o600)
                for command in (["config", "check"], ["serve", "--data-dir", self.data]):
                    line = self.refused(2, str(says), *command, "--tls-cert", pair[0], "--tls-key", pair[1])
                    self.assertIn("server.tls_cert, server.tls_key", line)
        for flags, key_name in ((("--tls-cert", self.place / "absent", "--tls-key", key), "server.tls_cert"),
                                (("--tls-cert", cert, "--tls-key", self.place / "absent"), "server.tls_key")):
            self.assertIn(key_name + ": ", self.refused(2, "absent: No such file", "config", "check", *flags))

    def test_files_of_secrets_are_named_with_their_key(self):
        absent = "${file:/nowhere/key}"
        self.refused(2, "config.yaml line 2: identity.shared_key: /nowhere/key", "config", "check", "--config",
                     self.file(f"identity:\n  shared_key: {absent}\n"))
        self.refused(2, "KUBIYA_API_KEY: identity.shared_key: /nowhere/key", "config", "check",
                     env={"KUBIYA_API_KEY": absent})
        held = self.file(wellformed_key(), "held", 0o644)
        self.refused(2, f"identity.shared_key: {held}: it holds a secret and others can read it", "config", "check",
                     env={"KUBIYA_API_KEY": f"${{file:{held}}}"})

    def test_no_secret_is_shown(self):
        proxy = f"http://ada:{CANARY}@proxy.example:3128"
        printed = self.works("config", "print", env={"KUBIYA_API_KEY": wellformed_key(), "KUBIYA_OUTBOUND_PROXY": proxy})
        self.assertNotIn(CANARY, printed)
        self.assertEqual(printed.count("********"), 2)
        self.assertIn("http://proxy.example:3128",
                      self.works("config", "print", env={"KUBIYA_OUTBOUND_PROXY": "http://proxy.example:3128"}))
        self.refused(2, "chmod 600", "config", "check", "--config", self.file(f"outbound: {{proxy: '{proxy}'}}\n", mode=0o644))

    def test_a_file_that_everybody_can_write_is_refused(self):
        self.refused(2, "everybody can write it", "config", "check", "--config", self.file("workers: 2\n", mode=0o666))

    def test_who_listens_for_others_without_a_public_url_is_told(self):
        wide = ["config", "check", "--host", "0.0.0.0", "--insecure-http"]
        self.assertIn("set public_url", self.works(*wide))
        self.assertNotIn("set public_url", self.works(*wide, "--public-url", "http://mcp.example.com:8000"))

    def test_a_shared_key_that_is_none_is_refused_where_it_would_be_used(self):
        for value in ("kb-1234567890abcdef", f"kb-{CANARY}-0123456789", "x" * 64, wellformed_key()[:-1] + "!"):
            with self.subTest(value[:6]):
                self.refused(2, "identity.shared_key: ", "serve", "--data-dir", self.data, env={"KUBIYA_API_KEY": value})
        self.refused(2, "checksum", "config", "check", env={"KUBIYA_API_KEY": wellformed_key()[:-6] + "000000"})
        # With an issuer callers bring their own; people have the variable set for other programs.
        done = cli("config", "check", "--auth-server", "https://idp.example", env={"KUBIYA_API_KEY": "kb-1234567890abcdef"})
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("is ignored", done.stderr)


class Keys(Case):
    def make(self, *more):
        done = cli("key", "create", "--user", "ada", "--scopes", "read", "--data-dir", self.data, *more)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stdout, r"^kb-[0-9A-Za-z]{61}\n$")
        self.assertNotIn(done.stdout.strip(), done.stderr)
        return done.stdout.strip()

    def test_are_made_listed_and_revoked(self):
        key, other = self.make("--name", "CI", "--expires", "never"), self.make("--expires", "1h", "--tenant", "acme")
        for directory, _, names in os.walk(self.data):
            for name in names:
                self.assertNotIn(key[15:58].encode(), pathlib.Path(directory, name).read_bytes(), name)
        listed = self.works("key", "list", "--data-dir", self.data)
        row = [l for l in listed.splitlines() if key[3:15] in l][0]
        for word in ("active", "ada", "never", "CI", "…" + key[-4:]):
            self.assertIn(word, row)
        self.assertNotIn(other[3:15], listed, "another tenant's")
        self.assertIn(other[3:15], self.works("key", "list", "--tenant", "acme", "--data-dir", self.data))
        self.assertNotIn("ada", self.works("key", "list", "--user", "bob", "--data-dir", self.data))
        self.assertIn("is revoked", self.works("key", "revoke", key[3:15], "--data-dir", self.data))
        self.assertIn("was revoked already", self.works("key", "revoke", key[3:15], "--data-dir", self.data))
        self.assertIn("revoked", [l for l in self.works("key", "list", "--data-dir", self.data).splitlines() if key[3:15] in l][0])
        events = [json.loads(l)["event"] for l in self.works("audit", "list", "--json", "--data-dir", self.data).splitlines()]
        self.assertEqual([e for e in events if e.startswith("key_")], ["key_created", "key_created", "key_revoked"])
        self.works("audit", "verify", "--data-dir", self.data)

    def test_what_cannot_be_is_refused(self):
        self.refused(1, "there is no installation", "key", "list", "--data-dir", self.data)
        self.assertFalse(self.data.exists(), "looking makes nothing")
        create = ["key", "create", "--data-dir", self.data, "--scopes", "read", "--user"]
        for says, more in (("--user: allowed", [""]), ("--user: allowed", ["x" * 129]), ("--name: allowed", ["x", "--name", "a\nb"]),
                           ("--expires: allowed", ["x", "--expires", "soon"]), ("--expires: allowed", ["x", "--expires", "1s"]),
                           ("--tenant: allowed", ["x", "--tenant", ""])):
            with self.subTest(says + str(more)):
                self.refused(2, says, *create, *more)
        self.make()
        self.assertIn("kubiya-mcp: ", self.refused(1, "", "key", "revoke", "nobodys12345", "--data-dir", self.data))


class Workflows(Case):
    def test_are_imported_listed_and_shown(self):
        flows = self.place / "flows"
        flows.mkdir()
        (flows / "hello.yaml").write_text(HELLO)
        (flows / "notes.txt").write_text("not a workflow")
        self.assertIn("1 workflows imported", self.works("workflow", "import", flows, "--data-dir", self.data))
        self.assertIn("0 workflows imported", self.works("workflow", "import", flows, "--data-dir", self.data))
        listed = self.works("workflow", "list", "--data-dir", self.data)
        self.assertRegex(listed, r"(?m)^hello +1 .*Says hello\.$")
        self.assertEqual(self.works("workflow", "show", "hello", "--data-dir", self.data), HELLO)
        self.assertNotIn("hello", self.works("workflow", "list", "--tenant", "acme", "--data-dir", self.data))
        self.refused(1, "", "workflow", "show", "absent", "--data-dir", self.data)
        self.refused(2, "cannot read the workflows directory", "workflow", "import", self.place / "absent", "--data-dir", self.data)
        (flows / "bad.yaml").write_text("name: bad\nsteps: nothing\n")
        self.refused(2, "bad.yaml: ", "workflow", "import", flows, "--data-dir", self.data)

    def test_beside_a_server_they_are_only_looked_at(self):
        flows = self.place / "flows"
        flows.mkdir()
        (flows / "hello.yaml").write_text(HELLO)
        issuer = Issuer()
        self.addCleanup(issuer.close)
        server = Server(issuer, data=str(self.data), workflows=flows)
        self.addCleanup(server.close)
        done = server.ok(issuer.token(server.audience), "execute_workflow", name="hello", wait=60)
        self.assertEqual(done["status"], "finished")
        self.refused(1, "a server uses", "workflow", "import", flows, "--data-dir", self.data)
        self.assertIn("hello", self.works("workflow", "list", "--data-dir", self.data))
        self.assertIn(done["execution_id"], self.works("run", "list", "--data-dir", self.data))
        self.assertIn(done["execution_id"], self.works("run", "list", "--status", "finished", "--workflow", "hello",
                                                       "--limit", "1", "--data-dir", self.data))
        self.assertNotIn(done["execution_id"], self.works("run", "list", "--status", "failed", "--data-dir", self.data))
        self.assertIn("hello\n", self.works("run", "show", done["execution_id"], "--data-dir", self.data))
        self.refused(1, "", "run", "show", "absent", "--data-dir", self.data)


class OauthIssuer(Issuer):
    """Has the document of RFC 8414 and not that of OpenID Connect."""

    def document(self, path):
        if path == "/.well-known/oauth-authorization-server":
            return super().document("/.well-known/openid-configuration")
        return super().document(path) if path == "/jwks" else None


class Freely(Server):
    """Says nothing on its command line but what it is told to."""

    host = "127.0.0.1"

    def start(self, ready=True):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([BINARY, "serve", *self.flags], stdout=subprocess.DEVNULL, stderr=log, cwd=ROOT,
                                            env={"PATH": os.environ["PATH"], **self.env}, **self.popen)
        if ready:
            self.wait_ready()

    def connection(self, at=None):
        return http.client.HTTPConnection(at or self.host, self.port, timeout=60)


class Serving(Case):
    def serve(self, *flags, kind=Freely, port=None, host=None, **more):
        port = port or free_port()
        opened = kind(None, "--port", port, "--data-dir", self.data, *flags, data=str(self.data), port=port, ready=False, **more)
        self.addCleanup(opened.kill)
        if host:
            opened.host = host
        return opened

    def said(self, server):
        return server.log.read_text()

    def test_an_oauth_server_is_found_by_its_own_document(self):
        issuer = OauthIssuer()
        self.addCleanup(issuer.close)
        # First, because what an issuer has said once is remembered.
        wrong = self.serve("--auth-server", issuer.url, "--auth-type", "oidc")
        until(lambda: '"serving"' in self.said(wrong))
        problem = until(lambda: json.loads(wrong.get("/readyz")[2])["issuers"][0]["problem"])
        self.assertIn("404", problem)
        self.assertEqual(wrong.get("/readyz")[0], 503)
        wrong.stop()
        port = free_port()
        server = self.serve("--auth-server", issuer.url, "--auth-type", "oauth", port=port)
        server.wait_ready()
        token = issuer.token(f"http://localhost:{port}/mcp")
        self.assertEqual(server.ok(token, "whoami")["subject"], "ada")
        status, _, body = server.get("/.well-known/oauth-authorization-server")
        self.assertEqual((status, json.loads(body)["issuer"]), (200, issuer.url))

    def test_an_ipv6_listener(self):
        with socket.socket(socket.AF_INET6) as probe:
            try:
                probe.bind(("::1", 0))
            except OSError as error:
                self.skipTest(f"no IPv6 loopback here: {error}")
        for host in ("::1", "[::1]"):
            with self.subTest(host):
                server = self.serve("--host", host, host="::1")
                server.wait_ready()
                status, _, body = server.get("/healthz", {"Host": f"[::1]:{server.port}"})
                self.assertEqual((status, json.loads(body)["status"]), (200, "ok"))
                with self.assertRaises(OSError):
                    socket.create_connection(("127.0.0.1", server.port), timeout=5)
                self.assertEqual(server.stop(), 0)

    def test_threads_are_as_many_as_asked_for(self):
        counts = {}
        for threads in (1, 4):
            server = self.serve("--threads", threads)
            server.wait_ready()
            counts[threads] = len(os.listdir(f"/proc/{server.process.pid}/task"))
            self.assertEqual(server.stop(), 0)
        self.assertEqual(counts[4] - counts[1], 3)

    def test_a_port_in_use(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            self.refused(2, f"port {port} is in use", "serve", "--port", port, "--data-dir", self.data)

    def test_a_data_directory_that_cannot_be_used(self):
        blocker = self.file("x", "file")
        self.refused(2, "cannot create the data directory", "serve", "--data-dir", blocker / "data")
        self.refused(2, "cannot create the data directory", "serve", "--data-dir", "/proc/absent/data")
        if os.geteuid() != 0:
            self.skipTest("needs root to become somebody else")
        self.place.chmod(0o755)
        nobody = {"user": 65534, "group": 65534, "extra_groups": []}
        self.refused(2, "Permission denied", "serve", "--data-dir", self.place / "theirs", **nobody)
        empty = self.place / "empty"
        empty.mkdir(mode=0o755)
        self.refused(2, f"cannot make {empty} private", "serve", "--data-dir", empty, **nobody)

    def test_a_directory_of_somebody_else_is_left_as_it_is(self):
        def mode(path):
            return stat.S_IMODE(path.stat().st_mode)

        home = self.place / "home"
        home.mkdir()
        home.chmod(0o755)
        (home / "letters").write_text("private")
        self.refused(1, "holds files that are not ours", "key", "create", "--user", "a", "--scopes", "read", "--data-dir", home)
        self.assertEqual((mode(home), sorted(os.listdir(home))), (0o755, ["letters"]))
        for name, files in (("fresh", []), ("restored", ["kubiya.db"])):
            with self.subTest(name):
                place = self.place / name
                place.mkdir()
                for file in files:
                    (place / file).touch()
                place.chmod(0o755)
                done = cli("key", "create", "--user", "a", "--scopes", "read", "--data-dir", place)
                self.assertEqual((done.returncode, mode(place)), (0, 0o700), done.stderr)

    def test_two_servers_on_one_data_directory(self):
        first = self.serve()
        first.wait_ready()
        self.refused(2, "another kubiya-mcp server uses", "serve", "--port", free_port(), "--data-dir", self.data)
        self.assertEqual(first.get("/healthz")[0], 200)
        self.assertEqual(first.stop(), 0)
        self.serve().wait_ready()

    def test_a_start_says_what_is_still_missing(self):
        def warnings(server):
            lines = [json.loads(line) for line in self.said(server).splitlines()]
            return [line["message"] for line in lines if line["level"] == "warn"]

        server = self.serve("--host", "0.0.0.0", "--insecure-http", env={"KUBIYA_API_KEY": wellformed_key()})

        def ready():
            self.assertIsNone(server.process.poll(), self.said(server))
            return "serving" in self.said(server) and server.get("/readyz", {"Host": "localhost"})[0] == 200

        until(ready)
        warned = warnings(server)
        for says in ("kubiya-mcp key create --user NAME", "unknown_api_key", "set public_url"):
            self.assertEqual(len([w for w in warned if says in w]), 1, warned)
        self.assertNotIn(CANARY, self.said(server))
        status, _, body = server.get("/healthz", {"Host": "mcp.example.com"})
        self.assertEqual(status, 403)
        self.assertIn("server.hosts", json.loads(body)["message"])
        self.assertEqual(server.stop(), 0)
        made = cli("key", "create", "--user", "ada", "--scopes", "read", "--data-dir", self.data)
        server.log.unlink()
        server = self.serve(env={"KUBIYA_API_KEY": made.stdout.strip()})
        server.wait_ready()
        self.assertEqual(warnings(server), [])
        self.assertEqual(server.ok(None, "whoami")["subject"], "ada")

    def test_a_hangup_reads_the_tls_files_again(self):
        cert, key = pem_pair(self.place, "tls")
        server = self.serve("--tls-cert", cert, "--tls-key", key)
        until(lambda: '"serving"' in self.said(server))
        server.process.send_signal(signal.SIGHUP)
        until(lambda: "TLS files reloaded" in self.said(server))
        cert.write_text("garbage")
        server.process.send_signal(signal.SIGHUP)
        until(lambda: "the old ones stay" in self.said(server))
        self.assertEqual(server.stop(), 0)


if __name__ == "__main__":
    unittest.main()
