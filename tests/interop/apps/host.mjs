// SPDX-License-Identifier: Apache-2.0
//
// The page of a run in a host of MCP Apps: the official bridge and client here, the page in a
// sandboxed frame of headless Chromium under the policy that the specification gives to pages that
// ask for nothing. With PICTURE set, what the person sees is written to that file.
import assert from 'node:assert/strict';
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { AppBridge } from '@modelcontextprotocol/ext-apps/app-bridge';
import puppeteer from 'puppeteer-core';
import { Checks, environment } from './checks.mjs';

const { url, deployer } = environment();
const MIME = 'text/html;profile=mcp-app';
const POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; connect-src 'none'";
const DEFINITION = {
  name: 'pictured', description: 'Four steps, the last of which waits', type: 'graph',
  steps: [
    { name: 'fetch', script: 'echo "fetched <b>42</b> records"; echo "slow mirror" >&2' },
    { name: 'test', command: 'echo tested', depends: ['fetch'] },
    { name: 'lint', command: 'echo linted', depends: ['fetch'] },
    { name: 'deploy', script: 'echo deploying; sleep 120', depends: ['test', 'lint'] },
  ],
};

async function until(what, found, seconds = 15) {
  const end = Date.now() + seconds * 1000;
  let last;
  while (Date.now() < end) {
    last = await found();
    if (last) return last;
    await new Promise((resolve) => { setTimeout(resolve, 100); });
  }
  throw new Error(`${what} did not come, but ${JSON.stringify(last)}`);
}

async function connect() {
  const transport = new StreamableHTTPClientTransport(url, { authProvider: { token: async () => deployer } });
  const client = new Client({ name: 'kubiya-mcp-apps-host', version: '1.0.0' }, {
    versionNegotiation: { mode: 'auto' },
    capabilities: { extensions: { 'io.modelcontextprotocol/ui': { mimeTypes: [MIME] } } },
  });
  await client.connect(transport);
  return client;
}

// A page that holds the frame and carries messages between it and the bridge.
async function frameOf(browser, html) {
  const page = await browser.newPage();
  const complaints = [];
  page.on('console', (message) => { if (['error', 'warn'].includes(message.type())) complaints.push(message.text()); });
  page.on('pageerror', (error) => complaints.push(error.message));
  page.on('request', (request) => { if (/^(https?|wss?):/.test(request.url())) complaints.push(`asked for ${request.url()}`); });
  await page.setViewport({ width: 900, height: 480 });
  const guarded = html.replace('<meta charset="utf-8">', `<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="${POLICY}">`);
  const transport = {
    async start() {}, async close() {},
    async send(message) { await page.evaluate((it) => document.querySelector('iframe').contentWindow.postMessage(it, '*'), message); },
  };
  await page.exposeFunction('toBridge', (message) => transport.onmessage?.(message));
  const open = () => page.evaluate((text) => {
    document.body.style.margin = '0';
    const frame = document.createElement('iframe');
    frame.setAttribute('sandbox', 'allow-scripts');
    frame.style.cssText = 'border:0;width:900px;height:480px';
    addEventListener('message', (event) => { if (event.source === frame.contentWindow) window.toBridge(event.data); });
    frame.srcdoc = text;
    document.body.append(frame);
  }, guarded);
  const inner = () => page.frames().find((frame) => frame !== page.mainFrame());
  return { page, transport, open, inner, complaints };
}

const checks = new Checks();
const browser = await puppeteer.launch({ executablePath: process.env.CHROMIUM, args: ['--no-sandbox', '--disable-gpu'] });
try {
  const client = await connect();
  await checks.check('the server says that it has pages', async () => {
    assert.deepEqual(client.getServerCapabilities().extensions['io.modelcontextprotocol/ui'], {});
    const { tools } = await client.listTools();
    const shown = tools.filter((tool) => tool._meta?.ui?.resourceUri).map((tool) => tool.name);
    assert.deepEqual(shown.filter((name) => ['execute_workflow', 'get_execution', 'whoami'].includes(name)), ['execute_workflow', 'get_execution']);
  });
  await client.callTool({ name: 'create_workflow', arguments: { definition: DEFINITION } });

  const { contents: [content] } = await client.readResource({ uri: 'ui://kubiya/run' });
  await checks.check('the page is one small document', async () => {
    assert.equal(content.mimeType, MIME);
    assert.ok(content.text.length < 25 * 1024, `${content.text.length} bytes`);
    assert.doesNotMatch(content.text, /https?:\/\/(?!www\.w3\.org\/2000\/svg)/);
  });

  const { page, transport, open, inner, complaints } = await frameOf(browser, content.text);
  const bridge = new AppBridge(client, { name: 'host', version: '1.0.0' }, { serverTools: {} }, { hostContext: { theme: 'light' } });
  const ready = new Promise((resolve) => { bridge.addEventListener('initialized', resolve); });
  await bridge.connect(transport);
  await open();
  await ready;
  const started = await client.callTool({ name: 'execute_workflow', arguments: { name: 'pictured', wait: 0 } });
  const execution = started.structuredContent.execution_id;
  await bridge.sendToolInput({ arguments: { name: 'pictured', wait: 0 } });
  await bridge.sendToolResult(started);
  const text = (id) => inner().$eval(`#${id}`, (element) => element.textContent);
  const stateOf = (step) => inner().$eval(`[data-step="${step}"]`, (element) => element.getAttribute('class')).catch(() => '');

  await checks.check('the graph lives', async () => {
    await until('a running last step', async () => (await stateOf('deploy')).includes('running'));
    assert.equal(await text('name'), 'pictured');
    assert.equal(await text('status'), 'running');
    for (const step of ['fetch', 'test', 'lint']) assert.match(await stateOf(step), /finished/);
    assert.equal((await inner().$$('svg path')).length, 4, 'an arrow for each dependency');
  });
  await checks.check('a step shows its log, as text', async () => {
    await (await inner().$('[data-step="fetch"]')).click();
    await until('the log', async () => (await text('text')).includes('fetched <b>42</b> records'));
    assert.equal(await inner().$eval('#text .stderr', (element) => element.textContent), 'slow mirror\n');
    assert.equal((await inner().$$('#text b')).length, 0, 'what a step prints is no markup');
    if (process.env.PICTURE) await page.screenshot({ path: process.env.PICTURE, clip: { x: 0, y: 0, width: 900, height: 330 } });
  });
  await checks.check('the button asks once more and then cancels', async () => {
    const button = await inner().$('#cancel');
    await button.click();
    assert.equal(await text('cancel'), 'Cancel this run?');
    const before = await client.callTool({ name: 'get_execution', arguments: { execution_id: execution } });
    assert.equal(before.structuredContent.status, 'running');
    await button.click();
    await until('the end', async () => (await text('status')).startsWith('canceled'));
    assert.match(await stateOf('deploy'), /canceled/);
    assert.equal(await inner().$eval('#cancel', (element) => element.hidden), true);
    const after = await client.callTool({ name: 'get_execution', arguments: { execution_id: execution } });
    assert.equal(after.structuredContent.status, 'canceled');
  });
  await checks.check('the page went nowhere and complained of nothing', async () => {
    assert.deepEqual(complaints, []);
  });
  await bridge.teardownResource({});
  await client.close();
} finally {
  await browser.close();
}
checks.finish();
