# SPDX-License-Identifier: Apache-2.0
# Sourced by ./run and ./test: Debian packages, installed only when missing.

COMPILER=(g++ cmake ninja-build pkg-config ccache mold)
LIBRARIES=(libboost1.81-dev libboost-url1.81-dev libssl-dev
  libcurl4-openssl-dev libsqlite3-dev libyaml-dev libfmt-dev libpcre2-dev libcli11-dev
  libexpected-dev zlib1g-dev)
TESTS=(nginx-light wrk python3-minimal python3 python3-cryptography python3-pip python3-venv libgtest-dev libgmock-dev librapidcheck-dev curl)
CHECKERS=(clang-19 clang-tidy-19 clang-format-19 libclang-rt-19-dev)
CLIENTS=(nodejs npm)
BROWSER=(chromium)
PROVIDERS=(default-jre-headless maven)

die() {
  echo "error: $*" >&2
  exit 1
}

missing_of() {
  local package state
  for package in "$@"; do
    state=$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null || true)
    [[ $state == "install ok installed" ]] || echo "$package"
  done
}

as_root() {
  if [[ $(id -u) == 0 ]]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    die "installing packages needs root or sudo; as root: apt-get install ${missing[*]}"
  fi
}

APT_UPDATED=no
# need "why" package…
need() {
  local why=$1 log
  shift
  command -v dpkg-query >/dev/null || die "this script installs packages with apt; on other systems see README.md"
  local missing
  mapfile -t missing < <(missing_of "$@")
  [[ ${#missing[@]} -gt 0 ]] || return 0
  echo "Installing for $why: ${missing[*]}"
  log=$(mktemp)
  if [[ $APT_UPDATED == no ]]; then
    as_root env DEBIAN_FRONTEND=noninteractive apt-get update -q >"$log" 2>&1 ||
      { tail -n 20 "$log" >&2; rm -f "$log"; die "apt-get update failed"; }
    APT_UPDATED=yes
  fi
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends \
    "${missing[@]}" >"$log" 2>&1 ||
    { tail -n 20 "$log" >&2; rm -f "$log"; die "installing ${missing[*]} failed"; }
  rm -f "$log"
}

need_for_building() {
  need "compiling" "${COMPILER[@]}"
  need "the libraries it is built on" "${LIBRARIES[@]}"
}

# configure PRESET [-DNAME=VALUE]…: quiet unless it fails.
configure() {
  local log
  log=$(mktemp)
  cmake --preset "$@" >"$log" 2>&1 || { cat "$log" >&2; rm -f "$log"; die "configuring $1 failed"; }
  rm -f "$log"
}
