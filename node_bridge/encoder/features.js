/**
 * Encodes texts as vectors, each distinct text once. The encoder is frozen, so the vector of a text is
 * the same in every epoch.
 */
import { setImmediate as turn } from 'node:timers/promises';

import { CheckFailed } from '../support/errors.js';
import { TextReader } from '../tokenizer/long_texts.js';
import { WindowJoiner } from './pooling.js';

/** The most positions of a batch; this keeps the encoder's intermediate tensors small. */
export const TOKEN_BUDGET = 2048;
/** The most windows whose numbers are in memory: of one vector each, or of a vector for each position. */
const MAX_WINDOWS = { vectors: 4096, positions: 128 };

/**
 * @typedef {import('../data/text.js').Text} Text
 * @typedef {import('../tokenizer/index.js').Encoding} Encoding
 * @typedef {object} Tokenizer
 * @property {(text: string, options: {pair?: string, maxLength?: number}) => Encoding} encode
 * @property {number} [maxLength] what a text is cut to by default
 * @typedef {object} Encoder
 * @property {(encodings: Encoding[]) => Promise<Float32Array[]>} firstPosition
 * @property {(encodings: Encoding[]) => Promise<Float32Array[]>} sequences
 * @property {(encodings: Encoding[]) => Promise<Float32Array[]>} means
 * @property {(encodings: Encoding[]) => Promise<Float32Array[]>} pooled
 * @property {(encodings: Encoding[], name: string) => Promise<Float32Array[]>} rowsOf
 * @property {number} lanes how many batches it takes at the same time
 * @property {number} [fixedLength] the fixed number of positions of its model
 * @typedef {keyof typeof POOLINGS} Pooling
 */

/** The method of the encoder for each pooling. */
export const POOLINGS = /** @type {const} */ ({
  'position 0 of sequence_output': 'firstPosition',
  sequence_output: 'sequences',
  'mean of sequence_output': 'means',
  pooled_output: 'pooled',
});
export const FIRST_POSITION = 'position 0 of sequence_output';

/**
 * Encodes each text with [CLS] and [SEP]: by default to its vector at position 0, which is [CLS].
 *
 * @param {Text[]} texts
 * @param {{tokenizer: Tokenizer, encoder: Encoder}} tools
 * @param {object} [options]
 * @param {number} [options.maxLength] [CLS] and [SEP] counted
 * @param {LongRule} [options.long] how a longer text is read; without it, it is cut
 * @param {Pooling} [options.pooling]
 * @param {string} [options.output] the name of an output whose rows are taken instead, such as logits
 * @param {LengthTally} [options.lengths] counts the texts
 * @param {AbortSignal} [options.signal] ends it before the next batch
 * @param {(texts: number) => void} [options.onEncoded] receives how many texts each batch had
 * @returns {Promise<Float32Array[]>} float32[hidden], or float32[positions, hidden], for each text,
 *   in order; equal texts share one
 * @throws {CheckFailed} a vector is not finite
 *
 * @typedef {import('../tokenizer/long_rule.js').LongRule} LongRule
 * @typedef {import('../tokenizer/length_tally.js').LengthTally} LengthTally
 */
export async function encodeFeatures(
  texts,
  { tokenizer, encoder },
  { maxLength, long, pooling = FIRST_POSITION, output, lengths, signal, onEncoded } = {},
) {
  const { distinct, indices } = findDistinct(texts);
  const uses = new Array(distinct.length).fill(0);
  for (const index of indices) uses[index] += 1;

  /** @type {Float32Array[]} */
  const vectors = new Array(distinct.length);
  const joiner = new WindowJoiner(long?.pooling, (text, vector) => {
    vectors[text] = vector;
  });
  const reader = new TextReader(tokenizer, { maxLength, long });
  const all = readTexts(distinct, reader, (reading, text) => lengths?.add(reading, uses[text]));
  for (const rows of long?.choice === 'windows' ? splitRows(all, long) : [[...all]]) {
    /** @type {Float32Array[]} */
    const found = new Array(rows.length);
    const encodings = rows.map(({ encoding }) => encoding);
    await forEachBatch(encodings, encoder, async (batch) => {
      signal?.throwIfAborted();
      const part = batch.map((index) => encodings[index]);
      const numbers = output === undefined ? await encoder[POOLINGS[pooling]](part) : await encoder.rowsOf(part, output);
      batch.forEach((index, row) => {
        assertFinite(numbers[row], JSON.stringify(distinct[rows[index].text].text));
        found[index] = numbers[row];
      });
      const whole = batch.filter((index) => rows[index].isLast);
      onEncoded?.(whole.reduce((sum, index) => sum + uses[rows[index].text], 0));
    });
    rows.forEach((row, i) => joiner.add(row, found[i]));
  }
  return indices.map((index) => vectors[index]);
}

/**
 * @typedef {import('../tokenizer/long_texts.js').Reading} Reading
 * @typedef {import('./pooling.js').Window & {encoding: Encoding}} TextRow
 */

/**
 * The rows of all texts, made one after the other.
 *
 * @param {Text[]} texts
 * @param {TextReader} reader
 * @param {(reading: Reading, text: number) => void} onText
 * @returns {Generator<TextRow>}
 */
function* readTexts(texts, reader, onText) {
  for (const [text, given] of texts.entries()) {
    const reading = reader.read(given);
    onText(reading, text);
    for (let window = 0; window < reading.count; window += 1) {
      const isLast = window === reading.count - 1;
      yield { text, window, encoding: reading.row(window), isLast, reading: reading.count > 1 ? reading : undefined };
    }
  }
}

/**
 * Splits rows so that a very long text does not fill the memory.
 *
 * @param {Iterable<TextRow>} rows
 * @param {LongRule} long
 * @returns {Generator<TextRow[]>}
 */
function* splitRows(rows, { pooling }) {
  const most = pooling === 'context' ? MAX_WINDOWS.positions : MAX_WINDOWS.vectors;
  /** @type {TextRow[]} */
  let part = [];
  for (const row of rows) {
    part.push(row);
    if (part.length < most) continue;
    yield part;
    part = [];
  }
  if (part.length > 0) yield part;
}

/**
 * Calls `run` for each batch of encodings, for as many batches at a time as the encoder takes.
 *
 * @param {Encoding[]} encodings
 * @param {Pick<Encoder, 'lanes' | 'fixedLength'>} encoder
 * @param {(indices: number[]) => Promise<void>} run receives indices in `encodings`
 * @throws what `run` throws; then no further batch begins
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
        next = batches.length; // so that the other lanes stop
        throw error;
      }
      await turn(); // so that signals and other requests are handled
    }
  };
  // Each lane takes the next batch; the assignment does not change the results.
  await Promise.all(Array.from({ length: lanes }, lane));
}

/**
 * @param {ArrayLike<number>} values from the encoder
 * @param {string} text what an error calls their text
 * @throws {CheckFailed} a value is not finite
 */
export function assertFinite(values, text) {
  for (let i = 0; i < values.length; i += 1) {
    if (!Number.isFinite(values[i])) {
      throw new CheckFailed(`The encoder gave a vector that is not finite for ${text}`);
    }
  }
}

/**
 * Groups texts into batches of one length. The longest come first, so the time left is never estimated
 * too short. No text is padded, so its vector does not depend on its neighbours. On wasm and cpu the
 * vector is the same to the last bit in training and prediction, alone or in a batch. TensorFlow splits
 * a product by batch size, which may change the last bits.
 *
 * @param {number[]} lengths of each text, in positions
 * @param {number} [budget]
 * @returns {number[][]} indices in `lengths`, each once
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
 * @returns {{distinct: Text[], indices: number[]}} `indices[i]` is the index of text i in `distinct`
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
