/**
 * Reads `tokenizer_tables.bin`: what the Python tokenizer makes of each character. So the ids do not
 * depend on the Unicode tables of Node or of the browser.
 * The layout is in docs/tokenizer_tables.md, the writer is support/tokenizer_tables.py.
 */
import { UserError } from '../support/errors.js';

/** Kinds of symbols: a symbol is `code point * 4 + kind`. */
export const LETTER = 0;
export const ALONE = 1;
export const SPACE = 2;
const BLOCK = 3;

/** Results of `onlySymbol`: the character vanishes, or it does not become exactly one symbol. */
const VANISHED = -1;
const NOT_ONE = -2;

/** The class of a character: one of the first three kinds if it stays as it is, or one of these. */
const VANISHES = 3;
const BLOCKS = 4;
const FOLDED = 5;

const UNICODE = 0x110000;
/** The most symbols of a character; the longest folding in Unicode has 18. */
const MAX_SYMBOLS = 64;
/** The largest word limit; all known tokenizers have 100. */
const MAX_WORD_LENGTH = 1000;
const MAGIC = 'BBTT';
const VERSION = 1;
const NO_SYMBOLS = /** @type {number[]} */ ([]);
const ONLY_BLOCK = [BLOCK];

/** The character tables of one tokenizer. */
export class CharacterTables {
  /** @param {Uint8Array} bytes */
  constructor(bytes) {
    const from = new VarintReader(bytes);
    /** Whether the word limit counts UTF-8 bytes, else code points. */
    this.limitInBytes = from.next() === 1;
    /** The longest word that is looked up; a longer one is unknown. */
    this.limit = from.next();
    if (this.limit < 1 || this.limit > MAX_WORD_LENGTH) {
      throw new UserError(`tokenizer_tables.bin: got words of up to ${this.limit}, expected 1 to ${MAX_WORD_LENGTH}`);
    }
    this.classes = readRuns(from);
    this.folds = new Folds(from, this.classes);
    /** @type {Map<number, number>} rank of each combining mark that survives */
    this.ranks = new Map();
    for (let count = from.next(), mark = 0; count > 0; count--) {
      mark += from.next();
      if (mark >= UNICODE) throw new UserError('tokenizer_tables.bin has a mark that is no character; export the bundle again');
      this.ranks.set(mark, from.next());
    }
    /** 1 for characters that `tf-text-fast` allows only as tokens by themselves; all 0 for other algorithms. */
    this.isolated = readRuns(from);
    from.expectEnd();
  }

  /**
   * The symbols that a character becomes, in order; empty if it vanishes.
   *
   * @param {number} codePoint
   * @returns {number[]}
   */
  symbols(codePoint) {
    const stored = this.classes[codePoint];
    if (stored < VANISHES) return [codePoint * 4 + stored];
    if (stored === FOLDED) return this.folds.symbolsOf(codePoint);
    return stored === BLOCKS ? ONLY_BLOCK : NO_SYMBOLS;
  }

  /**
   * The only symbol that a character becomes; VANISHED if there is none; NOT_ONE if there are several,
   * or if a rule for several characters applies.
   *
   * @param {number} codePoint
   */
  onlySymbol(codePoint) {
    const stored = this.classes[codePoint];
    if (stored === VANISHES) return VANISHED;
    if (stored === BLOCKS) return NOT_ONE;
    let symbol = codePoint * 4 + stored;
    if (stored === FOLDED) {
      const symbols = this.folds.symbolsOf(codePoint);
      if (symbols.length !== 1) return NOT_ONE;
      [symbol] = symbols;
    }
    return this.ranks.size > 0 && this.ranks.has(symbol >> 2) ? NOT_ONE : symbol;
  }
}

/** Reads numbers with 7 bits per byte, lowest bits first; the top bit is set on all bytes but the last. */
class VarintReader {
  /** @param {Uint8Array} bytes */
  constructor(bytes) {
    const magic = String.fromCharCode(...bytes.subarray(0, 4));
    if (magic !== MAGIC || bytes[4] !== VERSION) {
      throw new UserError('tokenizer_tables.bin is of another format; export the bundle again');
    }
    this.bytes = bytes;
    this.at = 5;
  }

  next() {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = this.bytes[this.at++];
      if (byte === undefined) throw new UserError('tokenizer_tables.bin is cut off');
      value |= (byte & 0x7f) << shift;
      if (shift > 28 || value < 0)
        throw new UserError('tokenizer_tables.bin has a number that is too large; export the bundle again');
      if (byte < 0x80) return value;
    }
  }

  expectEnd() {
    if (this.at !== this.bytes.length) {
      throw new UserError(`tokenizer_tables.bin has ${this.bytes.length} bytes, expected ${this.at}`);
    }
  }
}

/**
 * @param {VarintReader} from
 * @returns {Uint8Array} uint8[0x110000], the class of each code point
 */
function readRuns(from) {
  const classes = new Uint8Array(UNICODE);
  let at = 0;
  for (let count = from.next(); count > 0; count--) {
    const run = from.next();
    if ((run & 7) > FOLDED || at + (run >>> 3) > UNICODE) {
      throw new UserError(
        'tokenizer_tables.bin has a class that there is not, or classes for more characters than there are; export the bundle again',
      );
    }
    classes.fill(run & 7, at, at + (run >>> 3));
    at += run >>> 3;
  }
  if (at !== UNICODE) throw new UserError(`tokenizer_tables.bin covers ${at} characters, not all`);
  return classes;
}

/** The symbols of folded characters, in one array. */
class Folds {
  /**
   * @param {VarintReader} from symbols are stored as differences from those of the previous folded character
   * @param {Uint8Array} classes
   */
  constructor(from, classes) {
    /** @type {number[]} the folded characters, ascending */
    this.characters = [];
    /** @type {number[]} for each folded character the start of its symbols in `symbols`, and the end of the last */
    this.bounds = [0];
    /** @type {number[]} */
    const symbols = [];
    let last = 0;
    for (let c = classes.indexOf(FOLDED); c !== -1; c = classes.indexOf(FOLDED, c + 1)) {
      const first = symbols.length;
      const count = from.next();
      if (count > MAX_SYMBOLS) {
        throw new UserError(
          `tokenizer_tables.bin makes ${count} symbols of a character, expected at most ${MAX_SYMBOLS}; export the bundle again`,
        );
      }
      for (let i = 0; i < count; i++) {
        const base = last + i < first ? symbols[last + i] : c * 4;
        const zigzag = from.next();
        const symbol = base + ((zigzag >>> 1) ^ -(zigzag & 1));
        if (symbol < 0 || symbol >= UNICODE * 4)
          throw new UserError('tokenizer_tables.bin has a symbol of no character; export the bundle again');
        symbols.push(symbol);
      }
      this.characters.push(c);
      this.bounds.push(symbols.length);
      last = first;
    }
    this.symbols = symbols;
    /** @type {Map<number, number[]>} */
    this.cache = new Map();
  }

  /**
   * @param {number} codePoint a folded character
   * @returns {number[]}
   */
  symbolsOf(codePoint) {
    let found = this.cache.get(codePoint);
    if (found === undefined) {
      const index = this.indexOf(codePoint);
      found = this.symbols.slice(this.bounds[index], this.bounds[index + 1]);
      this.cache.set(codePoint, found);
    }
    return found;
  }

  /** @param {number} codePoint */
  indexOf(codePoint) {
    const { characters } = this;
    let [low, high] = [0, characters.length - 1];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (characters[middle] < codePoint) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

// Actions combine tables and vocab: for each UTF-16 unit one number that says what to do, so common
// characters need one look-up. The action of a unit is computed when the unit comes first; to compute
// all of them would be a third of the loading time of a tokenizer.

/** Ends the word. */
export const END_WORD = -1;
/** Gives no token. */
export const SKIP = -2;
/** Needs more than one step: several symbols, a combining mark, or a surrogate. */
const COMPLEX = -3;
/** Not computed yet; call `computeAction`. */
export const NOT_COMPUTED = -4;
/** This and all smaller numbers: a letter, `FIRST_LETTER - symbol` with the symbol of the trie. */
export const FIRST_LETTER = -5;

const UNITS = 0x10000;

/** The actions of one tokenizer. */
export class Actions {
  /**
   * @param {CharacterTables} tables
   * @param {import('./vocab.js').Trie} trie
   * @param {number} unknown the id of [UNK]
   */
  constructor(tables, trie, unknown) {
    this.tables = tables;
    this.trie = trie;
    this.unknown = unknown;
    /** The id (0 or more) of a unit that is a word by itself, else one of the actions above. */
    this.byUnit = new Int32Array(UNITS).fill(NOT_COMPUTED);
    /** What a letter counts towards the word limit. */
    this.weights = new Uint8Array(UNITS);
  }

  /**
   * Computes the action and the weight of a unit.
   *
   * @param {number} unit
   */
  computeAction(unit) {
    const symbol = unit >= 0xd800 && unit < 0xe000 ? NOT_ONE : this.tables.onlySymbol(unit);
    this.byUnit[unit] = symbol === VANISHED ? SKIP : symbol === NOT_ONE ? COMPLEX : this.actionOf(symbol);
    if (symbol >= 0) this.weights[unit] = computeWeight(symbol >> 2, this.tables.limitInBytes);
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
    if (kind === SPACE) return trie.symbolOf(codePoint) === 0 ? END_WORD : COMPLEX;
    if (kind !== ALONE) return COMPLEX;
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
export function computeWeight(codePoint, inBytes) {
  if (!inBytes || codePoint < 0x80) return 1;
  if (codePoint < 0x800) return 2;
  return codePoint < 0x10000 ? 3 : 4;
}
