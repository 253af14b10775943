/**
 * Trains a head on the vectors of a frozen encoder: Adam, sparse categorical cross-entropy. It is
 * made of TF.js layers and saved as a LayersModel, so that plain `tf.loadLayersModel` reads it.
 *
 * Seeded and reproducible to the bit on one backend: the initial weights, and the order of the
 * texts in each epoch, come from the seed.
 */
import { setImmediate as turn } from 'node:timers/promises';

import { readClassifier, writeClassifier } from './classifier_files.js';
import { CheckFailed, UserError } from './errors.js';
import { denseHead } from './head_layers.js';
import { folded, scaled, scalingOf } from './scaling.js';
import { shuffled } from './shuffle.js';
import { load, tf } from './tfjs.js';

/** Of Adam. On the vectors of untrained albert_tiny and 5,000 reviews, 0.001 overfits by epoch 5. */
export const LEARNING_RATE = 3e-4;

/** Rows of a batch that is not trained on. */
const INFERENCE_ROWS = 256;

/**
 * @typedef {import('@tensorflow/tfjs-core').Tensor} Tensor
 * @typedef {import('./bundle.js').Bundle} Bundle
 * @typedef {import('./classifier_files.js').Description} Description
 * @typedef {{epoch: number, loss: number, accuracy: number, seconds: number, tensors: number}} Epoch
 *   of the training texts, each as it was when its batch came; `epoch` counts from 1
 */

export class Head {
  #model;
  /** @type {import('./scaling.js').Scaling | undefined} while training */
  #scaling;

  /**
   * @param {import('@tensorflow/tfjs-layers').LayersModel} model
   * @param {string[]} labels in the order of the probabilities
   * @param {Description} [description] what it was saved with
   */
  constructor(model, labels, description) {
    this.#model = model;
    this.labels = labels;
    this.description = description;
  }

  /**
   * An untrained head.
   *
   * @param {{hidden: number, labels: string[], seed?: number}} options
   */
  static create({ hidden, labels, seed = 1 }) {
    const model = denseHead({ hidden, classes: labels.length, seed });
    return new Head(model, labels);
  }

  /**
   * @param {string} dir
   * @param {Bundle} bundle the one it was trained on
   * @returns {Promise<Head>} on the current backend
   * @throws {UserError} not a classifier, a damaged one, or another bundle than its own
   */
  static async load(dir, bundle) {
    const { description, artifacts } = readClassifier(dir);
    if (description.bundle.hash !== bundle.hash) {
      throw new UserError(
        `${dir} was trained on the bundle with hash ${description.bundle.hash}, but ${bundle.dir} ` +
          `has ${bundle.hash}; give --bundle that one, or train again`,
      );
    }
    const model = await load('layers').loadLayersModel({ load: async () => artifacts });
    return new Head(model, description.labels, description);
  }

  /**
   * Trains a new head, on scaled features (scaling.js says why).
   *
   * @param {Float32Array[]} features float32[hidden] for each text
   * @param {Int32Array} targets int32[texts], places among the labels
   * @param {object} options
   * @param {number} options.epochs
   * @param {number} options.batchSize
   * @param {number} [options.seed]
   * @param {number} [options.learningRate]
   * @param {(texts: number) => void} [options.onBatch]
   * @param {(epoch: Epoch) => Promise<void>} [options.onEpoch]
   * @throws {CheckFailed} weights that are no longer finite
   */
  async train(features, targets, options) {
    const { epochs, batchSize, seed = 1, learningRate = LEARNING_RATE, onBatch, onEpoch } = options;
    const optimizer = tf.train.adam(learningRate);
    this.#model.compile({ optimizer, loss: 'sparseCategoricalCrossentropy', metrics: ['accuracy'] });
    this.#scaling = scalingOf(features);
    try {
      for (let epoch = 1; epoch <= epochs; epoch += 1) {
        const start = performance.now();
        const order = shuffled(features.length, seed, epoch);
        const sum = { loss: 0, accuracy: 0 };
        for (let from = 0; from < order.length; from += batchSize) {
          const places = order.slice(from, from + batchSize);
          const [loss, accuracy] = await this.#step(places, features, targets);
          sum.loss += loss * places.length;
          sum.accuracy += accuracy * places.length;
          onBatch?.(places.length);
          await turn();
        }
        await this.probabilities(features.slice(0, 1)); // wasm's loss stays finite with NaN weights
        await onEpoch?.({
          epoch,
          loss: sum.loss / order.length,
          accuracy: sum.accuracy / order.length,
          seconds: (performance.now() - start) / 1000,
          tensors: tf.memory().numTensors,
        });
      }
      this.#fold(this.#scaling);
    } finally {
      this.#scaling = undefined;
      optimizer.dispose();
    }
  }

  /**
   * @param {Float32Array[]} features float32[hidden] for each text
   * @returns {Promise<Float32Array[]>} float32[labels] for each text
   * @throws {CheckFailed} one is not a number
   */
  async probabilities(features) {
    /** @type {Float32Array[]} */
    const rows = [];
    for (let from = 0; from < features.length; from += INFERENCE_ROWS) {
      const part = features.slice(from, from + INFERENCE_ROWS);
      const output = tf.tidy(() => /** @type {Tensor} */ (this.#model.predictOnBatch(this.#matrix(part))));
      const data = /** @type {Float32Array} */ (await output.data());
      output.dispose();
      if (data.some(Number.isNaN)) {
        throw new CheckFailed(
          'The probabilities are NaN: the weights or a vector are not finite; ' +
            'check the bundle with verify.js, or train with a lower --learning-rate',
        );
      }
      const width = this.labels.length;
      part.forEach((_, row) => rows.push(data.slice(row * width, (row + 1) * width)));
    }
    return rows;
  }

  /**
   * Writes `dir` whole or not at all.
   *
   * @param {string} dir
   * @param {Omit<Description, 'format' | 'version' | 'labels' | 'files'>} details
   */
  async save(dir, details) {
    await this.#model.save(
      tf.io.withSaveHandler(async (artifacts) => {
        writeClassifier(dir, artifacts, { ...details, labels: this.labels });
        return { modelArtifactsInfo: { dateSaved: new Date(), modelTopologyType: 'JSON' } };
      }),
    );
  }

  /** Frees the weights. */
  dispose() {
    this.#model.dispose();
  }

  /** @param {Int32Array} places @param {Float32Array[]} features @param {Int32Array} targets */
  async #step(places, features, targets) {
    const x = this.#matrix(Array.from(places, (place) => features[place]));
    const y = tf.tensor1d(Float32Array.from(places, (place) => targets[place]));
    try {
      return /** @type {[number, number]} */ (await this.#model.trainOnBatch(x, y));
    } finally {
      tf.dispose([x, y]);
    }
  }

  /** float32[rows, hidden]. @param {Float32Array[]} rows */
  #matrix(rows) {
    const scaling = this.#scaling;
    const width = rows[0].length;
    const data = new Float32Array(rows.length * width);
    rows.forEach((row, i) => data.set(scaling === undefined ? row : scaled(row, scaling), i * width));
    return tf.tensor2d(data, [rows.length, width]);
  }

  /** From now on the head takes plain features. @param {import('./scaling.js').Scaling} scaling */
  #fold(scaling) {
    const first = this.#model.layers[0];
    tf.tidy(() => {
      const [k, b] = first.getWeights();
      const [kernel, bias] = [k, b].map((tensor) => /** @type {Float32Array} */ (tensor.dataSync()));
      const plain = folded({ kernel, bias }, scaling);
      first.setWeights([tf.tensor(plain.kernel, k.shape), tf.tensor(plain.bias, b.shape)]);
    });
  }
}
