/**
 * Trains a head with Adam and cross-entropy. The result is the same to the last bit on one backend:
 * the initial weights and the order of the texts in each epoch come from the seed. A `FitState` has
 * all that an epoch starts from, so training can continue from it as if it had never stopped.
 */
import { setImmediate as turn } from 'node:timers/promises';

import { tf } from '../../backends/tfjs.js';
import { DEFAULTS } from './defaults.js';
import { buildInput } from '../head.js';

/** The learning rate of an epoch as a share of the first, by the share of epochs that are done. */
export const SCHEDULES = {
  constant: () => 1,
  linear: (/** @type {number} */ done) => 1 - done,
  cosine: (/** @type {number} */ done) => (1 + Math.cos(Math.PI * done)) / 2,
};

/** @typedef {keyof typeof SCHEDULES} Schedule */

/**
 * @typedef {object} FitState the state at the end of an epoch
 * @property {number} epoch the number of this epoch, from 1; 0 before the first
 * @property {number} steps how many steps of the optimizer so far
 * @property {Float32Array[]} weights in the model's order
 * @property {Float32Array[]} moments of Adam: first all of the first order, then all of the second
 *
 * @typedef {object} EpochFigures figures of the training texts, each measured just before the step on its batch
 * @property {number} epoch from 1
 * @property {number} loss
 * @property {number} accuracy
 * @property {number} learningRate
 * @property {number} seconds
 * @property {number} tensors how many TF.js has in memory
 *
 * @typedef {object} FitOptions
 * @property {number} epochs
 * @property {number} batchSize
 * @property {number} [seed]
 * @property {number} [learningRate] in the first epoch
 * @property {Schedule} [schedule]
 * @property {number[]} [classWeights] for each label the weight of its texts in the loss
 * @property {FitState} [state] to continue from
 * @property {(texts: number) => void} [onBatch]
 * @property {(epoch: EpochFigures, state: FitState) => Promise<boolean | void>} [onEpoch] return false to end training
 */

/**
 * @param {import('../head.js').Head} head is trained in place
 * @param {import('./feature_sets.js').FeatureSet} features of the training texts
 * @param {Int32Array} targets int32[texts], indices of labels
 * @param {FitOptions} options
 * @throws {import('../../support/errors.js').CheckFailed} weights are no longer finite
 */
export async function fitHead(head, features, targets, options) {
  const { epochs, batchSize, seed = DEFAULTS.seed } = options;
  const { learningRate = DEFAULTS.learningRate, schedule = DEFAULTS.schedule } = options;
  const { onBatch, onEpoch, classWeights = head.labels.map(() => 1) } = options;
  let state = options.state ?? { epoch: 0, steps: 0, weights: await head.weights(), moments: [] };
  head.setWeights(state.weights);
  for (let epoch = state.epoch + 1; epoch <= epochs; epoch += 1) {
    const start = performance.now();
    const rate = learningRate * SCHEDULES[schedule]((epoch - 1) / epochs);
    // Each epoch has a new optimizer: TF.js computes the powers of the betas anew when it restores one,
    // so training from a file and training without a stop would otherwise differ.
    const optimizer = await createAdam(head, rate, state);
    const sum = { loss: 0, accuracy: 0 };
    try {
      compileHead(head, optimizer);
      const order = shuffleTexts(features.count, seed, epoch);
      for (let from = 0; from < order.length; from += batchSize) {
        const texts = order.subarray(from, from + batchSize);
        const [loss, accuracy] = await trainStep(head, texts, features, targets, classWeights);
        sum.loss += loss * texts.length;
        sum.accuracy += accuracy * texts.length;
        onBatch?.(texts.length);
        await turn();
      }
      state = { ...(await readOptimizerState(optimizer)), epoch, weights: await head.weights() };
    } finally {
      optimizer.dispose();
    }
    await head.probabilities([new Float32Array(features.hidden).fill(1)]); // wasm's loss stays finite with NaN weights
    const figures = { loss: sum.loss / features.count, accuracy: sum.accuracy / features.count };
    const seconds = (performance.now() - start) / 1000;
    const result = { epoch, ...figures, learningRate: rate, seconds, tensors: tf.memory().numTensors };
    if ((await onEpoch?.(result, state)) === false) return;
  }
}

/**
 * Creates an Adam optimizer with the state of the end of an epoch.
 *
 * @param {import('../head.js').Head} head
 * @param {number} learningRate
 * @param {FitState} state
 */
async function createAdam(head, learningRate, { steps, moments }) {
  const optimizer = tf.train.adam(learningRate);
  if (moments.length === 0) return optimizer;
  const shapes = head.model.trainableWeights.map(({ shape }) => /** @type {number[]} */ (shape));
  const tensors = tf.tidy(() => [
    tf.scalar(steps, 'int32'),
    ...moments.map((data, i) => tf.tensor(data, shapes[i % shapes.length])),
  ]);
  await optimizer.setWeights(tensors.map((tensor, i) => ({ name: String(i), tensor })));
  tf.dispose(tensors);
  return optimizer;
}

/** @param {import('../head.js').Head} head @param {import('@tensorflow/tfjs-core').Optimizer} optimizer */
export function compileHead(head, optimizer) {
  head.model.compile({ optimizer, loss: 'categoricalCrossentropy', metrics: ['accuracy'] });
}

/** @param {import('@tensorflow/tfjs-core').Optimizer} optimizer */
async function readOptimizerState(optimizer) {
  const [{ tensor: iterations }, ...moments] = await optimizer.getWeights();
  const [steps] = await iterations.data();
  iterations.dispose();
  const data = await Promise.all(moments.map(({ tensor }) => tensor.data()));
  return { steps, moments: data.map((values) => /** @type {Float32Array} */ (values).slice()) };
}

/**
 * Trains on one batch.
 *
 * @param {import('../head.js').Head} head compiled
 * @param {Int32Array} texts int32[batch], indices of the texts in `features`
 * @param {import('./feature_sets.js').FeatureSet} features of all training texts
 * @param {Int32Array} targets int32[texts], indices of labels
 * @param {number[]} classWeights for each label
 * @returns {Promise<[number, number]>} loss and accuracy, before the step
 */
export async function trainStep(head, texts, features, targets, classWeights) {
  const classes = head.labels.length;
  const wanted = new Float32Array(texts.length * classes);
  // The one-hot value is the class weight instead of 1: the loss is −weight · log(probability).
  texts.forEach((text, row) => (wanted[row * classes + targets[text]] = classWeights[targets[text]]));
  const x = buildInput(features, texts, head.kind);
  const y = tf.tensor(wanted, [texts.length, classes]);
  try {
    return /** @type {[number, number]} */ (await head.model.trainOnBatch(x, y));
  } finally {
    tf.dispose([x, y]);
  }
}

/**
 * The order of the texts in an epoch. It is the same on every backend, since TF.js draws these numbers
 * in JavaScript.
 *
 * @param {number} count
 * @param {number} seed
 * @param {number} epoch
 * @returns {Int32Array} 0 … count − 1, shuffled
 */
function shuffleTexts(count, seed, epoch) {
  const keys = tf.tidy(() => tf.randomUniform([count], 0, 1, 'float32', seed * 65537 + epoch).dataSync());
  return Int32Array.from({ length: count }, (_, i) => i).sort((a, b) => keys[a] - keys[b] || a - b);
}
