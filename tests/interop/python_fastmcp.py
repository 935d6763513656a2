# SPDX-License-Identifier: Apache-2.0
"""fastmcp's client, made as the snippet "Using MCP Client" of README.md makes it."""
import asyncio
import os
import sys
import traceback
import urllib.parse

import httpx2
from fastmcp.client import Client
from fastmcp.client.transports import StreamableHttpTransport
from mcp import MCPError

TOOLS = ["cancel_execution", "create_api_key", "create_workflow", "decide_approval", "execute_workflow", "get_execution",
         "get_execution_logs", "get_workflow", "list_api_keys", "list_approvals", "list_executions", "list_workflows",
         "revoke_api_key", "rotate_api_key", "update_workflow", "validate_workflow", "whoami"]
PORT = urllib.parse.urlsplit(os.environ["BASE_URL"]).port
# The default of fastmcp asks for the newest revision both sides know.
MODES = [("default", "default", {}, "2026-07-28"), ("legacy", '`mode="legacy"`', {"mode": "legacy"}, "2025-11-25")]


def client_of(token, **options):
    transport = StreamableHttpTransport(f"http://localhost:{PORT}/mcp", auth=token)
    return Client(transport, **options)


def watched_client_of(token, answers, **options):
    """The same, and each HTTP answer's status and challenge go to `answers`."""
    async def watch(response):
        answers.append((response.status_code, response.headers.get("www-authenticate", "")))

    transport = StreamableHttpTransport(
        f"http://localhost:{PORT}/mcp", auth=token,
        httpx_client_factory=lambda **more: httpx2.AsyncClient(
            **more, event_hooks={"response": [watch]}))
    return Client(transport, **options)


def expect(seen, wanted):
    if seen != wanted:
        raise AssertionError(f"{seen!r} is not {wanted!r}")


async def lists_tools(client, _):
    expect(sorted(tool.name for tool in await client.list_tools()), TOOLS)


async def knows_who_asks(client, _):
    result = await client.call_tool("whoami", {})
    expect(result.structured_content["subject"], "deployer")


async def runs_hello(client, label):
    progress = []

    async def on_progress(done, total, message):
        progress.append(done)

    result = await client.call_tool("execute_workflow", {"name": "hello", "params": {"NAME": label}},
                                    progress_handler=on_progress)
    run = result.structured_content
    expect(run["status"], "finished")
    expect(run["subject"], "deployer")
    expect(bool(progress), True)
    expect(progress, sorted(set(progress)))
    logs = await client.call_tool("get_execution_logs", {"execution_id": run["execution_id"]})
    printed = "\n".join(entry["text"] for entry in logs.structured_content["entries"]
                        if entry["stream"] == "stdout")
    expect(f"Hello, {label}!" in printed.splitlines(), True)
    expect("This run acts as deployer of tenant default." in printed.splitlines(), True)


async def follows_a_long_run(client, _):
    run = (await client.call_tool("execute_workflow", {"name": "long-running", "params": {"SECONDS": "2"}, "wait": 0})
           ).structured_content
    expect(run["status"] in ("queued", "running"), True)
    async with asyncio.timeout(60):
        while run["status"] in ("queued", "running"):
            await asyncio.sleep(0.1)
            run = (await client.call_tool("get_execution", {"execution_id": run["execution_id"]})).structured_content
    expect(run["status"], "finished")


async def refuses_the_viewer(options):
    answers = []
    async with watched_client_of(os.environ["VIEWER_TOKEN"], answers, **options) as viewer:
        expect((await viewer.call_tool("whoami", {})).structured_content["subject"], "viewer")
        answers.clear()
        try:
            await viewer.call_tool("execute_workflow", {"name": "hello"})
        except MCPError as error:
            refusal = str(error)
        else:
            raise AssertionError("a viewer ran a workflow")
    status, challenge = answers[0]
    expect(status, 403)
    expect('error="insufficient_scope"' in challenge and 'scope="execute"' in challenge, True)
    return refusal


class Report:
    def __init__(self):
        self.failed = 0

    async def check(self, name, work):
        try:
            seen = await work
            print(f"ok   {name}" + (f": {seen}" if seen else ""))
        except Exception:
            self.failed += 1
            print(f"FAIL {name}: {traceback.format_exc()}")


async def connects_and_works(report, label, options, revision):
    async with client_of(os.environ["DEPLOYER_TOKEN"], **options) as client:
        expect(client.protocol_version, revision)
        await report.check(f"{label}: lists the 11 tools it may use", lists_tools(client, label))
        await report.check(f"{label}: whoami is the deployer", knows_who_asks(client, label))
        await report.check(f"{label}: runs hello and is told its progress",
                           runs_hello(client, label))
        await report.check(f"{label}: follows a long run to its end", follows_a_long_run(client, label))


async def main():
    report = Report()
    for mode, how, options, revision in MODES:
        label = f"fastmcp-{mode}"
        await report.check(f"{label}: connects and negotiates {revision}",
                           connects_and_works(report, label, options, revision))
        await report.check(f"{label}: a viewer's call is refused", refuses_the_viewer(options))
        print(f"result: {how} | {revision}")
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
