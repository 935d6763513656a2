"""Sessions, streams, subscriptions, tasks, prompts and resources of both eras, on the real binary."""
import http.client
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import threading
import time
import unittest

from harness import BINARY, MODERN, ROOT, Issuer, Server, free_port, until

META = "io.modelcontextprotocol/"
TASKS = META + "tasks"
SUBSCRIPTION = META + "subscriptionId"
WAIT = 'while [ ! -e "$GATE" ]; do sleep 0.02; done'
FLOWS = {"gate": ({"GATE": "/nowhere"}, ["echo before", WAIT, "echo after"]), "quick": ({}, ["echo done"])}


def setUpModule():
    global issuer, server, place, ada, bob, stranger
    issuer = Issuer()
    place = pathlib.Path(tempfile.mkdtemp(prefix="kubiya-protocol-test-"))
    flows = place / "flows"
    flows.mkdir()
    for name, (params, scripts) in FLOWS.items():
        steps = [{"name": f"s{i}", "script": script} for i, script in enumerate(scripts, 1)]
        (flows / f"{name}.json").write_text(json.dumps({"name": name, "params": params, "steps": steps}))
    server = start()
    ada, bob, stranger = token(), token("bob"), token("eve", org="other")
    for close in (lambda: shutil.rmtree(place), issuer.close, server.close):
        unittest.addModuleCleanup(close)


def start():
    return Server(issuer, workflows=place / "flows", env={"KUBIYA_AUTH_TENANT_CLAIM": "org"})


def token(subject="ada", org="default", of=None, **claims):
    return issuer.token((of or server).audience, subject, org=org, **claims)


def gate():
    return tempfile.mktemp(dir=place)


def head_of(who, **more):
    head = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    if who:
        head["Authorization"] = "Bearer " + who
    return {**head, **more}


class Stream:
    """An event stream, read event by event. `events` are its JSON texts, `ids` the ids that came with them."""

    def __init__(self, port, method, headers, body=None):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        self.connection.request(method, "/mcp", body, headers)
        self.answer = self.connection.getresponse()
        self.status = self.answer.status
        self.last_id = None

    def lines(self):
        """One event's fields; None at the end of the stream."""
        found, end = {}, time.time() + 30
        while True:
            assert time.time() < end, "keep-alives only"
            line = self.answer.readline()
            if not line:
                return None
            line = line.rstrip(b"\r\n").decode()
            if not line:
                if found:
                    return found
                continue
            name, _, value = line.partition(":")
            if name:
                found[name] = value.removeprefix(" ")

    def next(self):
        """The next event with data as JSON, or None at the end."""
        while (fields := self.lines()) is not None:
            self.last_id = fields.get("id", self.last_id)
            if fields.get("data"):
                return json.loads(fields["data"])
        return None

    def rest(self):
        found = []
        while (event := self.next()) is not None:
            found.append(event)
        return found

    def drop(self):
        self.connection.sock and self.connection.sock.shutdown(2)
        self.answer.close()
        self.connection.close()


class Session:
    """A legacy session of one principal."""

    def __init__(self, who=None, version="2025-11-25", of=None, capabilities=None):
        self.server, self.who, self.version = of or server, who or ada, version
        hello = {"protocolVersion": version, "capabilities": capabilities or {}, "clientInfo": {"name": "t", "version": "1"}}
        status, headers, body = self.server.request("POST", "/mcp", json.dumps(
            {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": hello}), head_of(self.who))
        assert status == 200, body
        self.id = headers["mcp-session-id"]

    def head(self, who=None, **more):
        return head_of(who or self.who, **{"Mcp-Session-Id": self.id, "MCP-Protocol-Version": self.version, **more})

    def send(self, message, who=None, **more):
        return self.server.request("POST", "/mcp", message if isinstance(message, str) else json.dumps(message), self.head(who, **more))

    def rpc(self, method, params=None, who=None, ident=1):
        status, _, body = self.send({"jsonrpc": "2.0", "id": ident, "method": method, "params": params or {}}, who)
        return status, json.loads(body)

    def ok(self, method, params=None):
        status, body = self.rpc(method, params)
        assert status == 200 and "result" in body, (status, body)
        return body["result"]

    def post_stream(self, method, params):
        return Stream(self.server.port, "POST", self.head(), json.dumps(
            {"jsonrpc": "2.0", "id": 9, "method": method, "params": params}))

    def listen(self, last_id=None, who=None):
        more = {"Last-Event-ID": last_id} if last_id else {}
        return Stream(self.server.port, "GET", self.head(who, Accept="text/event-stream", **more))

    def end(self, who=None):
        return self.server.request("DELETE", "/mcp", None, self.head(who))[0]


def modern(who, method, params=None, capabilities=None, of=None, ident=1, name=None, stream=False, accept=None):
    """A modern request; its name header is made from its params."""
    params = dict(params or {})
    params["_meta"] = {META + "protocolVersion": MODERN, META + "clientCapabilities": capabilities or {}, **params.get("_meta", {})}
    head = head_of(who, **{"MCP-Protocol-Version": MODERN, "Mcp-Method": method})
    if name := name or params.get("name") or params.get("taskId") or params.get("uri"):
        head["Mcp-Name"] = name
    body = json.dumps({"jsonrpc": "2.0", "id": ident, "method": method, "params": params})
    if stream:
        return Stream((of or server).port, "POST", head, body)
    status, _, text = (of or server).request("POST", "/mcp", body, head)
    return status, json.loads(text) if text else None


def error_of(answer):
    return answer[0], answer[1]["error"]["code"]


def new_key(at, user):
    """An API key that the running server knows already."""
    key = at.cli("key", "create", "--user", user, "--name", "test", "--scopes", "read,write,execute").stdout.strip()
    until(lambda: at.rpc(key, "tools/list")[0] == 200)
    return key


def run_gate(who=None):
    """A run that waits, and what lets it go on."""
    path = gate()
    run = server.ok(who or ada, "execute_workflow", name="gate", params={"GATE": path}, wait=0)
    return run["execution_id"], lambda: pathlib.Path(path).touch()


def listen(who=None, of=None, capabilities=None, ident="s", **wishes):
    return modern(who or ada, "subscriptions/listen", {"notifications": wishes}, capabilities, of, ident, stream=True)


class Sessions(unittest.TestCase):
    def gone(self, answer):
        self.assertEqual((answer[0], json.loads(answer[2])["error"]), (404, "session_not_found"))

    def test_ids_are_random_and_visible_ascii(self):
        ids = {Session().id for _ in range(20)}
        self.assertEqual(len(ids), 20)
        self.assertTrue(all(re.fullmatch(r"[\x21-\x7e]{22,}", i) for i in ids), ids)
        self.assertEqual(len({i[:8] for i in ids}), 20)

    def test_anothers_session_is_not_there(self):
        session = Session()
        ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
        for who in (bob, stranger, token("ada", org="other")):
            self.gone(session.send(ping, who))
            self.assertEqual(session.end(who), 404)
            self.assertEqual(session.listen(who=who).status, 404)
        self.assertEqual(session.rpc("ping")[1]["result"], {})

    def test_the_end(self):
        session = Session()
        stream = session.listen()
        self.assertEqual(session.end(), 204)
        self.assertEqual(stream.rest(), [], "its stream ends with it")
        self.gone(session.send({"jsonrpc": "2.0", "id": 1, "method": "ping"}))
        self.gone(session.send({"jsonrpc": "2.0", "method": "notifications/initialized"}))
        self.assertEqual(session.end(), 404)
        self.assertEqual(session.listen().status, 404)

    def test_a_session_is_no_credential(self):
        session = Session()
        expired = token("ada", iat=int(time.time()) - 9000, exp=int(time.time()) - 8000)
        for who in (expired, ada[:-8] + "AAAAAAAA"):
            self.assertEqual(session.send({"jsonrpc": "2.0", "id": 1, "method": "ping"}, who)[0], 401)
            self.assertEqual(session.listen(who=who).status, 401)
            self.assertEqual(session.end(who), 401)
        head = {k: v for k, v in session.head().items() if k != "Authorization"}
        self.assertEqual(server.request("POST", "/mcp", '{"jsonrpc":"2.0","id":1,"method":"tools/list"}', head)[0], 401)
        self.assertEqual(session.rpc("ping")[0], 200, "it lives on for who may")

    def test_a_revoked_key_is_refused_though_its_session_lives(self):
        keys = Server()
        self.addCleanup(keys.close)
        key = new_key(keys, "ada")
        session = Session(key, of=keys)
        self.assertEqual(session.rpc("tools/list")[0], 200)
        keys.cli("key", "revoke", key[3:15])
        until(lambda: session.send({"jsonrpc": "2.0", "id": 1, "method": "tools/list"})[0] == 401)

    def test_a_stream_ends_with_the_credential_it_was_asked_for_with(self):
        session = Session()
        soon = token("ada", exp=int(time.time()) - 27)  # good for three seconds more, by the leeway
        stream = session.listen(who=soon)
        self.assertEqual((stream.status, stream.rest()), (200, []))
        self.assertEqual(session.rpc("ping")[0], 200)

    def test_repeated_and_unknown_ids(self):
        ping = '{"jsonrpc":"2.0","id":1,"method":"ping"}'
        for ident in ("x", "", "0" * 5000):
            self.assertIn(server.request("POST", "/mcp", ping, head_of(ada, **{"Mcp-Session-Id": ident}))[0], (400, 404, 431))
        session = Session()
        raw = (f"POST /mcp HTTP/1.1\r\nHost: localhost:{server.port}\r\nAuthorization: Bearer {ada}\r\nContent-Type: application/json\r\n"
               f"Accept: application/json, text/event-stream\r\nMcp-Session-Id: {session.id}\r\nMcp-Session-Id: {session.id}\r\n"
               f"Content-Length: {len(ping)}\r\nConnection: close\r\n\r\n{ping}").encode()
        self.assertIn(b" 404 ", server.raw(raw)[0].split(b"\r\n")[0])


class LegacyStreams(unittest.TestCase):
    def test_a_watched_run_is_told_of_until_it_is_not_watched(self):
        session = Session()
        run, go_on = run_gate()
        stream = session.listen()
        uri = f"run://{run}"
        self.assertEqual(session.ok("resources/subscribe", {"uri": uri}), {})
        go_on()
        news = stream.next()
        self.assertEqual(news, {"jsonrpc": "2.0", "method": "notifications/resources/updated", "params": {"uri": uri}})
        self.assertEqual(session.ok("resources/unsubscribe", {"uri": uri}), {})
        stream.drop()

    def test_nobody_watches_anothers_run(self):
        run, go_on = run_gate()
        self.addCleanup(go_on)
        for who in (bob, stranger):
            status, body = Session(who).rpc("resources/subscribe", {"uri": f"run://{run}"})
            self.assertEqual(body["error"]["code"], -32602)

    def test_the_answer_waits_for_who_lost_the_connection(self):
        session, path = Session(), gate()
        stream = session.post_stream("tools/call", {"name": "execute_workflow", "_meta": {"progressToken": "p"}, "arguments": {
            "name": "gate", "params": {"GATE": path}, "wait": 60}})
        first = stream.next()
        self.assertEqual(first["method"], "notifications/progress")
        seen = stream.last_id
        self.assertTrue(seen)
        stream.drop()
        pathlib.Path(path).touch()
        back = session.listen(seen)
        *notes, answer = back.rest()
        self.assertEqual((answer["id"], answer["result"]["structuredContent"]["status"]), (9, "finished"))
        values = [first["params"]["progress"], *(n["params"]["progress"] for n in notes)]
        self.assertEqual(values, sorted(set(values)), "nothing twice")
        # A second time is as good as the first, from any event on.
        self.assertEqual(session.listen(seen).rest(), [*notes, answer])
        self.assertEqual(session.listen(back.last_id).rest(), [])

    def test_nobody_resumes_anothers_stream(self):
        session, path = Session(), gate()
        stream = session.post_stream("tools/call", {"name": "execute_workflow", "_meta": {"progressToken": "p"}, "arguments": {
            "name": "gate", "params": {"GATE": path}, "wait": 60}})
        stream.next()
        pathlib.Path(path).touch()
        self.assertEqual(session.listen(stream.last_id, who=bob).status, 404)
        theirs = Session(bob)
        self.assertEqual(theirs.listen(stream.last_id).rest(), [], "the id says nothing in another session")
        self.assertEqual(stream.rest()[-1]["id"], 9)

    def test_a_second_listener_replaces_the_first(self):
        session = Session()
        first, second = session.listen(), session.listen()
        self.assertEqual(first.rest(), [])
        run, go_on = run_gate()
        session.ok("resources/subscribe", {"uri": f"run://{run}"})
        go_on()
        self.assertEqual(second.next()["params"]["uri"], f"run://{run}")
        second.drop()

    def test_an_event_without_data_only_for_clients_that_know_it(self):
        for version, primed in (("2025-11-25", True), ("2025-06-18", False), ("2025-03-26", False)):
            with self.subTest(version):
                stream = Session(version=version).post_stream("tools/call", {
                    "name": "execute_workflow", "arguments": {"name": "quick"}, "_meta": {"progressToken": 1}})
                fields = stream.lines()
                self.assertEqual(("id" in fields, not fields["data"]), (primed, primed))
                self.assertEqual(stream.rest()[-1]["id"], 9)

    def test_a_client_that_knows_tasks_of_the_other_era_gets_its_answer(self):
        session = Session(capabilities={"extensions": {TASKS: {}}})
        result = session.ok("tools/call", {"name": "execute_workflow", "arguments": {"name": "quick"}})
        self.assertEqual(result["structuredContent"]["status"], "finished")
        self.assertNotIn("resultType", result)

    def test_log_levels(self):
        session = Session()
        for level in ("debug", "emergency"):
            self.assertEqual(session.ok("logging/setLevel", {"level": level}), {})
        for bad in ("loud", "", 5, None):
            self.assertEqual(session.rpc("logging/setLevel", {"level": bad})[1]["error"]["code"], -32602)

    def test_sessions_hear_of_their_tenants_workflows_only(self):
        mine, theirs = Session(), Session(stranger)
        stream, other = mine.listen(), theirs.listen()
        server.ok(ada, "create_workflow", definition={"name": "heard", "steps": [{"name": "s", "command": "echo x"}]})
        self.assertEqual(stream.next(), {"jsonrpc": "2.0", "method": "notifications/resources/list_changed"})
        self.assertEqual(theirs.end(), 204)
        self.assertEqual(other.rest(), [])
        stream.drop()


class Batches(unittest.TestCase):
    def setUp(self):
        self.session = Session(version="2025-03-26")

    def send(self, *messages, session=None):
        status, _, body = (session or self.session).send(list(messages))
        return status, json.loads(body) if body else None

    @staticmethod
    def message(method, ident=None, **params):
        found = {"jsonrpc": "2.0", "method": method, "params": params}
        return found if ident is None else {**found, "id": ident}

    def test_each_message_is_answered_by_itself(self):
        status, answers = self.send(self.message("ping", 1), self.message("no/such", "two"), {"jsonrpc": "2.0", "id": 3}, 5,
                                    self.message("notifications/initialized"),
                                    self.message("tools/call", 4, name="whoami", arguments={}))
        self.assertEqual(status, 200)
        by_id = {a.get("id"): a for a in answers}
        self.assertEqual(len(answers), 5, "the notification has no answer")
        self.assertEqual(by_id[1]["result"], {})
        self.assertEqual(by_id["two"]["error"]["code"], -32601)
        self.assertEqual({a["error"]["code"] for a in answers if a.get("id") in (3, None)}, {-32600})
        self.assertEqual(by_id[4]["result"]["structuredContent"]["subject"], "ada")

    def test_notifications_alone_are_accepted(self):
        self.assertEqual(self.send(self.message("notifications/initialized"), self.message("notifications/cancelled", requestId=1)),
                         (202, None))

    def test_initialize_stands_alone(self):
        hello = self.message("initialize", 1, protocolVersion="2025-03-26", capabilities={}, clientInfo={"name": "t", "version": "1"})
        status, answers = self.send(hello, self.message("ping", 2))
        by_id = {a["id"]: a for a in answers}
        self.assertEqual((by_id[1]["error"]["code"], by_id[2]["result"]), (-32600, {}))

    def test_a_refused_call_is_an_error_among_the_answers(self):
        viewer = Session(token("vera", scope="read"), version="2025-03-26")
        status, answers = self.send(self.message("tools/call", 1, name="execute_workflow", arguments={"name": "quick"}),
                                    self.message("ping", 2), session=viewer)
        by_id = {a["id"]: a for a in answers}
        self.assertEqual((status, by_id[2]["result"]), (200, {}))
        self.assertEqual(by_id[1]["error"]["data"]["status"], 403)

    def test_bounds(self):
        pings = [self.message("ping", i) for i in range(65)]
        self.assertEqual((self.send(*pings[:64])[0], len(self.send(*pings[:64])[1])), (200, 64))
        for messages in (pings, []):
            status, body = self.send(*messages)
            self.assertEqual((status, body["error"]["code"]), (400, -32600))

    def test_other_revisions_have_none(self):
        for version in ("2025-06-18", "2025-11-25"):
            status, body = self.send(self.message("ping", 1), session=Session(version=version))
            self.assertEqual((status, body["error"]["code"]), (400, -32600))
        status, _, body = server.request("POST", "/mcp", "[]", head_of(ada, **{"MCP-Protocol-Version": MODERN}))
        self.assertEqual((status, json.loads(body)["error"]["code"]), (400, -32600))


class Subscriptions(unittest.TestCase):
    def acknowledged(self, stream, ident="s"):
        first = stream.next()
        self.assertEqual(first["method"], "notifications/subscriptions/acknowledged")
        self.assertEqual(first["params"]["_meta"][SUBSCRIPTION], ident)
        return first["params"]["notifications"]

    def test_what_is_honoured_comes_first(self):
        run, go_on = run_gate()
        self.addCleanup(go_on)
        mine, others = f"run://{run}", "run://01a2141c-a5ae-731c-82e2-d79bf6a4e766"
        stream = listen(ident=17, resourcesListChanged=True, promptsListChanged=False, resourceSubscriptions=[mine, others, "no://x"])
        self.assertEqual(self.acknowledged(stream, 17), {"resourcesListChanged": True, "resourceSubscriptions": [mine]})
        stream.drop()
        stream = listen()
        self.assertEqual(self.acknowledged(stream), {}, "nothing asked for is no error")
        stream.drop()
        stream = listen(bob, resourceSubscriptions=[mine])
        self.assertEqual(self.acknowledged(stream), {}, "another's run is not there")
        stream.drop()

    def test_a_run_is_told_of_while_it_changes(self):
        run, go_on = run_gate()
        stream = listen(resourceSubscriptions=[f"run://{run}"])
        self.acknowledged(stream)
        go_on()
        self.assertEqual(stream.next(), {"jsonrpc": "2.0", "method": "notifications/resources/updated", "params": {
            "uri": f"run://{run}", "_meta": {SUBSCRIPTION: "s"}}})
        stream.drop()

    def test_a_created_workflow_is_told_to_its_tenant_and_to_who_asked(self):
        mine, theirs, deaf = listen(resourcesListChanged=True), listen(stranger, resourcesListChanged=True), listen(toolsListChanged=True)
        for stream in (mine, theirs, deaf):
            self.acknowledged(stream)
        server.ok(ada, "create_workflow", definition={"name": "told", "steps": [{"name": "s", "command": "echo x"}]})
        self.assertEqual(mine.next(), {"jsonrpc": "2.0", "method": "notifications/resources/list_changed", "params": {
            "_meta": {SUBSCRIPTION: "s"}}})
        # What another tenant hears next is of its own doing.
        flow = {"name": "theirs", "steps": [{"name": "s", "command": "echo x"}]}
        server.ok(stranger, "create_workflow", definition=flow)
        self.assertEqual(theirs.next()["method"], "notifications/resources/list_changed")
        for stream in (mine, theirs, deaf):
            stream.drop()

    def test_a_stopping_server_answers_its_listeners(self):
        own = start()
        self.addCleanup(own.close)
        who = token(of=own)
        stream = listen(who, own, ident="x", resourcesListChanged=True)
        deaf = Session(who, of=own).listen()
        self.acknowledged(stream, "x")
        stopper = threading.Thread(target=own.stop)
        stopper.start()
        result = stream.next()
        self.assertEqual((result["id"], result["result"]), ("x", {"resultType": "complete", "_meta": {SUBSCRIPTION: "x"}}))
        self.assertEqual((stream.rest(), deaf.rest()), ([], []), "nothing follows")
        stopper.join(30)
        self.assertEqual(own.process.returncode, 0)

    def test_refusals(self):
        self.assertEqual(error_of(modern(ada, "subscriptions/listen", {})), (400, -32602))
        self.assertEqual(error_of(modern(ada, "subscriptions/listen", {"notifications": {"taskIds": ["x"]}})), (400, -32021))
        head = head_of(ada, **{"Accept": "application/json", "MCP-Protocol-Version": MODERN, "Mcp-Method": "subscriptions/listen"})
        meta = {META + "protocolVersion": MODERN, META + "clientCapabilities": {}}
        body = {"jsonrpc": "2.0", "id": 1, "method": "subscriptions/listen", "params": {"notifications": {}, "_meta": meta}}
        self.assertEqual(server.request("POST", "/mcp", json.dumps(body), head)[0], 406)


class RevokedKeys(unittest.TestCase):
    """What a key opened ends with the key; another's stays."""

    def test_end_the_streams_and_sessions_they_opened(self):
        own = Server()
        self.addCleanup(own.close)
        gone, kept = new_key(own, "gone"), new_key(own, "kept")
        streams = {who: (listen(who, of=own, toolsListChanged=True), Session(who, of=own)) for who in (gone, kept)}
        general = {who: session.listen() for who, (_, session) in streams.items()}
        for stream, _ in streams.values():
            self.assertEqual(stream.next()["method"], "notifications/subscriptions/acknowledged")
        own.cli("key", "revoke", gone.removeprefix("kb-")[:12])
        self.assertEqual(streams[gone][0].rest()[-1]["result"]["resultType"], "complete", "told that this is the end")
        self.assertEqual(general[gone].rest(), [])
        self.assertEqual(streams[gone][1].rpc("ping")[0], 401)
        own.ok(kept, "create_workflow", definition={"name": "n", "publish": True, "steps": [{"name": "s", "command": "true"}]})
        self.assertEqual(streams[kept][0].next()["method"], "notifications/tools/list_changed")
        self.assertEqual(general[kept].next()["method"], "notifications/resources/list_changed")
        for stream in (streams[kept][0], general[kept]):
            stream.drop()


class Tasks(unittest.TestCase):
    able = {"extensions": {TASKS: {}}}

    def start(self, of=None, who=None, **arguments):
        status, body = modern(who or ada, "tools/call", {"name": "execute_workflow", "arguments": {"name": "quick", **arguments}},
                              self.able, of)
        self.assertEqual((status, body["result"]["resultType"]), (200, "task"), body)
        return body["result"]

    def get(self, task, who=None, of=None):
        status, body = modern(who or ada, "tasks/get", {"taskId": task}, self.able, of)
        self.assertEqual((status, body["result"]["resultType"]), (200, "complete"), body)
        return body["result"]

    def ended(self, task, who=None, of=None):
        return until(lambda: (t := self.get(task, who, of))["status"] != "working" and t)

    def test_from_the_call_to_its_result(self):
        path = gate()
        made = self.start(name="gate", params={"GATE": path})
        self.assertEqual(made["status"], "working")
        self.assertLessEqual({"taskId", "createdAt", "lastUpdatedAt", "ttlMs", "pollIntervalMs"}, set(made))
        self.assertFalse({"result", "error", "inputRequests", "requestState", "task"} & set(made))
        self.assertEqual(self.get(made["taskId"])["status"], "working")
        pathlib.Path(path).touch()
        done = self.ended(made["taskId"])
        self.assertEqual((done["status"], done["result"]["structuredContent"]["status"]), ("completed", "finished"))
        self.assertEqual(done["result"]["structuredContent"]["execution_id"], made["taskId"])

    def test_tasks_outlive_the_server(self):
        """Killed and started again: what had ended says how, what was under way says that it was interrupted, to their owner alone."""
        own = Server(issuer, env={"KUBIYA_AUTH_TENANT_CLAIM": "org"})
        self.addCleanup(own.close)
        who, other = (token(subject, of=own) for subject in ("ada", "bob"))
        for name, command in (("quick", "echo done"), ("slow", "sleep 60")):
            own.ok(who, "create_workflow", definition={"name": name, "steps": [{"name": "s", "command": command, "output": "SAID"}]})
        quick, slow = (self.start(own, who, name=name)["taskId"] for name in ("quick", "slow"))
        before = self.ended(quick, who, own)
        until(lambda: own.ok(who, "get_execution", execution_id=slow)["status"] == "running")
        own.kill()
        own.start()
        after = self.get(quick, who, own)
        self.assertEqual((after["status"], after["result"]["structuredContent"]), ("completed", before["result"]["structuredContent"]))
        cut = self.ended(slow, who, own)
        self.assertEqual((cut["status"], cut["result"]["isError"], cut["result"]["structuredContent"]["status"]),
                         ("completed", True, "interrupted"))
        for task in (quick, slow):
            self.assertEqual(error_of(modern(other, "tasks/get", {"taskId": task}, self.able, own)), (400, -32602))

    def test_a_call_that_says_how_long_it_waits_is_answered(self):
        status, body = modern(ada, "tools/call", {"name": "execute_workflow", "arguments": {"name": "quick", "wait": 20}}, self.able)
        self.assertEqual((body["result"]["resultType"], body["result"]["structuredContent"]["status"]), ("complete", "finished"))

    def test_cancel_is_taken_once_and_again(self):
        made = self.start(name="gate", params={"GATE": gate()})
        for _ in range(2):
            status, body = modern(ada, "tasks/cancel", {"taskId": made["taskId"]}, self.able)
            self.assertEqual((status, body["result"]["resultType"]), (200, "complete"))
        self.assertEqual(self.ended(made["taskId"])["status"], "cancelled")
        self.assertEqual(modern(ada, "tasks/cancel", {"taskId": made["taskId"]}, self.able)[0], 200)

    def test_anothers_task_is_not_there(self):
        path = gate()
        made = self.start(name="gate", params={"GATE": path})
        for who in (bob, stranger, token("root", scope="admin")):
            for method, more in (("tasks/get", {}), ("tasks/cancel", {}), ("tasks/update", {"inputResponses": {}})):
                with self.subTest(method):
                    mine = modern(who, method, {"taskId": made["taskId"], **more}, self.able)
                    none = modern(who, method, {"taskId": "01a2141c-a5ae-731c-82e2-d79bf6a4e766", **more}, self.able)
                    self.assertEqual(error_of(mine)[1], -32602)
                    self.assertEqual(mine[1]["error"], none[1]["error"], "as if there were none")
        pathlib.Path(path).touch()
        self.assertEqual(self.ended(made["taskId"])["status"], "completed")

    def test_who_did_not_declare_it_gets_none(self):
        made = self.start()
        status, body = modern(ada, "tools/call", {"name": "execute_workflow", "arguments": {"name": "quick"}})
        self.assertEqual(body["result"]["resultType"], "complete")
        for method, more in (("tasks/get", {}), ("tasks/cancel", {}), ("tasks/update", {"inputResponses": {}})):
            answer = modern(ada, method, {"taskId": made["taskId"], **more})
            self.assertEqual(error_of(answer), (400, -32021))
            self.assertEqual(answer[1]["error"]["data"]["requiredCapabilities"], {"extensions": {TASKS: {}}})

    def test_the_header_names_the_task(self):
        made = self.start()
        self.assertEqual(error_of(modern(ada, "tasks/get", {"taskId": made["taskId"]}, self.able, name="other")), (400, -32020))

    def test_a_task_outlives_its_server(self):
        own = start()
        self.addCleanup(own.close)
        who = token(of=own)
        done, cut = self.start(own, who), self.start(own, who, name="gate", params={"GATE": gate()})
        self.assertEqual(self.ended(done["taskId"], who, own)["status"], "completed")
        own.kill()
        own.start()
        self.assertEqual(self.get(done["taskId"], who, own)["result"]["structuredContent"]["status"], "finished")
        found = self.ended(cut["taskId"], who, own)
        self.assertEqual((found["status"], found["result"]["isError"]), ("completed", True))
        self.assertEqual(found["result"]["structuredContent"]["status"], "interrupted")

    def test_its_end_is_told_to_who_listens(self):
        path = gate()
        made = self.start(name="gate", params={"GATE": path})
        stream = listen(capabilities=self.able, taskIds=[made["taskId"]])
        self.assertEqual(stream.next()["params"]["notifications"], {"taskIds": [made["taskId"]]})
        pathlib.Path(path).touch()
        while (news := stream.next())["params"]["status"] == "working":
            self.assertEqual(news["method"], "notifications/tasks")
        self.assertEqual((news["params"]["status"], news["params"]["taskId"]), ("completed", made["taskId"]))
        self.assertEqual(news["params"]["result"]["structuredContent"]["status"], "finished")
        stream.drop()


class PromptsAndCompletion(unittest.TestCase):
    def test_prompts_are_filled_in(self):
        names = {p["name"] for p in modern(ada, "prompts/list")[1]["result"]["prompts"]}
        self.assertEqual(names, {"workflow_dsl_guide", "workflow_patterns", "incident_response"})
        result = modern(ada, "prompts/get", {"name": "workflow_dsl_guide", "arguments": {"task_description": "count the <b>s"}})[1]["result"]
        self.assertIn("count the <b>s", result["messages"][0]["content"]["text"])
        legacy = Session().ok("prompts/get", {"name": "workflow_patterns", "arguments": {"pattern": "retry"}})
        self.assertIn("retryPolicy", legacy["messages"][0]["content"]["text"])
        for params in ({"name": "none"}, {"name": "workflow_dsl_guide"}, {"name": "workflow_patterns", "arguments": {"pattern": "x"}},
                       {"name": "workflow_dsl_guide", "arguments": {"task_description": 5}}):
            with self.subTest(params):
                self.assertEqual(modern(ada, "prompts/get", params)[1]["error"]["code"], -32602)

    def complete(self, who, ref, name, value):
        status, body = modern(who, "completion/complete", {"ref": ref, "argument": {"name": name, "value": value}}, name="-")
        return body["result"]["completion"]["values"]

    def test_completion(self):
        prompt = {"type": "ref/prompt", "name": "incident_response"}
        self.assertEqual(self.complete(ada, prompt, "severity", "h"), ["high"])
        self.assertEqual(self.complete(ada, prompt, "workflow", "ga"), ["gate"])
        template = {"type": "ref/resource", "uri": "workflow://{name}"}
        self.assertEqual(self.complete(ada, template, "name", "gat"), ["gate"])
        run, go_on = run_gate()
        go_on()
        runs = {"type": "ref/resource", "uri": "run://{id}"}
        self.assertEqual(self.complete(ada, runs, "id", run), [run])
        self.assertEqual(self.complete(bob, runs, "id", run), [], "another's run is not told of")
        for ref in ({"type": "ref/prompt", "name": "none"}, {"type": "ref/resource", "uri": "no://x"}, {"type": "x"}, {}):
            answer = modern(ada, "completion/complete", {"ref": ref, "argument": {"name": "a", "value": ""}}, name="-")
            self.assertEqual(answer[1]["error"]["code"], -32602)


class Resources(unittest.TestCase):
    def uris(self, who):
        found, cursor = [], None
        while True:
            page = modern(who, "resources/list", {"cursor": cursor} if cursor else {})[1]["result"]
            found += [r["uri"] for r in page["resources"]]
            cursor = page.get("nextCursor")
            if cursor is None:
                return found

    def read(self, who, uri):
        return modern(who, "resources/read", {"uri": uri})

    def test_what_there_is_and_whose(self):
        run, go_on = run_gate()
        go_on()
        self.assertLessEqual({"workflow://gate", f"run://{run}"}, set(self.uris(ada)))
        self.assertIn("workflow://gate", self.uris(bob))
        self.assertNotIn(f"run://{run}", self.uris(bob))
        self.assertNotIn(f"run://{run}", self.uris(stranger))
        templates = {t["uriTemplate"] for t in modern(ada, "resources/templates/list")[1]["result"]["resourceTemplates"]}
        self.assertEqual(templates, {"workflow://{name}", "run://{id}", "run://{id}/log"})
        until(lambda: server.ok(ada, "get_execution", execution_id=run)["status"] == "finished")
        definition = self.read(ada, "workflow://gate")[1]["result"]["contents"][0]
        self.assertEqual((definition["uri"], json.loads(definition["text"])["name"]), ("workflow://gate", "gate"))
        seen = self.read(ada, f"run://{run}")[1]["result"]["contents"][0]
        self.assertEqual((seen["mimeType"], json.loads(seen["text"])["status"]), ("application/json", "finished"))
        self.assertEqual(self.read(ada, f"run://{run}/log")[1]["result"]["contents"][0]["text"], "before\nafter\n")
        for who in (bob, stranger):
            for uri in (f"run://{run}", f"run://{run}/log"):
                self.assertEqual(error_of(self.read(who, uri)), error_of(self.read(who, "run://none")))
        for uri in ("workflow://none", "run://", "run://x/log", "no://x", "", "workflow://../etc/passwd"):
            with self.subTest(uri):
                answer = modern(ada, "resources/read", {"uri": uri}, name=uri or "-")
                self.assertIn(answer[1]["error"]["code"], (-32602, -32020))

    def test_a_workflow_of_another_tenant_is_not_there(self):
        server.ok(stranger, "create_workflow", definition={"name": "secretive", "steps": [{"name": "s", "command": "echo x"}]})
        self.assertEqual(self.read(stranger, "workflow://secretive")[0], 200)
        self.assertNotIn("workflow://secretive", self.uris(ada))
        self.assertEqual(error_of(self.read(ada, "workflow://secretive"))[1], -32602)

    def test_cursors_belong_to_who_got_them(self):
        many = start()
        self.addCleanup(many.close)
        who, other = token(of=many), token("bob", of=many)
        for i in range(105):
            many.ok(who, "create_workflow", definition={"name": f"w{i:03}", "steps": [{"name": "s", "command": "echo x"}]})
        page = modern(who, "resources/list", of=many)[1]["result"]
        cursor = page["nextCursor"]
        rest = modern(who, "resources/list", {"cursor": cursor}, of=many)[1]["result"]
        uris = [r["uri"] for r in page["resources"] + rest["resources"]]
        self.assertEqual((len(uris), len(set(uris)), "nextCursor" in rest), (107, 107, False))
        changed = cursor[:-1] + ("A" if cursor[-1] != "A" else "B")
        middle = cursor[:20] + ("A" if cursor[20] != "A" else "B") + cursor[21:]
        for bad in (middle, cursor + "A", cursor[:-4], "", "x", 5, None, changed[::-1]):
            with self.subTest(bad):
                self.assertEqual(modern(who, "resources/list", {"cursor": bad}, of=many)[1]["error"]["code"], -32602)
        self.assertEqual(modern(other, "resources/list", {"cursor": cursor}, of=many)[1]["error"]["code"], -32602)
        self.assertEqual(modern(who, "tools/list", {"cursor": cursor}, of=many)[1]["error"]["code"], -32602, "of another list")
        session = Session(who, of=many)
        self.assertEqual(session.rpc("resources/list", {"cursor": middle})[1]["error"]["code"], -32602)


class ToolLists(unittest.TestCase):
    def test_a_tenants_name_does_not_pass_for_scopes(self):
        names = lambda who: {t["name"] for t in modern(who, "tools/list")[1]["result"]["tools"]}
        first, second = names(token(org="x read", scope="write")), names(token(org="x", scope="read write"))
        self.assertNotIn("whoami", first)
        self.assertIn("whoami", second)


class ConformanceServer(Server):
    """The fixtures of the conformance suite, under the product's protocol."""

    def start(self, ready=True):
        binary = os.environ.get("KUBIYA_CONFORMANCE_SERVER", str(pathlib.Path(BINARY).with_name("conformance-server")))
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([binary, "--port", str(self.port), "--data-dir", self.data],
                                            stdout=subprocess.DEVNULL, stderr=log, cwd=ROOT)
        self.wait_ready("/healthz")


class Fixtures(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.bench = ConformanceServer()
        cls.addClassCleanup(cls.bench.close)

    def call(self, name, arguments=None, who=None, headers=None, capabilities=None, **more):
        params = {"name": name, "arguments": arguments or {}, **more}
        params["_meta"] = {META + "protocolVersion": MODERN, META + "clientCapabilities": capabilities or {"elicitation": {}}}
        head = head_of(who, **{"MCP-Protocol-Version": MODERN, "Mcp-Method": "tools/call", "Mcp-Name": name, **(headers or {})})
        status, _, body = self.bench.request("POST", "/mcp", json.dumps(
            {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}), head)
        return status, json.loads(body)

    def test_a_request_state_counts_unaltered_for_its_call_and_its_caller(self):
        tool = "test_input_required_result_request_state"
        asked = self.call(tool)[1]["result"]
        self.assertEqual(asked["resultType"], "input_required")
        state, answers = asked["requestState"], {"confirm": {"action": "accept", "content": {"ok": True}}}
        middle = state[:20] + ("A" if state[20] != "A" else "B") + state[21:]
        for bad in (middle, state + "A", state[:-4], "", "asked", 5, None, {}):
            with self.subTest(bad):
                self.assertEqual(self.call(tool, inputResponses=answers, requestState=bad)[1]["error"]["code"], -32602)
        same = dict(inputResponses=answers, requestState=state)
        self.assertEqual(self.call("test_input_required_result_tampered_state", **same)[1]["error"]["code"], -32602, "another tool")
        self.assertEqual(self.call(tool, {"other": 1}, **same)[1]["error"]["code"], -32602, "other arguments")
        bobs = new_key(self.bench, "bob")
        self.assertEqual(self.call(tool, who=bobs)[1]["result"]["resultType"], "input_required")
        self.assertEqual(self.call(tool, who=bobs, **same)[1]["error"]["code"], -32602, "another's")
        self.assertEqual(self.call(tool, **same)[1]["result"]["resultType"], "complete")

    def test_arguments_that_headers_repeat(self):
        name, region, count = "test_header_params", "Mcp-Param-Region", "Mcp-Param-Count"
        good = [({"region": "eu"}, {region: "eu"}), ({"region": "eu", "count": 42}, {region: "eu", count: "42"}),
                ({"region": "eu", "count": 42}, {region: "eu", count: "42.0"}),
                ({"region": "zürich"}, {region: "=?base64?esO8cmljaA==?="}), ({"region": "eu"}, {region: "eu", "Mcp-Param-Other": "x"}),
                ({"region": "eu"}, {region: "eu", count: "7"}), ({"region": "eu"}, {region.lower(): "eu"})]
        bad = [({"region": "eu"}, {}), ({"region": "eu"}, {region: "us"}), ({"region": "eu"}, {region: "EU"}),
               ({"region": "eu", "count": 42}, {region: "eu"}), ({"region": "eu", "count": 42}, {region: "eu", count: "43"}),
               ({"region": "eu", "count": 42}, {region: "eu", count: "x"}), ({"region": "eu"}, {region: "=?base64?ZXU?="}),
               ({"region": "eu"}, {region: "=?base64?Z*U=?="}), ({"region": "eu"}, {region: "=?base64?/w==?="})]
        for arguments, headers in good:
            with self.subTest((arguments, headers)):
                self.assertEqual(self.call(name, arguments, headers=headers)[0], 200)
        for arguments, headers in bad:
            with self.subTest((arguments, headers)):
                self.assertEqual(error_of(self.call(name, arguments, headers=headers)), (400, -32020))


if __name__ == "__main__":
    unittest.main()
