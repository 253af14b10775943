/**
 * Rows of a data file, told apart by content, whatever the file is called: JSON lines, a JSON array
 * of objects, or a table with tabs, commas or semicolons between its cells. No more than a few
 * lines are in memory.
 */
import { createReadStream, statSync } from 'node:fs';

import { rolesOf, suggestedOptions } from './columns.js';
import { csvRecords, isBlank } from './csv.js';
import { decodedChunks, inspected } from './encodings.js';
import { UserError, attempted, located } from './errors.js';
import { arrayElements } from './json_array.js';
import { ObjectReader } from './json_line.js';
import { lineEndOf, lines } from './lines.js';

/** Lines at the beginning of a table by which its separator is found. */
const SAMPLE = 50;
/** A tab first: commas and semicolons stand in texts. */
const SEPARATORS = ['\t', ',', ';'];

/**
 * @typedef {import('./columns.js').Columns} Columns
 * @typedef {import('./columns.js').Roles} Roles
 * @typedef {import('./csv.js').NumberedLine} NumberedLine
 * @typedef {import('./csv.js').Cells} Cells
 *
 * @typedef {object} Layout of a file, as far as it is not seen from the file
 * @property {string} [encoding] `utf-8` by default, see encodings.js
 * @property {Columns} [columns] by default found by their usual names
 * @property {boolean} [hasHeader] whether the first line of a table names its columns; true by
 *   default
 *
 * @typedef {object} Row
 * @property {Record<string, unknown>} fields by the kit's names, see columns.js; of an object that
 *   has no text, its own
 * @property {number} line from 1
 */

/**
 * @param {string} path
 * @param {Layout} [layout]
 * @param {(line: string) => void} [onColumns] told once which columns were taken, where they have
 *   other names than the kit's or others stand beside them
 * @returns {AsyncGenerator<Row>}
 * @throws {UserError} no such file, broken JSON, a row that does not fit its header, columns that
 *   are not understood, another encoding
 */
export async function* readRows(path, layout = {}, onColumns = () => {}) {
  if (!statSync(path, { throwIfNoEntry: false })?.isFile()) {
    throw new UserError(`${path} is not a file; \`nox -s export\` makes the default data`);
  }
  const { encoding = 'utf-8' } = layout;
  const kind = await kindOf(path, encoding);
  if (kind === 'array') {
    const text = decodedChunks(inspected(createReadStream(path), path, encoding), path, encoding);
    yield* jsonRows(arrayElements(text, path), path, layout, onColumns);
    return;
  }
  const lineEnd = await lineEndOf(createReadStream(path), path, encoding);
  const source = numberedLines(path, { encoding, lineEnd });
  try {
    if (kind === 'lines') yield* jsonRows(source, path, layout, onColumns);
    else yield* tableRows(source, { path, lineEnd, ...layout }, onColumns);
  } finally {
    await source.return(undefined);
  }
}

/**
 * By the first two characters that are no white space: a review may begin with a bracket too, as
 * `[微笑]` does. Invalid bytes do not matter here: they are reported with their line later.
 *
 * @param {string} path
 * @param {string} encoding
 * @returns {Promise<'array' | 'lines' | 'table'>} the first two are JSON
 */
async function kindOf(path, encoding) {
  let start = '';
  for await (const chunk of decodedChunks(inspected(createReadStream(path), path, encoding), path, encoding, false)) {
    start = (start + chunk).replace(/[\s\uFEFF]+/gu, '').slice(0, 2);
    if (start.length === 2) break;
  }
  if (/^\[[[{"\]]/.test(start)) return 'array';
  return /^\{["'}]/.test(start) ? 'lines' : 'table';
}

/**
 * @param {string} path
 * @param {import('./lines.js').Format} format
 * @returns {AsyncGenerator<NumberedLine, undefined>} without byte order mark
 */
async function* numberedLines(path, format) {
  let line = 0;
  for await (const content of lines(createReadStream(path), path, format)) {
    line += 1;
    yield { content: line === 1 ? content.replace(/^\uFEFF/, '') : content, line };
  }
}

/**
 * @param {AsyncIterable<NumberedLine>} source an object each
 * @param {string} path
 * @param {Layout} layout
 * @param {(line: string) => void} onColumns
 * @returns {AsyncGenerator<Row>}
 */
async function* jsonRows(source, path, { columns, hasHeader = true }, onColumns) {
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
    const { fields, roles, others } = located(`${path}:${line}`, () => objects.read(content));
    if (isFirst && roles !== undefined) onColumns(columnsTaken(path, roles, Object.keys(others)));
    isFirst = false;
    yield { fields, line };
  }
}

/**
 * @param {AsyncGenerator<NumberedLine, undefined>} source
 * @param {Layout & {path: string, lineEnd: string}} layout
 * @param {(line: string) => void} onColumns
 * @returns {AsyncGenerator<Row>}
 */
async function* tableRows(source, { path, lineEnd, columns = {}, hasHeader = true }, onColumns) {
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

  /** @type {{roles: [string, number][], width: number, of: string} | undefined} */
  let header;
  /** @type {string | undefined} the label where the names of the columns should stand */
  let headerLabel;
  for await (const { cells, line } of recordsOf(prepend(sample, source), format)) {
    if (header === undefined) {
      const where = `${path}:${line}`;
      if (order === undefined) assertDistinct(cells, where);
      else if (!hasHeader) assertData(cells, where);
      const roles = order === undefined ? located(where, () => headerRoles(cells, columns, records)) : undefined;
      header = {
        roles: Object.entries(roles ?? {}).map(([role, name]) => [role, cells.indexOf(name)]),
        width: order?.length ?? cells.length,
        of: order === undefined ? `in the header: ${cells.join(', ')}` : `--columns says: ${order.join(', ')}`,
      };
      order?.forEach((role, i) => role !== '_' && header?.roles.push([role, i]));
      if (roles !== undefined) onColumns(columnsTaken(path, roles, cells.filter((name) => !Object.values(roles).includes(name))));
      if (order !== undefined && hasHeader) headerLabel = cells[order.indexOf('label')]?.trim();
      if (hasHeader) continue;
    }
    if (cells.length !== header.width) {
      const remedy = format.separator === '\t' ? '' : '; a text that has the separator in it needs quotes around it';
      throw new UserError(`${path}:${line}: got ${cells.length} columns, expected ${header.width} as ${header.of}${remedy}`);
    }
    const fields = Object.fromEntries(header.roles.map(([role, i]) => [role, cells[i]]));
    if (headerLabel !== undefined && fields.label.trim() === headerLabel) {
      throw new UserError(
        `${path}:${line}: the label ${JSON.stringify(headerLabel)} stands in the first line too, so that one is data ` +
          'and no header; add --no-header',
      );
    }
    yield { fields, line };
  }
}

/** @param {AsyncIterable<NumberedLine> | Iterable<NumberedLine>} source @param {import('./csv.js').Format} format */
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

/** Those before the first that is broken. @param {NumberedLine[]} sample @param {import('./csv.js').Format} format */
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
 * @template {{records: string[][], format: import('./csv.js').Format}} T
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
    throw new UserError(`neither JSON nor a table with a header: ${got}, expected columns \`text\` (or \`sentence1\`, \`sentence2\`) and \`label\``);
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

/**
 * Which columns were taken; '' where these are the kit's own and no others.
 *
 * @param {string} path
 * @param {Roles} roles
 * @param {string[]} others
 */
function columnsTaken(path, roles, others) {
  const renamed = Object.entries(roles).filter(([role, name]) => role !== name);
  if (renamed.length === 0 && others.length === 0) return '';
  const taken = Object.entries(roles).map(([role, name]) => (role === name ? `\`${name}\`` : `\`${name}\` as ${role}`));
  return `${path}: takes ${taken.join(', ')}${others.length === 0 ? '' : `; not used: ${others.join(', ')}`}`;
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
