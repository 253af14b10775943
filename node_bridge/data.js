/**
 * Labelled texts. A text is `text`, or a pair `sentence1` and `sentence2`; `label` is a string or
 * an integer, and 1 and "1" are the same label.
 */
import { UserError } from './errors.js';
import { readRows } from './rows.js';

/**
 * @typedef {{text: string, pair?: string}} Text one text, or two that are read together
 * @typedef {Text & {label: string, line: number}} Example
 * @typedef {'single' | 'pair'} Task
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
    const where = `${path}:${line}`;
    yield { ...textOf(fields, where), label: labelOf(fields, where), line };
  }
}

/**
 * The text of an object, or its pair.
 *
 * @param {Record<string, unknown>} fields
 * @param {string} where named in errors
 * @returns {Text}
 */
export function textOf(fields, where) {
  if (fields.text === undefined && fields.sentence1 !== undefined) {
    return { text: string(fields, 'sentence1', where), pair: string(fields, 'sentence2', where) };
  }
  return { text: string(fields, 'text', where) };
}

/** @param {Text} text @returns {Task} */
export function taskOf({ pair }) {
  return pair === undefined ? 'single' : 'pair';
}

/** @param {Record<string, unknown>} fields @param {string} name @param {string} where */
function string(fields, name, where) {
  const value = fields[name];
  if (typeof value === 'string') return value;
  const got = value === undefined ? `fields ${Object.keys(fields).join(', ') || '(none)'}` : JSON.stringify(value);
  throw new UserError(
    `${where}: got ${got}, expected \`${name}\` to be a string (a text is \`text\`, or \`sentence1\` and \`sentence2\`)`,
  );
}

/** @param {Record<string, unknown>} fields @param {string} where */
function labelOf({ label }, where) {
  if ((typeof label === 'string' && label !== '') || Number.isSafeInteger(label)) return String(label);
  const got = label === undefined ? 'no `label`' : `label ${JSON.stringify(label)}`;
  throw new UserError(`${where}: got ${got}, expected a string or an integer in \`label\``);
}
