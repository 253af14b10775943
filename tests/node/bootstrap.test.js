/** What the project runs on: refused in one line, before anything is downloaded, and as package.json says. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
/** What bootstrap.js runs next: what comes after is a nox that has no such session. */
const ASKED = ['bootstrap.js', 'no-such-session'];

/** What is said after all checks of the machine: by nox, or where there is no .venv yet. */
const CHECKS_PASSED = /no-such-session|no Python 3\.11/;

/** bootstrap.js where `process` says something else of the machine. @param {string} code */
function bootstrapOn(code) {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    ['--import', `data:text/javascript,${encodeURIComponent(code)}`, ...ASKED],
    {
      cwd: root,
      encoding: 'utf8',
      // Where a machine is taken for a good one, nothing is to be installed either.
      env: { ...process.env, PYTHON: 'no-such-python', PATH: '' },
    },
  );
  return { status, stdout, stderr };
}

/** @param {string} platform @param {string} arch */
const machine = (platform, arch) =>
  `for (const [name, value] of Object.entries(${JSON.stringify({ platform, arch })})) Object.defineProperty(process, name, { value });`;
const GLIBC = "process.report.getReport = () => ({ header: { glibcVersionRuntime: '2.39' } });";
const MUSL = 'process.report.getReport = () => ({ header: {} });';
/** @param {string} version */
const nodeOf = (version) => `Object.defineProperty(process.versions, 'node', { value: '${version}' });`;

// As PyPI has wheels of tensorflow-text 2.21.1.
const MACHINES = /** @type {[string, string, boolean][]} */ ([
  ['Linux on x64', machine('linux', 'x64') + GLIBC, true],
  ['Linux on arm64', machine('linux', 'arm64') + GLIBC, true],
  ['Linux on ppc64', machine('linux', 'ppc64') + GLIBC, false],
  ['Alpine', machine('linux', 'x64') + MUSL, false],
  ['Apple silicon', machine('darwin', 'arm64'), true],
  ['an Intel Mac', machine('darwin', 'x64'), false],
  ['Windows', machine('win32', 'x64'), false],
]);
for (const [name, code, supported] of MACHINES) {
  test(`${name} is ${supported ? 'supported' : 'refused, and the error says what runs there'}`, () => {
    const { status, stdout, stderr } = bootstrapOn(code);
    if (supported) {
      assert.match(stdout + stderr, CHECKS_PASSED);
      return;
    }
    assert.deepEqual([status, stdout], [3, '']);
    assert.match(stderr, /^error: TensorFlow Text has no build for [^\n]+\n$/);
    assert.match(stderr, /The Node side runs here: `npm ci`, then `node node_bridge\/predict\.js`/);
  });
}

// Node 20.19 and 22.12 are the first of their lines whose `require` takes an ES module.
const NODES = /** @type {[string, boolean][]} */ ([
  ['18.20.8', false],
  ['20.18.3', false],
  ['20.19.0', true],
  ['21.7.3', false],
  ['22.11.0', false],
  ['22.12.0', true],
  ['23.0.0', true],
  ['24.1.0', true],
]);
test('the versions of Node: bootstrap.js and package.json say the same', () => {
  const { engines } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  assert.equal(engines.node, '^20.19.0 || >=22.12.0');
  for (const [version, good] of NODES) {
    const { status, stdout, stderr } = bootstrapOn(nodeOf(version));
    const refused = `error: got Node ${version}, expected ^20.19.0 || >=22.12.0\n`;
    if (good) assert.match(stdout + stderr, CHECKS_PASSED, version);
    else assert.deepEqual([status, stderr], [3, refused]);
  }
});

test('the versions of Python: machine.js, environments.py, pyproject.toml and the READMEs say the same', () => {
  const text = (/** @type {string} */ name) => readFileSync(join(root, name), 'utf8');
  assert.match(text('pyproject.toml'), /^requires-python = ">=3\.11,<3\.14"$/m);
  assert.match(text('launcher/machine.js'), /\(3, 11\) <= sys\.version_info\[:2\] <= \(3, 13\)/);
  assert.match(text('launcher/environments.py'), /not \(3, 11\) <= sys\.version_info\[:2\] <= \(3, 13\)/);
  assert.match(text('README.md'), /^Python 3\.11 to 3\.13, Node 20\.19, 22\.12 or newer, npm\./m);
  assert.match(text('README.zh-CN.md'), /^需要 Python 3\.11 到 3\.13、Node 20\.19、22\.12 或更新、npm。/m);
});
