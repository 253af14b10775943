/**
 * How a text is read that is longer than the positions it may take. Everything else that knows of long texts
 * uses this file: here a text becomes one row of ids, or several.
 *
 * The rule, for `maxLength` positions. A single text leaves `maxLength - 2` of them to its tokens, since [CLS]
 * and [SEP] are in every row; a pair leaves `maxLength - 3`.
 *
 * - `cut` keeps the first tokens. How many of each text of a pair stay is decided in truncate.js.
 * - `head-tail` keeps as many tokens as `cut`: of each text the first quarter of them, rounded up, from its start
 *   and the others from its end (128 and 382 of 510, as in "How to Fine-Tune BERT for Text Classification").
 * - `windows` keeps all tokens, in several rows. Each window begins `stride` tokens after the one before, and
 *   the last one begins earlier where it would go beyond the end: so every window is full.
 *   In a pair the longer text has windows (of two equally long ones the second), and the shorter text is in
 *   each of them. If the shorter text has more than half of the tokens of a row, rounded down, it is cut there.
 *   A stride that is larger than what is left for a window of a pair counts as that.
 *
 * A text that fits has one row, the same for all three.
 */
import { NO_LIMIT } from './truncate.js';

/** The share of `head-tail` that is read from the start. */
const HEAD_SHARE = 1 / 4;

/**
 * @typedef {import('./index.js').Encoding} Encoding
 * @typedef {{text: string, pair?: string}} Text
 * @typedef {{encode: (text: string, options: {pair?: string, maxLength?: number, specialTokens?: boolean}) => Encoding,
 *   maxLength?: number}} Tokenizer
 *   `maxLength`: what its texts are cut to by default
 * @typedef {import('./long_rule.js').LongRule} LongRule
 * @typedef {[number, number]} Span from the first position to the one after the last
 */

/** Reads texts by a rule. */
export class TextReader {
  #tokenizer;
  #rule;
  #specialTokens;

  /**
   * @param {Tokenizer} tokenizer
   * @param {object} [how]
   * @param {number} [how.maxLength] positions that a text may take; by default those of the tokenizer
   * @param {LongRule} [how.long]
   * @param {boolean} [how.specialTokens] whether [CLS] and [SEP] are added; without them long texts are cut
   */
  constructor(tokenizer, { maxLength = tokenizer.maxLength, long, specialTokens = true } = {}) {
    this.#tokenizer = tokenizer;
    this.#rule = long;
    this.#specialTokens = specialTokens;
    this.maxLength = maxLength;
  }

  /** @param {Text} text @returns {Reading} */
  read({ text, pair }) {
    const specialTokens = this.#specialTokens;
    const cut = this.#tokenizer.encode(text, { pair, maxLength: this.maxLength, specialTokens });
    const { length } = cut.ids;
    if (this.maxLength === undefined || length < this.maxLength) return new Reading(cut);
    const whole = this.#tokenizer.encode(text, { pair, maxLength: NO_LIMIT, specialTokens });
    if (whole.ids.length <= length) return new Reading(cut);
    const positions = whole.ids.length;
    if (this.#rule === undefined) return new Reading(cut, { positions, unread: positions - length });
    const sizes = countTokens(whole.typeIds, pair !== undefined);
    const layout =
      this.#rule.choice === 'head-tail'
        ? layOutHeadTail(sizes, countTokens(cut.typeIds, pair !== undefined))
        : layOutWindows(sizes, this.maxLength, /** @type {number} */ (this.#rule.stride));
    return new Reading(whole, { positions, ...layout });
  }
}

/**
 * @typedef {object} Layout
 * @property {number} positions of the whole text
 * @property {number} unread how many of them are in no row
 * @property {number[]} [starts] of windows: the first token of each
 * @property {(start: number) => Span[]} [spansAt] the parts of the encoding that a row has; without it a row has all
 */

/** A text as one row of ids, or as several. Rows are made when they are asked for. */
export class Reading {
  #encoding;
  #starts;
  #spansAt;

  /**
   * @param {Encoding} encoding of which the rows are parts
   * @param {Layout} [layout] by default one row has all of it
   */
  constructor(encoding, { positions, unread, starts = [0], spansAt } = { positions: encoding.ids.length, unread: 0 }) {
    this.#encoding = encoding;
    this.#starts = starts;
    this.#spansAt = spansAt;
    /** How many positions the whole text has. */
    this.positions = positions;
    /** How many of them are in no row. */
    this.unread = unread;
  }

  /** How many rows there are. */
  get count() {
    return this.#starts.length;
  }

  /** Row i: [CLS] … [SEP]. @param {number} i @returns {Encoding} */
  row(i) {
    if (this.#spansAt === undefined) return this.#encoding;
    const spans = this.#spansAt(this.#starts[i]);
    const { ids, typeIds } = this.#encoding;
    return { ids: joinSpans(ids, spans), typeIds: joinSpans(typeIds, spans) };
  }

  /**
   * The positions of a single text for which window i counts: those whose distance to the nearest end of the
   * window where the text goes on is larger than in any other window; of two equal ones the first window counts.
   *
   * @param {number} i
   * @returns {{from: number, to: number, shift: number}} positions of the whole text; less `shift` they are
   *   positions of the window
   */
  ownedBy(i) {
    const starts = this.#starts;
    const last = starts.length - 1;
    const room = this.positions - 2 - starts[last];
    // The middle of what two windows have in common is the border between them.
    const border = (/** @type {number} */ right) => Math.floor((starts[right - 1] + starts[right] + room - 1) / 2) + 2;
    return {
      from: i === 0 ? 0 : border(i),
      to: i === last ? this.positions : border(i + 1),
      shift: starts[i],
    };
  }
}

/**
 * @param {Int32Array} typeIds of a text, with special tokens
 * @param {boolean} isPair
 * @returns {number[]} tokens without special ones: of the text, and of its pair if it has one
 */
function countTokens(typeIds, isPair) {
  if (!isPair) return [typeIds.length - 2];
  const second = typeIds.reduce((sum, type) => sum + type, 0);
  return [typeIds.length - second - 2, second - 1];
}

/**
 * @param {number[]} sizes tokens of the text, and of its pair
 * @param {number[]} kept how many of each `cut` keeps
 * @returns {Omit<Layout, 'positions'>}
 */
function layOutHeadTail(sizes, kept) {
  /** @type {Span[]} */
  const spans = [[0, 1]];
  let at = 1; // the first token of a text
  sizes.forEach((size, i) => {
    const head = Math.ceil(HEAD_SHARE * kept[i]);
    const tail = kept[i] - head;
    spans.push([at, at + head], [at + size - tail, at + size + 1]); // with [SEP]
    at += size + 1;
  });
  return { unread: sum(sizes) - sum(kept), spansAt: () => spans };
}

/**
 * @param {number[]} sizes tokens of the text, and of its pair
 * @param {number} maxLength
 * @param {number} stride
 * @returns {Omit<Layout, 'positions'>}
 */
function layOutWindows([first, second], maxLength, stride) {
  const middle = first + 1; // the first [SEP]
  if (second === undefined) {
    const room = maxLength - 2;
    return {
      unread: 0,
      starts: findWindowStarts(first, room, stride),
      spansAt: (start) => [
        [0, 1],
        [1 + start, 1 + start + room],
        [middle, middle + 1],
      ],
    };
  }
  const available = maxLength - 3;
  const shorter = Math.min(first, second);
  const kept = Math.min(shorter, Math.floor(available / 2));
  const room = available - kept;
  const end = middle + 1 + second; // the second [SEP]
  return {
    unread: shorter - kept,
    starts: findWindowStarts(Math.max(first, second), room, Math.min(stride, room)),
    spansAt: (start) =>
      second >= first
        ? [
            [0, 1 + kept],
            [middle, middle + 1],
            [middle + 1 + start, middle + 1 + start + room],
            [end, end + 1],
          ]
        : [
            [0, 1],
            [1 + start, 1 + start + room],
            [middle, middle + 1 + kept],
            [end, end + 1],
          ],
  };
}

/**
 * Where windows begin.
 *
 * @param {number} tokens at least `room`
 * @param {number} room tokens of a window
 * @param {number} stride at most `room`, so that no token is left out
 * @returns {number[]}
 *
 * @example findWindowStarts(11, 4, 3) // [0, 3, 6, 7]
 */
function findWindowStarts(tokens, room, stride) {
  const starts = [];
  for (let start = 0; start < tokens - room; start += stride) starts.push(start);
  return [...starts, tokens - room];
}

/** @param {number[]} numbers */
function sum(numbers) {
  return numbers.reduce((total, number) => total + number, 0);
}

/** @param {Int32Array} values @param {Span[]} spans @returns {Int32Array} */
function joinSpans(values, spans) {
  const joined = new Int32Array(spans.reduce((sum, [from, to]) => sum + to - from, 0));
  let at = 0;
  for (const [from, to] of spans) {
    joined.set(values.subarray(from, to), at);
    at += to - from;
  }
  return joined;
}
