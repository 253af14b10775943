/**
 * A classifier of texts: tokenizer, encoder and head. The head is trained by train.js, or the bundle has it.
 */
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';

import { Bundle, CONTRACT_FILE } from '../bundle/bundle.js';
import { DEFAULT_WORKERS, openEncoders } from '../encoder/encoder_pool.js';
import { UserError } from '../support/errors.js';
import { assertOptions } from '../support/option_names.js';
import { Tokenizer } from '../tokenizer/index.js';
import { LengthTally } from '../tokenizer/length_tally.js';
import { describeLongRule } from '../tokenizer/long_rule.js';
import { readDescription } from './classifier_files.js';
import { ANSWERS } from './decisions/answers.js';
import { isBundle, openBundleHead } from './decisions/bundle_head.js';
import { Head } from './head.js';
import { CallAnswerer } from './prediction.js';

/**
 * @typedef {import('./prediction.js').Broken} Broken
 * @typedef {import('./decisions/answers.js').Prediction} Prediction
 * @typedef {import('./decisions/answers.js').MultiLabelPrediction} MultiLabelPrediction
 * @typedef {import('./decisions/answers.js').RegressionPrediction} RegressionPrediction
 * @typedef {import('../data/text.js').GivenText} GivenText
 *
 * @typedef {import('./decisions/answers.js').ProblemType} ProblemType
 * @typedef {{dispose: () => unknown}} Disposable
 * @typedef {Omit<LengthTally, 'add'>} Lengths
 *
 * @typedef {object} Ranking
 * @property {number} [top] how many of the most probable labels each prediction lists as `top`
 * @property {AbortSignal} [signal] when it is aborted, the call fails with its reason: at once while its texts
 *   wait, else before the next batch of the encoder
 */

/**
 * Labels texts. A text is a string, or an object with `text`; a pair is an object with `sentence1`
 * and `sentence2`, or with `text` and `pair`.
 *
 * What an answer has depends on `problemType`. A classifier of train.js is always `single_label`; of a
 * bundle its contract says it. In TypeScript, `P` names the answer if it is not Prediction:
 * `Classifier.load<MultiLabelPrediction>(dir)`.
 *
 * | problemType | answer | |
 * |---|---|---|
 * | `single_label` | Prediction | `label`, `probability`, `probabilities`, `top` on demand |
 * | `multi_label` | MultiLabelPrediction | `labels`, `probabilities`, `top` on demand |
 * | `regression` | RegressionPrediction | `values` |
 *
 * @example
 * const classifier = await Classifier.load('artifacts/classifier');
 * const { label, probability } = await classifier.predict('这本书很好');
 *
 * @template {object} [P=Prediction]
 */
export class Classifier {
  #head;
  #encoder;
  #lengths;
  #calls;
  #trained;

  /**
   * Use `load`.
   *
   * @param {import('./prediction.js').Tools & {encoder: Disposable & {notice: string},
   *   head: Disposable & {problemType?: ProblemType, threshold?: number}, trained?: boolean | null}} tools
   */
  constructor({ tokenizer, encoder, head, trained = null }) {
    this.#encoder = encoder;
    this.#head = head;
    this.#trained = trained;
    this.#lengths = createLengthTally(tokenizer, head);
    const answer = ANSWERS[/** @type {keyof typeof ANSWERS} */ (this.problemType)];
    const tools = { tokenizer, encoder, head, lengths: this.#lengths };
    this.#calls = new CallAnswerer(tools, (row, _, top) => answer(row, head, top));
  }

  /**
   * @template {object} [P=Prediction]
   * @param {string} dir the directory that train.js wrote, or a bundle whose model decides by itself
   * @param {object} [options]
   * @param {string} [options.bundle] the directory of its bundle, if the bundle was moved after training;
   *   not for a bundle
   * @param {string} [options.backend] `auto` (default), `native`, `wasm` or `cpu`
   * @param {number} [options.workers] threads in which encoders run on wasm and cpu, each with the model in
   *   memory; 1 by default. For many texts one per core is fastest. With 0 the encoder runs in this thread, which
   *   then does nothing else meanwhile. Native TensorFlow always runs in this thread, on all cores.
   * @param {string} [options.trustedKeys] public Ed25519 keys, one or more PEM blocks: each of the two,
   *   classifier and bundle, must be signed by one of them
   * @param {'cut' | 'head-tail' | 'windows'} [options.long] only for a bundle: what of a text that is longer than
   *   the positions of the model is read; see `Encoder.encode`. A classifier that train.js wrote reads texts as in
   *   training.
   * @param {number} [options.stride] of `windows`; see `Encoder.encode`
   * @param {'mean' | 'max'} [options.windowPooling] of `windows`: each score of the text is the mean (default) or the
   *   largest of those of its windows; probabilities are made of these scores
   * @returns {Promise<Classifier<P>>}
   * @throws {UserError} it is not a classifier or is damaged, its bundle is missing, an option has no such
   *   value, or classifier or bundle is not signed by these keys. Or it is a bundle without a classifier, or one
   *   that labels tokens.
   */
  static async load(dir, options = {}) {
    assertOptions('Classifier.load', options, ['bundle', 'backend', 'workers', 'trustedKeys', 'long', 'stride', 'windowPooling']);
    const { bundle: directory, backend, workers = DEFAULT_WORKERS, trustedKeys, long, stride, windowPooling } = options;
    if (isBundle(dir)) {
      if (directory !== undefined) {
        throw new UserError(`\`bundle\` is for a classifier that train.js wrote; ${dir} is a bundle itself`, 'bundle');
      }
      return new Classifier(await openBundleHead(dir, false, { backend, workers, trustedKeys, long, stride, windowPooling }));
    }
    assertNoLongOption(dir, { long, stride, windowPooling });
    const bundle = Bundle.open(directory ?? findBundle(dir), { trustedKeys });
    const encoder = await openEncoders(bundle, { backend, workers });
    const head = await Head.load(dir, bundle, trustedKeys);
    return new Classifier({ tokenizer: Tokenizer.fromBundle(bundle), encoder, head, trained: bundle.contract.trained });
  }

  /** A message for people about the chosen backend; may be empty. */
  get notice() {
    return this.#encoder.notice;
  }

  /** The labels in the order of training, or of the bundle's scores; of two that are equally probable the first one wins. */
  get labels() {
    return this.#head.labels;
  }

  /**
   * How long the texts were that it has labelled so far, and how many were not read whole.
   *
   * @returns {Readonly<Lengths>}
   */
  get lengths() {
    return this.#lengths;
  }

  /** The least probability of a label that is given, if it is `multi_label`. */
  get threshold() {
    return this.#head.threshold;
  }

  /** What it decides: `single_label`, `multi_label` or `regression`. @returns {ProblemType} */
  get problemType() {
    return this.#head.problemType ?? 'single_label';
  }

  /** Whether the weights of its bundle were trained: false if they were drawn by a seed, null if unknown. */
  get trained() {
    return this.#trained;
  }

  /** The kind of input: `single` texts or a `pair`; undefined if it takes both. */
  get task() {
    return this.#head.description?.task;
  }

  /**
   * Labels one text. Calls that come at the same time are computed together, see RequestQueue, so a server needs
   * no batching of its own.
   *
   * @example
   * await classifier.predict('这本书很好');
   * // { text: '这本书很好', label: '1', probability: 0.75, probabilities: { 0: 0.25, 1: 0.75 } }
   *
   * @overload
   * @param {GivenText} texts
   * @param {Ranking} [options]
   * @returns {Promise<P>}
   * @throws {UserError} it is not a text, or not of the classifier's task
   */
  /**
   * Labels each text of an array, in its order.
   *
   * @example
   * const [first, second] = await classifier.predict(['这本书很好', '房间很小'], { top: 1 });
   * // first.top: [{ label: '1', probability: 0.75 }]
   *
   * @overload
   * @param {readonly GivenText[]} texts
   * @param {Ranking} [options]
   * @returns {Promise<(P)[]>}
   * @throws {UserError} an element is not a text, or not of the classifier's task; names its index
   */
  /**
   * @param {GivenText | readonly GivenText[]} texts
   * @param {Ranking} [options]
   * @returns {Promise<any>}
   */
  async predict(texts, options = {}) {
    assertOptions('predict', options, ['top', 'signal']);
    this.#assertRanks(options);
    return this.#calls.answer(texts, options);
  }

  /**
   * Labels texts as they come, in order and in constant memory. Reads ahead at most one batch of 1024
   * texts, and never delays a text until the next one comes.
   *
   * @example
   * async function* reviews() {
   *   for await (const row of database.query('SELECT text FROM reviews')) yield row.text;
   * }
   * for await (const { text, label } of classifier.stream(reviews())) console.log(label, text);
   *
   * @overload
   * @param {AsyncIterable<GivenText> | Iterable<GivenText>} texts
   * @param {Ranking & {keepBroken?: false}} [options]
   * @returns {AsyncGenerator<P, void, void>}
   * @throws {UserError} an element is not a text, or not of the classifier's task; names its index.
   *   All predictions before it come first.
   */
  /**
   * The same, but for an element that is not a text for this classifier, or that is an Error, the
   * stream yields `{ error }` and goes on.
   *
   * @example
   * for await (const answer of classifier.stream(texts, { keepBroken: true })) {
   *   console.log('error' in answer ? answer.error.message : answer.label);
   * }
   *
   * @overload
   * @param {AsyncIterable<GivenText | Error> | Iterable<GivenText | Error>} texts
   * @param {Ranking & {keepBroken: boolean}} options
   * @returns {AsyncGenerator<(P) | Broken, void, void>}
   */
  /**
   * @param {AsyncIterable<GivenText | Error> | Iterable<GivenText | Error>} texts
   * @param {Ranking & {keepBroken?: boolean}} [options]
   * @returns {AsyncGenerator<any, void, void>}
   */
  stream(texts, options = {}) {
    assertOptions('stream', options, ['top', 'keepBroken', 'signal']);
    this.#assertRanks(options);
    return this.#calls.stream(texts, options);
  }

  /** @param {Ranking} options @throws {UserError} they ask for a ranking of numbers */
  #assertRanks({ top }) {
    if (!top || this.problemType !== 'regression') return;
    throw new UserError('`top` ranks probabilities, but this classifier gives numbers (regression); leave it out', 'top');
  }

  /**
   * Frees the weights and ends the threads. Calls that wait fail; texts that are being computed are computed to
   * their end before.
   *
   * @returns {Promise<void>} resolves when all is freed
   */
  async dispose() {
    await this.#calls.close();
    await this.#encoder.dispose();
    this.#head.dispose();
  }

  /** The same as `dispose`, for `await using`. */
  [Symbol.asyncDispose]() {
    return this.dispose();
  }
}

/**
 * @param {import('../encoder/features.js').Tokenizer} tokenizer
 * @param {import('./prediction.js').Head} head
 */
function createLengthTally({ maxLength }, { description, long }) {
  if (description === undefined) return new LengthTally({ maxLength, long });
  const how = { maxLength: description.max_length, long: description.long };
  return new LengthTally(how, 'train with --long windows to read them whole');
}

/**
 * @param {string} dir
 * @param {import('../tokenizer/long_rule.js').LongOptions} options
 * @throws {UserError} one is there
 */
function assertNoLongOption(dir, options) {
  const name = Object.entries(options).find(([, value]) => value !== undefined)?.[0];
  if (name === undefined) return;
  const { max_length: length, long } = readDescription(dir);
  throw new UserError(
    `\`${name}\` is for a bundle that decides by itself; ${dir} reads long texts as in its training ` +
      `(${describeLongRule(long)}, ${length} positions); leave it out, or train with it`,
    name,
  );
}

/** The directory that the classifier's bundle had at training. @param {string} dir */
function findBundle(dir) {
  const found = resolve(dir, readDescription(dir).bundle.dir);
  if (existsSync(join(found, CONTRACT_FILE))) return found;
  throw new UserError(`The bundle of ${dir} is no longer at ${found}; give its place with \`bundle\``, 'bundle');
}
