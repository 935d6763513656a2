#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# run.sh NAME: connects one real client to a fresh demonstration server.
#   typescript_v1 | typescript_v2   official TypeScript SDKs
#   python_fastmcp                  fastmcp
#   seed_curl                       the curl lines of the README
# The server is $KUBIYA_BINARY or build/release/kubiya-mcp. Clients are installed under build/ as
# their lock files say, once. Exit: 0 passed, 1 failed, 77 when a client cannot be had on this
# machine (no registry in reach, no runtime); under CI=true that is a failure too.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
root=$(dirname "$(dirname "$here")")
binary=${KUBIYA_BINARY:-$root/build/release/kubiya-mcp}

source "$here/install.sh"

npm_install() {
  cp "$here/package.json" "$here/package-lock.json" "$1/"
  npm ci --prefix "$1" --ignore-scripts --no-audit --no-fund --no-progress \
    --fetch-retries=2 --fetch-retry-mintimeout=1000 --fetch-retry-maxtimeout=5000
}

pip_install() {
  /usr/bin/python3 -m venv "$1" &&
    "$1/bin/pip" install --disable-pip-version-check --no-input --no-deps \
      -r "$here/requirements.txt" &&
    "$1/bin/pip" check
}

# prepare_typescript NAME NODE: NODE is the oldest major version that the SDK says it runs on.
# Imports are looked up beside the importing file, so the client's source goes beside its packages.
prepare_typescript() {
  local needed=$2 major
  command -v node >/dev/null && command -v npm >/dev/null || unavailable "there is no node or npm"
  major=$(node -p 'process.versions.node.split(".")[0]')
  ((major >= needed)) || unavailable "$1 needs Node $needed, this is $(node --version)"
  local packages=$root/build/interop-typescript
  install_once "$packages" "$here/package.json" "$here/package-lock.json" -- npm_install "$packages"
  install -C -m 644 "$here/checks.mjs" "$here/$1.mjs" "$packages/"
  client=(node "$packages/$1.mjs")
}

prepare_fastmcp() {
  /usr/bin/python3 -c 'import ensurepip' 2>/dev/null || unavailable "there is no python3-venv"
  local packages=$root/build/interop-python
  install_once "$packages" "$here/requirements.txt" -- pip_install "$packages"
  client=("$packages/bin/python" "$here/python_fastmcp.py")
}

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
case $name in
  typescript_v1) prepare_typescript "$name" 18 ;;
  typescript_v2) prepare_typescript "$name" 20 ;;
  python_fastmcp) prepare_fastmcp ;;
  seed_curl) client=(bash "$here/seed_curl.sh") ;;
  *) echo "usage: $0 typescript_v1|typescript_v2|python_fastmcp|seed_curl" >&2; exit 2 ;;
esac
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
timeout 120 "${client[@]}" || status=$?
if ((status != 0)); then
  print_log
  exit 1
fi
