"""Memory and the time to be ready."""
import socket
import ssl
import statistics
import tempfile
import time

from lab import CALL, HEADERS, free_port, many_files, note, record, rss_mib, worker_of


MANY = "server:\n  limits:\n    idle: 10m\n    connections: 20000\n    connections_per_peer: 20000\n    streams: 40000\n    streams_per_caller: 20000\n"


def idle_connections(port, token, count, tls):
    body = CALL.encode()
    head = "POST /mcp HTTP/1.1\r\nHost: localhost\r\n" + "".join(f"{k}: {v}\r\n" for k, v in HEADERS.items())
    head += f"Authorization: Bearer {token}\r\nContent-Length: {len(body)}\r\n\r\n"
    message = head.encode() + body
    context = ssl._create_unverified_context() if tls else None
    sockets = []
    for i in range(count):
        # Several source addresses: one has too few ports.
        s = socket.create_connection(("127.0.0.1", port), source_address=(f"127.0.0.{2 + i % 4}", 0))
        if context:
            s = context.wrap_socket(s)
        s.sendall(message)
        data = s.recv(4096)
        if not data.startswith(b"HTTP/1.1 200"):
            raise SystemExit("bench: " + data[:200].decode(errors="replace"))
        sockets.append(s)
    return sockets


def footprint(world, args):
    count = 200 if args.smoke else min(10000, many_files() - 500)
    for tls in (False, True):
        config = world.file("idle.yaml", MANY)
        server, port, audience = world.server("--config", config, tls=tls)
        nginx_port = free_port()
        nginx = world.nginx(nginx_port, 500, tls)
        time.sleep(0.5)
        token = world.tokens(audience, "bench", 1)[0]
        if not tls:
            record("footprint", "idle_memory", rss_mib(server.pid), "MiB", 20, rss_mib(server.pid) / 20)
        sockets = idle_connections(port, token, count, tls)
        time.sleep(0.2 if args.smoke else 5)
        ours = rss_mib(server.pid)
        for s in sockets:
            s.close()
        sockets = idle_connections(nginx_port, token, count, tls)
        time.sleep(2)
        theirs = rss_mib(nginx.pid) + rss_mib(worker_of(nginx))
        for s in sockets:
            s.close()
        metric = f"memory_{count}_idle_connections" + ("_tls" if tls else "")
        record("footprint", metric, ours, "MiB", theirs, ours / theirs)
        note(f"footprint: {metric} {ours:.1f} MiB, nginx {theirs:.1f}")
        world.stop(nginx)
        world.stop(server)
    data = tempfile.mkdtemp(dir=world.dir)
    first, _, _ = world.server(data=data)
    world.stop(first)
    times = []
    for _ in range(max(5, args.rounds)):
        begin = time.monotonic()
        child, _, _ = world.server(data=data)
        times.append((time.monotonic() - begin) * 1000)
        world.stop(child)
    record("footprint", "ready_with_cached_keys", statistics.median(times), "ms", 100, statistics.median(times) / 100)
