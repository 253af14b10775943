/**
 * The head of a classifier: from the encoder's vectors to the probability of each label. It is made of
 * TF.js layers and saved as a LayersModel, which plain `tf.loadLayersModel` can read.
 */
import { join } from 'node:path';

import { loadPackage, tf } from '../backends/tfjs.js';
import { MODEL_FILE, withTfjsErrors } from '../bundle/model_json.js';
import { CheckFailed, UserError } from '../support/errors.js';
import { readClassifier, writeClassifier } from './classifier_files.js';
import { DEFAULTS } from './training/defaults.js';
import { findMostProbable } from './evaluation/evaluation.js';
import { foldScaling, featuresInMemory } from './training/feature_sets.js';
import { createHeadModel, HEADS } from './head_layers.js';

/** The most vectors, and the most texts, of a batch for inference. */
const INFERENCE_VECTORS = 2048;
const INFERENCE_TEXTS = 256;

/**
 * @typedef {import('@tensorflow/tfjs-core').Tensor} Tensor
 * @typedef {import('@tensorflow/tfjs-layers').LayersModel} LayersModel
 * @typedef {import('../bundle/bundle.js').Bundle} Bundle
 * @typedef {import('./classifier_files.js').Description} Description
 * @typedef {import('./training/feature_sets.js').FeatureSet} FeatureSet
 */

export class Head {
  /**
   * @param {LayersModel} model
   * @param {{kind: string, hidden: number, labels: string[]}} about `labels` in the order of the
   *   probabilities
   * @param {Description} [description] as it was saved
   */
  constructor(model, { kind, hidden, labels }, description) {
    this.model = model;
    this.kind = kind;
    this.hidden = hidden;
    this.labels = labels;
    this.description = description;
  }

  /**
   * Creates an untrained head; its weights come from the seed.
   *
   * @param {{kind?: string, hidden: number, labels: string[], seed?: number}} options `kind`: a name in HEADS
   */
  static create({ kind = DEFAULTS.head, hidden, labels, seed = DEFAULTS.seed }) {
    const model = createHeadModel(kind, { hidden, classes: labels.length, seed });
    return new Head(model, { kind, hidden, labels });
  }

  /**
   * @param {string} dir
   * @param {Bundle} bundle the bundle it was trained on
   * @param {string} [trustedKeys] public keys, see `assertSigned`
   * @returns {Promise<Head>} on the current backend
   * @throws {UserError} it is not a classifier, is damaged, its model does not fit its description, the
   *   bundle is another one, or it is not signed by these keys
   */
  static async load(dir, bundle, trustedKeys) {
    const { description, artifacts } = readClassifier(dir, trustedKeys);
    if (description.bundle.hash !== bundle.hash) {
      throw new UserError(
        `${dir} was trained on the bundle with hash ${description.bundle.hash}, but ${bundle.dir} ` +
          `has ${bundle.hash}; give \`bundle\` that one, or train again`,
        'bundle',
      );
    }
    const path = join(dir, MODEL_FILE);
    const model = await withTfjsErrors(path, () => loadPackage('layers').loadLayersModel({ load: async () => artifacts }));
    try {
      const hidden = assertModelFits(model, description, bundle, dir);
      return new Head(model, { kind: description.head, hidden, labels: description.labels }, description);
    } catch (error) {
      model.dispose();
      throw error;
    }
  }

  /** Which part of `sequence_output` it takes. */
  get pooling() {
    return HEADS[this.kind].pooling;
  }

  /**
   * The inputs of the head for a batch: position 0 of each text, or all its positions without padding.
   *
   * @param {{shape: number[], data: Float32Array}} sequenceOutput float32[batch, sequence, hidden]
   * @param {{ids: Int32Array}[]} encodings of these texts
   * @returns {Float32Array[]} float32[positions, hidden] for each text
   */
  inputsOf({ shape: [, sequence, hidden], data }, encodings) {
    return encodings.map(({ ids }, row) => {
      const start = row * sequence * hidden;
      return data.slice(start, start + hidden * (this.pooling === 'sequence_output' ? Math.max(ids.length, 1) : 1));
    });
  }

  /** The most probable label; of two that are equally probable the first. @param {Float32Array} row float32[labels] */
  labelOf(row) {
    return this.labels[findMostProbable(row)];
  }

  /**
   * @param {Float32Array[]} rows float32[positions, hidden] of each text
   * @returns {Promise<Float32Array[]>} float32[labels] for each text
   * @throws {CheckFailed} a probability is NaN
   */
  probabilities(rows) {
    return this.probabilitiesOf(featuresInMemory(rows, this.hidden));
  }

  /**
   * @param {FeatureSet} features
   * @returns {Promise<Float32Array[]>} float32[labels] for each text
   * @throws {CheckFailed} a probability is NaN
   */
  async probabilitiesOf(features) {
    /** @type {Float32Array[]} */
    const rows = [];
    for (const texts of splitIntoBatches(features)) {
      const output = tf.tidy(() => /** @type {Tensor} */ (this.model.predictOnBatch(buildInput(features, texts, this.kind))));
      const data = /** @type {Float32Array} */ (await output.data());
      output.dispose();
      if (data.some(Number.isNaN)) {
        throw new CheckFailed(
          'The probabilities are NaN: the weights or a vector are not finite; ' +
            'check the bundle with verify.js, or train with a lower learning rate',
        );
      }
      const width = this.labels.length;
      texts.forEach((_, row) => rows.push(data.slice(row * width, (row + 1) * width)));
    }
    return rows;
  }

  /** All weights, in the model's order. @returns {Promise<Float32Array[]>} copies */
  async weights() {
    const data = await Promise.all(this.model.getWeights().map((tensor) => tensor.data()));
    return data.map((values) => /** @type {Float32Array} */ (values).slice());
  }

  /** @param {Float32Array[]} weights as `weights` returns them */
  setWeights(weights) {
    tf.tidy(() => {
      const shapes = this.model.getWeights().map(({ shape }) => shape);
      this.model.setWeights(weights.map((data, i) => tf.tensor(data, shapes[i])));
    });
  }

  /**
   * Whether the arrays have the sizes of this head's weights, and the moments those of Adam, if there are any.
   *
   * @param {{weights: Float32Array[], moments: Float32Array[]}} state
   * @param {Float32Array[]} best other weights
   */
  fits({ weights, moments }, best) {
    const sizes = this.model.getWeights().map(({ size }) => size);
    const has = (/** @type {Float32Array[]} */ arrays, /** @type {number[]} */ wanted) =>
      String(arrays.map(({ length }) => length)) === String(wanted);
    return has(weights, sizes) && has(best, sizes) && (moments.length === 0 || has(moments, [...sizes, ...sizes]));
  }

  /** Changes the first layer so that the head takes plain vectors instead of scaled ones. @param {import('./training/feature_sets.js').Scaling} scaling */
  fold(scaling) {
    const first = /** @type {LayersModel['layers'][0]} */ (this.model.layers.find(({ weights }) => weights.length > 0));
    tf.tidy(() => {
      const weights = first.getWeights();
      for (const indices of HEADS[this.kind].linear) {
        const [kernel, bias] = indices.map((index) => /** @type {Float32Array} */ (weights[index].dataSync()));
        const plain = foldScaling({ kernel, bias }, scaling);
        [plain.kernel, plain.bias].forEach((data, i) => (weights[indices[i]] = tf.tensor(data, weights[indices[i]].shape)));
      }
      first.setWeights(weights);
    });
  }

  /**
   * Writes the classifier `dir`, whole or not at all.
   *
   * @param {string} dir
   * @param {Omit<Description, 'format' | 'version' | 'sha256' | 'labels' | 'files' | 'head' | 'pooling'>} details
   * @param {Record<string, string>} [beside] other files, content by name
   */
  async save(dir, details, beside = {}) {
    const { kind: head, pooling, labels } = this;
    await this.model.save(
      tf.io.withSaveHandler(async (artifacts) => {
        writeClassifier(dir, artifacts, { head, pooling, ...details, labels }, beside);
        return { modelArtifactsInfo: { dateSaved: new Date(), modelTopologyType: 'JSON' } };
      }),
    );
  }

  /** Frees the weights. */
  dispose() {
    this.model.dispose();
  }
}

/**
 * Checks that the model has the inputs and outputs that its description and bundle say.
 *
 * @param {LayersModel} model
 * @param {Description} description
 * @param {Bundle} bundle
 * @param {string} dir of the classifier, for messages
 * @returns {number} width of the vectors that the model takes
 * @throws {UserError} the model does not fit
 */
function assertModelFits(model, { head, pooling, labels, max_length: length }, bundle, dir) {
  const { outputs, max_length: most } = bundle.contract;
  const hidden = outputs.find(({ role }) => role === 'sequence_output')?.shape[2];
  const whole = pooling === 'sequence_output';
  const shapes = (/** @type {LayersModel['inputs']} */ tensors) =>
    tensors.map(({ shape }) => `[${shape.map((size) => size ?? '?')}]`).join(' and ');
  const expected = {
    pooling: HEADS[head].pooling,
    takes: whole ? `[?,?,${hidden}]` : `[?,${hidden}]`,
    gives: `[?,${labels.length}]`,
  };
  const got = { pooling, takes: shapes(model.inputs), gives: shapes(model.outputs) };
  for (const what of /** @type {const} */ (['pooling', 'takes', 'gives'])) {
    if (got[what] === expected[what]) continue;
    const why =
      what === 'gives' ? `its ${labels.length} labels` : what === 'takes' ? `its pooling and ${bundle.dir}` : `head ${head}`;
    throw new UserError(
      `${dir}: got ${what} ${got[what]}, expected ${expected[what]} for ${why}; copy or train the classifier again`,
    );
  }
  if (length > most)
    throw new UserError(
      `${dir}: got max_length ${length}, expected at most ${most}, as ${bundle.dir} has; copy or train the classifier again`,
    );
  return /** @type {number} */ (hidden);
}

/**
 * Builds the model's input for a batch: float32[texts, hidden], or float32[texts, sequence, hidden],
 * padded with zeros to the longest text.
 *
 * @param {FeatureSet} features
 * @param {ArrayLike<number>} texts their indices in `features`
 * @param {string} kind of HEADS
 * @returns {Tensor}
 */
export function buildInput(features, texts, kind) {
  const { hidden } = features;
  const counts = Array.from(texts, features.positions);
  const longest = counts.reduce((most, count) => Math.max(most, count), 0);
  const data = new Float32Array(texts.length * longest * hidden);
  counts.forEach((_, row) => features.copy(texts[row], data, row * longest * hidden));
  const whole = HEADS[kind].pooling === 'sequence_output';
  return tf.tensor(data, whole ? [texts.length, longest, hidden] : [texts.length, hidden]);
}

/** Splits the texts, in order, into batches for inference. @param {FeatureSet} features @returns {Generator<number[]>} */
function* splitIntoBatches({ count, positions }) {
  /** @type {number[]} */
  let batch = [];
  let longest = 0;
  for (let i = 0; i < count; i += 1) {
    const wider = Math.max(longest, positions(i));
    const full = batch.length === INFERENCE_TEXTS || wider * (batch.length + 1) > INFERENCE_VECTORS;
    if (full && batch.length > 0) {
      yield batch;
      batch = [];
      longest = 0;
    }
    batch.push(i);
    longest = Math.max(longest, positions(i));
  }
  if (batch.length > 0) yield batch;
}
