"""The trace a caller tells of, from `_meta` to the steps of the run, the run itself and the log."""
import json
import pathlib
import shutil
import tempfile
import unittest

from harness import Issuer, Server, until

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SPAN}-01"
SCRIPT = 'echo "<$TRACEPARENT> <$TRACESTATE> <$BAGGAGE>"'


def setUpModule():
    global issuer, server, ada
    issuer = Issuer()
    flows = pathlib.Path(tempfile.mkdtemp(prefix="kubiya-traces-test-"))
    (flows / "show.json").write_text(json.dumps({"name": "show", "steps": [{"name": "show", "script": SCRIPT}]}))
    server = Server(issuer, workflows=flows)
    ada = issuer.token(server.audience)
    for close in (lambda: shutil.rmtree(flows), issuer.close, server.close):
        unittest.addModuleCleanup(close)


def execute(meta):
    """What the step saw, the run as get_execution shows it, the log line of the call."""
    lines = lambda: [l for l in server.log.read_text().splitlines() if '"tool":"execute_workflow"' in l]
    before = len(lines())
    status, _, body = server.rpc(ada, "tools/call", {"name": "execute_workflow", "arguments": {"name": "show"}, "_meta": meta})
    assert status == 200, body
    run = body["result"]["structuredContent"]["execution_id"]
    said = server.ok(ada, "get_execution_logs", execution_id=run)["entries"][0]["text"].strip()
    line = until(lambda: lines()[before:])[0]
    return said, server.ok(ada, "get_execution", execution_id=run), json.loads(line)


class Traces(unittest.TestCase):
    def test_a_trace_goes_on_in_the_run_and_in_the_log(self):
        said, run, line = execute({"traceparent": PARENT, "tracestate": "rojo=1,congo=2", "baggage": "userId=alice;p=1"})
        self.assertEqual(said, f"<{PARENT}> <rojo=1,congo=2> <userId=alice;p=1>")
        self.assertEqual(run["traceparent"], PARENT)
        self.assertEqual((line["trace_id"], line["parent_id"]), (TRACE, SPAN))

    def test_a_call_without_one_leaves_no_trace(self):
        said, run, line = execute({})
        self.assertEqual(said, "<> <> <>")
        self.assertNotIn("traceparent", run)
        self.assertNotIn("trace_id", line)

    def test_what_is_malformed_is_not_there_and_fails_nobody(self):
        for meta in ({"traceparent": PARENT.upper(), "tracestate": "a=b"}, {"traceparent": 1, "baggage": ["a=b"]},
                     {"traceparent": PARENT + "\n", "baggage": "a=b\nPATH=/evil"}, {"baggage": "a=" + "x" * 9000},
                     {"traceparent": "00-" + "0" * 32 + f"-{SPAN}-01"}):
            said, run, line = execute(meta)
            self.assertEqual(said, "<> <> <>", meta)
            self.assertNotIn("traceparent", run)
            self.assertNotIn("trace_id", line)
        said, run, _ = execute({"traceparent": PARENT, "tracestate": "A=b"})
        self.assertEqual(said, f"<{PARENT}> <> <>")


if __name__ == "__main__":
    unittest.main()
