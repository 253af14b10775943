/** How good a head is on texts whose labels are known. */
import { Confusion } from './confusion.js';

/** Keras's clip: a probability of 0 costs 16.1, not Infinity. */
const EPSILON = 1e-7;
/** Texts, and probabilities, that are in memory at a time. */
const WINDOW = 8192;
const PROBABILITIES = 2 ** 23;
/** Of the normal distribution, within which 95 % lie. */
const Z = 1.959963984540054;

/**
 * @typedef {object} Evaluation
 * @property {number} loss mean cross-entropy
 * @property {number} accuracy
 * @property {number} macroF1 mean of the labels' F1
 * @property {Confusion} confusion
 */

/**
 * @param {{labels: string[], probabilitiesOf: (features: FeatureSet) => Promise<Float32Array[]>}} head
 * @param {FeatureSet} features
 * @param {Int32Array} targets int32[texts], places among the labels
 * @returns {Promise<Evaluation>}
 *
 * @typedef {import('./feature_sets.js').FeatureSet} FeatureSet
 */
export async function evaluate(head, features, targets) {
  const predictions = new Int32Array(features.count);
  const size = Math.max(1, Math.min(WINDOW, Math.floor(PROBABILITIES / head.labels.length)));
  let loss = 0;
  for (let from = 0; from < features.count; from += size) {
    const rows = await head.probabilitiesOf(window(features, from, size));
    rows.forEach((row, i) => {
      predictions[from + i] = mostProbable(row);
      loss -= Math.log(Math.max(row[targets[from + i]], EPSILON));
    });
  }
  const confusion = new Confusion(targets, predictions, head.labels.length);
  const right = confusion.right.reduce((sum, count) => sum + count, 0);
  const { count } = features;
  return { loss: loss / count, accuracy: right / count, macroF1: macroF1(confusion), confusion };
}

/**
 * The mean of each label's F1, the harmonic mean of precision and recall; 0 for a label that is
 * never right. A label that neither the texts have nor the predictions does not count.
 *
 * @param {Confusion} confusion
 */
export function macroF1(confusion) {
  const scores = /** @type {number[]} */ (f1Of(confusion).filter((score) => score !== undefined));
  return scores.reduce((sum, score) => sum + score, 0) / scores.length;
}

/** Each label's F1; undefined where there is nothing to judge by. @param {Confusion} confusion @returns {(number | undefined)[]} */
export function f1Of(confusion) {
  const { truths, predictions, right } = confusion;
  return Array.from(right, (count, i) => {
    const all = truths[i] + predictions[i];
    return all === 0 ? undefined : (2 * count) / all;
  });
}

/**
 * Wilson's 95 % interval of a share: between which true shares one may have been seen so.
 *
 * @param {number} share between 0 and 1, as seen
 * @param {number} count of what it was seen among
 * @returns {[number, number]}
 */
export function interval95(share, count) {
  const z2 = Z ** 2;
  const middle = (share + z2 / (2 * count)) / (1 + z2 / count);
  const half = halfWidth95(share, count);
  return [Math.max(0, middle - half), Math.min(1, middle + half)];
}

/** Half of that interval. @param {number} share @param {number} count */
export function halfWidth95(share, count) {
  const z2 = Z ** 2;
  return (Z * Math.sqrt((share * (1 - share)) / count + z2 / (4 * count ** 2))) / (1 + z2 / count);
}

/** The first of the highest. @param {Float32Array} row */
export function mostProbable(row) {
  return row.indexOf(row.reduce((most, value) => Math.max(most, value), -Infinity));
}

/** @param {FeatureSet} features @param {number} from @param {number} size @returns {FeatureSet} */
function window({ count, hidden, positions, copy }, from, size) {
  return {
    count: Math.min(size, count - from),
    hidden,
    positions: (i) => positions(from + i),
    copy: (i, target, at) => copy(from + i, target, at),
  };
}
