/** Checks the texts that come in: single texts and pairs. */
import { toOneLine, UserError } from '../support/errors.js';

/**
 * @typedef {{text: string, pair?: string}} Text a single text, or a pair
 * @typedef {string | Text | {sentence1: string, sentence2: string}} GivenText the forms that the library takes
 *
 * @typedef {object} NamedText with the field names of data files: either `text`, or the other two
 * @property {string} [text]
 * @property {string} [sentence1]
 * @property {string} [sentence2]
 *
 * @typedef {'single' | 'pair'} Task
 */

/**
 * @param {GivenText} input
 * @returns {Text}
 * @throws {UserError} it has another form
 */
export function parseText(input) {
  if (typeof input === 'string') return { text: assertWellFormed(input) };
  if (typeof input !== 'object' || input === null) {
    throw new UserError(
      `got ${String(input)} (${typeof input}), expected a string, or an object with \`text\`, or \`sentence1\` and \`sentence2\``,
    );
  }
  const fields = /** @type {Record<string, unknown>} */ (input);
  return fields.pair === undefined
    ? readTextFields(fields)
    : { text: readString(fields, 'text'), pair: readString(fields, 'pair') };
}

/**
 * Reads the text, or the pair, of an object from a file.
 *
 * @param {Record<string, unknown>} fields
 * @returns {Text}
 * @throws {UserError} a field is missing, or is not a string
 */
export function readTextFields(fields) {
  if (fields.text === undefined && fields.sentence1 !== undefined) {
    return { text: readString(fields, 'sentence1'), pair: readString(fields, 'sentence2') };
  }
  return { text: readString(fields, 'text') };
}

/** @param {Text} text @returns {Task} */
export function taskOf({ pair }) {
  return pair === undefined ? 'single' : 'pair';
}

/**
 * @param {Text} text
 * @param {Task | undefined} task undefined: both are right
 * @returns {Text} the same text
 * @throws {UserError} the text is of the other task
 */
export function assertTask(text, task) {
  if (task === undefined || taskOf(text) === task) return text;
  throw new UserError(
    task === 'pair'
      ? 'got a single text, expected a pair, `sentence1` and `sentence2`, as the classifier was trained on'
      : 'got a pair, expected a single text, as the classifier was trained on',
  );
}

/** @param {Text} text @returns {NamedText} */
export function toNamedText({ text, pair }) {
  return pair === undefined ? { text } : { sentence1: text, sentence2: pair };
}

/** @param {Record<string, unknown>} fields @param {string} name */
function readString(fields, name) {
  const value = fields[name];
  if (typeof value === 'string') return assertWellFormed(value);
  const got = value === undefined ? `fields ${Object.keys(fields).join(', ') || '(none)'}` : JSON.stringify(value);
  throw new UserError(
    `got ${toOneLine(got.slice(0, 60))}, expected \`${name}\` to be a string (a text is \`text\`, or \`sentence1\` and \`sentence2\`)`,
  );
}

/** Refuses a lone surrogate. The tokenizer does too, but cannot name the line. @param {string} value */
function assertWellFormed(value) {
  const at = value.search(/\p{Surrogate}/u);
  if (at === -1) return value;
  throw new UserError(`the text has a lone surrogate at position ${at}, expected whole characters`);
}
