#!/usr/bin/env node
/**
 * `bert-bridge`: every command of the project from the installed package.
 *
 *     npx bert-bridge export
 *     npx bert-bridge train --help
 */
import { launcherName } from '../node_bridge/support/command_names.js';
import { describeFailure, UserError } from '../node_bridge/support/errors.js';
import { findNearestName } from '../node_bridge/support/option_names.js';
import { cacheDirectory } from '../node_bridge/support/places.js';
import { printLines, printMessages } from '../node_bridge/support/printing.js';
import { COMMANDS } from './commands.js';
import { assertNode, VERSION } from './machine.js';
import { providePython, runModule } from './python.js';

// npm sets this variable for what npx and its scripts start.
process.env.BERT_BRIDGE_COMMAND ||= process.env.npm_command === undefined ? 'bert-bridge' : 'npx bert-bridge';
// An export starts Node for a last check.
process.env.NODE ||= process.execPath;

try {
  assertNode();
  await run(...process.argv.slice(2));
} catch (error) {
  const { line, exitCode } = describeFailure(error);
  printMessages(`error: ${line}`);
  process.exitCode = exitCode;
}

/**
 * Runs one command.
 *
 * @param {string} [name]
 * @param {...string} args
 * @throws {UserError} there is no such command
 */
async function run(name = '--help', ...args) {
  if (['--help', '-h', 'help'].includes(name)) return printLines(...formatHelp());
  if (['--version', '-v'].includes(name)) return printLines(VERSION);
  if (!Object.hasOwn(COMMANDS, name)) {
    const nearest = findNearestName(name, Object.keys(COMMANDS));
    throw new UserError(`There is no command \`${name}\`; ${nearest === undefined ? 'try --help' : `did you mean ${nearest}?`}`);
  }
  const { python } = COMMANDS[name];
  if (python !== undefined) return runModule(providePython(), [...python, ...args]);
  const program = new URL(`../node_bridge/${name}.js`, import.meta.url);
  process.argv.splice(2, 1);
  await import(program.href);
}

/** The lines of `--help`. */
function formatHelp() {
  const name = launcherName();
  const width = Math.max(...Object.keys(COMMANDS).map((command) => command.length));
  const list = (/** @type {boolean} */ isPython) =>
    Object.entries(COMMANDS)
      .filter(([, { python }]) => (python !== undefined) === isPython)
      .map(([command, { help }]) => `  ${command.padEnd(width)}  ${help}`);
  return [
    'Carries Chinese BERT models from Python to Node.js and proves that nothing changed on the way.',
    '',
    `  ${name} export`,
    `  ${name} train`,
    `  ${name} parity`,
    `  echo 这本书很好 | ${name} predict --model artifacts/classifier`,
    '',
    'Commands of Node:',
    ...list(false),
    '',
    'Commands of Python. The first use brings its packages (about 600 MB to download), once, to',
    `${cacheDirectory()}:`,
    ...list(true),
    '',
    `Options: ${name} COMMAND --help, ${name} --version`,
    'Variables: BERT_BRIDGE_PYTHON, a Python environment with the packages, to use instead; PYTHON, the',
    'Python 3.11 to 3.13 that makes the environment',
    'Exit codes: 0 good, 1 drift or a failed check, 2 a mistake in the input, 3 this machine,',
    '70 a defect of the program (BERT_BRIDGE_DEBUG=1 shows its stack)',
  ];
}
