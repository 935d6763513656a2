# SPDX-License-Identifier: Apache-2.0
"""The command line of the MCP Inspector, in each era that it can be told to speak.

inspector.py PACKAGES: where node_modules is. Which revision was spoken is read in the server's log,
because the Inspector does not say. It calls only what tools/list offers, so a viewer is not
refused by the server: the Inspector refuses for it.
"""
import json
import os
import subprocess
import sys
import time

CLI = os.path.join(sys.argv[1], "node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js")
TOOLS = ["cancel_execution", "create_api_key", "create_workflow", "decide_approval", "execute_workflow", "get_execution",
         "get_execution_logs", "get_workflow", "list_api_keys", "list_approvals", "list_executions", "list_workflows",
         "revoke_api_key", "rotate_api_key", "update_workflow", "validate_workflow", "whoami"]
MODES = [([], "default", "2025-11-25"), (["--protocol-era", "auto"], "`--protocol-era auto`", "2026-07-28"),
         (["--protocol-era", "modern"], "`--protocol-era modern`", "2026-07-28")]


def inspect(token, era, *arguments):
    """What it printed as JSON, the result or the error."""
    done = subprocess.run(["node", CLI, "--cli", os.environ["BASE_URL"] + "/mcp", "--transport", "http", "--format", "json",
                           "--stored-auth-only", *era, "--header", f"Authorization: Bearer {os.environ[token]}", *arguments],
                          capture_output=True, text=True, timeout=60)
    said = done.stdout if done.returncode == 0 else done.stderr
    answers = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    assert len(answers) == 1, (done.returncode, done.stdout, done.stderr)
    return answers[0]


def call(era, tool, token="DEPLOYER_TOKEN", **arguments):
    return inspect(token, era, "--method", "tools/call", "--tool-name", tool, "--tool-args-json", json.dumps(arguments))


def run_of(answer):
    assert not answer["result"].get("isError"), answer
    return answer["result"]["structuredContent"]


def spoken_since(position):
    with open(os.environ["SERVER_LOG"], encoding="utf-8", errors="replace") as log:
        log.seek(position)
        lines = [json.loads(line) for line in log if line.startswith("{")]
    return {line["era"] for line in lines if line.get("method") == "tools/call"}


def check(era, revision):
    names = sorted(tool["name"] for tool in inspect("DEPLOYER_TOKEN", era, "--method", "tools/list")["result"]["tools"])
    assert names == TOOLS, names
    before = os.path.getsize(os.environ["SERVER_LOG"])
    run = run_of(call(era, "execute_workflow", name="hello"))
    assert (run["status"], run["subject"]) == ("finished", "deployer"), run
    assert spoken_since(before) == {revision}, spoken_since(before)
    run = run_of(call(era, "execute_workflow", name="long-running", params={"SECONDS": "3"}, wait=0))
    assert run["status"] in ("queued", "running"), run
    end = time.monotonic() + 60
    while run["status"] in ("queued", "running") and time.monotonic() < end:
        run = run_of(call(era, "get_execution", execution_id=run["execution_id"]))
    assert run["status"] == "finished", run
    refused = call(era, "execute_workflow", token="VIEWER_TOKEN", name="hello")
    assert refused["error"]["code"] == "tool_not_found", refused


def main():
    failed = 0
    for era, label, revision in MODES:
        try:
            check(era, revision)
            print(f"ok   {label}: lists, runs, follows a long run, is not offered what a viewer may not")
            print(f"result: {label} | {revision}")
        except (AssertionError, KeyError, ValueError, subprocess.TimeoutExpired) as why:
            failed += 1
            print(f"FAIL {label}: {why!r}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
