/** The elements of a JSON array that may be larger than memory, one after another. */
import { UserError } from './errors.js';
import { LONGEST_LINE } from './lines.js';

/** What matters between strings, and inside one. */
const OUTSIDE = /["[\]{},\n]/g;
const INSIDE = /["\\\n]/g;

/** @typedef {{content: string, line: number}} Element `line` is where it begins, from 1 */

/**
 * Cuts at the commas of the array itself; whether an element is sound JSON, its reader sees.
 *
 * @param {AsyncIterable<string>} source whose first character but for white space is `[`
 * @param {string} path for an error
 * @returns {AsyncGenerator<Element>}
 * @throws {UserError} the array does not end, or something comes after it
 */
export async function* arrayElements(source, path) {
  const splitter = new Splitter();
  for await (const chunk of source) {
    yield* splitter.elements(chunk);
    if (splitter.rest.length > LONGEST_LINE) {
      throw new UserError(`${path}:${splitter.line}: the element that begins here has more than ${LONGEST_LINE} characters, expected at most so many`);
    }
  }
  if (!splitter.isClosed) {
    throw new UserError(`${path}:${splitter.line}: the JSON array does not end after the element that begins here`);
  }
  if (splitter.rest.trim() !== '') throw new UserError(`${path}: got more after the end of the JSON array, expected nothing`);
}

class Splitter {
  /** Brackets that are open: 0 before the array, 1 between its elements. */
  #depth = 0;
  #inString = false;
  #isEscaped = false;
  #lineNow = 1;
  #count = 0;
  /** What has come of the element, or after the array; and the line where it begins. */
  rest = '';
  line = 1;
  isClosed = false;

  /** @param {string} chunk @returns {Generator<Element>} those that it ends */
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
      // Nothing at all stands before the array, and in an empty one.
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
