/**
 * A data file that may be larger than memory: read through once to see that it is sound, of which
 * then each text's key and label are in memory, 20 bytes a text. The texts themselves are read again
 * where they are wanted.
 */
import { withLocation, UserError } from '../support/errors.js';
import { IntList } from '../support/int_list.js';
import { readDataRows } from './rows.js';
import { pickStratifiedPart } from './stratify.js';
import { taskOf, readTextFields } from './text.js';
import { KEY_WORDS, computeTextKey } from './text_keys.js';

/**
 * Every step computes each label's probability and moves its weights: with 20,000 labels and as many
 * texts an epoch took 20 minutes on wasm. Whoever has more than this took another column for the label.
 */
const MAX_LABELS = 10_000;

/**
 * @typedef {import('./text.js').Text} Text
 * @typedef {import('./text.js').Task} Task
 * @typedef {{count: number, line: number}} Occurrences how many, and the line of the first
 *
 * @typedef {object} DatasetContents
 * @property {string} path
 * @property {import('./rows.js').FileLayout} [layout]
 * @property {Task} task
 * @property {Int32Array} keys int32[count, 4]
 * @property {Int32Array} labels int32[count], places in `names`
 * @property {{name: string, line: number}[]} names of the file's labels as they came, and where first
 * @property {Record<'trimmed' | 'whole' | 'blank', Occurrences>} oddities labels that were trimmed, or
 *   written as 1.0; texts of white space alone
 * @property {Uint8Array} [isIn] for each example of the file whether it is in this set; by default
 *   all are
 *
 * @typedef {object} ReadCallbacks
 * @property {(line: string) => void} [onColumns] told which columns were taken, see rows.js
 * @property {(text: Text) => void} [onText] told each text
 */

/**
 * What the feature cache wants of texts: how many, each one's key, and the texts themselves.
 *
 * @typedef {Pick<Dataset, 'path' | 'count' | 'key' | 'texts'>} TextSource
 */

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
   * @throws {UserError} an example that cannot be read, or of another task than the first; no
   *   example at all: names the file and the line
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
      if (taskOf(example) !== task) {
        throw new UserError(
          `${path}:${example.line}: got a ${taskOf(example)} text after ${task} ones; ` +
            'expected either `text` or `sentence1` and `sentence2` throughout',
        );
      }
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
    if (task === undefined) {
      throw new UserError(`${path} is empty; expected JSON lines like {"text": "…", "label": "…"}`);
    }
    return new Dataset({ path, layout, task, keys: keys.values(), labels: labels.values(), names, oddities });
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

  /** How many examples have each label of `names`. @returns {Int32Array} int32[names] */
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
   * Where examples stand in the file, which is read again as far as the last of them.
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
   * Parts it in two with the same shares of labels, as far as that goes. Equal texts stay together,
   * so that none is in both; and every label stays in the first part.
   *
   * @param {number} share of the second part, between 0 and 1
   * @param {number} seed
   * @returns {[Dataset, Dataset]}
   * @throws {UserError} too few texts
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
   * Each example's label as its place in `labels`.
   *
   * @param {string[]} labels
   * @returns {Int32Array} int32[examples]
   * @throws {UserError} a label that is not there
   */
  targets(labels) {
    const labelIndices = new Map(labels.map((label, index) => [label, index]));
    const counts = this.labelCounts;
    const unknown = this.names.findIndex(({ name }, i) => counts[i] > 0 && !labelIndices.has(name));
    if (unknown !== -1) {
      const { name, line } = this.names[unknown];
      const others = this.names.filter((other, i) => i !== unknown && counts[i] > 0 && !labelIndices.has(other.name)).length;
      throw new UserError(
        `${this.path}:${line}: the label ${JSON.stringify(name)} is in no training text (dev texts that have it: ${counts[unknown]}; ` +
          `other such labels: ${others}), expected one of ${listFirst(labels)}; put texts of it into the training data, take it ` +
          'out of the dev data, or give all as --train with --split',
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

/** The first few of many. @param {string[]} labels */
export function listFirst(labels) {
  return labels.length > 20 ? `${labels.slice(0, 20).join(', ')}, … (${labels.length})` : labels.join(', ');
}

/**
 * Texts that are in memory, as the feature cache takes them.
 *
 * @param {string} path where they come from
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
 * The labels of data to train on: whole numbers by value, else by code unit, so that the order does
 * not hang on the order of the file.
 *
 * @param {Dataset} dataset
 * @returns {string[]} at least two
 * @throws {UserError} one label only
 */
export function listLabels({ path, names, labelCounts }) {
  const labels = names.flatMap(({ name }, i) => (labelCounts[i] > 0 ? [name] : [])).sort();
  if (labels.length === 1) {
    throw new UserError(`${path} has one label only, ${JSON.stringify(labels[0])}; a classifier needs two or more`);
  }
  return labels.every((label) => /^-?\d+$/.test(label)) ? labels.sort((a, b) => Number(a) - Number(b)) : labels;
}

// Labelled texts. A text is `text`, or a pair `sentence1` and `sentence2`; `label` is a string or
// an integer, and 1 and "1" are the same label.

/** What programs write in the place of a label that is missing. */
const MISSING = /^(nan|null|<na>|#n\/a)$/i;

/**
 * @typedef {Text & {label: string, written: string, line: number}} Example `written` is the label as
 *   it stands in the file
 */

/**
 * One example after another; never more than a line in memory.
 *
 * @param {string} path
 * @param {import('./rows.js').FileLayout} [layout]
 * @param {(line: string) => void} [onColumns] told which columns were taken, see rows.js
 * @returns {AsyncGenerator<Example>}
 * @throws {UserError} broken JSON, a missing text or label, invalid bytes: names the line
 */
export async function* readExamples(path, layout, onColumns) {
  for await (const { fields, line } of readDataRows(path, layout, onColumns)) {
    yield withLocation(`${path}:${line}`, () => ({ ...readTextFields(fields), ...readLabel(fields), line }));
  }
}

/**
 * White space around a label is none of it, and 1.0 is 1: so pandas writes integers where a value of
 * the column is missing. JSON's own 1.0 is 1 when it is read.
 *
 * @param {Record<string, unknown>} fields
 */
function readLabel({ label: value }) {
  const written = typeof value === 'string' || Number.isSafeInteger(value) ? String(value) : '';
  const label = written.trim().replace(/^(-?\d+)\.0+$/, '$1');
  if (label !== '' && !MISSING.test(label)) return { label, written };
  const got = value === undefined ? 'no `label`' : `label ${JSON.stringify(value)}`;
  throw new UserError(`got ${got}, expected a string or an integer in \`label\``);
}
