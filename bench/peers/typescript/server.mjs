// SPDX-License-Identifier: Apache-2.0
// server.mjs PORT ISSUER AUDIENCE: whoami behind a bearer token, with the official TypeScript SDK
// and jose, each as its documentation shows. Answers as JSON, without a stream, which is the faster.
import { createServer } from 'node:http';
import { toNodeHandler } from '@modelcontextprotocol/node';
import {
  createMcpHandler, McpServer, OAuthError, OAuthErrorCode, requireBearerAuth,
} from '@modelcontextprotocol/server';
import { createRemoteJWKSet, jwtVerify } from 'jose';
import { z } from 'zod';

const [port, issuer, audience] = process.argv.slice(2);
const keys = createRemoteJWKSet(new URL(`${issuer}/jwks.json`));

const verifier = {
  async verifyAccessToken(token) {
    try {
      const { payload } = await jwtVerify(token, keys, { issuer, audience, algorithms: ['RS256'] });
      return {
        token, clientId: String(payload.client_id ?? payload.azp ?? ''), scopes: String(payload.scope ?? '').split(' '),
        expiresAt: payload.exp, extra: { issuer: payload.iss, subject: payload.sub },
      };
    } catch (error) {
      throw new OAuthError(OAuthErrorCode.InvalidToken, error.message);
    }
  },
};

const inputSchema = z.object({});
const outputSchema = z.object({ issuer: z.string(), subject: z.string(), scopes: z.array(z.string()) });

const handler = createMcpHandler(() => {
  const server = new McpServer({ name: 'peer', version: '1.0.0' });
  server.registerTool('whoami', { description: 'Who you are', inputSchema, outputSchema }, (_, context) => {
    const { scopes, extra } = context.http.authInfo;
    const structuredContent = { issuer: extra.issuer, subject: extra.subject, scopes };
    return { content: [{ type: 'text', text: JSON.stringify(structuredContent) }], structuredContent };
  });
  return server;
}, { responseMode: 'json' });

const gate = requireBearerAuth({ verifier, requiredScopes: ['read'] });
const guarded = async (request) => {
  const auth = await gate(request);
  return auth instanceof Response ? auth : handler.fetch(request, { authInfo: auth });
};
createServer(toNodeHandler({ fetch: guarded })).listen(Number(port), '127.0.0.1');
