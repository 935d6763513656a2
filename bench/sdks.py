"""The same authenticated call, served by the MCP SDKs that people use and by kubiya-mcp, each alone on one core.

The peers are in bench/peers/, and are built under build/peers as their lock files say, once.
"""
import http.client
import json
import shutil
import subprocess
import time

from lab import (CALL, HEADERS, P50, P99, RATE, ROOT, SERVER_CORE, Load, Rounds, call, free_port, lua, note, record,
                 rss_mib, wrk)

SOURCES = ROOT / "bench" / "peers"
BUILT = ROOT / "build" / "peers"


def run(command, cwd):
    done = subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"bench: {command[0]} failed in {cwd}:\n{(done.stdout + done.stderr)[-2000:]}")


def copied(name, *files):
    """A directory under build/ that holds these sources of a peer."""
    place = BUILT / name
    place.mkdir(parents=True, exist_ok=True)
    for file in files:
        source = SOURCES / name / file
        target = place / file
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists() or target.read_bytes() != source.read_bytes():
            shutil.copyfile(source, target)
    return place


def typescript():
    place = copied("typescript", "package.json", "package-lock.json", "server.mjs")
    run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], place)
    return ["node", place / "server.mjs"]


def python():
    place = BUILT / "python"
    if not place.exists():
        run(["/usr/bin/python3", "-m", "venv", place], ROOT)
    run([place / "bin" / "pip", "install", "-q", "--disable-pip-version-check", "--no-deps", "-r",
         SOURCES / "python" / "requirements.txt"], ROOT)
    return [place / "bin" / "python", SOURCES / "python" / "server.py"]


def go():
    place = copied("go", "go.mod", "go.sum", "main.go")
    run(["go", "build", "-mod=readonly", "-o", "peer", "."], place)
    return [place / "peer"]


def rust():
    place = copied("rust", "Cargo.toml", "Cargo.lock", "src/main.rs")
    run(["cargo", "build", "--release", "--locked", "--quiet", "--target-dir", place / "target"], place)
    return [place / "target" / "release" / "kubiya-mcp-bench-peer"]


# What it is called in the table, what it needs, and what builds it and answers its command.
PEERS = [("typescript_sdk", "npm", typescript), ("fastmcp", "python3", python), ("go_sdk", "go", go),
         ("rust_rmcp", "cargo", rust)]
OURS = ["kubiya_mcp", "kubiya_mcp_new_tokens"]


def status(port, token):
    """The status of one call, and what it said; None when nobody listens yet."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        headers = {**HEADERS, "Authorization": "Bearer " + token} if token else HEADERS
        connection.request("POST", "/mcp", CALL, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except ConnectionRefusedError:
        return None
    finally:
        connection.close()


def check(title, port, tokens, subject):
    """A peer is measured only when it does what it is measured for."""
    end = time.time() + 30
    while status(port, "") is None:
        if time.time() > end:
            raise SystemExit(f"bench: {title} did not start")
        time.sleep(0.1)
    # FastMCP takes a token without the scope for no token.
    wanted = {"good": [200], "forged": [401], "none": [401], "without_scope": [403, 401], "other_audience": [401]}
    for name, statuses in wanted.items():
        found = status(port, tokens[name])
        if found[0] not in statuses:
            raise SystemExit(f"bench: {title} answers {found} to the token {name}, not {statuses}")
    result = json.loads(status(port, tokens["good"])[1])["result"]
    if result["structuredContent"]["subject"] != subject or not result["content"]:
        raise SystemExit(f"bench: {title} says {result}")


def peers(world, args):
    server, port, audience = world.server()
    good = world.tokens(audience, "bench", 1)[0]
    head, body, signature = good.split(".")
    tokens = {"good": good, "none": "", "forged": f"{head}.{body}.{signature[:40]}AAAA{signature[44:]}",
              "without_scope": world.tokens(audience, "bench", 1, scope="openid")[0],
              "other_audience": world.tokens("https://elsewhere.example", "bench", 1)[0]}
    call(port, good)
    check("kubiya-mcp", port, tokens, "bench")
    script = lua(world.dir / "peers.lua", world.file("peer-token", good + "\n"))
    loads = [Load(OURS[0], f"http://127.0.0.1:{port}/mcp", script, server.pid)]
    running = [server]

    # The peers verify each token each time; so does this server when every token is new.
    cold, cold_port, cold_audience = world.server("--config", world.file("cold.yaml", "identity:\n  cache_entries: 16\n"))
    many = world.tokens(cold_audience, "bench", 500 if args.smoke else 20000)
    cold_script = lua(world.dir / "peers-cold.lua", world.file("peer-tokens", "\n".join(many) + "\n"))
    loads.append(Load(OURS[1], f"http://127.0.0.1:{cold_port}/mcp", cold_script, cold.pid))
    running.append(cold)

    for title, needs, build in PEERS:
        if not shutil.which(needs):
            raise SystemExit(f"bench: {title} needs {needs}, which is not here")
        note(f"peers: building {title}")
        peer_port = free_port()
        peer = world.start([*build(), peer_port, world.issuer, audience], SERVER_CORE,
                           stderr=open(world.dir / f"{title}.log", "wb"))
        running.append(peer)
        check(title, peer_port, tokens, "bench")
        loads.append(Load(title, f"http://127.0.0.1:{peer_port}/mcp", script, peer.pid))
    for load in loads:  # what compiles itself while it runs has done so
        wrk(load.url, load.script, 1 if args.smoke else 3, load.pid)
    rounds = Rounds(args, "peers", *loads)
    fastest = max((load.title for load in loads if load.title not in OURS), key=lambda title: rounds.median(title, RATE))
    for load in loads:
        # A row of ours is held against the fastest peer, a row of a peer against ours.
        base = fastest if load.title in OURS else OURS[0]
        ratio = rounds.ratio(load.title, base, RATE) if load.title in OURS else rounds.ratio(base, load.title, RATE)
        record("peers", f"{load.title}_requests_per_s", rounds.median(load.title, RATE), "1/s", rounds.median(base, RATE), ratio)
        for name, what in (("p50", P50), ("p99", P99)):
            record("peers", f"{load.title}_{name}", rounds.median(load.title, what), "ms", rounds.median(base, what), None)
        record("peers", f"{load.title}_memory", rss_mib(load.pid), "MiB", None, None)
    for child in running:
        world.stop(child)
