/**
 * Cuts a text and its pair to a length.
 */
import { UserError } from '../support/errors.js';

/**
 * `longest-first`: as the tokenizer's own library cuts a pair (see `cutPair`).
 * `joined`: all tokens with their special tokens are joined and cut at the end, as in older scripts;
 * the last [SEP] may be cut off.
 *
 * @typedef {'longest-first' | 'joined'} Truncation
 */

/** A `maxLength` that cuts nothing: no text has so many tokens. */
export const NO_LIMIT = 2 ** 30;

/** The shortest length with [CLS] and [SEP] that train.js and encode.js take: a pair has three special tokens. */
export const MIN_LENGTH = 3;

/**
 * How many tokens of a text and of its pair stay.
 *
 * @param {import('../bundle/bundle.js').TokenizerContract['algorithm']} algorithm of the tokenizer
 * @param {number} first tokens of the text
 * @param {number} second tokens of its pair, 0 for a single text
 * @param {number} available how many tokens fit, special tokens not counted; negative if the limit is
 *   too small even for special tokens
 * @returns {[number, number]} tokens that stay of each
 */
export function cutPair(algorithm, first, second, available) {
  if (algorithm === 'tf-text' || algorithm === 'tf-text-fast') {
    return cutRoundRobin(first, second, Math.max(0, available));
  }
  // Hugging Face's library takes the special tokens off an unsigned limit, which then wraps
  // around: a limit below their number cuts nothing (tokenizers 0.22 and 0.23).
  if (available < 0 && algorithm === 'bert') return [first, second];
  return cutLongestFirst(first, second, Math.max(0, available));
}

/**
 * TF-Text's `RoundRobinTrimmer`: each round adds one token of each text that has tokens left, the first
 * text first. So the first text gets the odd token.
 *
 * @param {number} first
 * @param {number} second
 * @param {number} available
 * @returns {[number, number]}
 */
function cutRoundRobin(first, second, available) {
  const half = Math.floor(available / 2);
  if (second <= half) return [Math.min(first, available - second), second];
  const ofFirst = Math.min(first, available - half);
  return [ofFirst, Math.min(second, available - ofFirst)];
}

/**
 * Hugging Face's rule: the longer text is cut to the length of the shorter one, then both are cut
 * equally. The longer text gets the odd token, or the second one if they are equal.
 *
 * @param {number} first
 * @param {number} second
 * @param {number} available
 * @returns {[number, number]}
 */
function cutLongestFirst(first, second, available) {
  if (first + second <= available) return [first, second];
  let short = Math.min(first, second);
  let long = short > available ? short : Math.max(short, available - short);
  if (short + long > available) {
    short = Math.floor(available / 2);
    long = available - short;
  }
  return first <= second ? [short, long] : [long, short];
}

/**
 * @param {number} maxLength
 * @throws {UserError} it is not a positive integer
 */
export function assertMaxLength(maxLength) {
  if (Number.isInteger(maxLength) && maxLength > 0) return;
  throw new UserError(`Expected \`maxLength\` to be a positive integer, got \`${maxLength}\``, 'maxLength');
}
