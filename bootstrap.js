/**
 * `npm start` and `npm test`: a private environment in .venv with nox and uv, then nox sessions.
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

/** A program asked for its version: does it run here? @param {string} program */
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

const [major] = process.versions.node.split('.').map(Number);
if (major < 20) {
  console.error(`error: got Node ${process.versions.node}, expected 20 or newer`);
  process.exit(3);
}

const wanted = createHash('sha256').update(readFileSync(lock)).digest('hex');
const stamp = join(venv, 'locked.sha256');
if (!existsSync(stamp) || readFileSync(stamp, 'utf8') !== wanted) {
  const candidates = [process.env.PYTHON, 'python3.11', 'python3.12', 'python3.13', 'python3', 'python'];
  const python = candidates.find((name) => name !== undefined && suitable(name));
  if (python === undefined) {
    console.error(
      'error: no Python 3.11, 3.12 or 3.13 with venv was found; install one ' +
        '(Debian: apt install python3-venv) or name it in the variable PYTHON',
    );
    process.exit(3);
  }
  rmSync(venv, { recursive: true, force: true });
  runOrExit(python, ['-m', 'venv', venv]);
  runOrExit(join(bin, 'python'), ['-m', 'pip', 'install', '-q', '--require-hashes', '-r', lock]);
  writeFileSync(stamp, wanted);
}
runOrExit(join(bin, 'nox'), ['-s', ...process.argv.slice(2)]);
