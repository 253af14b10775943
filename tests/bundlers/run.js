/**
 * `nox -s bundlers`: packs this package, installs it with the bundlers into an empty directory, and checks
 * that a bundled program prints the same ids and probabilities as the plain one.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const root = dirname(dirname(here));
const bundle = join(root, 'artifacts', 'bundle', 'albert_tiny');
const PROGRAMS = ['out/webpack.cjs', 'out/webpack.mjs', 'out/vite/program.js'];
const TEXTS = ['这本书很好', '房间很小'];

const dir = mkdtempSync(join(tmpdir(), 'bundlers-'));
try {
  for (const name of ['package.json', 'package-lock.json', 'program.js', 'build.js'])
    copyFileSync(join(here, name), join(dir, name));
  const packed = run('npm', ['pack', '--pack-destination', dir], root).trim().split('\n').at(-1);
  const quiet = ['--no-audit', '--no-fund', '--no-progress'];
  run('npm', ['ci', ...quiet]);
  run('npm', ['install', '--no-save', ...quiet, `./${packed}`]);

  const rows = TEXTS.map((text, label) => `${JSON.stringify({ text, label })}\n`).join('');
  writeFileSync(join(dir, 'data.jsonl'), rows);
  const training = ['--train', 'data.jsonl', '--dev', 'data.jsonl', '--epochs', '1', '--backend', 'wasm', '--out', 'classifier'];
  run('npx', ['bert-bridge', 'train', '--bundle', bundle, ...training]);
  run(process.execPath, ['build.js']);

  const answers = (/** @type {string} */ program) => run(process.execPath, [program, bundle, 'classifier', ...TEXTS]);
  const expected = answers('program.js');
  for (const program of PROGRAMS) {
    assert.equal(answers(program), expected, program);
    const { length } = readFileSync(join(dir, program));
    console.log(`${program}: the same ids and probabilities (${Math.round(length / 1000)} kB)`);
  }
} finally {
  rmSync(dir, { recursive: true, force: true });
}

/**
 * Runs a program to its end.
 *
 * @param {string} program
 * @param {string[]} args
 * @param {string} [cwd]
 * @returns {string} its stdout
 */
function run(program, args, cwd = dir) {
  const { status, stdout, stderr } = spawnSync(program, args, { cwd, encoding: 'utf8' });
  assert.equal(status, 0, `${program} ${args.join(' ')}\n${stdout}${stderr}`);
  return stdout;
}
