/**
 * Joins the labels of tokens to spans of the text. First the wordpieces of a word are put together: the
 * label of the first piece counts for the word, as in training, where the further pieces have no label.
 * Then the words are joined by the scheme of the labels.
 */
import { CheckFailed } from '../../support/errors.js';
import { findMostProbable } from '../evaluation/evaluation.js';

/**
 * @typedef {object} TokenLabel
 * @property {string} token as it is in the vocab
 * @property {number} start in UTF-16 units of the text
 * @property {number} end in UTF-16 units of the text
 * @property {string} label the most probable label of this token, whatever counts for its word
 * @property {number} probability of that label
 *
 * @typedef {object} Span
 * @property {string} label without `B-`, `I-`, …; empty if the labels are only `B`, `I`, …
 * @property {string} text the part of the text from `start` to `end`
 * @property {number} start in UTF-16 units of the text
 * @property {number} end in UTF-16 units of the text
 * @property {number} score the mean, over the pieces of the span, of the probability that each piece
 *   gives to the label that counts for its word
 *
 * @typedef {{tokens: TokenLabel[], spans: Span[]}} TokenAnswer
 *
 * @typedef {{label: string, start: number, end: number, shares: number[]}} Word `shares`: what each of
 *   its pieces gives to `label`
 * @typedef {{type: string, begins: boolean, ends: boolean}} Tag
 * @typedef {'BIO' | 'BIOES' | 'none'} Scheme
 */

/** The prefix of a wordpiece that goes on with a word. */
export const CONTINUATION = '##';
/** The label of what is in no span. */
const OUTSIDE = 'O';
/**
 * Prefixes of labels that begin, continue or end a span. `M` is `I` in the scheme BMES, which Chinese word
 * segmentation uses.
 */
const TAGS = { BIO: /^([BI])(?:-(.*))?$/s, BIOES: /^([BIMES])(?:-(.*))?$/s };

/**
 * Labels the tokens of a text.
 *
 * @param {string} text
 * @param {import('./bundle_head.js').Row} scores float32[sequence, labels], those of [CLS] and [SEP] among them
 * @param {import('../../tokenizer/index.js').DetailedEncoding} encoding of the text, [CLS] and [SEP] at its ends
 * @param {import('./bundle_head.js').BundleHead} head
 * @returns {TokenAnswer} without [CLS] and [SEP]
 * @throws {CheckFailed} the model gave another number of scores
 */
export function labelTokens(text, scores, { tokens: names, offsets }, head) {
  const { labels, scheme = 'none' } = head;
  const width = labels.length;
  if (scores.length !== names.length * width) {
    throw new CheckFailed(
      `${head.output}: got ${scores.length} scores, expected ${names.length * width}, ` +
        `one for each of ${names.length} tokens and ${width} labels; export the bundle again`,
    );
  }
  /** @type {TokenLabel[]} */
  const tokens = [];
  /** @type {Word[]} */
  const words = [];
  let counts = 0; // the index of the label that counts for the word
  for (let i = 1; i < names.length - 1; i += 1) {
    const row = head.activate(/** @type {Float32Array} */ (scores.subarray(i * width, (i + 1) * width)));
    const best = findMostProbable(row);
    const [start, end] = offsets[i];
    const token = names[i];
    tokens.push({ token, start, end, label: labels[best], probability: row[best] });
    const word = words.at(-1);
    if (word !== undefined && token.startsWith(CONTINUATION)) {
      word.end = Math.max(word.end, end);
      word.shares.push(row[counts]);
    } else {
      counts = best;
      words.push({ label: labels[best], start, end, shares: [row[best]] });
    }
  }
  return { tokens, spans: joinSpans(text, words, scheme) };
}

/**
 * @param {string} text
 * @param {Word[]} words
 * @param {Scheme} scheme
 * @returns {Span[]}
 */
function joinSpans(text, words, scheme) {
  /** @type {Word[]} */
  const spans = [];
  /** Whether the next word may join the last span. */
  let open = false;
  for (const { label, start, end, shares } of words) {
    const tag = parseTag(label, scheme);
    const last = spans.at(-1);
    if (tag === undefined) {
      open = false;
      continue;
    }
    // An `I-` or `E-` that continues nothing begins a span.
    if (open && !tag.begins && last?.label === tag.type) {
      last.end = Math.max(last.end, end);
      last.shares.push(...shares);
    } else {
      spans.push({ label: tag.type, start, end, shares: [...shares] });
    }
    open = !tag.ends;
  }
  return spans.map(({ label, start, end, shares }) => ({
    label,
    text: text.slice(start, end),
    start,
    end,
    score: shares.reduce((sum, share) => sum + share, 0) / shares.length,
  }));
}

/**
 * @param {string} label
 * @param {Scheme} scheme
 * @returns {Tag | undefined} undefined: outside of all spans. A label without a prefix continues a span of
 *   equal labels.
 *
 * @example parseTag('B-PER', 'BIO') // { type: 'PER', begins: true, ends: false }
 */
function parseTag(label, scheme) {
  const { prefix, type } = splitLabel(label, scheme);
  if (prefix === OUTSIDE) return undefined;
  return { type, begins: prefix === 'B' || prefix === 'S', ends: prefix === 'E' || prefix === 'S' };
}

/**
 * @param {string} label
 * @param {Scheme} scheme
 * @returns {{prefix: 'B' | 'I' | 'E' | 'S' | 'O' | '', type: string}} an empty prefix: the label has none
 *
 * @example splitLabel('M-PER', 'BIOES') // { prefix: 'I', type: 'PER' }
 */
export function splitLabel(label, scheme) {
  if (label === OUTSIDE) return { prefix: OUTSIDE, type: '' };
  const match = scheme === 'none' ? null : TAGS[scheme].exec(label);
  if (match === null) return { prefix: '', type: label };
  const [, prefix, type = ''] = match;
  return { prefix: prefix === 'M' ? 'I' : /** @type {'B' | 'I' | 'E' | 'S'} */ (prefix), type };
}
