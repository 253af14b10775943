/**
 * The older design: in every epoch each text goes through the encoder again, in the order of the file,
 * 32 at a time, padded to the longest, and the head trains on that batch at once. Only a part of an epoch
 * is run. The graph is from TF.js's own converter and TF.js is plain; the tokenizer is ours, since any
 * other is slower.
 */
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { readFileSync } from 'node:fs';

import { useBackend } from '../../node_bridge/backends/index.js';
import { Bundle } from '../../node_bridge/bundle/bundle.js';
import { DEFAULTS } from '../../node_bridge/classifier/training/defaults.js';
import { UNITS } from '../../node_bridge/classifier/head_layers.js';
import { Tokenizer } from '../../node_bridge/tokenizer/index.js';
import { openGraph, usePlainWasm } from '../plain_tfjs.js';
import { serve } from '../serve.js';

const { batchSize: BATCH, maxLength: MAX_LENGTH, learningRate: LEARNING_RATE } = DEFAULTS;
const CLASSES = 2;

/** @typedef {{text: string, label: number}} Example */

/** @type {Awaited<ReturnType<typeof openGraph>>} */
let graph;
/** @type {Tokenizer} */
let tokenizer;
/** @type {tfl.Sequential} */
let head;
/** @type {Record<'train' | 'dev', Example[][]>} */
const batches = { train: [], dev: [] };

/** @param {string} path @returns {Example[][]} */
function readBatches(path) {
  const lines = readFileSync(path, 'utf8').split('\n').slice(0, -1);
  const examples = lines.map((line) => JSON.parse(line));
  return Array.from({ length: Math.ceil(examples.length / BATCH) }, (_, i) => examples.slice(i * BATCH, (i + 1) * BATCH));
}

/** The head, by TF.js's layers. @param {number} hidden */
function createHead(hidden) {
  const model = tfl.sequential({
    layers: [
      tfl.layers.dense({ inputShape: [hidden], units: UNITS, activation: 'tanh' }),
      tfl.layers.dense({ units: CLASSES, activation: 'softmax' }),
    ],
  });
  model.compile({ optimizer: tf.train.adam(LEARNING_RATE), loss: 'sparseCategoricalCrossentropy', metrics: ['accuracy'] });
  return model;
}

/** float32[batch, hidden], at position 0. @param {Example[]} batch @returns {tf.Tensor2D} */
function encode(batch) {
  const rows = batch.map(({ text }) => tokenizer.encode(text, { maxLength: MAX_LENGTH }).ids);
  const shape = /** @type {[number, number]} */ ([rows.length, widthOf(rows)]);
  const [ids, mask, types] = [0, 1, 2].map(() => new Int32Array(shape[0] * shape[1]));
  rows.forEach((row, at) => {
    ids.set(row, at * shape[1]);
    mask.fill(1, at * shape[1], at * shape[1] + row.length);
  });
  return tf.tidy(() => {
    const [input_ids, attention_mask, token_type_ids] = [ids, mask, types].map((data) => tf.tensor2d(data, shape, 'int32'));
    const sequence = graph({ input_ids, attention_mask, token_type_ids }, 'sequence_output');
    return /** @type {tf.Tensor2D} */ (tf.squeeze(tf.slice(sequence, [0, 0, 0], [-1, 1, -1]), [1]));
  });
}

/** @param {ArrayLike<unknown>[]} rows */
function widthOf(rows) {
  return Math.max(...rows.map(({ length }) => length));
}

/** The work on a batch of each set. @type {Record<'train' | 'dev', (x: tf.Tensor, batch: Example[]) => Promise<unknown>>} */
const step = {
  train: async (x, batch) => {
    const y = tf.tensor1d(batch.map(({ label }) => label));
    await head.trainOnBatch(x, y);
    y.dispose();
  },
  dev: async (x) => {
    const probabilities = /** @type {tf.Tensor} */ (head.predictOnBatch(x));
    await probabilities.data();
    probabilities.dispose();
  },
};

await serve({
  open: async ({ directory, backend, bundle, train, dev }) => {
    await (backend === 'wasm' ? usePlainWasm() : useBackend(backend));
    graph = await openGraph(directory);
    tokenizer = Tokenizer.fromBundle(Bundle.open(bundle));
    Object.assign(batches, { train: readBatches(train), dev: readBatches(dev) });
    const probe = encode(batches.train[0].slice(0, 1));
    head = createHead(probe.shape[1]);
    probe.dispose();
  },
  vectors: async ({ count }) => {
    const x = encode(batches.train[0]);
    const rows = await x.array();
    x.dispose();
    return rows.slice(0, count);
  },
  /** Runs `count` batches of a set, evenly spaced in an epoch. Returns seconds and the number of texts. */
  part: async (/** @type {{what: 'train' | 'dev', count: number}} */ { what, count }) => {
    const all = batches[what];
    const length = Math.min(count, all.length);
    const taken = Array.from({ length }, (_, i) => all[Math.floor((i * all.length) / length)]);
    const start = performance.now();
    for (const batch of taken) {
      const x = encode(batch);
      await step[what](x, batch);
      x.dispose();
    }
    return { seconds: (performance.now() - start) / 1000, texts: taken.flat().length };
  },
});
