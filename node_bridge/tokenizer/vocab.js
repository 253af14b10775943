/**
 * Reads `vocab.txt` of a bundle: one token per line; the id is the line number, from 0.
 * The exporter (export/tokenizer/vocab.py) checks the file; both must see the same lines.
 */
import { UserError } from '../support/errors.js';

/** The most lines; the largest vocabs in use have a million. */
const MAX_LINES = 2 ** 22;

/**
 * Only \n ends a line. The last \n may be missing. \r\n ends a line only if every line ends with it.
 *
 * @param {Uint8Array} bytes
 * @returns {string[]} the tokens in the order of their ids
 * @throws {UserError} the bytes are invalid UTF-8, or there are too many lines
 */
export function parseVocab(bytes) {
  let text;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new UserError('vocab.txt is not valid UTF-8; export the bundle again');
  }
  let ends = 0;
  for (const byte of bytes) ends += Number(byte === 0x0a);
  if (ends > MAX_LINES) throw new UserError(`vocab.txt has ${ends} lines, expected at most ${MAX_LINES}`);
  const lines = text.split('\n');
  if (lines.at(-1) === '') lines.pop();
  const ended = text.endsWith('\n') ? lines : lines.slice(0, -1);
  if (ended.length > 0 && ended.every((line) => line.endsWith('\r'))) {
    return lines.map((line) => (line.endsWith('\r') ? line.slice(0, -1) : line));
  }
  return lines;
}

// The vocab as a trie over code points, with one tree for pieces that begin a word and one for the
// `##` pieces. Characters become small numbers, the symbols of the trie's alphabet; 0 means a character
// that is in no piece.

/** The root of the pieces that begin a word. */
export const START = 0;
/** The root of the `##` pieces. */
export const CONTINUE = 1;

const PREFIX = '##';
const BMP = 0x10000;

/** A trie of the pieces of a vocab. All edges except those of the roots are in one open-addressed hash table. */
export class Trie {
  /**
   * @param {string[]} tokens in the order of their ids
   * @param {Uint8Array} isolated 1 for characters that exclude a longer piece from the trie
   * @param {boolean} [lastWins] whether a token on several lines has the id of the last line, as in
   *   Hugging Face's library, or of the first
   */
  constructor(tokens, isolated, lastWins = false) {
    /** @private */
    this.lastWins = lastWins;
    let letters = 0;
    let deeper = 0;
    for (const token of tokens) {
      letters += token.length;
      deeper += Math.max(0, token.length - 1);
    }
    /** The node after each symbol from the two roots, at `symbol * 2 + root`; -1 if there is none. */
    this.fromRoots = new Int32Array((letters + 2) * 2).fill(-1);
    let capacity = 1024;
    while (capacity < deeper * 3) capacity *= 2;
    this.mask = capacity - 1;
    this.fromNode = new Int32Array(capacity).fill(-1);
    this.bySymbol = new Int32Array(capacity);
    this.toNode = new Int32Array(capacity);
    /** The id of the piece that ends at a node, or -1. */
    this.idAt = new Int32Array(letters + 2).fill(-1);
    this.nodes = 2;
    /** The symbols of characters up to U+FFFF; `astralSymbols` has the others. */
    this.symbols = new Int32Array(BMP);
    /** @type {Map<number, number>} */
    this.astralSymbols = new Map();
    this.alphabet = 1;
    const anyIsolated = isolated.includes(1);
    tokens.forEach((token, id) => {
      if (token === PREFIX) return;
      const goesOn = token.startsWith(PREFIX);
      const from = goesOn ? PREFIX.length : 0;
      if (anyIsolated && isExcluded(token, from, isolated)) return;
      this.add(goesOn ? CONTINUE : START, token, from, id);
    });
  }

  /**
   * The symbol of a character; 0 if no piece has it.
   *
   * @param {number} codePoint
   */
  symbolOf(codePoint) {
    return codePoint < BMP ? this.symbols[codePoint] : (this.astralSymbols.get(codePoint) ?? 0);
  }

  /**
   * The id of a character that is a piece by itself, or -1.
   *
   * @param {number} codePoint
   */
  idOfCharacter(codePoint) {
    const node = this.step(START, this.symbolOf(codePoint));
    return node === -1 ? -1 : this.idAt[node];
  }

  /**
   * The node after one more character, or -1.
   *
   * @param {number} node
   * @param {number} symbol
   */
  step(node, symbol) {
    if (node <= CONTINUE) return this.fromRoots[symbol * 2 + node];
    const { mask, fromNode, bySymbol } = this;
    let entry = hashEdge(node, symbol) & mask;
    while (fromNode[entry] !== -1) {
      if (fromNode[entry] === node && bySymbol[entry] === symbol) return this.toNode[entry];
      entry = (entry + 1) & mask;
    }
    return -1;
  }

  /**
   * Adds a piece.
   *
   * @param {number} node the root for the piece
   * @param {string} token
   * @param {number} from position in the token where the piece begins
   * @param {number} id of the token
   */
  add(node, token, from, id) {
    const { mask, fromRoots, fromNode, bySymbol, toNode } = this;
    for (let i = from; i < token.length; i++) {
      const codePoint = /** @type {number} */ (token.codePointAt(i));
      if (codePoint >= BMP) i++;
      const symbol = this.symbolOf(codePoint) || this.addSymbol(codePoint);
      if (node <= CONTINUE) {
        const edge = symbol * 2 + node;
        if (fromRoots[edge] === -1) fromRoots[edge] = this.nodes++;
        node = fromRoots[edge];
        continue;
      }
      let entry = hashEdge(node, symbol) & mask;
      while (fromNode[entry] !== -1 && (fromNode[entry] !== node || bySymbol[entry] !== symbol)) {
        entry = (entry + 1) & mask;
      }
      if (fromNode[entry] === -1) {
        fromNode[entry] = node;
        bySymbol[entry] = symbol;
        toNode[entry] = this.nodes++;
      }
      node = toNode[entry];
    }
    if (this.lastWins || this.idAt[node] === -1) this.idAt[node] = id;
  }

  /** Adds a character to the alphabet. @param {number} codePoint @returns {number} its symbol */
  addSymbol(codePoint) {
    if (codePoint < BMP) this.symbols[codePoint] = this.alphabet;
    else this.astralSymbols.set(codePoint, this.alphabet);
    return this.alphabet++;
  }
}

/**
 * Whether a token has an isolated character, and is a `##` piece or longer than one character.
 *
 * @param {string} token
 * @param {number} from
 * @param {Uint8Array} isolated
 */
function isExcluded(token, from, isolated) {
  const first = /** @type {number} */ (token.codePointAt(from));
  if (from === 0 && token.length === (first >= BMP ? 2 : 1)) return false;
  for (let i = from; i < token.length; i++) {
    const codePoint = /** @type {number} */ (token.codePointAt(i));
    if (isolated[codePoint] === 1) return true;
    if (codePoint >= BMP) i++;
  }
  return false;
}

/**
 * @param {number} node
 * @param {number} symbol
 */
function hashEdge(node, symbol) {
  const mixed = Math.imul(node, 0x9e3779b1) ^ Math.imul(symbol, 0x85ebca6b);
  return mixed ^ (mixed >>> 15);
}
