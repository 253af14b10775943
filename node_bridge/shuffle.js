/** The order of the texts in an epoch. */
import { tf } from './tfjs.js';

/**
 * The same for the same seed and epoch on every backend: TF.js draws these numbers in JavaScript.
 *
 * @param {number} count
 * @param {number} seed
 * @param {number} epoch
 * @returns {Int32Array} 0 … count − 1, shuffled
 */
export function shuffled(count, seed, epoch) {
  const keys = tf.tidy(() => tf.randomUniform([count], 0, 1, 'float32', seed * 65537 + epoch).dataSync());
  return Int32Array.from({ length: count }, (_, i) => i).sort((a, b) => keys[a] - keys[b] || a - b);
}
