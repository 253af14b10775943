/**
 * Lines of a stream of bytes: only \n ends one, and invalid bytes are an error, never U+FFFD.
 */
import { catchUserError, withLocation, UserError } from '../support/errors.js';
import { decodeBytes, decodeChunks, hasByteLines, checkEncoding } from './encodings.js';

/** Bytes of a line: a text of five million Chinese characters. One that never ends would take all memory. */
export const MAX_LINE_BYTES = 2 ** 24;

/**
 * @typedef {object} LineFormat of the lines
 * @property {string} [encoding] `utf-8` by default, see encodings.js
 * @property {'\n' | '\r'} [lineEnd] `\n` by default
 */

/**
 * @param {AsyncIterable<Uint8Array>} source
 * @param {string} name what to call it in an error
 * @param {LineFormat} [format]
 * @returns {AsyncGenerator<string>} a last line without an end counts
 * @throws {UserError} invalid bytes, by line; another encoding as a whole
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
 * Lines of which one that cannot be decoded is no end of the others.
 *
 * @param {AsyncIterable<Uint8Array>} source
 * @param {string} name what to call it in an error
 * @param {LineFormat} [format]
 * @returns {AsyncGenerator<string | UserError>} a last line without an end counts; an error too
 *   for a line of more than LONGEST_LINE bytes, of which no more are ever held
 * @throws {UserError} another encoding as a whole; invalid UTF-16, which has no lines before it is
 *   decoded
 */
export async function* readLinesOrErrors(source, name, { encoding = 'utf-8', lineEnd = '\n' } = {}) {
  for await (const bytes of splitByteLines(toLineBytes(source, name, encoding), lineEnd.charCodeAt(0))) {
    yield bytes === TOO_LONG
      ? createTooLongError()
      : catchUserError(() => decodeBytes(bytes, hasByteLines(encoding) ? encoding : 'utf-8'));
  }
}

/**
 * What ends the lines of a whole file: `\r` where there is no `\n` in it, as old Macs wrote.
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

/** Bytes in which 10 is a line end and nothing else. @param {AsyncIterable<Uint8Array>} source @param {string} name @param {string} encoding */
async function* toLineBytes(source, name, encoding) {
  const checked = checkEncoding(source, name, encoding);
  if (hasByteLines(encoding)) yield* checked;
  else for await (const text of decodeChunks(checked, name, encoding)) yield Buffer.from(text, 'utf8');
}

/** What stands for a line of which the bytes were not kept. */
const TOO_LONG = Buffer.alloc(0);

function createTooLongError() {
  return new UserError(`the line has more than ${MAX_LINE_BYTES} bytes, expected at most so many; does it lack line ends?`);
}

/** @param {AsyncIterable<Uint8Array>} source @param {number} end @returns {AsyncGenerator<Buffer>} TOO_LONG itself for a line that is */
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
