/** JSON of others: one line says what is wrong with it, and none is too deep to be written again. */
import { UserError, oneLine } from './errors.js';

/** Brackets within brackets: what walks through a value, JSON.stringify too, has a stack that ends. */
const DEEPEST = 500;

/**
 * @param {string | Uint8Array} given text, or its bytes in UTF-8
 * @param {string} [what] to call it in an error
 * @param {string} [advice] how to mend it
 * @returns {any}
 * @throws {UserError} broken, no UTF-8, or too deep
 */
export function parseJson(given, what, advice) {
  const where = what === undefined ? '' : `${what}: `;
  const end = advice === undefined ? '' : `; ${advice}`;
  const text = typeof given === 'string' ? given : decoded(given, where, end);
  if (text.length > DEEPEST && isTooDeep(text)) {
    throw new UserError(`${where}broken JSON, got more than ${DEEPEST} brackets within each other${end}`);
  }
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new UserError(`${where}broken JSON (${oneLine(/** @type {Error} */ (error).message)})${end}`);
  }
}

/** Whether a value is an object with names, and no array. @param {unknown} value @returns {value is Record<string, any>} */
export function isObject(value) {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** @param {Uint8Array} bytes @param {string} where @param {string} end of an error @returns {string} @throws {UserError} they are no UTF-8 */
function decoded(bytes, where, end) {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new UserError(`${where}broken JSON (it is not UTF-8)${end}`);
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
    if (depth > DEEPEST) return true;
  }
  return false;
}
