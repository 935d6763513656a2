"""The two eras side by side, many open streams, and progress to many at once."""
import http.client
import json
import selectors
import socket
import statistics
import threading
import time

from lab import (CALL, CPU, HEADERS, P99, RATE, Load, Rounds, call, lua, many_files, note, record, rss_mib)
from memory import MANY

LEGACY = "2025-11-25"
META = "io.modelcontextprotocol/"


def message(head, body, token):
    lines = "".join(f"{k}: {v}\r\n" for k, v in {**head, "Authorization": "Bearer " + token, "Content-Length": len(body)}.items())
    return f"POST /mcp HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n{body}".encode()


def modern(method, params, ident=1, **meta):
    """Headers and body of a request of 2026-07-28."""
    params = {**params, "_meta": {META + "protocolVersion": "2026-07-28", META + "clientCapabilities": {}, **meta}}
    head = {**HEADERS, "Mcp-Method": method}
    head.pop("Mcp-Name")
    if "name" in params:
        head["Mcp-Name"] = params["name"]
    return head, json.dumps({"jsonrpc": "2.0", "id": ident, "method": method, "params": params})


def open_session(port, token):
    head = {"Content-Type": "application/json", "Accept": HEADERS["Accept"], "Authorization": "Bearer " + token}
    connection = http.client.HTTPConnection("127.0.0.1", port)
    hello = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
        "protocolVersion": LEGACY, "capabilities": {}, "clientInfo": {"name": "bench", "version": "1"}}}
    connection.request("POST", "/mcp", json.dumps(hello), head)
    answer = connection.getresponse()
    answer.read()
    head.update({"Mcp-Session-Id": answer.headers["Mcp-Session-Id"], "MCP-Protocol-Version": LEGACY})
    connection.request("POST", "/mcp", json.dumps({"jsonrpc": "2.0", "method": "notifications/initialized"}), head)
    connection.getresponse().read()
    connection.close()
    head.pop("Authorization")
    return head


def eras(world, args):
    server, port, audience = world.server()
    token = world.tokens(audience, "bench", 1)[0]
    tokens = world.file("one-token", token + "\n")
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "whoami", "arguments": {}}})
    url = f"http://127.0.0.1:{port}/mcp"
    rounds = Rounds(args, "protocol", Load("legacy", url, lua(world.dir / "legacy.lua", tokens, body, open_session(port, token)), server.pid),
                    Load("modern", url, lua(world.dir / "modern.lua", tokens), server.pid))
    rounds.record("protocol", "modern_call_cpu", "modern", "legacy", CPU)
    rounds.record("protocol", "modern_calls_per_s", "modern", "legacy", RATE)
    rounds.record("protocol", "modern_call_p99", "modern", "legacy", P99)
    world.stop(server)


class Streams:
    """Many event streams, each read to its last complete event; who got what, and when."""

    def __init__(self):
        self.selector = selectors.DefaultSelector()
        self.all = []

    def open(self, port, raw, index):
        # Several source addresses: one has too few ports.
        s = socket.create_connection(("127.0.0.1", port), source_address=(f"127.0.0.{2 + index % 4}", 0))
        s.sendall(raw)
        s.setblocking(False)
        stream = {"socket": s, "text": b"", "events": [], "done": False}
        self.selector.register(s, selectors.EVENT_READ, stream)
        self.all.append(stream)

    def read(self, until, seconds):
        """Reads on until `until` says so; false when it took too long."""
        end = time.monotonic() + seconds
        while not until():
            if time.monotonic() > end:
                return False
            for key, _ in self.selector.select(0.05):
                self.take(key.data)
        return True

    def take(self, stream):
        data = stream["socket"].recv(65536)
        if not data:
            self.selector.unregister(stream["socket"])
            stream["done"] = True
            return
        now = time.monotonic()
        *whole, stream["text"] = (stream["text"] + data).split(b"\n\n")
        for event in whole:
            data = [line[5:].strip() for line in event.split(b"\n") if line.startswith(b"data:")]
            if data and data[0]:
                stream["events"].append((now, json.loads(data[0])))

    def close(self):
        for stream in self.all:
            stream["socket"].close()


def listeners(world, args):
    count = 200 if args.smoke else min(10000, many_files() - 500)
    server, port, audience = world.server("--config", world.file("many.yaml", MANY))
    token = world.tokens(audience, "bench", 1)[0]
    call(port, token)
    time.sleep(0.5)
    before = rss_mib(server.pid)
    streams = Streams()
    raw = message(*modern("subscriptions/listen", {"notifications": {"resourcesListChanged": True}}, "listen"), token)
    for index in range(count):
        streams.open(port, raw, index)
    if not streams.read(lambda: all(s["events"] for s in streams.all), 60):
        raise SystemExit("bench: a listener was not acknowledged")
    time.sleep(0.2 if args.smoke else 3)
    each = (rss_mib(server.pid) - before) * 1024 / count
    record("protocol", f"memory_of_a_listener_of_{count}", each, "KiB", 25, each / 25)
    took = []
    for round_ in range(args.rounds):
        begin = time.monotonic()
        call(port, token, "create_workflow", {"name": f"new-{round_}", "definition": f"name: new-{round_}\nsteps: [{{name: a, command: 'true'}}]"})
        if not streams.read(lambda: all(len(s["events"]) == round_ + 2 for s in streams.all), 20):
            raise SystemExit("bench: a listener did not hear of a change")
        took.append((max(s["events"][-1][0] for s in streams.all) - begin) * 1000)
        note(f"protocol: {count} listeners heard of a change within {took[-1]:.0f} ms")
    record("protocol", f"fan_out_to_{count}", statistics.median(took), "ms", 1000, statistics.median(took) / 1000)
    streams.close()
    world.stop(server)


def progress(world, args):
    """Callers that follow one run, of which something happens ten times a second."""
    count, steps = (50, 5) if args.smoke else (1000, 50)
    many_files()
    text = "name: ticking\nsteps:\n" + "".join(f"  - {{name: s{i}, command: sleep 0.2}}\n" for i in range(steps))
    (world.dir / "workflows" / "ticking.yaml").write_text(text)
    server, port, audience = world.server("--config", world.file("many.yaml", MANY))
    token = world.tokens(audience, "bench", 1)[0]
    streams = Streams()
    arguments = {"name": "ticking", "wait": 120, "idempotency_key": "one-run"}
    for index in range(count):
        head, body = modern("tools/call", {"name": "execute_workflow", "arguments": arguments}, index, progressToken=index)
        streams.open(port, message(head, body, token), index)
    begin = time.monotonic()
    if not streams.read(lambda: all(s["events"] and "result" in s["events"][-1][1] for s in streams.all), 120):
        raise SystemExit("bench: a stream of progress did not end")
    took = time.monotonic() - begin
    events, lags = {}, 0
    for s in streams.all:
        marks = [e["params"]["progress"] for _, e in s["events"] if e.get("method") == "notifications/progress"]
        if marks != sorted(set(marks)) or not marks or marks[-1] != steps:
            raise SystemExit(f"bench: progress was lost or out of order: {marks}")
        for when, e in s["events"]:
            if e.get("method") == "notifications/progress":
                events.setdefault(e["params"]["progress"], []).append(when)
    # The last events reach everybody; those before a stream was opened do not.
    spread = [(max(times) - min(times)) * 1000 for times in events.values() if len(times) == count]
    total = sum(len(times) for times in events.values())
    record("protocol", f"progress_events_per_s_to_{count}", total / took, "1/s", 10 * count, total / took / (10 * count))
    record("protocol", "progress_first_to_last_stream", statistics.median(spread), "ms", 100, statistics.median(spread) / 100)
    streams.close()
    world.stop(server)


def protocol(world, args):
    eras(world, args)
    listeners(world, args)
    progress(world, args)
