/**
 * Trains the head in TF.js on one backend, as train.js does; run_python.py is the counterpart. sides.py
 * describes the output.
 */
import { readFileSync } from 'node:fs';
import process from 'node:process';

import { useBackend } from '../../node_bridge/backends/index.js';
import { tf } from '../../node_bridge/backends/tfjs.js';
import { featuresInMemory } from '../../node_bridge/classifier/training/feature_sets.js';
import { compileHead, trainStep } from '../../node_bridge/classifier/training/fitting.js';
import { Head } from '../../node_bridge/classifier/head.js';
import { backendOption } from '../../node_bridge/model_options.js';
import { runCommand } from '../../node_bridge/support/command_line.js';
import { requiredOption, wholeNumberOption } from '../../node_bridge/support/options.js';
import { readSafetensors, writeSafetensors } from '../../node_bridge/support/safetensors.js';

const WEIGHTS = ['hidden/kernel', 'hidden/bias', 'probabilities/kernel', 'probabilities/bias'];

const DESCRIPTION = `Trains the head on the problem of the parity test.

  node parity_tests/training/run_node.js --problem problem.safetensors --out wasm.safetensors
`;

const OPTIONS = {
  problem: requiredOption({ value: 'FILE', help: 'features, targets and batches, and the first weights' }),
  out: requiredOption({ value: 'FILE', help: 'gets the losses and the last weights' }),
  backend: { ...backendOption, default: 'wasm' },
  steps: wholeNumberOption({
    help: 'takes only the first N steps',
    default: Infinity,
    defaultText: 'all',
  }),
};

/** @typedef {import('../../node_bridge/support/safetensors.js').Tensor} Tensor */
/** @typedef {Record<string, Tensor>} Tensors */

await runCommand({ description: DESCRIPTION, options: OPTIONS, main });

/** @param {import('../../node_bridge/support/options.js').Values<typeof OPTIONS>} options */
async function main({ problem: path, out, backend, steps }) {
  await useBackend(backend);
  const { tensors: problem, metadata } = readSafetensors(readFileSync(path), path);
  const batches = splitBatches(problem).slice(0, steps);
  const classes = problem['probabilities/bias'].shape[0];
  const labels = Array.from({ length: classes }, (_, index) => String(index));
  const head = Head.create({ hidden: problem.features.shape[1], labels });
  head.setWeights(WEIGHTS.map((name) => /** @type {Float32Array} */ (problem[name].data)));
  // Adam's other parameters are the defaults of TF.js: the comparison covers them too.
  compileHead(head, tf.train.adam(Number(metadata.learning_rate)));

  const features = featuresInMemory(splitRows(problem.features), head.hidden);
  const targets = /** @type {Int32Array} */ (problem.targets.data);
  const equal = labels.map(() => 1);
  const results = [];
  for (const batch of batches) results.push(await trainStep(head, batch, features, targets, equal));
  /** @type {Tensors} */
  const tensors = {
    loss: createVector(results.map(([loss]) => loss)),
    accuracy: createVector(results.map(([, accuracy]) => accuracy)),
  };
  for (const [index, weight] of head.model.getWeights().entries()) {
    const data = /** @type {Float32Array} */ (await weight.data());
    tensors[`after.${batches.length}.${WEIGHTS[index]}`] = { dtype: 'F32', shape: weight.shape, data };
  }
  const versions = { node: process.versions.node, tfjs: tf.version_core, backend };
  writeSafetensors(out, tensors, { versions: JSON.stringify(versions) });
  process.stderr.write(`${backend}: trained ${batches.length} steps\n`);
}

/** @param {Tensor} matrix float32[rows, columns] */
function splitRows({ shape: [rows, columns], data }) {
  return Array.from(
    { length: rows },
    (_, row) => /** @type {Float32Array} */ (data.subarray(row * columns, (row + 1) * columns)),
  );
}

/**
 * The indices of the texts of each step.
 *
 * @param {Tensors} problem
 * @returns {Int32Array[]}
 */
function splitBatches({ order, sizes }) {
  let end = 0;
  return Array.from(sizes.data, (size) => {
    end += size;
    return /** @type {Int32Array} */ (order.data).slice(end - size, end);
  });
}

/** @param {number[]} values @returns {Tensor} */
function createVector(values) {
  return { dtype: 'F32', shape: [values.length], data: Float32Array.from(values) };
}
