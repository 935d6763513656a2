"""The protocol in both eras and every tool, over the wire: what is listed is what is answered, and nobody sees another's."""
import concurrent.futures
import http.client
import json
import pathlib
import re
import shutil
import tempfile
import time
import unittest

from harness import CANARY, MODERN, ROOT, Issuer, Server, b64, until

META = "io.modelcontextprotocol/"
LEGACY = ("2025-11-25", "2025-06-18", "2025-03-26")
READS = "whoami list_workflows get_workflow validate_workflow get_execution list_executions get_execution_logs list_approvals".split()
KEYS = ["list_api_keys"]  # reads, and needs write
CHANGES = ("create_workflow update_workflow delete_workflow execute_workflow cancel_execution decide_approval "
           "create_api_key rotate_api_key revoke_api_key set_user_key").split()
ADMINS = {"delete_workflow", "set_user_key"}
WAIT = 'while [ ! -e "$GATE" ]; do sleep 0.02; done'
FLOWS = {"gate": ({"GATE": "/nowhere"}, ['echo "before $KUBIYA_SUBJECT"', WAIT, "echo after"]),
         "once": ({"LEDGER": "/dev/null", "GATE": "/"}, ['echo "$DAG_RUN_ID" >> "$LEDGER"', WAIT]),
         "talk": ({}, ["echo one; echo two >&2", "echo three", "echo four"])}


def setUpModule():
    global issuer, server, place, ada
    issuer = Issuer()
    place = pathlib.Path(tempfile.mkdtemp(prefix="kubiya-mcp-test-"))
    flows = place / "flows"
    shutil.copytree(ROOT / "examples" / "workflows", flows)
    for name, (params, scripts) in FLOWS.items():
        steps = [{"name": f"s{i}", "script": script} for i, script in enumerate(scripts, 1)]
        (flows / f"{name}.json").write_text(json.dumps({"name": name, "params": params, "steps": steps}))
    server = start()
    ada = token()
    for close in (lambda: shutil.rmtree(place), issuer.close, server.close):
        unittest.addModuleCleanup(close)


def start():
    return Server(issuer, workflows=place / "flows", env={"KUBIYA_AUTH_TENANT_CLAIM": "org"})


def token(subject="ada", org="default", of=None, **claims):
    return issuer.token((of or server).audience, subject, org=org, **claims)


def ended(run):
    return until(lambda: (r := server.ok(ada, "get_execution", execution_id=run))["status"] not in ("queued", "running") and r)


def gate():
    return tempfile.mktemp(dir=place)


def post(path, headers, **message):
    """Members and headers that are None stay away."""
    given = lambda members: {k: v for k, v in members.items() if v is not None}
    head = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream",
            "Authorization": "Bearer " + ada, **headers}
    return server.request("POST", path, json.dumps(given({"jsonrpc": "2.0", **message})), given(head))


def modern(method, params=None, meta=None, headers=None, path="/mcp", ident=1):
    """A good modern request, of which any header or _meta member can be replaced or taken away."""
    meta = {META + "protocolVersion": MODERN, META + "clientCapabilities": {}, **(meta or {})}
    params = {**(params or {}), "_meta": {k: v for k, v in meta.items() if v is not None}}
    head = {"MCP-Protocol-Version": MODERN, "Mcp-Method": method, "Mcp-Name": params.get("name"), **(headers or {})}
    return post(path, head, id=ident, method=method, params=params)


def legacy(version, method, params=None, path="/mcp", ident=1):
    return post(path, {"MCP-Protocol-Version": version}, id=ident, method=method, params=params)


def refusal(answer):
    status, _, body = answer
    return status, json.loads(body)["error"]["code"]


def events(answer):
    """The JSON texts of an event stream; each must be one data line and nothing else."""
    status, headers, body = answer
    assert status == 200 and headers["content-type"].startswith("text/event-stream"), (status, headers, body[:300])
    texts = body.decode().split("\n\n")
    assert texts.pop() == "" and all(re.fullmatch(r"data: [^\n]+", t) for t in texts), body
    return [json.loads(t[6:]) for t in texts]


def violations(schema, value, at="$"):
    """The part of JSON Schema that the server's own output schemas use; an unknown keyword is a failure, not a pass."""
    kinds = {dict: "object", list: "array", str: "string", bool: "boolean", int: "integer", type(None): "null"}
    unknown = set(schema) - {"type", "enum", "properties", "required", "additionalProperties", "items", "description"}
    found = [f"{at}: the checker does not know {word}" for word in unknown]
    wanted = schema.get("type", list(kinds.values()))
    if kinds[type(value)] not in ([wanted] if isinstance(wanted, str) else wanted) or value not in schema.get("enum", [value]):
        found.append(f"{at}: {value!r} is not {schema}")
    if isinstance(value, list):
        return found + [v for i, item in enumerate(value) for v in violations(schema.get("items", {}), item, f"{at}[{i}]")]
    if isinstance(value, dict):
        known = schema.get("properties", {})
        found += [f"{at}: {name} is missing" for name in schema.get("required", []) if name not in value]
        if schema.get("additionalProperties") is False:
            found += [f"{at}: {name} is not listed" for name in value if name not in known]
        return found + [v for n, s in known.items() if n in value for v in violations(s, value[n], f"{at}.{n}")]
    return found


class Modern(unittest.TestCase):
    def test_discover_on_both_paths(self):
        for path in ("/mcp", "/"):
            status, headers, body = modern("server/discover", path=path, ident="a-b")
            result = json.loads(body)["result"]
            self.assertEqual((status, json.loads(body)["id"]), (200, "a-b"))
            self.assertEqual((result["resultType"], result["cacheScope"]), ("complete", "private"))
            self.assertEqual(result["supportedVersions"], [MODERN, *LEGACY])
            self.assertEqual(set(result["capabilities"]), {"tools", "prompts", "resources", "completions", "logging", "extensions"})
            self.assertLessEqual({META + "tasks", META + "oauth-client-credentials", META + "enterprise-managed-authorization"},
                                 set(result["capabilities"]["extensions"]))
            self.assertGreaterEqual(result["ttlMs"], 0)
            self.assertEqual(set(result["_meta"][META + "serverInfo"]), {"name", "version"})
            self.assertNotIn("mcp-session-id", headers)

    def test_header_and_envelope_checks(self):
        call = ("tools/call", {"name": "whoami"})
        version, capabilities = META + "protocolVersion", META + "clientCapabilities"
        rows = [(call, {}, {header: value}, -32020) for header, values in {
            "MCP-Protocol-Version": (None, "2025-11-25"), "Mcp-Method": (None, "tools/list", "Tools/Call"),
            "Mcp-Name": (None, "list_workflows", "Whoami", "=?base64?d2hv*W1p?=")}.items() for value in values]
        rows += [(call, {member: value}, {}, -32602) for member, value in (
            (version, None), (version, 5), (capabilities, None), (capabilities, []), ("progressToken", 1.5))]
        rows += [(call, {version: "2099-01-01"}, {"MCP-Protocol-Version": "2099-01-01"}, -32022),
                 (("tools/call", {}), {}, {}, -32602),
                 # Of two faults the headers' is told first.
                 (("no/such", {}), {}, {"Mcp-Method": "no/other"}, -32020),
                 (("initialize", {"protocolVersion": MODERN}), {version: None}, {}, -32020)]
        for (method, params), meta, headers, code in rows:
            with self.subTest((method, meta, headers)):
                answer = modern(method, params, meta, headers, ident=41)
                self.assertEqual(refusal(answer), (400, code))
                self.assertEqual(json.loads(answer[2])["id"], 41)
        for headers in ({}, {"Mcp-Name": "=?base64?" + b64("whoami") + "?="}, {"Mcp-Session-Id": "x"},
                        {"Mcp-Method": None, "mCP-mETHOD": "tools/call"}):
            with self.subTest(headers):
                status, got, body = modern(*call, {}, headers)
                self.assertEqual((status, json.loads(body)["result"]["isError"]), (200, False), body)
                self.assertNotIn("mcp-session-id", got)

    def test_the_answer_to_an_unsupported_version_lists_the_discovered_ones(self):
        body = modern("tools/list", {}, {META + "protocolVersion": "1.0"}, {"MCP-Protocol-Version": "1.0"})[2]
        discovered = json.loads(modern("server/discover")[2])["result"]["supportedVersions"]
        self.assertEqual(json.loads(body)["error"]["data"], {"supported": discovered, "requested": "1.0"})

    def test_removed_and_undeclared_methods_are_not_found(self):
        for method in ("initialize", "ping", "logging/setLevel", "resources/subscribe", "resources/unsubscribe",
                       "tasks/list", "tasks/result", "x"):
            with self.subTest(method):
                self.assertEqual(refusal(modern(method)), (404, -32601))

    def test_notifications_get_202_and_nothing_else(self):
        answer = post("/mcp", {"MCP-Protocol-Version": MODERN}, method="notifications/cancelled", params={"requestId": 9})
        self.assertEqual(answer[::2], (202, b""))

    def test_the_credential_is_checked_before_the_body(self):
        self.assertEqual(post("/mcp", {"Authorization": "Bearer x.y.z"}, method=5)[0], 401)
        self.assertEqual(post("/mcp", {}, method=5)[0], 400)

    def test_missing_arguments_are_none(self):
        self.assertFalse(json.loads(modern("tools/call", {"name": "whoami"})[2])["result"]["isError"])
        self.assertEqual(refusal(modern("tools/call", {"name": "whoami", "arguments": []})), (400, -32602))

    def test_the_tool_list(self):
        first, second = (json.loads(modern("tools/list", path=p)[2])["result"] for p in ("/mcp", "/"))
        self.assertEqual(first, second, "the same order each time")
        self.assertEqual((first["resultType"], first["cacheScope"]), ("complete", "private"))
        self.assertEqual({t["name"] for t in first["tools"]}, {*READS, *KEYS, *CHANGES} - ADMINS, "what ada may use")
        viewer, admin = ({t["name"] for t in server.rpc(token(scope=s), "tools/list")[2]["result"]["tools"]}
                         for s in ("read", "admin"))
        self.assertEqual((viewer, admin), ({*READS}, {*READS, *KEYS, *CHANGES}))
        first = server.rpc(token(scope="admin"), "tools/list")[2]["result"]
        self.assertNotIn("required", first["tools"][0]["inputSchema"], "a tool without arguments comes first")
        destructive = {*CHANGES} - {"create_workflow", "create_api_key"}
        for tool in first["tools"]:
            with self.subTest(tool["name"]):
                reads = tool["name"] in [*READS, *KEYS]
                notes = {**tool["annotations"]}
                self.assertTrue(notes.pop("title") and tool["title"] and tool["description"])
                self.assertEqual(notes, {"readOnlyHint": reads, "destructiveHint": tool["name"] in destructive,
                                         "idempotentHint": reads or tool["name"] in destructive - {"execute_workflow", "rotate_api_key", "set_user_key"},
                                         "openWorldHint": tool["name"] == "execute_workflow"})
                self.assertEqual({tool[s]["additionalProperties"] for s in ("inputSchema", "outputSchema")}, {False})


class Legacy(unittest.TestCase):
    def test_the_life_of_a_legacy_client_on_both_paths(self):
        for version, path in ((v, p) for v in LEGACY for p in ("/mcp", "/")):
            with self.subTest((version, path)):
                hello = {"protocolVersion": version, "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
                answer = json.loads(legacy(None, "initialize", hello, path, "i")[2])
                self.assertEqual((answer["id"], answer["result"]["protocolVersion"]), ("i", version))
                self.assertEqual(set(answer["result"]["capabilities"]),
                                 {"tools", "prompts", "resources", "completions", "logging", "extensions"})
                self.assertEqual(legacy(version, "notifications/initialized", None, path, None)[::2], (202, b""))
                self.assertEqual(json.loads(legacy(version, "ping", None, path, 7)[2]),
                                 {"jsonrpc": "2.0", "id": 7, "result": {}})
                tools = json.loads(legacy(version, "tools/list", {}, path)[2])["result"]
                self.assertEqual(list(tools), ["tools"], "no members of the modern era")
                self.assertEqual({t["name"] for t in tools["tools"]}, {*READS, *KEYS, *CHANGES} - ADMINS)
                called = json.loads(legacy(version, "tools/call", {"name": "whoami"}, path)[2])["result"]
                self.assertEqual(set(called), {"content", "structuredContent", "isError"})
                self.assertEqual(called["structuredContent"]["subject"], "ada")

    def test_unknown_versions(self):
        for asked in (MODERN, "2024-01-01"):
            body = legacy(None, "initialize", {"protocolVersion": asked, "capabilities": {}})[2]
            self.assertEqual(json.loads(body)["result"]["protocolVersion"], LEGACY[0], "the newest that initialize knows")
        self.assertEqual(legacy("1999-01-01", "tools/list")[0], 400)


class Progress(unittest.TestCase):
    call = {"name": "execute_workflow", "arguments": {"name": "parallel-checks", "wait": 20}}

    def check(self, stream, mark):
        *notes, answer = stream
        self.assertEqual((answer["id"], answer["result"]["structuredContent"]["status"]), (1, "partial_success"))
        self.assertTrue(all(n["method"] == "notifications/progress" and "id" not in n for n in notes))
        self.assertEqual({json.dumps(n["params"]["progressToken"]) for n in notes}, {json.dumps(mark)})
        values = [n["params"]["progress"] for n in notes]
        self.assertEqual(values, sorted(set(values)), "strictly growing")
        self.assertTrue(all(n["params"]["progress"] <= n["params"]["total"] for n in notes))
        said = " ".join(n["params"]["message"] for n in notes)
        for step in ("prepare", "lint", "unit tests", "report"):
            self.assertIn(f"{step} finished", said)

    def test_progress_comes_as_events_to_who_asked(self):
        for mark in ("text", 0, 17):
            answer = modern("tools/call", self.call, {"progressToken": mark})
            self.check(events(answer), mark)
            self.assertEqual(answer[1].get("x-accel-buffering"), "no")
            self.assertIn("no-", answer[1]["cache-control"])
        self.check(events(legacy(LEGACY[1], "tools/call", {**self.call, "_meta": {"progressToken": "old"}})), "old")

    def test_no_token_or_no_events_accepted_means_plain_json(self):
        for meta, accept in (({}, "application/json, text/event-stream"), ({"progressToken": 1}, "application/json")):
            status, headers, body = modern("tools/call", self.call, meta, {"Accept": accept})
            self.assertEqual((status, headers["content-type"]), (200, "application/json"))
            self.assertEqual(json.loads(body)["result"]["structuredContent"]["status"], "partial_success")


class Tools(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.admin = token("root", scope="admin")
        cls.schemas = {t["name"]: t["outputSchema"] for t in server.rpc(cls.admin, "tools/list")[2]["result"]["tools"]}

    def use(self, tool, who=None, **arguments):
        status, _, body = server.call(who or self.admin, tool, **arguments)
        self.assertEqual((status, body["result"]["isError"]), (200, False), (tool, body))
        self.assertTrue(body["result"]["content"][0]["text"])
        self.assertEqual(violations(self.schemas[tool], body["result"]["structuredContent"]), [], tool)
        return body["result"]["structuredContent"]

    def fails(self, tool, **arguments):
        status, _, body = server.call(self.admin, tool, **arguments)
        self.assertEqual((status, body["result"]["isError"]), (200, True), (tool, arguments, body))
        return body["result"]["content"][0]["text"]

    def test_every_tool_answers_as_its_output_schema_says(self):
        made = {"name": "made", "description": "one", "steps": [{"name": "say", "command": "echo hi", "output": "SAID"}]}
        self.assertEqual(self.use("whoami")["subject"], "root")
        checked = self.use("validate_workflow", definition=made)
        self.assertEqual((checked["valid"], checked["steps"], checked["problems"]), (True, 1, []))
        bad = self.use("validate_workflow", definition="name: x\nsteps:\n  - name: a\n    comand: echo\n")
        self.assertTrue(not bad["valid"] and "comand" in json.dumps(bad["problems"]), bad)
        self.assertEqual(self.use("create_workflow", definition=json.dumps(made))["version"], 1)
        self.assertIn("update_workflow", self.fails("create_workflow", definition=made), "the name is taken")
        made["description"] = "two"
        self.assertEqual(self.use("update_workflow", definition=made, expected_version=1)["version"], 2)
        self.assertIn("version 1", self.fails("update_workflow", definition=made, expected_version=1))
        shown = self.use("get_workflow", name="made")
        self.assertEqual((json.loads(shown["definition"]), shown["version"]), (made, 2))
        self.assertIn(("made", "two"), [(w["name"], w["description"]) for w in self.use("list_workflows")["workflows"]])
        run = self.use("execute_workflow", name="made")
        self.assertEqual((run["status"], run["outputs"], run["digest"]), ("finished", {"SAID": "hi"}, shown["digest"]))
        self.assertEqual({**self.use("get_execution", execution_id=run["execution_id"]), "existing": False}, run)
        logs = self.use("get_execution_logs", execution_id=run["execution_id"])
        self.assertEqual([(e["step"], e["stream"], e["text"]) for e in logs["entries"]], [("say", "stdout", "hi\n")])
        self.assertIn(run["execution_id"], [e["execution_id"] for e in self.use("list_executions")["executions"]])
        late = self.use("cancel_execution", execution_id=run["execution_id"])
        self.assertEqual((late["cancel_requested"], late["status"]), (False, "finished"))
        self.assertEqual(self.use("delete_workflow", name="made"), {"name": "made", "deleted": True})
        self.assertIn("no workflow named made", self.fails("get_workflow", name="made"))
        self.assertEqual(self.use("get_execution", execution_id=run["execution_id"])["status"], "finished")

    def test_whoami_says_why_and_which_tools_one_lacks_scopes_for(self):
        told = self.use("whoami", token(scope="read execute", kubiya_api_key=...), explain=True)
        checks = {c["check"]: c["outcome"] for c in told["checks"]}
        self.assertIn(issuer.url, checks["issuer"])
        self.assertEqual((checks["scopes presented"], checks["kind"]), ("execute read", "a person is behind it"))
        self.assertIn("none", checks["Kubiya API key"])
        tools = {t["name"]: t for t in told["tools"]}
        self.assertEqual(set(tools), {*READS, *KEYS, *CHANGES})
        self.assertEqual(tools["create_workflow"], {"name": "create_workflow", "allowed": False, "missing": ["write"]})
        self.assertEqual((tools["list_workflows"]["allowed"], tools["execute_workflow"]), (True, {"name": "execute_workflow", "allowed": False}))
        with_key = self.use("whoami", token(scope="read", kubiya_api_key=CANARY), explain=True)
        self.assertIn("found in claim:kubiya_api_key", {c["check"]: c["outcome"] for c in with_key["checks"]}["Kubiya API key"])
        self.assertNotIn(CANARY, json.dumps(with_key))
        self.assertNotIn("checks", self.use("whoami"))

    def test_a_client_that_acts_for_itself_is_the_principal_and_on_record_as_such(self):
        for claims in ({"sub": "batch", "client_id": "batch"}, {"sub": "batch@clients", "azp": "batch", "gty": "client-credentials"},
                       {"sub": "0f3e", "azp": "batch", "idtyp": "app"},
                       {"sub": "9b1c", "azp": "Batch", "preferred_username": "service-account-batch"}):
            with self.subTest(claims):
                machine = token(claims.pop("sub"), scope="read execute", **claims)
                told = self.use("whoami", machine)
                self.assertEqual((told["credential"], told["client"].lower()), ("client_token", "batch"))
                run = self.use("execute_workflow", machine, name="hello")
                records = [json.loads(r) for r in server.cli("audit", "list", "--json", "--run", run["execution_id"]).stdout.splitlines()]
                self.assertTrue(records and all(r["credential"] == "client_token" for r in records if "credential" in r))
                self.assertIn((told["subject"], told["client"]), [(r.get("subject"), r.get("client")) for r in records])
        for claims in ({"client_id": "batch"}, {"azp": "batch", "preferred_username": "service-account-other"}, {"gty": "password"}):
            self.assertEqual(self.use("whoami", token(**claims))["credential"], "token")

    def test_a_failed_run_is_an_error_that_still_fits_the_schema(self):
        result = server.call(ada, "execute_workflow", name="deploy", params={"env": "moon"})[2]["result"]
        run = result["structuredContent"]
        self.assertEqual(violations(self.schemas["execute_workflow"], run), [])
        self.assertEqual((result["isError"], run["status"], run["steps"][0]["exit_code"]), (True, "failed", 64))

    def test_an_unwaited_run_is_followed_by_its_logs_and_canceled(self):
        opened = gate()
        run = self.use("execute_workflow", ada, name="gate", params={"GATE": opened}, wait=0)["execution_id"]
        logs = until(lambda: (l := self.use("get_execution_logs", ada, execution_id=run))["entries"] and l)
        self.assertEqual([e["text"] for e in logs["entries"]], ["before ada\n"])
        self.assertEqual(self.use("get_execution", ada, execution_id=run)["status"], "running")
        pathlib.Path(opened).touch()
        self.assertEqual(ended(run)["status"], "finished")
        more = self.use("get_execution_logs", ada, execution_id=run, after=logs["next"])
        self.assertEqual(([e["text"] for e in more["entries"]], more["status"]), (["after\n"], "finished"))
        last = self.use("get_execution_logs", ada, execution_id=run, after=more["next"])
        self.assertEqual((last["entries"], last["next"]), ([], more["next"]))
        run = self.use("execute_workflow", ada, name="gate", params={"GATE": gate()}, wait=0)["execution_id"]
        self.assertTrue(self.use("cancel_execution", ada, execution_id=run, reason="enough")["cancel_requested"])
        self.assertEqual((ended(run)["status"], ended(run)["reason"]), ("canceled", "enough"))

    def test_log_pages_join_to_the_whole(self):
        run = self.use("execute_workflow", ada, name="talk")["execution_id"]
        whole = self.use("get_execution_logs", ada, execution_id=run)["entries"]
        self.assertEqual(sorted((e["step"], e["stream"], e["text"]) for e in whole),
                         [("s1", "stderr", "two\n"), ("s1", "stdout", "one\n"), ("s2", "stdout", "three\n"),
                          ("s3", "stdout", "four\n")])
        pages, after = [], "0"
        while entries := (page := self.use("get_execution_logs", ada, execution_id=run, after=after, limit=1))["entries"]:
            self.assertEqual(len(entries), 1)
            pages, after = pages + entries, page["next"]
        self.assertEqual(pages, whole)
        self.assertEqual(self.use("get_execution_logs", ada, execution_id=run, step="s2")["entries"], whole[2:3])

    def test_lists_are_paged_without_gaps_or_repeats(self):
        pager = token("pager")
        runs = [self.use("execute_workflow", pager, name="hello")["execution_id"] for _ in range(5)]
        for tool, items, cursor, name, whole in (
                ("list_executions", "executions", "before", "execution_id", runs[::-1]),
                ("list_workflows", "workflows", "after", "name", None)):
            whole = whole or [w["name"] for w in self.use(tool, pager)[items]]
            seen, page = [], self.use(tool, pager, limit=2)
            while "next" in page:
                self.assertEqual(len(page[items]), 2)
                seen, page = seen + page[items], self.use(tool, pager, limit=2, **{cursor: page["next"]})
            self.assertEqual([e[name] for e in seen + page[items]], whole)
        for only, count in (({"status": "failed"}, 0), ({"workflow": "gate"}, 0), ({"workflow": "hello"}, 5)):
            self.assertEqual(len(self.use("list_executions", pager, **only)["executions"]), count, only)

    def test_bad_arguments_name_the_field(self):
        step = {"name": "s", "command": "true"}
        make, run, logs = "create_workflow", "execute_workflow", "get_execution_logs"
        flow = lambda **more: {"definition": {"name": "hello", "steps": [step], **more}}
        hello = lambda **more: {"name": "hello", **more}
        for tool, arguments, field in (
                ("list_workflows", {"limit": 0}, "limit"), ("list_workflows", {"limt": 1}, "limt"), ("whoami", {"me": 1}, "me"),
                ("get_workflow", {}, "name"), ("get_workflow", {"name": "../x"}, "name"), (run, {"params": {}}, "name"),
                ("validate_workflow", {}, "definition"), (make, {"definition": 5}, "definition"),
                (make, flow(steps=[{**step, "depnds": "x"}]), "depnds"), (make, flow(params={"DAG_NAME": "x"}), "DAG_NAME"),
                (make, flow(steps=[{**step, "executor": "ssh"}]), "executor"), (make, flow(env=[{"KUBIYA_API_KEY": ""}]), "KUBIYA_API_KEY"),
                ("update_workflow", {**flow(), "expected_version": 0}, "expected_version"),
                (run, {"name": "deploy"}, "env"), (run, hello(wait=-1), "wait"), (run, hello(wait="5"), "wait"),
                (run, hello(params="NAME=x"), "params"), (run, hello(params={"NAMES": "x"}), "NAMES"),
                (run, hello(params={"NAME": "a\0b"}), "NAME"), (run, hello(params={"KUBIYA_API_KEY": "k"}), "KUBIYA_API_KEY"),
                (run, hello(idempotency_key=""), "idempotency_key"), ("list_executions", {"status": "done"}, "status"),
                ("list_executions", {"before": "x"}, "before"), ("get_execution", {"execution_id": ""}, "execution_id"),
                (logs, {"execution_id": "x", "after": 5}, "after"), (logs, {"execution_id": "x", "limit": 2**70}, "limit"),
                ("cancel_execution", {"execution_id": "x", "reason": "r" * 201}, "reason")):
            with self.subTest((tool, arguments)):
                self.assertRegex(self.fails(tool, **arguments), rf"\b{field}\b")

    def test_a_whole_number_counts_however_it_is_written(self):
        with self.subTest("limit"):
            self.assertEqual(len(self.use("list_workflows", limit=2.0)["workflows"]), 2)
        flow = {"name": "guarded", "steps": [{"name": "s", "command": "true"}]}
        self.use("create_workflow", definition=flow)
        self.use("update_workflow", definition=flow, expected_version=1)
        for stale in (1, 1.0, 2**63, 2**64):
            with self.subTest(stale):
                self.fails("update_workflow", definition=flow, expected_version=stale)


class Idempotency(unittest.TestCase):
    def test_one_key_is_one_run_for_eight_callers_at_once(self):
        ledger, key = gate(), "of eight"
        arguments = {"name": "once", "params": {"LEDGER": ledger}, "idempotency_key": key}
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            runs = list(pool.map(lambda _: server.ok(ada, "execute_workflow", **arguments), range(8)))
        self.assertEqual({(r["execution_id"], r["status"]) for r in runs}, {(runs[0]["execution_id"], "finished")})
        self.assertEqual([r["existing"] for r in runs].count(False), 1)
        self.assertEqual(pathlib.Path(ledger).read_text().split(), [runs[0]["execution_id"]])
        by_header = server.rpc(ada, "tools/call", {"name": "execute_workflow", "arguments": {
            "name": "once", "params": {"LEDGER": ledger}}}, {"Idempotency-Key": key})[2]["result"]
        self.assertEqual(by_header["structuredContent"]["execution_id"], runs[0]["execution_id"])
        other = server.call(ada, "execute_workflow", name="hello", idempotency_key=key)[2]["result"]
        self.assertTrue(other["isError"] and "idempotency key" in other["content"][0]["text"], "the key was of another call")
        bobs = server.ok(token("bob"), "execute_workflow", **arguments)
        self.assertNotEqual(bobs["execution_id"], runs[0]["execution_id"], "keys belong to their caller")

    def test_a_connection_goes_on_after_a_repeated_call(self):
        own = start()
        self.addCleanup(own.close)
        who = token(of=own)
        own.ok(who, "execute_workflow", name="hello", idempotency_key="again")
        connection = http.client.HTTPConnection("127.0.0.1", own.port, timeout=8)
        self.addCleanup(connection.close)
        head = {"Content-Type": "application/json", "Authorization": "Bearer " + who}
        for tool, more in (("execute_workflow", {"name": "hello", "idempotency_key": "again"}), ("whoami", {})):
            message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": more}}
            connection.request("POST", "/mcp", json.dumps(message), head)
            self.assertFalse(json.loads(connection.getresponse().read())["result"]["isError"])

    def test_a_key_outlives_stop_and_kill(self):
        own = start()
        self.addCleanup(own.close)
        who, ledger = token(of=own), gate()
        good = {"name": "once", "params": {"LEDGER": ledger}, "idempotency_key": "stop"}
        cut = {"name": "once", "params": {"LEDGER": ledger, "GATE": gate()}, "idempotency_key": "kill"}
        first = own.ok(who, "execute_workflow", **good)
        self.assertEqual(own.stop(), 0)
        own.start()
        again = own.ok(who, "execute_workflow", **good)
        self.assertEqual((again["execution_id"], again["existing"]), (first["execution_id"], True))
        second = own.ok(who, "execute_workflow", wait=0, **cut)
        until(lambda: second["execution_id"] in pathlib.Path(ledger).read_text())
        own.kill()
        own.start()
        result = own.call(who, "execute_workflow", **cut)[2]["result"]
        self.assertTrue(result["isError"], "an interrupted run is no success, and not run again")
        shown = result["structuredContent"]
        self.assertEqual((shown["execution_id"], shown["status"]), (second["execution_id"], "interrupted"))
        self.assertEqual(pathlib.Path(ledger).read_text().split(), [first["execution_id"], second["execution_id"]])


class Isolation(unittest.TestCase):
    def test_another_persons_run_looks_like_no_run(self):
        opened, absent = gate(), "01a20793-0000-7000-8000-000000000000"
        run = server.ok(ada, "execute_workflow", name="gate", params={"GATE": opened}, wait=0)["execution_id"]
        until(lambda: server.ok(ada, "get_execution_logs", execution_id=run)["entries"])
        for name, who in {"bob": token("bob"), "ada of another tenant": token("ada", "red"),
                          "admin of another tenant": token("root", "red", scope="admin")}.items():
            for tool, field in (("get_execution", "execution_id"), ("get_execution_logs", "execution_id"),
                                ("cancel_execution", "execution_id"), ("list_executions", "before")):
                with self.subTest((name, tool)):
                    there = server.call(who, tool, **{field: run})[::2]
                    self.assertEqual(there, server.call(who, tool, **{field: absent})[::2])
                    self.assertTrue(there[1]["result"]["isError"])
            self.assertNotIn(run, json.dumps(server.ok(who, "list_executions")))
        self.assertIn(run, json.dumps(server.ok(token("root", scope="admin"), "list_executions", status="running")))
        pathlib.Path(opened).touch()
        self.assertEqual(ended(run)["status"], "finished", "nobody's cancel reached it")


if __name__ == "__main__":
    unittest.main()
