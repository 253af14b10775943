/**
 * The choice of how a text is read that is longer than the positions it may take; long_texts.js says what each
 * choice means.
 */
import { UserError } from '../support/errors.js';

/** The choices by name, with what the help says of them. */
export const LONG_CHOICES = /** @type {const} */ ({
  cut: 'its first positions are read',
  'head-tail': 'a quarter of the positions from its start, the others from its end',
  windows: 'all of it, in windows that overlap',
});
/** What becomes of the numbers of a text's windows. */
export const WINDOW_POOLINGS = /** @type {const} */ (['mean', 'max']);
export const DEFAULT_WINDOW_POOLING = 'mean';

/** The shortest length with windows: a pair has three special tokens, and one is left for the window. */
const MIN_WINDOW = 4;

/**
 * @typedef {object} LongRule how long texts are read; undefined stands for `cut`
 * @property {'head-tail' | 'windows'} choice
 * @property {number} [stride] of `windows`: tokens from the start of a window to the start of the next
 * @property {'mean' | 'max' | 'context'} [pooling] of `windows`: what becomes of their numbers. `context` is for
 *   numbers of each token: they are those of the window in which the token has the most context.
 *
 * @typedef {object} LongOptions as a user gives them
 * @property {string} [long] a name in LONG_CHOICES; `cut` by default
 * @property {number} [stride] half a window by default
 * @property {string} [windowPooling] a name in WINDOW_POOLINGS; `mean` by default
 */

/**
 * Checks how long texts shall be read.
 *
 * @param {LongOptions} options
 * @param {number} maxLength positions that a text may take
 * @returns {LongRule | undefined} undefined: they are cut
 * @throws {UserError} a name is unknown, the stride leaves tokens out, or an option is without windows
 */
export function parseLongRule({ long = 'cut', stride, windowPooling }, maxLength) {
  assertName('long', long, Object.keys(LONG_CHOICES));
  if (long !== 'windows') {
    for (const [name, value] of Object.entries({ stride, windowPooling })) {
      if (value === undefined) continue;
      throw new UserError(`Got \`${name}\`, which only windows have, but long texts are read by ${long}; leave it out`, name);
    }
    return long === 'cut' ? undefined : { choice: 'head-tail' };
  }
  if (maxLength < MIN_WINDOW) {
    throw new UserError(`Expected at least ${MIN_WINDOW} positions for windows, got ${maxLength}`);
  }
  const pooling = windowPooling ?? DEFAULT_WINDOW_POOLING;
  assertName('windowPooling', pooling, WINDOW_POOLINGS);
  const room = maxLength - 2;
  const step = stride ?? Math.floor(room / 2);
  if (!(Number.isInteger(step) && step >= 1 && step <= room)) {
    throw new UserError(
      `Expected \`stride\` to be a whole number from 1 to ${room}, the tokens of a window of ${maxLength} positions, got \`${step}\``,
      'stride',
    );
  }
  return { choice: 'windows', stride: step, pooling: /** @type {LongRule['pooling']} */ (pooling) };
}

/** @param {string} option @param {string} name @param {readonly string[]} known */
function assertName(option, name, known) {
  if (known.includes(name)) return;
  throw new UserError(`Expected \`${option}\` to be one of ${known.join(', ')}, got \`${name}\``, option);
}

/**
 * A rule in words.
 *
 * @param {LongRule | undefined} rule
 *
 * @example describeLongRule({ choice: 'windows', stride: 63, pooling: 'mean' }) // 'windows, stride 63, mean'
 */
export function describeLongRule(rule) {
  if (rule === undefined) return 'cut';
  const { choice, stride, pooling } = rule;
  return [choice, ...(stride === undefined ? [] : [`stride ${stride}`]), ...(pooling === undefined ? [] : [pooling])].join(', ');
}
