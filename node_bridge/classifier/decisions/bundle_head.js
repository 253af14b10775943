/**
 * The head of a bundle whose model decides by itself: one of its outputs has a score for each label, and
 * the contract says how scores become an answer.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';

import { Bundle, CONTRACT_FILE } from '../../bundle/bundle.js';
import { openEncoders } from '../../encoder/encoder_pool.js';
import { CheckFailed, UserError } from '../../support/errors.js';
import { Tokenizer } from '../../tokenizer/index.js';
import { parseLongRule } from '../../tokenizer/long_rule.js';
import { DESCRIPTION } from '../classifier_files.js';

/**
 * @typedef {import('../../bundle/bundle.js').ClassifierContract} ClassifierContract
 * @typedef {Float32Array | Float64Array} Row a number for each label
 * @typedef {import('../../tokenizer/long_rule.js').LongRule} LongRule
 * @typedef {import('../../tokenizer/long_rule.js').LongOptions} LongOptions
 */

/** The most labels that a message names. */
const NAMED_LABELS = 5;
/** How many windows a text is taken to have when texts are put together; it may have more. */
const USUAL_WINDOWS = 8;

/** What makes probabilities of scores, by `activation` in the contract. @type {Record<ClassifierContract['activation'], (scores: Float32Array) => Row>} */
const ACTIVATIONS = { softmax, sigmoid, none: (scores) => scores };

/** Turns rows of the model's output into probabilities, or into the numbers of a regression. */
export class BundleHead {
  /**
   * @param {ClassifierContract} contract
   * @param {number} maxLength positions that a text may take
   * @param {LongRule} [long] how a longer one is read
   */
  constructor(contract, maxLength, long) {
    const { task, output, activation, labels, threshold, scheme } = contract;
    this.problemType = task;
    this.output = output;
    this.labels = labels;
    this.threshold = threshold;
    this.scheme = scheme;
    this.maxLength = maxLength;
    this.long = long;
    this.activate = ACTIVATIONS[activation];
  }

  /** How many rows of numbers a text usually has at most: one, or one for each token. */
  get rowsPerText() {
    if (this.problemType !== 'token_labels') return 1;
    return this.long === undefined ? this.maxLength : USUAL_WINDOWS * this.maxLength;
  }

  /**
   * @param {Float32Array[]} rows float32[labels] of each text, or float32[sequence, labels] if it labels tokens
   * @returns {Promise<Row[]>} the probabilities, or the numbers of a regression; of tokens still the
   *   scores, since the probabilities of all positions are large
   * @throws {CheckFailed} the model gave another number of scores
   */
  async probabilities(rows) {
    if (this.problemType === 'token_labels') return rows;
    return rows.map((row) => {
      if (row.length === this.labels.length) return this.activate(row);
      throw new CheckFailed(
        `${this.output}: got ${row.length} scores, expected ${this.labels.length}, one for each label; export the bundle again`,
      );
    });
  }

  /** It has no weights of its own. */
  dispose() {}
}

/** Whether a directory is a bundle, and not a classifier that train.js wrote. @param {string} dir */
export function isBundle(dir) {
  return existsSync(join(dir, CONTRACT_FILE)) && !existsSync(join(dir, DESCRIPTION));
}

/**
 * Opens a bundle whose model decides by itself.
 *
 * @param {string} dir
 * @param {boolean} ofTokens whether the caller wants labels of tokens, or of texts
 * @param {LongOptions & {backend?: string, workers: number, trustedKeys?: string}} options see `parseLongRule`,
 *   `openEncoders` and `Bundle.open`
 * @throws {UserError} it is no bundle, is damaged or not signed, decides nothing, decides the other kind, or
 *   long texts cannot be read so
 */
export async function openBundleHead(dir, ofTokens, { backend, workers, trustedKeys, ...longOptions }) {
  const bundle = Bundle.open(dir, { trustedKeys });
  const { classifier, contents, max_length: maxLength, trained } = bundle.contract;
  if (contents === 'model' && !classifier) {
    throw new UserError(
      `${dir} is a bundle without a classifier; train one with \`node node_bridge/train.js --bundle\`, ` +
        'or export its model again with --labels and --task',
    );
  }
  if (classifier && (classifier.task === 'token_labels') !== ofTokens) {
    throw new UserError(
      ofTokens
        ? `${dir} labels texts (${classifier.task}); open it with Classifier`
        : `${dir} labels tokens (${classifier.task}); open it with TokenClassifier`,
    );
  }
  const long = ofTokens ? parseTokenRule(longOptions, maxLength) : parseLongRule(longOptions, maxLength);
  const encoder = await openEncoders(bundle, { backend, workers });
  // A bundle of a tokenizer alone has no model, and `openEncoders` has refused it.
  const head = new BundleHead(/** @type {ClassifierContract} */ (classifier), maxLength, long);
  return { tokenizer: Tokenizer.fromBundle(bundle), encoder, head, trained };
}

/**
 * @param {LongOptions} options
 * @param {number} maxLength
 * @returns {LongRule | undefined}
 * @throws {UserError} see `parseLongRule`; or tokens inside a text would have no label
 */
function parseTokenRule(options, maxLength) {
  const rule = parseLongRule(options, maxLength);
  if (rule?.choice === 'head-tail') {
    throw new UserError('Expected `long` to be cut or windows, got `head-tail`, which leaves tokens inside a text out', 'long');
  }
  return rule === undefined ? undefined : { ...rule, pooling: 'context' };
}

/**
 * What a bundle decides, in one line.
 *
 * @param {ClassifierContract} contract
 *
 * @example
 * // decides single_label by softmax of logits: 2 labels (bad, good)
 */
export function describeDecision({ task, output, activation, labels, threshold, scheme }) {
  const named = labels.slice(0, NAMED_LABELS).join(', ');
  const numbers = activation === 'none' ? output : `${activation} of ${output}`;
  const more = [
    ...(threshold === undefined ? [] : [`threshold ${threshold}`]),
    ...(scheme === undefined ? [] : [`scheme ${scheme}`]),
  ];
  const count = `${labels.length} ${labels.length === 1 ? 'label' : 'labels'}`;
  const names = `${count} (${named}${labels.length > NAMED_LABELS ? ', …' : ''})`;
  return `decides ${task} by ${numbers}: ${[names, ...more].join(', ')}`;
}

/**
 * In float64; the largest score is subtracted first, so that no exponential overflows.
 *
 * @param {Float32Array} scores
 * @returns {Float64Array} of the same length; their sum is 1
 */
function softmax(scores) {
  const largest = scores.reduce((most, score) => Math.max(most, score), -Infinity);
  const powers = Float64Array.from(scores, (score) => Math.exp(score - largest));
  const sum = powers.reduce((total, power) => total + power, 0);
  return powers.map((power) => power / sum);
}

/** In float64. Of a very low score the exponential is Infinity, and the result 0. @param {Float32Array} scores */
function sigmoid(scores) {
  return Float64Array.from(scores, (score) => 1 / (1 + Math.exp(-score)));
}
