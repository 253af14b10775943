/**
 * A trained classifier with everything it takes to label texts: tokenizer, encoder and head.
 */
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';

import { Bundle } from './bundle.js';
import { readDescription } from './classifier_files.js';
import { Encoder } from './encoder.js';
import { UserError } from './errors.js';
import { Head } from './head.js';
import { predict } from './prediction.js';
import { Tokenizer } from './tokenizer/index.js';

/**
 * @typedef {import('./data.js').Text} Text
 * @typedef {import('./prediction.js').Prediction} Prediction
 */

export class Classifier {
  #head;
  #encoder;
  #tokenizer;

  /** @param {{tokenizer: Tokenizer, encoder: Encoder, head: Head}} tools */
  constructor({ tokenizer, encoder, head }) {
    this.#tokenizer = tokenizer;
    this.#encoder = encoder;
    this.#head = head;
  }

  /**
   * @param {string} dir what train.js wrote
   * @param {{bundle?: string, backend?: string}} [options] `bundle`: where its bundle is now, if no
   *   longer where it was at training; `backend`: one of BACKEND_NAMES
   * @returns {Promise<Classifier>}
   * @throws {UserError} not a classifier, a damaged one, or its bundle is not there
   */
  static async load(dir, { bundle: place, backend } = {}) {
    const bundle = Bundle.open(place ?? bundleOf(dir));
    const encoder = await Encoder.load(bundle, { backend });
    const head = await Head.load(dir, bundle);
    return new Classifier({ tokenizer: Tokenizer.fromBundle(bundle), encoder, head });
  }

  /** What to tell a person of the backend that was taken. */
  get notice() {
    return this.#encoder.notice;
  }

  /** In the order of the probabilities. */
  get labels() {
    return this.#head.labels;
  }

  /**
   * @param {AsyncIterable<Text> | Iterable<Text>} texts
   * @returns {AsyncGenerator<Prediction>} in order
   * @throws {UserError} a pair for a classifier of single texts, or the other way round
   */
  predict(texts) {
    return predict(texts, { tokenizer: this.#tokenizer, encoder: this.#encoder, classifier: this.#head });
  }

  /** Frees the weights. */
  dispose() {
    this.#encoder.dispose();
    this.#head.dispose();
  }
}

/** Where the classifier's bundle was at training. @param {string} dir */
function bundleOf(dir) {
  const found = resolve(dir, readDescription(dir).bundle.dir);
  if (existsSync(join(found, 'bundle.json'))) return found;
  throw new UserError(`The bundle of ${dir} is no longer at ${found}; give its place with --bundle`);
}
