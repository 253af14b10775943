/**
 * The poolings of `sequence_output` by name, and their arithmetic.
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
