/**
 * The vectors of data sets, from the cache as far as it has them: only what is missing goes through
 * the encoder, and each window of texts is on disk before the next is begun.
 */
import { createHash } from 'node:crypto';
import { closeSync, mkdirSync, openSync, readdirSync, readSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';

import { KEY_WORDS, KeyTable, computeTextKey } from '../data/text_keys.js';
import { catchUserError, EnvironmentProblem, UserError } from '../support/errors.js';
import { isRunning, readInput, writeFileAtomically } from '../support/files.js';
import { IntList } from '../support/int_list.js';
import { encodeSafetensors, readSafetensorsHeader } from '../support/safetensors.js';
import { encodeFeatures } from './features.js';

const SHARD_BYTES = 2 ** 21;
/** Fewer texts in a window make no full batches. */
const MIN_BATCH_TEXTS = 256;

/**
 * @typedef {import('./features.js').Pooling} Pooling
 * @typedef {import('../data/dataset.js').TextSource} Texts
 *
 * @typedef {object} FeatureKind decides what a vector is
 * @property {import('../bundle/bundle.js').Bundle} bundle
 * @property {import('../backends/index.js').Backend} backend
 * @property {number} maxLength
 * @property {Pooling} pooling
 */

/**
 * Opens the part of a cache that has vectors of this kind.
 *
 * @param {string} cache
 * @param {FeatureKind} what
 * @param {number} hidden
 * @param {(line: string) => void} say
 */
export function openStore(cache, { bundle, backend, maxLength, pooling }, hidden, say) {
  const parts = [bundle.hash, backend.name, backend.version, maxLength, pooling];
  const name = createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 16);
  return FeatureStore.open(join(cache, 'features', name), hidden, (path) =>
    say(`${path} is damaged; its texts are encoded again`),
  );
}

/**
 * Puts the vectors of all texts of the data sets into the store.
 *
 * @param {FeatureStore} store
 * @param {Texts[]} datasets
 * @param {{tokenizer: import('./features.js').Tokenizer, encoder: import('./features.js').Encoder}} tools
 * @param {{maxLength: number, pooling: Pooling, onEncoded: (texts: number) => void}} options
 */
export async function encodeMissing(store, datasets, tools, { maxLength, pooling, onEncoded }) {
  const size = countBatchTexts(store.hidden * (pooling === 'sequence_output' ? maxLength : 1));
  /** @type {Map<string, {key: Int32Array, text: import('../data/text.js').Text}>} */
  const batch = new Map();
  const flush = async () => {
    const [keys, texts] = [[...batch.values()].map(({ key }) => key), [...batch.values()].map(({ text }) => text)];
    store.add(keys, await encodeFeatures(texts, tools, { maxLength, pooling, onEncoded }));
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

/** Texts of a window, and so of a shard. @param {number} values float32 numbers of a text, at most */
function countBatchTexts(values) {
  return Math.max(MIN_BATCH_TEXTS, Math.floor(SHARD_BYTES / (4 * values)));
}

// Vectors of texts on disk, in shards (safetensors), found by the texts' keys. A shard is named
// after the sha256 of its bytes, so that a damaged one is noticed and thrown away; there is no
// index to go stale. In memory are 36 bytes a text; vectors are read when they are asked for, and
// compared with what they were when their shard was checked.

const SUFFIX = '.safetensors';
/** Bytes of a shard: one of the longest texts has a tenth of it. */
const MAX_SHARD_FILE_BYTES = 2 ** 30;
const BYTES = 4;
/** Files that are held open. */
const MAX_OPEN_FILES = 64;

export class FeatureStore {
  #dir;
  #table = new KeyTable();
  /** Of each text: its shard, and the first of its positions in the shard, and how many it has. */
  #shards = new IntList();
  #starts = new IntList();
  #counts = new IntList();
  /**
   * Of each text: its vectors' CRC-32, a tenth of what sha256 costs at each reading. It tells a
   * change, not a forgery: who may write here can put a whole shard here too.
   */
  #checksums = new IntList();
  /** @type {{path: string, offset: number}[]} `offset`: where the vectors begin, in bytes */
  #files = [];
  /** @type {Map<number, number>} descriptors by shard, the one used last at the end */
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
   * Opens a directory, checking every shard; makes it where it is not there.
   *
   * @param {string} dir
   * @param {number} hidden
   * @param {(path: string) => void} onDamage told of each shard that was thrown away
   */
  static open(dir, hidden, onDamage) {
    mkdirSync(dir, { recursive: true });
    const store = new FeatureStore(dir, hidden);
    for (const name of readdirSync(dir).sort()) {
      const path = join(dir, name);
      if (name.endsWith('.partial') && !isRunning(Number(name.split('.').at(-2)))) rmSync(path);
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

  /** Texts in it. */
  get size() {
    return this.#table.size;
  }

  /**
   * @param {Int32Array} key int32[4]
   * @returns {number | undefined} the text's place, for the other methods
   */
  find(key) {
    return this.#table.get(key);
  }

  /**
   * Writes a shard; when this returns, the texts are found.
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
   * Reads a text's vectors, float32[positions, hidden], straight to where they are wanted.
   *
   * @param {number} index
   * @param {Float32Array} target
   * @param {number} at where in it
   * @throws {EnvironmentProblem} they are no longer what they were
   */
  copy(index, target, at) {
    const shard = this.#shards.at(index);
    const width = this.hidden * BYTES;
    const from = this.#files[shard].offset + this.#starts.at(index) * width;
    const into = new Uint8Array(target.buffer, target.byteOffset + at * BYTES, this.positions(index) * width);
    if (this.#readFully(shard, into, from) && (crc32(into) | 0) === this.#checksums.at(index)) return;
    throw new EnvironmentProblem(
      `${this.#files[shard].path} was changed or taken away while it was in use; run the same command again: ` +
        'what is damaged is encoded again',
    );
  }

  /** Whether there is as much to read. @param {number} shard @param {Uint8Array} into @param {number} from */
  #readFully(shard, into, from) {
    try {
      const file = this.#file(shard);
      for (let done = 0; done < into.length; ) {
        const more = readSync(file, into, done, into.length - done, from + done);
        if (more === 0) return false;
        done += more;
      }
      return true;
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
   * @throws {UserError} it is no shard of this store
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
        const from = vectors.start + start * this.hidden * BYTES;
        this.#shards.push([shard]);
        this.#starts.push([start]);
        this.#counts.push([count]);
        this.#checksums.push([crc32(bytes.subarray(from, from + count * this.hidden * BYTES))]);
      }
      start += count;
    });
  }

  /** The descriptor of a shard, opened again where it is not among the last used. @param {number} shard */
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
  const whole = createHash('sha256');
  chunks.forEach((chunk) => whole.update(chunk));
  return `${whole.digest('hex').slice(0, 32)}${SUFFIX}`;
}
