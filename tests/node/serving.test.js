/** A classifier in a server: concurrent calls, a free event loop, abort, dispose. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';

import { Classifier, TokenClassifier } from '../../node_bridge/index.js';
import { writeToyBundle } from './toy_bundle.js';

const dir = mkdtempSync(join(tmpdir(), 'serving-'));
after(() => rmSync(dir, { recursive: true }));

const SCORES = { '[CLS]': [0, 0], 好: [0, 2], 坏: [3, 0] };
const LABELS = ['bad', 'good'];
for (const [name, task, more] of /** @type {const} */ ([
  ['texts', 'single_label', {}],
  ['tokens', 'token_labels', { scheme: 'none' }],
])) {
  const classifier = { task, activation: 'softmax', labels: LABELS, ...more };
  writeToyBundle(join(dir, name), { classifier: /** @type {any} */ (classifier), scores: SCORES, otherScores: [-40, -40] });
}
const TEXTS = ['好', '坏', '好书', '书', '坏 好', '好', ''];

for (const workers of [0, 1, 2]) {
  test(`concurrent calls give what one array gives, workers: ${workers}`, async () => {
    const classifier = await Classifier.load(join(dir, 'texts'), { backend: 'cpu', workers });
    const expected = await classifier.predict(TEXTS, { top: 1 });
    const single = TEXTS.map((text) => classifier.predict(text, { top: 1 }));
    const some = classifier.predict(TEXTS.slice(2, 4));
    assert.deepEqual(await Promise.all(single), expected);
    assert.deepEqual(
      await some,
      expected.slice(2, 4).map(({ top: _, ...answer }) => answer),
    );
    const many = Array.from({ length: 200 }, (_, i) => TEXTS[i % TEXTS.length]);
    const all = await classifier.predict(many, { top: 1 });
    assert.deepEqual(
      all,
      many.map((_, i) => expected[i % TEXTS.length]),
    );
    assert.deepEqual([expected[0].label, expected[1].label], ['good', 'bad']);
    assert.equal(classifier.lengths.texts, TEXTS.length * 2 + 2 + 200);
    await classifier.dispose();
  });
}

test('tokens of concurrent calls are labelled as in one array', async () => {
  const classifier = await TokenClassifier.load(join(dir, 'tokens'), { backend: 'cpu' });
  const expected = await classifier.predict(TEXTS);
  assert.deepEqual(await Promise.all(TEXTS.map((text) => classifier.predict(text))), expected);
  await assert.rejects(classifier.predict('好', { signal: AbortSignal.abort(new Error('stop')) }), /^Error: stop$/);
  await classifier[Symbol.asyncDispose]();
});

test('a broken text fails its own call with its place, and no other', async () => {
  const classifier = await Classifier.load(join(dir, 'texts'), { backend: 'cpu' });
  const calls = [classifier.predict('好'), classifier.predict(/** @type {any} */ (7)), classifier.predict(['坏', '\ud800'])];
  const [good, number, array] = await Promise.allSettled(calls);
  assert.equal(good.status, 'fulfilled');
  assert.match(String(number.status === 'rejected' && number.reason.message), /^texts\[0\]: got 7/);
  assert.match(String(array.status === 'rejected' && array.reason.message), /^texts\[1\]: the text has a lone surrogate/);
  await assert.rejects(
    classifier.predict('好', /** @type {any} */ ({ signal: 3 })),
    /Expected `signal` to be an AbortSignal, got `3`/,
  );
  await classifier.dispose();
});

test('by default the model runs in another thread, so that the event loop stays free', async () => {
  const long = Array.from({ length: 60 }, (_, i) => `${'好'.repeat(400)}${i}`);
  const turns = { here: 0, default: 0 };
  for (const [name, options] of /** @type {const} */ ([
    ['here', { workers: 0 }],
    ['default', {}],
  ])) {
    const classifier = await Classifier.load(join(dir, 'texts'), {
      backend: 'cpu',
      ...options,
    });
    let isRunning = true;
    const count = () => {
      turns[name] += 1;
      if (isRunning) setImmediate(count);
    };
    setImmediate(count);
    await classifier.predict(long);
    isRunning = false;
    await classifier.dispose();
  }
  assert.ok(turns.default > 5 * turns.here, JSON.stringify(turns));
});

test('a stream and a large array end soon after they are aborted', async () => {
  const classifier = await Classifier.load(join(dir, 'texts'), { backend: 'cpu' });
  const controller = new AbortController();
  async function* endless() {
    for (let i = 0; ; i += 1) yield `好${i}`;
  }
  let answers = 0;
  await assert.rejects(async () => {
    for await (const _ of classifier.stream(endless(), { signal: controller.signal })) {
      answers += 1;
      if (answers === 10) controller.abort(new Error('enough'));
    }
  }, /^Error: enough$/);
  assert.ok(answers >= 10 && answers <= 2048, `${answers}`);
  const many = Array.from({ length: 5000 }, (_, i) => `坏${i}`);
  const second = new AbortController();
  const call = classifier.predict(many, { signal: second.signal });
  setTimeout(() => second.abort(), 5);
  await assert.rejects(call, { name: 'AbortError' });
  assert.equal((await classifier.predict('好')).label, 'good', 'it goes on with other calls');
  await classifier.dispose();
});

test('dispose fails what waits, waits for what is computed, and may be called twice', async () => {
  const classifier = await Classifier.load(join(dir, 'texts'), { backend: 'cpu' });
  const calls = Array.from({ length: 200 }, (_, i) => classifier.predict(`好${i}`));
  const settled = Promise.allSettled(calls);
  await classifier.dispose();
  const results = await settled;
  for (const result of results) {
    if (result.status === 'rejected') assert.equal(result.reason.message, 'The classifier has been disposed of');
  }
  assert.ok(results.some(({ status }) => status === 'rejected'));
  await classifier.dispose();
  await assert.rejects(classifier.predict('好'), /has been disposed of/);
});
