# SPDX-License-Identifier: Apache-2.0
"""server.py PORT ISSUER AUDIENCE: whoami behind a bearer token, with FastMCP and its JWT verifier as its
documentation shows. Stateless, answers as JSON; uvicorn finds uvloop and httptools, its fastest parts."""
import sys

import uvicorn
from fastmcp import FastMCP
from fastmcp.server.auth.providers.jwt import JWTVerifier
from fastmcp.server.dependencies import get_access_token
from pydantic import BaseModel

port, issuer, audience = sys.argv[1:]
verifier = JWTVerifier(jwks_uri=f"{issuer}/jwks.json", issuer=issuer, audience=audience, algorithm="RS256",
                       required_scopes=["read"])
server = FastMCP("peer", auth=verifier)


class Caller(BaseModel):
    issuer: str
    subject: str
    scopes: list[str]


@server.tool
async def whoami() -> Caller:
    """Who you are"""
    token = get_access_token()
    return Caller(issuer=token.claims["iss"], subject=token.claims["sub"], scopes=token.scopes)


uvicorn.run(server.http_app(path="/mcp", stateless_http=True, json_response=True), host="127.0.0.1", port=int(port),
            log_level="error", access_log=False)
