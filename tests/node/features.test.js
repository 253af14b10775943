import assert from 'node:assert/strict';
import { test } from 'node:test';

import { batchesByLength, featuresOf } from '../../node_bridge/features.js';
import { ToyEncoder, toyTokenizer } from './toys.js';

test('every place once, never over the budget, one length a batch, the longest first', () => {
  const lengths = Array.from({ length: 500 }, (_, i) => 1 + ((i * 7919) % 97));
  const batches = batchesByLength(lengths, 200);
  assert.deepEqual(batches.flat().sort((a, b) => a - b), lengths.map((_, i) => i));
  for (const batch of batches) {
    assert.equal(new Set(batch.map((place) => lengths[place])).size, 1);
    assert(batch.length * lengths[batch[0]] <= 200);
  }
  const ordered = batches.flat().map((place) => lengths[place]);
  assert.deepEqual(ordered, [...lengths].sort((a, b) => b - a));
});

test('a batch is as large as the budget lets it be; a longer text goes alone', () => {
  assert.deepEqual(batchesByLength([2, 3, 2, 3, 1], 6), [[1, 3], [0, 2], [4]]);
  assert.deepEqual(batchesByLength([50, 4, 4, 4, 4], 12), [[0], [1, 2, 3], [4]]);
});

test('each distinct text is encoded once, and all come back in order', async () => {
  const encoder = new ToyEncoder();
  const texts = ['好', '坏坏坏', '好', '好好', '坏坏坏'].map((text) => ({ text }));
  let told = 0;
  const features = await featuresOf(texts, { tokenizer: toyTokenizer, encoder }, { onEncoded: (n) => (told += n) });
  assert.deepEqual(features.map((row) => [row[0], row[1]]), [[1, 0], [0, 3], [1, 0], [2, 0], [0, 3]]);
  assert.equal(encoder.batches.flat().length, 3);
  assert.equal(told, 5);
});

test('a pair is another text than its first sentence, and no pair of texts is mistaken for another', async () => {
  const encoder = new ToyEncoder();
  const texts = [{ text: 'a' }, { text: 'a', pair: '' }, { text: 'a', pair: 'b' }, { text: 'ab', pair: '' }];
  await featuresOf(texts, { tokenizer: toyTokenizer, encoder });
  assert.equal(encoder.batches.flat().length, 4);
});

test('a vector that is not finite is refused, by its text', async () => {
  const encoder = { firstPosition: async () => [Float32Array.of(1, Infinity)] };
  await assert.rejects(featuresOf([{ text: '坏' }], { tokenizer: toyTokenizer, encoder }), /not finite for "坏"/);
});
