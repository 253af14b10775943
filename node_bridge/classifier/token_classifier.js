/** Labels the tokens of texts, and joins them to spans: named entities, words and the like. */
import { DEFAULT_WORKERS } from '../encoder/encoder_pool.js';
import { assertOptions } from '../support/option_names.js';
import { openBundleHead } from './decisions/bundle_head.js';
import { labelTokens } from './decisions/spans.js';
import { collectAnswers, predictStream } from './prediction.js';

/**
 * @typedef {import('./prediction.js').Broken} Broken
 * @typedef {import('./decisions/spans.js').TokenAnswer} TokenAnswer
 * @typedef {{text: string} & TokenAnswer} TokenPrediction
 * @typedef {string | {text: string}} SingleText
 */

/**
 * Labels the tokens of texts with a bundle whose task is `token_labels`. All positions are UTF-16 units of
 * the text, so `text.slice(start, end)` is a token's or a span's part of it. A text that is longer than
 * the model's positions is cut, and what is cut off has no tokens.
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
  #tokenizer;
  #trained;

  /**
   * Use `load`.
   *
   * @param {Awaited<ReturnType<typeof openBundleHead>>} tools
   */
  constructor({ tokenizer, encoder, head, trained }) {
    this.#tokenizer = tokenizer;
    this.#encoder = encoder;
    this.#head = head;
    this.#trained = trained;
  }

  /**
   * @param {string} dir a bundle whose task is `token_labels`
   * @param {object} [options]
   * @param {string} [options.backend] `auto` (default), `native`, `wasm` or `cpu`
   * @param {number} [options.workers] see `Classifier.load`
   * @param {string} [options.trustedKeys] public Ed25519 keys, one or more PEM blocks: one of them must
   *   have signed the bundle
   * @returns {Promise<TokenClassifier>}
   * @throws {UserError} it is no bundle or is damaged, does not label tokens, `workers` is no whole
   *   number, or the bundle is not signed by these keys
   */
  static async load(dir, options = {}) {
    assertOptions('TokenClassifier.load', options, ['backend', 'workers', 'trustedKeys']);
    const { backend, workers = DEFAULT_WORKERS, trustedKeys } = options;
    return new TokenClassifier(await openBundleHead(dir, true, { backend, workers, trustedKeys }));
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
   * @returns {Promise<TokenPrediction>}
   * @throws {UserError} it is not a text
   */
  /**
   * Labels the tokens of each text of an array, in its order.
   *
   * @overload
   * @param {readonly SingleText[]} texts
   * @returns {Promise<TokenPrediction[]>}
   * @throws {UserError} an element is not a text; names its index
   */
  /**
   * @param {SingleText | readonly SingleText[]} texts
   * @param {object} [options] it has none; one that is given is refused, as elsewhere
   * @returns {Promise<TokenPrediction | TokenPrediction[]>}
   */
  async predict(texts, options = {}) {
    assertOptions('predict', options, []);
    return collectAnswers(texts, (all) => this.stream(all));
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
    assertOptions('stream', options, ['keepBroken']);
    const tokenizer = this.#tokenizer;
    const head = this.#head;
    const { labels, output, rowsPerText, maxLength } = head;
    const description = { task: this.task, max_length: maxLength };
    const scored = { labels, output, rowsPerText, description, probabilities: head.probabilities.bind(head) };
    return predictStream(texts, { tokenizer, encoder: this.#encoder, head: scored }, options, (scores, { text }) =>
      labelTokens(text, scores, tokenizer.encodeWithTokens(text, { maxLength }), head),
    );
  }

  /** Frees the weights. */
  dispose() {
    this.#encoder.dispose();
  }
}
