/**
 * Makes untrusted text safe to print: names, labels, paths and messages may come from hostile files or
 * people, and a log of GitHub Actions obeys every line that starts with `::`. This file imports nothing
 * of Node: the tokenizer's errors need it, and the tokenizer runs in a browser too.
 */

/** C0, DEL, C1, line ends, and marks that change the direction of text. */
const INVISIBLE = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;
/** The same without the first 32, which JSON.stringify escapes. */
const INVISIBLE_IN_JSON = /[\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;
/** A command in a log of GitHub or Azure, anywhere in a line, such as `##[error]`. */
const COMMAND = /##(?=\w*\[)/g;
/** A command in a log of GitHub, at the start of a line. */
const COMMAND_AT_START = /^(\s*):(?=:)/;
/** The most characters of a line: a line may quote a whole file. */
const MAX_LENGTH = 2000;
const SHORT_ESCAPES = /** @type {Record<string, string>} */ ({ '\n': '\\n', '\r': '\\r', '\t': '\\t' });

/**
 * Makes a text safe as part of a line: control characters become escapes, and a long text loses its
 * middle.
 *
 * @param {string} text
 * @param {number} [longest] how many characters stay
 */
export function toPrintable(text, longest = MAX_LENGTH) {
  return shorten(text, longest).replace(INVISIBLE, escapeCharacter).replace(COMMAND, '#\\u0023');
}

/** The same for a whole line, which must not be a command of a log. @param {string} text */
export function toPrintableLine(text) {
  return toPrintable(text).replace(COMMAND_AT_START, '$1\\u003a');
}

/**
 * A value as one line of JSON without control characters; a reader gets the same value.
 *
 * @param {unknown} value
 */
export function toJsonLine(value) {
  return JSON.stringify(value).replace(INVISIBLE_IN_JSON, toHexEscape).replace(COMMAND, '#\\u0023');
}

/** Keeps both ends of a long text: the start says what it is, the end often how to fix it. @param {string} text @param {number} longest */
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

/** The escape that JSON has for a character. @param {string} character one UTF-16 unit */
function toHexEscape(character) {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
}
