/** `bert-bridge`: the menu, what it starts, and the errors of a machine that lacks something. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { cacheDirectory, nativeHome } from '../../node_bridge/support/places.js';
import { asTyped } from '../../node_bridge/support/command_names.js';

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const launcher = join(root, 'launcher', 'bert-bridge.js');
const dir = mkdtempSync(join(tmpdir(), 'launcher-'));
after(() => rmSync(dir, { recursive: true }));

/** @param {string[]} args @param {Record<string, string | undefined>} [variables] @param {string} [code] runs first */
function run(args, variables = {}, code = '') {
  const before = ['--import', `data:text/javascript,${encodeURIComponent(code)}`];
  // npm sets npm_command for the tests, and for what npx starts.
  const env = { ...process.env, npm_command: undefined, BERT_BRIDGE_PYTHON: undefined, ...variables };
  const { status, stdout, stderr } = spawnSync(process.execPath, [...before, launcher, ...args], {
    env,
    cwd: dir,
    encoding: 'utf8',
  });
  return { status, stdout, stderr };
}

/** A program that prints what Python would. @param {string} name @param {string} answer */
function fakePython(name, answer) {
  const path = join(dir, name);
  writeFileSync(path, `#!/bin/sh\n${answer}\n`);
  chmodSync(path, 0o755);
}

/** @param {ReturnType<typeof run>} result @param {number} code @param {RegExp} message */
function assertOneLine({ status, stdout, stderr }, code, message) {
  assert.deepEqual([status, stdout], [code, ''], stderr);
  assert.match(stderr, /^error: [^\n]+\n$/);
  assert.match(stderr, message);
}

test('--help lists every command of the issue with one line', () => {
  const { status, stdout } = run(['--help']);
  assert.equal(status, 0);
  const names = 'export build inspect catalog vocab tokenize encode train evaluate predict verify parity native'.split(' ');
  for (const name of names) assert.match(stdout, new RegExp(`^  ${name} +\\S`, 'm'));
  assert.ok(stdout.split('\n').every((line) => line.length <= 100));
  assert.equal(run([]).stdout, stdout);
});

test('--version is that of package.json', () => {
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  assert.deepEqual(run(['--version']), { status: 0, stdout: `${version}\n`, stderr: '' });
});

test('an unknown command is refused with the nearest one', () => {
  assertOneLine(run(['trian']), 2, /There is no command `trian`; did you mean train\?/);
  assertOneLine(run(['constructor']), 2, /There is no command `constructor`; try --help/);
});

test('a program has its own help, options and exit codes, and names itself as it was typed', () => {
  const { status, stdout } = run(['train', '--help']);
  assert.equal(status, 0);
  assert.match(stdout, /^ {2}bert-bridge train --train T\.jsonl/m);
  assert.doesNotMatch(stdout, /node_bridge|nox/);
  assert.match(run(['train', '--help'], { npm_command: 'exec' }).stdout, /^ {2}npx bert-bridge train --train/m);
  assertOneLine(run(['train', '--epoch', '3']), 2, /There is no option --epoch; did you mean --epochs\?/);
  assertOneLine(run(['train']), 2, new RegExp(`${join(dir, 'artifacts')}.*bert-bridge export`));
});

test('messages name commands as they were typed', () => {
  const text =
    'see `node node_bridge/verify.js --bundle b`, what train.js wrote, ./train.js, `nox -s export -- build`, `nox -s native`';
  assert.equal(asTyped(text), text);
  process.env.BERT_BRIDGE_COMMAND = 'bb';
  try {
    assert.equal(asTyped(text), 'see `bb verify --bundle b`, what bb train wrote, ./train.js, `bb build`, `bb native`');
    assert.equal(asTyped('`nox -s export -- …` and nox -s bench'), '`bb export …` and nox -s bench');
  } finally {
    delete process.env.BERT_BRIDGE_COMMAND;
  }
});

test('Node 18 is refused', () => {
  const old = "Object.defineProperty(process.versions, 'node', { value: '18.20.8' });";
  assertOneLine(run(['train'], {}, old), 3, /got Node 18\.20\.8, expected \^20\.19\.0 \|\| >=22\.12\.0/);
});

const glibc = "process.report.getReport = () => ({ header: { glibcVersionRuntime: '2.39' } });";
const isPosix = process.platform !== 'win32';

test('without a Python, and with an old one, one line says so', { skip: !isPosix }, () => {
  const nothing = { PATH: dir, XDG_CACHE_HOME: join(dir, 'cache'), PYTHON: undefined };
  assertOneLine(run(['catalog'], nothing, glibc), 3, /no Python 3\.11, 3\.12 or 3\.13 with venv was found; install one/);
  fakePython('python3', 'echo 3.10.4 no');
  fakePython('python3.11', 'echo 3.11.2 no');
  const found = /was found \(python3\.11 is 3\.11\.2, python3 is 3\.10\.4\); install one \(Debian: apt install python3-venv\)/;
  assertOneLine(run(['catalog'], nothing, glibc), 3, found);
});

test('a platform without TensorFlow Text is refused before anything is downloaded', () => {
  const alpine =
    "Object.defineProperty(process, 'platform', { value: 'linux' }); process.report.getReport = () => ({ header: {} });";
  assertOneLine(run(['export'], {}, alpine), 3, /with musl.*`bert-bridge predict` and the other commands of Node/);
});

test('BERT_BRIDGE_PYTHON names a Python, or its environment', { skip: !isPosix }, () => {
  assertOneLine(run(['catalog'], { BERT_BRIDGE_PYTHON: join(dir, 'nothing') }), 3, /does not start \(ENOENT\)/);
  fakePython('named', 'echo "$PYTHONSAFEPATH $PYTHONDONTWRITEBYTECODE $BERT_BRIDGE_COMMAND $*"');
  const { status, stdout } = run(['build', './x', '--out', 'y'], {
    BERT_BRIDGE_PYTHON: join(dir, 'named'),
    PYTHONPATH: '/theirs',
  });
  assert.equal(status, 0);
  assert.equal(stdout, '1 1 bert-bridge -m launcher.check_environment\n1 1 bert-bridge -m export build ./x --out y\n');
});

test('a signal that ends the Python program ends the command with its number', { skip: !isPosix }, () => {
  fakePython('killed', 'case "$*" in *check_environment) ;; *--version) ;; *) kill -9 $$ ;; esac');
  assert.equal(run(['catalog'], { BERT_BRIDGE_PYTHON: join(dir, 'killed') }).status, 137);
});

test('the cache is where the system has it, and XDG_CACHE_HOME is taken where it is absolute', () => {
  const before = process.env.XDG_CACHE_HOME;
  try {
    process.env.XDG_CACHE_HOME = dir;
    assert.equal(cacheDirectory(), join(dir, 'bert-bridge'));
    process.env.XDG_CACHE_HOME = 'relative';
    assert.doesNotMatch(cacheDirectory(), /relative/);
  } finally {
    if (before === undefined) delete process.env.XDG_CACHE_HOME;
    else process.env.XDG_CACHE_HOME = before;
  }
  assert.equal(nativeHome(), join(root, '.nox', 'native'));
});
