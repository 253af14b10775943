/**
 * What every command shares: options, help, and how errors leave the program.
 */
import { parseArgs } from 'node:util';

import { UserError } from './errors.js';
import { nearest } from './option_names.js';

/** System errors of a place that was given to write to: another place mends them. */
const MACHINE = new Map([
  ['ENOSPC', 'the disk is full'],
  ['EDQUOT', 'the quota of disk space is used up'],
  ['EFBIG', 'the file is too large for this place'],
  ['EROFS', 'the file system is read-only'],
  ['EACCES', 'permission denied'],
  ['EPERM', 'operation not permitted'],
  ['ENOENT', 'there is no such place'],
  ['ENOTDIR', 'a part of the path is a file'],
]);

/** @typedef {NonNullable<import('node:util').ParseArgsConfig['options']>} Options */

/**
 * Runs a command. `main` gets the parsed options and positionals and may return an exit code.
 *
 * @param {object} command
 * @param {string} command.help the text of `--help`, with an example
 * @param {Options} command.options
 * @param {string} [command.positionals] what its arguments without `--` are; none are taken by default
 * @param {(values: Record<string, any>, positionals: string[]) => Promise<number | void>} command.main
 */
export async function run({ help, options, positionals: taken, main }) {
  // A reader that went away (`| head`) ends the program quietly, as Unix tools do.
  process.stdout.on('error', (error) => {
    if (/** @type {NodeJS.ErrnoException} */ (error).code === 'EPIPE') process.exit(0);
    throw error;
  });
  try {
    const { values, positionals } = parse(options, taken);
    if (values.help) {
      process.stdout.write(help);
      return;
    }
    process.exitCode = (await main(values, positionals)) ?? 0;
  } catch (error) {
    process.exitCode = report(error, options);
  }
}

/** A line on stderr, where there is something to say. @param {string} line */
export function say(line) {
  if (line !== '') process.stderr.write(`${line}\n`);
}

/**
 * @param {string} name of the option
 * @param {string} value as it was typed
 * @param {number} least
 * @param {number} most
 * @throws {UserError} anything but a whole number in these bounds
 */
export function wholeNumber(name, value, least, most) {
  const number = Number(value);
  if (/^\d+$/.test(value) && number >= least && number <= most) return number;
  throw new UserError(`Expected ${name} to be a whole number from ${least} to ${most}, got \`${value}\``);
}

/**
 * @template {string} K
 * @param {string} name of the option
 * @param {string} value as it was typed
 * @param {readonly K[]} known
 * @returns {K}
 * @throws {UserError} none of them
 */
export function oneOf(name, value, known) {
  const found = known.find((one) => one === value);
  if (found !== undefined) return found;
  const meant = nearest(value, known);
  const hint = meant === undefined ? '' : `; did you mean ${meant}?`;
  throw new UserError(`Expected ${name} to be one of ${known.join(', ')}, got \`${value}\`${hint}`);
}

/**
 * The options of the command line. Node's own strict mode says several sentences, knows no nearest
 * name, and takes the last of two values without a word.
 *
 * @param {Options} known
 * @param {string} [taken] what positionals are
 * @returns {{values: Record<string, any>, positionals: string[]}}
 * @throws {UserError} an option that is unknown, given twice, without its value or with one that it
 *   does not take; a positional where none is taken
 */
function parse(known, taken) {
  /** @type {Options} */
  const options = { ...known, help: { type: 'boolean', short: 'h' } };
  const args = process.argv.slice(2);
  const { values, positionals, tokens } = parseArgs({ args, options, allowPositionals: true, strict: false, tokens: true });
  // Not the `h` of a `-epochs`.
  if (tokens.some(({ kind, index }) => kind === 'option' && ['-h', '--help'].includes(args[index]))) {
    return { values: { help: true }, positionals };
  }
  const seen = new Set();
  for (const token of tokens) {
    if (token.kind !== 'option') continue;
    const { name } = token;
    if (!Object.hasOwn(options, name)) throw unknownOption(args[token.index], Object.keys(options));
    assertValue(token, options[name].type);
    if (seen.has(name)) throw new UserError(`Got --${name} twice, expected it once`);
    seen.add(name);
  }
  if (positionals.length > 0 && taken === undefined) {
    const meant = nearest(positionals[0], Object.keys(options));
    const hint = meant === undefined ? 'try --help' : `did you mean --${meant}?`;
    throw new UserError(`Expected options only, got \`${positionals[0]}\`; ${hint}`);
  }
  return { values, positionals };
}

/** @param {string} typed an argument that begins with a dash @param {string[]} known @returns {UserError} */
function unknownOption(typed, known) {
  const [option] = typed.split('=');
  const meant = nearest(option.replace(/^-+/, ''), known);
  return new UserError(`There is no option ${option}; ${meant === undefined ? 'try --help' : `did you mean --${meant}?`}`);
}

/**
 * @param {{name: string, value?: string, inlineValue?: boolean}} token
 * @param {'string' | 'boolean'} type
 * @throws {UserError} no value where one belongs, or one where none does
 */
function assertValue({ name, value, inlineValue }, type) {
  if (type === 'boolean') {
    if (value === undefined) return;
    throw new UserError(`Expected --${name} without a value, got \`${value}\``);
  }
  // A number below 0 is a value, if a wrong one.
  const swallowed = !inlineValue && value !== undefined && /^-[^\d.]/.test(value);
  if (value !== undefined && value !== '' && !swallowed) return;
  const got = swallowed ? `the option ${value}` : value === '' ? 'an empty one' : 'none';
  throw new UserError(`Expected a value after --${name}, got ${got}`);
}

/**
 * Says one line for a known error, shows a stack trace only for a defect of ours.
 *
 * @param {unknown} error
 * @param {Options} options of the command, by whose names an option of the library is called
 * @returns {number} exit code
 */
function report(error, options) {
  const known = /** @type {{exitCode?: number, code?: string, message: string, option?: string, path?: string}} */ (error);
  if (known.exitCode !== undefined) {
    const { option = '', message } = known;
    const ours = option.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
    const words = Object.hasOwn(options, ours) ? message.replaceAll(`\`${option}\``, `--${ours}`) : message;
    process.stderr.write(`error: ${words}\n`);
    return known.exitCode;
  }
  const reason = MACHINE.get(known.code ?? '');
  if (reason !== undefined) {
    const where = known.path === undefined ? '' : ` at ${known.path}`;
    process.stderr.write(`error: ${reason}${where} (${known.code}); give another place or make room\n`);
    return 2;
  }
  process.stderr.write(`${/** @type {Error} */ (error).stack ?? String(error)}\n`);
  return 70;
}
