/**
 * Reads labelled examples. A text is `text`, or a pair `sentence1` and `sentence2`; `label` is a string or
 * an integer, and 1 and "1" are the same label.
 */
import { withLocation, UserError } from '../support/errors.js';
import { readDataRows } from './rows.js';
import { readTextFields } from './text.js';

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
export async function* readExamples(path, layout, onColumns) {
  for await (const { fields, line } of readDataRows(path, layout, onColumns)) {
    yield withLocation(`${path}:${line}`, () => ({ ...readTextFields(fields), ...readLabel(fields), line }));
  }
}

/**
 * Reads a label. White space around it is removed, and `1.0` becomes `1`: pandas writes integers so if
 * any value of the column is missing. In JSON, 1.0 is 1 already.
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
