# SPDX-License-Identifier: Apache-2.0
"""How long a refusal takes tells nothing about what was refused: Welch's t-test over interleaved samples of pairs of refusals."""
import http.client
import json
import math
import os
import random
import statistics
import time
import unittest

from harness import MODERN, Issuer, Server, until, wellformed_key

SAMPLES = int(os.environ.get("KUBIYA_TIMING_SAMPLES", 20_000))
LIMIT = 4.5  # |t| beyond it has a probability of less than one in a hundred thousand where there is no difference
ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def t_of(a, b):
    """Welch's, of the quicker nine tenths of each: what the machine does beside is in the slower tenth."""
    a, b = (sorted(all_)[:len(all_) * 9 // 10] for all_ in (a, b))
    spread = math.sqrt(statistics.variance(a) / len(a) + statistics.variance(b) / len(b))
    return (statistics.fmean(a) - statistics.fmean(b)) / spread


class Timing(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        limits = {"KUBIYA_LOG_REQUESTS": "none", "KUBIYA_SERVER_THREADS": "1"}
        cls.keys = Server(None, env=limits)
        cls.addClassCleanup(cls.keys.close)
        cls.issuer = Issuer()
        cls.addClassCleanup(cls.issuer.close)
        cls.tokens = Server(cls.issuer, env=limits)
        cls.addClassCleanup(cls.tokens.close)

    def call(self, server, credential, tool="whoami", **arguments):
        """What asks for it, and the status that each answer must have."""
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": arguments, "_meta": {
            "io.modelcontextprotocol/protocolVersion": MODERN, "io.modelcontextprotocol/clientCapabilities": {}}}})
        head = {"Content-Type": "application/json", "Accept": "application/json", "MCP-Protocol-Version": MODERN,
                "Mcp-Method": "tools/call", "Mcp-Name": tool, "Authorization": "Bearer " + credential}
        return server, body, head

    def compare(self, first, second, status):
        connection = http.client.HTTPConnection("127.0.0.1", first[0].port)
        self.addCleanup(connection.close)
        order = random.Random(1)

        def once(request):
            begin = time.perf_counter_ns()
            connection.request("POST", "/mcp", request[1], request[2])
            answer = connection.getresponse()
            text = answer.read()
            took = time.perf_counter_ns() - begin
            self.assertEqual(answer.status, status, text)
            return took, {name: value for name, value in answer.getheaders() if name.lower() not in ("date", "x-request-id")}, len(text)

        for request in (first, second) * 200:
            once(request)
        took = ([], [])
        looks = [set(), set()]
        for _ in range(SAMPLES):
            pair = [(0, first), (1, second)]
            order.shuffle(pair)
            for index, request in pair:
                duration, headers, size = once(request)
                took[index].append(duration)
                looks[index].add((json.dumps(headers, sort_keys=True), size))
        self.assertEqual(looks[0], looks[1], "status, headers and size are the same")
        t = t_of(*took)
        print(f"{self.id().rsplit('.', 1)[1]}: t = {t:.2f}, medians {statistics.median(took[0]) / 1e3:.1f} and {statistics.median(took[1]) / 1e3:.1f} us")
        self.assertLess(abs(t), LIMIT)

    def key(self):
        made = self.keys.cli("key", "create", "--user", "ada", "--scopes", "read").stdout.strip()
        until(lambda: self.keys.call(made, "whoami")[0] == 200)
        return made

    def test_E1_E2_a_wrong_secret_and_an_unknown_id(self):
        good = self.key()
        other = wellformed_key("another")
        wrong_secret = wellformed_key(good[3:15] + other[15:58])
        unknown_id = wellformed_key(other[3:15] + good[15:58])
        self.compare(self.call(self.keys, wrong_secret), self.call(self.keys, unknown_id), 401)

    def test_E3_where_in_the_secret_it_is_wrong(self):
        good = self.key()

        def changed_at(position):
            other = ALPHABET[(ALPHABET.index(good[position]) + 1) % 62]
            return wellformed_key(good[3:position] + other + good[position + 1:58])
        for position in (36, 57):
            with self.subTest(position):
                self.compare(self.call(self.keys, changed_at(15)), self.call(self.keys, changed_at(position)), 401)

    def test_another_persons_run_and_none_at_all(self):
        token = lambda who: self.issuer.token(self.tokens.audience, who)
        self.tokens.ok(token("ada"), "create_workflow", definition={"name": "quick", "steps": [{"name": "s", "command": "true"}]})
        theirs = self.tokens.ok(token("ada"), "execute_workflow", name="quick")["execution_id"]
        absent = theirs[:-4] + ("0000" if theirs[-4:] != "0000" else "1111")
        bob = token("bob")
        self.compare(self.call(self.tokens, bob, "get_execution", execution_id=theirs),
                     self.call(self.tokens, bob, "get_execution", execution_id=absent), 200)

    def test_where_a_signature_is_wrong(self):
        good = self.issuer.token(self.tokens.audience, "ada")
        head, body, signature = good.split(".")
        first = ("B" if signature[10] != "B" else "C")
        last = ("B" if signature[-10] != "B" else "C")
        self.compare(self.call(self.tokens, f"{head}.{body}.{signature[:10]}{first}{signature[11:]}"),
                     self.call(self.tokens, f"{head}.{body}.{signature[:-10]}{last}{signature[-9:]}"), 401)


if __name__ == "__main__":
    unittest.main()
