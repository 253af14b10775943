/**
 * Labelled texts. A text is `text`, or a pair `sentence1` and `sentence2`; `label` is a string or
 * an integer, and 1 and "1" are the same label.
 */
import { UserError, located } from './errors.js';
import { readRows } from './rows.js';
import { taskOf, textOf } from './text.js';

/**
 * @typedef {import('./text.js').Text} Text
 * @typedef {Text & {label: string, line: number}} Example
 * @typedef {import('./text.js').Task} Task
 * @typedef {{path: string, task: Task, examples: Example[]}} Dataset
 */

/**
 * All of a file; no example is another task than the first.
 *
 * @param {string} path
 * @returns {Promise<Dataset>}
 * @throws {UserError} names the file and the line
 */
export async function loadDataset(path) {
  /** @type {Example[]} */
  const examples = [];
  for await (const example of readExamples(path)) {
    if (taskOf(example) !== taskOf(examples[0] ?? example)) {
      throw new UserError(
        `${path}:${example.line}: got a ${taskOf(example)} text after ${taskOf(examples[0])} ones; ` +
          'expected either `text` or `sentence1` and `sentence2` throughout',
      );
    }
    examples.push(example);
  }
  if (examples.length === 0) {
    throw new UserError(`${path} is empty; expected JSON lines like {"text": "…", "label": "…"}`);
  }
  return { path, task: taskOf(examples[0]), examples };
}

/**
 * One example after another; never more than a line in memory.
 *
 * @param {string} path
 * @returns {AsyncGenerator<Example>}
 * @throws {UserError} broken JSON, a missing text or label, invalid UTF-8: names the line
 */
export async function* readExamples(path) {
  for await (const { fields, line } of readRows(path)) {
    yield located(`${path}:${line}`, () => ({ ...textOf(fields), label: labelOf(fields), line }));
  }
}

/**
 * The labels of a data set to train on: whole numbers by value, else by code unit, so that the
 * order does not hang on the order of the file.
 *
 * @param {Dataset} dataset
 * @returns {string[]} at least two
 */
export function labelsOf({ path, examples }) {
  const labels = [...new Set(examples.map(({ label }) => label))].sort();
  if (labels.length === 1) {
    throw new UserError(
      `${path} has one label only, ${JSON.stringify(labels[0])}; a classifier needs two or more`,
    );
  }
  return labels.every((label) => /^-?\d+$/.test(label))
    ? labels.sort((a, b) => Number(a) - Number(b))
    : labels;
}

/**
 * Each example's label as its place in `labels`.
 *
 * @param {Dataset} dataset
 * @param {string[]} labels
 * @returns {Int32Array} int32[examples]
 * @throws {UserError} a label that training does not know
 */
export function targetsOf({ path, examples }, labels) {
  const places = new Map(labels.map((label, place) => [label, place]));
  return Int32Array.from(examples, ({ label, line }) => {
    const place = places.get(label);
    if (place === undefined) {
      throw new UserError(
        `${path}:${line}: got label ${JSON.stringify(label)}, expected one of the training ` +
          `data's: ${labels.join(', ')}`,
      );
    }
    return place;
  });
}

/** @param {Record<string, unknown>} fields */
function labelOf({ label }) {
  if ((typeof label === 'string' && label !== '') || Number.isSafeInteger(label)) return String(label);
  const got = label === undefined ? 'no `label`' : `label ${JSON.stringify(label)}`;
  throw new UserError(`got ${got}, expected a string or an integer in \`label\``);
}
