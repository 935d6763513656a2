"""Published workflows: a workflow that says so is a tool of its own."""
import json
import unittest

from harness import ROOT, Issuer, Server

META = "io.modelcontextprotocol/"


def definition(name, **more):
    return {"name": name, "description": "Greets one person", "params": {
        "who": {"required": True, "description": "Whom"}, "times": {"type": "integer", "default": 1},
        "tone": {"enum": ["warm", "cold"], "default": "warm"}},
        "steps": [{"name": "say", "script": 'echo "$tone hello $who $times by $KUBIYA_SUBJECT"', "output": "SAID"}], **more}


class Published(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.issuer = Issuer()
        cls.addClassCleanup(cls.issuer.close)
        cls.server = Server(cls.issuer, env={"KUBIYA_AUTH_TENANT_CLAIM": "org"})
        cls.addClassCleanup(cls.server.close)

    def token(self, subject="ada", org="default", **claims):
        return self.issuer.token(self.server.audience, subject, org=org, **claims)

    def tools(self, token):
        return {t["name"]: t for t in self.server.rpc(token, "tools/list")[2]["result"]["tools"]}

    def error(self, token, tool, **arguments):
        result = self.server.call(token, tool, **arguments)[2]["result"]
        self.assertTrue(result["isError"], result)
        return result["content"][0]["text"]

    def test_its_life(self):
        ada = self.token()
        self.server.ok(ada, "create_workflow", definition=definition("greet", publish={"tool": "greet_person", "title": "Greet"}))
        tool = self.tools(ada)["greet_person"]
        self.assertEqual((tool["title"], tool["description"]), ("Greet", "Greets one person"))
        schema = tool["inputSchema"]
        self.assertEqual(schema["required"], ["who"])
        self.assertEqual(schema["properties"]["times"], {"type": "integer", "default": 1})
        self.assertEqual(schema["properties"]["tone"]["enum"], ["warm", "cold"])
        self.assertEqual(tool["annotations"]["readOnlyHint"], False)
        run = self.server.ok(ada, "greet_person", who="bob", times=3)
        self.assertEqual((run["status"], run["workflow"], run["outputs"]),
                         ("finished", "greet", {"SAID": "warm hello bob 3 by ada"}))
        self.assertIn("tone", self.error(ada, "greet_person", who="bob", tone="loud"))
        self.assertIn("who", self.error(ada, "greet_person"))
        self.assertNotIn("greet_person", self.tools(self.token("eve", org="other")), "another tenant has none of it")
        status, _, body = self.server.call(self.token("eve", org="other"), "greet_person", who="x")
        self.assertEqual((status, body["error"]["code"]), (400, -32602))
        self.assertNotIn("greet_person", self.tools(self.token("viewer", scope="read")))
        status, headers, _ = self.server.call(self.token("viewer", scope="read"), "greet_person", who="x")
        self.assertEqual(status, 403)
        self.assertIn('scope="execute"', headers["www-authenticate"])
        records = [json.loads(r) for r in self.server.cli("audit", "list", "--json", "--run", run["execution_id"]).stdout.splitlines()]
        self.assertIn(("execute_workflow", "greet", "ada"), [(r.get("operation"), r.get("target"), r.get("subject")) for r in records])
        self.server.ok(ada, "update_workflow", definition=definition("greet"))
        self.assertNotIn("greet_person", self.tools(ada), "no longer published")

    def test_the_example_of_the_documentation(self):
        text = (ROOT / "docs" / "protocol.md").read_text().split("```yaml\n")[1].split("```")[0]
        self.server.ok(self.token(), "create_workflow", definition=text)
        olga = self.token("olga", scope="read execute ops")
        run = self.server.ok(olga, "welcome_person", who="bob", tone="cold", times=2)
        logs = self.server.ok(olga, "get_execution_logs", execution_id=run["execution_id"])
        self.assertEqual(logs["entries"][0]["text"], "cold hello, bob, 2 times\n")

    def test_needs_its_own_scopes_too(self):
        ada = self.token()
        self.server.ok(ada, "create_workflow", definition=definition("guarded", publish={"scopes": ["ops"], "readOnly": True}))
        self.assertNotIn("guarded", self.tools(ada))
        status, headers, _ = self.server.call(ada, "guarded", who="x")
        self.assertEqual(status, 403)
        self.assertIn("ops", headers["www-authenticate"])
        ops = self.token("olga", scope="read execute ops")
        self.assertTrue(self.tools(ops)["guarded"]["annotations"]["readOnlyHint"])
        self.assertEqual(self.server.ok(ops, "guarded", who="x")["status"], "finished")

    def test_names_do_not_collide(self):
        ada = self.token()
        self.assertIn("whoami", self.error(ada, "create_workflow", definition=definition("w1", publish={"tool": "whoami"})))
        self.server.ok(ada, "create_workflow", definition=definition("one", publish={"tool": "shared"}))
        told = self.error(ada, "create_workflow", definition=definition("two", publish={"tool": "shared"}))
        self.assertIn("one", told)
        self.assertIn("publish", told)
        self.server.ok(self.token("eve", org="other"), "create_workflow", definition=definition("two", publish={"tool": "shared"}))

    def test_it_is_there_after_a_restart(self):
        ada = self.token()
        self.server.ok(ada, "create_workflow", definition=definition("stays", publish=True))
        self.assertEqual(self.server.stop(), 0)
        self.server.start()
        self.assertIn("stays", self.tools(ada))

    def test_with_the_tasks_extension_it_is_a_task(self):
        ada = self.token()
        self.server.ok(ada, "create_workflow", definition=definition("later", publish=True))
        tasks = {META + "clientCapabilities": {"extensions": {META + "tasks": {}}}}
        made = self.server.rpc(ada, "tools/call", {"name": "later", "arguments": {"who": "x"}, "_meta": tasks})[2]["result"]
        self.assertEqual(made["resultType"], "task")
        shown = {"status": "working"}
        while shown["status"] == "working":
            shown = self.server.rpc(ada, "tasks/get", {"taskId": made["taskId"], "_meta": tasks},
                                    {"Mcp-Name": made["taskId"]})[2]["result"]
        self.assertEqual((shown["status"], shown["result"]["structuredContent"]["status"]), ("completed", "finished"))


if __name__ == "__main__":
    unittest.main()
