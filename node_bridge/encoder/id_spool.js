/**
 * Stores the ids of any number of texts on disk until they are encoded. Only after the last text it is
 * known how many there are and how long the longest is. 4 bytes per text are in memory.
 */
import { closeSync, openSync, rmSync } from 'node:fs';

import { readAll, writeAll } from '../support/files.js';
import { IntList } from '../support/int_list.js';
import { asBytes } from '../support/safetensors.js';

/** A batch that is read back: enough texts to make groups of one length, and at most 8 MiB. */
const BATCH_TEXTS = 8192;
const BATCH_POSITIONS = 2 ** 20;
/** How many int32 numbers are written at a time. */
const BUFFER_NUMBERS = 2 ** 16;

/** @typedef {import('./encoder.js').Encoding} Encoding */

/** A temporary file of encodings. */
export class EncodingSpool {
  #file;
  #lengths = new IntList();
  #buffer = new Int32Array(BUFFER_NUMBERS);
  #buffered = 0;
  #written = 0;
  /** The sum of the positions of all texts. */
  positions = 0;
  /** The positions of the longest text. */
  longest = 0;

  /**
   * @param {string} path of the file. Its name is removed at once, its bytes when the process ends.
   */
  constructor(path) {
    this.#file = openSync(path, 'w+');
    rmSync(path);
  }

  /** How many texts were added. */
  get count() {
    return this.#lengths.length;
  }

  /** @param {Encoding} encoding */
  add({ ids, typeIds }) {
    this.#lengths.push([ids.length]);
    this.positions += ids.length;
    this.longest = Math.max(this.longest, ids.length);
    this.#push(ids);
    this.#push(typeIds);
  }

  /**
   * Reads the encodings back in order.
   *
   * @param {{texts?: number, positions?: number}} [most] limits of a batch; a longer text is alone in one
   * @returns {Generator<{first: number, encodings: Encoding[]}>} `first`: the index of the first encoding
   *   among all
   */
  *batches({ texts = BATCH_TEXTS, positions = BATCH_POSITIONS } = {}) {
    this.#flush();
    let offset = 0;
    for (let first = 0; first < this.count; ) {
      let end = first;
      let size = 0;
      while (end < this.count && end - first < texts && (end === first || size + this.#lengths.at(end) <= positions)) {
        size += this.#lengths.at(end);
        end += 1;
      }
      const values = this.#read(offset, 2 * size);
      offset += 2 * size;
      let at = 0;
      const next = (/** @type {number} */ length) => {
        at += length;
        return values.subarray(at - length, at);
      };
      const encodings = Array.from({ length: end - first }, (_, i) => {
        const length = this.#lengths.at(first + i);
        return { ids: next(length), typeIds: next(length) };
      });
      yield { first, encodings };
      first = end;
    }
  }

  /** Closes the file, which frees its disk space. */
  close() {
    closeSync(this.#file);
  }

  /** @param {Int32Array} values */
  #push(values) {
    if (this.#buffered + values.length > BUFFER_NUMBERS) this.#flush();
    if (values.length > BUFFER_NUMBERS) {
      this.#write(values);
    } else {
      this.#buffer.set(values, this.#buffered);
      this.#buffered += values.length;
    }
  }

  #flush() {
    this.#write(this.#buffer.subarray(0, this.#buffered));
    this.#buffered = 0;
  }

  /** @param {Int32Array} values */
  #write(values) {
    writeAll(this.#file, asBytes(values), this.#written);
    this.#written += values.byteLength;
  }

  /** @param {number} offset index of the first number @param {number} count @returns {Int32Array} */
  #read(offset, count) {
    const values = new Int32Array(count);
    const done = readAll(this.#file, asBytes(values), offset * values.BYTES_PER_ELEMENT);
    if (done < values.byteLength) throw new Error('The ids on disk end too early');
    return values;
  }
}
