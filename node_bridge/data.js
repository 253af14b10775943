/**
 * Labelled texts. A text is `text`, or a pair `sentence1` and `sentence2`; `label` is a string or
 * an integer, and 1 and "1" are the same label.
 */
import { UserError, located } from './errors.js';
import { readRows } from './rows.js';
import { textOf } from './text.js';

/**
 * @typedef {import('./text.js').Text} Text
 * @typedef {Text & {label: string, line: number}} Example
 */

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

/** @param {Record<string, unknown>} fields */
function labelOf({ label }) {
  if ((typeof label === 'string' && label !== '') || Number.isSafeInteger(label)) return String(label);
  const got = label === undefined ? 'no `label`' : `label ${JSON.stringify(label)}`;
  throw new UserError(`got ${got}, expected a string or an integer in \`label\``);
}
