/** Keys of texts: 128 bits that identify a text in a cache or a table. */
import { createHash } from 'node:crypto';

/** How many int32 values a key has. */
export const KEY_WORDS = 4;

/**
 * Computes the key of a text or a pair: the first half of its sha256. Among ten million texts two share
 * a key with a probability of 1 in 10²⁴.
 *
 * @param {import('./text.js').Text} text
 * @returns {Int32Array} int32[4]
 */
export function computeTextKey({ text, pair }) {
  const digest = createHash('sha256')
    .update(JSON.stringify([text, pair]))
    .digest();
  return Int32Array.from({ length: KEY_WORDS }, (_, i) => digest.readInt32LE(4 * i));
}

const EMPTY = -1;
const INITIAL_CAPACITY = 1024;

/**
 * A hash table from keys of texts to numbers: 20 bytes per entry, at most half of the entries are used.
 * A Map of strings needs six times as much memory and has a limit of 16 million entries.
 */
export class KeyTable {
  #keys = new Int32Array(KEY_WORDS * INITIAL_CAPACITY);
  #values = new Int32Array(INITIAL_CAPACITY).fill(EMPTY);
  /** How many keys are in the table. */
  size = 0;

  /**
   * @param {Int32Array} key int32[4]
   * @returns {number | undefined} the value of the key
   */
  get(key) {
    const value = this.#values[this.#findEntry(key)];
    return value === EMPTY ? undefined : value;
  }

  /**
   * @param {Int32Array} key int32[4]; copied
   * @param {number} value from 0
   * @returns {boolean} false if the key has a value already, which stays
   */
  add(key, value) {
    const entry = this.#findEntry(key);
    if (this.#values[entry] !== EMPTY) return false;
    this.#keys.set(key, KEY_WORDS * entry);
    this.#values[entry] = value;
    this.size += 1;
    if (2 * this.size > this.#values.length) this.#grow();
    return true;
  }

  /** The index of the entry of a key, or of the empty entry for it. @param {Int32Array} key */
  #findEntry(key) {
    const last = this.#values.length - 1;
    let entry = key[0] & last;
    while (this.#values[entry] !== EMPTY && !this.#hasKey(entry, key)) entry = (entry + 1) & last;
    return entry;
  }

  /** @param {number} entry @param {Int32Array} key */
  #hasKey(entry, key) {
    const from = KEY_WORDS * entry;
    return key.every((word, i) => this.#keys[from + i] === word);
  }

  #grow() {
    const [keys, values] = [this.#keys, this.#values];
    this.#keys = new Int32Array(2 * keys.length);
    this.#values = new Int32Array(2 * values.length).fill(EMPTY);
    this.size = 0;
    values.forEach((value, entry) => {
      if (value !== EMPTY) this.add(keys.subarray(KEY_WORDS * entry, KEY_WORDS * (entry + 1)), value);
    });
  }
}
