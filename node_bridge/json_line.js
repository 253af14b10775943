/** One line of JSON lines. */
import { UserError, oneLine } from './errors.js';

/**
 * @param {string} content
 * @returns {Record<string, unknown>}
 * @throws {UserError} broken JSON, or no object
 */
export function parseObject(content) {
  let value;
  try {
    value = JSON.parse(content);
  } catch (error) {
    const { message } = /** @type {Error} */ (error);
    throw new UserError(`broken JSON, expected an object a line (${oneLine(message)})`);
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value;
  throw new UserError(`got ${oneLine(content.slice(0, 40))}, expected a JSON object`);
}
