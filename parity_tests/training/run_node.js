/**
 * Trains the head in TF.js on one backend, as train.js does (pairs with run_python.py). Writes what
 * sides.py describes.
 */
import * as tf from '@tensorflow/tfjs-core';
import { readFileSync } from 'node:fs';
import process from 'node:process';

import { useBackend } from '../../node_bridge/backends/index.js';
import { run } from '../../node_bridge/cli.js';
import { UserError } from '../../node_bridge/errors.js';
import { denseHead } from '../../node_bridge/head_layers.js';
import { readSafetensors, writeSafetensors } from '../../node_bridge/safetensors.js';

const WEIGHTS = ['hidden/kernel', 'hidden/bias', 'probabilities/kernel', 'probabilities/bias'];

const HELP = `Trains the head on a problem that the judge has set.

  node parity_tests/training/run_node.js --problem problem.safetensors --out wasm.safetensors
    --backend NAME     TF.js backend (default wasm)
    --steps N          take only the first N steps
`;

/** @typedef {import('../../node_bridge/safetensors.js').Tensor} Tensor */
/** @typedef {Record<string, Tensor>} Tensors */

await run({
  help: HELP,
  options: {
    problem: { type: 'string' },
    out: { type: 'string' },
    backend: { type: 'string', default: 'wasm' },
    steps: { type: 'string', default: 'Infinity' },
  },
  main,
});

/** @param {Record<string, any>} options */
async function main({ problem: path, out, backend, steps }) {
  for (const [name, value] of Object.entries({ problem: path, out })) {
    if (value === undefined) throw new UserError(`Expected --${name}; try --help.`);
  }
  await useBackend(backend);
  const { tensors: problem, metadata } = readSafetensors(readFileSync(path), path);
  const batches = batchesOf(problem).slice(0, Number(steps));
  const model = denseHead({
    hidden: problem.features.shape[1],
    classes: problem['probabilities/bias'].shape[0],
    seed: 1,
  });
  model.setWeights(WEIGHTS.map((name) => tf.tensor(problem[name].data, problem[name].shape)));
  // Adam's other numbers are those of TF.js: they are on trial too.
  const optimizer = tf.train.adam(Number(metadata.learning_rate));
  model.compile({ optimizer, loss: 'sparseCategoricalCrossentropy', metrics: ['accuracy'] });

  const told = [];
  for (const places of batches) told.push(await step(model, problem, places));
  /** @type {Tensors} */
  const tensors = {
    loss: vector(told.map(([loss]) => loss)),
    accuracy: vector(told.map(([, accuracy]) => accuracy)),
  };
  for (const [index, weight] of model.getWeights().entries()) {
    const data = /** @type {Float32Array} */ (await weight.data());
    tensors[`after.${batches.length}.${WEIGHTS[index]}`] = { dtype: 'F32', shape: weight.shape, data };
  }
  const versions = { node: process.versions.node, tfjs: tf.version_core, backend };
  writeSafetensors(out, tensors, { versions: JSON.stringify(versions) });
  process.stderr.write(`${backend}: trained ${batches.length} steps\n`);
}

/**
 * Loss and accuracy of a batch, then a step.
 *
 * @param {import('@tensorflow/tfjs-layers').Sequential} model
 * @param {Tensors} problem
 * @param {Int32Array} places of its texts
 * @returns {Promise<[number, number]>}
 */
async function step(model, { features, targets }, places) {
  const width = features.shape[1];
  const rows = new Float32Array(places.length * width);
  places.forEach((place, i) => rows.set(features.data.subarray(place * width, (place + 1) * width), i * width));
  const x = tf.tensor2d(rows, [places.length, width]);
  const y = tf.tensor1d(Float32Array.from(places, (place) => targets.data[place]));
  try {
    return /** @type {[number, number]} */ (await model.trainOnBatch(x, y));
  } finally {
    tf.dispose([x, y]);
  }
}

/**
 * The places of each step's texts.
 *
 * @param {Tensors} problem
 * @returns {Int32Array[]}
 */
function batchesOf({ order, sizes }) {
  let end = 0;
  return Array.from(sizes.data, (size) => /** @type {Int32Array} */ (order.data).slice(end, (end += size)));
}

/** @param {number[]} values @returns {Tensor} */
function vector(values) {
  return { dtype: 'F32', shape: [values.length], data: Float32Array.from(values) };
}
