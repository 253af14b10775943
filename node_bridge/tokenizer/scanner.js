/**
 * Turns text into ids, in one pass over its UTF-16 units. Each word is looked up at its end.
 */
import { UserError } from '../support/errors.js';
import { Actions, ALONE, END_WORD, FIRST_LETTER, LETTER, SKIP, SPACE, NOT_COMPUTED, computeWeight } from './tables.js';
import { CONTINUE, START } from './vocab.js';

/** Spare capacity of the output beyond one token per unit, since a whole word may be pending. */
const SPARE_TOKENS = 256;

/** Scans texts. Has the ids of the last texts and their positions in the text. */
export class Scanner {
  /**
   * @param {import('./tables.js').CharacterTables} tables
   * @param {import('./vocab.js').Trie} trie
   * @param {object} meaning
   * @param {number} meaning.unknown the id of [UNK]
   * @param {boolean} meaning.softSpaces whether a space inside a piece of the vocab counts as a letter if
   *   a piece can continue with it (only in `tf-text-fast`)
   */
  constructor(tables, trie, { unknown, softSpaces }) {
    this.tables = tables;
    this.trie = trie;
    this.unknown = unknown;
    this.softSpaces = softSpaces;
    this.actions = new Actions(tables, trie, unknown);
    /** How many tokens there are in `ids`, `starts` and `ends` (UTF-16 units of the text). */
    this.count = 0;
    this.ids = new Int32Array(4096);
    this.starts = new Int32Array(4096);
    this.ends = new Int32Array(4096);
    // The pending word. Letters beyond the limit are counted in `weight` and not stored.
    this.length = 0;
    this.weight = 0;
    /** `count` at the last space: if `count` is larger and no word is pending, a one-character word came just before. */
    this.spaceAt = 0;
    /** Combining marks do not move to the left of this position in the pending word. */
    this.fence = 0;
    const capacity = tables.limit + 1;
    this.symbols = new Int32Array(capacity);
    this.ranks = new Int32Array(capacity);
    this.letterStarts = new Int32Array(capacity);
    this.letterEnds = new Int32Array(capacity);
  }

  /** Removes all tokens, and a pending word that an error may have left. */
  clear() {
    this.count = 0;
    this.length = 0;
    this.weight = 0;
    this.fence = 0;
  }

  /**
   * Appends the tokens of `text` between two positions. Words end at these positions.
   *
   * @param {string} text
   * @param {number} from
   * @param {number} to
   * @throws {UserError} the text has a lone surrogate
   */
  scan(text, from, to) {
    this.reserve(to - from);
    this.spaceAt = this.count;
    const { byUnit: ofUnit, weights } = this.actions;
    // Most characters of a Chinese text are words by themselves. For speed they are written here, with locals.
    let { ids, starts, ends, count } = this;
    for (let i = from; i < to; i++) {
      const unit = text.charCodeAt(i);
      const action = ofUnit[unit];
      if (action >= 0) {
        if (this.length > 0) {
          this.count = count;
          this.endWord();
          count = this.count;
        }
        ids[count] = action;
        starts[count] = i;
        ends[count++] = i + 1;
      } else if (action <= FIRST_LETTER) {
        this.addLetter(FIRST_LETTER - action, weights[unit], i, i + 1);
      } else if (action === NOT_COMPUTED) {
        this.actions.computeAction(unit);
        i--;
      } else if (action !== SKIP) {
        this.count = count;
        if (action === END_WORD) this.passSpace();
        else i = this.scanComplexCharacter(text, i, to);
        ({ ids, starts, ends, count } = this);
      }
    }
    this.count = count;
    if (this.length > 0) this.endWord();
    this.fence = 0;
  }

  /**
   * @param {number} id
   * @param {number} start
   * @param {number} end
   */
  emit(id, start, end) {
    const at = this.count++;
    this.ids[at] = id;
    this.starts[at] = start;
    this.ends[at] = end;
  }

  /**
   * Adds a letter to the pending word.
   *
   * @param {number} symbol of the trie
   * @param {number} weight what it counts towards the word limit
   * @param {number} start of its character in the text
   * @param {number} end of its character in the text
   */
  addLetter(symbol, weight, start, end) {
    if (this.weight <= this.tables.limit) {
      const at = this.length++;
      this.symbols[at] = symbol;
      this.ranks[at] = 0;
      this.letterStarts[at] = start;
      this.letterEnds[at] = end;
    } else {
      this.letterEnds[this.length - 1] = end;
    }
    this.weight += weight;
  }

  /**
   * Scans one character that is no plain letter, no one-character word and no space.
   *
   * @param {string} text
   * @param {number} i
   * @param {number} to
   * @returns {number} the position of the character's last unit
   */
  scanComplexCharacter(text, i, to) {
    const codePoint = /** @type {number} */ (text.codePointAt(i));
    const last = codePoint > 0xffff ? i + 1 : i;
    if ((codePoint >= 0xd800 && codePoint < 0xe000) || last >= to) {
      throw new UserError(
        `the text has a lone surrogate (${formatCodePoint(codePoint)}) at position ${i}: ` +
          'half a character is no text, and Python refuses it too',
      );
    }
    for (const symbol of this.tables.symbols(codePoint)) this.takeSymbol(symbol, i, last + 1);
    this.reserve(to - i);
    return last;
  }

  /**
   * @param {number} symbol of the tables: a code point and a kind
   * @param {number} start
   * @param {number} end
   */
  takeSymbol(symbol, start, end) {
    const codePoint = symbol >> 2;
    const kind = symbol & 3;
    if (kind === LETTER) {
      this.addLetter(this.trie.symbolOf(codePoint), this.weightOf(codePoint), start, end);
      const rank = this.tables.ranks.get(codePoint);
      if (rank !== undefined) this.reorderMark(rank);
    } else if (kind === ALONE) {
      if (this.length > 0) this.endWord();
      const id = this.trie.idOfCharacter(codePoint);
      this.emit(id === -1 ? this.unknown : id, start, end);
    } else if (kind === SPACE) {
      const letter = this.trie.symbolOf(codePoint);
      if (this.softSpaces && letter > 0 && this.canTake(letter, this.weightOf(codePoint))) {
        this.addLetter(letter, this.weightOf(codePoint), start, end);
      } else {
        this.passSpace();
      }
    } else {
      this.fence = this.length;
    }
  }

  passSpace() {
    if (this.length > 0) this.endWord();
    this.spaceAt = this.count;
  }

  /** @param {number} codePoint */
  weightOf(codePoint) {
    return computeWeight(codePoint, this.tables.limitInBytes);
  }

  /**
   * Moves the mark that was just added to its canonical position: left of marks with a higher rank.
   * Offsets do not move with it, as in Hugging Face's library.
   *
   * @param {number} rank
   */
  reorderMark(rank) {
    let at = this.length - 1;
    this.ranks[at] = rank;
    for (; at > this.fence && this.ranks[at - 1] > rank; at--) {
      for (const row of [this.symbols, this.ranks]) {
        [row[at - 1], row[at]] = [row[at], row[at - 1]];
      }
    }
  }

  /** Looks up the pending word, longest piece first. A word that pieces do not cover becomes [UNK]. */
  endWord() {
    const { trie, symbols, letterStarts, letterEnds, length } = this;
    const before = this.count;
    this.length = 0;
    this.fence = 0;
    const tooLong = this.weight > this.tables.limit;
    this.weight = 0;
    for (let at = 0; at < length; ) {
      let node = at === 0 ? START : CONTINUE;
      let id = -1;
      let end = at;
      for (let i = at; i < length && !tooLong; i++) {
        node = trie.step(node, symbols[i]);
        if (node === -1) break;
        if (trie.idAt[node] !== -1) {
          id = trie.idAt[node];
          end = i + 1;
        }
      }
      if (id === -1) {
        this.count = before;
        this.emit(this.unknown, letterStarts[0], letterEnds[length - 1]);
        return;
      }
      this.emit(id, letterStarts[at], letterEnds[end - 1]);
      at = end;
    }
  }

  /**
   * Whether the pending word could continue with one more symbol. Where the trie cannot go on, the longest
   * piece is taken off the front. A one-character word never continues: a space right after it ends it.
   *
   * @param {number} symbol
   * @param {number} weight
   */
  canTake(symbol, weight) {
    if (this.weight + weight > this.tables.limit) return false;
    if (this.length === 0 && this.count > this.spaceAt) return false;
    const { trie, symbols, length } = this;
    for (let at = 0; ; ) {
      let node = at === 0 ? START : CONTINUE;
      let end = -1;
      for (let i = at; i <= length && node !== -1; i++) {
        node = trie.step(node, i < length ? symbols[i] : symbol);
        if (node !== -1 && i === length) return true;
        if (node !== -1 && trie.idAt[node] !== -1) end = i + 1;
      }
      if (end === -1) return false;
      at = end;
    }
  }

  /**
   * Grows the output for `units` more units, with at most one token each, and a pending word.
   *
   * @param {number} units
   */
  reserve(units) {
    const needed = this.count + units + SPARE_TOKENS;
    if (needed <= this.ids.length) return;
    const grown = [this.ids, this.starts, this.ends].map((old) => {
      const larger = new Int32Array(needed * 2);
      larger.set(old);
      return larger;
    });
    [this.ids, this.starts, this.ends] = grown;
  }
}

/**
 * A code point up to U+FFFF as `U+XXXX`. Written without functions of the host.
 *
 * @param {number} codePoint
 */
function formatCodePoint(codePoint) {
  return `U+${[12, 8, 4, 0].map((shift) => '0123456789ABCDEF'[(codePoint >> shift) & 15]).join('')}`;
}
