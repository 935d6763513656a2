"""What the system tests share: a real server process, an issuer with real keys, literal HTTP."""
import base64
import http.client
import http.server
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import zlib

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = os.environ.get("KUBIYA_BINARY", str(ROOT / "build" / "release" / "kubiya-mcp"))
MODERN = "2026-07-28"
# In every secret of the test world; nothing a server writes may contain it.
CANARY = "c4n4ryS3cr3t"


def b64(data):
    if isinstance(data, str):
        data = data.encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def wellformed_key(text=CANARY):
    """A Kubiya API key that nobody has made, with `text` in it."""
    key = "kb-" + text.ljust(55, "0")
    digits, rest, check = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", zlib.crc32(key.encode()), ""
    for _ in range(6):
        rest, digit = divmod(rest, 62)
        check = digits[digit] + check
    return key + check


def free_port(host="127.0.0.1"):
    """Below those that the system gives to connections: one of these may be taken before the server is there."""
    while True:
        port = random.randrange(10_000, 32_000)
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as s:
            try:
                s.bind((host, port))
                return port
            except OSError:
                continue


def until(answer, seconds=20):
    """What `answer` gives once it is something."""
    end = time.time() + seconds
    while time.time() < end:
        if found := answer():
            return found
        time.sleep(0.02)
    raise AssertionError("it did not come in time")


class Issuer:
    """An OpenID provider's public side, with RSA and EC keys, on loopback."""

    def __init__(self):
        self.rsa = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.ec = ec.generate_private_key(ec.SECP256R1())
        self.other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.fetches = 0
        self.broken = None  # bytes served instead of the key set
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                body = outer.document(self.path)
                self.send_response(200 if body is not None else 404)
                body = body or b"{}"
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def document(self, path):
        if path == "/.well-known/openid-configuration":
            return json.dumps({"issuer": self.url, "jwks_uri": self.url + "/jwks",
                               "authorization_endpoint": self.url + "/authorize", "token_endpoint": self.url + "/token",
                               "response_types_supported": ["code"], "code_challenge_methods_supported": ["S256"]}).encode()
        if path == "/jwks":
            self.fetches += 1
            return self.broken if self.broken is not None else json.dumps({"keys": self.jwks()}).encode()
        return None

    def jwks(self):
        n = self.rsa.public_key().public_numbers()
        p = self.ec.public_key().public_numbers()
        number = lambda v, size: b64(v.to_bytes(size, "big"))
        return [{"kty": "RSA", "kid": "rsa", "alg": "RS256", "use": "sig", "n": number(n.n, 256), "e": number(n.e, 3)},
                {"kty": "EC", "kid": "ec", "alg": "ES256", "use": "sig", "crv": "P-256", "x": number(p.x, 32), "y": number(p.y, 32)}]

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def sign(self, header, payload, key=None):
        """Signs exactly these texts."""
        head = header if isinstance(header, str) else json.dumps(header)
        body = payload if isinstance(payload, str) else json.dumps(payload)
        text = b64(head) + "." + b64(body)
        key = key or self.rsa
        if isinstance(key, rsa.RSAPrivateKey):
            signature = key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())
        else:
            r, s = utils.decode_dss_signature(key.sign(text.encode(), ec.ECDSA(hashes.SHA256())))
            signature = r.to_bytes(32, "big") + s.to_bytes(32, "big")
        return text + "." + b64(signature)

    def claims(self, audience, subject="ada", **more):
        now = int(time.time())
        claims = {"iss": self.url, "aud": audience, "sub": subject, "name": subject.title(), "scope": "read write execute",
                  "kubiya_api_key": f"kb-{CANARY}-{subject}", "iat": now, "exp": now + 600}
        claims.update(more)
        return {k: v for k, v in claims.items() if v is not ...}

    def token(self, audience, subject="ada", **more):
        return self.sign({"alg": "RS256", "typ": "at+jwt", "kid": "rsa"}, self.claims(audience, subject, **more))


class Server:
    """One kubiya-mcp process on a directory of its own."""

    popen = {}  # what a kind of server wants of subprocess.Popen besides

    def __init__(self, issuer=None, *flags, data=None, workflows=None, env=None, port=None, ready=True, host="127.0.0.1"):
        self.issuer = issuer
        self.data = data or tempfile.mkdtemp(prefix="kubiya-test-")
        self.own_data = data is None
        self.port = port or free_port(host)
        self.host = host
        self.url = f"http://127.0.0.1:{self.port}"
        self.audience = f"http://localhost:{self.port}/mcp"
        self.flags = [str(f) for f in flags]
        self.workflows = workflows
        self.env = env or {}
        self.log = pathlib.Path(self.data + ".log")
        self.process = None
        self.start(ready)

    def start(self, ready=True):
        command = [BINARY, "serve", "--host", self.host, "--port", str(self.port), "--data-dir", self.data]
        if self.issuer:
            command += ["--auth-server", self.issuer.url, "--auth-type", "oidc", "--audience", self.audience]
        if self.workflows:
            command += ["--workflows", str(self.workflows)]
        environment = {"PATH": os.environ["PATH"], "INJECTED_SECRET": CANARY,
                       # A test sends more of them than a person would.
                       "KUBIYA_SERVER_LIMITS_BAD_CREDENTIALS_PER_MINUTE": "0", **self.env}
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS"):
            if name in os.environ:
                environment[name] = os.environ[name]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(command + self.flags, stdout=subprocess.DEVNULL, env=environment, cwd=ROOT,
                                            **{"stderr": log, **self.popen})
        if ready:
            self.wait_ready()

    def wait_ready(self, path="/readyz"):
        end = time.time() + 30
        while time.time() < end:
            if self.process.poll() is not None:
                raise AssertionError("the server ended: " + self.log.read_text(errors="replace")[-2000:])
            try:
                if self.get(path)[0] == 200:
                    return
            except OSError:
                pass
            time.sleep(0.01)
        raise AssertionError("the server did not become ready: " + self.log.read_text(errors="replace")[-2000:])

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(30)
        return self.process.returncode

    def close(self):
        self.stop()
        if self.own_data:
            shutil.rmtree(self.data, ignore_errors=True)
            self.log.unlink(missing_ok=True)

    def get(self, path, headers=None):
        return self.request("GET", path, None, headers)

    def connection(self, at=None):
        return http.client.HTTPConnection(at or ("::1" if ":" in self.host else "127.0.0.1"), self.port, timeout=60)

    def request(self, method, path, body=None, headers=None, at=None):
        connection = self.connection(at)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def raw(self, data, wait=2.0):
        """Literal bytes out, everything that comes back until the peer closes or goes quiet."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=wait) as s:
            s.sendall(data)
            out = b""
            try:
                while True:
                    piece = s.recv(65536)
                    if not piece:
                        return out, True
                    out += piece
            except socket.timeout:
                return out, False
            except ConnectionError:
                return out, True

    def rpc(self, token, method, params=None, headers=None, path="/mcp"):
        """A modern request. Returns status, headers, parsed body."""
        params = dict(params or {})
        params["_meta"] = {"io.modelcontextprotocol/protocolVersion": MODERN,
                           "io.modelcontextprotocol/clientCapabilities": {}, **params.get("_meta", {})}
        head = {"Content-Type": "application/json", "Accept": "application/json", "MCP-Protocol-Version": MODERN,
                "Mcp-Method": method}
        if "name" in params:
            head["Mcp-Name"] = params["name"]
        if token is not None:
            head["Authorization"] = "Bearer " + token
        head.update(headers or {})
        status, got, body = self.request("POST", path, json.dumps({"jsonrpc": "2.0", "id": 1, "method": method,
                                                                   "params": params}), head)
        return status, got, json.loads(body) if body else None

    def call(self, token, tool, **arguments):
        return self.rpc(token, "tools/call", {"name": tool, "arguments": arguments})

    def ok(self, token, tool, **arguments):
        status, _, body = self.call(token, tool, **arguments)
        assert status == 200 and not body["result"].get("isError"), (status, body)
        return body["result"]["structuredContent"]

    def cli(self, *arguments, check=True):
        done = subprocess.run([BINARY, *map(str, arguments), "--data-dir", self.data], capture_output=True, text=True)
        if check:
            assert done.returncode == 0, (arguments, done.stdout, done.stderr)
        return done

    def leaks(self):
        """Files of this server's world that hold the canary; must be empty."""
        found = []
        for path in [self.log, *pathlib.Path(self.data).rglob("*")]:
            if path.is_file() and CANARY.encode() in path.read_bytes():
                found.append(str(path))
        return found
