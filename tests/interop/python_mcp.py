# SPDX-License-Identifier: Apache-2.0
"""The official Python client (mcp 2.x), as it connects by default and with the handshake of 2025."""
import asyncio
import os
import sys
import traceback

import httpx2
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client

TOOLS = ["cancel_execution", "create_api_key", "create_workflow", "decide_approval", "execute_workflow", "get_execution",
         "get_execution_logs", "get_workflow", "list_api_keys", "list_approvals", "list_executions", "list_workflows",
         "revoke_api_key", "rotate_api_key", "update_workflow", "validate_workflow", "whoami"]
MODES = [("default", {}, "2026-07-28"), ('`mode="legacy"`', {"mode": "legacy"}, "2025-11-25")]


def client_of(token, answers, **options):
    """Each HTTP answer's status and challenge go to `answers`."""
    async def watch(response):
        answers.append((response.status_code, response.headers.get("www-authenticate", "")))

    http = httpx2.AsyncClient(headers={"Authorization": f"Bearer {os.environ[token]}"}, timeout=60,
                              event_hooks={"response": [watch]})
    return Client(streamable_http_client(os.environ["BASE_URL"] + "/mcp", http_client=http), **options)


async def call(client, tool, progress=None, **arguments):
    result = await client.call_tool(tool, arguments, progress_callback=progress)
    assert not result.is_error, result
    return result.structured_content


async def lists_and_runs(client):
    names = sorted(tool.name for tool in (await client.list_tools()).tools)
    assert names == TOOLS, names
    told = []

    async def progress(done, _total, _message):
        told.append(done)

    run = await call(client, "execute_workflow", progress, name="hello")
    assert (run["status"], run["subject"]) == ("finished", "deployer"), run
    assert told and told == sorted(set(told)), told


async def follows_a_long_run(client):
    run = await call(client, "execute_workflow", name="long-running", params={"SECONDS": "2"}, wait=0)
    assert run["status"] in ("queued", "running"), run
    async with asyncio.timeout(60):
        while run["status"] in ("queued", "running"):
            await asyncio.sleep(0.1)
            run = await call(client, "get_execution", execution_id=run["execution_id"])
    assert run["status"] == "finished", run


async def refuses_the_viewer(options):
    answers = []
    async with client_of("VIEWER_TOKEN", answers, **options) as viewer:
        try:
            await viewer.call_tool("execute_workflow", {"name": "hello"})
        except MCPError:
            pass
        else:
            raise AssertionError("a viewer ran a workflow")
        refused = [challenge for status, challenge in answers if status == 403]
        assert len(refused) == 1 and 'error="insufficient_scope"' in refused[0] and 'scope="execute"' in refused[0], answers
        assert (await call(viewer, "whoami"))["subject"] == "viewer"


async def main():
    failed = 0
    for label, options, revision in MODES:
        try:
            async with client_of("DEPLOYER_TOKEN", [], **options) as client:
                assert client.protocol_version == revision, client.protocol_version
                await lists_and_runs(client)
                await follows_a_long_run(client)
            await refuses_the_viewer(options)
            print(f"ok   {label}: lists, runs with progress, follows a long run, is refused for scope and goes on")
            print(f"result: {label} | {revision}")
        except Exception:
            failed += 1
            print(f"FAIL {label}: {traceback.format_exc()}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
