/** The example programs of docs/your-own-runner.md keep to its protocol and answer right. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { text as readAll } from 'node:stream/consumers';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { Bundle, Encoder, Tokenizer } from '../../node_bridge/index.js';

const BUNDLE = fileURLToPath(new URL('../../artifacts/bundle/albert_tiny', import.meta.url));

/**
 * Runs an example on requests.
 *
 * @param {string} name @param {string} argument @param {object[]} requests
 * @returns {Promise<any[]>}
 */
async function ask(name, argument, requests) {
  const file = fileURLToPath(new URL(`../../examples/runners/${name}`, import.meta.url));
  const program = spawn(process.execPath, [file, argument], { stdio: ['pipe', 'pipe', 'inherit'] });
  program.stdin.end(requests.map((request) => `${JSON.stringify(request)}\n`).join(''));
  const [output, [code]] = await Promise.all([readAll(program.stdout), once(program, 'exit')]);
  assert.equal(code, 0);
  return output
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
}

test('plain TF.js gives our ids and vectors where the tokenizers agree, and takes no pairs', async () => {
  const texts = ['这本书很好', '不'];
  const requests = texts.map((text, id) => ({ id, text, max_length: 6 }));
  const answers = await ask('plain_tfjs.js', BUNDLE, [...requests, { id: 2, text: '一', pair: '二', max_length: 6 }]);
  const bundle = Bundle.open(BUNDLE);
  const tokenizer = Tokenizer.fromBundle(bundle);
  const encoder = await Encoder.load(bundle, { backend: 'cpu' });
  const vectors = await encoder.encode(texts, { maxLength: 6, pooling: 'pooled' });
  encoder.dispose();
  for (const [at, text] of texts.entries()) {
    const { ids, tokens } = tokenizer.encodeWithTokens(text, { maxLength: 6 });
    assert.deepEqual([answers[at].id, answers[at].ids, answers[at].tokens], [at, [...ids], tokens]);
    answers[at].pooled_output.forEach((/** @type {number} */ value, /** @type {number} */ unit) => {
      assert.ok(Math.abs(value - vectors[at][unit]) < 1e-5);
    });
  }
  assert.deepEqual(answers[2], { id: 2, skip: 'this program takes no pairs' });
});

test('the HTTP example posts each text or pair and hands on label and probabilities', async () => {
  /** @type {object[]} */
  const posted = [];
  const server = createServer(async (request, response) => {
    posted.push(JSON.parse(await readAll(request)));
    response.end(JSON.stringify({ label: '好', probabilities: [0.75, 0.25], time: 3 }));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
  const requests = [
    { id: 0, text: '很好', max_length: 8 },
    { id: 1, text: '一', pair: '二', max_length: 8 },
  ];
  const answers = await ask('http_service.js', `http://127.0.0.1:${port}/predict`, requests);
  server.close();
  assert.deepEqual(posted, [{ text: '很好' }, { sentence1: '一', sentence2: '二' }]);
  assert.deepEqual(
    answers,
    [0, 1].map((id) => ({ id, label: '好', probabilities: [0.75, 0.25] })),
  );
});
