/** Texts on stdin: a line each, or with --jsonl an object each. */
import { attempted, located } from './errors.js';
import { ObjectReader } from './json_line.js';
import { attemptedLines } from './lines.js';
import { say } from './printing.js';
import { textOf } from './text.js';

/**
 * @typedef {import('./errors.js').UserError} UserError
 * @typedef {import('./text.js').Text & {others?: Record<string, unknown>}} StdinText `others` are the
 *   object's other fields
 *
 * @typedef {object} StdinFormat
 * @property {string} [encoding] `utf-8` by default, see encodings.js
 * @property {import('./columns.js').Columns} [columns] of objects, by name; by default found by
 *   their usual names
 */

/**
 * @param {boolean} jsonl lines are objects with `text`, or `sentence1` and `sentence2`, or other
 *   usual names for these
 * @param {StdinFormat} [format]
 * @returns {AsyncGenerator<StdinText | UserError>} for each line its text, or why it holds none
 * @throws {UserError} all of it is in another encoding
 */
export async function* textsOfStdin(jsonl, { encoding, columns } = {}) {
  if (process.stdin.isTTY) say('Type a text a line; end with Ctrl-D.');
  const objects = new ObjectReader(columns, false);
  for await (const line of attemptedLines(process.stdin, 'stdin', { encoding })) {
    yield line instanceof Error ? line : attempted(() => (jsonl ? textOfObject(line, objects) : { text: line }));
  }
}

/**
 * What is made of each text on stdin, until the first that is broken.
 *
 * @template T
 * @param {boolean} jsonl see `textsOfStdin`
 * @param {(text: StdinText) => T} make
 * @param {StdinFormat} [format]
 * @returns {AsyncGenerator<T>}
 * @throws {UserError} a line that holds no text, or one that `make` does not take, by its number
 */
export async function* eachOfStdin(jsonl, make, format) {
  let line = 0;
  for await (const text of textsOfStdin(jsonl, format)) {
    line += 1;
    yield located(`stdin:${line}`, () => {
      if (text instanceof Error) throw text;
      return make(text);
    });
  }
}

/** @param {string} line @param {ObjectReader} objects @returns {StdinText} */
function textOfObject(line, objects) {
  // A file may begin with a byte order mark, and files may have been joined.
  const { fields, others } = objects.read(line.replace(/^\uFEFF/, ''));
  return { ...textOf(fields), others };
}
