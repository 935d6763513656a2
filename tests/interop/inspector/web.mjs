// SPDX-License-Identifier: Apache-2.0
//
// A person at the MCP Inspector's web page: connects to a server that is known by its address only,
// is sent to the provider, signs in, comes back, calls a tool and opens a run as a page.
// In the environment: PAGE (the Inspector), ISSUER, PERSON, CHROMIUM; SHOTS, a folder for pictures, when
// something has to be looked at.
import assert from 'node:assert/strict';
import puppeteer from 'puppeteer-core';
import { Checks } from './checks.mjs';

const { PAGE, ISSUER, PERSON, CHROMIUM, SHOTS } = process.env;
const checks = new Checks();
const browser = await puppeteer.launch({ executablePath: CHROMIUM, args: ['--no-sandbox', '--disable-gpu'] });
const page = await browser.newPage();
page.setDefaultTimeout(20000);
await page.setViewport({ width: 1300, height: 900 });

const said = () => page.evaluate(() => document.body.innerText);
async function until(what, found) {
  const end = Date.now() + 20000;
  while (Date.now() < end) {
    const one = await found().catch(() => undefined);
    if (one) return one;
    await new Promise((resolve) => { setTimeout(resolve, 100); });
  }
  throw new Error(`${what} did not come; the page says: ${(await said()).slice(0, 2000)}`);
}
// What a person would press: the first thing whose text begins so.
const press = (text) => until(text, () => page.evaluate((wanted) => {
  const all = [...document.querySelectorAll('label, button, a, [role=button]')];
  const one = all.find((element) => element.textContent.trim().startsWith(wanted) && !element.disabled
    && element.checkVisibility({ opacityProperty: true, visibilityProperty: true }) && !element.closest('[inert]'));
  one?.click();
  return Boolean(one);
}, text));
// What fades out while another list comes can be pressed too: then it is pressed again.
const pressFor = (text, appears) => until(appears, async () => {
  if ((await said()).includes(appears)) return true;
  await press(text);
  await new Promise((resolve) => { setTimeout(resolve, 300); });
  return (await said()).includes(appears);
});
const go = (action) => Promise.all([page.waitForNavigation(), action()]);

try {
  await page.goto(PAGE, { waitUntil: 'networkidle2' });
  await checks.check('the person is sent to the provider and comes back signed in', async () => {
    await go(() => page.click('input[role=switch]'));
    assert.ok(page.url().startsWith(`${ISSUER}/`), page.url());
    await page.type('input[name=login]', PERSON);
    await page.type('input[name=password]', 'anything');
    await go(() => page.click('button[type=submit]'));
    await go(() => page.click('button[type=submit]'));
    assert.ok(page.url().startsWith(new URL('/', PAGE).href), page.url());
    await until('the connection', async () => (await said()).includes('Tools'));
  });
  await checks.check('a tool answers who it is', async () => {
    await pressFor('Tools', 'Select a tool');
    await pressFor('Who am I', 'Execute Tool');
    await press('Execute Tool');
    await until('the answer', async () => (await said()).includes(`You are ${PERSON}`));
  });
  await checks.check('a run is a page in the Inspector', async () => {
    await pressFor('Apps', 'Select an app');
    await pressFor('Execute a workflow', 'Open App');
    const name = await page.evaluateHandle(() => [...document.querySelectorAll('label')]
      .find((label) => label.textContent.trim().startsWith('name')).parentElement.querySelector('input'));
    await name.type('show');
    await press('Open App');
    const shown = await until('the page', async () => {
      for (const frame of page.frames()) {
        const found = await frame.evaluate(() => [document.getElementById('name')?.textContent,
          document.getElementById('status')?.textContent, document.querySelectorAll('.step').length]).catch(() => []);
        if (found[0] === 'show' && found[1] === 'finished') return found;
      }
      return undefined;
    });
    assert.ok(shown[2] >= 1, 'its steps are drawn');
  });
} finally {
  if (SHOTS) await page.screenshot({ path: `${SHOTS}/inspector.png` });
  await browser.close();
}
checks.finish();
