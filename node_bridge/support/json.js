/** Reads JSON that others wrote, and checks it against the schemas. An error is one line. */
import { Validator } from '@cfworker/json-schema';
import { readFileSync } from 'node:fs';

import { toOneLine, UserError } from './errors.js';
import { packageFile } from './places.js';

/** How deep brackets may be nested: JSON.stringify, like any recursive walk, has a limited stack. */
const MAX_DEPTH = 500;

/**
 * @param {string | Uint8Array} source text, or its bytes in UTF-8
 * @param {string} [name] what an error calls it
 * @param {string} [advice] how to fix it, for an error
 * @returns {any}
 * @throws {UserError} the JSON is broken, not UTF-8, or nested too deep
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

/** Whether a value is an object and not an array. @param {unknown} value @returns {value is Record<string, any>} */
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

// The JSON Schemas in `schemas/` at the root; Python uses the same files. They are interpreted, not
// compiled, since compiled schemas need `eval`, which the policy of a web page may forbid.

/** How many characters of a location a message shows. */
const MAX_LOCATION_LENGTH = 200;
/** Messages for keywords whose message in the library does not help. @type {Record<string, string>} */
const FIXED_MESSAGES = {
  false: 'got a name that this release does not know',
  not: 'got characters or a form that are not allowed',
};

/** @type {Map<string, Validator>} */
const validators = new Map();

/**
 * @param {'bundle' | 'classifier' | 'golden'} schema its name in `schemas/`
 * @param {unknown} document as JSON.parse returns it
 * @param {string} path for an error
 * @param {string} advice how to fix it, for an error
 * @throws {UserError} the document does not fit the schema; names one location in it
 */
export function assertValid(schema, document, path, advice) {
  let validator = validators.get(schema);
  if (validator === undefined) {
    const text = readFileSync(packageFile('schemas', `${schema}.schema.json`), 'utf8');
    validator = new Validator(JSON.parse(text), '2020-12');
    validators.set(schema, validator);
  }
  const problem = findSchemaProblem(validator, document);
  if (problem !== undefined) throw new UserError(`${path}: at ${problem}; ${advice}`);
}

/** The first location that is wrong, and what is wrong there; undefined if all is right. @param {Validator} validator @param {any} document */
function findSchemaProblem(validator, document) {
  try {
    const { errors } = validator.validate(document);
    // The last error is the innermost one at the first location.
    const found = errors.at(-1);
    if (found === undefined) return undefined;
    const { instanceLocation, keyword, error } = found;
    const message = FIXED_MESSAGES[keyword] ?? `${error[0].toLowerCase()}${error.slice(1).replace(/\.$/, '')}`;
    return `${instanceLocation.slice(1, MAX_LOCATION_LENGTH) || '/'}: ${message}`;
  } catch {
    // The library writes a location as a URI, which cannot have a lone surrogate.
    return '/: got a name that is no Unicode text';
  }
}
