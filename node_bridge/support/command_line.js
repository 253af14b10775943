/**
 * What all commands share: options, help, and the exit code of an error.
 */
import { format, parseArgs } from 'node:util';

import { asTyped } from './command_names.js';
import { describeFailure, INTERNAL, UserError } from './errors.js';
import { findNearestName } from './option_names.js';
import { formatOptions, toTypedName } from './options.js';
import { printLines, printMessages } from './printing.js';

/** @typedef {import('./options.js').Options} Options */

/**
 * Runs a command.
 *
 * @template {Options} O
 * @param {object} command
 * @param {string} command.description what `--help` says before the options, with an example
 * @param {O} command.options
 * @param {string} [command.epilog] what `--help` says after the options
 * @param {string} [command.positionals] what the arguments without `--` are; by default there are none
 * @param {(values: import('./options.js').Values<O>, positionals: string[]) => Promise<number | void>} command.main
 *   gets the parsed options and positionals, and may return an exit code
 */
export async function runCommand({ description, options, epilog, positionals: positionalsHelp, main }) {
  guardStreams();
  const end = (/** @type {unknown} */ error) => process.exit(reportError(error, options));
  process.on('uncaughtException', end).on('unhandledRejection', end);
  try {
    const { typed, positionals } = parseArguments(options, positionalsHelp);
    if (typed === 'help') {
      const help = [...description.trimEnd().split('\n'), '', ...formatOptions(options)];
      printLines(...help.concat(epilog === undefined ? [] : ['', ...epilog.trimEnd().split('\n')]).map(asTyped));
      return;
    }
    process.exitCode = (await main(parseValues(options, typed), positionals)) ?? 0;
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
  // Warnings of TF.js name the nodes of an untrusted graph.
  for (const method of /** @type {const} */ (['log', 'info', 'debug', 'warn', 'error'])) {
    console[method] = (...words) => printMessages(...format(...words).split('\n'));
  }
}

/**
 * Splits the command line. Node's own strict mode is not used: its messages have several sentences,
 * it does not know the nearest name, and of two values it takes the last one silently.
 *
 * @param {Options} known
 * @param {string} [positionalsHelp] what the positionals are
 * @returns {{typed: Record<string, string | boolean> | 'help', positionals: string[]}} `typed`: the texts of
 *   the values by the name that was typed, or `help` if --help was
 * @throws {UserError} an option is unknown, appears twice, lacks its value or has one that it does
 *   not take; or there is a positional and the command takes none
 */
function parseArguments(known, positionalsHelp) {
  /** @type {NonNullable<import('node:util').ParseArgsConfig['options']>} */
  const options = { help: { type: 'boolean', short: 'h' } };
  for (const [key, { value }] of Object.entries(known)) {
    options[toTypedName(key)] = { type: value === undefined ? 'boolean' : 'string' };
  }
  const args = process.argv.slice(2);
  const { values, positionals, tokens } = parseArgs({ args, options, allowPositionals: true, strict: false, tokens: true });
  // Not the `h` of a `-epochs`.
  if (tokens.some(({ kind, index }) => kind === 'option' && ['-h', '--help'].includes(args[index]))) {
    return { typed: 'help', positionals };
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
  return { typed: /** @type {Record<string, string | boolean>} */ (values), positionals };
}

/**
 * Parses the values of all options.
 *
 * @template {Options} O
 * @param {O} options
 * @param {Record<string, string | boolean>} typed see `parseArguments`
 * @returns {import('./options.js').Values<O>}
 * @throws {UserError} a required option is missing, or a value is not valid
 */
function parseValues(options, typed) {
  const required = Object.keys(options).filter((key) => options[key].isRequired);
  if (required.some((key) => typed[toTypedName(key)] === undefined)) {
    const names = new Intl.ListFormat('en').format(required.map((key) => `--${toTypedName(key)}`));
    throw new UserError(`Expected ${names}; try --help.`);
  }
  const values = Object.entries(options).map(([key, option]) => {
    const name = toTypedName(key);
    return [key, typed[name] === undefined ? option.default : option.parse(String(typed[name]), `--${name}`)];
  });
  return Object.fromEntries(values);
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
  const isOurs = Object.hasOwn(options, option);
  printMessages(`error: ${isOurs ? line.replaceAll(`\`${option}\``, `--${toTypedName(option)}`) : line}`);
  if (exitCode === INTERNAL && process.env.BERT_BRIDGE_DEBUG === '1') printMessages(...stack.split('\n'));
  return exitCode;
}
