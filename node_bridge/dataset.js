/**
 * A data file that may be larger than memory: read through once to see that it is sound, of which
 * then each text's key and label are held, 20 bytes a text. The texts themselves are read again
 * where they are wanted.
 */
import { readExamples } from './data.js';
import { UserError } from './errors.js';
import { IntList } from './int_list.js';
import { taskOf } from './text.js';
import { KEY_WORDS, textKey } from './text_key.js';

/**
 * @typedef {import('./text.js').Text} Text
 * @typedef {import('./text.js').Task} Task
 */

/**
 * What the feature cache wants of texts: how many, each one's key, and the texts themselves.
 *
 * @typedef {Pick<Dataset, 'path' | 'count' | 'key' | 'texts'>} Texts
 */

export class Dataset {
  #keys;
  #labels;
  #has;

  /**
   * @param {string} path
   * @param {Task} task
   * @param {Int32Array} keys int32[count, 4]
   * @param {Int32Array} labels int32[count], places in `names`
   * @param {{name: string, line: number}[]} names of the labels as they came, and where first
   * @param {(key: Int32Array) => boolean} [has] which texts of the file are in it
   */
  constructor(path, task, keys, labels, names, has = () => true) {
    this.path = path;
    this.task = task;
    this.#keys = keys;
    this.#labels = labels;
    this.names = names;
    this.#has = has;
  }

  /**
   * @param {string} path
   * @param {(examples: number) => void} [onRead] told every thousand
   * @returns {Promise<Dataset>}
   * @throws {UserError} an example that cannot be read, or of another task than the first; no
   *   example at all: names the file and the line
   */
  static async read(path, onRead) {
    const [keys, labels] = [new IntList(), new IntList()];
    /** @type {Map<string, number>} */
    const places = new Map();
    /** @type {{name: string, line: number}[]} */
    const names = [];
    /** @type {Task | undefined} */
    let task;
    for await (const example of readExamples(path)) {
      task ??= taskOf(example);
      if (taskOf(example) !== task) {
        throw new UserError(
          `${path}:${example.line}: got a ${taskOf(example)} text after ${task} ones; ` +
            'expected either `text` or `sentence1` and `sentence2` throughout',
        );
      }
      const { label: name, line } = example;
      if (!places.has(name)) places.set(name, names.push({ name, line }) - 1);
      labels.push([/** @type {number} */ (places.get(name))]);
      keys.push(textKey(example));
      if (labels.length % 1000 === 0) onRead?.(1000);
    }
    if (task === undefined) {
      throw new UserError(`${path} is empty; expected JSON lines like {"text": "…", "label": "…"}`);
    }
    return new Dataset(path, task, keys.values(), labels.values(), names);
  }

  /** Examples. */
  get count() {
    return this.#labels.length;
  }

  /** int32[4] of an example. @param {number} i */
  key(i) {
    return this.#keys.subarray(KEY_WORDS * i, KEY_WORDS * (i + 1));
  }

  /** What the examples say, in one hash's worth of bytes each: equal data have equal ones. */
  get bytes() {
    return [this.#keys, this.#labels].map((part) => Buffer.from(part.buffer, part.byteOffset, part.byteLength));
  }

  /**
   * The texts in order.
   *
   * @returns {AsyncGenerator<Text>}
   */
  async *texts() {
    for await (const { text, pair } of readExamples(this.path)) {
      const example = pair === undefined ? { text } : { text, pair };
      if (this.#has(textKey(example))) yield example;
    }
  }

  /**
   * Parts it in two, by the texts' keys: equal texts stay together, so that none is in both.
   *
   * @param {number} share of the second part, between 0 and 1
   * @returns {[Dataset, Dataset]}
   */
  split(share) {
    const second = (/** @type {Int32Array} */ key) => (key[0] >>> 0) / 2 ** 32 < share;
    return [this.#part((key) => !second(key)), this.#part(second)];
  }

  /**
   * Each example's label as its place in `labels`.
   *
   * @param {string[]} labels
   * @returns {Int32Array} int32[examples]
   * @throws {UserError} a label that is not there
   */
  targets(labels) {
    const places = new Map(labels.map((label, place) => [label, place]));
    const targets = this.names.map(({ name, line }) => {
      const place = places.get(name);
      if (place !== undefined) return place;
      throw new UserError(
        `${this.path}:${line}: got label ${JSON.stringify(name)}, expected one of the training ` +
          `data's: ${labels.join(', ')}`,
      );
    });
    return this.#labels.map((place) => targets[place]);
  }

  /** @param {(key: Int32Array) => boolean} has */
  #part(has) {
    const places = Array.from({ length: this.count }, (_, i) => i).filter((i) => has(this.key(i)));
    if (places.length === 0) {
      throw new UserError(`${this.path} has ${this.count} examples, too few for such a --split; give --dev instead`);
    }
    const keys = new Int32Array(KEY_WORDS * places.length);
    places.forEach((place, i) => keys.set(this.key(place), KEY_WORDS * i));
    const labels = Int32Array.from(places, (place) => this.#labels[place]);
    return new Dataset(this.path, this.task, keys, labels, this.names, has);
  }
}

/**
 * Texts that are in memory, as the feature cache takes them.
 *
 * @param {string} path where they come from
 * @param {Text[]} texts
 * @returns {Texts}
 */
export function textsInMemory(path, texts) {
  const keys = texts.map(textKey);
  return {
    path,
    count: texts.length,
    key: (i) => keys[i],
    async *texts() {
      yield* texts;
    },
  };
}

/**
 * The labels of data to train on: whole numbers by value, else by code unit, so that the order does
 * not hang on the order of the file.
 *
 * @param {Dataset} dataset
 * @returns {string[]} at least two
 * @throws {UserError} one label only
 */
export function labelsOf({ path, names }) {
  const labels = names.map(({ name }) => name).sort();
  if (labels.length === 1) {
    throw new UserError(
      `${path} has one label only, ${JSON.stringify(labels[0])}; a classifier needs two or more`,
    );
  }
  return labels.every((label) => /^-?\d+$/.test(label))
    ? labels.sort((a, b) => Number(a) - Number(b))
    : labels;
}
