/**
 * Records of comma-separated values (RFC 4180): a cell in quotes may hold separators, line ends and
 * doubled quotes. A quote inside a cell that does not begin with one is a character like any other:
 * review tables are full of them. A cell that begins with a quote must end with one: were it taken
 * as it stands, the next stray quote could swallow whole rows without a word.
 */
import { UserError } from './errors.js';
import { LONGEST_LINE } from './lines.js';


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
  if (open !== undefined) throw new UserError(`${path}:${open.line}: broken CSV, the quote that begins a cell here is never closed`);
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
export function isBlank(content) {
  return /^[^\S\t]*$/.test(content);
}
