/** Which text is which, in 128 bits: a text of any length as a name in a cache or a table. */
import { createHash } from 'node:crypto';

/** Int32 values of a key. */
export const KEY_WORDS = 4;

/**
 * The first half of the sha256 of a text, or of its pair. Two of ten million texts share a key with
 * a probability of 1 in 10²⁴.
 *
 * @param {import('./text.js').Text} text
 * @returns {Int32Array} int32[4]
 */
export function textKey({ text, pair }) {
  const digest = createHash('sha256').update(JSON.stringify([text, pair])).digest();
  return Int32Array.from({ length: KEY_WORDS }, (_, i) => digest.readInt32LE(4 * i));
}
