# SPDX-License-Identifier: Apache-2.0
"""The catalogue's table G, who may do what and who sees whose, against the running server, with the rows of table E about other
people's API keys: what belongs to somebody else is answered byte for byte like what never was, connections carry nobody's
identity, equal ids of two callers never meet, and nobody gives themselves more than they have."""
import concurrent.futures
import json
import pathlib
import random
import shutil
import socket
import tempfile
import time
import unittest

from harness import MODERN, Issuer, Server, until
from test_protocol import META, TASKS, Session, Stream, head_of

TENANTS = ["acme", "other", "a:b", "a", "a,1:c", "a/b"]
ABLE = {"elicitation": {}, "extensions": {TASKS: {}}}
STEP = [{"name": "s", "command": "true"}]
SAY = {"name": "say", "steps": [{"name": "s", "script": 'echo "$KUBIYA_SUBJECT"', "output": "SAID"}]}
# Nobody here holds the scope that its approval needs, so that only who asked may know of it.
SHIP = {"name": "ship", "steps": [{"name": "s", "command": "echo before"}, {
    "name": "ask", "depends": "s", "type": "approval", "approval": {"message": "Go?", "scopes": ["ships"]}}]}
WHOAMI, PING = ("tools/call", {"name": "whoami", "arguments": {}}), '{"jsonrpc":"2.0","id":1,"method":"ping"}'


def setUpModule():
    global place, one, two, server
    place = pathlib.Path(tempfile.mkdtemp(prefix="kubiya-isolation-"))
    one, two = Issuer(), Issuer()
    server = serve(one, two)
    for close in (lambda: shutil.rmtree(place), one.close, two.close, server.close):
        unittest.addModuleCleanup(close)
    for flow in (SAY, SHIP, {"name": "greet", "params": {"who": {"required": True}}, "steps": STEP}):
        server.ok(of("ada"), "create_workflow", definition=flow)


def serve(*issuers, **more):
    config = pathlib.Path(tempfile.mktemp(dir=place))
    listed = [{"url": issuer.url, "tenant_claim": "org", "tenants": TENANTS} for issuer in issuers]
    config.write_text(json.dumps({"issuers": listed, **more}))
    return Server(None, "--config", config)


def of(subject, org="acme", at=None, issuer=None, **claims):
    return (issuer or one).token((at or server).audience, subject, org=org, **claims)


def message(method, params, ident=1):
    meta = {META + "protocolVersion": MODERN, META + "clientCapabilities": ABLE, **params.get("_meta", {})}
    return json.dumps({"jsonrpc": "2.0", "id": ident, "method": method, "params": {**params, "_meta": meta}})


def head(who, method, params, **more):
    name = params.get("name") or params.get("taskId") or params.get("uri") or (method.startswith("completion") and "-")
    return head_of(who, **{"MCP-Protocol-Version": MODERN, "Mcp-Method": method, **({"Mcp-Name": name} if name else {}), **more})


def whole(answer):
    """All of an answer but what differs from one request to the next anyway."""
    status, headers, body = answer
    return status, sorted((k, v) for k, v in headers.items() if k not in ("date", "x-request-id")), body


def ask(who, method, at=None, **params):
    return whole((at or server).request("POST", "/mcp", message(method, params), head(who, method, params)))


def tool(who, name, at=None, /, **arguments):
    return ask(who, "tools/call", at, name=name, arguments=arguments)


def listen(who, **wishes):
    params = {"notifications": wishes}
    return Stream(server.port, "POST", head(who, "subscriptions/listen", params), message("subscriptions/listen", params))


class Wire:
    """One connection; requests are sent without waiting for the answers to those before."""

    def __init__(self, test):
        self.socket = socket.create_connection(("127.0.0.1", server.port), timeout=30)
        self.file = self.socket.makefile("rb")
        for end in (self.socket, self.file):
            test.addCleanup(end.close)

    def send(self, requests):
        self.socket.sendall(b"".join(requests))

    def answer(self):
        status, size = int(self.file.readline().split(b" ")[1]), 0
        while (line := self.file.readline()) != b"\r\n":
            if line.lower().startswith(b"content-length:"):
                size = int(line[15:])
        return status, self.file.read(size)


def packed(lines, body):
    lines = {"Host": "localhost", "Content-Length": len(body), **lines}
    return ("POST /mcp HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in lines.items()) + "\r\n" + body).encode()


def pack(who, method, params, ident):
    return packed(head(who, method, params, Accept="application/json"), message(method, params, ident))


class Case(unittest.TestCase):
    def same(self, row, question, real, absent, owner=None):
        """Strangers are told the same of both, but for the id that they asked for where it is shown. The owner is told
        something else of each, or the question would prove nothing."""
        told = lambda who, ident: [*(answer := question(who, ident))[:2], answer[2].replace(real.encode(), absent.encode())]
        for name, who in self.strangers.items():
            with self.subTest(row, who=name):
                self.assertEqual(told(who, real), told(who, absent))
        if owner:
            self.assertNotEqual(told(owner, real)[2], told(owner, absent)[2], row)


class Absent(Case):
    """G5, G6: to everybody else a thing of Ada's is a thing that never was."""

    @classmethod
    def setUpClass(cls):
        cls.ada = of("ada")
        cls.strangers = {"another user": of("bob"), "one there": of("eve", "other"), "her namesake there": of("ada", "other"),
                         "an admin there": of("root", "other", scope="admin"), "of another issuer": of("ada", issuer=two)}
        assert all(server.call(who, "whoami")[0] == 200 for who in cls.strangers.values())

    def test_another_persons_run_task_approval_and_session_are_answered_like_what_never_was(self):
        """G5, G6"""
        run = server.ok(self.ada, "execute_workflow", name="ship", wait=0)["execution_id"]
        asked = until(lambda: server.ok(self.ada, "list_approvals", execution_id=run)["approvals"])[0]
        sessions = {who: Session(who, of=server) for who in [self.ada, *self.strangers.values()]}

        def honoured(who, ident):
            stream = listen(who, resourceSubscriptions=[f"run://{ident}", f"run://{ident}/log"], taskIds=[ident])
            self.addCleanup(stream.drop)
            return stream.status, None, json.dumps(stream.next()).encode()

        rows = {"G5 page": lambda who, i: tool(who, "list_executions", before=i),
                "G5 log of a step": lambda who, i: tool(who, "get_execution_logs", execution_id=i, step="s", after="0"),
                "G5 resource": lambda who, i: ask(who, "resources/read", uri=f"run://{i}"),
                "G5 resource of its log": lambda who, i: ask(who, "resources/read", uri=f"run://{i}/log"),
                "G5 completion": lambda who, i: ask(who, "completion/complete", argument={"name": "id", "value": i},
                                                    ref={"type": "ref/resource", "uri": "run://{id}"}),
                "G5 approval": lambda who, i: tool(who, "decide_approval", approval_id=i, decision="reject",
                                                   digest=asked["digest"]),
                "G5 page of approvals": lambda who, i: tool(who, "list_approvals", before=i), "G6 subscription": honoured}
        for name in ("get_execution", "get_execution_logs", "cancel_execution"):
            rows["G5 " + name] = lambda who, i, name=name: tool(who, name, execution_id=i)
        for method, more in (("tasks/get", {}), ("tasks/cancel", {}), ("tasks/update", {"inputResponses": {}})):
            rows["G6 " + method] = lambda who, i, method=method, more=more: ask(who, method, taskId=i, **more)
        for method in ("resources/subscribe", "resources/read"):
            rows["G6 legacy " + method] = lambda who, i, method=method: whole(sessions[who].send(
                {"jsonrpc": "2.0", "id": 1, "method": method, "params": {"uri": f"run://{i}"}}))
        for method, body in (("POST", PING), ("DELETE", None)):
            rows["G6 session " + method] = lambda who, i, method=method, body=body: whole(server.request(
                method, "/mcp", body, {**sessions[who].head(), "Mcp-Session-Id": i}))
        for owner in (None, self.ada):  # she comes last, because her cancels count
            for row, question in rows.items():
                real = sessions[self.ada].id if "session" in row else asked["approval_id"] if "approval" in row else run
                self.same(row, question, real, real[:-8] + "f00dfeed", owner)
            if not owner:
                self.assertEqual(server.ok(self.ada, "get_execution", execution_id=run)["status"], "running")

    def test_a_workflow_of_another_tenant_is_answered_like_none(self):
        """G5, G12"""
        server.ok(self.ada, "create_workflow", definition={"name": "zebra", "publish": True, "steps": STEP})
        self.strangers = {n: who for n, who in self.strangers.items() if "there" in n}
        rows = {name: lambda who, i, name=name: tool(who, name, name=i)
                for name in ("get_workflow", "execute_workflow", "delete_workflow")}
        rows |= {"update_workflow": lambda who, i: tool(who, "update_workflow", name=i, definition={"name": i, "steps": STEP}),
                 "list_executions": lambda who, i: tool(who, "list_executions", workflow=i),
                 "published": lambda who, i: tool(who, i),
                 "resource": lambda who, i: ask(who, "resources/read", uri="workflow://" + i)}
        for row, question in rows.items():
            reads = row in ("get_workflow", "published", "resource")
            self.same("G5 " + row, question, "zebra", "zebru", self.ada if reads else None)
        for method in ("tools/list", "resources/list", "resources/templates/list", "prompts/list", "server/discover"):
            self.assertIn(b'"cacheScope":"private"', ask(self.ada, method)[2], "G12 " + method)
        for who in self.strangers.values():
            self.assertNotIn(b"zebra", ask(who, "tools/list")[2] + ask(who, "resources/list")[2])
        self.assertEqual(server.ok(self.ada, "get_workflow", name="zebra")["version"], 1)

    def test_another_persons_cursor_and_request_state_are_answered_like_forged_ones(self):
        """G6"""
        for n in range(105):
            server.ok(self.ada, "create_workflow", definition={"name": f"w{n}", "steps": STEP})
        forged = lambda text: "".join(random.Random(1).choices("ABCDEFGHabcdefgh01234567", k=len(text)))
        cursor = json.loads(ask(self.ada, "resources/list")[2])["result"]["nextCursor"]
        self.same("G6 cursor", lambda who, i: ask(who, "resources/list", cursor=i), cursor, forged(cursor), self.ada)
        state = json.loads(tool(self.ada, "execute_workflow", name="greet")[2])["result"]["requestState"]
        call = {"name": "execute_workflow", "arguments": {"name": "greet"},
                "inputResponses": {"params": {"action": "accept", "content": {"who": "x"}}}}
        self.strangers = {n: who for n, who in self.strangers.items() if "there" not in n}  # others have no such workflow
        self.same("G6 state", lambda who, i: ask(who, "tools/call", requestState=i, **call), state, forged(state), self.ada)

    def test_ids_beside_one_that_exists_lead_to_nothing(self):
        """G7"""
        run = server.ok(self.ada, "execute_workflow", name="say")["execution_id"]
        near = [run[:i] + d + run[i + 1:] for i in range(len(run)) for d in "0123456789abcdef" if run[i] not in (d, "-")]
        guesses = [*near, *(f"{run[:23]}-{random.getrandbits(48):012x}" for _ in range(1500)), run]
        wire, found = Wire(self), []
        for some in (guesses[at:at + 32] for at in range(0, len(guesses), 32)):
            wire.send(pack(self.ada, "resources/read", {"uri": "run://" + i}, 1) for i in some)
            found += [i for i in some if b'"error"' not in wire.answer()[1]]
        self.assertEqual(found, [run])


class Shared(unittest.TestCase):
    """What a proxy does, which sends requests of many people over the same few connections."""

    def test_interleaved_requests_with_equal_ids_get_their_own_callers_answers(self):
        """G9: a hundred thousand over eight connections, each answer with its own caller's canary in it and no other's."""
        people = [(f"canary-{random.getrandbits(60):015x}", org) for org in ("acme", "acme", "acme", "other")]
        server.ok(of("eve", "other"), "create_workflow", definition=SAY)
        asked = []
        for who in (of(*person) for person in people):
            run = server.ok(who, "execute_workflow", name="say")["execution_id"]
            kinds = [WHOAMI] * 3 + [("tools/call", {"name": "list_executions"}), ("resources/read", {"uri": f"run://{run}/log"})]
            asked.append([[pack(who, *kind, ident) for ident in range(32)] for kind in kinds])

        def connection(seed):
            wire, order, wrong = Wire(self), random.Random(seed), []
            for _ in range(400):
                whose = order.choices(range(len(people)), k=32)
                wire.send(order.choice(asked[i])[ident] for ident, i in enumerate(whose))
                for ident, i in enumerate(whose):
                    status, body = wire.answer()
                    seen = [p for p, (subject, _) in enumerate(people) if subject.encode() in body]
                    if (status, seen, json.loads(body)["id"]) != (200, [i], ident):
                        wrong.append((status, seen, i, ident, body[:300]))
            return wrong

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            self.assertEqual([w for wrong in pool.map(connection, range(8)) for w in wrong][:3], [])

    def test_streams_with_equal_ids_and_progress_tokens_are_their_own_callers(self):
        """G9"""
        params = {"name": "execute_workflow", "arguments": {"name": "say", "wait": 30},
                  "_meta": {"progressToken": "p", META + "clientCapabilities": {}}}

        def said(subject):
            stream = Stream(server.port, "POST", head(of(subject), "tools/call", params), message("tools/call", params))
            *notes, answer = stream.rest()
            return answer["result"]["structuredContent"]["outputs"]["SAID"], answer["id"], {n["method"] for n in notes}

        subjects = [f"caller-{i % 6}" for i in range(36)]
        with concurrent.futures.ThreadPoolExecutor(12) as pool:
            self.assertEqual(list(pool.map(said, subjects)), [(subject, 1, {"notifications/progress"}) for subject in subjects])

    def test_each_request_of_a_connection_is_its_own_callers(self):
        """G10"""
        ada, bob, expired = of("ada"), of("bob"), of("ada", iat=int(time.time()) - 9000, exp=int(time.time()) - 8000)
        make = ("tools/call", {"name": "create_workflow", "arguments": {"definition": {"name": "pipelined", "steps": STEP}}})
        session = Session(ada, of=server)
        rows = [(pack(who, *call, ident), status, text) for ident, (who, call, status, text) in enumerate((
            (ada, WHOAMI, 200, '"subject":"ada"'), (bob, WHOAMI, 200, '"subject":"bob"'), (None, WHOAMI, 401, "No API token"),
            (ada, WHOAMI, 200, '"subject":"ada"'), (expired, WHOAMI, 401, "expired"), (bob, WHOAMI, 200, '"subject":"bob"'),
            (ada[:-6] + "AAAAAA", WHOAMI, 401, "Invalid token"), (of("eve", scope="read"), make, 403, "Insufficient"),
            (None, make, 401, "No API token"), (of("ada", "other"), WHOAMI, 200, '"tenant":"other"')))]
        rows += [(packed(session.head(who), PING), status, "") for who, status in ((ada, 200), (bob, 404), (ada, 200))]
        rows.append((packed({**session.head(), "Authorization": "Bearer x"}, PING), 401, "Invalid token"))
        wire = Wire(self)
        for turn in range(20):
            wire.send(request for request, _, _ in rows)
            for row, (_, status, text) in enumerate(rows):
                got, body = wire.answer()
                self.assertEqual((got, text in body.decode()), (status, True), f"G10 row {row} of turn {turn}: {body}")
        self.assertNotIn(b"pipelined", tool(ada, "list_workflows", limit=500)[2])

    def test_tenants_and_subjects_with_separators_are_never_run_together(self):
        """G11: as runs, idempotency keys and sessions have them."""
        people = [("a:b", "c"), ("a", "b:c"), ("a", "c"), ("a/b", "c"), ("a", "b/c"), ("a,1:c", "c"), ("a", "1:c,c")]
        for org in {org for org, _ in people}:
            server.ok(of("maker", org), "create_workflow", definition=SAY)
        tokens = [of(subject, org) for org, subject in people]
        made = [server.ok(who, "execute_workflow", name="say", idempotency_key="one") for who in tokens]
        self.assertEqual([(run["existing"], run["outputs"]["SAID"]) for run in made], [(False, subject) for _, subject in people])
        seen = [[r["execution_id"] for r in server.ok(who, "list_executions")["executions"]] for who in tokens]
        self.assertEqual(seen, [[run["execution_id"]] for run in made])
        for mine in tokens:
            session = Session(mine, of=server)
            self.assertEqual([who for who in tokens if session.rpc("ping", who=who)[0] != 404], [mine])

    def test_a_stream_ends_with_the_token_that_opened_it(self):
        """G13"""
        soon = of("ada", exp=int(time.time()) - 26)  # good for four seconds more, by the leeway
        ends, stays = (listen(who, toolsListChanged=True) for who in (soon, of("ada")))
        general = Session(soon, of=server).listen()
        self.assertEqual([s.next()["method"] for s in (ends, stays)], ["notifications/subscriptions/acknowledged"] * 2)
        self.assertEqual(ends.rest()[-1]["result"]["resultType"], "complete", "told that this is the end")
        self.assertEqual(general.rest(), [])
        server.ok(of("ada"), "create_workflow", definition={"name": "later", "publish": True, "steps": STEP})
        self.assertEqual(stays.next()["method"], "notifications/tools/list_changed", "the same person's other stream goes on")
        stays.drop()


class Few(unittest.TestCase):
    """Each tenant may have one run at a time, and two that wait."""

    def setUp(self):
        self.at = serve(one, engine={"active_runs_per_tenant": 1, "queued_runs_per_tenant": 2})
        self.addCleanup(self.at.close)
        self.ada, self.bob, self.eve = (of(*who, at=self.at) for who in (("ada",), ("bob",), ("eve", "other")))
        self.gate = pathlib.Path(tempfile.mktemp(dir=place))
        self.digest = self.define("create_workflow", "first")
        self.at.ok(self.eve, "create_workflow", definition=SAY)
        self.runs = [self.begin(self.ada) for _ in "ab"]
        until(lambda: self.at.ok(self.ada, "get_execution", execution_id=self.runs[0])["status"] == "running")

    def define(self, how, word):
        scripts = f"while [ ! -e {self.gate} ]; do sleep 0.02; done", f"touch {self.gate}-$KUBIYA_SUBJECT; echo {word}"
        return self.at.ok(self.ada, how, definition={"name": "say", "steps": [
            {"name": f"s{i}", "script": script, "output": f"SAID{i}"} for i, script in enumerate(scripts)]})["digest"]

    def begin(self, who):
        return self.at.ok(who, "execute_workflow", name="say", wait=0)["execution_id"]

    def ended(self, who, run):
        look = lambda: self.at.ok(who, "get_execution", execution_id=run)
        return until(lambda: (found := look())["status"] not in ("queued", "running") and found)

    def recorded(self, run):
        """What is on record, by kind, once the run's end is, with the digest of what was called and of what ran."""
        read = lambda: map(json.loads, self.at.cli("audit", "list", "--json", "--run", run).stdout.splitlines())
        return until(lambda: "run_finished" in (found := {r["kind"]: r for r in read() if "digest" in r}) and found)

    def test_no_further_step_of_somebody_who_was_cut_off_begins(self):
        """G14, E8: neither of the run that is under way nor of the one that waits."""
        self.at.cli("cut-off", "ada", "--issuer", one.url)
        for run in self.runs:
            done = self.ended(of("root", at=self.at, scope="admin"), run)
            self.assertEqual((done["status"], done["reason"]), ("canceled", "the person was cut off"))
            self.assertEqual(self.recorded(run)["run_finished"]["outcome"], "canceled")
        self.gate.touch()
        self.assertEqual(self.ended(self.bob, self.begin(self.bob))["status"], "finished", "others go on")
        self.assertEqual([p.name for p in place.glob(self.gate.name + "-*")], [self.gate.name + "-bob"])

    def test_a_run_is_of_the_definition_that_its_call_was_let_in_with(self):
        """G15: the first is between its steps when the definition changes, the second has not begun, the third comes later."""
        later = self.define("update_workflow", "second")
        self.runs.append(self.begin(self.ada))
        self.gate.touch()
        for run, word, digest in zip(self.runs, ("first", "first", "second"), (self.digest, self.digest, later)):
            done = self.ended(self.ada, run)
            self.assertEqual((done["outputs"]["SAID1"], done["digest"]), (word, digest))
            told = {kind: r["digest"] for kind, r in self.recorded(run).items()}
            self.assertEqual(told, {"outcome": digest, "run_finished": digest})

    def test_a_tenant_that_has_used_up_its_places_is_refused_alone(self):
        """G18"""
        self.runs.append(self.begin(self.ada))
        for who in (self.ada, self.bob):
            status, headers, body = self.at.call(who, "execute_workflow", name="say", wait=0)
            self.assertEqual((status, headers["retry-after"].isdigit()), (429, True))
            self.assertIn("your tenant's runs are waiting (engine.queued_runs_per_tenant is 2)", body["error"]["message"])
            self.assertEqual(self.ended(self.eve, self.begin(self.eve))["outputs"]["SAID"], "eve")
        self.gate.touch()
        self.assertEqual([self.ended(self.ada, run)["status"] for run in self.runs], ["finished"] * 3)


class Keys(Case):
    """Without an issuer, where API keys are who one is."""

    @classmethod
    def setUpClass(cls):
        cls.at = Server(None)
        cls.addClassCleanup(cls.at.close)

    def make(self, user, *scopes, tenant="default"):
        key = self.at.cli("key", "create", "--user", user, "--tenant", tenant, "--scopes", *scopes).stdout.strip()
        until(lambda: self.at.call(key, "whoami")[0] == 200)
        return key

    def test_another_persons_key_is_answered_like_one_that_never_was(self):
        """E14"""
        ada, spare, own = (self.make("ada", "read", "write") for _ in range(3))
        self.strangers = {"another user": self.make("bob", "read", "write"), "an admin of another tenant": self.make(
            "root", "admin", tenant="red"), "a namesake of another tenant": self.make("ada", "read", "write", tenant="red")}
        for name, key in (("rotate_api_key", ada), ("revoke_api_key", spare)):
            self.same("E14 " + name, lambda who, i: tool(who, name, self.at, key_id=i), key[3:15], "0" * 12, own)

    def test_nobody_grants_more_than_is_held(self):
        """G17, E13"""
        full, ada = self.make("ada", "read", "admin"), self.make("ada", "read", "write")
        keys = self.at.cli("key", "list").stdout
        for name, arguments in (("create_api_key", {"scopes": ["admin"]}), ("rotate_api_key", {"key_id": full[3:15]}),
                                ("create_api_key", {"subject": "root"}), ("list_api_keys", {"subject": "root"})):
            status, headers, _ = self.at.call(ada, name, **arguments)
            self.assertEqual((status, "admin" in headers["www-authenticate"]), (403, True), f"G17 {name} {arguments}")
        self.assertEqual((self.at.cli("key", "list").stdout, self.at.ok(ada, "whoami")["scopes"]), (keys, ["read", "write"]))
        self.assertEqual(server.call(of("ada"), "set_user_key", subject="root")[0], 403, "nor puts a key in another's place")


if __name__ == "__main__":
    unittest.main()
