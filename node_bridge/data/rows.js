/**
 * Reads the rows of a data file: JSON lines, a JSON array of objects, or a table with tabs, commas or
 * semicolons. The content decides, not the file name. Only a few lines are in memory.
 */
import { isNotFoundError } from '../support/checked_file.js';
import { withLocation, UserError } from '../support/errors.js';
import { streamInput } from '../support/files.js';
import { describeColumns } from './columns.js';
import { DEFAULT_ENCODING, decodeChunks, checkEncoding } from './encodings.js';
import { splitJsonArray, ObjectReader } from './json_rows.js';
import { detectLineEnd, readLines } from './lines.js';
import { readTableRows } from './table.js';

/**
 * @typedef {import('./columns.js').Columns} Columns
 * @typedef {import('./table.js').NumberedLine} NumberedLine
 *
 * @typedef {object} FileLayout what the user says about a file
 * @property {string} [encoding] `utf-8` by default, see encodings.js
 * @property {Columns} [columns] by default they are found by their usual names
 * @property {boolean} [hasHeader] whether the first line of a table names its columns; true by
 *   default
 *
 * @typedef {object} DataRow
 * @property {Record<string, unknown>} fields by this program's names, see columns.js; an object
 *   without a text has its own names
 * @property {number} line from 1
 */

/**
 * @param {string} path
 * @param {FileLayout} [layout]
 * @param {(line: string) => void} [onColumns] receives one message about the columns, if they have
 *   other names than this program's or there are more columns
 * @returns {AsyncGenerator<DataRow>}
 * @throws {UserError} the file is missing, its JSON is broken, a row does not fit the header, the
 *   columns are not understood, or the encoding is another one
 */
export async function* readDataRows(path, layout = {}, onColumns = () => {}) {
  const { encoding = DEFAULT_ENCODING } = layout;
  const kind = await detectFormat(path, encoding);
  if (kind === 'array') {
    const text = decodeChunks(checkEncoding(openDataFile(path), path, encoding), path, encoding);
    yield* readJsonRows(splitJsonArray(text, path), path, layout, onColumns);
    return;
  }
  const lineEnd = await detectLineEnd(openDataFile(path), path, encoding);
  const source = numberLines(path, { encoding, lineEnd });
  try {
    if (kind === 'lines') yield* readJsonRows(source, path, layout, onColumns);
    else yield* readTableRows(source, { path, lineEnd, ...layout }, onColumns);
  } finally {
    await source.return(undefined);
  }
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
 * @returns {Promise<'array' | 'lines' | 'table'>} `array` and `lines` are JSON
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

/**
 * @param {AsyncIterable<NumberedLine>} source one JSON object per line
 * @param {string} path for messages
 * @param {FileLayout} layout
 * @param {(line: string) => void} onColumns see `readDataRows`
 * @returns {AsyncGenerator<DataRow>}
 */
async function* readJsonRows(source, path, { columns, hasHeader = true }, onColumns) {
  if (!hasHeader || columns?.order !== undefined) {
    throw new UserError(
      `${path} holds JSON, whose fields have names: got ${hasHeader ? '--columns by order' : '--no-header'}, ` +
        'expected --columns by name if any, such as review=text,stars=label',
    );
  }
  const objects = new ObjectReader(columns, true);
  let isFirst = true;
  for await (const { content, line } of source) {
    if (content.trim() === '') continue;
    const { fields, roles, others } = withLocation(`${path}:${line}`, () => objects.read(content));
    if (isFirst && roles !== undefined)
      onColumns(describeColumns(path, roles, [...Object.values(roles), ...Object.keys(others)]));
    isFirst = false;
    yield { fields, line };
  }
}
