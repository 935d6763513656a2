// SPDX-License-Identifier: Apache-2.0
//
// What every TypeScript client must see, whichever SDK and protocol revision it speaks.
import assert from 'node:assert/strict';

export const TOOLS = [
  'cancel_execution', 'create_api_key', 'create_workflow', 'decide_approval', 'execute_workflow', 'get_execution',
  'get_execution_logs', 'get_workflow', 'list_api_keys', 'list_approvals', 'list_executions', 'list_workflows',
  'revoke_api_key', 'rotate_api_key', 'update_workflow', 'validate_workflow', 'whoami',
];

export function environment() {
  const { BASE_URL, DEPLOYER_TOKEN, VIEWER_TOKEN } = process.env;
  assert.ok(BASE_URL && DEPLOYER_TOKEN && VIEWER_TOKEN,
    'BASE_URL, DEPLOYER_TOKEN and VIEWER_TOKEN come from demo.env');
  return { url: new URL('/mcp', BASE_URL), deployer: DEPLOYER_TOKEN, viewer: VIEWER_TOKEN };
}

/** Runs named checks one after the other: one line each, a failed one does not stop the rest. */
export class Checks {
  #failed = 0;

  async check(name, body) {
    try {
      const seen = await body();
      console.log(`ok   ${name}${seen === undefined ? '' : `: ${seen}`}`);
    } catch (error) {
      this.#failed += 1;
      console.log(`FAIL ${name}: ${error?.stack ?? error}`);
    }
  }

  /** Says what was negotiated, for the table of clients. */
  result(how, revision) {
    console.log(`result: ${how} | ${revision}`);
  }

  finish() {
    process.exitCode = this.#failed === 0 ? 0 : 1;
  }
}

/**
 * `call(params, options)` is the SDK's callTool. The names of the checks start with `label`.
 */
export async function checkTools(checks, label, client, call) {
  await checks.check(`${label}: lists the tools it may use`, async () => {
    const { tools } = await client.listTools();
    assert.deepEqual(tools.map((tool) => tool.name).sort(), TOOLS);
    return tools.length;
  });

  await checks.check(`${label}: whoami is the deployer`, async () => {
    const { isError, structuredContent: who } = await call({ name: 'whoami', arguments: {} });
    assert.ok(!isError);
    assert.equal(who.subject, 'deployer');
    assert.deepEqual([...who.scopes].sort(), ['execute', 'read', 'write']);
    return `${who.subject} (${who.name})`;
  });

  await checks.check(`${label}: runs hello and is told its progress`, async () => {
    const progress = [];
    const result = await call(
      { name: 'execute_workflow', arguments: { name: 'hello', params: { NAME: label } } },
      { onprogress: (step) => progress.push(step) });
    const run = result.structuredContent;
    assert.ok(!result.isError);
    assert.equal(run.workflow, 'hello');
    assert.equal(run.status, 'finished');
    assert.equal(run.subject, 'deployer');
    assert.ok(progress.length > 0, 'no notifications/progress');
    assertRising(progress.map((step) => step.progress));

    const logs = await call(
      { name: 'get_execution_logs', arguments: { execution_id: run.execution_id } });
    const printed = logs.structuredContent.entries
      .filter((entry) => entry.stream === 'stdout').map((entry) => entry.text).join('\n');
    assert.match(printed, new RegExp(`^Hello, ${label}!$`, 'm'));
    assert.match(printed, /^This run acts as deployer of tenant default\.$/m);
    return `${run.status}, ${progress.length} notifications, printed "Hello, ${label}!"`;
  });

  await checks.check(`${label}: follows a long run to its end`, async () => {
    let { structuredContent: run } = await call({
      name: 'execute_workflow',
      arguments: { name: 'long-running', params: { SECONDS: '2' }, wait: 0 },
    });
    const goesOn = () => run.status === 'queued' || run.status === 'running';
    assert.ok(goesOn(), `answered after the end: ${run.status}`);
    for (let tries = 0; goesOn() && tries < 600; tries += 1) {
      await new Promise((resolve) => setTimeout(resolve, 100));
      const params = { name: 'get_execution', arguments: { execution_id: run.execution_id } };
      ({ structuredContent: run } = await call(params));
    }
    assert.equal(run.status, 'finished');
  });
}

/** The revisions ask for a progress that rises with each notification. */
function assertRising(values) {
  for (let i = 1; i < values.length; i += 1) {
    assert.ok(values[i] > values[i - 1], `progress does not rise: ${values.join(', ')}`);
  }
}
