// SPDX-License-Identifier: Apache-2.0
//
// oidc-provider on loopback: node server.mjs PORT OUR_RESOURCE OPAQUE_RESOURCE…
// Tokens for those are opaque, for any other signed.
//
// Commands, one a line on stdin, each answered by a line on stdout once it holds:
//   rotate   a new key signs from now on, published together with those before it
//   retire   only the key that signs stays published
// Ends with stdin.
import { createHash, generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';

import { Provider } from 'oidc-provider';

const [port, ours, ...opaque] = process.argv.slice(2);
const issuer = `http://127.0.0.1:${port}`;
const scopes = ['read', 'write', 'execute', 'admin'];
// What consent never gives away: vera only looks.
const refused = { vera: 'write execute admin' };
const keys = [];

function addKey() {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const jwk = privateKey.export({ format: 'jwk' });
  const kid = createHash('sha256').update(jwk.n).digest('base64url').slice(0, 16);
  keys.unshift({ ...jwk, kid, use: 'sig', alg: 'RS256' });
}

async function grantOf(ctx) {
  const { client, provider } = ctx.oidc;
  const id = ctx.oidc.result?.consent?.grantId ?? ctx.oidc.session.grantIdFor(client.clientId);
  const grant = id ? await provider.Grant.find(id) : undefined;
  const withheld = refused[grant?.accountId];
  if (!withheld) return grant;
  grant.rejectResourceScope(ours, withheld);
  await grant.save();
  return grant;
}

function resourceServer(_, resource) {
  return {
    audience: resource,
    scope: scopes.join(' '),
    accessTokenTTL: 600,
    accessTokenFormat: opaque.includes(resource) ? 'opaque' : 'jwt',
    jwt: { sign: { alg: 'RS256', kid: keys[0].kid } },
  };
}

function makeProvider() {
  const made = new Provider(issuer, {
    jwks: { keys: [...keys] },
    cookies: { keys: ['interop'] },
    scopes: ['openid', 'offline_access', ...scopes],
    claims: { openid: ['sub'], profile: ['name'] },
    clients: [
      {
        client_id: 'assistant',
        token_endpoint_auth_method: 'none',
        application_type: 'native',
        redirect_uris: ['http://127.0.0.1/callback'],
        grant_types: ['authorization_code'],
        response_types: ['code'],
      },
      {
        client_id: 'pipeline',
        client_secret: 'pipeline-secret',
        redirect_uris: [],
        response_types: [],
        grant_types: ['client_credentials'],
      },
      {
        client_id: 'kubiya-mcp',
        client_secret: 'introspection-secret',
        redirect_uris: [],
        response_types: [],
        grant_types: [],
      },
    ],
    findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, name: id }) }),
    extraTokenClaims: (_, token) => ({
      kubiya_api_key: `${process.env.KEY_PREFIX}-${token.accountId ?? token.clientId}`,
    }),
    loadExistingGrant: grantOf,
    features: {
      clientCredentials: { enabled: true },
      introspection: {
        enabled: true,
        allowedPolicy: (_, client) => client.clientId === 'kubiya-mcp',
      },
      revocation: { enabled: true },
      registration: { enabled: process.env.REGISTRATION === 'yes' },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: resourceServer,
        useGrantedResource: () => true,
      },
    },
  });
  return made.callback();
}

let answer;
const commands = {
  rotate() {
    addKey();
    answer = makeProvider();
  },
  retire() {
    keys.length = 1;
    answer = makeProvider();
  },
};

commands.rotate();
createServer((request, response) => answer(request, response)).listen(port, '127.0.0.1', () => {
  console.log('ready');
});
for await (const line of createInterface({ input: process.stdin })) {
  commands[line]();
  console.log(`${line} ${keys[0].kid}`);
}
process.exit(0);
