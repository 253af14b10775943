/** Who was taken for whom: counts, and a table that keeps its columns with Chinese labels. */
import { printable } from './printing.js';

/** More columns than this do not fit a terminal, and no longer label. */
const WIDEST = 12;
const WIDEST_LABEL = 40;

/** Labels of which a whole matrix is given; of more there are the pairs that occur. */
const LARGEST_MATRIX = 1000;

/** Counts of true and predicted labels: as much as there are texts and labels, never labels squared. */
export class Confusion {
  /** @type {Map<number, number>} by `true * labels + predicted` */
  #cells = new Map();

  /**
   * @param {ArrayLike<number>} targets the true label of each text, as a place among the labels
   * @param {ArrayLike<number>} predictions the label it was given
   * @param {number} labels how many there are
   */
  constructor(targets, predictions, labels) {
    this.labels = labels;
    /** Texts that have each label, texts that were given it, and of these the right ones. */
    this.truths = new Int32Array(labels);
    this.predictions = new Int32Array(labels);
    this.right = new Int32Array(labels);
    for (let i = 0; i < targets.length; i += 1) {
      const [truth, predicted] = [targets[i], predictions[i]];
      this.truths[truth] += 1;
      this.predictions[predicted] += 1;
      this.right[truth] += Number(truth === predicted);
      const place = truth * labels + predicted;
      this.#cells.set(place, (this.#cells.get(place) ?? 0) + 1);
    }
  }

  /** Pairs that occur, by true and then by predicted label. @returns {{truth: number, predicted: number, count: number}[]} */
  get pairs() {
    const { labels } = this;
    const cells = [...this.#cells].sort(([a], [b]) => a - b);
    return cells.map(([place, count]) => ({ truth: Math.floor(place / labels), predicted: place % labels, count }));
  }

  /** `matrix[true][predicted]`; undefined where there are too many labels. @returns {number[][] | undefined} */
  get matrix() {
    const { labels } = this;
    if (labels > LARGEST_MATRIX) return undefined;
    const matrix = Array.from({ length: labels }, () => new Array(labels).fill(0));
    for (const { truth, predicted, count } of this.pairs) matrix[truth][predicted] = count;
    return matrix;
  }
}

/**
 * @param {Confusion} confusion
 * @param {string[]} labels
 * @returns {string[]} lines
 */
export function formatConfusion(confusion, labels) {
  if (labels.length > WIDEST || confusion.matrix === undefined) return formatWorst(confusion, labels);
  const shown = labels.map((label) => printable(label, WIDEST_LABEL));
  const cells = [
    ['true \\ predicted', ...shown],
    ...confusion.matrix.map((row, i) => [shown[i], ...row.map(String)]),
  ];
  const widths = cells[0].map((_, column) => Math.max(...cells.map((row) => displayWidth(row[column]))));
  return cells.map((row) => row.map((cell, i) => pad(cell, widths[i], i === 0)).join('  '));
}

/** The commonest confusions, for many labels. @param {Confusion} confusion @param {string[]} labels */
function formatWorst({ pairs }, labels) {
  const wrong = pairs
    .filter(({ truth, predicted }) => truth !== predicted)
    .sort((a, b) => b.count - a.count)
    .slice(0, WIDEST);
  const name = (/** @type {number} */ label) => printable(labels[label], WIDEST_LABEL);
  return [
    `${labels.length} labels; the commonest confusions (all of them with --json):`,
    ...wrong.map(({ count, truth, predicted }) => `${count}  ${name(truth)} taken for ${name(predicted)}`),
  ];
}

/** @param {string} cell @param {number} width @param {boolean} left */
function pad(cell, width, left) {
  const spaces = ' '.repeat(width - displayWidth(cell));
  return left ? cell + spaces : spaces + cell;
}

/** East Asian wide and full-width characters, and emoji, take two columns. */
const WIDE =
  /[\u1100-\u115F\u2E80-\u303E\u3041-\uA4CF\uAC00-\uD7A3\uF900-\uFAFF\uFE30-\uFE6F\uFF01-\uFF60\uFFE0-\uFFE6\u{1F300}-\u{1FAFF}\u{20000}-\u{3FFFD}]/u;

/**
 * Columns that a terminal gives a text.
 *
 * @param {string} text
 */
export function displayWidth(text) {
  let width = 0;
  for (const character of text) width += /\p{M}/u.test(character) ? 0 : WIDE.test(character) ? 2 : 1;
  return width;
}
