/** Reads the objects of JSON lines or of a JSON array, and finds their text and label fields. */
import { catchUserError, toOneLine, UserError } from '../support/errors.js';
import { isObject, parseJson } from '../support/json.js';
import { findRoles } from './columns.js';
import { MAX_LINE_BYTES } from './lines.js';

/** How many different sets of field names are remembered; a file has one or two. */
const MAX_REMEMBERED = 1000;
/** A longer line is not searched for NaN: the pattern would need too much stack. */
const MAX_SEARCHED_LENGTH = 2 ** 20;

/**
 * @typedef {import('./columns.js').Columns} Columns
 * @typedef {import('./columns.js').Roles} Roles
 */

/**
 * @param {string} content
 * @returns {Record<string, unknown>}
 * @throws {UserError} the JSON is broken, or it is no object
 */
export function parseObject(content) {
  const value = catchUserError(() => parseJson(content));
  if (value instanceof UserError) {
    if (content.length < MAX_SEARCHED_LENGTH && /[:,[]\s*-?(NaN|Infinity)\b/.test(content.replace(/"(?:[^"\\]|\\.)*"/g, '""'))) {
      throw new UserError('broken JSON: NaN is no JSON, Python writes it for a value that is missing');
    }
    throw value;
  }
  if (isObject(value)) return value;
  throw new UserError(`got ${toOneLine(content.slice(0, 40))}, expected a JSON object`);
}

/** Reads objects whose fields have any of the usual names, or the names that the user gave. */
export class ObjectReader {
  #columns;
  #isLabelled;
  /** @type {Map<string, Roles | undefined>} by the names of the fields */
  #known = new Map();

  /**
   * @param {Columns | undefined} columns that the user named, by name
   * @param {boolean} isLabelled whether to look for a label
   */
  constructor(columns, isLabelled) {
    this.#columns = columns;
    this.#isLabelled = isLabelled;
  }

  /**
   * @param {string} content
   * @returns {{fields: Record<string, unknown>, roles: Roles | undefined, others: Record<string, unknown>}}
   *   `fields`: by this program's names; if no field is a text, the object itself. `others`: the fields
   *   without a role
   * @throws {UserError} it is no JSON object, or two fields could have one role
   */
  read(content) {
    const object = parseObject(content);
    const roles = this.#rolesOf(Object.keys(object));
    if (roles === undefined) return { fields: object, roles, others: {} };
    const taken = Object.values(roles);
    return {
      fields: Object.fromEntries(Object.entries(roles).map(([role, name]) => [role, object[name]])),
      roles,
      others: Object.fromEntries(Object.entries(object).filter(([name]) => !taken.includes(name))),
    };
  }

  /** @param {string[]} names */
  #rolesOf(names) {
    const kind = JSON.stringify(names);
    if (!this.#known.has(kind)) {
      if (this.#known.size === MAX_REMEMBERED) this.#known.clear();
      this.#known.set(kind, findRoles(names, this.#columns, this.#isLabelled));
    }
    return this.#known.get(kind);
  }
}

// Reading a JSON array that may be larger than memory, one element at a time.

/** The characters that matter between strings, and inside one. */
const OUTSIDE = /["[\]{},\n]/g;
const INSIDE = /["\\\n]/g;

/** @typedef {{content: string, line: number}} Element `line` is where it begins, from 1 */

/**
 * Splits a JSON array at its own commas. Whoever reads an element checks that it is valid JSON.
 *
 * @param {AsyncIterable<string>} source its first character that is no white space is `[`
 * @param {string} path for an error
 * @returns {AsyncGenerator<Element>}
 * @throws {UserError} the array does not end, or something comes after it
 */
export async function* splitJsonArray(source, path) {
  const splitter = new ArraySplitter();
  for await (const chunk of source) {
    yield* splitter.elements(chunk);
    if (splitter.rest.length > MAX_LINE_BYTES) {
      throw new UserError(
        `${path}:${splitter.line}: the element that begins here has more than ${MAX_LINE_BYTES} characters, expected at most so many`,
      );
    }
  }
  if (!splitter.isClosed) {
    throw new UserError(`${path}:${splitter.line}: the JSON array does not end after the element that begins here`);
  }
  if (splitter.rest.trim() !== '') throw new UserError(`${path}: got more after the end of the JSON array, expected nothing`);
}

class ArraySplitter {
  /** How many brackets are open: 0 before the array, 1 between its elements. */
  #depth = 0;
  #inString = false;
  #isEscaped = false;
  #lineNow = 1;
  #count = 0;
  /** The text of the current element so far, or the text after the array; and the line where it begins. */
  rest = '';
  line = 1;
  isClosed = false;

  /** @param {string} chunk @returns {Generator<Element>} the elements that end in it */
  *elements(chunk) {
    let start = 0;
    for (let at = 0; !this.isClosed; ) {
      if (this.#isEscaped && chunk.length > at) {
        this.#isEscaped = false;
        at += 1;
      }
      const marks = this.#inString ? INSIDE : OUTSIDE;
      marks.lastIndex = at;
      const found = marks.exec(chunk);
      if (found === null) break;
      at = found.index + 1;
      if (!this.#isBoundary(found[0])) continue;
      const content = this.rest + chunk.slice(start, at - 1);
      const blank = /^\s*/.exec(content)?.[0] ?? '';
      const line = this.line + blank.split('\n').length - 1;
      // Before the array, and in an empty array, there is no element.
      if (this.#depth > 0 && (this.#count > 0 || blank !== content || found[0] === ',')) yield { content, line };
      this.#count += Number(this.#depth > 0);
      this.isClosed = found[0] === ']';
      this.#depth = 1;
      [start, this.rest, this.line] = [at, '', this.#lineNow];
    }
    this.rest += chunk.slice(start);
  }

  /** Whether an element begins or ends at a mark. @param {string} mark */
  #isBoundary(mark) {
    if (mark === '\n') this.#lineNow += 1;
    else if (mark === '\\') this.#isEscaped = true;
    else if (mark === '"') this.#inString = !this.#inString;
    else if (this.#depth === 0) return mark === '[';
    else if (mark === '[' || mark === '{') this.#depth += 1;
    else if (this.#depth === 1) return mark !== '}';
    else if (mark !== ',') this.#depth -= 1;
    return false;
  }
}
