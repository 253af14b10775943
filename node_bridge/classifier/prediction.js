/** Predicts the labels of a stream of texts, in order, one batch at a time. */
import { assertTask, toNamedText, parseText } from '../data/text.js';
import { streamBatches } from '../data/text_stream.js';
import { encodeFeatures } from '../encoder/features.js';
import { catchUserError, UserError } from '../support/errors.js';

/** How many texts are encoded together. Their vectors need little memory. */
const BATCH_TEXTS = { vectors: 1024, sequences: 128 };
/** The most probabilities of a batch. */
const MAX_PROBABILITIES = 2 ** 22;

/**
 * @typedef {import('../data/text.js').GivenText} GivenText
 * @typedef {import('../data/text.js').Text} Text
 * @typedef {import('./decisions/bundle_head.js').Row} Row
 *
 * @typedef {{error: Error}} Broken the result for a broken text
 *
 * @typedef {object} Head
 * @property {string[]} labels
 * @property {import('../encoder/features.js').Pooling} [pooling] what the encoder gives it
 * @property {string} [output] or the output of the model that it takes
 * @property {number} [rowsPerText] the most rows of numbers for a text; 1 by default
 * @property {import('../encoder/features.js').LongRule} [long] how a text is read that is too long
 * @property {{task: import('../data/text.js').Task, max_length: number, long?: import('../encoder/features.js').LongRule}} [description]
 *   of a head that was trained
 * @property {(features: Float32Array[]) => Promise<Row[]>} probabilities float32[labels] or
 *   float64[labels] for each text
 *
 * @typedef {object} Tools
 * @property {import('../encoder/features.js').Tokenizer} tokenizer
 * @property {import('../encoder/features.js').Encoder} encoder
 * @property {Head} head
 * @property {import('../tokenizer/length_tally.js').LengthTally} [lengths] counts the texts
 *
 * @typedef {object} PredictOptions
 * @property {number} [top] how many of the most probable labels to rank; none by default
 * @property {boolean} [keepBroken] whether the stream goes on after a broken text or an Error
 */

/**
 * @template {object} A
 * @param {AsyncIterable<GivenText | Error> | Iterable<GivenText | Error>} texts
 * @param {Tools} tools
 * @param {PredictOptions} options
 * @param {(row: Row, text: Text, top: number) => A} answer makes the answer to a text
 * @returns {AsyncGenerator<import('../data/text.js').NamedText & A | Broken, void, void>} one for each text
 * @throws {UserError} a text is broken and `keepBroken` is false; all predictions before it come first.
 *   Or `top` is no whole number.
 */
export async function* predictStream(texts, tools, { top = 0, keepBroken = false }, answer) {
  if (typeof texts === 'string') throw new UserError('Expected `texts` to be many texts, got a string; `predict` takes one');
  if (!(Number.isInteger(top) && top >= 0)) {
    throw new UserError(`Expected \`top\` to be a whole number of labels, got \`${top}\``);
  }
  const { description, pooling, labels, rowsPerText = 1 } = tools.head;
  const most = pooling === 'sequence_output' || rowsPerText > 1 ? BATCH_TEXTS.sequences : BATCH_TEXTS.vectors;
  const size = Math.max(1, Math.min(most, Math.floor(MAX_PROBABILITIES / (labels.length * rowsPerText))));
  for await (const batch of streamBatches(checkTexts(texts, description?.task, keepBroken), size)) {
    yield* predictBatch(batch, tools, (row, text) => answer(row, text, top));
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
 * Collects the answers to one text, or to each text of an array.
 *
 * @template T, A
 * @param {T | readonly T[]} texts
 * @param {(texts: readonly T[]) => AsyncIterable<A>} stream answers texts in their order
 * @returns {Promise<A | A[]>} an array only for an array
 */
export async function collectAnswers(texts, stream) {
  const all = /** @type {readonly T[]} */ (Array.isArray(texts) ? texts : [texts]);
  const answers = [];
  for await (const answer of stream(all)) answers.push(answer);
  return Array.isArray(texts) ? answers : answers[0];
}

/**
 * @template {object} A
 * @param {(Text | Error)[]} batch
 * @param {Tools} tools
 * @param {(row: Row, text: Text) => A} answer
 * @returns {AsyncGenerator<import('../data/text.js').NamedText & A | Broken>} each one is made on demand,
 *   since with many labels it is large
 */
async function* predictBatch(batch, { head, lengths, ...tools }, answer) {
  const texts = batch.flatMap((text) => (text instanceof Error ? [] : [text]));
  const { description, long = description?.long, pooling, output } = head;
  const how = { maxLength: description?.max_length, long, pooling, output, lengths };
  const features = await encodeFeatures(texts, tools, how);
  const rows = await head.probabilities(features);
  let next = 0;
  for (const text of batch) {
    if (text instanceof Error) {
      yield { error: text };
      continue;
    }
    next += 1;
    yield { ...toNamedText(text), ...answer(rows[next - 1], text) };
  }
}
