/**
 * What every command shares: options, help, and how errors leave the program.
 */
import { parseArgs } from 'node:util';

import { UserError } from './errors.js';

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

/**
 * Runs a command. `main` gets the parsed options and positionals and may return an exit code.
 *
 * @param {object} command
 * @param {string} command.help the text of `--help`, with an example
 * @param {import('node:util').ParseArgsConfig['options']} command.options
 * @param {(values: Record<string, any>, positionals: string[]) => Promise<number | void>} command.main
 */
export async function run({ help, options, main }) {
  // A reader that went away (`| head`) ends the program quietly, as Unix tools do.
  process.stdout.on('error', (error) => {
    if (/** @type {NodeJS.ErrnoException} */ (error).code === 'EPIPE') process.exit(0);
    throw error;
  });
  try {
    const { values, positionals } = parse(options);
    if (values.help) {
      process.stdout.write(help);
      return;
    }
    process.exitCode = (await main(values, positionals)) ?? 0;
  } catch (error) {
    process.exitCode = report(error);
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

/** @param {import('node:util').ParseArgsConfig['options']} options */
function parse(options) {
  try {
    return parseArgs({
      options: { ...options, help: { type: 'boolean', short: 'h' } },
      allowPositionals: true,
    });
  } catch (error) {
    throw new UserError(`${/** @type {Error} */ (error).message} Try --help.`);
  }
}

/**
 * Says one line for a known error, shows a stack trace only for a defect of ours.
 *
 * @param {unknown} error
 * @returns {number} exit code
 */
function report(error) {
  const known = /** @type {{exitCode?: number, code?: string, message: string, path?: string}} */ (error);
  if (known.exitCode !== undefined) {
    process.stderr.write(`error: ${known.message}\n`);
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
