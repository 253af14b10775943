/**
 * Lines of a stream of UTF-8: only \n ends one, and invalid bytes are an error, never U+FFFD.
 */
import { UserError } from './errors.js';

/**
 * @param {AsyncIterable<Uint8Array>} source
 * @param {string} [name] what to call it in an error
 * @returns {AsyncGenerator<string>} a last line without \n counts
 * @throws {UserError} invalid UTF-8, by line
 */
export async function* lines(source, name = 'stdin') {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  /** @type {Uint8Array[]} */
  let parts = [];
  let number = 0;
  const line = () => {
    number += 1;
    try {
      return decoder.decode(Buffer.concat(parts));
    } catch {
      throw new UserError(`${name}:${number}: invalid UTF-8; convert the file to UTF-8`);
    } finally {
      parts = [];
    }
  };
  for await (const chunk of source) {
    let start = 0;
    for (let end = chunk.indexOf(10); end !== -1; end = chunk.indexOf(10, start)) {
      parts.push(chunk.subarray(start, end));
      yield line();
      start = end + 1;
    }
    if (start < chunk.length) parts.push(chunk.subarray(start));
  }
  if (parts.length > 0) yield line();
}
