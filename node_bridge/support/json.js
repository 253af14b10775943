/** JSON of others: one line says what is wrong with it, and none is too deep to be written again. */
import { Validator } from '@cfworker/json-schema';
import { readFileSync } from 'node:fs';

import { toOneLine, UserError } from './errors.js';

/** Brackets within brackets: what walks through a value, JSON.stringify too, has a stack that ends. */
const MAX_DEPTH = 500;

/**
 * @param {string | Uint8Array} source text, or its bytes in UTF-8
 * @param {string} [name] to call it in an error
 * @param {string} [advice] how to mend it
 * @returns {any}
 * @throws {UserError} broken, no UTF-8, or too deep
 */
export function parseJson(source, name, advice) {
  const prefix = name === undefined ? '' : `${name}: `;
  const suffix = advice === undefined ? '' : `; ${advice}`;
  const text = typeof source === 'string' ? source : decodeUtf8(source, prefix, suffix);
  if (text.length > MAX_DEPTH && isTooDeep(text)) {
    throw new UserError(`${prefix}broken JSON, got more than ${MAX_DEPTH} brackets within each other${suffix}`);
  }
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new UserError(`${prefix}broken JSON (${toOneLine(/** @type {Error} */ (error).message)})${suffix}`);
  }
}

/** Whether a value is an object with names, and no array. @param {unknown} value @returns {value is Record<string, any>} */
export function isObject(value) {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** @param {Uint8Array} bytes @param {string} prefix @param {string} suffix of an error @returns {string} @throws {UserError} they are no UTF-8 */
function decodeUtf8(bytes, prefix, suffix) {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new UserError(`${prefix}broken JSON (it is not UTF-8)${suffix}`);
  }
}

/** @param {string} text */
function isTooDeep(text) {
  let depth = 0;
  let inString = false;
  for (let i = 0; i < text.length; i += 1) {
    const unit = text.charCodeAt(i);
    if (unit === 0x22) inString = !inString;
    else if (inString) i += Number(unit === 0x5c);
    else if (unit === 0x5b || unit === 0x7b) depth += 1;
    else if (unit === 0x5d || unit === 0x7d) depth -= 1;
    if (depth > MAX_DEPTH) return true;
  }
  return false;
}

// The JSON Schemas of what crosses between programs (`schemas/` at the root), the same that Python
// reads with. They are interpreted, not compiled: a page whose policy forbids `eval` can check too.

/** Characters of a place that are shown. */
const MAX_LOCATION_LENGTH = 200;
/** What the library says in its own words only. @type {Record<string, string>} */
const FIXED_MESSAGES = {
  false: 'got a name that this release does not know',
  not: 'got characters or a form that are not allowed',
};

/** @type {Map<string, Validator>} */
const validators = new Map();

/**
 * @param {'bundle' | 'classifier' | 'golden'} schema
 * @param {unknown} document as JSON.parse gives it
 * @param {string} path for an error
 * @param {string} advice how to mend it
 * @throws {UserError} it is not what the schema says; names one place
 */
export function assertValid(schema, document, path, advice) {
  let validator = validators.get(schema);
  if (validator === undefined) {
    const text = readFileSync(new URL(`../../schemas/${schema}.schema.json`, import.meta.url), 'utf8');
    validator = new Validator(JSON.parse(text), '2020-12');
    validators.set(schema, validator);
  }
  const problem = findSchemaProblem(validator, document);
  if (problem !== undefined) throw new UserError(`${path}: at ${problem}; ${advice}`);
}

/** The first place that is wrong, and what is wrong there. @param {Validator} validator @param {any} document */
function findSchemaProblem(validator, document) {
  try {
    const { errors } = validator.validate(document);
    // The last is the innermost of the first place.
    const found = errors.at(-1);
    if (found === undefined) return undefined;
    const { instanceLocation, keyword, error } = found;
    const message = FIXED_MESSAGES[keyword] ?? `${error[0].toLowerCase()}${error.slice(1).replace(/\.$/, '')}`;
    return `${instanceLocation.slice(1, MAX_LOCATION_LENGTH) || '/'}: ${message}`;
  } catch {
    // The library writes a place as a URI, which a lone surrogate cannot be part of.
    return '/: got a name that is no Unicode text';
  }
}
