/**
 * Runs the experiment with an updated encoder in Node. run_python.py is the counterpart and saves the
 * files that this program reads. TensorFlow runs the SavedModel's signature `train`, with gradients and
 * Adam inside. Prints JSON with `history` and `losses`, as run_python.py does.
 */
import * as tf from '@tensorflow/tfjs-core';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { loadLibrary } from '../../node_bridge/backends/native.js';
import { INPUT_ROLES } from '../../node_bridge/bundle/bundle.js';
import { runCommand } from '../../node_bridge/support/command_line.js';
import { requiredOption } from '../../node_bridge/support/options.js';
import { readSafetensors } from '../../node_bridge/support/safetensors.js';

const DESCRIPTION = `Trains what run_python.py has saved.

  node parity_tests/finetune/run_node.js --from DIR
`;

const OPTIONS = { from: requiredOption({ value: 'DIR', help: 'has saved_model and texts.safetensors' }) };

/**
 * @typedef {Record<string, import('../../node_bridge/support/safetensors.js').Tensor>} Tensors
 * @typedef {{predict: (feeds: Record<string, tf.Tensor>) => Record<string, tf.Tensor>}} Signature
 */

/** @param {import('../../node_bridge/support/options.js').Values<typeof OPTIONS>} options */
async function main({ from }) {
  const { node } = loadLibrary().tfjs;
  const file = join(from, 'texts.safetensors');
  const { tensors } = readSafetensors(readFileSync(file), file);
  const train = new Texts(tensors, 'train');
  const dev = new Texts(tensors, 'dev');
  const directory = join(from, 'saved_model');
  /** Two signatures of one session: what one trains the other infers with. @type {Signature[]} */
  const [step, infer] = [
    await node.loadSavedModel(directory, ['serve'], 'train'),
    await node.loadSavedModel(directory, ['serve'], 'infer'),
  ];

  const history = [];
  /** @type {number[]} */
  const losses = [];
  for (const [index, batches] of train.epochs.entries()) {
    const start = performance.now();
    for (const rows of batches) losses.push(computeLoss(step, train, rows));
    const right = dev.epochs[0].reduce((sum, rows) => sum + countCorrect(infer, dev, rows), 0);
    const loss = losses.slice(-batches.length).reduce((sum, each) => sum + each, 0) / batches.length;
    const seconds = (performance.now() - start) / 1000;
    history.push({ epoch: index + 1, seconds, loss, dev_accuracy: right / dev.labels.length });
  }
  process.stdout.write(`${JSON.stringify({ history, losses })}\n`);
}

/** @param {Signature} step @param {Texts} texts @param {number[]} rows */
function computeLoss(step, texts, rows) {
  return tf.tidy(() => {
    const labels = tf.tensor1d(texts.labelsOf(rows), 'int32');
    return step.predict({ ...texts.idsOf(rows), labels }).loss.dataSync()[0];
  });
}

/** How many texts of a batch get the correct label. @param {Signature} infer @param {Texts} texts @param {number[]} rows */
function countCorrect(infer, texts, rows) {
  return tf.tidy(() => {
    const predicted = tf.argMax(infer.predict(texts.idsOf(rows)).probabilities, 1).dataSync();
    return texts.labelsOf(rows).filter((label, i) => label === predicted[i]).length;
  });
}

/** Encoded texts; see `Texts` in texts.py. */
class Texts {
  #ids;
  #width;

  /** @param {Tensors} tensors @param {string} prefix */
  constructor(tensors, prefix) {
    this.#ids = Object.fromEntries(INPUT_ROLES.map((role) => [role, tensors[`${prefix}.${role}`].data]));
    [, this.#width] = tensors[`${prefix}.input_ids`].shape;
    this.labels = tensors[`${prefix}.labels`].data;
    this.epochs = splitIntoEpochs(tensors[`${prefix}.batches`]);
  }

  /** The inputs of a batch, as wide as its longest text. @param {number[]} rows @returns {Record<string, tf.Tensor>} */
  idsOf(rows) {
    const width = Math.max(...rows.map((row) => this.#row('attention_mask', row).lastIndexOf(1) + 1));
    return Object.fromEntries(
      INPUT_ROLES.map((role) => {
        const values = new Int32Array(rows.length * width);
        rows.forEach((row, i) => values.set(this.#row(role, row).subarray(0, width), i * width));
        return [role, tf.tensor2d(values, [rows.length, width], 'int32')];
      }),
    );
  }

  /** @param {number[]} rows */
  labelsOf(rows) {
    return Int32Array.from(rows, (row) => this.labels[row]);
  }

  /** @param {string} role @param {number} row */
  #row(role, row) {
    return this.#ids[role].subarray(row * this.#width, (row + 1) * this.#width);
  }
}

/**
 * @param {import('../../node_bridge/support/safetensors.js').Tensor} tensor int32[epochs, batches, rows]
 * @returns {number[][][]} indices of texts; the last batch may be shorter
 */
function splitIntoEpochs({ data, shape: [epochs, batches, rows] }) {
  return Array.from({ length: epochs }, (_, epoch) =>
    Array.from({ length: batches }, (_, batch) => {
      const start = (epoch * batches + batch) * rows;
      return Array.from(data.subarray(start, start + rows)).filter((index) => index >= 0);
    }),
  );
}

await runCommand({ description: DESCRIPTION, options: OPTIONS, main });
