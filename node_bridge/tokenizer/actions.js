/**
 * Tables and vocab brought together: for each UTF-16 unit one number that says what to do, so
 * that the common characters cost one look-up. A unit's number is made when the unit is first
 * met: making all of them would be a third of the time that a tokenizer takes to load.
 */
import { ALONE, LETTER, MORE, SPACE, VANISHED } from './tables.js';

/** Ends the word. */
export const END_WORD = -1;
/** Leaves nothing. */
export const SKIP = -2;
/** Needs the long way: several symbols, a combining mark, a surrogate. */
export const LONG_WAY = -3;
/** Was not met so far; `meet` it. */
export const UNMET = -4;
/** This and below: a letter, `FIRST_LETTER - symbol` with the trie's symbol. */
export const FIRST_LETTER = -5;

const UNITS = 0x10000;

/** The actions of one tokenizer. */
export class Actions {
  /**
   * @param {import('./tables.js').CharacterTables} tables
   * @param {import('./trie.js').Trie} trie
   * @param {number} unknown the id of [UNK]
   */
  constructor(tables, trie, unknown) {
    this.tables = tables;
    this.trie = trie;
    this.unknown = unknown;
    /** An id (0 or more) for a unit that is a word by itself, else one of the actions above. */
    this.ofUnit = new Int32Array(UNITS).fill(UNMET);
    /** What a letter counts towards the word limit. */
    this.weights = new Uint8Array(UNITS);
  }

  /**
   * Makes a unit's number and weight.
   *
   * @param {number} unit
   */
  meet(unit) {
    const symbol = unit >= 0xd800 && unit < 0xe000 ? MORE : this.tables.onlySymbol(unit);
    this.ofUnit[unit] = symbol === VANISHED ? SKIP : symbol === MORE ? LONG_WAY : this.actionOf(symbol);
    if (symbol >= 0) this.weights[unit] = weightOf(symbol >> 2, this.tables.limitInBytes);
  }

  /**
   * @private
   * @param {number} symbol of the tables: a code point and a kind
   */
  actionOf(symbol) {
    const { trie } = this;
    const codePoint = symbol >> 2;
    const kind = symbol & 3;
    if (kind === LETTER) return FIRST_LETTER - trie.symbolOf(codePoint);
    if (kind === SPACE) return trie.symbolOf(codePoint) === 0 ? END_WORD : LONG_WAY;
    if (kind !== ALONE) return LONG_WAY;
    const id = trie.idOfCharacter(codePoint);
    return id === -1 ? this.unknown : id;
  }
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
