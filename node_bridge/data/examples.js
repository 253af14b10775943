/**
 * Reads labelled examples. A text is `text`, or a pair `sentence1` and `sentence2`; `label` is a string or
 * an integer, and 1 and "1" are the same label.
 */
import { withLocation, UserError } from '../support/errors.js';
import { readDataRows } from './rows.js';
import { readTextFields, taskOf } from './text.js';

/** What programs write for a missing label. */
const MISSING = /^(nan|null|<na>|#n\/a)$/i;

/**
 * @typedef {import('./text.js').Text & {label: string, written: string, line: number}} Example `written` is the label as
 *   the file has it
 */

/**
 * Reads one example after another; never more than one line is in memory.
 *
 * @param {string} path
 * @param {import('./rows.js').FileLayout} [layout]
 * @param {(line: string) => void} [onColumns] receives a message about the columns, see rows.js
 * @returns {AsyncGenerator<Example>}
 * @throws {UserError} broken JSON, a missing text or label, or invalid bytes; names the line
 */
export function readExamples(path, layout, onColumns) {
  return readTexts(path, layout, readLabel, onColumns);
}

/**
 * Reads texts with what is true of them.
 *
 * @template {object} T
 * @param {string} path
 * @param {import('./rows.js').FileLayout | undefined} layout
 * @param {(value: unknown) => T} readTarget reads the field `label`; throws a UserError if it is no such target
 * @param {(line: string) => void} [onColumns] receives a message about the columns, see rows.js
 * @returns {AsyncGenerator<import('./text.js').Text & T & {line: number}>}
 * @throws {UserError} broken JSON, a missing text, no such target, or invalid bytes; names the line
 */
export async function* readTexts(path, layout, readTarget, onColumns) {
  for await (const { fields, line } of readDataRows(path, layout, onColumns)) {
    yield withLocation(`${path}:${line}`, () => ({ ...readTextFields(fields), ...readTarget(fields.label), line }));
  }
}

/**
 * Refuses a text of another task than those before it.
 *
 * @param {string} path
 * @param {import('./text.js').Text & {line: number}} example
 * @param {import('./text.js').Task} task
 * @throws {UserError} names the line
 */
export function assertSameTask(path, example, task) {
  if (taskOf(example) === task) return;
  throw new UserError(
    `${path}:${example.line}: got a ${taskOf(example)} text after ${task} ones; ` +
      'expected either `text` or `sentence1` and `sentence2` throughout',
  );
}

/** What an error says of a file without examples. @param {string} path */
export function createEmptyFileError(path) {
  return new UserError(`${path} is empty; expected JSON lines like {"text": "…", "label": "…"}`);
}

/** @param {unknown} value */
function readLabel(value) {
  const written = typeof value === 'string' || Number.isSafeInteger(value) ? String(value) : '';
  const label = normalizeLabel(written);
  if (label !== '' && !MISSING.test(label)) return { label, written };
  const got = value === undefined ? 'no `label`' : `label ${JSON.stringify(value)}`;
  throw new UserError(`got ${got}, expected a string or an integer in \`label\``);
}

/**
 * Removes white space around a label. `1.0` becomes `1`: pandas writes integers so if any value of the
 * column is missing. In JSON, 1.0 is 1 already.
 *
 * @param {string} written
 */
export function normalizeLabel(written) {
  return written.trim().replace(/^(-?\d+)\.0+$/, '$1');
}
