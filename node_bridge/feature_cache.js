/**
 * The vectors of data sets, from the cache as far as it has them: only what is missing goes through
 * the encoder, and each window of texts is on disk before the next is begun.
 */
import { createHash } from 'node:crypto';
import { join } from 'node:path';

import { featuresOf } from './features.js';
import { FeatureStore } from './feature_store.js';
import { textKey } from './text_key.js';

const SHARD_BYTES = 2 ** 21;
/** Fewer texts in a window make no full batches. */
const LEAST = 256;

/**
 * @typedef {import('./features.js').Pooling} Pooling
 * @typedef {import('./dataset.js').Texts} Texts
 *
 * @typedef {object} What decides what a vector is
 * @property {import('./bundle.js').Bundle} bundle
 * @property {import('./backends/index.js').Backend} backend
 * @property {number} maxLength
 * @property {Pooling} pooling
 */

/**
 * Opens the part of a cache that has vectors of this kind.
 *
 * @param {string} cache
 * @param {What} what
 * @param {number} hidden
 * @param {(line: string) => void} say
 */
export function openStore(cache, { bundle, backend, maxLength, pooling }, hidden, say) {
  const told = [bundle.hash, backend.name, backend.version, maxLength, pooling];
  const name = createHash('sha256').update(JSON.stringify(told)).digest('hex').slice(0, 16);
  return FeatureStore.open(join(cache, 'features', name), hidden, (path) => say(`${path} is damaged; its texts are encoded again`));
}

/**
 * Puts the vectors of all texts of the data sets into the store.
 *
 * @param {FeatureStore} store
 * @param {Texts[]} datasets
 * @param {{tokenizer: import('./features.js').Tokenizer, encoder: import('./features.js').Encoder}} tools
 * @param {{maxLength: number, pooling: Pooling, onEncoded: (texts: number) => void}} options
 */
export async function fill(store, datasets, tools, { maxLength, pooling, onEncoded }) {
  const size = windowOf(store.hidden * (pooling === 'sequence_output' ? maxLength : 1));
  /** @type {Map<string, {key: Int32Array, text: import('./text.js').Text}>} */
  const window = new Map();
  const flush = async () => {
    const [keys, texts] = [[...window.values()].map(({ key }) => key), [...window.values()].map(({ text }) => text)];
    store.add(keys, await featuresOf(texts, tools, { maxLength, pooling, onEncoded }));
    window.clear();
  };
  for (const dataset of datasets) {
    for await (const text of dataset.texts()) {
      const key = textKey(text);
      const name = key.join();
      if (store.find(key) !== undefined || window.has(name)) onEncoded(1);
      else window.set(name, { key, text });
      if (window.size === size) await flush();
    }
  }
  if (window.size > 0) await flush();
}

/** Whether the store has all texts of the data sets. @param {FeatureStore} store @param {Texts[]} datasets */
export function isFilled(store, datasets) {
  return datasets.every((dataset) => {
    for (let i = 0; i < dataset.count; i += 1) if (store.find(dataset.key(i)) === undefined) return false;
    return true;
  });
}

/** Texts of a window, and so of a shard. @param {number} values float32 numbers of a text, at most */
function windowOf(values) {
  return Math.max(LEAST, Math.floor(SHARD_BYTES / (4 * values)));
}
