"""People whose token leads to no Kubiya key get one at the first call that needs it: made here, or entered by themselves on a page."""
import concurrent.futures
import hashlib
import json
import re
import unittest
import urllib.parse

from harness import Issuer, Server, until
from test_protocol import Session, modern

BOTH = {"elicitation": {"form": {}, "url": {}}}
SHOW = {"name": "show", "steps": [{"name": "s", "script": 'printf %s "$KUBIYA_API_KEY" | sha256sum | cut -c1-8', "output": "SEEN"}]}
RUN = {"name": "execute_workflow", "arguments": {"name": "show"}}


def path_of(link):
    return "/" + link.split("/", 3)[3]


class Base(unittest.TestCase):
    def serve(self, **env):
        self.issuer = Issuer()
        self.addCleanup(self.issuer.close)
        self.server = Server(self.issuer, env={f"KUBIYA_VAULT_{k}": v for k, v in env.items()})
        self.addCleanup(self.server.close)
        self.server.ok(self.of("author"), "create_workflow", definition=SHOW)

    def of(self, subject, **claims):
        return self.issuer.token(self.server.audience, subject, kubiya_api_key=..., **claims)

    def run_of(self, token):
        run = self.server.ok(token, "execute_workflow", name="show", wait=20)
        self.assertEqual(run["status"], "finished")
        return run["outputs"]["SEEN"].strip()

    def keys(self):
        return [line.split() for line in self.server.cli("key", "list").stdout.splitlines()[1:]]


class Created(Base):
    def test_the_first_call_that_needs_a_key_makes_one(self):
        self.serve(JUST_IN_TIME="create")
        ada, bob = self.of("ada"), self.of("bob")
        self.assertEqual(self.server.ok(ada, "whoami")["api_key"], {"found": False}, "reading needs none")
        self.assertEqual(self.keys(), [])
        seen = self.run_of(ada)
        self.assertRegex(seen, r"^[0-9a-f]{8}$")
        self.assertEqual(self.run_of(ada), seen, "it is kept")
        who = self.server.ok(ada, "whoami")
        self.assertEqual((who["api_key"]["source"], who["api_key"]["fingerprint"], who["scopes"]), ("vault", seen, ["execute", "read"]))
        self.assertEqual(self.server.call(ada, "create_workflow", definition={**SHOW, "name": "more"})[0], 403, "least scopes")
        self.assertNotEqual(self.run_of(bob), seen)
        self.assertEqual(sorted(k[3] for k in self.keys()), ["ada", "bob"])
        self.assertEqual(self.server.leaks(), [])
        events = self.server.cli("audit", "list", "--json").stdout
        self.assertIn("just_in_time", events)

    def test_many_first_calls_make_one_key(self):
        self.serve(JUST_IN_TIME="create", JUST_IN_TIME_SCOPES="execute")
        token = self.of("ada")
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            seen = set(pool.map(lambda _: self.run_of(token), range(8)))
        self.assertEqual((len(seen), len(self.keys())), (1, 1))
        self.assertEqual(self.server.ok(token, "execute_workflow", name="show")["status"], "finished")
        self.assertEqual(self.server.call(token, "list_workflows")[0], 403, "the key may only execute")

    def test_a_legacy_client_too_and_who_may_not_execute_gets_none(self):
        self.serve(JUST_IN_TIME="create")
        result = Session(self.of("ada"), of=self.server).ok("tools/call", {**RUN, "arguments": {"name": "show", "wait": 20}})
        self.assertFalse(result["isError"], result)
        self.assertEqual(self.server.call(self.of("vera", scope="read"), "execute_workflow", name="show")[0], 403)
        self.assertEqual([k[3] for k in self.keys()], ["ada"])

    def test_nothing_is_made_where_it_is_off(self):
        self.serve()
        body = self.server.call(self.of("ada"), "execute_workflow", name="show")[2]
        self.assertIn("No API token provided", json.dumps(body))
        self.assertEqual(self.keys(), [])


class Asked(Base):
    def setUp(self):
        self.serve(JUST_IN_TIME="ask")
        self.ada = self.of("ada")

    def call(self, who=None, capabilities=BOTH, **more):
        status, body = modern(who or self.ada, "tools/call", {**RUN, **more}, capabilities, of=self.server)
        self.assertEqual(status, 200, body)
        return body["result"]

    def fill_in(self, link, key):
        status, _, page = self.server.request("POST", path_of(link), urllib.parse.urlencode({"kubiya_api_key": key}),
                                              {"Content-Type": "application/x-www-form-urlencoded"})
        self.assertEqual(status, 200)
        return re.search(r"next: ([0-9]{8})", page.decode()).group(1)

    def code(self, code):
        return {"inputResponses": {"code": {"action": "accept", "content": {"code": code}}}}

    def test_a_person_enters_their_key_once(self):
        asked = self.call()
        link = asked["inputRequests"]["api_key"]["params"]["url"]
        again = self.call(inputResponses={"api_key": {"action": "accept"}}, requestState=asked["requestState"])
        self.assertEqual(again["inputRequests"]["api_key"]["params"]["url"], link, "nothing was entered yet")
        code = self.fill_in(link, "kb-adas-own")
        next_ = self.call(inputResponses={"api_key": {"action": "accept"}}, requestState=again["requestState"])
        self.assertEqual(list(next_["inputRequests"]), ["code"])
        done = self.call(requestState=next_["requestState"], **self.code(code))
        self.assertEqual(done["structuredContent"]["status"], "finished", done)
        self.assertEqual(self.run_of(self.ada), hashlib.sha256(b"kb-adas-own").hexdigest()[:8])
        self.assertEqual(self.server.ok(self.ada, "whoami")["api_key"]["source"], "vault")
        self.assertIn("vault_key_set", self.server.cli("audit", "list", "--json").stdout)

    def test_a_key_that_somebody_else_entered_is_not_kept(self):
        asked = self.call()
        self.fill_in(asked["inputRequests"]["api_key"]["params"]["url"], "kb-mallorys")
        next_ = self.call(requestState=asked["requestState"])
        self.assertEqual(list(next_["inputRequests"]), ["code"])
        after = self.call(requestState=next_["requestState"], **self.code("00000000"))
        self.assertEqual(list(after["inputRequests"]), ["api_key"], "it begins anew")
        self.assertEqual(self.server.ok(self.ada, "whoami")["api_key"], {"found": False})

    def test_who_cannot_be_asked_gets_the_message_of_always(self):
        for capabilities in ({}, {"elicitation": {"form": {}}}, {"elicitation": {"url": {}}}):
            result = self.call(capabilities=capabilities)
            self.assertTrue(result["isError"])
            self.assertIn("No API token provided", result["content"][0]["text"])


class ByAnAdmin(Base):
    """set_user_key: the key is entered on a page by the administrator, and never passes the client."""

    def setUp(self):
        self.serve()
        self.root = self.of("root", scope="admin")

    def call(self, who=None, capabilities=BOTH, arguments={"subject": "ada"}, **more):
        status, body = modern(who or self.root, "tools/call", {"name": "set_user_key", "arguments": arguments, **more}, capabilities,
                              of=self.server)
        return body["result"] if status == 200 else status

    def fill_in(self, link, key):
        return Asked.fill_in(self, link, key)

    def test_a_key_is_kept_for_somebody(self):
        for key in ("kb-first", "kb-second"):
            asked = self.call()
            link = asked["inputRequests"]["key"]["params"]["url"]
            page = self.server.request("GET", path_of(link), None, {"Accept": "text/html"})[2].decode()
            self.assertIn("for ada of", page)
            self.assertIn("asks root", page)
            code = self.fill_in(link, key)
            next_ = self.call(inputResponses={"key": {"action": "accept"}}, requestState=asked["requestState"])
            done = self.call(requestState=next_["requestState"],
                             inputResponses={"code": {"action": "accept", "content": {"code": code}}})
            self.assertEqual(done["structuredContent"]["kept"], True, done)
            self.assertEqual(self.run_of(self.of("ada")), hashlib.sha256(key.encode()).hexdigest()[:8])
        self.assertIn('"by":"root"', self.server.cli("audit", "list", "--json").stdout.replace(" ", ""))
        self.assertEqual(self.server.ok(self.of("bob"), "whoami")["api_key"], {"found": False})

    def test_a_wrong_code_a_refusal_and_who_may_not(self):
        asked = self.call()
        self.fill_in(asked["inputRequests"]["key"]["params"]["url"], "kb-mallorys")
        next_ = self.call(inputResponses={"key": {"action": "accept"}}, requestState=asked["requestState"])
        wrong = self.call(requestState=next_["requestState"], inputResponses={"code": {"action": "accept", "content": {"code": "00000000"}}})
        self.assertTrue(wrong["isError"])
        asked = self.call()
        declined = self.call(inputResponses={"key": {"action": "decline"}}, requestState=asked["requestState"])
        self.assertTrue(declined["isError"])
        self.assertEqual(self.server.ok(self.of("ada"), "whoami")["api_key"], {"found": False})
        self.assertEqual(self.call(who=self.of("eve")), 403)
        self.assertIn("vault set", self.call(capabilities={})["content"][0]["text"])


if __name__ == "__main__":
    unittest.main()
