import assert from 'node:assert/strict';
import { test } from 'node:test';

import { groupByLength, encodeFeatures } from '../../node_bridge/encoder/features.js';
import { ToyEncoder, toyTokenizer } from './toys.js';

test('every index once, never over the budget, one length per batch, the longest first', () => {
  const lengths = Array.from({ length: 500 }, (_, i) => 1 + ((i * 7919) % 97));
  const batches = groupByLength(lengths, 200);
  assert.deepEqual(
    batches.flat().sort((a, b) => a - b),
    lengths.map((_, i) => i),
  );
  for (const batch of batches) {
    assert.equal(new Set(batch.map((index) => lengths[index])).size, 1);
    assert(batch.length * lengths[batch[0]] <= 200);
  }
  const ordered = batches.flat().map((index) => lengths[index]);
  assert.deepEqual(
    ordered,
    [...lengths].sort((a, b) => b - a),
  );
});

test('a batch is as large as the budget allows; a longer text is alone', () => {
  assert.deepEqual(groupByLength([2, 3, 2, 3, 1], 6), [[1, 3], [0, 2], [4]]);
  assert.deepEqual(groupByLength([50, 4, 4, 4, 4], 12), [[0], [1, 2, 3], [4]]);
});

test('each distinct text is encoded once, and all vectors come back in order', async () => {
  const encoder = new ToyEncoder();
  const texts = ['好', '坏坏坏', '好', '好好', '坏坏坏'].map((text) => ({ text }));
  let encoded = 0;
  const features = await encodeFeatures(texts, { tokenizer: toyTokenizer, encoder }, { onEncoded: (n) => (encoded += n) });
  assert.deepEqual(
    features.map((row) => [row[0], row[1]]),
    [
      [1, 0],
      [0, 3],
      [1, 0],
      [2, 0],
      [0, 3],
    ],
  );
  assert.equal(encoder.batches.flat().length, 3);
  assert.equal(encoded, 5);
});

test('a pair differs from its first sentence, and pairs are not mixed up', async () => {
  const encoder = new ToyEncoder();
  const texts = [{ text: 'a' }, { text: 'a', pair: '' }, { text: 'a', pair: 'b' }, { text: 'ab', pair: '' }];
  await encodeFeatures(texts, { tokenizer: toyTokenizer, encoder });
  assert.equal(encoder.batches.flat().length, 4);
});

test('a vector that is not finite is refused; the error names its text', async () => {
  const encoder = Object.assign(new ToyEncoder(), { firstPosition: async () => [Float32Array.of(1, Infinity)] });
  await assert.rejects(encodeFeatures([{ text: '坏' }], { tokenizer: toyTokenizer, encoder }), /not finite for "坏"/);
});

test('several lanes, and whole sequences, give the same vectors in any order of completion', async () => {
  const texts = Array.from({ length: 400 }, (_, i) => ({ text: '好'.repeat(i % 23) + '坏'.repeat(i % 7) }));
  const expected = await encodeFeatures(
    texts,
    { tokenizer: toyTokenizer, encoder: new ToyEncoder() },
    { pooling: 'sequence_output' },
  );
  const slow = new ToyEncoder();
  let running = 0;
  let most = 0;
  const encoder = Object.assign(new ToyEncoder(), {
    lanes: 3,
    async sequences(/** @type {{ids: Int32Array}[]} */ encodings) {
      running += 1;
      most = Math.max(most, running);
      for (let i = slow.batches.length % 4; i >= 0; i -= 1) await new Promise(setImmediate);
      running -= 1;
      return slow.sequences(encodings);
    },
  });
  const features = await encodeFeatures(texts, { tokenizer: toyTokenizer, encoder }, { pooling: 'sequence_output' });
  assert.equal(most, 3);
  assert.deepEqual(features, expected);
  texts.forEach(({ text }, i) => assert.equal(features[i].length, 4 * (text.length + 2)));
});
