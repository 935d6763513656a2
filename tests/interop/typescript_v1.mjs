// SPDX-License-Identifier: Apache-2.0
//
// The official TypeScript SDK, first generation, with a bearer token in its request headers.
import assert from 'node:assert/strict';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import {
  StreamableHTTPClientTransport, StreamableHTTPError,
} from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { Checks, checkTools, environment } from './checks.mjs';

const { url, deployer, viewer } = environment();

async function connect(token) {
  const transport = new StreamableHTTPClientTransport(url, {
    requestInit: { headers: { Authorization: `Bearer ${token}` } },
  });
  const client = new Client({ name: 'kubiya-mcp-interop', version: '1.0.0' });
  const errors = [];
  client.onerror = (error) => errors.push(error);
  await client.connect(transport);
  return { client, transport, errors };
}

const callWith = (client) => (params, options) => client.callTool(params, undefined, options);

const checks = new Checks();
await checks.check('v1: connects and does its job', async () => {
  const { client, transport, errors } = await connect(deployer);
  await checks.check('v1: negotiates 2025-11-25', async () => {
    assert.equal(transport.protocolVersion, '2025-11-25');
    return transport.protocolVersion;
  });
  await checkTools(checks, 'v1', client, callWith(client));
  await client.close();
  assert.deepEqual(errors, []);
});

await checks.check('v1: a viewer is told 403 insufficient_scope', async () => {
  const { client } = await connect(viewer);
  try {
    await assert.rejects(
      callWith(client)({ name: 'execute_workflow', arguments: { name: 'hello' } }),
      (error) => error instanceof StreamableHTTPError && error.code === 403 &&
        error.message.includes('insufficient_scope'));
  } finally {
    await client.close();
  }
});

await checks.check('v1: a forged token does not connect', async () => {
  const [header, payload] = deployer.split('.');
  const forged = `${header}.${payload}.${viewer.split('.')[2]}`;
  await assert.rejects(connect(forged),
    (error) => error instanceof StreamableHTTPError && error.code === 401);
});

checks.result('default', '2025-11-25');
checks.finish();
