/**
 * How many tokens of a text and of its pair stay.
 */
import { UserError } from '../errors.js';

/**
 * `longest-first`: the longer text is cut down to the shorter, then both alike, as Hugging Face
 * does it; of an odd place left over the longer text gets it, the second where they are equal.
 * `joined`: all tokens in a row with their special tokens, cut at the end, as the older scripts
 * did; the last [SEP] may fall away.
 *
 * @typedef {'longest-first' | 'joined'} Truncation
 */

/**
 * @param {number} first tokens of the text
 * @param {number} second tokens of its pair
 * @param {number} room places for both, special tokens not counted
 * @returns {[number, number]} tokens that stay of each
 */
export function longestFirst(first, second, room) {
  if (first + second <= room) return [first, second];
  let short = Math.min(first, second);
  let long = short > room ? short : Math.max(short, room - short);
  if (short + long > room) {
    short = Math.floor(room / 2);
    long = room - short;
  }
  return first <= second ? [short, long] : [long, short];
}

/**
 * @param {number} maxLength
 * @throws {UserError} not a positive integer
 */
export function checkMaxLength(maxLength) {
  if (Number.isInteger(maxLength) && maxLength > 0) return;
  throw new UserError(`Expected \`maxLength\` to be a positive integer, got \`${maxLength}\``);
}
