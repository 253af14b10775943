/** Labels the tokens of texts, and joins them to spans: named entities, words and the like. */
import { DEFAULT_WORKERS } from '../encoder/encoder_pool.js';
import { assertOptions } from '../support/option_names.js';
import { LengthTally } from '../tokenizer/length_tally.js';
import { NO_LIMIT } from '../tokenizer/truncate.js';
import { openBundleHead } from './decisions/bundle_head.js';
import { labelTokens } from './decisions/spans.js';
import { CallAnswerer } from './prediction.js';

/**
 * @typedef {import('./prediction.js').Broken} Broken
 * @typedef {import('./decisions/spans.js').TokenAnswer} TokenAnswer
 * @typedef {{text: string} & TokenAnswer} TokenPrediction
 * @typedef {string | {text: string}} SingleText
 */

/**
 * Labels the tokens of texts with a bundle whose task is `token_labels`. All positions are UTF-16 units of
 * the text, so `text.slice(start, end)` is a token's or a span's part of it. A text that is longer than
 * the model's positions is cut, and what is cut off has no tokens; with `long: 'windows'` all tokens have labels.
 *
 * The wordpieces of a word (`play`, `##ing`) are in one span: the label of the first piece counts for all.
 *
 * - `BIO`: `B-X` begins a span, `I-X` continues one of the same type; an `I-X` that continues nothing
 *   begins a span.
 * - `BIOES`: in addition `E-X` ends a span and `S-X` is one by itself. `M-X`, of BMES, is `I-X`.
 * - `none`: a span is a run of equal labels other than `O`.
 *
 * @example
 * const classifier = await TokenClassifier.load('./my_entities');
 * const { spans } = await classifier.predict('张三住在北京');
 * // [{ label: 'PER', text: '张三', start: 0, end: 2, score: 0.99 }, …]
 */
export class TokenClassifier {
  #head;
  #encoder;
  #lengths;
  #calls;
  #trained;

  /**
   * Use `load`.
   *
   * @param {Awaited<ReturnType<typeof openBundleHead>>} tools
   */
  constructor({ tokenizer, encoder, head, trained }) {
    this.#encoder = encoder;
    this.#head = head;
    this.#trained = trained;
    this.#lengths = new LengthTally(head);
    const { labels, output, rowsPerText, maxLength, long } = head;
    const description = { task: this.task, max_length: maxLength };
    const scored = { labels, output, rowsPerText, long, description, probabilities: head.probabilities.bind(head) };
    const most = long === undefined ? maxLength : NO_LIMIT;
    this.#calls = new CallAnswerer({ tokenizer, encoder, head: scored, lengths: this.#lengths }, (scores, { text }) =>
      labelTokens(text, scores, tokenizer.encodeWithTokens(text, { maxLength: most }), head),
    );
  }

  /**
   * @param {string} dir a bundle whose task is `token_labels`
   * @param {object} [options]
   * @param {string} [options.backend] `auto` (default), `native`, `wasm` or `cpu`
   * @param {number} [options.workers] see `Classifier.load`
   * @param {string} [options.trustedKeys] public Ed25519 keys, one or more PEM blocks: one of them must
   *   have signed the bundle
   * @param {'cut' | 'windows'} [options.long] what of a text that is longer than the positions of the model is
   *   read: `cut` (default): its first positions; `windows`: all of it, in windows that overlap. Then each token
   *   has the label of the window in which it has the most context.
   * @param {number} [options.stride] of `windows`; see `Encoder.encode`
   * @returns {Promise<TokenClassifier>}
   * @throws {UserError} it is no bundle or is damaged, does not label tokens, an option has no such value, or
   *   the bundle is not signed by these keys
   */
  static async load(dir, options = {}) {
    assertOptions('TokenClassifier.load', options, ['backend', 'workers', 'trustedKeys', 'long', 'stride']);
    const { workers = DEFAULT_WORKERS, ...others } = options;
    return new TokenClassifier(await openBundleHead(dir, true, { workers, ...others }));
  }

  /** A message for people about the chosen backend; may be empty. */
  get notice() {
    return this.#encoder.notice;
  }

  /** The labels in the order of the model's scores; of two that are equally probable the first one wins. */
  get labels() {
    return this.#head.labels;
  }

  /** How labels make spans: `BIO`, `BIOES` or `none`. */
  get scheme() {
    return this.#head.scheme;
  }

  /** What it decides; see `Classifier`. */
  get problemType() {
    return this.#head.problemType;
  }

  /** See `Classifier`. @returns {Readonly<import('./classifier.js').Lengths>} */
  get lengths() {
    return this.#lengths;
  }

  /** Whether the weights of the bundle were trained; see `Classifier`. */
  get trained() {
    return this.#trained;
  }

  /** The kind of input. @returns {'single'} */
  get task() {
    return 'single';
  }

  /**
   * Labels the tokens of one text.
   *
   * @overload
   * @param {SingleText} texts
   * @param {{signal?: AbortSignal}} [options] see Ranking
   * @returns {Promise<TokenPrediction>}
   * @throws {UserError} it is not a text
   */
  /**
   * Labels the tokens of each text of an array, in its order.
   *
   * @overload
   * @param {readonly SingleText[]} texts
   * @param {{signal?: AbortSignal}} [options]
   * @returns {Promise<TokenPrediction[]>}
   * @throws {UserError} an element is not a text; names its index
   */
  /**
   * @param {SingleText | readonly SingleText[]} texts
   * @param {{signal?: AbortSignal}} [options]
   * @returns {Promise<any>}
   */
  async predict(texts, options = {}) {
    assertOptions('predict', options, ['signal']);
    return this.#calls.answer(texts, options);
  }

  /**
   * Labels texts as they come, in order and in constant memory; see `Classifier.stream`.
   *
   * @overload
   * @param {AsyncIterable<SingleText> | Iterable<SingleText>} texts
   * @param {{keepBroken?: false}} [options]
   * @returns {AsyncGenerator<TokenPrediction, void, void>}
   * @throws {UserError} an element is not a text; names its index. All predictions before it come first.
   */
  /**
   * The same, but for an element that is not a text, or that is an Error, the stream yields `{ error }`
   * and goes on.
   *
   * @overload
   * @param {AsyncIterable<SingleText | Error> | Iterable<SingleText | Error>} texts
   * @param {{keepBroken: boolean}} options
   * @returns {AsyncGenerator<TokenPrediction | Broken, void, void>}
   */
  /**
   * @param {AsyncIterable<SingleText | Error> | Iterable<SingleText | Error>} texts
   * @param {{keepBroken?: boolean}} [options]
   * @returns {AsyncGenerator<any, void, void>}
   */
  stream(texts, options = {}) {
    assertOptions('stream', options, ['keepBroken', 'signal']);
    return this.#calls.stream(texts, options);
  }

  /** See `Classifier`. @returns {Promise<void>} */
  async dispose() {
    await this.#calls.close();
    await this.#encoder.dispose();
  }

  /** The same as `dispose`, for `await using`. */
  [Symbol.asyncDispose]() {
    return this.dispose();
  }
}
