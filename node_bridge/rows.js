/**
 * Rows of a data file as objects, told apart by content, whatever the file is called: JSON lines,
 * tab-separated with a header, or comma-separated with a header. Only \n ends a line, and no more
 * than a few lines are in memory.
 */
import { createReadStream, statSync } from 'node:fs';
import { Readable } from 'node:stream';

import { UserError, located, oneLine } from './errors.js';
import { parseObject } from './json_line.js';
import { lines } from './lines.js';

/**
 * @typedef {{fields: Record<string, unknown>, line: number}} Row `line` counts from 1
 * @typedef {{content: string, line: number}} NumberedLine
 */

/**
 * @param {string} path
 * @returns {AsyncGenerator<Row>}
 * @throws {UserError} no such file, broken JSON, a row that does not fit its header, invalid UTF-8
 */
export async function* readRows(path) {
  if (!statSync(path, { throwIfNoEntry: false })?.isFile()) {
    throw new UserError(`${path} is not a file; \`nox -s export\` makes the default data`);
  }
  const source = numberedLines(path);
  try {
    const first = await firstOf(source);
    if (first === undefined) return;
    const all = prepend(first, source);
    if (/^\s*[[{]/.test(first.content)) yield* jsonRows(all, path);
    else if (first.content.includes('\t')) yield* tsvRows(all, path);
    else yield* csvRows(all, path, first.line);
  } finally {
    await source.return(undefined);
  }
}

/** @param {string} path @returns {AsyncGenerator<NumberedLine, undefined>} without byte order mark */
async function* numberedLines(path) {
  let line = 0;
  for await (const content of lines(createReadStream(path), path)) {
    line += 1;
    yield { content: line === 1 ? content.replace(/^\uFEFF/, '') : content, line };
  }
}

/** The first line that holds something. @param {AsyncGenerator<NumberedLine, undefined>} source */
async function firstOf(source) {
  for (;;) {
    const { value } = await source.next();
    if (value === undefined || !isBlank(value)) return value;
  }
}

/** @param {NumberedLine} line */
function isBlank({ content }) {
  return content.trim() === '';
}

/** @template T @param {T} first @param {AsyncIterable<T>} rest @returns {AsyncGenerator<T>} */
async function* prepend(first, rest) {
  yield first;
  yield* rest;
}

/** @param {AsyncIterable<NumberedLine>} source @param {string} path @returns {AsyncGenerator<Row>} */
async function* jsonRows(source, path) {
  for await (const numbered of source) {
    if (isBlank(numbered)) continue;
    const { content, line } = numbered;
    yield { fields: located(`${path}:${line}`, () => parseObject(content)), line };
  }
}

/**
 * Quotes mean nothing here: review files hold stray ones, and their makers do not escape them.
 *
 * @param {AsyncIterable<NumberedLine>} source
 * @param {string} path
 * @returns {AsyncGenerator<Row>}
 */
async function* tsvRows(source, path) {
  /** @type {string[] | undefined} */
  let header;
  for await (const numbered of source) {
    if (isBlank(numbered)) continue;
    const { content, line } = numbered;
    const cells = content.replace(/\r$/, '').split('\t');
    if (header === undefined) {
      header = checked(cells, path);
    } else if (cells.length !== header.length) {
      throw new UserError(
        `${path}:${line}: got ${cells.length} columns, expected ${header.length} as in the header: ${header.join(', ')}`,
      );
    } else {
      yield { fields: Object.fromEntries(header.map((name, i) => [name, cells[i]])), line };
    }
  }
}

/**
 * Quoted cells may hold commas, quotes and line ends.
 *
 * @param {AsyncIterable<NumberedLine>} source
 * @param {string} path
 * @param {number} firstLine where the header stands
 * @returns {AsyncGenerator<Row>}
 */
async function* csvRows(source, path, firstLine) {
  const { parse } = await import('csv-parse'); // here, as texts to predict never need it
  const parser = parse({
    columns: (/** @type {string[]} */ header) => checked(header, path),
    info: true,
    record_delimiter: ['\n', '\r\n'],
    skip_empty_lines: true,
  });
  const text = Readable.from(terminated(source)).on('error', (error) => parser.destroy(error));
  text.pipe(parser);
  try {
    for await (const { record, info } of parser) yield { fields: record, line: info.lines + firstLine - 1 };
  } catch (error) {
    const { code, message, lines: line = 1 } = /** @type {Error & {code?: string, lines?: number}} */ (error);
    if (!code?.startsWith('CSV_')) throw error;
    throw new UserError(`${path}:${line + firstLine - 1}: broken CSV (${oneLine(message)})`);
  } finally {
    text.destroy();
  }
}

/** @param {AsyncIterable<NumberedLine>} source */
async function* terminated(source) {
  for await (const { content } of source) yield `${content}\n`;
}

/** A header that can name texts. @param {string[]} header @param {string} path */
function checked(header, path) {
  if (header.includes('text') || (header.includes('sentence1') && header.includes('sentence2'))) return header;
  throw new UserError(
    `${path} has neither JSON lines nor a header: got ${JSON.stringify(header.join(' ').slice(0, 40))}, ` +
      'expected columns `text` (or `sentence1`, `sentence2`) and `label`',
  );
}
