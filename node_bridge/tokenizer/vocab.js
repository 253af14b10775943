/**
 * A bundle's `vocab.txt`: one token a line, the id is the line's number counted from 0.
 * The exporter (export/tokenizer/vocab.py) has checked the file; both must see the same lines.
 */
import { UserError } from '../errors.js';

/** The largest vocabs in use have a million lines. */
export const MOST_LINES = 2 ** 22;

/**
 * Only \n ends a line, a final \n may be missing, and \r\n counts where every line ends so.
 *
 * @param {Uint8Array} bytes
 * @returns {string[]} the tokens in the order of their ids
 * @throws {UserError} invalid UTF-8, or more lines than any vocab has
 */
export function parseVocab(bytes) {
  let text;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new UserError('vocab.txt is not valid UTF-8; export the bundle again');
  }
  let ends = 0;
  for (const byte of bytes) ends += Number(byte === 0x0a);
  if (ends > MOST_LINES) throw new UserError(`vocab.txt has ${ends} lines, expected at most ${MOST_LINES}`);
  const lines = text.split('\n');
  if (lines.at(-1) === '') lines.pop();
  const ended = text.endsWith('\n') ? lines : lines.slice(0, -1);
  if (ended.length > 0 && ended.every((line) => line.endsWith('\r'))) {
    return lines.map((line) => (line.endsWith('\r') ? line.slice(0, -1) : line));
  }
  return lines;
}
