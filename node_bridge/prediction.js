/** Texts to labels with probabilities, in order, a window of texts at a time. */
import { taskOf } from './data.js';
import { UserError } from './errors.js';
import { mostProbable } from './evaluation.js';
import { featuresOf } from './features.js';

/** Texts that are read before they are encoded, those of one length together. */
export const WINDOW = 1024;

/**
 * @typedef {import('./data.js').Text} Text
 * @typedef {object} Prediction the text as `text`, or as `sentence1` and `sentence2`
 * @property {string} [text]
 * @property {string} [sentence1]
 * @property {string} [sentence2]
 * @property {string} label the most probable one
 * @property {number} probability of that label
 * @property {Record<string, number>} probabilities of every label
 */

/**
 * @param {AsyncIterable<Text> | Iterable<Text>} texts
 * @param {{tokenizer: import('./features.js').Tokenizer, encoder: import('./features.js').Encoder,
 *   classifier: import('./head.js').Head}} tools
 * @returns {AsyncGenerator<Prediction>}
 * @throws {UserError} a pair for a classifier of single texts, or the other way round
 */
export async function* predict(texts, { classifier, ...tools }) {
  const { description, labels, pooling } = classifier;
  for await (const window of windows(texts, WINDOW)) {
    window.forEach((text) => assertTask(text, description?.task));
    const features = await featuresOf(window, tools, { maxLength: description?.max_length, pooling });
    const rows = await classifier.probabilities(features);
    for (const [i, row] of rows.entries()) {
      const best = mostProbable(row);
      yield {
        ...named(window[i]),
        label: labels[best],
        probability: row[best],
        probabilities: Object.fromEntries(labels.map((label, place) => [label, row[place]])),
      };
    }
  }
}

/** @param {Text} text @param {string | undefined} task */
function assertTask(text, task) {
  if (task === undefined || taskOf(text) === task) return;
  throw new UserError(
    task === 'pair'
      ? 'This classifier takes pairs, got a single text; give --jsonl and objects with `sentence1` and `sentence2`'
      : 'This classifier takes single texts, got a pair; give lines, or --jsonl and objects with `text`',
  );
}

/** @param {Text} text */
function named({ text, pair }) {
  return pair === undefined ? { text } : { sentence1: text, sentence2: pair };
}

/**
 * @template T
 * @param {AsyncIterable<T> | Iterable<T>} source
 * @param {number} size
 * @returns {AsyncGenerator<T[]>} none empty, all but the last of `size`
 */
async function* windows(source, size) {
  /** @type {T[]} */
  let window = [];
  for await (const item of source) {
    window.push(item);
    if (window.length === size) {
      yield window;
      window = [];
    }
  }
  if (window.length > 0) yield window;
}
