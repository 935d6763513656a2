"""Runs of workflows: against the disk's group-commit limit and a bare spawn loop."""
import http.client
import json
import statistics
import subprocess
import threading
import time

from lab import CALL, HEADERS, SERVER_CORE, TOOLS, note, record


def many_calls(port, token, seconds, callers):
    """Calls per second of execute_workflow, each caller on its own connection, one after the other."""
    end = time.monotonic() + seconds
    count = [0] * callers
    body = json.loads(CALL)
    body["params"]["name"] = "execute_workflow"
    body["params"]["arguments"] = {"name": "noop", "wait": 60}
    text = json.dumps(body)
    headers = {**HEADERS, "Mcp-Name": "execute_workflow", "Authorization": "Bearer " + token}
    failures = []

    def caller(index):
        connection = http.client.HTTPConnection("127.0.0.1", port)
        while time.monotonic() < end:
            connection.request("POST", "/mcp", text, headers)
            answer = connection.getresponse()
            data = answer.read()
            if answer.status != 200 or json.loads(data)["result"]["structuredContent"]["status"] != "finished":
                failures.append(data[:300])
                return
            count[index] += 1

    threads = [threading.Thread(target=caller, args=(i,)) for i in range(callers)]
    begin = time.monotonic()
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if failures:
        raise SystemExit(f"bench: a call failed: {failures[0]!r}")
    return sum(count) / (time.monotonic() - begin)


def runs(world, args, name):
    server, port, audience = world.server()
    token = world.tokens(audience, "bench", 1)[0]
    ours, disk, spawn = [], [], []
    for round_ in range(args.rounds):
        ours.append(many_calls(port, token, args.seconds, 64))
        run = lambda *a: float(subprocess.run(["taskset", "-c", SERVER_CORE, TOOLS, *map(str, a)], check=True,
                                              capture_output=True, text=True).stdout)
        disk.append(run("group-commit", world.dir / "commit", 64, 1))
        spawn.append(run("spawn", max(2, args.seconds / 2)))
        note(f"{name} round {round_ + 1}: {ours[-1]:.0f} durable one-step calls/s; disk {disk[-1]:.0f} records/s at 64 a sync; "
             f"bare spawn {spawn[-1]:.0f}/s")
    world.stop(server)
    ratio = lambda base: statistics.median(a / b for a, b in zip(ours, base))
    if name == "audit":
        record("audit", "durable_calls_per_s", statistics.median(ours), "1/s", statistics.median(disk), ratio(disk))
    else:
        record("engine", "steps_per_s", statistics.median(ours), "1/s", statistics.median(spawn), ratio(spawn))


def audit(world, args):
    runs(world, args, "audit")


def engine(world, args):
    runs(world, args, "engine")
