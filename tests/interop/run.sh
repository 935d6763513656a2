#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# run.sh NAME: connects one real client to a fresh demonstration server.
#   typescript_v1 | typescript_v2   official TypeScript SDKs
#   python_fastmcp                  fastmcp
#   python_mcp                      official Python SDK
#   go | rust                       official Go and Rust SDKs
#   inspector                       command line of the MCP Inspector
#   apps                            a host of MCP Apps, in Chromium
#   seed_curl                       the curl lines of the README
# run.sh conformance [--write]: the official conformance suite, see conformance/conformance.py.
# The server is $KUBIYA_BINARY or build/release/kubiya-mcp. Clients are installed under build/ as
# their lock files say, once. What it negotiated goes to build/interop-results/NAME. Exit: 0 passed, 1 failed, 77 when a client cannot be had on this
# machine (no registry in reach, no runtime); under CI=true that is a failure too.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
root=$(dirname "$(dirname "$here")")
binary=${KUBIYA_BINARY:-$root/build/release/kubiya-mcp}

# shellcheck source=install.sh
source "$here/install.sh"

server=
work=
stop_server() {
  if [[ -n $server ]]; then
    kill -TERM "$server" 2>/dev/null || true
    wait "$server" 2>/dev/null || true
    server=
  fi
}
clean_up() {
  stop_server
  [[ -z $work ]] || rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 1' INT TERM

# Whether somebody listens on this port.
taken() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# wait_until_ready PORT: false when the server ends first or is not ready in 20 seconds.
wait_until_ready() {
  local attempt
  for ((attempt = 0; attempt < 200; attempt++)); do
    kill -0 "$server" 2>/dev/null || return 1
    if [[ -s $data/demo.env ]] && curl -fsS -o /dev/null "http://localhost:$1/readyz" 2>/dev/null; then
      return 0
    fi
    sleep 0.1
  done
  return 1
}

# Its log lines only: what the demonstration prints for people has tokens in it.
print_log() {
  echo "--- the server's log" >&2
  grep '^{\|^error' "$log" | tail -n 30 >&2 || true
}

# Another process may take a port between the look and the start: then the next pair is tried.
start_server() {
  local attempt port
  for ((attempt = 0; attempt < 5; attempt++)); do
    port=$((20000 + (RANDOM % 6000) * 2))
    if taken "$port" || taken "$((port + 1))"; then continue; fi
    rm -rf "$data"
    (cd "$root" && exec "$binary" dev --port "$port" --data-dir "$data") >"$log" 2>&1 &
    server=$!
    if wait_until_ready "$port"; then return 0; fi
    stop_server
  done
  print_log
  fail "the demonstration did not start"
}

name=${1:-}
client=()
results=$root/build/interop-results
mkdir -p "$results"
case $name in
  typescript_v1) prepare_typescript "$name" 18 ;;
  typescript_v2) prepare_typescript "$name" 20 ;;
  python_fastmcp) prepare_python python_fastmcp.py ;;
  python_mcp) prepare_python python_mcp.py ;;
  go) prepare_go ;;
  rust) prepare_rust ;;
  inspector) prepare_inspector ;;
  apps) prepare_apps ;;
  seed_curl) client=(bash "$here/seed_curl.sh") ;;
  conformance)
    prepare_conformance
    exec /usr/bin/python3 "$here/conformance/conformance.py" "$suite" "${@:2}"
    ;;
  *)
    echo "usage: $0 typescript_v1|typescript_v2|python_fastmcp|python_mcp|go|rust|inspector|apps|seed_curl|conformance" >&2
    exit 2
    ;;
esac
rm -f "$results/$name"
[[ -x $binary ]] || fail "$binary is missing: ./run --build makes it"

work=$(mktemp -d)
data=$work/data
log=$work/server.log
start_server
set -a
# shellcheck source=/dev/null
source "$data/demo.env"
set +a
status=0
# The log, for clients that do not say which revision they speak; the home, for those that keep files.
SERVER_LOG=$log HOME=$work timeout 240 "${client[@]}" | tee "$work/said" || status=$?
if ((status != 0)); then
  print_log
  exit 1
fi
sed -n 's/^result: //p' "$work/said" >"$results/$name"
