/**
 * Tables and vocab brought together: for each UTF-16 unit one number that says what to do, so
 * that the common characters cost one look-up.
 */
import { ALONE, LETTER, SPACE, VANISHED } from './tables.js';

/** Ends the word. */
export const END_WORD = -1;
/** Leaves nothing. */
export const SKIP = -2;
/** Needs the long way: several symbols, a combining mark, a surrogate. */
export const LONG_WAY = -3;
/** This and below: a letter, `FIRST_LETTER - symbol` with the trie's symbol. */
export const FIRST_LETTER = -4;

const UNITS = 0x10000;

/**
 * @param {import('./tables.js').CharacterTables} tables
 * @param {import('./trie.js').Trie} trie
 * @param {number} unknown the id of [UNK]
 * @returns {{actions: Int32Array, weights: Uint8Array}} for each UTF-16 unit: an id (0 or more)
 *   for a character that is a word by itself, else one of the actions above; and what a letter
 *   counts towards the word limit
 */
export function actionsOf(tables, trie, unknown) {
  const actions = new Int32Array(UNITS).fill(LONG_WAY);
  const weights = new Uint8Array(UNITS);
  for (let unit = 0; unit < UNITS; unit++) {
    if (unit >= 0xd800 && unit < 0xe000) continue;
    const symbol = tables.onlySymbol(unit);
    if (symbol === VANISHED) actions[unit] = SKIP;
    if (symbol < 0) continue;
    const codePoint = symbol >> 2;
    const kind = symbol & 3;
    if (kind === LETTER) {
      actions[unit] = FIRST_LETTER - trie.symbolOf(codePoint);
      weights[unit] = weightOf(codePoint, tables.limitInBytes);
    } else if (kind === ALONE) {
      const id = trie.idOfCharacter(codePoint);
      actions[unit] = id === -1 ? unknown : id;
    } else if (kind === SPACE && trie.symbolOf(codePoint) === 0) {
      actions[unit] = END_WORD;
    }
  }
  return { actions, weights };
}

/**
 * What a letter counts towards the word limit: 1, or its length in UTF-8.
 *
 * @param {number} codePoint
 * @param {boolean} inBytes
 */
export function weightOf(codePoint, inBytes) {
  if (!inBytes || codePoint < 0x80) return 1;
  if (codePoint < 0x800) return 2;
  return codePoint < 0x10000 ? 3 : 4;
}
