/**
 * What reaches the terminal. Names, labels, paths and messages come from files and people that may
 * mean harm, and a log of GitHub Actions obeys every line that starts with `::`. So nothing else in
 * this room writes to stdout or stderr (tests/node/printing.test.js looks): a line is cleaned here,
 * and JSON is written so that it is still the same JSON.
 */
import { once } from 'node:events';

/** C0, DEL, C1, ends of lines, and marks that turn the direction of what is read. */
const INVISIBLE = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;
/** Of these JSON.stringify escapes the first 32 alone. */
const INVISIBLE_IN_JSON = /[\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;
/** A command of GitHub's or Azure's logs anywhere in a line, such as `##[error]`. */
const COMMAND = /##(?=\w*\[)/g;
/** A command of GitHub's logs at the start of a line. */
const COMMAND_AT_START = /^(\s*):(?=:)/;
/** Characters of a line; one that quotes a whole file says no more than its two ends. */
const MAX_LENGTH = 2000;
const SHORT_ESCAPES = /** @type {Record<string, string>} */ ({ '\n': '\\n', '\r': '\\r', '\t': '\\t' });

/**
 * A text of others as part of a line: what a terminal would obey is shown as an escape, and a long
 * text loses its middle.
 *
 * @param {string} text
 * @param {number} [longest] characters that are kept
 */
export function toPrintable(text, longest = MAX_LENGTH) {
  return shorten(text, longest).replace(INVISIBLE, escapeCharacter).replace(COMMAND, '#\\u0023');
}

/** A whole line of a log, which is no command of it either. @param {string} text */
export function toPrintableLine(text) {
  return toPrintable(text).replace(COMMAND_AT_START, '$1\\u003a');
}

/**
 * JSON in one line of plain characters: a reader gets the very same value.
 *
 * @param {unknown} value
 */
export function toJsonLine(value) {
  return JSON.stringify(value).replace(INVISIBLE_IN_JSON, toHexEscape).replace(COMMAND, '#\\u0023');
}

/** Talk, on stderr; an empty line is left out. @param {...string} lines */
export function printMessages(...lines) {
  for (const line of lines) if (line !== '') process.stderr.write(`${toPrintableLine(line)}\n`);
}

/** A table or another result, on stdout. @param {...string} lines each without its end */
export function printLines(...lines) {
  process.stdout.write(lines.map((line) => `${toPrintableLine(line)}\n`).join(''));
}

/** Results as JSON lines on stdout, no faster than their reader takes them. @param {...unknown} values */
export async function printJson(...values) {
  if (!process.stdout.write(values.map((value) => `${toJsonLine(value)}\n`).join(''))) await once(process.stdout, 'drain');
}

/** The two ends of a long text: the first says what it is, the last often how to mend it. @param {string} text @param {number} longest */
function shorten(text, longest) {
  if (text.length <= longest) return text;
  const end = Math.floor(longest / 4);
  const omitted = text.length - longest;
  return `${text.slice(0, longest - end)} … (${omitted} characters left out) … ${text.slice(-end)}`.replace(
    /\p{Surrogate}/gu,
    '\ufffd',
  );
}

/** @param {string} character */
function escapeCharacter(character) {
  return SHORT_ESCAPES[character] ?? toHexEscape(character);
}

/** As JSON writes it. @param {string} character of one unit */
function toHexEscape(character) {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
}
