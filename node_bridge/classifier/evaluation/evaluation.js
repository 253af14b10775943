/** Measures how good a head is on labelled texts. */
import { toPrintable } from '../../support/printable.js';
import { alignColumns } from '../../support/text_table.js';

/** Keras clips probabilities at this value: 0 costs 16.1, not Infinity. */
export const EPSILON = 1e-7;
/** The most texts, and the most probabilities, in memory at a time. */
const BATCH_TEXTS = 8192;
const MAX_PROBABILITIES = 2 ** 23;
/** 95 % of the normal distribution lie within this many standard deviations. */
const Z = 1.959963984540054;

/**
 * @typedef {object} Evaluation
 * @property {number} loss mean cross-entropy
 * @property {number} accuracy
 * @property {number} macroF1 mean of the labels' F1
 * @property {ConfusionCounts} confusion
 * @property {Decisions} decisions
 *
 * @typedef {object} LabelCounts how often each label is true, is predicted, and is both
 * @property {Int32Array} truths
 * @property {Int32Array} predictions
 * @property {Int32Array} right
 */

/**
 * @param {{labels: string[], probabilitiesOf: (features: FeatureSet) => Promise<Float32Array[]>}} head
 * @param {FeatureSet} features
 * @param {Int32Array} targets int32[texts], indices of labels
 * @returns {Promise<Evaluation>}
 *
 * @typedef {import('../training/feature_sets.js').FeatureSet} FeatureSet
 */
export async function evaluate(head, features, targets) {
  const decisions = new Decisions(head.labels.length, features.count);
  const size = Math.max(1, Math.min(BATCH_TEXTS, Math.floor(MAX_PROBABILITIES / head.labels.length)));
  for (let from = 0; from < features.count; from += size) {
    const rows = await head.probabilitiesOf(sliceFeatures(features, from, size));
    rows.forEach((row, i) => decisions.add(row, targets[from + i]));
  }
  return decisions.summarize();
}

/** What was decided for each text, in its order: 16 bytes a text, however many labels there are. */
export class Decisions {
  #loss = 0;

  /**
   * @param {number} labels how many there are
   * @param {number} most how many texts may come
   */
  constructor(labels, most) {
    this.labels = labels;
    /** How many texts have come. */
    this.count = 0;
    /** For each text the index of its true label, the index of the label that was chosen, and the probability of that one. */
    this.targets = new Int32Array(most);
    this.predictions = new Int32Array(most);
    this.confidences = new Float32Array(most);
    /** For each text the probability of the second label, which decides everything where there are two. */
    this.seconds = new Float32Array(most);
  }

  /** Adds the next text. @param {Float32Array} row the probability of each label @param {number} target index of the true label */
  add(row, target) {
    const predicted = findMostProbable(row);
    this.targets[this.count] = target;
    this.predictions[this.count] = predicted;
    this.confidences[this.count] = row[predicted];
    this.seconds[this.count] = row[1];
    this.#loss -= Math.log(Math.max(row[target], EPSILON));
    this.count += 1;
  }

  /** The figures of all texts together. @returns {Evaluation} */
  summarize() {
    const { labels, count } = this;
    const [targets, predictions] = [this.targets, this.predictions].map((all) => all.subarray(0, count));
    const confusion = new ConfusionCounts(targets, predictions, labels);
    const right = confusion.right.reduce((sum, one) => sum + one, 0);
    return {
      loss: this.#loss / count,
      accuracy: right / count,
      macroF1: computeMacroF1(confusion),
      confusion,
      decisions: this,
    };
  }
}

/**
 * The mean of the labels' F1, the harmonic mean of precision and recall; 0 for a label that is never
 * right. A label that is neither in the texts nor in the predictions does not count.
 *
 * @param {LabelCounts} counts
 */
export function computeMacroF1(counts) {
  const scores = /** @type {number[]} */ (computeLabelF1(counts).filter((score) => score !== undefined));
  return scores.reduce((sum, score) => sum + score, 0) / scores.length;
}

/** The F1 of each label; undefined if the label is neither in texts nor in predictions. @param {LabelCounts} counts @returns {(number | undefined)[]} */
export function computeLabelF1({ truths, predictions, right }) {
  return Array.from(right, (count, i) => {
    const all = truths[i] + predictions[i];
    return all === 0 ? undefined : (2 * count) / all;
  });
}

/**
 * Wilson's 95 % confidence interval of a share.
 *
 * @param {number} share the observed share, between 0 and 1
 * @param {number} count how many observations
 * @returns {[number, number]}
 */
export function wilsonInterval95(share, count) {
  const z2 = Z ** 2;
  const middle = (share + z2 / (2 * count)) / (1 + z2 / count);
  const half = wilsonHalfWidth95(share, count);
  return [Math.max(0, middle - half), Math.min(1, middle + half)];
}

/** Half the width of that interval. @param {number} share @param {number} count */
export function wilsonHalfWidth95(share, count) {
  const z2 = Z ** 2;
  return (Z * Math.sqrt((share * (1 - share)) / count + z2 / (4 * count ** 2))) / (1 + z2 / count);
}

/** The index of the highest value; of equal ones the first. @param {Float32Array | Float64Array} row */
export function findMostProbable(row) {
  let most = -Infinity;
  for (const value of row) most = Math.max(most, value);
  return row.indexOf(most);
}

/** The features of some texts in a row. @param {FeatureSet} features @param {number} from @param {number} size @returns {FeatureSet} */
function sliceFeatures({ count, hidden, positions, copy }, from, size) {
  return {
    count: Math.min(size, count - from),
    hidden,
    positions: (i) => positions(from + i),
    copy: (i, target, at) => copy(from + i, target, at),
  };
}

// Which labels were confused: counts, and a table of them.

/** More columns, or a longer label, do not fit a terminal. */
const MAX_COLUMNS = 12;
const MAX_LABEL_LENGTH = 40;

/** With more labels there is no matrix, only the pairs that occur. */
const MAX_MATRIX_LABELS = 1000;

/** Counts of true and predicted labels. Memory grows with texts and labels, not with labels squared. */
export class ConfusionCounts {
  /** @type {Map<number, number>} by `true * labels + predicted` */
  #cells = new Map();

  /**
   * @param {ArrayLike<number>} targets the index of the true label of each text
   * @param {ArrayLike<number>} predictions the index of the predicted label of each text
   * @param {number} labels how many there are
   */
  constructor(targets, predictions, labels) {
    this.labels = labels;
    /** For each label: the texts that have it, the texts it is predicted for, and the correct ones of these. */
    this.truths = new Int32Array(labels);
    this.predictions = new Int32Array(labels);
    this.right = new Int32Array(labels);
    for (let i = 0; i < targets.length; i += 1) {
      const [truth, predicted] = [targets[i], predictions[i]];
      this.truths[truth] += 1;
      this.predictions[predicted] += 1;
      this.right[truth] += Number(truth === predicted);
      const cell = truth * labels + predicted;
      this.#cells.set(cell, (this.#cells.get(cell) ?? 0) + 1);
    }
  }

  /** Pairs that occur, by true and then by predicted label. @returns {{truth: number, predicted: number, count: number}[]} */
  get pairs() {
    const { labels } = this;
    const cells = [...this.#cells].sort(([a], [b]) => a - b);
    return cells.map(([cell, count]) => ({ truth: Math.floor(cell / labels), predicted: cell % labels, count }));
  }

  /** `matrix[true][predicted]`; undefined if there are too many labels. @returns {number[][] | undefined} */
  get matrix() {
    const { labels } = this;
    if (labels > MAX_MATRIX_LABELS) return undefined;
    const matrix = Array.from({ length: labels }, () => new Array(labels).fill(0));
    for (const { truth, predicted, count } of this.pairs) matrix[truth][predicted] = count;
    return matrix;
  }
}

/**
 * @param {ConfusionCounts} confusion
 * @param {string[]} labels
 * @returns {string[]} lines
 */
export function formatConfusion(confusion, labels) {
  if (labels.length > MAX_COLUMNS || confusion.matrix === undefined) return formatCommonConfusions(confusion, labels);
  const shown = labels.map((label) => toPrintable(label, MAX_LABEL_LENGTH));
  const cells = [['true \\ predicted', ...shown], ...confusion.matrix.map((row, i) => [shown[i], ...row.map(String)])];
  return alignColumns(cells);
}

/** The commonest confusions, if there are too many labels for a table. @param {ConfusionCounts} confusion @param {string[]} labels */
function formatCommonConfusions({ pairs }, labels) {
  const wrong = pairs
    .filter(({ truth, predicted }) => truth !== predicted)
    .sort((a, b) => b.count - a.count)
    .slice(0, MAX_COLUMNS);
  const name = (/** @type {number} */ label) => toPrintable(labels[label], MAX_LABEL_LENGTH);
  return [
    `${labels.length} labels; the commonest confusions (all of them with --json):`,
    ...wrong.map(({ count, truth, predicted }) => `${count}  ${name(truth)} taken for ${name(predicted)}`),
  ];
}
