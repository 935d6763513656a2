"""Approval steps: a run waits until people have agreed, and the record says who."""
import json
import pathlib
import unittest

from harness import Issuer, Server, until

DEPLOY = """name: deploy
params:
  - TARGET: staging
steps:
  - {name: build, command: echo built}
  - name: agree
    type: approval
    depends: build
    approval:
      message: Deploy ${TARGET}?
      groups: [release-managers]
      scopes: ["approve:deploy"]
      quorum: 2
      notRequester: true
  - {name: ship, command: 'echo shipped ${TARGET}', depends: agree, output: SHIPPED}
"""


class Approvals(unittest.TestCase):
    def setUp(self):
        self.issuer = Issuer()
        self.addCleanup(self.issuer.close)
        self.server = Server(self.issuer, env={"KUBIYA_AUTH_ROLE_CLAIMS": "groups"})
        self.addCleanup(self.server.close)
        self.make(DEPLOY)

    def make(self, text, name="deploy"):
        self.server.ok(self.of("author"), "create_workflow", name=name, definition=text)

    def of(self, subject, *groups, **claims):
        return self.issuer.token(self.server.audience, subject, groups=list(groups), **claims)

    def begin(self, name="deploy", by="ada", **params):
        """A run of Ada's that waits, and what it asks."""
        run = self.server.ok(self.of(by, "release-managers"), "execute_workflow", name=name, params=params, wait=0)["execution_id"]
        return run, until(lambda: self.open(self.of(by), run))[0]

    def open(self, token, run=None):
        asked = {"status": "open", **({"execution_id": run} if run else {})}
        return self.server.ok(token, "list_approvals", **asked)["approvals"]

    def decide(self, token, approval, decision="approve", **more):
        return self.server.call(token, "decide_approval", **{"approval_id": approval["approval_id"],
                                                             "digest": approval["digest"], "decision": decision, **more})

    def agreed(self, *arguments, **more):
        status, _, body = self.decide(*arguments, **more)
        self.assertEqual(status, 200)
        self.assertFalse(body["result"].get("isError"), body)
        return body["result"]["structuredContent"]

    def refused(self, text, answer):
        body = answer[2]
        self.assertIn(text, json.dumps(body))
        self.assertTrue(answer[0] != 200 or body.get("error") or body["result"].get("isError"), body)

    def ended(self, run):
        return until(lambda: [r for r in [self.server.ok(self.of("ada"), "get_execution", execution_id=run)]
                              if r["status"] not in ("queued", "running")])[0]

    def records(self, event):
        lines = [l for p in pathlib.Path(self.server.data, "audit").glob("audit-*.jsonl") for l in p.read_text().splitlines()]
        return [json.loads(l) for l in lines if f'"{event}"' in l]

    def test_a_run_waits_for_two_people_and_then_goes_on(self):
        run, asked = self.begin(TARGET="production")
        self.assertEqual(asked["message"], "Deploy production?")
        self.assertEqual(asked["params"], {"TARGET": "production"})
        shown = self.server.ok(self.of("ada"), "get_execution", execution_id=run)
        self.assertEqual(shown["waits_for"][0]["approval_id"], asked["approval_id"])
        self.assertEqual([s["status"] for s in shown["steps"]], ["finished", "waiting", "not_started"])
        first = self.agreed(self.of("mia", "release-managers"), asked, comment="looked at it")
        self.assertEqual((first["status"], len(first["votes"])), ("open", 1))
        second = self.agreed(self.of("sam", scope="read execute approve:deploy"), asked)
        self.assertEqual(second["status"], "approved")
        done = self.ended(run)
        self.assertEqual((done["status"], done["outputs"]["SHIPPED"].strip()), ("finished", "shipped production"))
        self.assertIn("mia", [s for s in done["steps"] if s["name"] == "agree"][0]["reason"].lower())
        decided = until(lambda: [r for r in [self.records("approval_decided")] if len(r) == 2])[0]
        self.assertEqual([r["fields"]["subject"] for r in decided], ["mia", "sam"])
        self.assertEqual({r["fields"]["digest"] for r in decided}, {asked["digest"]})
        self.server.cli("audit", "verify")

    def test_only_who_is_named_may_decide_once_and_what_they_saw(self):
        run, asked = self.begin()
        mia = self.of("mia", "release-managers")
        self.refused("somebody else has to decide", self.decide(self.of("ada", "release-managers"), asked))
        self.refused("There is no such approval", self.decide(self.of("eve", "others"), asked))
        self.refused("There is no such approval", self.decide(mia, {**asked, "approval_id": "0" * 8}))
        self.refused("The digest is not of what waits", self.decide(mia, {**asked, "digest": "0" * 64}))
        status, headers, _ = self.decide(self.of("mia", "release-managers", scope="read"), asked)
        self.assertEqual(status, 403)
        self.assertIn("execute", headers["www-authenticate"])
        self.agreed(mia, asked)
        self.refused("decided this approval already", self.decide(mia, asked))
        self.assertEqual(self.open(self.of("eve", "others")), [])
        self.assertEqual(len(self.open(self.of("rob", "release-managers"))), 1)
        self.assertEqual(self.server.ok(self.of("ada"), "get_execution", execution_id=run)["status"], "running")

    def test_one_no_ends_the_run_and_nothing_ships(self):
        run, asked = self.begin()
        told = self.agreed(self.of("mia", "release-managers"), asked, "reject", comment="not on a Friday")
        self.assertEqual(told["status"], "rejected")
        done = self.ended(run)
        self.assertEqual(done["status"], "rejected")
        self.assertIn("not on a Friday", done["reason"])
        self.assertEqual([s["status"] for s in done["steps"] if s["name"] == "ship"], ["canceled"])
        self.assertNotIn("SHIPPED", done["outputs"])
        self.refused("not open any more", self.decide(self.of("sam", "release-managers"), asked))

    def test_without_an_answer_in_time_the_run_ends(self):
        self.make(DEPLOY.replace("name: deploy", "name: soon").replace("quorum: 2", "expiresSec: 1"), "soon")
        run, _ = self.begin("soon")
        done = self.ended(run)
        self.assertEqual(done["status"], "expired")
        self.assertEqual(len(until(lambda: self.records("approval_expired"))), 1)

    def test_a_canceled_run_withdraws_its_question(self):
        run, asked = self.begin()
        self.server.ok(self.of("ada"), "cancel_execution", execution_id=run)
        self.assertEqual(self.ended(run)["status"], "canceled")
        self.refused("not open any more", self.decide(self.of("mia", "release-managers"), asked))
        self.assertEqual(self.server.ok(self.of("ada"), "list_approvals")["approvals"][0]["status"], "withdrawn")

    def test_a_killed_server_ends_the_run_and_the_question_and_ships_nothing(self):
        run, asked = self.begin()
        self.server.kill()
        self.server.start()
        done = self.ended(run)
        self.assertEqual(done["status"], "interrupted")
        self.assertEqual([s["status"] for s in done["steps"] if s["name"] == "ship"], ["canceled"])
        self.assertEqual(self.open(self.of("mia", "release-managers")), [])

    def test_a_definition_that_nobody_could_approve_is_refused(self):
        rows = {"nobody": ("groups: [release-managers]\n      scopes: [\"approve:deploy\"]", "message: x"),
                "a command": ("type: approval", "type: approval\n    command: echo"),
                "a quorum of none": ("quorum: 2", "quorum: 0"), "an unknown member": ("quorum: 2", "quorums: 2")}
        for name, (old, new) in rows.items():
            with self.subTest(name):
                self.assertIn(old, DEPLOY)
                _, _, body = self.server.call(self.of("author"), "validate_workflow", definition=DEPLOY.replace(old, new))
                self.assertFalse(body["result"]["structuredContent"]["valid"], body)


if __name__ == "__main__":
    unittest.main()
