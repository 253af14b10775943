/**
 * Rows of a table with tabs, commas or semicolons between its cells, and a header or names for its
 * columns.
 */
import { attempted, located, UserError } from '../support/errors.js';
import { columnsTaken, rolesOf, suggestedOptions } from './columns.js';
import { LONGEST_LINE } from './lines.js';

/** Lines at the beginning of a table by which its separator is found. */
const SAMPLE = 50;
/** A tab first: commas and semicolons stand in texts. */
const SEPARATORS = ['\t', ',', ';'];

/**
 * @typedef {import('./columns.js').Columns} Columns
 * @typedef {import('./columns.js').Roles} Roles
 * @typedef {import('./rows.js').Layout} Layout
 * @typedef {import('./rows.js').Row} Row
 */

/**
 * @param {AsyncGenerator<NumberedLine, undefined>} source
 * @param {Layout & {path: string, lineEnd: string}} layout
 * @param {(line: string) => void} onColumns
 * @returns {AsyncGenerator<Row>}
 */
export async function* tableRows(source, { path, lineEnd, columns = {}, hasHeader = true }, onColumns) {
  const sample = await firstOf(source, SAMPLE);
  const tried = [];
  for (const separator of SEPARATORS) {
    const format = { path, separator, lineEnd };
    tried.push({ format, records: await soundRecords(sample, format) });
  }
  const { format, records } = bestOf(tried, columns);
  if (records.length === 0) return;
  const { order } = columns;
  if (!hasHeader && order === undefined) {
    throw new UserError(`${path} has no header as --no-header says, so its columns need names: ${suggestion(records)}`);
  }

  /** @type {Header | undefined} */
  let header;
  for await (const { cells, line } of recordsOf(prepend(sample, source), format)) {
    const where = `${path}:${line}`;
    if (header === undefined) {
      header =
        order === undefined
          ? headerByName(cells, { where, columns, records })
          : headerByOrder(cells, { where, order, hasHeader });
      if (order === undefined) onColumns(columnsTaken(path, header.names, cells));
      if (hasHeader) continue;
    }
    if (cells.length !== header.width) {
      const remedy = format.separator === '\t' ? '' : '; a text that has the separator in it needs quotes around it';
      throw new UserError(`${where}: got ${cells.length} columns, expected ${header.width} as ${header.source}${remedy}`);
    }
    const fields = Object.fromEntries(header.places.map(([role, i]) => [role, cells[i]]));
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
 * @property {[string, number][]} places of the roles among the columns
 * @property {number} width columns of each row
 * @property {string} source of the width, for an error
 * @property {Roles} names of the columns, as far as they count
 * @property {string} [label] what stands in the first line in the place of the label, and so can be
 *   none
 */

/**
 * @param {string[]} cells of the first line
 * @param {{where: string, columns: Columns, records: string[][]}} given `records` are the first rows
 * @returns {Header}
 * @throws {UserError} a name twice, or names that are not understood
 */
function headerByName(cells, { where, columns, records }) {
  assertDistinct(cells, where);
  const names = located(where, () => headerRoles(cells, columns, records));
  const places = Object.entries(names).map(([role, name]) => /** @type {[string, number]} */ ([role, cells.indexOf(name)]));
  return { places, width: cells.length, source: `in the header: ${cells.join(', ')}`, names };
}

/**
 * @param {string[]} cells of the first line
 * @param {{where: string, order: string[], hasHeader: boolean}} given
 * @returns {Header}
 * @throws {UserError} there is a header, though there should be none
 */
function headerByOrder(cells, { where, order, hasHeader }) {
  if (!hasHeader) assertData(cells, where);
  const places = order.map((role, i) => /** @type {[string, number]} */ ([role, i])).filter(([role]) => role !== '_');
  const label = hasHeader ? cells[order.indexOf('label')]?.trim() : undefined;
  return { places, width: order.length, source: `--columns says: ${order.join(', ')}`, names: {}, label };
}

/** @param {AsyncIterable<NumberedLine> | Iterable<NumberedLine>} source @param {Format} format */
function recordsOf(source, format) {
  return format.separator === '\t' ? tsvRecords(source) : csvRecords(source, format);
}

/**
 * Quotes mean nothing here: review files hold stray ones, and their makers do not escape them.
 *
 * @param {AsyncIterable<NumberedLine> | Iterable<NumberedLine>} source
 * @returns {AsyncGenerator<Cells>}
 */
async function* tsvRecords(source) {
  for await (const { content, line } of source) {
    if (!isBlank(content)) yield { cells: content.replace(/\r$/, '').split('\t'), line };
  }
}

/** Those before the first that is broken. @param {NumberedLine[]} sample @param {Format} format */
async function soundRecords(sample, format) {
  const records = [];
  try {
    for await (const { cells } of recordsOf(sample, format)) records.push(cells);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
  }
  return records;
}

/**
 * The separator that gives as many columns as there are names for, or a header that is understood.
 *
 * @template {{records: string[][], format: Format}} T
 * @param {T[]} tried
 * @param {Columns} columns
 * @returns {T}
 */
function bestOf(tried, { order, names }) {
  const score = (/** @type {T} */ { records, format }) => {
    const fitting = records.filter((cells) => cells.length === order?.length).length;
    if (fitting > 0) return fitting;
    const header = records[0] ?? [];
    const isUnderstood = header.length > 1 && attempted(() => rolesOf(header, { names })) !== undefined;
    if (order === undefined && header.length > 1 && (format.separator === '\t' || isUnderstood)) return SAMPLE;
    return 1 - 1 / (1 + header.length); // else the one that gives the most
  };
  return tried.reduce((best, one) => (score(one) > score(best) ? one : best));
}

/**
 * @param {string[]} header
 * @param {Columns} columns
 * @param {string[][]} sample
 * @returns {Roles} with a label
 * @throws {UserError} it does not say which column is what
 */
function headerRoles(header, columns, sample) {
  const roles = rolesOf(header, columns);
  if (roles?.label !== undefined) return roles;
  const got = `got ${JSON.stringify(header.join(' ').slice(0, 40))}`;
  if (header.length === 1) {
    throw new UserError(
      `neither JSON nor a table with a header: ${got}, expected columns \`text\` (or \`sentence1\`, \`sentence2\`) and \`label\``,
    );
  }
  const missing = roles === undefined ? 'is the text' : 'is the label';
  throw new UserError(`the first line does not say which column ${missing}: ${got}; ${suggestion(sample)}`);
}

/** @param {string[][]} records */
function suggestion(records) {
  return suggestedOptions(records.filter((cells) => cells.length === records[0].length));
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

/** The first line of data without a header. @param {string[]} cells @param {string} where */
function assertData(cells, where) {
  const roles = attempted(() => rolesOf(cells));
  if (roles === undefined || (!(roles instanceof Error) && roles.label === undefined)) return;
  throw new UserError(`${where}: the first line names columns (${cells.join(', ')}), so it is a header; leave --no-header away`);
}

/** @param {AsyncGenerator<NumberedLine, undefined>} source @param {number} count */
async function firstOf(source, count) {
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

// Records of comma-separated values (RFC 4180): a cell in quotes may hold separators, line ends and
// doubled quotes. A quote inside a cell that does not begin with one is a character like any other:
// review tables are full of them. A cell that begins with a quote must end with one: were it taken
// as it stands, the next stray quote could swallow whole rows without a word.

/**
 * @typedef {{content: string, line: number}} NumberedLine
 * @typedef {{cells: string[], line: number}} Cells `line` is that of the first cell
 *
 * @typedef {object} Format
 * @property {string} path for an error
 * @property {string} separator one character
 * @property {string} lineEnd that stood between the lines
 */

/**
 * @param {AsyncIterable<NumberedLine> | Iterable<NumberedLine>} source
 * @param {Format} format
 * @returns {AsyncGenerator<Cells>}
 * @throws {UserError} a quote that does not close its cell, by line
 */
export async function* csvRecords(source, { path, separator, lineEnd }) {
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
        record.cells.push(end === -1 ? withoutReturn(content.slice(at)) : content.slice(at, end));
        if (end === -1) break;
        at = end + 1;
        continue;
      }
      const [end, text] = quoted(content, inQuotes ? at : at + 1);
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
      if (withoutReturn(rest) === '') break;
      if (rest[0] !== separator) {
        throw new UserError(
          `${path}:${line}: broken CSV, got ${JSON.stringify(rest.slice(0, 10))} after the quote that closes a cell; ` +
            'a quote inside a cell that begins with one is doubled, ""',
        );
      }
      at = end + 1;
    }
    if (open === undefined) yield { cells: record.cells, line: record.line };
    else if (open.cell.length > LONGEST_LINE) break;
  }
  if (open !== undefined)
    throw new UserError(`${path}:${open.line}: broken CSV, the quote that begins a cell here is never closed`);
}

/**
 * The rest of a cell in quotes, as far as this line has it.
 *
 * @param {string} content
 * @param {number} from
 * @returns {[number, string]} the place after the closing quote, or -1; the text
 */
function quoted(content, from) {
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

/** Half of a line end. @param {string} text */
function withoutReturn(text) {
  return text.endsWith('\r') ? text.slice(0, -1) : text;
}

/**
 * Tabs are none of it: between two of them stands an empty cell.
 *
 * @param {string} content of a line
 */
function isBlank(content) {
  return /^[^\S\t]*$/.test(content);
}
