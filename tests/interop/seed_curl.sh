#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The two curl lines of "Testing Authentication", word for word; only the port and the token are
# filled in. BASE_URL, ISSUER_URL and DEPLOYER_TOKEN come from demo.env.
set -euo pipefail

read -r -d '' METADATA <<'TEXT' || true
curl http://localhost:8000/.well-known/oauth-authorization-server
TEXT

read -r -d '' BEARER <<'TEXT' || true
# Get token from your auth provider
TOKEN="your-jwt-token"

# Make authenticated request
curl -H "Authorization: Bearer $TOKEN" \
  -H "Content-Type: application/json" \
  http://localhost:8000/
TEXT

failed=0
errors=$(mktemp)
trap 'rm -f "$errors"' EXIT

# Runs SNIPPET against this server; prints what it printed.
run_snippet() {
  local snippet=$1
  snippet=${snippet//http:\/\/localhost:8000/$BASE_URL}
  snippet=${snippet//your-jwt-token/$DEPLOYER_TOKEN}
  bash -euo pipefail <<<"$snippet" 2>"$errors"
}

# check NAME SNIPPET EXPRESSION: the answer is JSON, and EXPRESSION holds of it (as `answer`).
check() {
  local name=$1 answer
  if answer=$(run_snippet "$2") &&
    /usr/bin/python3 -c 'import json, os, sys
answer = json.loads(sys.argv[1])
sys.exit(0 if eval(f"({sys.argv[2]})") else 1)' "$answer" "$3" 2>>"$errors"; then
    echo "ok   seed_curl: $name"
  else
    failed=1
    echo "FAIL seed_curl: $name: $answer"
    sed 's/^/     /' "$errors"
  fi
}

check "metadata names the issuer and its keys" "$METADATA" \
  'answer["issuer"] == os.environ["ISSUER_URL"] and answer["jwks_uri"].startswith(answer["issuer"])'
check "the bearer's request is answered as the deployer" "$BEARER" \
  '(answer["subject"], sorted(answer["scopes"]), answer["api_key"]["source"]) ==
   ("deployer", ["execute", "read", "write"], "claim:kubiya_api_key")'

# Without a token the same address says where to get one.
challenge=$(curl -sS -o /dev/null -w '%{http_code} %header{www-authenticate}' "$BASE_URL/") || true
if [[ $challenge == "401 Bearer "*"resource_metadata=\"$BASE_URL/.well-known/oauth-protected-resource"* ]]; then
  echo "ok   seed_curl: without a token the answer is 401 and a challenge"
else
  failed=1
  echo "FAIL seed_curl: without a token: $challenge"
fi
exit "$failed"
