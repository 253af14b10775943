/**
 * Opens a data file by what it holds: JSON lines, a JSON array of objects, or other lines. The content
 * decides, not the file name. Only a few lines are in memory.
 */
import { isNotFoundError } from '../support/checked_file.js';
import { UserError } from '../support/errors.js';
import { streamInput } from '../support/files.js';
import { checkEncoding, decodeChunks } from './encodings.js';
import { splitJsonArray } from './json_rows.js';
import { detectLineEnd, readLines } from './lines.js';

/**
 * @typedef {import('./table.js').NumberedLine} NumberedLine
 *
 * @typedef {object} FileContents
 * @property {'array' | 'lines' | 'table'} kind `array` and `lines` are JSON
 * @property {string} lineEnd of `lines` and `table`
 * @property {AsyncGenerator<NumberedLine, undefined>} contents the lines without byte order mark, or the
 *   elements of the array
 */

/**
 * @param {string} path
 * @param {string} encoding see encodings.js
 * @returns {Promise<FileContents>}
 * @throws {UserError} the file is missing or no plain file, or has another encoding; `contents` throws it
 *   for invalid bytes and a broken array
 */
export async function openContents(path, encoding) {
  const kind = await detectFormat(path, encoding);
  if (kind === 'array') return { kind, lineEnd: '\n', contents: splitArray(path, encoding) };
  const lineEnd = await detectLineEnd(openDataFile(path), path, encoding);
  return { kind, lineEnd, contents: numberLines(path, { encoding, lineEnd }) };
}

/** Opens a data file; not a pipe, since a data file is read several times. @param {string} path @throws {UserError} */
function openDataFile(path) {
  try {
    return streamInput(path);
  } catch (error) {
    if (!isNotFoundError(error)) throw error;
    throw new UserError(`${path} is not a file; \`nox -s export\` makes the default data`);
  }
}

/**
 * Detects the format by the first two characters that are no white space, since a review may begin
 * with a bracket too, as in `[微笑]`. Invalid bytes do not matter here; they are reported later.
 *
 * @param {string} path
 * @param {string} encoding
 * @returns {Promise<FileContents['kind']>}
 */
async function detectFormat(path, encoding) {
  let start = '';
  for await (const chunk of decodeChunks(checkEncoding(openDataFile(path), path, encoding), path, encoding, false)) {
    start = (start + chunk).replace(/[\s\uFEFF]+/gu, '').slice(0, 2);
    if (start.length === 2) break;
  }
  if (/^\[[[{"\]]/.test(start)) return 'array';
  return /^\{["'}]/.test(start) ? 'lines' : 'table';
}

/** @param {string} path @param {string} encoding @returns {AsyncGenerator<NumberedLine, undefined>} */
async function* splitArray(path, encoding) {
  const text = decodeChunks(checkEncoding(openDataFile(path), path, encoding), path, encoding);
  yield* splitJsonArray(text, path);
}

/**
 * @param {string} path
 * @param {import('./lines.js').LineFormat} format
 * @returns {AsyncGenerator<NumberedLine, undefined>} without byte order mark
 */
async function* numberLines(path, format) {
  let line = 0;
  for await (const content of readLines(openDataFile(path), path, format)) {
    line += 1;
    yield { content: line === 1 ? content.replace(/^\uFEFF/, '') : content, line };
  }
}
