"""`bench/run` still measures all that it promises. Says nothing of how fast anything is."""
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

from harness import ROOT

PROMISED = {"hotpath": {"requests_per_s", "p99", "cpu_per_request", "requests_per_s_tls13", "p99_tls13", "cpu_per_request_tls13"},
            "coldtoken": {"requests_per_s", "cpu_per_request"},
            "footprint": {"idle_memory", "memory_200_idle_connections", "memory_200_idle_connections_tls", "ready_with_cached_keys"},
            "audit": {"durable_calls_per_s"},
            "engine": {"steps_per_s"},
            "identity": {"cold_RS256_per_s", "cold_PS256_per_s", "cold_ES256_per_s", "cold_ES384_per_s", "cold_EdDSA_per_s",
                         "cpu_per_request_200_tokens", "cpu_per_request_1000_keys", "flood_of_unknown_keys",
                         "good_requests_beside_it", "good_p99_beside_it", "key_set_fetches_in_30_s"},
            "protocol": {"modern_call_cpu", "modern_calls_per_s", "modern_call_p99", "memory_of_a_listener_of_200", "fan_out_to_200",
                         "progress_events_per_s_to_50", "progress_first_to_last_stream"}}


class Bench(unittest.TestCase):
    @unittest.skipUnless(shutil.which("wrk") and os.path.exists("/usr/sbin/nginx"), "needs nginx-light and wrk")
    def test_one_short_round_of_everything_measures_every_metric_that_is_promised(self):
        with tempfile.TemporaryDirectory(prefix="kubiya-bench-test-") as directory:
            path = pathlib.Path(directory, "results.json")
            done = subprocess.run([ROOT / "bench" / "run", "--smoke", "--json", path], capture_output=True, text=True, timeout=500)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            rows = json.loads(path.read_text())
        measured = {}
        for row in rows:
            self.assertEqual(set(row), {"name", "metric", "value", "unit", "baseline", "ratio"})
            self.assertIsInstance(row["value"], (int, float))
            measured.setdefault(row["name"], set()).add(row["metric"])
        self.assertEqual(measured, PROMISED)


if __name__ == "__main__":
    unittest.main()
