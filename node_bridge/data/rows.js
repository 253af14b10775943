/**
 * Reads the rows of a data file: JSON lines, a JSON array of objects, or a table with tabs, commas or
 * semicolons.
 */
import { withLocation, UserError } from '../support/errors.js';
import { describeColumns } from './columns.js';
import { DEFAULT_ENCODING } from './encodings.js';
import { openContents } from './file_contents.js';
import { ObjectReader } from './json_rows.js';
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
  const { kind, lineEnd, contents } = await openContents(path, layout.encoding ?? DEFAULT_ENCODING);
  try {
    if (kind === 'table') yield* readTableRows(contents, { path, lineEnd, ...layout }, onColumns);
    else yield* readJsonRows(contents, path, layout, onColumns);
  } finally {
    await contents.return(undefined);
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
