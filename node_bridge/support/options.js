/**
 * The options of a command, each defined once: its name, its value, its default, how it is parsed, and
 * its line of the help. A key such as `maxLength` is typed as `--max-length`.
 */
import { UserError } from './errors.js';
import { findNearestName } from './option_names.js';

/** The longest line of the help. */
const LINE_LENGTH = 100;
/** The longest `--name VALUE` that has its help on the same line. */
const MAX_LABEL_LENGTH = 22;
const INDENT = '  ';
/** The largest whole number of most options: more is a typing mistake. */
const MAX_COUNT = 1e6;

/**
 * @template T
 * @typedef {object} Option
 * @property {string} help what it means; may be empty if the default says enough
 * @property {T} default
 * @property {string} [value] what the help calls its value; a flag has none
 * @property {string} [defaultText] what the help calls the default, if not by its value
 * @property {readonly string[]} [names] all its values, if there are only a few
 * @property {Record<string, string>} [meanings] of its values, by name
 * @property {boolean} [isRequired] the command does not run without it; its default is not used
 * @property {(typed: string, name: string) => T} parse receives the option's name as it is typed, for
 *   an error; throws a UserError
 */

/** @typedef {Record<string, Option<any>>} Options by key */

/**
 * The parsed values of options.
 *
 * @template {Options} O
 * @typedef {{[K in keyof O]: O[K]['default']}} Values
 */

/** An option without a value: false, or true if it is typed. @param {string} help @returns {Option<boolean>} */
export function flagOption(help) {
  return { help, default: false, parse: () => true };
}

/**
 * An option with any text, such as a path.
 *
 * @template {string | undefined} [D=undefined]
 * @param {{value: string, help?: string, default?: D, defaultText?: string}} about
 * @returns {Option<string | D>}
 */
export function textOption(about) {
  return customOption({ ...about, parse: (typed) => typed });
}

/**
 * A text without which the command does not run.
 *
 * @param {{value: string, help: string}} about
 * @returns {Option<string>}
 */
export function requiredOption(about) {
  return { ...about, default: '', isRequired: true, parse: (typed) => typed };
}

/**
 * @template {number | undefined} [D=undefined]
 * @param {{value?: string, help: string, least?: number, most?: number, default?: D, defaultText?: string}} about
 *   the range: 1 to a million, unless it is `least` to `most`
 * @returns {Option<number | D>}
 */
export function wholeNumberOption({ least = 1, most = MAX_COUNT, ...about }) {
  return customOption({ value: 'N', ...about, parse: (typed, name) => parseWholeNumber(name, typed, least, most) });
}

/**
 * @template {number | undefined} [D=undefined]
 * @param {{value: string, help: string, below: number, default?: D}} about `below`: the value is less
 * @returns {Option<number | D>}
 */
export function positiveNumberOption({ below, ...about }) {
  return customOption({ ...about, parse: (typed, name) => parsePositiveNumber(name, typed, below) });
}

/**
 * An option whose value is one of a few names.
 *
 * @template {string} K
 * @template {K | undefined} [D=undefined]
 * @param {{value?: string, help?: string, names: readonly K[], meanings?: Record<K, string>, default?: D, defaultText?: K}} about
 *   `defaultText`: what holds if the option is not typed and has no default
 * @returns {Option<K | D>}
 */
export function choiceOption(about) {
  return customOption({ value: 'NAME', ...about, parse: (typed, name) => parseChoice(name, typed, about.names) });
}

/**
 * An option with a parser of its own.
 *
 * @template T
 * @template [D=undefined]
 * @param {Omit<Option<T>, 'help' | 'default'> & {help?: string, default?: D}} about
 * @returns {Option<T | D>}
 */
export function customOption({ help = '', default: preset, ...about }) {
  return { help, default: /** @type {D} */ (preset), ...about };
}

/**
 * @param {string} name of the option
 * @param {string} value as it was typed
 * @param {number} [least] the smallest number that is allowed; 1 by default
 * @param {number} [most] the largest number that is allowed; a million by default
 * @returns {number}
 * @throws {UserError} the value is no whole number between them
 */
export function parseWholeNumber(name, value, least = 1, most = MAX_COUNT) {
  const number = Number(value);
  if (/^\d+$/.test(value) && number >= least && number <= most) return number;
  throw new UserError(`Expected ${name} to be a whole number from ${least} to ${most}, got \`${value}\``);
}

/** @param {string} name @param {string} value as it was typed @param {number} end */
function parsePositiveNumber(name, value, end) {
  const number = Number(value);
  if (number > 0 && number < end) return number;
  const range = end === Infinity ? 'a positive number' : `a number between 0 and ${end}`;
  throw new UserError(`Expected ${name} to be ${range}, got \`${value}\``);
}

/**
 * @template {string} K
 * @param {string} name of the option
 * @param {string} value as it was typed
 * @param {readonly K[]} known
 * @returns {K}
 * @throws {UserError} the value is none of them; names the nearest one
 */
function parseChoice(name, value, known) {
  const found = known.find((one) => one === value);
  if (found !== undefined) return found;
  const suggestion = findNearestName(value, known);
  const hint = suggestion === undefined ? '' : `; did you mean ${suggestion}?`;
  throw new UserError(`Expected ${name} to be one of ${known.join(', ')}, got \`${value}\`${hint}`);
}

/** How a key is typed, without dashes in front: `maxLength` is `max-length`. @param {string} key */
export function toTypedName(key) {
  return key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

/**
 * The lines of a help about options, with --help as the last one.
 *
 * @param {Options} options
 * @returns {string[]}
 */
export function formatOptions(options) {
  const rows = Object.entries(options).map(([key, option]) => ({
    label: [`--${toTypedName(key)}`, ...(option.value === undefined ? [] : [option.value])].join(' '),
    option,
  }));
  rows.push({ label: '-h, --help', option: flagOption('prints this help') });
  const column = Math.max(...rows.map(({ label }) => label.length).filter((length) => length <= MAX_LABEL_LENGTH));
  return rows.flatMap(({ label, option }) => formatRow(label, column, formatMeaning(option, LINE_LENGTH - column - 4)));
}

/**
 * A label with its lines beside it, or below it if it is too long.
 *
 * @param {string} label
 * @param {number} column how wide the labels are
 * @param {string[]} lines
 */
function formatRow(label, column, lines) {
  const isLong = label.length > column;
  const [first, ...rest] = isLong ? ['', ...lines] : lines;
  const indent = ' '.repeat(INDENT.length + column + 2);
  return [`${INDENT}${label.padEnd(column)}${INDENT}${first}`.trimEnd(), ...rest.map((line) => indent + line)];
}

/** What the help says of an option, its default included. @param {Option<any>} option @param {number} width @returns {string[]} */
function formatMeaning({ help, value, default: preset, defaultText, names, meanings }, width) {
  const mark = (/** @type {string} */ name) => (name === (defaultText ?? preset) ? `${name} (default)` : name);
  const parts = help === '' ? [] : [help];
  const isValue = value !== undefined && preset !== undefined && preset !== '';
  if (names === undefined && (defaultText !== undefined || isValue)) parts.push(`default: ${defaultText ?? preset}`);
  const sentence = parts.join('; ');
  if (meanings !== undefined) {
    const entries = Object.entries(meanings);
    const column = Math.max(...entries.map(([name]) => mark(name).length));
    const rows = entries.flatMap(([name, meaning]) =>
      formatRow(mark(name), column, wrapWords(meaning, width - column - 2 * INDENT.length)),
    );
    return [...wrapWords(`${sentence}:`, width), ...rows];
  }
  const list = names === undefined ? [] : [names.map(mark).join(', ')];
  return wrapWords([...(sentence === '' ? [] : [sentence]), ...list].join(': '), width);
}

/** @param {string} text @param {number} width @returns {string[]} lines of at most `width` characters, unless a word is longer */
function wrapWords(text, width) {
  const lines = [''];
  for (const word of text.split(' ')) {
    const line = lines[lines.length - 1];
    if (line === '') lines[lines.length - 1] = word;
    else if (line.length + 1 + word.length <= width) lines[lines.length - 1] = `${line} ${word}`;
    else lines.push(word);
  }
  return lines;
}
