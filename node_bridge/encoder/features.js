/**
 * Texts to vectors, each distinct text once: the encoder is frozen, so a text's vector is the
 * same in every epoch.
 */
import { setImmediate as turn } from 'node:timers/promises';

import { CheckFailed } from '../support/errors.js';

/** Positions of a batch: keeps the encoder's intermediate tensors small. */
export const TOKEN_BUDGET = 2048;

/**
 * @typedef {import('../data/text.js').Text} Text
 * @typedef {{ids: Int32Array, typeIds: Int32Array}} Encoding
 * @typedef {object} Tokenizer
 * @property {(text: string, options: {pair?: string, maxLength?: number}) => Encoding} encode
 * @typedef {object} Encoder
 * @property {(encodings: Encoding[]) => Promise<Float32Array[]>} firstPosition
 * @property {(encodings: Encoding[]) => Promise<Float32Array[]>} sequences
 * @property {(encodings: Encoding[]) => Promise<Float32Array[]>} means
 * @property {(encodings: Encoding[]) => Promise<Float32Array[]>} pooled
 * @property {number} lanes batches that it takes at a time
 * @property {number} [fixedLength] positions that its model always takes
 * @typedef {keyof typeof POOLINGS} Pooling
 */

/** What a head, or a person, gets of a text, and the encoder's method that gives it. */
export const POOLINGS = /** @type {const} */ ({
  'position 0 of sequence_output': 'firstPosition',
  sequence_output: 'sequences',
  'mean of sequence_output': 'means',
  pooled_output: 'pooled',
});
const FIRST_POSITION = 'position 0 of sequence_output';

/**
 * Each text with [CLS] and [SEP] through the encoder: to its vector at position 0, which is [CLS],
 * or to all of its vectors.
 *
 * @param {Text[]} texts
 * @param {{tokenizer: Tokenizer, encoder: Encoder}} tools
 * @param {object} [options]
 * @param {number} [options.maxLength] [CLS] and [SEP] counted; a longer text is cut
 * @param {Pooling} [options.pooling]
 * @param {(texts: number) => void} [options.onEncoded] called with the texts of each batch
 * @returns {Promise<Float32Array[]>} float32[hidden], or float32[positions, hidden], for each text,
 *   in order; equal texts share one
 * @throws {CheckFailed} a vector that is not finite
 */
export async function encodeFeatures(texts, { tokenizer, encoder }, { maxLength, pooling = FIRST_POSITION, onEncoded } = {}) {
  const { distinct, indices } = findDistinct(texts);
  const encodings = distinct.map(({ text, pair }) => tokenizer.encode(text, { pair, maxLength }));
  const uses = new Array(distinct.length).fill(0);
  for (const index of indices) uses[index] += 1;

  /** @type {Float32Array[]} */
  const vectors = new Array(distinct.length);
  await forEachBatch(encodings, encoder, async (batch) => {
    const rows = await encoder[POOLINGS[pooling]](batch.map((index) => encodings[index]));
    batch.forEach((index, row) => {
      assertFinite(rows[row], JSON.stringify(distinct[index].text));
      vectors[index] = rows[row];
    });
    onEncoded?.(batch.reduce((sum, index) => sum + uses[index], 0));
  });
  return indices.map((index) => vectors[index]);
}

/**
 * Calls back for each batch of encodings, as many batches at a time as the encoder takes.
 *
 * @param {Encoding[]} encodings
 * @param {Pick<Encoder, 'lanes' | 'fixedLength'>} encoder
 * @param {(indices: number[]) => Promise<void>} run gets the batch's indices in `encodings`
 * @throws what `run` throws; no further batch is begun then
 */
export async function forEachBatch(encodings, { lanes, fixedLength }, run) {
  const batches = groupByLength(encodings.map(({ ids }) => fixedLength ?? ids.length));
  let next = 0;
  const lane = async () => {
    while (next < batches.length) {
      next += 1;
      try {
        await run(batches[next - 1]);
      } catch (error) {
        next = batches.length; // lest the other lanes work on for nothing
        throw error;
      }
      await turn(); // lets a signal or another request in
    }
  };
  // Each lane takes the next batch; which one does not matter to what comes out.
  await Promise.all(Array.from({ length: lanes }, lane));
}

/**
 * @param {ArrayLike<number>} values that the encoder gave
 * @param {string} text what to call the text that they are of
 * @throws {CheckFailed} a value that is not finite
 */
export function assertFinite(values, text) {
  for (let i = 0; i < values.length; i += 1) {
    if (!Number.isFinite(values[i])) {
      throw new CheckFailed(`The encoder gave a vector that is not finite for ${text}`);
    }
  }
}

/**
 * Batches of texts of one length, the longest first, so that an estimate of the time left errs on
 * the long side. No text is ever padded: its vector does not depend on its neighbours. On wasm and
 * cpu it is the same to the last bit in training, in prediction, alone or among others; TensorFlow
 * divides a product by the size of the batch, and its last bits follow.
 *
 * @param {number[]} lengths of each text, in positions
 * @param {number} [budget]
 * @returns {number[][]} places in `lengths`, each once
 */
export function groupByLength(lengths, budget = TOKEN_BUDGET) {
  const order = lengths.map((_, index) => index).sort((a, b) => lengths[b] - lengths[a] || a - b);
  /** @type {number[][]} */
  const batches = [];
  for (const index of order) {
    const batch = batches.at(-1);
    const length = lengths[index];
    const fits = batch !== undefined && lengths[batch[0]] === length && (batch.length + 1) * length <= budget;
    if (fits) batch.push(index);
    else batches.push([index]);
  }
  return batches;
}

/**
 * @param {Text[]} texts
 * @returns {{distinct: Text[], indices: number[]}} `indices[i]` is where text i stands in `distinct`
 */
function findDistinct(texts) {
  /** @type {Map<string, number>} */
  const seen = new Map();
  /** @type {Text[]} */
  const distinct = [];
  const indices = texts.map((text) => {
    const key = JSON.stringify([text.text, text.pair]);
    const index = seen.get(key) ?? distinct.push(text) - 1;
    seen.set(key, index);
    return index;
  });
  return { distinct, indices };
}
