/**
 * `npm start` and `npm test`: creates a private environment in .venv with nox and uv, then runs nox.
 *
 *     node bootstrap.js export train parity
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(fileURLToPath(import.meta.url));
const venv = join(root, '.venv');
const lock = join(root, 'locks', 'tools.txt');
const bin = join(venv, process.platform === 'win32' ? 'Scripts' : 'bin');

/** Whether a program is a Python that can be used here. @param {string} program */
function suitable(program) {
  const code = 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))';
  return spawnSync(program, ['-c', code], { stdio: 'ignore' }).status === 0;
}

/**
 * @param {string} program
 * @param {string[]} args
 */
function runOrExit(program, args) {
  const { status, signal } = spawnSync(program, args, { cwd: root, stdio: 'inherit' });
  if (status !== 0) process.exit(signal === null ? (status ?? 3) : 130);
}

/** Ends the program before anything is downloaded. @param {string} problem @returns {never} */
function refuse(problem) {
  console.error(`error: ${problem}`);
  process.exit(3);
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

const { engines } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
if (!satisfies(process.versions.node, engines.node)) refuse(`got Node ${process.versions.node}, expected ${engines.node}`);

// tensorflow-text has wheels on PyPI for these platforms only, and no source to build from.
const { platform, arch } = process;
const report = /** @type {any} */ (process.report);
report.excludeNetwork = true; // otherwise the report looks up network names and waits for them
const isMusl = platform === 'linux' && report.getReport().header.glibcVersionRuntime === undefined;
const supported =
  (platform === 'linux' && ['x64', 'arm64'].includes(arch) && !isMusl) || (platform === 'darwin' && arch === 'arm64');
if (!supported) {
  refuse(
    `TensorFlow Text has no build for ${platform} ${arch}${isMusl ? ' with musl' : ''}, so the Python side does not run here; expected ` +
      'Linux with glibc (x64, arm64; WSL too) or macOS on Apple silicon. The Node side runs here: `npm ci`, then ' +
      '`node node_bridge/predict.js` and the others, with a bundle that was made elsewhere',
  );
}

const wanted = createHash('sha256').update(readFileSync(lock)).digest('hex');
const stamp = join(venv, 'locked.sha256');
if (!existsSync(stamp) || readFileSync(stamp, 'utf8') !== wanted) {
  const candidates = [process.env.PYTHON, 'python3.11', 'python3.12', 'python3.13', 'python3', 'python'];
  const python = candidates.find((name) => name !== undefined && suitable(name));
  if (python === undefined) {
    refuse(
      'no Python 3.11, 3.12 or 3.13 with venv was found; install one ' +
        '(Debian: apt install python3-venv) or name it in the variable PYTHON',
    );
  }
  rmSync(venv, { recursive: true, force: true });
  runOrExit(python, ['-m', 'venv', venv]);
  runOrExit(join(bin, 'python'), ['-m', 'pip', 'install', '-q', '--require-hashes', '-r', lock]);
  writeFileSync(stamp, wanted);
}
runOrExit(join(bin, 'nox'), ['-s', ...process.argv.slice(2)]);
