/**
 * What this machine has: checks Node's version and the platform, and finds Python. It runs before any
 * package is installed, also on a Node that is too old.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';

import { EnvironmentProblem } from '../node_bridge/support/errors.js';

/** The directory of the project, or of the installed package. */
export const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));

const { engines, version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));

/** The version of this package. */
export const VERSION = version;

/** The Pythons that are tried, in this order; before them the one in the variable PYTHON. */
const PYTHONS = ['python3.11', 'python3.12', 'python3.13', 'python3', 'python'];
/** Prints the version, and whether an environment can be made with it. */
const ASK_PYTHON = `
import sys
try:
    import venv, ensurepip
except ImportError:
    venv = None
print(sys.version.split()[0], "yes" if venv and (3, 11) <= sys.version_info[:2] <= (3, 13) else "no")
`;

/** @throws {EnvironmentProblem} this Node is none of `engines` in package.json */
export function assertNode() {
  const got = process.versions.node;
  if (!satisfies(got, engines.node)) throw new EnvironmentProblem(`got Node ${got}, expected ${engines.node}`);
}

/**
 * Whether a version is in `engines`, which is written as `^A.B.C || >=D.E.F`.
 *
 * @param {string} version
 * @param {string} ranges
 */
function satisfies(version, ranges) {
  const numbers = (/** @type {string} */ text) => text.split('.').map(Number);
  const [major, ...rest] = numbers(version);
  return ranges.split(' || ').some((range) => {
    const [least, ...leastRest] = numbers(range.replace(/^\D+/, ''));
    if (major !== least) return range.startsWith('>=') && major > least;
    return rest[0] > leastRest[0] || (rest[0] === leastRest[0] && rest[1] >= leastRest[1]);
  });
}

/**
 * Checks that the Python side runs here: tensorflow-text has wheels on PyPI for these platforms only, and
 * no source to build from.
 *
 * @param {string} alternative what runs here without Python
 * @throws {EnvironmentProblem} it does not
 */
export function assertPythonPlatform(alternative) {
  const { platform, arch } = process;
  const report = /** @type {any} */ (process.report);
  report.excludeNetwork = true; // otherwise the report looks up network names and waits for them
  const isMusl = platform === 'linux' && report.getReport().header.glibcVersionRuntime === undefined;
  const supported =
    (platform === 'linux' && ['x64', 'arm64'].includes(arch) && !isMusl) || (platform === 'darwin' && arch === 'arm64');
  if (supported) return;
  throw new EnvironmentProblem(
    `TensorFlow Text has no build for ${platform} ${arch}${isMusl ? ' with musl' : ''}, so the Python side does not run here; expected ` +
      `Linux with glibc (x64, arm64; WSL too) or macOS on Apple silicon. The Node side runs here: ${alternative}`,
  );
}

/**
 * Finds a Python that can make environments.
 *
 * @returns {string} a program
 * @throws {EnvironmentProblem} there is none; the message has the versions that there are
 */
export function findPython() {
  /** @type {Set<string>} */
  const unsuitable = new Set();
  for (const name of process.env.PYTHON ? [process.env.PYTHON, ...PYTHONS] : PYTHONS) {
    const { status, stdout } = spawnSync(name, ['-c', ASK_PYTHON], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
    const [version, answer] = status === 0 ? stdout.trim().split(' ') : [];
    if (answer === 'yes') return name;
    if (version !== undefined) unsuitable.add(`${name} is ${version}`);
  }
  const found = unsuitable.size === 0 ? '' : ` (${[...unsuitable].join(', ')})`;
  throw new EnvironmentProblem(
    `no Python 3.11, 3.12 or 3.13 with venv was found${found}; install one ` +
      '(Debian: apt install python3-venv) or name it in the variable PYTHON',
  );
}
