/**
 * The JSON Schemas of what crosses between programs (`schemas/` at the root), the same that Python
 * reads with. They are interpreted, not compiled: a page whose policy forbids `eval` can check too.
 */
import { readFileSync } from 'node:fs';

import { Validator } from '@cfworker/json-schema';

import { UserError } from './errors.js';

/** Characters of a place that are shown. */
const LONGEST = 200;
/** What the library says in its own words only. @type {Record<string, string>} */
const SAID = {
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
    const text = readFileSync(new URL(`../schemas/${schema}.schema.json`, import.meta.url), 'utf8');
    validator = new Validator(JSON.parse(text), '2020-12');
    validators.set(schema, validator);
  }
  const place = problemOf(validator, document);
  if (place !== undefined) throw new UserError(`${path}: at ${place}; ${advice}`);
}

/** The first place that is wrong, and what is wrong there. @param {Validator} validator @param {any} document */
function problemOf(validator, document) {
  try {
    const { errors } = validator.validate(document);
    // The last is the innermost of the first place.
    const found = errors.at(-1);
    if (found === undefined) return undefined;
    const { instanceLocation, keyword, error } = found;
    const said = SAID[keyword] ?? `${error[0].toLowerCase()}${error.slice(1).replace(/\.$/, '')}`;
    return `${instanceLocation.slice(1, LONGEST) || '/'}: ${said}`;
  } catch {
    // The library writes a place as a URI, which a lone surrogate cannot be part of.
    return '/: got a name that is no Unicode text';
  }
}
