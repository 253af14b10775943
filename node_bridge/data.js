/**
 * Labelled texts. A text is `text`, or a pair `sentence1` and `sentence2`; `label` is a string or
 * an integer, and 1 and "1" are the same label.
 */
import { UserError, located } from './errors.js';
import { readRows } from './rows.js';
import { textOf } from './text.js';

/** What programs write in the place of a label that is missing. */
const MISSING = /^(nan|null|<na>|#n\/a)$/i;

/**
 * @typedef {import('./text.js').Text} Text
 * @typedef {Text & {label: string, written: string, line: number}} Example `written` is the label as
 *   it stands in the file
 */

/**
 * One example after another; never more than a line in memory.
 *
 * @param {string} path
 * @param {import('./rows.js').Layout} [layout]
 * @param {(line: string) => void} [onColumns] told which columns were taken, see rows.js
 * @returns {AsyncGenerator<Example>}
 * @throws {UserError} broken JSON, a missing text or label, invalid bytes: names the line
 */
export async function* readExamples(path, layout, onColumns) {
  for await (const { fields, line } of readRows(path, layout, onColumns)) {
    yield located(`${path}:${line}`, () => ({ ...textOf(fields), ...labelOf(fields), line }));
  }
}

/**
 * White space around a label is none of it, and 1.0 is 1: so pandas writes integers where a value of
 * the column is missing. JSON's own 1.0 is 1 when it is read.
 *
 * @param {Record<string, unknown>} fields
 */
function labelOf({ label: given }) {
  const written = typeof given === 'string' || Number.isSafeInteger(given) ? String(given) : '';
  const label = written.trim().replace(/^(-?\d+)\.0+$/, '$1');
  if (label !== '' && !MISSING.test(label)) return { label, written };
  const got = given === undefined ? 'no `label`' : `label ${JSON.stringify(given)}`;
  throw new UserError(`got ${got}, expected a string or an integer in \`label\``);
}
