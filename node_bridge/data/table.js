/**
 * Reads the rows of a table with tabs, commas or semicolons, and with a header or names for its columns.
 */
import { catchUserError, withLocation, UserError } from '../support/errors.js';
import { describeColumns, findRoles, suggestOptions } from './columns.js';
import { MAX_LINE_BYTES } from './lines.js';

/** How many lines are read to find the separator. */
const SAMPLE_LINES = 50;
/** A tab comes first, since texts contain commas and semicolons. */
const SEPARATORS = ['\t', ',', ';'];

/**
 * @typedef {import('./columns.js').Columns} Columns
 * @typedef {import('./columns.js').Roles} Roles
 * @typedef {import('./rows.js').FileLayout} Layout
 * @typedef {import('./rows.js').DataRow} Row
 */

/**
 * @param {AsyncGenerator<NumberedLine, undefined>} source
 * @param {Layout & {path: string, lineEnd: string}} layout
 * @param {(line: string) => void} onColumns
 * @returns {AsyncGenerator<Row>}
 */
export async function* readTableRows(source, { path, lineEnd, columns = {}, hasHeader = true }, onColumns) {
  const sample = await takeFirst(source, SAMPLE_LINES);
  const tried = [];
  for (const separator of SEPARATORS) {
    const format = { path, separator, lineEnd };
    tried.push({ format, records: await readValidRecords(sample, format) });
  }
  const { format, records } = pickFormat(tried, columns);
  if (records.length === 0) return;
  const { order } = columns;
  if (!hasHeader && order === undefined) {
    throw new UserError(`${path} has no header as --no-header says, so its columns need names: ${suggestColumns(records)}`);
  }

  /** @type {Header | undefined} */
  let header;
  for await (const { cells, line } of readRecords(prepend(sample, source), format)) {
    const where = `${path}:${line}`;
    if (header === undefined) {
      header =
        order === undefined
          ? parseHeaderByName(cells, { where, columns, records })
          : parseHeaderByOrder(cells, { where, order, hasHeader });
      if (order === undefined) onColumns(describeColumns(path, header.names, cells));
      if (hasHeader) continue;
    }
    if (cells.length !== header.width) {
      const remedy = format.separator === '\t' ? '' : '; a text that has the separator in it needs quotes around it';
      throw new UserError(`${where}: got ${cells.length} columns, expected ${header.width} as ${header.source}${remedy}`);
    }
    const fields = Object.fromEntries(header.rolePositions.map(([role, i]) => [role, cells[i]]));
    if (header.label !== undefined && fields.label.trim() === header.label) {
      throw new UserError(
        `${where}: the label ${JSON.stringify(header.label)} stands in the first line too, so that one is data and no header; add --no-header`,
      );
    }
    yield { fields, line };
  }
}

/**
 * @typedef {object} Header
 * @property {[string, number][]} rolePositions each role and the index of its column
 * @property {number} width number of columns of each row
 * @property {string} source where the width comes from, for an error
 * @property {Roles} names of the columns with a role
 * @property {string} [label] the text in the label column of the first line; as a header it cannot be a
 *   label too
 */

/**
 * @param {string[]} cells of the first line
 * @param {{where: string, columns: Columns, records: string[][]}} options `records`: the first rows
 * @returns {Header}
 * @throws {UserError} a name is there twice, or the names are not understood
 */
function parseHeaderByName(cells, { where, columns, records }) {
  assertDistinct(cells, where);
  const names = withLocation(where, () => findHeaderRoles(cells, columns, records));
  const rolePositions = Object.entries(names).map(
    ([role, name]) => /** @type {[string, number]} */ ([role, cells.indexOf(name)]),
  );
  return { rolePositions, width: cells.length, source: `in the header: ${cells.join(', ')}`, names };
}

/**
 * @param {string[]} cells of the first line
 * @param {{where: string, order: string[], hasHeader: boolean}} options
 * @returns {Header}
 * @throws {UserError} there is a header though --no-header says that there is none
 */
function parseHeaderByOrder(cells, { where, order, hasHeader }) {
  if (!hasHeader) assertNoHeader(cells, where);
  const rolePositions = order.map((role, i) => /** @type {[string, number]} */ ([role, i])).filter(([role]) => role !== '_');
  const label = hasHeader ? cells[order.indexOf('label')]?.trim() : undefined;
  return { rolePositions, width: order.length, source: `--columns says: ${order.join(', ')}`, names: {}, label };
}

/** @param {AsyncIterable<NumberedLine> | Iterable<NumberedLine>} source @param {TableFormat} format */
function readRecords(source, format) {
  return format.separator === '\t' ? readTsvRecords(source) : readCsvRecords(source, format);
}

/**
 * Quotes have no meaning in TSV: review files have stray quotes that are not escaped.
 *
 * @param {AsyncIterable<NumberedLine> | Iterable<NumberedLine>} source
 * @returns {AsyncGenerator<TableRecord>}
 */
async function* readTsvRecords(source) {
  for await (const { content, line } of source) {
    if (!isBlank(content)) yield { cells: content.replace(/\r$/, '').split('\t'), line };
  }
}

/** The records of a sample before the first broken one. @param {NumberedLine[]} sample @param {TableFormat} format */
async function readValidRecords(sample, format) {
  const records = [];
  try {
    for await (const { cells } of readRecords(sample, format)) records.push(cells);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
  }
  return records;
}

/**
 * Picks the separator that gives as many columns as --columns names, or a header that is understood.
 *
 * @template {{records: string[][], format: TableFormat}} T
 * @param {T[]} tried
 * @param {Columns} columns
 * @returns {T}
 */
function pickFormat(tried, { order, names }) {
  const score = (/** @type {T} */ { records, format }) => {
    const fitting = records.filter((cells) => cells.length === order?.length).length;
    if (fitting > 0) return fitting;
    const header = records[0] ?? [];
    const isUnderstood = header.length > 1 && catchUserError(() => findRoles(header, { names })) !== undefined;
    if (order === undefined && header.length > 1 && (format.separator === '\t' || isUnderstood)) return SAMPLE_LINES;
    return 1 - 1 / (1 + header.length); // else the separator that gives the most columns
  };
  return tried.reduce((best, one) => (score(one) > score(best) ? one : best));
}

/**
 * @param {string[]} header
 * @param {Columns} columns
 * @param {string[][]} sample
 * @returns {Roles} with a label
 * @throws {UserError} the header does not say which column is the text or the label
 */
function findHeaderRoles(header, columns, sample) {
  const roles = findRoles(header, columns);
  if (roles?.label !== undefined) return roles;
  const got = `got ${JSON.stringify(header.join(' ').slice(0, 40))}`;
  if (header.length === 1) {
    throw new UserError(
      `neither JSON nor a table with a header: ${got}, expected columns \`text\` (or \`sentence1\`, \`sentence2\`) and \`label\``,
    );
  }
  const missing = roles === undefined ? 'is the text' : 'is the label';
  throw new UserError(`the first line does not say which column ${missing}: ${got}; ${suggestColumns(sample)}`);
}

/** @param {string[][]} records */
function suggestColumns(records) {
  return suggestOptions(records.filter((cells) => cells.length === records[0].length));
}

/** @param {string[]} header @param {string} where */
function assertDistinct(header, where) {
  const doubled = header.find((name, i) => name.trim() !== '' && header.indexOf(name) < i);
  if (doubled === undefined) return;
  throw new UserError(
    `${where}: two columns have the name \`${doubled}\`; rename one, or say what each is with --columns in order, ` +
      'with _ for one to skip',
  );
}

/** Refuses a first line that looks like a header. @param {string[]} cells @param {string} where */
function assertNoHeader(cells, where) {
  const roles = catchUserError(() => findRoles(cells));
  if (roles === undefined || (!(roles instanceof Error) && roles.label === undefined)) return;
  throw new UserError(`${where}: the first line names columns (${cells.join(', ')}), so it is a header; leave --no-header away`);
}

/** @param {AsyncGenerator<NumberedLine, undefined>} source @param {number} count */
async function takeFirst(source, count) {
  const first = [];
  while (first.length < count) {
    const { value } = await source.next();
    if (value === undefined) break;
    first.push(value);
  }
  return first;
}

/** @template T @param {T[]} first @param {AsyncIterable<T>} rest @returns {AsyncGenerator<T>} */
async function* prepend(first, rest) {
  yield* first;
  yield* rest;
}

// Comma-separated values (RFC 4180): a cell in quotes may have separators, line ends and doubled
// quotes. A quote inside a cell that does not begin with one is a plain character: review tables are
// full of them. A cell that begins with a quote must end with one; otherwise the next stray quote
// could silently swallow whole rows.
//
// Not by csv-parse, which the test compares with: it either refuses quotes inside a cell, or, with
// `relax_quotes`, takes an unclosed quote and the rows up to the next one as a single cell.

/**
 * @typedef {{content: string, line: number}} NumberedLine
 * @typedef {{cells: string[], line: number}} TableRecord `line` is that of the first cell
 *
 * @typedef {object} TableFormat
 * @property {string} path for an error
 * @property {string} separator one character
 * @property {string} lineEnd that was between the lines
 */

/**
 * @param {AsyncIterable<NumberedLine> | Iterable<NumberedLine>} source
 * @param {TableFormat} format
 * @returns {AsyncGenerator<TableRecord>}
 * @throws {UserError} a quote does not close its cell; names the line
 */
export async function* readCsvRecords(source, { path, separator, lineEnd }) {
  /** @type {{cells: string[], line: number, cell: string} | undefined} */
  let open;
  for await (const { content, line } of source) {
    if (open === undefined && isBlank(content)) continue;
    const record = open ?? { cells: [], line, cell: '' };
    let at = 0;
    let inQuotes = open !== undefined;
    open = undefined;
    for (;;) {
      if (!inQuotes && content[at] !== '"') {
        const end = content.indexOf(separator, at);
        record.cells.push(end === -1 ? stripReturn(content.slice(at)) : content.slice(at, end));
        if (end === -1) break;
        at = end + 1;
        continue;
      }
      const [end, text] = readQuotedCell(content, inQuotes ? at : at + 1);
      record.cell += text;
      if (end === -1) {
        record.cell += lineEnd;
        open = record;
        break;
      }
      record.cells.push(record.cell);
      record.cell = '';
      inQuotes = false;
      const rest = content.slice(end);
      if (stripReturn(rest) === '') break;
      if (rest[0] !== separator) {
        throw new UserError(
          `${path}:${line}: broken CSV, got ${JSON.stringify(rest.slice(0, 10))} after the quote that closes a cell; ` +
            'a quote inside a cell that begins with one is doubled, ""',
        );
      }
      at = end + 1;
    }
    if (open === undefined) yield { cells: record.cells, line: record.line };
    else if (open.cell.length > MAX_LINE_BYTES) break;
  }
  if (open !== undefined)
    throw new UserError(`${path}:${open.line}: broken CSV, the quote that begins a cell here is never closed`);
}

/**
 * Reads the rest of a cell in quotes, up to the end of the line.
 *
 * @param {string} content
 * @param {number} from
 * @returns {[number, string]} the position after the closing quote, or -1; and the text
 */
function readQuotedCell(content, from) {
  let text = '';
  for (let at = from; ; ) {
    const end = content.indexOf('"', at);
    if (end === -1) return [-1, text + content.slice(at)];
    text += content.slice(at, end);
    if (content[end + 1] !== '"') return [end + 1, text];
    text += '"';
    at = end + 2;
  }
}

/** Removes the \r of a line end. @param {string} text */
function stripReturn(text) {
  return text.endsWith('\r') ? text.slice(0, -1) : text;
}

/**
 * Whether a line is blank. A line with a tab is not: it has empty cells.
 *
 * @param {string} content of a line
 */
function isBlank(content) {
  return /^[^\S\t]*$/.test(content);
}
