# SPDX-License-Identifier: Apache-2.0
"""The rows of the acceptance table about what the server fetches, C1-C34: key sets, documents, where a request may go, and
questions about tokens. A provider here answers whatever a test wants; the server must keep its good keys, connect to nobody
that it should not, and never take a fault of the provider for one of the caller. Names are resolved by a library that is put
in front of the C library's: no name server is needed, every attempt to connect is on record, and none leaves the machine."""

import contextlib
import gzip
import hashlib
import http.server
import json
import os
import pathlib
import resource
import select
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time
import unittest
from datetime import datetime, timedelta, timezone

import providers
from harness import BINARY, Issuer, Server, b64, free_port, until
from test_issuers import World

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.x509.oid import NameOID

DISCOVERY = "/.well-known/openid-configuration"
PUBLIC = "93.184.216.34"  # stands for the rest of the world; the library below leads it to a listener of the test
# What a strict reader of URLs must refuse and a careless resolver takes for an address of this machine.
SPELLINGS = ("https://0177.0.0.1/k", "https://0x7f.1/k", "https://2130706433/k", "https://127.1/k", "https://localhost./k",
             "https://\u2460\u2461\u2466.0.0.1/k")
SCHEMES = ("http://idp.example/k", "http://10.0.0.1/k", "file:etc/passwd", "data:application/json,{}", "ftp://idp.example/k")


class Many(Issuer):
    """Several issuers at one address, told apart by their path. An answer is (status, headers, body), or writes by itself."""

    def __init__(self):
        super().__init__()
        self.answers, self.asked = {}, []

        def do_get(request):
            self.asked.append(request.path)
            answer = self.answers.get(request.path, (404, {}, b"{}"))
            if callable(answer):
                request.close_connection = True
                return answer(request.wfile.write)
            request.send_response(answer[0])
            for name, value in {"Content-Length": str(len(answer[2])), **answer[1]}.items():
                request.send_header(name, value)
            request.end_headers()
            request.wfile.write(answer[2])

        self.server.RequestHandlerClass.do_GET = do_get
        self.server.handle_error = lambda *_: None  # what is too much is not taken to its end

    def put(self, path, document, status=200):
        self.answers[path] = status, {}, json.dumps(document).encode()

    def publish(self, name, at=None, **changes):
        """An issuer in good health but for `changes`, as the configuration has it."""
        url = f"{at or self.url}/{name}"
        self.put(f"/{name}{DISCOVERY}", {"issuer": url, "jwks_uri": url + "/keys", **changes})
        self.put(f"/{name}/keys", {"keys": self.jwks()})
        return {"name": name, "url": url, "refetch_min": "1s"}

    def token_of(self, name, server, kid="rsa", key=None, at=None):
        return self.sign({"alg": "RS256", "kid": kid}, self.claims(server.audience, iss=f"{at or self.url}/{name}"), key)

    def endless(self, head, piece, pause=0.0):
        def answer(write):
            write(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n")
            while time.sleep(pause) is None:
                write(piece)

        return answer


class Case(World):
    def setUp(self):
        super().setUp()
        self.idp = self.kept(Many())

    def kept(self, what):
        self.addCleanup(what.close)
        return what

    def begin(self, issuers, *flags, env=None, **more):
        """A server that need not become ready."""
        config = self.file("config.yaml", json.dumps({"issuers": issuers, **more}))
        server = self.kept(Server(None, "--config", config, *flags, env=env, ready=False))
        server.wait_ready("/healthz")
        return server

    def state(self, server, wanted=lambda one: one["ready"] or "first fetch" not in one["problem"]):
        """Each issuer, once all are as wanted: as a rule, once the first fetch has ended. It waits for 20 s at most."""
        now = lambda: {one["name"]: one for one in json.loads(server.get("/readyz")[2])["issuers"]}
        return until(lambda: next((state for state in [now()] if all(map(wanted, state.values()))), None))

    def logged(self, server, message):
        return server.log.read_text().count(message)

    def status(self, server, token):
        return server.call(token, "whoami")[0]

    def assert_later(self, server, token):
        """503 with the time to come again: a client must not throw its token away."""
        status, headers, _ = server.call(token, "whoami")
        self.assertEqual((status, "www-authenticate" in headers), (503, False))
        self.assertGreater(int(headers["retry-after"]), 0)
        self.assertEqual(self.reason(server, headers)["reason"], "keys_unavailable")

    def front(self, certificate, key):
        """The provider's documents over TLS: at which port, and by which names it was called there."""
        context, names = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), set()
        context.set_ciphers("DEFAULT@SECLEVEL=0")  # this side may be as weak as it likes
        context.load_cert_chain(certificate, key)
        context.sni_callback = lambda _, name, __: names.add(name)
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self.idp.server.RequestHandlerClass)
        server.socket, server.handle_error = context.wrap_socket(server.socket, server_side=True), lambda *_: None
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for end in (server.server_close, server.shutdown):
            self.addCleanup(end)
        return server.server_port, names


class Fetches(Case):
    def test_a_provider_that_is_down_at_the_start_costs_nobody_a_token(self):
        """C1"""
        rows = ("absent", "broken", "silent", "keyless")
        issuers, nobody = [self.idp.publish(name) for name in rows], f"http://127.0.0.1:{free_port()}"
        self.idp.put("/absent" + DISCOVERY, {}, 404)
        self.idp.put("/broken" + DISCOVERY, {}, 500)
        self.idp.answers["/silent" + DISCOVERY] = lambda _: time.sleep(60)
        self.idp.put("/keyless/keys", {}, 500)
        server = self.begin([*issuers, {"url": nobody + "/gone"}], outbound={"total_timeout": "1s"})
        self.assertEqual(server.get("/readyz")[0], 503)
        for name, at in (*((row, None) for row in rows), ("gone", nobody)):
            self.assert_later(server, self.idp.token_of(name, server, at=at))
        for name in rows:
            self.idp.publish(name)
        self.state(server, lambda one: one["ready"] or "refused" in one["problem"])
        self.assertEqual(server.get("/readyz")[0], 200)
        self.assertEqual({self.status(server, self.idp.token_of(name, server)) for name in rows}, {200})

    def test_good_keys_serve_through_an_outage_until_they_are_too_old(self):
        """C2"""
        server = self.serve([{**self.idp.publish("a"), "stale_max": "1m"}])
        good = self.idp.token_of("a", server)
        self.idp.answers = dict.fromkeys(self.idp.answers, (500, {}, b"{}"))
        until(lambda: self.status(server, self.idp.token_of("a", server, b64(os.urandom(6)), self.idp.other))
              and self.logged(server, "signing keys could not be fetched"))
        self.assertEqual(self.status(server, good), 200)
        server.stop()
        # A minute in a few seconds: the next process finds the keys that this one left, said to be nearly a minute old.
        cache = next(pathlib.Path(server.data).glob("issuer-*.json"))
        cache.write_text(json.dumps({**json.loads(cache.read_text()), "saved_ms": int((time.time() - 54) * 1000)}))
        server.start()
        self.assertEqual(self.status(server, good), 200)
        until(lambda: self.status(server, good) == 503)
        self.assert_later(server, good)
        self.assertEqual((server.get("/readyz")[0], self.logged(server, "signing keys are too old")), (503, 1))

    def test_an_answer_that_is_too_large_or_too_slow_is_cut_off(self):
        """C3, C21"""
        idp, large = self.idp, b" " * (10 << 20) + json.dumps({"keys": self.idp.jwks()}).encode()
        rows = {"large": ((200, {}, large), "larger"),
                "bomb": ((200, {"Content-Encoding": "gzip"}, gzip.compress(large)), "compressed"),
                "unbounded": (idp.endless(b"Connection: close", b" " * 1024), "larger"),
                "chunked": (idp.endless(b"Transfer-Encoding: chunked", b"400\r\n" + b" " * 1024 + b"\r\n"), "larger"),
                "slow": (idp.endless(b"Content-Length: 1000", b" ", 1), "in time")}
        issuers = [idp.publish(name) for name in rows]
        idp.answers |= {f"/{name}/keys": answer for name, (answer, _) in rows.items()}
        state = self.state(self.begin(issuers))
        for name, (_, problem) in rows.items():
            self.assertEqual((problem in state[name]["problem"], state[name]["ready"]), (True, False), state[name])

    def test_a_crowd_waits_for_one_fetch_and_what_waits_is_bounded(self):
        """C22"""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
        issuer, opened, poll = self.idp.publish("a"), threading.Event(), select.poll()
        keys = b"HTTP/1.0 200 OK\r\n\r\n" + json.dumps({"keys": self.idp.jwks()}).encode()
        self.idp.answers["/a/keys"] = lambda write: opened.wait(60) and write(keys)
        server = self.begin([issuer], "--threads", "1", outbound={"total_timeout": "1m"})
        crowd = [self.send(server) for _ in range(1100)]
        for one in crowd:
            poll.register(one, select.POLLIN)
        # So many may wait on one event loop; the others are answered at once.
        until(lambda: len(poll.poll(0)) == 76)
        opened.set()
        answers = [self.rest(one) for one in crowd]
        self.assertEqual(self.idp.asked.count("/a/keys"), 1)
        refused = [answer for answer in answers if answer.startswith(b"HTTP/1.1 503 ") and b"\r\nRetry-After: " in answer]
        self.assertEqual((len(refused), sum(answer.startswith(b"HTTP/1.1 200 ") for answer in answers)), (76, 1024))

    def send(self, server):
        one = self.kept(socket.create_connection(("127.0.0.1", server.port), 60))
        one.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer %s\r\n\r\n"
                    % self.idp.token_of("a", server).encode())
        return one

    def rest(self, one):
        with contextlib.suppress(ConnectionError):
            return b"".join(iter(lambda: one.recv(65536), b""))
        return b""

    def test_a_stop_does_not_wait_for_a_provider(self):
        """C23: and a reload disturbs nothing that is under way."""
        for place in (DISCOVERY, "/keys"):
            issuer = self.idp.publish("a")
            self.idp.answers["/a" + place] = lambda _: time.sleep(60)
            server = self.begin([issuer], drain_grace="1s", outbound={"total_timeout": "1m"})
            waiting = [self.send(server) for _ in range(8)]
            until(lambda: "/a" + place in self.idp.asked)
            server.process.send_signal(signal.SIGHUP)
            self.assertEqual(server.get("/healthz")[0], 200)
            self.assertEqual(server.stop(), 0, "stop() would not wait as long as the provider does")
            self.assertNotIn(b"HTTP/1.1 200 ", b"".join(map(self.rest, waiting)))

    def test_addresses_that_are_no_plain_https_stop_the_start(self):
        """C9, C15"""
        for url in SCHEMES + SPELLINGS:
            for key, issuer in (("url", {"url": url}), ("jwks_uri", {"url": "https://idp.example", "jwks_uri": url})):
                config = self.file("config.yaml", json.dumps({"issuers": [issuer]}))
                done = subprocess.run([BINARY, "config", "check", "--config", config], capture_output=True, text=True)
                self.assertEqual((done.returncode, done.stderr.count("\n")), (2, 1), (url, done.stderr))
                self.assertIn(key, done.stderr)

    def certificate(self, days=(-1, 1), name="localhost", issuer="authority", authority=False, sha1=False):
        named, now = lambda one: x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, one)]), datetime.now(timezone.utc)
        extension = x509.BasicConstraints(True, None) if authority else x509.SubjectAlternativeName([x509.DNSName(name)])
        signed = (x509.CertificateBuilder().subject_name(named("authority" if authority else "localhost"))
                  .issuer_name(named(issuer)).serial_number(x509.random_serial_number()).public_key(self.idp.rsa.public_key())
                  .not_valid_before(now + timedelta(days[0])).not_valid_after(now + timedelta(days[1]))
                  .add_extension(extension, authority).sign(self.idp.rsa, hashes.SHA256()))
        whole = signed.public_bytes(serialization.Encoding.DER)
        if sha1:  # the builder makes none: both places that name the algorithm, and the signature behind them
            weak = lambda text: text.replace(bytes.fromhex("2a864886f70d01010b"), bytes.fromhex("2a864886f70d010105"))
            whole = weak(whole[:-256]) + self.idp.rsa.sign(weak(signed.tbs_certificate_bytes), padding.PKCS1v15(), hashes.SHA1())
        return ssl.DER_cert_to_PEM_cert(whole)

    def test_a_certificate_that_is_not_good_ends_the_fetch(self):
        """C20"""
        pem = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        key, issuers = self.file("k.pem", self.idp.rsa.private_bytes(*pem).decode()), []
        rows = {"good": {}, "expired": {"days": (-9, -1)}, "early": {"days": (1, 9)}, "name": {"name": "idp.example"},
                "nul": {"name": "localhost\0.evil.example"}, "self-signed": {"issuer": "localhost"}, "sha1": {"sha1": True}}
        for row, how in rows.items():
            port, _ = self.front(self.file("c.pem", self.certificate(**how)), key)
            issuers.append(self.idp.publish(row, at=f"https://localhost:{port}"))
        trusted = {"ca_file": str(self.file("ca.pem", self.certificate(authority=True)))}
        state = self.state(self.begin(issuers, outbound=trusted))
        self.assertTrue(state.pop("good")["ready"], "the others have one fault each")
        for row, one in state.items():
            self.assertIn("no trusted TLS connection", one["problem"], row)
        self.assertEqual({path.split("/")[1] for path in self.idp.asked}, {"good"})

    def test_what_is_remembered_is_the_answer_for_the_whole_token_and_no_decision(self):
        """C28, C30, C31, C32"""
        issuer = self.kept(providers.Opaque())
        client = {"client_id": "mcp", "client_secret": "0123456789abcdef", "cache_time": "1m"}
        server = self.serve([{"url": issuer.url, "tokens": "opaque", "introspection": client}], "--threads", "1")
        ada, eve = "opaque-2055660", "opaque-6027174"  # their digests begin with the same 48 bits
        self.assertEqual(*(hashlib.sha256(one.encode()).digest()[:6] for one in (ada, eve)))
        issuer.allow(ada, server.audience, scope="read")
        issuer.allow(eve, server.audience, sub="eve")
        for _ in range(3):
            for token, subject in ((ada, "ada"), (eve, "eve")):
                self.assertEqual(server.ok(token, "whoami")["subject"], subject)
                refused = server.call(token, "execute_workflow", name="none")[0] == 403
                self.assertEqual(refused, subject == "ada", "each route asks for its own scopes")
            self.assert_refused(server, ada[:-1], "token_inactive")
        self.assertEqual([form["token"] for _, form in issuer.questions], [[ada], [eve], [ada[:-1]]])
        issuer.status = 401  # a word about this server, not about the token
        self.assertEqual((self.status(server, "other"), self.logged(server, "check introspection.client_id")), (503, 1))


# In front of the C library: a file of $NAMES says what a name resolves to (words: an address, !code, ~seconds to wait), once
# when there is a file NAME.next; PUBLIC is led to this machine, nobody else is reached, and all is written down.
INCLUDED = "arpa/inet dlfcn errno netdb stdio stdlib string unistd".split()
RESOLVER = "#define _GNU_SOURCE\n" + "".join(f"#include <{name}.h>\n" for name in INCLUDED) + r"""
static void say(const char* what, const char* of) {
  FILE* log = fopen(getenv("NAMES_LOG"), "a");
  if (log) fprintf(log, "%s %s\n", what, of), fclose(log);
}
int getaddrinfo(const char* node, const char* service, const struct addrinfo* hints, struct addrinfo** out) {
  int (*real)(const char*, const char*, const struct addrinfo*, struct addrinfo**) = dlsym(RTLD_NEXT, "getaddrinfo");
  int code = EAI_NONAME;
  char path[512], next[520], word[64];
  snprintf(path, sizeof path, "%s/%s", getenv("NAMES"), node ? node : ""), snprintf(next, sizeof next, "%s.next", path);
  FILE* file = node ? fopen(path, "r") : NULL;
  if (!file) return real(node, service, hints, out);
  say("name", node), *out = NULL;
  for (struct addrinfo** at = out; fscanf(file, "%63s", word) == 1;)
    if (*word == '!') code = atoi(word + 1);
    else if (*word == '~') sleep(atoi(word + 1));
    else if (real(word, service, hints, at) == 0) while (*at) at = &(*at)->ai_next;
  fclose(file), rename(next, path);
  return *out ? 0 : code;
}
int connect(int fd, const struct sockaddr* to, socklen_t size) {
  int (*real)(int, const struct sockaddr*, socklen_t) = dlsym(RTLD_NEXT, "connect");
  struct sockaddr_in here = *(const struct sockaddr_in*)to;
  const void* six = &((const struct sockaddr_in6*)to)->sin6_addr;
  char text[64];
  if (!inet_ntop(to->sa_family, to->sa_family == AF_INET6 ? six : &here.sin_addr, text, sizeof text)) return real(fd, to, size);
  say("connect", text), here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (strcmp(text, "PUBLIC") == 0) return real(fd, (struct sockaddr*)&here, sizeof here);
  return errno = ENETUNREACH, -1;
}
""".replace("PUBLIC", PUBLIC)
SPECIAL = ("127.0.0.1 10.0.0.1 172.16.0.1 172.31.255.255 192.168.1.1 169.254.169.254 100.64.0.1 0.0.0.0 192.0.0.1 198.18.0.1"
           " 224.0.0.1 240.0.0.1 255.255.255.255 ::1 :: fc00::1 fdff::1 fe80::1 fec0::1 ff02::1 2001:db8::1 ::ffff:10.0.0.1"
           " ::ffff:7f00:1 ::10.0.0.1 64:ff9b::a00:1 64:ff9b:1::a00:1 2002:a00:1:: 2001:0:1::1 2600::5efe:10.0.0.1").split()


class Addresses(Case):
    def setUp(self):
        super().setUp()
        if not shutil.which("cc") or b"san_init" in pathlib.Path(BINARY).read_bytes():
            self.skipTest("needs a compiler, and a server without sanitizers, which want to be the first library themselves")
        command = ["cc", "-shared", "-fPIC", "-w", "-o", self.directory / "names.so", self.file("names.c", RESOLVER), "-ldl"]
        subprocess.run(command, check=True)
        pems = providers.certificates("public.example", "stays.example", "moves.example")
        self.authority, *self.pair = (self.file(f"{number}.pem", pem) for number, pem in enumerate(pems))

    def resolved(self, issuers, names):
        """A server to which these names mean these addresses, once it has tried each issuer; and what it tried."""
        (self.directory / "names").mkdir()
        for name, words in names.items():
            self.file("names/" + name, words)
        log = self.file("log", "")
        env = {"LD_PRELOAD": f"{self.directory}/names.so", "NAMES": f"{self.directory}/names", "NAMES_LOG": str(log)}
        server = self.begin(issuers, outbound={"ca_file": str(self.authority)}, env=env)
        state = self.state(server)
        said = [line.split() for line in log.read_text().splitlines()]
        return server, state, {of for what, of in said if what == "connect"}, [of for what, of in said if what == "name"]

    def test_what_is_not_public_is_never_connected_to(self):
        """C11, C13, C14: as a name's address, and in the document of an issuer that is public; another public host is told."""
        at = f"https://public.example:{self.front(*self.pair)[0]}"
        elsewhere = at.replace("public", "stays") + "/good/keys"
        issuers = [self.idp.publish("good", at=at, jwks_uri=elsewhere)]
        names = {"public.example": PUBLIC, "stays.example": PUBLIC}
        for number, address in enumerate(SPECIAL):
            uri = f"https://[{address}]/k" if ":" in address else f"https://{address}/k"
            issuers.append(self.idp.publish(f"l{number}", at=at, jwks_uri=uri))
            issuers.append({"name": f"n{number}", "url": f"https://n{number}.example"})
            names[f"n{number}.example"] = address
        server, state, connects, _ = self.resolved(issuers, names)
        self.assertEqual((connects, state["good"]["ready"]), ({PUBLIC}, True))
        self.assertEqual(self.logged(server, elsewhere), 1, "it is said where the keys come from")
        for number, address in enumerate(SPECIAL):
            self.assertRegex(state[f"l{number}"]["problem"], "private or local|points to this machine", address)
            # A machine without IPv6 has no use for such an address of a name.
            told = "private or local" + "|cannot be resolved" * (":" in address)
            self.assertRegex(state[f"n{number}"]["problem"], told, address)

    def test_names_that_resolve_badly(self):
        """C16, C18: of a mixed answer nothing but the public address is ever tried."""
        names = {"mixed": (f"{PUBLIC} 10.0.0.1", ""), "turned": (f"10.0.0.1 {PUBLIC}", ""),
                 "metadata": ("169.254.169.254", "private or local"), "absent": ("!-2", "cannot be resolved"),
                 "failed": ("!-3", "cannot be resolved"), "slow": (f"~40 {PUBLIC}", "in time"),
                 "many": (" ".join(f"10.0.{n // 250}.{n % 250}" for n in range(10_000)), "private or local")}
        issuers = [{"name": name, "url": f"https://{name}.example:{free_port()}"} for name in names]
        server, state, connects, _ = self.resolved(issuers, {name + ".example": words for name, (words, _) in names.items()})
        self.assertEqual(connects, {PUBLIC})
        for name, (_, problem) in names.items():
            self.assertIn(problem, state[name]["problem"], name)
        self.assertEqual(server.stop(), 0, "nobody waits for a resolver that hangs, and stop() does not wait as long")

    def test_the_address_that_was_looked_at_is_the_one_connected_to(self):
        """C17: each connection goes to what its own look-up gave, and the certificate must be the name's all the same."""
        (port, called), (other, unheard) = self.front(*self.pair), self.front(*self.pair)
        stays, moves, later = f"https://stays.example:{port}", f"https://moves.example:{port}", f"https://moves.example:{other}"
        issuers = [self.idp.publish("a", at=stays), self.idp.publish("b", at=moves, jwks_uri=later + "/b/keys")]
        names = {f"{one}.example{turn}": to for one in ("stays", "moves") for turn, to in (("", PUBLIC), (".next", "10.0.0.1"))}
        server, state, connects, looked_up = self.resolved(issuers, names)
        self.assertEqual(self.status(server, self.idp.token_of("a", server, at=stays)), 200)
        self.assertIn("private or local", state["b"]["problem"])
        self.assertEqual((connects, looked_up[:3].count("moves.example")), ({PUBLIC}, 2))
        self.assertEqual((called, unheard), ({"stays.example", "moves.example"}, set()))


if __name__ == "__main__":
    unittest.main()
