/**
 * Finds the nearest known name for an unknown option, of a command or of a function. A misspelt
 * option must not be ignored silently: the result would be the answer to another question.
 */
import { UserError } from './errors.js';

/** The most edits that count as a typing mistake. */
const MAX_EDITS = 2;

/**
 * The known name that was most likely meant: one that is at most two edits away, or begins with it.
 *
 * @param {string} name
 * @param {readonly string[]} known
 * @returns {string | undefined} undefined if none is near
 *
 * @example nearest('epoch', ['epochs', 'seed']) // 'epochs'
 */
export function findNearestName(name, known) {
  const typed = normalizeName(name);
  if (typed === '') return undefined;
  const ranked = known
    .map((option) => ({ option, edits: editDistance(typed, normalizeName(option)) }))
    .sort((a, b) => a.edits - b.edits);
  const close = ranked.find(
    ({ option, edits: count }) =>
      count <= Math.min(MAX_EDITS, Math.floor(Math.min(typed.length, normalizeName(option).length) / 2)),
  );
  const longer = ranked.find(({ option }) => typed.length > 1 && normalizeName(option).startsWith(typed));
  return (close ?? longer)?.option;
}

/**
 * Refuses options that a function does not have.
 *
 * @param {string} where the function, as its callers write it
 * @param {unknown} options as the caller passed them
 * @param {readonly string[]} known
 * @throws {UserError} they are not an object, or one is not known
 */
export function assertOptions(where, options, known) {
  const names = known.join(', ') || 'none';
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    throw new UserError(`Expected the options of ${where} to be an object with ${names}, got ${JSON.stringify(options)}`);
  }
  for (const name in options) {
    if (known.includes(name)) continue;
    const meant = findNearestName(name, known);
    const hint = meant === undefined ? `it has ${names}` : `did you mean \`${meant}\`?`;
    throw new UserError(`${where} has no option \`${name}\`; ${hint}`);
  }
}

/** Removes case, hyphens and underscores: `maxLength`, `max_length` and `max-length` become the same. @param {string} name */
function normalizeName(name) {
  return name.toLowerCase().replace(/[-_]/g, '');
}

/**
 * How many letters must be inserted, removed, changed or swapped with their neighbour. Too short to be
 * a dependency of everyone who installs this package.
 *
 * @param {string} one
 * @param {string} other
 */
function editDistance(one, other) {
  /** @type {number[][]} */
  const table = Array.from({ length: one.length + 1 }, (_, i) => [i]);
  for (let j = 1; j <= other.length; j += 1) table[0][j] = j;
  for (let i = 1; i <= one.length; i += 1) {
    for (let j = 1; j <= other.length; j += 1) {
      const changed = table[i - 1][j - 1] + (one[i - 1] === other[j - 1] ? 0 : 1);
      table[i][j] = Math.min(table[i - 1][j] + 1, table[i][j - 1] + 1, changed);
      const swapped = i > 1 && j > 1 && one[i - 1] === other[j - 2] && one[i - 2] === other[j - 1];
      if (swapped) table[i][j] = Math.min(table[i][j], table[i - 2][j - 2] + 1);
    }
  }
  return table[one.length][other.length];
}
