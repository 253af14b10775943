/**
 * What all commands share: options, help, and the exit code of an error.
 */
import { format, parseArgs } from 'node:util';

import { describeFailure, INTERNAL, UserError } from './errors.js';
import { findNearestName } from './option_names.js';
import { printLines, printMessages } from './printing.js';

/** @typedef {NonNullable<import('node:util').ParseArgsConfig['options']>} Options */

/**
 * Runs a command. `main` gets the parsed options and positionals and may return an exit code.
 *
 * @param {object} command
 * @param {string} command.help the text of `--help`, with an example
 * @param {Options} command.options
 * @param {string} [command.positionals] what the arguments without `--` are; by default there are none
 * @param {(values: Record<string, any>, positionals: string[]) => Promise<number | void>} command.main
 */
export async function runCommand({ help, options, positionals: positionalsHelp, main }) {
  guardStreams();
  const end = (/** @type {unknown} */ error) => process.exit(reportError(error, options));
  process.on('uncaughtException', end).on('unhandledRejection', end);
  try {
    const { values, positionals } = parseOptions(options, positionalsHelp);
    if (values.help) {
      printLines(...help.trimEnd().split('\n'));
      return;
    }
    process.exitCode = (await main(values, positionals)) ?? 0;
  } catch (error) {
    process.exitCode = reportError(error, options);
  }
}

/** Sends the warnings of libraries through printing.js, and handles streams that cannot be written. */
function guardStreams() {
  process.stdout.on('error', (/** @type {NodeJS.ErrnoException} */ error) => {
    // A reader that went away (`| head`) ends the program quietly, as Unix tools do.
    process.exit(error.code === 'EPIPE' ? 0 : reportError(Object.assign(error, { path: 'stdout' }), {}));
  });
  process.stderr.on('error', () => {}); // there is nowhere left to say so
  // Warnings of TF.js name the nodes of a stranger's graph.
  for (const method of /** @type {const} */ (['log', 'info', 'debug', 'warn', 'error'])) {
    console[method] = (...words) => printMessages(...format(...words).split('\n'));
  }
}

/**
 * @param {string} name of the option
 * @param {string} value as it was typed
 * @param {number} least the smallest number that is allowed
 * @param {number} most the largest number that is allowed
 * @returns {number}
 * @throws {UserError} the value is no whole number between them
 */
export function parseWholeNumber(name, value, least, most) {
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
 * @throws {UserError} the value is none of them; names the nearest one
 */
export function parseChoice(name, value, known) {
  const found = known.find((one) => one === value);
  if (found !== undefined) return found;
  const suggestion = findNearestName(value, known);
  const hint = suggestion === undefined ? '' : `; did you mean ${suggestion}?`;
  throw new UserError(`Expected ${name} to be one of ${known.join(', ')}, got \`${value}\`${hint}`);
}

/**
 * Parses the command line. Node's own strict mode is not used: its messages have several sentences,
 * it does not know the nearest name, and of two values it takes the last one silently.
 *
 * @param {Options} known
 * @param {string} [positionalsHelp] what the positionals are
 * @returns {{values: Record<string, any>, positionals: string[]}}
 * @throws {UserError} an option is unknown, appears twice, lacks its value or has one that it does
 *   not take; or there is a positional and the command takes none
 */
function parseOptions(known, positionalsHelp) {
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
  if (positionals.length > 0 && positionalsHelp === undefined) {
    const suggestion = findNearestName(positionals[0], Object.keys(options));
    const hint = suggestion === undefined ? 'try --help' : `did you mean --${suggestion}?`;
    throw new UserError(`Expected options only, got \`${positionals[0]}\`; ${hint}`);
  }
  return { values, positionals };
}

/** @param {string} typed an argument that begins with a dash @param {string[]} known @returns {UserError} */
function unknownOption(typed, known) {
  const [option] = typed.split('=');
  const suggestion = findNearestName(option.replace(/^-+/, ''), known);
  return new UserError(
    `There is no option ${option}; ${suggestion === undefined ? 'try --help' : `did you mean --${suggestion}?`}`,
  );
}

/**
 * @param {{name: string, value?: string, inlineValue?: boolean}} token
 * @param {'string' | 'boolean'} type
 * @throws {UserError} the value is missing, or the option takes none
 */
function assertValue({ name, value, inlineValue }, type) {
  if (type === 'boolean') {
    if (value === undefined) return;
    throw new UserError(`Expected --${name} without a value, got \`${value}\``);
  }
  // A negative number is a value, even if it is not allowed.
  const swallowed = !inlineValue && value !== undefined && /^-[^\d.]/.test(value);
  if (value !== undefined && value !== '' && !swallowed) return;
  const got = swallowed ? `the option ${value}` : value === '' ? 'an empty one' : 'none';
  throw new UserError(`Expected a value after --${name}, got ${got}`);
}

/**
 * Prints one line for an error. Every error of a command ends here, so its text is always cleaned.
 *
 * @param {unknown} error
 * @param {Options} options of the command: an error of the library names its own option, the
 *   printed line names the option of the command
 * @returns {number} the exit code
 */
function reportError(error, options) {
  const { line, exitCode } = describeFailure(error);
  const { option = '', stack = '' } = /** @type {{option?: string, stack?: string}} */ (error ?? {});
  const ours = option.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
  printMessages(`error: ${Object.hasOwn(options, ours) ? line.replaceAll(`\`${option}\``, `--${ours}`) : line}`);
  if (exitCode === INTERNAL && process.env.BERT_BRIDGE_DEBUG === '1') printMessages(...stack.split('\n'));
  return exitCode;
}
