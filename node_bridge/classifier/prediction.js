/** Predicts the labels of a stream of texts, in order, one batch at a time. */
import { assertTask, toNamedText, parseText } from '../data/text.js';
import { streamBatches } from '../data/text_stream.js';
import { encodeFeatures } from '../encoder/features.js';
import { catchUserError, UserError } from '../support/errors.js';
import { findMostProbable } from './evaluation.js';

/** How many texts are encoded together. Their vectors need little memory. */
const BATCH_TEXTS = { vectors: 1024, sequences: 128 };
/** The most probabilities of a batch. */
const MAX_PROBABILITIES = 2 ** 22;

/**
 * @typedef {import('../data/text.js').GivenText} GivenText
 * @typedef {import('../data/text.js').Text} Text
 *
 * @typedef {{label: string, probability: number}} Ranked
 *
 * @typedef {object} Answer the answer to a text
 * @property {string} label the most probable label
 * @property {number} probability of that label
 * @property {Record<string, number>} probabilities of every label
 * @property {Ranked[]} [top] the most probable labels in order, as many as the option `top` says
 *
 * @typedef {import('../data/text.js').NamedText & Answer} Prediction
 * @typedef {{error: Error}} Broken the result for a broken text
 *
 * @typedef {object} Head
 * @property {string[]} labels
 * @property {import('../encoder/features.js').Pooling} pooling
 * @property {{task: import('../data/text.js').Task, max_length: number}} [description]
 * @property {(features: Float32Array[]) => Promise<Float32Array[]>} probabilities float32[labels] for
 *   each text
 *
 * @typedef {object} Tools
 * @property {import('../encoder/features.js').Tokenizer} tokenizer
 * @property {import('../encoder/features.js').Encoder} encoder
 * @property {Head} head
 *
 * @typedef {object} PredictOptions
 * @property {number} [top] how many of the most probable labels to rank; none by default
 * @property {boolean} [keepBroken] whether the stream goes on after a broken text or an Error
 */

/**
 * @param {AsyncIterable<GivenText | Error> | Iterable<GivenText | Error>} texts
 * @param {Tools} tools
 * @param {PredictOptions} [options]
 * @returns {AsyncGenerator<Prediction | Broken, void, void>} one for each text
 * @throws {UserError} a text is broken and `keepBroken` is false; all predictions before it come first.
 *   Or `top` is no whole number.
 */
export async function* predictStream(texts, tools, { top = 0, keepBroken = false } = {}) {
  if (typeof texts === 'string') throw new UserError('Expected `texts` to be many texts, got a string; `predict` takes one');
  if (!(Number.isInteger(top) && top >= 0)) {
    throw new UserError(`Expected \`top\` to be a whole number of labels, got \`${top}\``);
  }
  const { description, pooling } = tools.head;
  const most = pooling === 'sequence_output' ? BATCH_TEXTS.sequences : BATCH_TEXTS.vectors;
  const size = Math.max(1, Math.min(most, Math.floor(MAX_PROBABILITIES / tools.head.labels.length)));
  for await (const batch of streamBatches(checkTexts(texts, description?.task, keepBroken), size)) {
    yield* predictBatch(batch, tools, top);
  }
}

/**
 * Checks each text. This is an iterator and not a generator, since a generator cannot be closed while
 * it waits for the next text.
 *
 * @param {AsyncIterable<GivenText | Error> | Iterable<GivenText | Error>} texts
 * @param {import('../data/text.js').Task | undefined} task
 * @param {boolean} keepBroken
 * @returns {AsyncIterableIterator<Text | Error>}
 */
function checkTexts(texts, task, keepBroken) {
  const iterator = Symbol.asyncIterator in texts ? texts[Symbol.asyncIterator]() : texts[Symbol.iterator]();
  let index = -1;
  return {
    [Symbol.asyncIterator]() {
      return this;
    },
    async next() {
      const { done, value } = await iterator.next();
      if (done) return { done, value: undefined };
      const source = await value; // an array may hold promises
      index += 1;
      const text = source instanceof Error ? source : catchUserError(() => assertTask(parseText(source), task));
      if (text instanceof Error && !keepBroken) {
        await this.return?.();
        throw new UserError(`texts[${index}]: ${text.message}`);
      }
      return { done: false, value: text };
    },
    async return() {
      // The iterator of a Node stream would wait for its next chunk.
      if ('destroy' in texts && typeof texts.destroy === 'function') texts.destroy();
      await iterator.return?.();
      return { done: true, value: undefined };
    },
  };
}

/**
 * @param {(Text | Error)[]} batch
 * @param {Tools} tools
 * @param {number} top
 * @returns {AsyncGenerator<Prediction | Broken>} each one is made on demand, since with many labels it is large
 */
async function* predictBatch(batch, { head, ...tools }, top) {
  const texts = batch.flatMap((text) => (text instanceof Error ? [] : [text]));
  const { description, pooling } = head;
  const features = await encodeFeatures(texts, tools, { maxLength: description?.max_length, pooling });
  const rows = await head.probabilities(features);
  let next = 0;
  for (const text of batch) {
    if (text instanceof Error) {
      yield { error: text };
      continue;
    }
    next += 1;
    yield { ...toNamedText(text), ...rankLabels(rows[next - 1], head.labels, top) };
  }
}

/**
 * @param {Float32Array} row float32[labels]
 * @param {string[]} labels
 * @param {number} top
 * @returns {Answer}
 */
function rankLabels(row, labels, top) {
  const best = findMostProbable(row);
  const all = labels.map((label, index) => ({ label, probability: row[index] }));
  return {
    ...all[best],
    probabilities: Object.fromEntries(all.map(({ label, probability }) => [label, probability])),
    ...(top > 0 ? { top: all.sort((a, b) => b.probability - a.probability).slice(0, top) } : {}),
  };
}
