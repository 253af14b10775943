/** The Python environments: that of bootstrap.js, and that of an installed package. */
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { constants } from 'node:os';
import { delimiter, join } from 'node:path';

import { EnvironmentProblem } from '../node_bridge/support/errors.js';
import { cacheDirectory } from '../node_bridge/support/places.js';
import { assertPythonPlatform, findPython, ROOT } from './machine.js';

/** The directory of an environment that has its programs. */
const PROGRAMS = process.platform === 'win32' ? 'Scripts' : 'bin';
/** How many characters of a lock file's sha256 name a directory. */
const KEY_LENGTH = 12;

/** A program of an environment. @param {string} home @param {string} name */
export function programOf(home, name) {
  return join(home, PROGRAMS, process.platform === 'win32' ? `${name}.exe` : name);
}

/**
 * Makes an environment if it is not there yet; ends this process if that fails, after the error's message.
 *
 * @param {string} name of the lock file in locks/
 * @param {string} home the directory of the environment
 * @param {string[]} [options] further options of environments.py
 */
export function makeEnvironment(name, home, options = []) {
  const stamp = join(home, 'locked.sha256');
  const isComplete = existsSync(stamp) && readFileSync(stamp, 'utf8') === hashLock(name);
  // The program is a link to the Python that made the environment, which may be gone.
  if (isComplete && existsSync(programOf(home, 'python'))) return;
  runOrExit(findPython(), ['-m', 'launcher.environments', name, '--home', home, ...options], { env: pythonVariables() });
}

/**
 * Runs a program to its end; if it fails, ends this process with the same exit code.
 *
 * @param {string} program
 * @param {string[]} args
 * @param {import('node:child_process').SpawnSyncOptions} [options]
 */
export function runOrExit(program, args, options = {}) {
  const { status, signal } = spawnSync(program, args, { stdio: 'inherit', ...options });
  if (status !== 0) process.exit(signal === null ? (status ?? 3) : 130);
}

/** The sha256 of a lock file. @param {string} name */
function hashLock(name) {
  return createHash('sha256')
    .update(readFileSync(join(ROOT, 'locks', `${name}.txt`)))
    .digest('hex');
}

/**
 * The Python with the packages of locks/python.txt: the one that BERT_BRIDGE_PYTHON names, else the one in
 * the user's cache directory, which is made at the first use.
 *
 * @returns {string} a program
 * @throws {EnvironmentProblem} there is no Python for it on this machine, or the named one does not start
 */
export function providePython() {
  const named = process.env.BERT_BRIDGE_PYTHON;
  if (named) return checkNamed(named);
  const home = (/** @type {string} */ name) => join(cacheDirectory(), `${name}-${hashLock(name).slice(0, KEY_LENGTH)}`);
  const python = programOf(home('python'), 'python');
  assertPythonPlatform('`bert-bridge predict` and the other commands of Node, with a bundle that was made elsewhere');
  makeEnvironment('tools', home('tools'));
  makeEnvironment('python', home('python'), ['--uv', programOf(home('tools'), 'uv')]);
  return python;
}

/** @param {string} named a Python, or the directory of its environment @returns {string} the program */
function checkNamed(named) {
  const isDirectory = statSync(named, { throwIfNoEntry: false })?.isDirectory() ?? false;
  const program = isDirectory ? programOf(named, 'python') : named;
  const { error } = spawnSync(program, ['--version'], { stdio: 'ignore' });
  if (error !== undefined) {
    throw new EnvironmentProblem(
      `BERT_BRIDGE_PYTHON is ${named}, which does not start (${/** @type {NodeJS.ErrnoException} */ (error).code}); ` +
        'give a Python or the directory of its environment, or unset the variable',
    );
  }
  runOrExit(program, ['-m', 'launcher.check_environment'], { env: pythonVariables() });
  return program;
}

/**
 * Runs a module of the Python side, and ends with its exit code.
 *
 * @param {string} program the Python
 * @param {string[]} args the module and its arguments
 */
export function runModule(program, args) {
  const child = spawn(program, ['-m', ...args], { stdio: 'inherit', env: pythonVariables() });
  // A terminal sends Ctrl-C to both; this process waits until the other has cleaned up.
  process.on('SIGINT', () => {});
  for (const signal of /** @type {const} */ (['SIGTERM', 'SIGHUP'])) process.on(signal, () => child.kill(signal));
  child.on('exit', (code, signal) => process.exit(code ?? 128 + constants.signals[signal ?? 'SIGTERM']));
}

/** The variables with which this package's Python code runs: it is found, but nothing is written beside it. */
function pythonVariables() {
  const { PYTHONPATH, NODE = process.execPath } = process.env;
  return {
    ...process.env,
    PYTHONPATH: PYTHONPATH ? `${ROOT}${delimiter}${PYTHONPATH}` : ROOT,
    // Otherwise a file `support.py` in the working directory would be taken for ours.
    PYTHONSAFEPATH: '1',
    PYTHONDONTWRITEBYTECODE: '1',
    NODE,
  };
}
