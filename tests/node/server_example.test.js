/** The example server as a client sees it: answers, mistakes, health and metrics, its end. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { writeToyBundle } from './toy_bundle.js';

const PROGRAM = fileURLToPath(new URL('../../examples/server/server.js', import.meta.url));
const dir = mkdtempSync(join(tmpdir(), 'server-'));
const SCORES = { '[CLS]': [0, 0], 好: [0, Math.log(3)] };
writeToyBundle(join(dir, 'bundle'), {
  classifier: { task: 'single_label', activation: 'softmax', labels: ['bad', 'good'] },
  scores: SCORES,
  otherScores: [-40, -40],
});

/** @type {import('node:child_process').ChildProcess} */
let server;
/** @type {string} */
let url;

before(async () => {
  server = spawn(process.execPath, [PROGRAM, join(dir, 'bundle')], {
    env: { ...process.env, PORT: '0' },
    stdio: ['ignore', 'inherit', 'pipe'],
  });
  for await (const line of createInterface(/** @type {import('node:stream').Readable} */ (server.stderr))) {
    const found = /listening on (http:\S+)$/.exec(line);
    if (found === null) continue;
    assert.match(line, /^2 labels; /);
    url = found[1];
    break;
  }
});
after(() => {
  server.kill('SIGKILL');
  rmSync(dir, { recursive: true });
});

/** @param {unknown} body @returns {Promise<{status: number, answer: any}>} */
async function post(body) {
  const response = await fetch(`${url}/predict`, { method: 'POST', body: /** @type {any} */ (body) });
  return { status: response.status, answer: await response.json() };
}

test('one text, several texts, a pair, and the ranking', async () => {
  const one = await post('{"text": "好", "top": 1}');
  assert.equal(one.status, 200);
  assert.equal(one.answer.label, 'good');
  assert.ok(Math.abs(one.answer.probability - 0.75) < 1e-6);
  assert.equal(one.answer.top.length, 1);
  const { answer } = await post('{"texts": ["好", {"text": "书"}, {"sentence1": "书", "sentence2": "好"}]}');
  assert.deepEqual(
    answer.map((/** @type {any} */ { label }) => label),
    ['good', 'bad', 'good'],
  );
});

test('mistakes of the client are 4xx with a reason', async () => {
  const many = JSON.stringify({ texts: Array(65).fill('好') });
  for (const [body, status, reason] of /** @type {const} */ ([
    ['{"text": 7}', 400, /^texts\[0\]: got 7, expected `text` to be a string/],
    ['{"texts": ["好", 7]}', 400, /^texts\[1\]: got 7/],
    ['{"text": "好", "top": -1}', 400, /`top` to be a whole number/],
    ['[', 400, /no JSON/],
    ['null', 400, /JSON object/],
    [new Uint8Array([0x22, 0xff, 0x22]), 400, /no JSON in UTF-8/],
    [many, 400, /at most 64/],
    ['x'.repeat((1 << 20) + 1), 413, /more than 1048576 bytes/],
  ])) {
    const got = await post(body);
    assert.deepEqual([got.status, reason.test(got.answer.error)], [status, true], JSON.stringify(got.answer));
  }
  const lost = await fetch(`${url}/nothing`);
  assert.equal(lost.status, 404);
});

test('concurrent clients get their own answers, while health and metrics are answered', async () => {
  const texts = Array.from({ length: 100 }, (_, i) => `${i % 2 ? '好' : '书'}${i}`);
  const calls = texts.map((text) => post(JSON.stringify({ text })));
  const health = await fetch(`${url}/health`);
  assert.deepEqual([health.status, await health.json()], [200, { status: 'ok' }]);
  const answers = await Promise.all(calls);
  answers.forEach(({ answer }, i) => assert.deepEqual([answer.text, answer.label], [texts[i], i % 2 ? 'good' : 'bad']));
  const metrics = await (await fetch(`${url}/metrics`)).text();
  assert.match(metrics, /^http_requests_total\{status="200"\} 10[0-9]$/m);
  assert.match(metrics, /^predict_seconds_bucket\{le="\+Inf"\} 11[0-9]$/m);
  assert.match(metrics, /^event_loop_delay_p99_seconds 0\.\d+$/m);
});

test('a client that leaves disturbs nobody', async () => {
  const leaving = request(`${url}/predict`, { method: 'POST' });
  leaving.on('error', () => {});
  leaving.end('{"text": "好"}');
  leaving.once('socket', (socket) => socket.once('connect', () => setImmediate(() => leaving.destroy())));
  await new Promise((closed) => leaving.once('close', closed)); // `once` would reject with the client's own error
  assert.equal((await post('{"text": "好"}')).answer.label, 'good');
});

test('SIGTERM: what has begun is answered, then the process ends with 0', async () => {
  const call = post('{"text": "好"}');
  await call;
  const last = [1, 2, 3].map(() => post(JSON.stringify({ texts: Array(64).fill('好书') })));
  await new Promise((resolve) => setTimeout(resolve, 20));
  const ended = once(server, 'exit');
  server.kill('SIGTERM');
  const results = await Promise.allSettled(last);
  for (const result of results) assert.ok(result.status === 'rejected' || result.value.status === 200);
  assert.deepEqual(await ended, [0, null]);
});
