# SPDX-License-Identifier: Apache-2.0
"""What must hold at every identity provider: who signs in is who the run, its evidence and its steps say."""
import hashlib
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import tempfile
import urllib.request

from browser import Application
from harness import BINARY, CANARY, Server, until

PASSWORD = "correct horse"
KEY_PREFIX = f"kb-{CANARY}"
ABSENT = "01a20793-0000-7000-8000-000000000000"
SHOW = """\
echo "subject $KUBIYA_SUBJECT"
echo "issuer $KUBIYA_ISSUER"
echo "key $(printf %s "${KUBIYA_API_KEY:-}" | sha256sum | cut -c1-64)"
"""


def key_of(user):
    return f"{KEY_PREFIX}-{user}"


def digest(text):
    return hashlib.sha256(text.encode()).hexdigest()


class Provider:
    """A provider's process. Its output is in `log`; what it answers on stdout is read line by line when `talks`."""

    def __init__(self, arguments, env=None, talks=False):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="kubiya-provider-"))
        self.log = self.directory / "log"
        command = shlex.split(os.environ["PROVIDER_COMMAND"]) + [str(a) for a in arguments]
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE if talks else log, stderr=log,
                                            text=True, env={**os.environ, "KEY_PREFIX": KEY_PREFIX, **(env or {})})

    def wait_for(self, url, seconds):
        def answers():
            assert self.process.poll() is None, self.log.read_text(errors="replace")[-3000:]
            try:
                return urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=5).status == 200
            except OSError:
                return False
        try:
            until(answers, seconds)
        except AssertionError:
            raise AssertionError("the provider did not start: " + self.log.read_text(errors="replace")[-3000:]) from None

    def line(self):
        line = self.process.stdout.readline()
        assert line, self.log.read_text(errors="replace")[-3000:]
        return line.strip()

    def tell(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return self.line()

    def close(self):
        self.process.stdin.close()
        self.process.terminate()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()
        shutil.rmtree(self.directory, ignore_errors=True)


class At:
    """An issuer as harness.Server wants it."""

    def __init__(self, url):
        self.url = url


class ServerFor(Server):
    """Takes tokens for an audience of the provider's choice, where it cannot be our address."""

    def __init__(self, audience, *arguments, **options):
        self.chosen = audience
        super().__init__(*arguments, **options)

    def start(self, ready=True):
        self.audience = self.chosen or self.audience
        super().start(ready)


def start_server(test, issuer, audience=None, port=None, ready=True, workflows=(), **env):
    """A server with one workflow that shows as whom it runs, and more. `test` closes it."""
    flows = pathlib.Path(tempfile.mkdtemp(prefix="kubiya-flows-"))
    test.addClassCleanup(shutil.rmtree, flows)
    for flow in ({"name": "show", "steps": [{"name": "show", "script": SHOW}]}, *workflows):
        (flows / f"{flow['name']}.json").write_text(json.dumps(flow))
    server = ServerFor(audience, At(issuer), workflows=flows, env=env, port=port, ready=ready)
    test.addClassCleanup(server.close)
    return server


def knows(key):
    """Whether this server has such a configuration key."""
    return key in subprocess.run([BINARY, "config", "docs"], capture_output=True, text=True).stdout


def keys_age(server):
    """Seconds since the server fetched its issuer's keys."""
    return json.loads(server.get("/readyz")[2])["issuers"][0]["keys_age_seconds"]


def records(server, *filters):
    """Of the audit journal, as its command reads them."""
    return [json.loads(line) for line in server.cli("audit", "list", "--json", *filters).stdout.splitlines()]


def examined(issuer, *flags, **env):
    """What `doctor` finds at a provider, by check, and its exit status."""
    done = subprocess.run([BINARY, "doctor", issuer, *flags, "--json"], capture_output=True, text=True, timeout=60,
                          env={"PATH": os.environ["PATH"], **env})
    assert done.stdout, done.stderr
    return json.loads(done.stdout), done.returncode


class SignsIn:
    """For every provider. Mixed into a TestCase that sets, in setUpClass, what is declared here."""

    server = None  # harness.Server
    issuer = ""
    client = ""  # public client of the provider, for which our server is the audience
    scope = ""  # what a person asks for who wants to run workflows
    doctor_flags = ()
    answers = None  # of the token endpoint, by person; {}

    def subject_of(self, user):
        """The `sub` that the provider was configured to give."""
        raise NotImplementedError

    def foreign_token(self):
        """A good token of ada's for somebody else's resource."""
        raise NotImplementedError

    @classmethod
    def login(cls, user):
        return user

    @classmethod
    def sign_in(cls, user="ada", scope=None, resource=None, client=None):
        app = Application(cls.server, client or cls.client)
        return app.sign_in(cls.login(user), PASSWORD, scope or cls.scope, resource)

    @classmethod
    def answer(cls, user):
        if user not in cls.answers:
            cls.answers[user] = cls.sign_in(user)
        return cls.answers[user]

    @classmethod
    def token(cls, user):
        return cls.answer(user)["access_token"]

    def assert_refused(self, token, reason, server=None):
        """401, and the log and the journal alone say why."""
        server = server or self.server
        status, headers, _ = server.call(token, "whoami")
        self.assertEqual(status, 401)
        self.assertIn('error="invalid_token"', headers["www-authenticate"])
        self.assertIn("resource_metadata=", headers["www-authenticate"])
        request = headers["x-request-id"]
        found = until(lambda: records(server, "--request", request))
        self.assertEqual([r["reason"] for r in found], [reason], found)
        logged = [json.loads(line) for line in server.log.read_text().splitlines() if request in line]
        self.assertEqual([line["reason"] for line in logged if "reason" in line], [reason], logged)

    def assert_lacks(self, token, scope, subject):
        """403; returns the challenge's scopes."""
        status, headers, _ = self.server.call(token, "execute_workflow", name="show")
        self.assertEqual(status, 403)
        challenge = headers["www-authenticate"]
        self.assertIn('error="insufficient_scope"', challenge)
        self.assertIn("resource_metadata=", challenge)
        needed = re.search(' scope="([^"]*)"', challenge).group(1)
        self.assertIn(scope, needed.split())
        refused = until(lambda: records(self.server, "--request", headers["x-request-id"]))
        self.assertEqual([(r["reason"], r["subject"], r["operation"]) for r in refused],
                         [("insufficient_scope", subject, "execute_workflow")])
        return needed

    def test_the_doctor_lets_people_in(self):
        """It blocks nobody for whom this server works, and its configuration is the one that works."""
        report, status = examined(self.issuer, "--public-url", f"http://localhost:{self.server.port}", *self.doctor_flags)
        worst = {finding["check"]: finding for finding in report["issuers"][0]["findings"] if finding["severity"] == "blocker"}
        self.assertEqual((status, worst), (0, {}), report)
        self.assertIn(self.issuer, report["configuration"])

    def test_each_person_is_known(self):
        for user in ("ada", "bob", "vera"):
            with self.subTest(user):
                who = self.server.ok(self.token(user), "whoami")
                self.assertEqual((who["subject"], who["issuer"]), (self.subject_of(user), self.issuer))

    def test_a_token_for_another_audience_is_refused(self):
        self.assert_refused(self.foreign_token(), "wrong_audience")

    def test_a_viewer_is_told_which_scope_is_missing(self):
        self.assert_lacks(self.token("vera"), "execute", self.subject_of("vera"))


class Runs(SignsIn):
    """For a provider that puts `kubiya_api_key` into its tokens."""

    def run_as(self, token, server=None):
        run = (server or self.server).ok(token, "execute_workflow", name="show")
        self.assertEqual(run["status"], "finished", run)
        return run["execution_id"]

    def assert_run_is_of(self, token, subject, key, server=None):
        """The run, what its step saw, and its evidence name this person and this key."""
        server = server or self.server
        run = self.run_as(token, server)
        stored = server.cli("run", "show", run).stdout
        self.assertIn(f"by {subject} of {self.issuer}", stored.splitlines())
        entries = server.ok(token, "get_execution_logs", execution_id=run)["entries"]
        self.assertEqual("".join(e["text"] for e in entries).splitlines(),
                         [f"subject {subject}", f"issuer {self.issuer}", f"key {digest(key)}"])
        evidence = records(server, "--run", run)
        self.assertLessEqual({"outcome", "run_finished"}, {r["kind"] for r in evidence})
        for record in evidence:
            self.assertEqual((record["subject"], record["issuer"]), (subject, self.issuer), record)
        self.assertEqual({r["key"] for r in evidence if "key" in r}, {digest(key)[:8]})

    def test_each_person_runs_as_themselves(self):
        for user in ("ada", "bob"):
            with self.subTest(user):
                self.assert_run_is_of(self.token(user), self.subject_of(user), key_of(user))

    def test_another_person_does_not_see_the_run(self):
        run = self.run_as(self.token("ada"))
        for tool in ("get_execution", "get_execution_logs", "cancel_execution"):
            with self.subTest(tool):
                theirs = self.server.call(self.token("bob"), tool, execution_id=run)[::2]
                self.assertEqual(theirs, self.server.call(self.token("bob"), tool, execution_id=ABSENT)[::2])
                self.assertIn("no such execution", json.dumps(theirs[1]))
        self.assertNotIn(run, json.dumps(self.server.ok(self.token("bob"), "list_executions")))
        self.assertIn(run, json.dumps(self.server.ok(self.token("ada"), "list_executions")))

    def test_a_person_steps_up(self):
        """With the scopes of the challenge, and only those, the call that was refused goes through."""
        first = self.sign_in("ada", "openid read")["access_token"]
        needed = self.assert_lacks(first, "execute", self.subject_of("ada"))
        self.run_as(self.sign_in("ada", needed)["access_token"])

    def test_no_key_lies_in_a_file(self):
        self.run_as(self.token("ada"))
        self.assertEqual(self.server.leaks(), [])
