/**
 * Splits a stream of bytes into lines. Only \n ends a line, and invalid bytes are an error, never U+FFFD.
 */
import { catchUserError, withLocation, UserError } from '../support/errors.js';
import { DEFAULT_ENCODING, decodeBytes, decodeChunks, hasByteLines, checkEncoding } from './encodings.js';

/** The longest line in bytes: five million Chinese characters. A line without end would use up the memory. */
export const MAX_LINE_BYTES = 2 ** 24;

/**
 * @typedef {object} LineFormat of the lines
 * @property {string} [encoding] `utf-8` by default, see encodings.js
 * @property {'\n' | '\r'} [lineEnd] `\n` by default
 */

/**
 * @param {AsyncIterable<Uint8Array>} source
 * @param {string} name what an error calls the source
 * @param {LineFormat} [format]
 * @returns {AsyncGenerator<string>} a last line without line end counts
 * @throws {UserError} a line has invalid bytes, or the source is in another encoding
 */
export async function* readLines(source, name, format) {
  let number = 0;
  for await (const line of readLinesOrErrors(source, name, format)) {
    number += 1;
    yield withLocation(`${name}:${number}`, () => {
      if (line instanceof Error) throw line;
      return line;
    });
  }
}

/**
 * Reads lines and goes on after a line that cannot be decoded.
 *
 * @param {AsyncIterable<Uint8Array>} source
 * @param {string} name what an error calls the source
 * @param {LineFormat} [format]
 * @returns {AsyncGenerator<string | UserError>} a last line without line end counts. An error for
 *   a line that cannot be decoded, or has more than MAX_LINE_BYTES bytes
 * @throws {UserError} the source is in another encoding, or is invalid UTF-16, which must be decoded
 *   before it has lines
 */
export async function* readLinesOrErrors(source, name, { encoding = DEFAULT_ENCODING, lineEnd = '\n' } = {}) {
  for await (const bytes of splitByteLines(toLineBytes(source, name, encoding), lineEnd.charCodeAt(0))) {
    yield bytes === TOO_LONG
      ? createTooLongError()
      : catchUserError(() => decodeBytes(bytes, hasByteLines(encoding) ? encoding : 'utf-8'));
  }
}

/**
 * Detects what ends the lines of a file: `\r`, as on old Macs, if there is no `\n` in it.
 *
 * @param {AsyncIterable<Uint8Array>} source
 * @param {string} name
 * @param {string} encoding
 * @returns {Promise<'\n' | '\r'>}
 */
export async function detectLineEnd(source, name, encoding) {
  let hasReturn = false;
  for await (const chunk of toLineBytes(source, name, encoding)) {
    if (chunk.includes(10)) return '\n';
    hasReturn ||= chunk.includes(13);
  }
  return hasReturn ? '\r' : '\n';
}

/** Converts a stream so that byte 10 always means a line end. @param {AsyncIterable<Uint8Array>} source @param {string} name @param {string} encoding */
async function* toLineBytes(source, name, encoding) {
  const checked = checkEncoding(source, name, encoding);
  if (hasByteLines(encoding)) yield* checked;
  else for await (const text of decodeChunks(checked, name, encoding)) yield Buffer.from(text, 'utf8');
}

/** Marks a line that is too long; its bytes are dropped. */
const TOO_LONG = Buffer.alloc(0);

function createTooLongError() {
  return new UserError(`the line has more than ${MAX_LINE_BYTES} bytes, expected at most so many; does it lack line ends?`);
}

/** @param {AsyncIterable<Uint8Array>} source @param {number} end @returns {AsyncGenerator<Buffer>} TOO_LONG for a line that is too long */
async function* splitByteLines(source, end) {
  /** @type {Uint8Array[]} */
  let parts = [];
  let size = 0;
  const add = (/** @type {Uint8Array} */ part) => {
    size += part.length;
    if (size <= MAX_LINE_BYTES) parts.push(part);
    else parts = [];
  };
  for await (const chunk of source) {
    let start = 0;
    for (let at = chunk.indexOf(end); at !== -1; at = chunk.indexOf(end, start)) {
      add(chunk.subarray(start, at));
      yield size > MAX_LINE_BYTES ? TOO_LONG : Buffer.concat(parts);
      [parts, size] = [[], 0];
      start = at + 1;
    }
    if (start < chunk.length) add(chunk.subarray(start));
  }
  if (size > 0) yield size > MAX_LINE_BYTES ? TOO_LONG : Buffer.concat(parts);
}
