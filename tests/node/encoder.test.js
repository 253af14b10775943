/** The embedded bundle against its golden cases; `nox -s tests` exports it first. */
import assert from 'node:assert/strict';
import { dirname, join } from 'node:path';
import { before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import * as tf from '@tensorflow/tfjs-core';

import { Bundle } from '../../node_bridge/bundle.js';
import { Encoder } from '../../node_bridge/encoder.js';
import { UserError } from '../../node_bridge/errors.js';
import { readSafetensors } from '../../node_bridge/safetensors.js';
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

test('position 0 is that of sequence_output', async () => {
  const rows = await encoder.firstPosition(encodings);
  const { sequence_output: whole } = await encoder.run(encodings);
  const [, sequence, hidden] = whole.shape;
  rows.forEach((row, i) => {
    const start = i * sequence * hidden;
    assert.deepEqual(row, whole.data.slice(start, start + hidden));
  });
});

test('texts give the vectors of their ids; what is no text is named by its place', async () => {
  const vectors = await encoder.encode([...texts, { sentence1: texts[0], sentence2: texts[1] }]);
  const pair = Tokenizer.fromBundle(bundle).encode(texts[0], { pair: texts[1] });
  for (const [i, encoding] of [...encodings, pair].entries()) {
    assert.deepEqual(vectors[i], (await encoder.firstPosition([encoding]))[0]);
  }
  await assert.rejects(encoder.encode([texts[0], /** @type {any} */ (7)]), /texts\[1\]: got 7/);
});

test('the tensor count stays flat', async () => {
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

test('an unknown backend is refused', async () => {
  await assert.rejects(Encoder.load(bundle, { backend: 'cuda' }), /Expected `backend` to be one of auto, native, wasm, cpu, got `cuda`/);
});
