"""Requests: cached tokens against nginx, new tokens against bare verification."""
import time

from lab import CPU, P99, RATE, SERVER_CORE, TOOLS, Load, Rounds, call, free_port, lua, note, worker_of


def against_nginx(world, args, tls):
    metric = "_tls13" if tls else ""
    server, port, audience = world.server(tls=tls)
    token = world.tokens(audience, "bench", 1)
    length = len(call(port, token[0], tls=tls))
    nginx_port = free_port()
    nginx = world.nginx(nginx_port, length, tls)
    time.sleep(0.3)
    script = lua(world.dir / "hot.lua", world.file("one-token", token[0] + "\n"))
    scheme = "https" if tls else "http"
    rounds = Rounds(args, "hotpath" + metric,
                    Load("nginx", f"{scheme}://127.0.0.1:{nginx_port}/mcp", script, worker_of(nginx)),
                    Load("kubiya-mcp", f"{scheme}://127.0.0.1:{port}/mcp", script, server.pid))
    for name, what in (("requests_per_s", RATE), ("p99", P99), ("cpu_per_request", CPU)):
        rounds.record("hotpath", name + metric, "kubiya-mcp", "nginx", what)
    world.stop(nginx)
    world.stop(server)


def hotpath(world, args):
    against_nginx(world, args, tls=False)
    against_nginx(world, args, tls=True)


def coldtoken(world, args):
    # Tokens taken in a circle, and a cache that holds next to none of them: every request is a miss.
    server, port, audience = world.server("--config", world.file("cold.yaml", "identity:\n  cache_entries: 16\n"))
    count = 2000 if args.smoke else 40000
    note(f"coldtoken: making {count} tokens")
    tokens = world.tokens(audience, "bench", count)
    length = len(call(port, tokens[0]))
    raw_port = free_port()
    raw = world.start([TOOLS, "verify-server", world.key, raw_port, length], SERVER_CORE)
    time.sleep(0.3)
    script = lua(world.dir / "cold.lua", world.file("cold-tokens", "\n".join(tokens) + "\n"))
    rounds = Rounds(args, "coldtoken", Load("bare verification", f"http://127.0.0.1:{raw_port}/mcp", script, raw.pid),
                    Load("kubiya-mcp", f"http://127.0.0.1:{port}/mcp", script, server.pid))
    for name, what in (("requests_per_s", RATE), ("cpu_per_request", CPU)):
        rounds.record("coldtoken", name, "kubiya-mcp", "bare verification", what)
    world.stop(raw)
    world.stop(server)
