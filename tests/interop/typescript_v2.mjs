// SPDX-License-Identifier: Apache-2.0
//
// The official TypeScript client, second generation, with a bearer token from its AuthProvider:
// as it connects by default (the handshake of the 2025 revisions) and with negotiation asked for.
import assert from 'node:assert/strict';
import {
  Client, InsufficientScopeError, StreamableHTTPClientTransport, UnauthorizedError,
} from '@modelcontextprotocol/client';
import { Checks, checkTools, environment } from './checks.mjs';

const { url, deployer, viewer } = environment();
const MODES = [
  { label: 'v2-default', how: 'default', options: {}, era: 'legacy', revision: '2025-11-25' },
  {
    label: 'v2-auto', how: "`versionNegotiation: { mode: 'auto' }`",
    options: { versionNegotiation: { mode: 'auto' } },
    era: 'modern', revision: '2026-07-28',
  },
];

async function connect(token, options) {
  const transport = new StreamableHTTPClientTransport(url, {
    authProvider: { token: async () => token },
  });
  const client = new Client({ name: 'kubiya-mcp-interop', version: '1.0.0' }, options);
  const errors = [];
  client.onerror = (error) => errors.push(error);
  await client.connect(transport);
  return { client, errors };
}

const callWith = (client) => (params, options) => client.callTool(params, options);

const checks = new Checks();
for (const { label, how, options, era, revision } of MODES) {
  await checks.check(`${label}: connects and does its job`, async () => {
    const { client, errors } = await connect(deployer, options);
    await checks.check(`${label}: negotiates ${revision}`, async () => {
      assert.equal(client.getNegotiatedProtocolVersion(), revision);
      assert.equal(client.getProtocolEra(), era);
      return `${revision} (${era})`;
    });
    await checkTools(checks, label, client, callWith(client));
    await client.close();
    assert.deepEqual(errors, []);
  });

  await checks.check(`${label}: a viewer is told which scope is missing`, async () => {
    const { client } = await connect(viewer, options);
    try {
      await assert.rejects(
        callWith(client)({ name: 'execute_workflow', arguments: { name: 'hello' } }),
        (error) => error instanceof InsufficientScopeError && error.requiredScope === 'execute');
    } finally {
      await client.close();
    }
  });

  await checks.check(`${label}: a forged token does not connect`, async () => {
    const [header, payload] = deployer.split('.');
    const forged = `${header}.${payload}.${viewer.split('.')[2]}`;
    await assert.rejects(connect(forged, options),
      (error) => error instanceof UnauthorizedError || error.cause instanceof UnauthorizedError);
  });
  checks.result(how, revision);
}

checks.finish();
