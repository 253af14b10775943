/**
 * The poolings by name, of `sequence_output` and of a text's windows, and their arithmetic.
 */
import { UserError } from '../support/errors.js';

/** The pooling in features.js, by the name that `--pooling` and `Encoder.encode` take. */
export const POOLING_NAMES = /** @type {const} */ ({
  sequence: 'sequence_output',
  cls: 'position 0 of sequence_output',
  mean: 'mean of sequence_output',
  pooled: 'pooled_output',
});

/** @typedef {keyof typeof POOLING_NAMES} PoolingName */

/** What `Encoder.encode` gives without the option `pooling`: the vectors that a classifier uses. @type {PoolingName} */
export const DEFAULT_POOLING = 'cls';

/**
 * @param {string} name
 * @param {boolean} normalize whether the vectors are divided by their norms
 * @returns {typeof POOLING_NAMES[PoolingName]}
 * @throws {UserError} the pooling is unknown, or gives no single vector to normalize
 */
export function parsePooling(name, normalize) {
  if (!Object.hasOwn(POOLING_NAMES, name)) {
    throw new UserError(`got \`${name}\`, expected one of ${Object.keys(POOLING_NAMES).join(', ')}`);
  }
  if (normalize && name === 'sequence') {
    throw new UserError('got `sequence`, but only one vector a text is normalized; expected cls, mean or pooled');
  }
  return POOLING_NAMES[/** @type {PoolingName} */ (name)];
}

/**
 * @param {import('../tokenizer/long_rule.js').LongRule | undefined} long
 * @param {typeof POOLING_NAMES[PoolingName]} pooling
 * @param {string} [who] takes the vectors
 * @throws {UserError} texts are read in windows, whose vectors are made one, but a vector of each position is wanted
 */
export function assertOneVector(long, pooling, who = 'the pooling sequence') {
  if (long?.choice !== 'windows' || pooling !== 'sequence_output') return;
  throw new UserError(
    `Expected \`long\` to be cut or head-tail: windows give one vector a text, and ${who} takes all positions`,
    'long',
  );
}

/**
 * The mean over positions, summed in float64 so that a long text loses no precision.
 *
 * @param {Float32Array} sequence float32[positions, hidden], at least one position, no padding
 * @param {number} hidden
 * @returns {Float32Array} float32[hidden]
 */
export function averageVectors(sequence, hidden) {
  const sums = new Float64Array(hidden);
  for (let at = 0; at < sequence.length; at += hidden) {
    for (let i = 0; i < hidden; i += 1) sums[i] += sequence[at + i];
  }
  const positions = sequence.length / hidden;
  return Float32Array.from(sums, (sum) => sum / positions);
}

/**
 * Divides a vector by its L2 norm, which is summed in float64; zeros stay zeros.
 *
 * @param {Float32Array} vector float32[hidden], changed in place
 */
export function normalizeVector(vector) {
  let squares = 0;
  for (const value of vector) squares += value * value;
  const norm = Math.sqrt(squares);
  if (norm > 0) vector.forEach((value, i) => (vector[i] = value / norm));
}

// What the windows of one text become. They are given in order, so the result does not depend on which encoder
// was faster.

/**
 * @typedef {import('../tokenizer/long_texts.js').Reading} Reading
 * @typedef {NonNullable<import('../tokenizer/long_rule.js').LongRule['pooling']>} WindowPooling
 * @typedef {{add: (numbers: Float32Array, window: number) => void, result: () => Float32Array}} WindowPool
 *
 * @typedef {object} Window a row of ids of a text
 * @property {number} text its index
 * @property {number} window its number among the rows of the text, from 0
 * @property {boolean} isLast whether it is the last one of the text
 * @property {Reading} [reading] of the text; `context` needs it
 */

/** @type {Record<WindowPooling, (reading: Reading | undefined) => WindowPool>} */
const WINDOW_POOLS = { mean: averageWindows, max: maximizeWindows, context: joinPositions };

/** Makes the numbers of a text of those of its windows. The numbers of a single row stay as they are. */
export class WindowJoiner {
  #pooling;
  #onText;
  /** @type {WindowPool | undefined} of the text whose windows are coming */
  #pool;

  /**
   * @param {WindowPooling | undefined} pooling undefined if no text has several rows
   * @param {(text: number, numbers: Float32Array) => void} onText receives each text when its last row was added
   */
  constructor(pooling, onText) {
    this.#pooling = pooling;
    this.#onText = onText;
  }

  /** Adds the rows of the texts in order. @param {Window} row @param {Float32Array} numbers */
  add({ text, window, isLast, reading }, numbers) {
    if (window === 0 && isLast) return this.#onText(text, numbers);
    if (window === 0) this.#pool = WINDOW_POOLS[/** @type {WindowPooling} */ (this.#pooling)](reading);
    const pool = /** @type {WindowPool} */ (this.#pool);
    pool.add(numbers, window);
    if (isLast) this.#onText(text, pool.result());
  }
}

/** The mean of each number over the windows, summed in float64. @returns {WindowPool} */
function averageWindows() {
  let sums = new Float64Array();
  let count = 0;
  return {
    add(numbers) {
      if (count === 0) sums = new Float64Array(numbers.length);
      for (let i = 0; i < numbers.length; i += 1) sums[i] += numbers[i];
      count += 1;
    },
    result: () => Float32Array.from(sums, (sum) => sum / count),
  };
}

/** The largest of each number over the windows. @returns {WindowPool} */
function maximizeWindows() {
  /** @type {Float32Array | undefined} */
  let most;
  return {
    add(numbers) {
      most = most === undefined ? numbers.slice() : most.map((value, i) => Math.max(value, numbers[i]));
    },
    result: () => /** @type {Float32Array} */ (most),
  };
}

/** For each position of a text the numbers of the window in which it has the most context. @param {Reading | undefined} given @returns {WindowPool} */
function joinPositions(given) {
  const reading = /** @type {Reading} */ (given);
  let joined = new Float32Array();
  return {
    add(numbers, window) {
      const width = numbers.length / reading.row(window).ids.length;
      if (window === 0) joined = new Float32Array(reading.positions * width);
      const { from, to, shift } = reading.ownedBy(window);
      joined.set(numbers.subarray((from - shift) * width, (to - shift) * width), from * width);
    },
    result: () => joined,
  };
}
