/** A classifier of toys: the reading, the order and the ranking are those of the real one. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Classifier } from '../../node_bridge/classifier/classifier.js';
import { UserError } from '../../node_bridge/support/errors.js';
import { ToyEncoder, toyTokenizer } from './toys.js';

const LABELS = ['坏', '好', '平'];

/**
 * Its head finds 好 as probable as the text has of it, out of 4, and the rest is shared alike.
 *
 * @param {'single' | 'pair'} [task]
 */
function toyClassifier(task = 'single') {
  const encoder = new ToyEncoder();
  const head = {
    labels: LABELS,
    pooling: /** @type {const} */ ('position 0 of sequence_output'),
    description: { task, max_length: 16 },
    /** @param {Float32Array[]} features */
    probabilities: async (features) =>
      features.map(([good]) => Float32Array.of((1 - good / 4) / 2, good / 4, (1 - good / 4) / 2)),
    dispose() {},
  };
  return { classifier: new Classifier({ tokenizer: toyTokenizer, encoder, head }), encoder };
}

/** @template T @param {AsyncIterable<T>} source */
async function collected(source) {
  const all = [];
  for await (const item of source) all.push(item);
  return all;
}

/** @param {RegExp} message */
const mistake = (message) => (/** @type {unknown} */ error) => {
  assert.ok(error instanceof UserError, String(error));
  assert.match(error.message, message);
  return true;
};

test('one text gives one prediction', async () => {
  const { classifier } = toyClassifier();
  const expected = { text: '好好书', label: '好', probability: 0.5, probabilities: { 坏: 0.25, 好: 0.5, 平: 0.25 } };
  assert.deepEqual(await classifier.predict('好好书'), expected);
  assert.deepEqual(await classifier.predict({ text: '好好书' }), expected);
  assert.deepEqual(classifier.labels, LABELS);
  assert.equal(classifier.task, 'single');
});

test('an array gives an array in its order; equal texts are encoded once', async () => {
  const { classifier, encoder } = toyClassifier();
  const texts = ['好好书书书', '好', '', '好好书书书'];
  const predictions = await classifier.predict(texts);
  assert.deepEqual(
    predictions.map(({ text }) => text),
    texts,
  );
  assert.deepEqual(
    predictions.map(({ probabilities }) => probabilities.好),
    [0.5, 0.25, 0, 0.5],
  );
  assert.equal(encoder.batches.flat().length, 3);
  assert.deepEqual(await classifier.predict([]), []);
});

test('a pair is given as `text` and `pair`, or as `sentence1` and `sentence2`', async () => {
  const { classifier } = toyClassifier('pair');
  const first = await classifier.predict({ sentence1: '好', sentence2: '好' });
  const second = await classifier.predict({ text: '好', pair: '好' });
  assert.deepEqual(first, second);
  assert.deepEqual([first.sentence1, first.sentence2, first.probability], ['好', '好', 0.5]);
  assert.equal(classifier.task, 'pair');
});

test('top gives the most probable labels in order; of equal ones the first label comes first', async () => {
  const { classifier } = toyClassifier();
  const rank = async (/** @type {number} */ top) => (await classifier.predict('好好', { top })).top;
  const all = [
    { label: '好', probability: 0.5 },
    { label: '坏', probability: 0.25 },
    { label: '平', probability: 0.25 },
  ];
  assert.deepEqual(await rank(1), all.slice(0, 1));
  assert.deepEqual(await rank(2), all.slice(0, 2));
  assert.deepEqual(await rank(9), all);
  assert.equal(await rank(0), undefined);
  const { label, top } = await classifier.predict('', { top: 1 });
  assert.deepEqual([label, top], ['坏', [{ label: '坏', probability: 0.5 }]]);
  for (const wrong of [-1, 1.5, NaN]) await assert.rejects(rank(wrong), mistake(/`top` to be a whole number.*, got/));
});

test('an element that is no text is named by its index', async () => {
  const { classifier } = toyClassifier();
  const wrong = (/** @type {unknown} */ text) => classifier.predict(['好', /** @type {any} */ (text)]);
  await assert.rejects(wrong(7), mistake(/^texts\[1\]: got 7 \(number\), expected a string, or an object/));
  await assert.rejects(wrong(null), mistake(/^texts\[1\]: got null/));
  await assert.rejects(wrong({ body: '好' }), mistake(/^texts\[1\]: got fields body, expected `text`/));
  await assert.rejects(wrong({ text: '好', pair: 7 }), mistake(/^texts\[1\]: got 7, expected `pair`/));
  await assert.rejects(wrong({ sentence1: '好' }), mistake(/^texts\[1\]: got fields sentence1, expected `sentence2`/));
  await assert.rejects(wrong('a\ud800'), mistake(/^texts\[1\]: .* lone surrogate at position 1/));
  await assert.rejects(wrong({ text: '好', pair: '好' }), mistake(/^texts\[1\]: got a pair, expected a single text/));
  await assert.rejects(toyClassifier('pair').classifier.predict('好'), mistake(/got a single text, expected a pair/));
  await assert.rejects(collected(classifier.stream('好好')), mistake(/got a string; `predict` takes one/));
});

test('a stream: a broken text is an error after all before it; with keepBroken it is a result and the rest goes on', async () => {
  const { classifier } = toyClassifier();
  const texts = ['好', { text: '好', pair: '坏' }, new Error('torn'), '坏'];
  /** @type {(string | undefined)[]} */
  const before = [];
  const reading = (async () => {
    for await (const { text } of classifier.stream(/** @type {string[]} */ (texts))) before.push(text);
  })();
  await assert.rejects(reading, mistake(/^texts\[1\]: got a pair/));
  assert.deepEqual(before, ['好']);

  const answers = await collected(classifier.stream(texts, { keepBroken: true }));
  const results = answers.map((answer) => ('error' in answer ? answer.error.message : answer.text));
  assert.deepEqual(results, ['好', 'got a pair, expected a single text, as the classifier was trained on', 'torn', '坏']);
  const onlyBroken = await collected(classifier.stream([new Error('torn')], { keepBroken: true }));
  assert.deepEqual(onlyBroken, [{ error: new Error('torn') }]);
});

test('a stream gives each answer without waiting for the next text', async () => {
  const { classifier } = toyClassifier();
  /** @type {string[]} */
  const said = [];
  async function* conversation() {
    for (const text of ['好', '好好', '好好好']) {
      said.push(text);
      yield text;
      // The next one is only said once this one has been answered.
      await new Promise((/** @type {(value?: undefined) => void} */ resolve) => (answered = resolve));
    }
  }
  let answered = () => {};
  for await (const { text } of classifier.stream(conversation())) {
    assert.equal(text, said.at(-1));
    answered();
  }
  assert.equal(said.length, 3);
});

test('a stream of any length has at most two batches in memory', async () => {
  const { classifier, encoder } = toyClassifier();
  let read = 0;
  async function* many() {
    for (; read < 50_000; read += 1) yield `${'好'.repeat(read % 5)}${read % 977}`;
  }
  let taken = 0;
  let most = 0;
  for await (const { text, probabilities } of classifier.stream(many())) {
    assert.equal(text, `${'好'.repeat(taken % 5)}${taken % 977}`);
    assert.equal(probabilities.好, (taken % 5) / 4);
    taken += 1;
    most = Math.max(most, read - taken);
    encoder.batches.length = 0;
  }
  assert.equal(taken, 50_000);
  assert.ok(most <= 2 * 1024, `${most} texts were in memory`);
});

test('two predictions at the same time do not mix', async () => {
  const { classifier } = toyClassifier();
  const texts = Array.from({ length: 60 }, (_, i) => '好'.repeat(i % 5) + '书'.repeat(i % 7));
  const alone = await classifier.predict(texts);
  const together = await Promise.all([classifier.predict(texts), collected(classifier.stream(texts))]);
  assert.deepEqual(together, [alone, alone]);
});
