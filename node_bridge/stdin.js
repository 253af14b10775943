/** Texts on stdin: a line each, or with --jsonl an object each. */
import { attempted, located } from './errors.js';
import { parseObject } from './json_line.js';
import { byteLines, decoded } from './lines.js';
import { textOf } from './text.js';

/**
 * @typedef {import('./errors.js').UserError} UserError
 * @typedef {import('./text.js').Text} Text
 */

/**
 * @param {boolean} jsonl lines are objects with `text`, or `sentence1` and `sentence2`
 * @returns {AsyncGenerator<Text | UserError>} for each line its text, or why it holds none
 */
export async function* textsOfStdin(jsonl) {
  if (process.stdin.isTTY) process.stderr.write('Type a text a line; end with Ctrl-D.\n');
  for await (const bytes of byteLines(process.stdin)) yield attempted(() => textIn(decoded(bytes), jsonl));
}

/**
 * What is made of each text on stdin, until the first that is broken.
 *
 * @template T
 * @param {boolean} jsonl see `textsOfStdin`
 * @param {(text: Text) => T} make
 * @returns {AsyncGenerator<T>}
 * @throws {UserError} a line that holds no text, or one that `make` does not take, by its number
 */
export async function* eachOfStdin(jsonl, make) {
  let line = 0;
  for await (const text of textsOfStdin(jsonl)) {
    line += 1;
    yield located(`stdin:${line}`, () => {
      if (text instanceof Error) throw text;
      return make(text);
    });
  }
}

/** @param {string} line @param {boolean} jsonl @returns {Text} */
function textIn(line, jsonl) {
  if (!jsonl) return { text: line };
  // A file may begin with a byte order mark, and files may have been joined.
  return textOf(parseObject(line.replace(/^\uFEFF/, '')));
}
