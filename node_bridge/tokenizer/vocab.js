/**
 * A bundle's `vocab.txt`: one token a line, the id is the line's number counted from 0.
 * The exporter (export/tokenizer/vocab.py) has checked the file; both must see the same lines.
 */
import { UserError } from '../errors.js';

/**
 * Only \n ends a line, a final \n may be missing, and \r\n counts where every line ends so.
 *
 * @param {Uint8Array} bytes
 * @returns {string[]} the tokens in the order of their ids
 * @throws {UserError} invalid UTF-8
 */
export function parseVocab(bytes) {
  let text;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new UserError('vocab.txt is not valid UTF-8; export the bundle again');
  }
  const lines = text.split('\n');
  if (lines.at(-1) === '') lines.pop();
  const ended = text.endsWith('\n') ? lines : lines.slice(0, -1);
  if (ended.length > 0 && ended.every((line) => line.endsWith('\r'))) {
    return lines.map((line) => (line.endsWith('\r') ? line.slice(0, -1) : line));
  }
  return lines;
}
