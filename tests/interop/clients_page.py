#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The table of docs/clients.md, made of what the interop tests found.

clients_page.py [--write]: reads build/interop-results, where run.sh leaves which revision each
client negotiated, and the versions of the lock files. Compares with the page, for the clients that
were there; --write needs all of them and writes the table.
"""
import json
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
HERE = ROOT / "tests" / "interop"
RESULTS = ROOT / "build" / "interop-results"
PAGE = ROOT / "docs" / "clients.md"
BEGIN, END = "<!-- table -->\n", "<!-- end of table -->\n"
MODERN = "2026-07-28"


def npm(folder, package):
    lock = json.loads((HERE / folder / "package-lock.json").read_text())
    return lock["packages"]["node_modules/" + package]["version"]


def found(path, pattern):
    return re.search(pattern, (HERE / path).read_text(), re.MULTILINE)[1]


def pip(package):
    return found("requirements.txt", rf"^{package}==(.*)$")


CLIENTS = [
    ("typescript_v1", "TypeScript `@modelcontextprotocol/sdk`", npm(".", "@modelcontextprotocol/sdk")),
    ("typescript_v2", "TypeScript `@modelcontextprotocol/client`", npm(".", "@modelcontextprotocol/client")),
    ("python_mcp", "Python `mcp`", pip("mcp")),
    ("python_fastmcp", "Python `fastmcp`", f"{pip('fastmcp')}, on `mcp` {pip('mcp')}"),
    ("go", "Go `github.com/modelcontextprotocol/go-sdk`", found("go/go.mod", r"go-sdk v(\S+)")),
    ("rust", "Rust `rmcp`", found("rust/Cargo.lock", r'name = "rmcp"\nversion = "(.*)"')),
    ("inspector", "MCP Inspector, command line", npm("inspector", "@modelcontextprotocol/inspector")),
    ("inspector_web", "MCP Inspector, web page in Chromium", npm("inspector", "@modelcontextprotocol/inspector")),
]


def rows_of(name, label, version):
    """Lines of the table; none for a client that did not pass."""
    path = RESULTS / name
    for line in path.read_text().splitlines() if path.exists() else []:
        how, revision = line.split(" | ")
        era = "modern" if revision >= MODERN else "legacy"
        yield f"| {label} | {version} | {how} | {revision} | {era} | passes |\n"


def main():
    page = PAGE.read_text()
    head, rest = page.split(BEGIN)
    table, tail = rest.split(END)
    rows = {name: list(rows_of(name, label, version)) for name, label, version in CLIENTS}
    absent = [name for name, lines in rows.items() if not lines]
    if "--write" in sys.argv[1:]:
        if absent:
            sys.exit(f"error: no result of {', '.join(absent)}: run tests/interop/run.sh NAME first")
        title = "| client | version | how it connects | revision negotiated | era | result |\n|---|---|---|---|---|---|\n"
        PAGE.write_text(head + BEGIN + title + "".join(line for lines in rows.values() for line in lines) + END + tail)
        return 0
    wrong = [line for lines in rows.values() for line in lines if line not in table.splitlines(keepends=True)]
    for line in wrong:
        print("FAIL docs/clients.md does not have: " + line, end="")
    if absent:
        print("not compared, as they left no result: " + ", ".join(absent))
    if not wrong and len(absent) == len(CLIENTS):
        return 77
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
