"""Checking who calls: each algorithm against OpenSSL alone, many keys and tokens against few, and a flood of strangers."""
import contextlib
import http.server
import json
import sqlite3
import subprocess
import threading
import time
import urllib.request

from lab import (BINARY, CPU, P99, RATE, SERVER_CORE, TOOLS, Load, Rounds, call, lua, note, record, wrk)


def algorithms(world, args):
    milliseconds = 20 if args.smoke else 500
    lines = subprocess.run(["taskset", "-c", SERVER_CORE, TOOLS, "verify-cost", str(args.rounds), str(milliseconds)], check=True,
                           capture_output=True, text=True).stdout.splitlines()
    for line in lines:
        name, ours, raw, ratio = line.split()
        note(f"identity: {name} {float(ours):.1f} us, OpenSSL alone {float(raw):.1f} us")
        # As throughput: what a core does of it, against what it does of bare verifications.
        record("identity", f"cold_{name}_per_s", 1e6 / float(ours), "1/s", 1e6 / float(raw), float(ratio))


def many_tokens(world, args):
    server, port, audience = world.server("--config", world.file("wide.yaml", "identity:\n  cache_entries: 40000\n"))
    count = 200 if args.smoke else 10000
    tokens = world.tokens(audience, "bench", count)
    url = f"http://127.0.0.1:{port}/mcp"
    few = lua(world.dir / "few.lua", world.file("few", "\n".join(tokens[:10]) + "\n"))
    many = lua(world.dir / "many.lua", world.file("many", "\n".join(tokens) + "\n"))
    wrk(url, many, args.seconds, server.pid)  # each is verified once here
    rounds = Rounds(args, "identity", Load("10 tokens", url, few, server.pid), Load(f"{count} tokens", url, many, server.pid))
    rounds.record("identity", f"cpu_per_request_{count}_tokens", f"{count} tokens", "10 tokens", CPU)
    world.stop(server)


def store_keys(data, count):
    """Keys as `key create` stores them, more of them than it could make in the time."""
    subprocess.run([BINARY, "key", "create", "--data-dir", data, "--user", "bench", "--scopes", "read"], check=True, capture_output=True)
    lines = subprocess.run([TOOLS, "keys", data, str(count)], check=True, capture_output=True, text=True).stdout.splitlines()
    made = [line.split() for line in lines]
    with contextlib.closing(sqlite3.connect(data / "kubiya.db")) as database, database:
        row = database.execute("SELECT * FROM keys")
        columns = [column[0] for column in row.description]
        pattern = dict(zip(columns, row.fetchone()))
        rows = [{**pattern, "id": ident, "digest": digest, "hint": hint} for _, ident, digest, hint in made]
        database.executemany(f"INSERT INTO keys ({', '.join(columns)}) VALUES ({', '.join(':' + c for c in columns)})", rows)
    return [key for key, *_ in made]


def many_keys(world, args):
    count = 1000 if args.smoke else 100000
    loads, servers = [], []
    wide = world.file("wide.yaml", "identity:\n  cache_entries: 40000\n")
    for number in (10, count):
        data = world.dir / f"keys-{number}"
        made = store_keys(data, number)
        server, port = world.key_server(data, "--config", wide)
        used = world.file(f"keys-{number}.txt", "\n".join(made[:10000]) + "\n")
        loads.append(Load(f"{number} keys", f"http://127.0.0.1:{port}/mcp", lua(world.dir / f"keys-{number}.lua", used), server.pid))
        servers.append(server)
        wrk(loads[-1].url, loads[-1].script, args.seconds, server.pid)
    rounds = Rounds(args, "identity", *loads)
    rounds.record("identity", f"cpu_per_request_{count}_keys", f"{count} keys", "10 keys", CPU)
    for server in servers:
        world.stop(server)


class CountingIssuer:
    """The demonstration's keys under another address; counts how often they are fetched."""

    def __init__(self, world):
        with urllib.request.urlopen(world.issuer + "/jwks.json") as answer:
            keys = answer.read()
        self.fetches = 0
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.fetches += self.path == "/keys"
                body = keys if self.path == "/keys" else json.dumps({"issuer": outer.url, "jwks_uri": outer.url + "/keys"}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


def flood(world, args):
    """Tokens of unknown keys as fast as one core sends them, beside a thousand good requests a second."""
    issuer = CountingIssuer(world)
    config = world.file("flood.yaml", "server: {limits: {bad_credentials_per_minute: 0}}\n")
    server, port, audience = world.server("--config", config, issuer=issuer.url)
    good = world.tokens(audience, "bench", 1, issuer=issuer.url)[0]
    call(port, good)
    count = 200 if args.smoke else 20000
    heads = subprocess.run([TOOLS, "strangers", issuer.url, audience, str(count)], check=True, capture_output=True, text=True).stdout
    url = f"http://127.0.0.1:{port}/mcp"
    bad_script = lua(world.dir / "bad.lua", world.file("strangers", heads))
    good_script = lua(world.dir / "good.lua", world.file("good", good + "\n"), every_ms=8)
    before, seconds = issuer.fetches, 2 if args.smoke else 35
    answers = {}
    flooding = threading.Thread(target=lambda: answers.update(bad=wrk(url, bad_script, seconds, server.pid, errors=True)))
    flooding.start()
    answers["good"] = wrk(url, good_script, seconds - 1, server.pid, connections=12)  # an error ends the benchmark
    flooding.join()
    fetches = issuer.fetches - before
    note(f"identity: flood of {answers['bad'][RATE]:.0f}/s beside {answers['good'][RATE]:.0f}/s good ones: none failed, "
         f"{fetches} fetches in {seconds} s")
    record("identity", "flood_of_unknown_keys", answers["bad"][RATE], "1/s", 20000, answers["bad"][RATE] / 20000)
    record("identity", "good_requests_beside_it", answers["good"][RATE], "1/s", 1000, answers["good"][RATE] / 1000)
    record("identity", "good_p99_beside_it", answers["good"][P99], "ms", None, None)
    record("identity", "key_set_fetches_in_30_s", fetches * 30 / seconds, "", 1, fetches * 30 / seconds)
    world.stop(server)


def identity(world, args):
    algorithms(world, args)
    many_tokens(world, args)
    many_keys(world, args)
    flood(world, args)
