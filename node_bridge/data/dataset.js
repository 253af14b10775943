/**
 * A data file that may be larger than memory. It is read once to check every line; after that only the
 * key and the label of each text are in memory, 20 bytes per text. The texts are read again when they
 * are needed.
 */
import { UserError } from '../support/errors.js';
import { IntList } from '../support/int_list.js';
import { assertSameTask, createEmptyFileError, readExamples } from './examples.js';
import { pickStratifiedPart } from './stratify.js';
import { taskOf } from './text.js';
import { KEY_WORDS, computeTextKey } from './text_keys.js';

/**
 * With more labels, the label column is probably wrong. Every step computes the probability of each
 * label and updates its weights: with 20,000 labels and as many texts an epoch took 20 minutes on wasm.
 */
const MAX_LABELS = 10_000;

/**
 * @typedef {import('./text.js').Text} Text
 * @typedef {import('./text.js').Task} Task
 * @typedef {{count: number, line: number}} Occurrences the count, and the line of the first
 *
 * @typedef {object} DatasetContents
 * @property {string} path
 * @property {import('./rows.js').FileLayout} [layout]
 * @property {Task} task
 * @property {Int32Array} keys int32[count, 4]
 * @property {Int32Array} labels int32[count], indices in `names`
 * @property {{name: string, line: number}[]} names the labels of the file, and the line where each came first
 * @property {Record<'trimmed' | 'whole' | 'blank', Occurrences>} oddities labels that were trimmed or
 *   written as 1.0, and texts of white space only
 * @property {Uint8Array} [isIn] for each example of the file, 1 if it is in this set; by default all
 *   are
 *
 * @typedef {object} UnknownLabel what an error says of a label that is unknown
 * @property {string} where it was not found
 * @property {string} texts what the texts are called that have it
 * @property {string} remedy
 *
 * @typedef {object} ReadCallbacks
 * @property {(line: string) => void} [onColumns] receives a message about the columns, see rows.js
 * @property {(text: Text) => void} [onText] receives each text
 */

/** @type {UnknownLabel} */
const UNKNOWN_IN_DEV = {
  where: 'in no training text',
  texts: 'dev texts',
  remedy: 'put texts of it into the training data, take it out of the dev data, or give all as --train with --split',
};

/**
 * What the feature cache needs: how many texts there are, the key of each, and the texts.
 *
 * @typedef {Pick<Dataset, 'path' | 'count' | 'key' | 'texts'>} TextSource
 */

/** Labelled examples of a data file, or of a part of one. */
export class Dataset {
  #keys;
  #labels;
  #isIn;

  /** @param {DatasetContents} contents */
  constructor({ path, layout, task, keys, labels, names, oddities, isIn }) {
    this.path = path;
    this.layout = layout;
    this.task = task;
    this.#keys = keys;
    this.#labels = labels;
    this.names = names;
    this.oddities = oddities;
    this.#isIn = isIn;
  }

  /**
   * @param {string} path
   * @param {import('./rows.js').FileLayout} [layout]
   * @param {ReadCallbacks} [reading]
   * @returns {Promise<Dataset>}
   * @throws {UserError} an example cannot be read or has another task than the first, or there is no
   *   example; names the file and the line
   */
  static async read(path, layout, { onColumns, onText } = {}) {
    const [keys, labels] = [new IntList(), new IntList()];
    /** @type {Map<string, number>} */
    const labelIndices = new Map();
    /** @type {{name: string, line: number}[]} */
    const names = [];
    const oddities = { trimmed: { count: 0, line: 0 }, whole: { count: 0, line: 0 }, blank: { count: 0, line: 0 } };
    /** @type {Task | undefined} */
    let task;
    for await (const example of readExamples(path, layout, onColumns)) {
      task ??= taskOf(example);
      assertSameTask(path, example, task);
      const { label: name, written, line } = example;
      if (!labelIndices.has(name)) labelIndices.set(name, names.push({ name, line }) - 1);
      if (names.length > MAX_LABELS) {
        throw new UserError(
          `${path}:${line}: got more than ${MAX_LABELS} labels, expected at most so many; is the column of the label the right one? see --columns`,
        );
      }
      labels.push([/** @type {number} */ (labelIndices.get(name))]);
      keys.push(computeTextKey(example));
      const trimmed = written.trim();
      if (trimmed !== written) countOddity(oddities.trimmed, line);
      if (trimmed !== name) countOddity(oddities.whole, line);
      if (example.text.trim() === '' && (example.pair ?? '').trim() === '') countOddity(oddities.blank, line);
      onText?.(example);
    }
    if (task === undefined) throw createEmptyFileError(path);
    return new Dataset({ path, layout, task, keys: keys.values(), labels: labels.values(), names, oddities });
  }

  /** How many examples there are. */
  get count() {
    return this.#labels.length;
  }

  /** The key of example i, int32[4]. @param {number} i */
  key(i) {
    return this.#keys.subarray(KEY_WORDS * i, KEY_WORDS * (i + 1));
  }

  /** The keys and labels of all examples as bytes, to hash: equal data have equal bytes. */
  get bytes() {
    return [this.#keys, this.#labels].map((part) => Buffer.from(part.buffer, part.byteOffset, part.byteLength));
  }

  /** For each label of `names` how many examples have it. @returns {Int32Array} int32[names] */
  get labelCounts() {
    const counts = new Int32Array(this.names.length);
    for (const label of this.#labels) counts[label] += 1;
    return counts;
  }

  /**
   * The texts in order.
   *
   * @returns {AsyncGenerator<Text>}
   */
  async *texts() {
    for await (const { text, pair } of this.#examples()) yield pair === undefined ? { text } : { text, pair };
  }

  /**
   * Finds the lines of examples. The file is read again up to the last of them.
   *
   * @param {number[]} examples
   * @returns {Promise<number[]>} the line of each
   */
  async linesOf(examples) {
    const wanted = new Set(examples);
    /** @type {Map<number, number>} */
    const found = new Map();
    let i = 0;
    for await (const { line } of this.#examples()) {
      if (wanted.has(i)) found.set(i, line);
      if (found.size === wanted.size) break;
      i += 1;
    }
    return examples.map((example) => found.get(example) ?? 0);
  }

  async *#examples() {
    let i = 0;
    for await (const example of readExamples(this.path, this.layout)) {
      if (this.#isIn === undefined || this.#isIn[i] === 1) yield example;
      i += 1;
    }
  }

  /**
   * Splits the data set in two with the same shares of labels, as far as possible. Equal texts go to
   * the same part, and the first part has every label.
   *
   * @param {number} share size of the second part, between 0 and 1
   * @param {number} seed
   * @returns {[Dataset, Dataset]}
   * @throws {UserError} there are too few texts
   */
  split(share, seed) {
    const isSecond = pickStratifiedPart({
      keys: this.#keys,
      labels: this.#labels,
      names: this.names.map(({ name }) => name),
      share,
      seed,
    });
    if (!isSecond.includes(1)) {
      throw new UserError(`${this.path} has ${this.count} examples, too few for such a --split; give --dev instead`);
    }
    return [this.#part(isSecond.map((is) => 1 - is)), this.#part(isSecond)];
  }

  /**
   * For each example the index of its label in `labels`.
   *
   * @param {string[]} labels
   * @param {UnknownLabel} [unknownLabel] what an error says of a label that is in none of them
   * @returns {Int32Array} int32[examples]
   * @throws {UserError} `labels` lacks a label of the examples; names the first line that has it
   */
  targets(labels, { where, texts, remedy } = UNKNOWN_IN_DEV) {
    const labelIndices = new Map(labels.map((label, index) => [label, index]));
    const counts = this.labelCounts;
    const unknown = this.names.findIndex(({ name }, i) => counts[i] > 0 && !labelIndices.has(name));
    if (unknown !== -1) {
      const { name, line } = this.names[unknown];
      const others = this.names.filter((other, i) => i !== unknown && counts[i] > 0 && !labelIndices.has(other.name)).length;
      throw new UserError(
        `${this.path}:${line}: the label ${JSON.stringify(name)} is ${where} (${texts} that have it: ${counts[unknown]}; ` +
          `other such labels: ${others}), expected one of ${listFirst(labels)}; ${remedy}`,
      );
    }
    const targets = this.names.map(({ name }) => labelIndices.get(name) ?? -1);
    return this.#labels.map((index) => targets[index]);
  }

  /** @param {Uint8Array} isIn for each example */
  #part(isIn) {
    const examples = Int32Array.from({ length: this.count }, (_, i) => i).filter((i) => isIn[i] === 1);
    const keys = new Int32Array(KEY_WORDS * examples.length);
    examples.forEach((example, i) => keys.set(this.key(example), KEY_WORDS * i));
    const labels = examples.map((example) => this.#labels[example]);
    const { path, layout, task, names, oddities } = this;
    return new Dataset({ path, layout, task, keys, labels, names, oddities, isIn });
  }
}

/** @param {Occurrences} found @param {number} line */
function countOddity(found, line) {
  if (found.count === 0) found.line = line;
  found.count += 1;
}

/** The first labels as text, and how many there are. @param {string[]} labels */
export function listFirst(labels) {
  return labels.length > 20 ? `${labels.slice(0, 20).join(', ')}, … (${labels.length})` : labels.join(', ');
}

/**
 * Makes a text source of texts in memory, for the feature cache.
 *
 * @param {string} path of their file, for messages
 * @param {Text[]} texts
 * @returns {TextSource}
 */
export function createTextSource(path, texts) {
  const keys = texts.map(computeTextKey);
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
 * Lists the labels of training data, sorted: whole numbers by value, others by code unit. So the order
 * of the file does not matter.
 *
 * @param {Dataset} dataset
 * @returns {string[]} at least two
 * @throws {UserError} there is only one label
 */
export function listLabels({ path, names, labelCounts }) {
  const labels = names.flatMap(({ name }, i) => (labelCounts[i] > 0 ? [name] : [])).sort();
  if (labels.length === 1) {
    throw new UserError(`${path} has one label only, ${JSON.stringify(labels[0])}; a classifier needs two or more`);
  }
  return labels.every((label) => /^-?\d+$/.test(label)) ? labels.sort((a, b) => Number(a) - Number(b)) : labels;
}
