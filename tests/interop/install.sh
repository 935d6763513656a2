#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Sourced by run.sh and run-provider.sh: puts what comes from a package registry under build/, once.
# Exit: 1 failed, 77 when it cannot be had on this machine; under CI=true that is a failure too.

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
  grep -Eq 'ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH|ERR_SOCKET_TIMEOUT|NewConnectionError|NameResolutionError|ConnectTimeoutError|ReadTimeoutError|connection broken|UnknownHost|Unknown host|Connect to .* failed|Connection refused|Network is unreachable|Temporary failure in name resolution|dial tcp' "$1"
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
