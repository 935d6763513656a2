"""What every benchmark stands on: servers, an issuer and its tokens, load, and the table of results."""
import http.client
import json
import os
import pathlib
import re
import resource
import shutil
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "release"
BINARY = BUILD / "kubiya-mcp"
TOOLS = BUILD / "bench_tools"
SERVER_CORE, LOAD_CORE = "0", "1"
results = []


def note(text):
    print(text, file=sys.stderr, flush=True)


def record(name, metric, value, unit, baseline, ratio):
    results.append({"name": name, "metric": metric, "value": round(value, 3), "unit": unit,
                    "baseline": None if baseline is None else round(baseline, 3),
                    "ratio": None if ratio is None else round(ratio, 3)})


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def free_pair():
    """A free port whose next one is free too: the demonstration takes both."""
    while True:
        port = free_port()
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port + 1))
                return port
            except OSError:
                continue


def wait_for(url, seconds=20, context=None, explain=str):
    end = time.time() + seconds
    while time.time() < end:
        try:
            with urllib.request.urlopen(url, timeout=1, context=context) as answer:
                if answer.status == 200:
                    return
        except Exception:
            time.sleep(0.02)
    raise SystemExit(f"bench: {url} did not become ready\n{explain()}")


def cpu_seconds(pid):
    total = 0.0
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        total += int((task / "schedstat").read_text().split()[0]) / 1e9
    return total


def rss_mib(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return 0.0


class World:
    """A demo issuer, tokens of its key, and servers started on demand."""

    def __init__(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="kubiya-bench-"))
        self.children = []
        (self.dir / "workflows").mkdir()
        (self.dir / "workflows" / "noop.yaml").write_text("name: noop\nsteps:\n  - name: nothing\n    command: \"true\"\n")
        port = free_pair()
        self.start([BINARY, "dev", "--port", str(port), "--data-dir", self.dir / "demo", "--log-level", "off"],
                   LOAD_CORE, cwd=ROOT)
        env_file = self.dir / "demo" / "demo.env"
        for _ in range(600):
            if env_file.exists():
                break
            time.sleep(0.05)
        env = dict(line.replace("export ", "").split("=", 1) for line in env_file.read_text().splitlines() if "=" in line)
        self.issuer = env["ISSUER_URL"].strip("'\"")
        with urllib.request.urlopen(self.issuer + "/jwks.json") as answer:
            self.kid = json.load(answer)["keys"][0]["kid"]
        self.key = next((self.dir / "demo").rglob("issuer.pem"))
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days",
                        "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout",
                        self.dir / "tls.key", "-out", self.dir / "tls.crt"], check=True, capture_output=True)
        os.chmod(self.dir / "tls.key", 0o600)

    def start(self, command, core, **kwargs):
        child = subprocess.Popen(["taskset", "-c", core, *map(str, command)], stdout=subprocess.DEVNULL,
                                 stderr=kwargs.pop("stderr", subprocess.DEVNULL), **kwargs)
        self.children.append(child)
        return child

    def tokens(self, audience, subject, count, issuer=None, kid=None, scope="read write execute"):
        return subprocess.run([TOOLS, "tokens", self.key, kid or self.kid, issuer or self.issuer, audience, subject, str(count), scope],
                              check=True, capture_output=True, text=True).stdout.split()

    def file(self, name, text):
        path = self.dir / name
        path.write_text(text)
        return path

    def server(self, *extra, core=SERVER_CORE, tls=False, data=None, issuer=None):
        port = free_port()
        data = data or tempfile.mkdtemp(dir=self.dir)
        scheme = "https" if tls else "http"
        audience = f"{scheme}://localhost:{port}/mcp"
        command = ["--auth-server", issuer or self.issuer, "--audience", audience, "--workflows", self.dir / "workflows", *extra]
        if tls:
            command += ["--tls-cert", self.dir / "tls.crt", "--tls-key", self.dir / "tls.key"]
        return self.serve(port, data, command, core, scheme), port, audience

    def serve(self, port, data, flags, core=SERVER_CORE, scheme="http"):
        log = self.dir / f"server-{port}.log"
        child = self.start([BINARY, "serve", "--host", "127.0.0.1", "--port", port, "--data-dir", data, "--threads", "1",
                            "--log-level", "error", *flags], core, stderr=open(log, "ab"))
        context = ssl._create_unverified_context() if scheme == "https" else None
        wait_for(f"{scheme}://127.0.0.1:{port}/readyz", context=context, explain=log.read_text)
        return child

    def key_server(self, data, *flags):
        """A server of callers with API keys, on a directory that holds some."""
        port = free_port()
        return self.serve(port, data, flags), port

    def nginx(self, port, bytes_, tls=False):
        conf = self.dir / f"nginx-{port}.conf"
        listen = f"listen 127.0.0.1:{port} {'ssl' if tls else ''} reuseport;"
        certs = f"ssl_certificate {self.dir}/tls.crt; ssl_certificate_key {self.dir}/tls.key; ssl_protocols TLSv1.3;" if tls else ""
        conf.write_text(f"""worker_processes 1; daemon off; pid {self.dir}/nginx-{port}.pid; error_log /dev/null crit;
events {{ worker_connections 20000; }}
http {{ access_log off; keepalive_requests 1000000000; keepalive_timeout 600s; client_body_buffer_size 16k;
client_body_temp_path {self.dir}; proxy_temp_path {self.dir}; fastcgi_temp_path {self.dir}; uwsgi_temp_path {self.dir};
scgi_temp_path {self.dir};
server {{ {listen} {certs} location / {{ default_type application/json; return 200 '{'x' * bytes_}'; }} }} }}
""")
        return self.start(["/usr/sbin/nginx", "-c", conf], SERVER_CORE)

    def stop(self, child):
        child.terminate()
        try:
            child.wait(15)
        except subprocess.TimeoutExpired:
            child.kill()
        self.children.remove(child)

    def close(self):
        for child in list(self.children):
            self.stop(child)
        shutil.rmtree(self.dir, ignore_errors=True)


CALL = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
    "name": "whoami", "arguments": {}, "_meta": {"io.modelcontextprotocol/protocolVersion": "2026-07-28",
                                                 "io.modelcontextprotocol/clientCapabilities": {},
                                                 "io.modelcontextprotocol/clientInfo": {"name": "bench", "version": "1"}}}})
HEADERS = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream",
           "MCP-Protocol-Version": "2026-07-28", "Mcp-Method": "tools/call", "Mcp-Name": "whoami"}


def lua(path, tokens_file, body=CALL, headers=HEADERS, every_ms=0):
    """A script of wrk: the same call with each token of the file in turn; paced, when `every_ms` is given, per connection."""
    lines = "".join(f'wrk.headers["{k}"]="{v}"\n' for k, v in headers.items())
    pace = f"function delay() return {every_ms} end\n" if every_ms else ""
    path.write_text(f"""wrk.method="POST"
wrk.body=[[{body}]]
{lines}
local tokens={{}}
local ready={{}}
function init(args)
  for line in io.lines("{tokens_file}") do tokens[#tokens+1]=line end
  for i=1,#tokens do wrk.headers["Authorization"]="Bearer "..tokens[i]; ready[i]=wrk.format() end
end
local i=0
function request() i=i+1; if i>#ready then i=1 end; return ready[i] end
{pace}""")
    return path


def wrk(url, script, seconds, pid, connections=32, errors=False):
    before = cpu_seconds(pid)
    out = subprocess.run(["taskset", "-c", LOAD_CORE, "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s",
                          script, url], capture_output=True, text=True, check=True).stdout
    used = cpu_seconds(pid) - before
    if ("Non-2xx" in out and not errors) or "Socket errors" in out:
        raise SystemExit("bench: errors under load:\n" + out)
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", out).group(1))
    requests = int(re.search(r"(\d+) requests in", out).group(1))
    def percentile(n):
        value, unit = re.search(rf"{n}%\s+([\d.]+)(us|ms|s)", out).groups()
        return float(value) * {"us": 1e-3, "ms": 1, "s": 1e3}[unit]
    return rate, percentile(99), used / max(requests, 1) * 1e6, percentile(50)


def call(port, token, name="whoami", arguments=None, tls=False):
    connection = (http.client.HTTPSConnection("127.0.0.1", port, context=ssl._create_unverified_context()) if tls
                  else http.client.HTTPConnection("127.0.0.1", port))
    body = json.loads(CALL)
    body["params"]["name"] = name
    body["params"]["arguments"] = arguments or {}
    connection.request("POST", "/mcp", json.dumps(body), {**HEADERS, "Mcp-Name": name, "Authorization": "Bearer " + token})
    answer = connection.getresponse()
    data = answer.read()
    connection.close()
    if answer.status != 200 or json.loads(data)["result"].get("isError"):
        raise SystemExit(f"bench: {name} answered {answer.status}: {data[:300]!r}")
    return data


def worker_of(nginx):
    """The pid that serves: nginx's one worker."""
    for _ in range(100):
        children = pathlib.Path(f"/proc/{nginx.pid}/task/{nginx.pid}/children").read_text().split()
        if children:
            return int(children[0])
        time.sleep(0.02)
    return nginx.pid


class Load:
    """What wrk is pointed at: a server of a process, by a script."""

    def __init__(self, title, url, script, pid):
        self.title, self.url, self.script, self.pid = title, url, script, pid


RATE, P99, CPU, P50 = 0, 1, 2, 3


class Rounds:
    """Interleaved rounds of several loads: medians of each, and medians of the ratios within one round."""

    def __init__(self, args, name, *loads):
        self.rows = {load.title: [] for load in loads}
        for round_ in range(args.rounds):
            for load in loads:
                self.rows[load.title].append(wrk(load.url, load.script, args.seconds, load.pid))
            note(f"{name} round {round_ + 1}: " + ", ".join(f"{title} {rows[-1][RATE]:.0f}/s" for title, rows in self.rows.items()))

    def median(self, title, what):
        return statistics.median(row[what] for row in self.rows[title])

    def ratio(self, title, base, what):
        return statistics.median(a[what] / b[what] for a, b in zip(self.rows[title], self.rows[base]))

    def record(self, name, metric, title, base, what):
        unit = {RATE: "1/s", P99: "ms", CPU: "us", P50: "ms"}[what]
        record(name, metric, self.median(title, what), unit, self.median(base, what), self.ratio(title, base, what))


def machine():
    model = next((l.split(":")[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name")), "?")
    return f"{os.cpu_count()} x {model}, Linux {os.uname().release}"


def many_files():
    """As many descriptors as this process may have; answers how many."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard
