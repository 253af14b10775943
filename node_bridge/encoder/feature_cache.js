/**
 * A cache of vectors on disk. Only texts that it lacks go through the encoder, and each batch of texts
 * is on disk before the next one begins.
 */
import { closeSync, openSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';

import { KEY_WORDS, KeyTable, computeTextKey } from '../data/text_keys.js';
import { catchUserError, EnvironmentProblem, UserError } from '../support/errors.js';
import { isAbandoned, makeDirectory, readAll, readInput, writeFileAtomically } from '../support/files.js';
import { IntList } from '../support/int_list.js';
import { encodeSafetensors, NUMBER_BYTES, readSafetensorsHeader } from '../support/safetensors.js';
import { sha256 } from '../support/sha256.js';
import { encodeFeatures } from './features.js';

const SHARD_BYTES = 2 ** 21;
/** The fewest texts that are encoded together: with fewer, the encoder's batches are not full. */
const MIN_BATCH_TEXTS = 256;

/**
 * @typedef {import('./features.js').Pooling} Pooling
 * @typedef {import('../data/dataset.js').TextSource} Texts
 *
 * @typedef {object} FeatureKind all that decides the value of a vector
 * @property {import('../bundle/bundle.js').Bundle} bundle
 * @property {import('../backends/index.js').Backend} backend
 * @property {number} maxLength
 * @property {import('./features.js').LongRule} [long]
 * @property {Pooling} pooling
 */

/**
 * Opens the part of a cache that has the vectors of one kind.
 *
 * @param {string} cache directory
 * @param {FeatureKind} kind
 * @param {number} hidden width of a vector
 * @param {(line: string) => void} say prints a message
 */
export function openStore(cache, { bundle, backend, maxLength, long, pooling }, hidden, say) {
  const parts = [bundle.hash, backend.name, backend.version, maxLength, pooling, ...(long === undefined ? [] : [long])];
  const name = sha256(JSON.stringify(parts)).slice(0, 16);
  return FeatureStore.open(join(cache, 'features', name), hidden, (path) =>
    say(`${path} is damaged; its texts are encoded again`),
  );
}

/**
 * Encodes the texts that the store lacks and adds their vectors.
 *
 * @param {FeatureStore} store
 * @param {Texts[]} datasets whose texts the store must have
 * @param {{tokenizer: import('./features.js').Tokenizer, encoder: import('./features.js').Encoder}} tools of the bundle
 * @param {{maxLength: number, long?: import('./features.js').LongRule, pooling: Pooling,
 *   onEncoded: (texts: number) => void}} options `onEncoded` receives how many texts were added or found
 */
export async function encodeMissing(store, datasets, tools, { maxLength, long, pooling, onEncoded }) {
  const size = countBatchTexts(store.hidden * (pooling === 'sequence_output' ? maxLength : 1));
  /** @type {Map<string, {key: Int32Array, text: import('../data/text.js').Text}>} */
  const batch = new Map();
  const flush = async () => {
    const [keys, texts] = [[...batch.values()].map(({ key }) => key), [...batch.values()].map(({ text }) => text)];
    store.add(keys, await encodeFeatures(texts, tools, { maxLength, long, pooling, onEncoded }));
    batch.clear();
  };
  for (const dataset of datasets) {
    for await (const text of dataset.texts()) {
      const key = computeTextKey(text);
      const name = key.join();
      if (store.find(key) !== undefined || batch.has(name)) onEncoded(1);
      else batch.set(name, { key, text });
      if (batch.size === size) await flush();
    }
  }
  if (batch.size > 0) await flush();
}

/** Whether the store has all texts of the data sets. @param {FeatureStore} store @param {Texts[]} datasets */
export function hasAllTexts(store, datasets) {
  return datasets.every((dataset) => {
    for (let i = 0; i < dataset.count; i += 1) if (store.find(dataset.key(i)) === undefined) return false;
    return true;
  });
}

/** How many texts are encoded together; they become one shard. @param {number} values the most numbers of a text */
function countBatchTexts(values) {
  return Math.max(MIN_BATCH_TEXTS, Math.floor(SHARD_BYTES / (4 * values)));
}

// The store: vectors in shards (safetensors), found by the keys of the texts. The name of a shard is
// the sha256 of its bytes, so a damaged one is noticed and removed; there is no index that could be
// out of date. 36 bytes per text are in memory. Vectors are read on demand and checked against their
// CRC-32 from the time when the shard was opened.

const SUFFIX = '.safetensors';
/** The largest shard in bytes: a shard of the longest texts has a tenth of it. */
const MAX_SHARD_FILE_BYTES = 2 ** 30;
/** The most files that are open at a time. */
const MAX_OPEN_FILES = 64;

/** Vectors of texts in a directory. */
export class FeatureStore {
  #dir;
  #table = new KeyTable();
  /** For each text: its shard, its first vector in the shard, and how many vectors it has. */
  #shards = new IntList();
  #starts = new IntList();
  #counts = new IntList();
  /**
   * For each text the CRC-32 of its vectors, ten times faster than sha256. It finds a change, not a
   * forgery: whoever can write here can also add a whole shard.
   */
  #checksums = new IntList();
  /** @type {{path: string, offset: number}[]} `offset`: the first byte of the vectors */
  #files = [];
  /** @type {Map<number, number>} descriptors by shard, the last used one at the end */
  #open = new Map();

  /**
   * @param {string} dir
   * @param {number} hidden width of a vector
   */
  constructor(dir, hidden) {
    this.#dir = dir;
    this.hidden = hidden;
  }

  /**
   * Opens a directory and checks every shard; creates the directory if it is missing.
   *
   * @param {string} dir
   * @param {number} hidden width of a vector
   * @param {(path: string) => void} onDamage receives the path of each shard that was removed
   */
  static open(dir, hidden, onDamage) {
    makeDirectory(dir);
    const store = new FeatureStore(dir, hidden);
    for (const name of readdirSync(dir).sort()) {
      const path = join(dir, name);
      if (isAbandoned(name)) rmSync(path);
      if (!name.endsWith(SUFFIX)) continue;
      const bytes = catchUserError(() => readInput(path, MAX_SHARD_FILE_BYTES));
      const damage =
        bytes instanceof Error || computeShardName([bytes]) !== name
          ? true
          : catchUserError(() => store.#registerShard(path, bytes));
      if (damage === undefined) continue;
      rmSync(path, { recursive: true });
      onDamage(path);
    }
    return store;
  }

  /** How many texts it has. */
  get size() {
    return this.#table.size;
  }

  /**
   * @param {Int32Array} key int32[4]
   * @returns {number | undefined} the index of the text, for the other methods; undefined if the
   *   store lacks it
   */
  find(key) {
    return this.#table.get(key);
  }

  /**
   * Writes a shard. After that, `find` finds the texts.
   *
   * @param {Int32Array[]} keys
   * @param {Float32Array[]} vectors float32[positions, hidden] of each text
   */
  add(keys, vectors) {
    const counts = Int32Array.from(vectors, ({ length }) => length / this.hidden);
    const all = new Float32Array(vectors.reduce((sum, { length }) => sum + length, 0));
    let at = 0;
    for (const vector of vectors) {
      all.set(vector, at);
      at += vector.length;
    }
    const flat = new Int32Array(KEY_WORDS * keys.length);
    keys.forEach((key, i) => flat.set(key, KEY_WORDS * i));
    const chunks = encodeSafetensors({
      keys: { dtype: 'I32', shape: [keys.length, KEY_WORDS], data: flat },
      positions: { dtype: 'I32', shape: [keys.length], data: counts },
      vectors: { dtype: 'F32', shape: [all.length / this.hidden, this.hidden], data: all },
    });
    const path = join(this.#dir, computeShardName(chunks));
    writeFileAtomically(path, chunks);
    this.#registerShard(path, Buffer.concat(chunks));
  }

  /** How many vectors a text has. @param {number} index */
  positions(index) {
    return this.#counts.at(index);
  }

  /**
   * Reads the vectors of a text, float32[positions, hidden], into an array.
   *
   * @param {number} index of the text
   * @param {Float32Array} target
   * @param {number} at the first index in `target`
   * @throws {EnvironmentProblem} the file was changed or removed
   */
  copy(index, target, at) {
    const shard = this.#shards.at(index);
    const width = this.hidden * NUMBER_BYTES;
    const from = this.#files[shard].offset + this.#starts.at(index) * width;
    const into = new Uint8Array(target.buffer, target.byteOffset + at * NUMBER_BYTES, this.positions(index) * width);
    if (this.#readFully(shard, into, from) && (crc32(into) | 0) === this.#checksums.at(index)) return;
    throw new EnvironmentProblem(
      `${this.#files[shard].path} was changed or taken away while it was in use; run the same command again: ` +
        'what is damaged is encoded again',
    );
  }

  /** Fills `into`; false if the file is missing or too short. @param {number} shard @param {Uint8Array} into @param {number} from */
  #readFully(shard, into, from) {
    try {
      return readAll(this.#file(shard), into, from) === into.length;
    } catch (error) {
      if (/** @type {NodeJS.ErrnoException} */ (error).code === 'ENOENT') return false;
      throw error;
    }
  }

  /** Closes its files. */
  close() {
    for (const file of this.#open.values()) closeSync(file);
    this.#open.clear();
  }

  /**
   * @param {string} path
   * @param {Buffer} bytes of a whole shard
   * @throws {UserError} it is not a shard of this store
   */
  #registerShard(path, bytes) {
    const { keys, positions, vectors } = readSafetensorsHeader(bytes, path).entries;
    const ints = (/** @type {{start: number, end: number}} */ { start, end }) =>
      new Int32Array(bytes.buffer.slice(bytes.byteOffset + start, bytes.byteOffset + end));
    const isShard = keys?.dtype === 'I32' && positions?.dtype === 'I32' && vectors?.dtype === 'F32';
    const counts = isShard ? ints(positions) : new Int32Array();
    const total = counts.reduce((sum, count) => (count > 0 ? sum + count : NaN), 0);
    const shapes = [[counts.length, KEY_WORDS], [counts.length], [total, this.hidden]];
    if (!isShard || String([keys.shape, positions.shape, vectors.shape]) !== String(shapes)) {
      throw new UserError(`${path} is no shard of vectors of ${this.hidden} numbers`);
    }
    const shard = this.#files.push({ path, offset: vectors.start }) - 1;
    const flat = ints(keys);
    let start = 0;
    counts.forEach((count, i) => {
      if (this.#table.add(flat.subarray(KEY_WORDS * i, KEY_WORDS * (i + 1)), this.#table.size)) {
        const from = vectors.start + start * this.hidden * NUMBER_BYTES;
        this.#shards.push([shard]);
        this.#starts.push([start]);
        this.#counts.push([count]);
        this.#checksums.push([crc32(bytes.subarray(from, from + count * this.hidden * NUMBER_BYTES))]);
      }
      start += count;
    });
  }

  /** The descriptor of a shard; opens the file again if it was closed. @param {number} shard */
  #file(shard) {
    const open = this.#open.get(shard);
    if (open !== undefined) this.#open.delete(shard);
    const file = open ?? openSync(this.#files[shard].path, 'r');
    this.#open.set(shard, file);
    if (this.#open.size > MAX_OPEN_FILES) {
      const [[oldest, descriptor]] = this.#open;
      closeSync(descriptor);
      this.#open.delete(oldest);
    }
    return file;
  }
}

/** @param {Uint8Array[]} chunks of a whole shard */
function computeShardName(chunks) {
  return `${sha256(...chunks).slice(0, 32)}${SUFFIX}`;
}
