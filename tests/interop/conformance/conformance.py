# SPDX-License-Identifier: Apache-2.0
"""The official conformance suite against build/release/conformance-server.

conformance.py SUITE [--write]: SUITE is the suite's index.js, run with the `node` of PATH, which
has to be 22 or later. Runs every set against a fresh server of its own. Fails unless every
scenario of every set passes, whether the suite scores it or not, and unless the numbers are those
of docs/conformance.md; --write writes that page instead.
"""
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs" / "conformance.md"
SERVER = os.environ.get("KUBIYA_CONFORMANCE_SERVER", str(ROOT / "build" / "release" / "conformance-server"))
SETS = [("2026-07-28", ["--requirements", "2026-07-28"]),
        ("2025-11-25", ["--requirements", "2025-11-25"]),
        ("2025-06-18", ["--suite", "all", "--spec-version", "2025-06-18"]),
        ("2025-03-26", ["--suite", "all", "--spec-version", "2025-03-26"])]
# Scenarios that the suite itself does not run yet: each of their checks is "SKIPPED".
EMPTY = {"tasks-status-notifications"}
REFERENCE = {"2026-07-28": "130 of 184", "2025-11-25": "84 of 84", "2025-06-18": "56 of 56", "2025-03-26": "3 of 3"}

TEXT = """# Conformance

The official suite, `@modelcontextprotocol/conformance` {suite}, against `conformance-server`: this server's own protocol,
session and authentication code, with the suite's fixtures in the place of workflows. Every scenario that the suite runs for
a revision counts here, also those that it does not score (extensions, scenarios that came after the revision).

| revision | scenarios passed | of these scored | checks passed | the suite's reference server, checks passed |
|---|---|---|---|---|
{rows}

```sh
./test --build
tests/interop/run.sh conformance            # compares with this page, as ./test does
tests/interop/run.sh conformance --write    # writes it
```

{empty} is among the scenarios of 2026-07-28 but has no check yet: the suite skips it whatever the server does.

The last column was measured once and is not repeated by the test, because npm does not carry that server: it is
`everything-server` of the suite's repository at 0.2.0-alpha.11, under the same suite. Of the 54 checks that it fails on
2026-07-28, those of scored scenarios are all `wire-schema-valid` (it leaves `resultType` off the results of `tools/call`);
the others belong to tasks and header scenarios, which it does not implement.
"""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    def __init__(self, place):
        self.port = free_port()
        self.log = open(place / "server.log", "wb")
        self.process = subprocess.Popen([SERVER, "--port", str(self.port), "--data-dir", str(place / "data")],
                                        stdout=subprocess.DEVNULL, stderr=self.log)

    def __enter__(self):
        end = time.monotonic() + 30
        while time.monotonic() < end and self.process.poll() is None:
            try:
                with urllib.request.urlopen(f"http://localhost:{self.port}/healthz", timeout=5):
                    return self
            except OSError:
                time.sleep(0.05)
        self.__exit__()
        sys.exit("error: conformance-server did not start")

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(30)
        self.log.close()
        if status not in (0, -signal.SIGTERM):
            sys.exit(f"error: conformance-server ended with {status}")


def run_set(suite, options, place):
    """The suite's words, and of each scenario the statuses of its checks."""
    with Server(place) as server:
        done = subprocess.run(["node", suite, "server", "--url", f"http://localhost:{server.port}/mcp", *options, "-o",
                               str(place / "out")], capture_output=True, text=True, timeout=400)
    scenarios = {}
    for path in (place / "out").glob("*/checks.json"):
        # "server-NAME-2026-01-31T00-00-00-000Z"
        name = path.parent.name.removeprefix("server-")[:-len("-2026-01-31T00-00-00-000Z")]
        scenarios[name] = [(check["status"], check["id"], check.get("errorMessage")) for check in json.loads(path.read_text())]
    return done.stdout + done.stderr, scenarios


def faults_of(scenarios):
    if not scenarios:
        yield "no scenario ran"
    for name, checks in sorted(scenarios.items()):
        passed = sum(status == "SUCCESS" for status, _, _ in checks)
        if not passed and name not in EMPTY:
            yield f"{name}: no check passed"
        for status, ident, message in checks:
            if status not in ("SUCCESS", "INFO") and not (name in EMPTY and status == "SKIPPED"):
                yield f"{name}: {ident}: {status}: {message}"


def scored_of(said, scenarios):
    """How many the suite scores: it lists those that it does not."""
    unscored = sum(f"\n  ✓ {name} (" in said or f"\n  ✗ {name} (" in said for name in scenarios)
    return len(scenarios) - unscored


def main():
    suite, write = sys.argv[1], "--write" in sys.argv[2:]
    rows, failed = [], 0
    for revision, options in SETS:
        with tempfile.TemporaryDirectory() as place:
            said, scenarios = run_set(suite, options, pathlib.Path(place))
            faults = list(faults_of(scenarios))
            if faults:
                failed += 1
                print(f"FAIL {revision}", *faults, "the server's log:",
                      (pathlib.Path(place) / "server.log").read_text(errors="replace")[-3000:], said[-2000:], sep="\n  ")
                continue
        checks = sum(status == "SUCCESS" for found in scenarios.values() for status, _, _ in found)
        counted = len(scenarios.keys() - EMPTY)
        scored = scored_of(said, scenarios) if "--requirements" in options else "–"
        rows.append(f"| {revision} | {counted} of {counted} | {scored} | {checks} of {checks} | {REFERENCE[revision]} |")
        print(f"ok   {revision}: {counted} scenarios, {checks} checks")
    if failed:
        return 1
    if write:
        version = json.loads((pathlib.Path(suite).parents[1] / "package.json").read_text())["version"]
        PAGE.write_text(TEXT.format(suite=version, rows="\n".join(rows), empty=", ".join(f"`{name}`" for name in sorted(EMPTY))))
        return 0
    missing = [row for row in rows if row not in PAGE.read_text().splitlines()]
    for row in missing:
        print(f"FAIL docs/conformance.md does not have: {row}")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
