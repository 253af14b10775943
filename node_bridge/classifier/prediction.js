/** Predicts the labels of a stream of texts, in order, one batch at a time. */
import { assertTask, toNamedText, parseText } from '../data/text.js';
import { streamBatches } from '../data/text_stream.js';
import { encodeFeatures } from '../encoder/features.js';
import { catchUserError, UserError, withLocation } from '../support/errors.js';
import { MAX_TOGETHER, RequestQueue } from './request_queue.js';

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
 * @property {AbortSignal} [signal] ends it before the next batch of the encoder
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
async function* predictStream(texts, tools, { top = 0, keepBroken = false, signal }, answer) {
  if (typeof texts === 'string') throw new UserError('Expected `texts` to be many texts, got a string; `predict` takes one');
  assertTop(top);
  assertSignal(signal);
  signal?.throwIfAborted();
  const { description, pooling, labels, rowsPerText = 1 } = tools.head;
  const most = pooling === 'sequence_output' || rowsPerText > 1 ? BATCH_TEXTS.sequences : BATCH_TEXTS.vectors;
  const size = Math.max(1, Math.min(most, Math.floor(MAX_PROBABILITIES / (labels.length * rowsPerText))));
  for await (const batch of streamBatches(checkTexts(texts, description?.task, keepBroken), size)) {
    yield* predictBatch(batch, tools, (row, text) => answer(row, text, top), signal);
    signal?.throwIfAborted();
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
 * Answers calls of `predict`: those with few texts together, see RequestQueue, the others as a stream.
 *
 * @template {object} A
 */
export class CallAnswerer {
  #tools;
  #answer;
  /** @type {RequestQueue<Row>} */
  #queue;

  /**
   * @param {Tools} tools
   * @param {(row: Row, text: Text, top: number) => A} answer makes the answer to a text
   */
  constructor(tools, answer) {
    this.#tools = tools;
    this.#answer = answer;
    this.#queue = new RequestQueue((texts) => computeRows(texts, tools));
  }

  /**
   * @param {GivenText | readonly GivenText[]} texts
   * @param {{top?: number, signal?: AbortSignal}} options
   * @returns {Promise<(import('../data/text.js').NamedText & A) | (import('../data/text.js').NamedText & A)[]>} an
   *   array only for an array
   * @throws {UserError} a text is broken; of an array the message names its index. Or `top` is no whole number.
   */
  async answer(texts, { top = 0, signal }) {
    assertTop(top);
    assertSignal(signal);
    const task = this.#tools.head.description?.task;
    if (!Array.isArray(texts)) {
      const text = withLocation('texts[0]', () => assertTask(parseText(/** @type {GivenText} */ (texts)), task));
      const [row] = await this.#queue.add([text], signal);
      return { ...toNamedText(text), ...this.#answer(row, text, top) };
    }
    if (texts.length <= MAX_TOGETHER) {
      const given = await Promise.all(texts); // an array may hold promises
      const known = given.map((text, i) => withLocation(`texts[${i}]`, () => assertTask(parseText(text), task)));
      const rows = await this.#queue.add(known, signal);
      return known.map((text, i) => ({ ...toNamedText(text), ...this.#answer(rows[i], text, top) }));
    }
    const answers = [];
    for await (const answer of this.stream(texts, { top, signal })) answers.push(answer);
    return /** @type {(import('../data/text.js').NamedText & A)[]} */ (answers);
  }

  /**
   * @param {AsyncIterable<GivenText | Error> | Iterable<GivenText | Error>} texts
   * @param {PredictOptions} options
   */
  stream(texts, options) {
    return predictStream(texts, this.#tools, options, this.#answer);
  }

  /** Fails the calls that wait, and waits for the texts that are computed. */
  close() {
    return this.#queue.close(new UserError('The classifier has been disposed of'));
  }
}

/** @param {unknown} top @throws {UserError} it is no whole number */
function assertTop(top) {
  if (Number.isInteger(top) && /** @type {number} */ (top) >= 0) return;
  throw new UserError(`Expected \`top\` to be a whole number of labels, got \`${top}\``);
}

/** @param {unknown} signal @throws {UserError} it is none */
function assertSignal(signal) {
  if (signal === undefined || signal instanceof AbortSignal) return;
  throw new UserError(`Expected \`signal\` to be an AbortSignal, got \`${signal}\``, 'signal');
}

/**
 * @param {Text[]} texts checked
 * @param {Tools} tools
 * @param {AbortSignal} [signal] ends it before the next batch of the encoder
 * @returns {Promise<Row[]>} the probabilities or the numbers of each text
 */
async function computeRows(texts, { head, lengths, ...tools }, signal) {
  const { description, long = description?.long, pooling, output } = head;
  const how = { maxLength: description?.max_length, long, pooling, output, lengths, signal };
  return head.probabilities(await encodeFeatures(texts, tools, how));
}

/**
 * @template {object} A
 * @param {(Text | Error)[]} batch
 * @param {Tools} tools
 * @param {(row: Row, text: Text) => A} answer
 * @param {AbortSignal} [signal]
 * @returns {AsyncGenerator<import('../data/text.js').NamedText & A | Broken>} each one is made on demand,
 *   since with many labels it is large
 */
async function* predictBatch(batch, tools, answer, signal) {
  const texts = batch.flatMap((text) => (text instanceof Error ? [] : [text]));
  const rows = await computeRows(texts, tools, signal);
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
