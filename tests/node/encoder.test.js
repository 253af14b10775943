/** The embedded bundle against its golden cases; `nox -s tests` exports it first. */
import * as tf from '@tensorflow/tfjs-core';
import assert from 'node:assert/strict';
import { dirname, join } from 'node:path';
import { before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { Bundle } from '../../node_bridge/bundle/bundle.js';
import { Encoder } from '../../node_bridge/encoder/encoder.js';
import { UserError } from '../../node_bridge/support/errors.js';
import { readSafetensors } from '../../node_bridge/support/safetensors.js';
import { Tokenizer } from '../../node_bridge/tokenizer/index.js';

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const bundle = Bundle.open(join(root, 'artifacts', 'bundle', 'albert_tiny'));
const golden = readSafetensors(bundle.read('golden.safetensors'));
/** @type {string[]} */
const texts = JSON.parse(golden.metadata.texts);
const encodings = texts.map((text) => Tokenizer.fromBundle(bundle).encode(text));

/** @type {Encoder} */
let encoder;
before(async () => {
  encoder = await Encoder.load(bundle, { backend: 'wasm' });
});

test('ids, mask and types are Python’s', () => {
  const padded = encoder.pad(encodings);
  assert.deepEqual(Object.keys(padded).sort(), ['attention_mask', 'input_ids', 'token_type_ids']);
  for (const [name, { shape, data }] of Object.entries(padded)) {
    assert.deepEqual({ dtype: 'I32', shape, data }, golden.tensors[name], name);
  }
});

test('every output is Python’s within 1e-5', async () => {
  const outputs = await encoder.run(encodings);
  assert.deepEqual(Object.keys(outputs).sort(), ['pooled_output', 'sequence_output']);
  for (const [name, { shape, data }] of Object.entries(outputs)) {
    assert.deepEqual(shape, golden.tensors[name].shape);
    const worst = data.reduce((max, value, i) => Math.max(max, Math.abs(value - golden.tensors[name].data[i])), 0);
    assert.ok(worst <= 1e-5, `${name}: got max |Δ| ${worst}, expected at most 1e-5`);
  }
});

test('firstPosition is position 0 of sequence_output', async () => {
  const rows = await encoder.firstPosition(encodings);
  const { sequence_output: whole } = await encoder.run(encodings);
  const [, sequence, hidden] = whole.shape;
  assert.equal(rows.length, texts.length);
  rows.forEach((row, i) => {
    const start = i * sequence * hidden;
    assert.deepEqual(row, whole.data.slice(start, start + hidden));
  });
});

test('texts give the vectors of their ids; an element that is no text is named by its index', async () => {
  const vectors = await encoder.encode([...texts, { sentence1: texts[0], sentence2: texts[1] }]);
  const pair = Tokenizer.fromBundle(bundle).encode(texts[0], { pair: texts[1] });
  for (const [i, encoding] of [...encodings, pair].entries()) {
    assert.deepEqual(vectors[i], (await encoder.firstPosition([encoding]))[0]);
  }
  await assert.rejects(encoder.encode([texts[0], /** @type {any} */ (7)]), /texts\[1\]: got 7/);
});

test('running the encoder leaves no tensors behind', async () => {
  await encoder.run(encodings);
  const before = tf.memory().numTensors;
  for (let i = 0; i < 3; i += 1) await encoder.run(encodings);
  await encoder.firstPosition(encodings);
  assert.equal(tf.memory().numTensors, before);
});

test('more positions than the model has are refused', async () => {
  const long = { ids: new Int32Array(513), typeIds: new Int32Array(513) };
  await assert.rejects(encoder.run([long]), (error) => {
    assert.ok(error instanceof UserError);
    assert.match(error.message, /at most 512 positions, got 513/);
    return true;
  });
});

test('more texts than a call can have arguments are padded', () => {
  const one = { ids: Int32Array.of(7), typeIds: new Int32Array(1) };
  const { input_ids } = encoder.pad(new Array(200_000).fill(one));
  assert.deepEqual(input_ids.shape, [200_000, 1]);
});

test('poolings: the mean and [CLS] of sequence_output, pooled_output, and all positions; equal texts share one', async () => {
  const { sequence_output: sequence, pooled_output: pooled } = await encoder.run([encodings[0]]);
  const [, positions, hidden] = sequence.shape;
  const asked = [texts[0], texts[0]];
  assert.deepEqual(await encoder.encode(asked, { pooling: 'sequence' }), [sequence.data, sequence.data]);
  assert.deepEqual(await encoder.encode(asked), await encoder.encode(asked, { pooling: 'cls' }));
  assert.deepEqual((await encoder.encode(asked, { pooling: 'pooled' }))[1], pooled.data);
  const [mean, same] = await encoder.encode(asked, { pooling: 'mean' });
  assert.equal(mean, same);
  for (let i = 0; i < hidden; i += 1) {
    let sum = 0;
    for (let at = 0; at < positions; at += 1) sum += sequence.data[at * hidden + i];
    assert.equal(mean[i], Math.fround(sum / positions));
  }
  const [unit, again] = await encoder.encode(asked, { pooling: 'mean', normalize: true });
  assert.equal(unit, again);
  const norm = Math.hypot(...mean);
  assert.equal(unit.length, hidden);
  unit.forEach((value, i) => assert.ok(Math.abs(value - mean[i] / norm) < 1e-7));
});

test('an unknown pooling is refused', async () => {
  const refused = (/** @type {any} */ options, /** @type {RegExp} */ message) =>
    assert.rejects(encoder.encode(['好'], options), (error) => {
      assert.ok(error instanceof UserError);
      assert.match(error.message, message);
      return true;
    });
  await refused({ pooling: 'max' }, /^pooling: got `max`, expected one of sequence, cls, mean, pooled$/);
  await refused({ pooling: 'sequence', normalize: true }, /^pooling: got `sequence`, but only one vector a text is normalized/);
});

test('an unknown backend is refused', async () => {
  await assert.rejects(
    Encoder.load(bundle, { backend: 'cuda' }),
    /Expected `backend` to be one of auto, native, wasm, cpu, got `cuda`/,
  );
});
