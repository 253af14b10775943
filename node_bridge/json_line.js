/** An object of JSON lines or of a JSON array, and which of its fields are the text and the label. */
import { rolesOf } from './columns.js';
import { UserError, attempted, oneLine } from './errors.js';
import { isObject, parseJson } from './json.js';

/** Kinds of objects whose fields are remembered; a file has one or two. */
const KINDS = 1000;
/** A longer line is not searched for NaN: the pattern's own stack would not do. */
const LONGEST_SEARCHED = 2 ** 20;

/**
 * @typedef {import('./columns.js').Columns} Columns
 * @typedef {import('./columns.js').Roles} Roles
 */

/**
 * @param {string} content
 * @returns {Record<string, unknown>}
 * @throws {UserError} broken JSON, or no object
 */
export function parseObject(content) {
  const value = attempted(() => parseJson(content));
  if (value instanceof UserError) {
    if (content.length < LONGEST_SEARCHED && /[:,[]\s*-?(NaN|Infinity)\b/.test(content.replace(/"(?:[^"\\]|\\.)*"/g, '""'))) {
      throw new UserError('broken JSON: NaN is no JSON, Python writes it for a value that is missing');
    }
    throw value;
  }
  if (isObject(value)) return value;
  throw new UserError(`got ${oneLine(content.slice(0, 40))}, expected a JSON object`);
}

/** Reads objects whose fields have any of the usual names, or those that were asked for. */
export class ObjectReader {
  #columns;
  #isLabelled;
  /** @type {Map<string, Roles | undefined>} by the names of the fields */
  #known = new Map();

  /**
   * @param {Columns | undefined} columns asked for, by name
   * @param {boolean} isLabelled whether a label is looked for
   */
  constructor(columns, isLabelled) {
    this.#columns = columns;
    this.#isLabelled = isLabelled;
  }

  /**
   * @param {string} content
   * @returns {{fields: Record<string, unknown>, roles: Roles | undefined, others: Record<string, unknown>}}
   *   `fields` by the kit's names; where none is a text, the object's own. `others`: those without a
   *   role
   * @throws {UserError} no JSON object, or fields of which two could be the same
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
      if (this.#known.size === KINDS) this.#known.clear();
      this.#known.set(kind, rolesOf(names, this.#columns, this.#isLabelled));
    }
    return this.#known.get(kind);
  }
}
