/**
 * Lines of a stream of UTF-8: only \n ends one, and invalid bytes are an error, never U+FFFD.
 */
import { isUtf8 } from 'node:buffer';

import { UserError, located } from './errors.js';

/**
 * @param {AsyncIterable<Uint8Array>} source
 * @param {string} name what to call it in an error
 * @returns {AsyncGenerator<string>} a last line without \n counts
 * @throws {UserError} invalid UTF-8, by line
 */
export async function* lines(source, name) {
  let number = 0;
  for await (const bytes of byteLines(source)) {
    number += 1;
    yield located(`${name}:${number}`, () => decoded(bytes));
  }
}

/**
 * Lines that are not decoded yet, so that one that cannot be is no end of the others.
 *
 * @param {AsyncIterable<Uint8Array>} source
 * @returns {AsyncGenerator<Buffer>} a last line without \n counts
 */
export async function* byteLines(source) {
  /** @type {Uint8Array[]} */
  let parts = [];
  for await (const chunk of source) {
    let start = 0;
    for (let end = chunk.indexOf(10); end !== -1; end = chunk.indexOf(10, start)) {
      parts.push(chunk.subarray(start, end));
      yield Buffer.concat(parts);
      parts = [];
      start = end + 1;
    }
    if (start < chunk.length) parts.push(chunk.subarray(start));
  }
  if (parts.length > 0) yield Buffer.concat(parts);
}

/**
 * @param {Buffer} bytes
 * @throws {UserError} invalid UTF-8
 */
export function decoded(bytes) {
  if (isUtf8(bytes)) return bytes.toString('utf8');
  throw new UserError('invalid UTF-8; convert the file to UTF-8');
}
